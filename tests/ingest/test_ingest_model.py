"""Random updates through two writers and restarts, compared with the naive model after every step."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from domain import reference
from domain.strategies import plain_items
from ingest.submitting import exhaust, ignored_in, ingest_on, kinds_in, properties_in, sent
from store.backends import BACKENDS, LIVE, NORTH, SOUTH_LIVE, TEST, fresh
from traitbase.domain.errors import Conflict
from traitbase.domain.spaces import find_zone
from traitbase.services.ingest import Group

SPACES = [LIVE, TEST, SOUTH_LIVE]
batches = st.lists(plain_items, min_size=1, max_size=3)
writers = st.sampled_from([0, 1])
spaces = st.sampled_from(SPACES)


class TwoWriters(RuleBasedStateMachine):
    backend_name = "memory"

    @initialize()
    def start(self):
        self.closing = contextlib.ExitStack()
        self.backend = self.closing.enter_context(fresh(self.backend_name))
        self.ingests = [ingest_on(self.backend.store), ingest_on(self.backend.reopen())]
        self.profiles = {}
        self.kinds = {space: {} for space in SPACES}
        self.expected_ignored = []

    def teardown(self):
        for ingest in self.ingests:
            ingest.close()
        self.closing.close()

    def expect(self, submission):
        """Do in the model what was sent, and remember what its receipt must say."""
        space = submission.space
        zone = find_zone(NORTH.timezone if space.workspace_id == NORTH.workspace_id else "US/Pacific")
        ignored = []
        for position, update in enumerate(submission.updates):
            outcome = reference.apply(
                self.profiles.get((space, update.distinct_id)), update.operations, kinds=self.kinds[space], zone=zone
            )
            if outcome.properties is not None:
                self.profiles[space, update.distinct_id] = outcome.properties
            self.kinds[space].update(outcome.new_kinds)
            ignored += [(position, *entry) for entry in outcome.ignored]
        self.expected_ignored.append((submission, sorted(ignored)))

    def submission(self, batch, space):
        return sent(*((item["distinct_id"], item["action"]) for item in batch), space=space)

    @rule(writer=writers, batch=batches, space=spaces)
    def send(self, writer, batch, space):
        submission = self.submission(batch, space)
        self.ingests[writer].run([submission], wait_seconds=10)
        self.expect(submission)

    @rule(writer=writers, batches=st.lists(st.tuples(batches, spaces), min_size=2, max_size=3))
    def send_a_group(self, writer, batches):
        group = [self.submission(batch, space) for batch, space in batches]
        self.ingests[writer].run(group, wait_seconds=10)
        for submission in group:
            self.expect(submission)

    @rule(writer=writers, early=batches, late=batches, space=spaces)
    def send_with_another_between(self, writer, early, late, space):
        """One prepares, the other writes, the first writes: answered in that order, so applied in that order."""
        first, second = self.submission(early, space), self.submission(late, space)
        ingest, group = self.ingests[writer], Group([second])
        exhaust(ingest.prepare(group))
        self.ingests[1 - writer].run([first], wait_seconds=10)
        try:
            ingest.write(group, wait_seconds=10)
        except Conflict:
            ingest.abandon(group)
            ingest.run([second], wait_seconds=10)
        else:
            ingest.settle(group)
        self.expect(first)
        self.expect(second)

    @rule(writer=writers)
    def restart(self, writer):
        self.ingests[writer].close()
        self.ingests[writer] = ingest_on(self.backend.reopen())

    @invariant()
    def profiles_are_those_of_the_model(self):
        store = self.backend.store
        for space in SPACES:
            assert kinds_in(store, space=space) == self.kinds[space]
            for distinct_id in ("u", "w", "ü😀"):
                found = properties_in(store, distinct_id, space=space)
                expected = self.profiles.get((space, distinct_id))
                assert (None if found is None else reference.tagged_properties(found)) == expected

    @invariant()
    def receipts_say_what_the_model_ignored(self):
        for submission, expected in self.expected_ignored:
            assert submission.outcome == submission.request_id
            assert sorted(ignored_in(self.backend.store, submission)) == expected
        self.expected_ignored.clear()


# Making a failing example smaller takes five minutes; `test_ingest_races` has the small ones.
PHASES = [phase for phase in Phase if phase not in (Phase.shrink, Phase.explain)]


@pytest.mark.parametrize("name", BACKENDS)
def test_keeps_to_the_model_with_two_writers_and_restarts(name):
    machine = type(f"TwoWritersOn{name.title()}", (TwoWriters,), {"backend_name": name})
    run_state_machine_as_test(machine, settings=settings(max_examples=25, stateful_step_count=12, phases=PHASES))
