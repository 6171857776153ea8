"""Random edits and updates through two writers and restarts, compared with a naive model after every step.

The model knows people, each with its ids (the first is its own, the others are aliases), and no rows or revisions.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ingest.submitting import asked, exhaust, ingest_on, sent
from store.backends import BACKENDS, LIVE, TEST, fresh
from traitbase.domain.attributes import Token
from traitbase.domain.edits import Change, Create, DeleteChannel, Erase, Merge, PatchChannel, ids_of
from traitbase.domain.errors import Conflict, TraitbaseError
from traitbase.domain.profile_bodies import AttributeChanges, ChannelDeletion
from traitbase.domain.updates import set_update
from traitbase.services.ingest import Group
from traitbase.services.ports import ProfileOrder
from traitbase.services.profiles import find_profile, list_profiles

IDS = ["a", "b", "c", "d", "e"]
SPACES = [LIVE, TEST]
ids = st.sampled_from(IDS)
names = st.sampled_from(["Ann", "Bo", None])
tokens = st.lists(st.sampled_from(["t1", "t2", "t3"]), min_size=1, max_size=2, unique=True)
properties = st.fixed_dictionaries(
    {}, optional={"plan": st.sampled_from(["free", "pro"]), "n": st.integers(0, 3), "tags": st.just(["x"])}
)


@dataclass
class Person:
    """Somebody: properties, a name, push tokens, and the ids that lead there, the own one first."""

    ids: list[str]
    properties: dict = field(default_factory=dict)
    name: str | None = None
    push: list[str] = field(default_factory=list)


class World:
    """What should be stored in one space."""

    def __init__(self):
        self.people: list[Person] = []

    def find(self, distinct_id) -> Person | None:
        return next((person for person in self.people if distinct_id in person.ids), None)

    def update(self, distinct_id, action):
        person = self.find(distinct_id)
        if person is None:
            person = Person([distinct_id])
            self.people.append(person)
        held = person.properties
        held.update(action.get("$set", {}))
        for name, number in action.get("$add", {}).items():
            held[name] = held.get(name, 0) + number
        for name, element in action.get("$append", {}).items():
            held[name] = [*held.get(name, []), *([] if element in held.get(name, []) else [element])]

    def edit(self, edit) -> bool:  # noqa: C901, PLR0912  # one case an edit
        """Do it, and tell whether it could be done."""
        person = self.find(ids_of(edit)[0])
        match edit:
            case Create(distinct_id, changes, update):
                if person is not None:
                    return False
                made = Person([distinct_id], name=changes.name)
                made.properties.update(update.operations[0][1] if update else {})
                self.people.append(made)
            case Change(distinct_id, new_id, changes, _):
                other = None if new_id is None else self.find(new_id)
                if person is None or (other is not None and other is not person and new_id != distinct_id):
                    return False
                if new_id not in (None, distinct_id):
                    self.rename(person, new_id)
                person.name = changes.name
            case PatchChannel(_, channel):
                if person is None:
                    return False
                person.push += [token.token for token in channel["push"] if token.token not in person.push]
            case DeleteChannel(_, deletion):
                gone = [token for token in person.push if token in deletion.tokens["push"]] if person else []
                if not gone:
                    return False
                person.push = [token for token in person.push if token not in gone]
            case Merge(_, target_id):
                target = self.find(target_id)
                if person is None or target is person:
                    return False
                if target is None:
                    self.rename(person, target_id)
                else:
                    self.merge(person, target)
            case Erase(distinct_ids):
                gone = [person for person in map(self.find, distinct_ids) if person is not None]
                if not gone:
                    return False
                self.people = [person for person in self.people if person not in gone]
        return True

    def rename(self, person, new_id):
        person.ids = [new_id, *(each for each in person.ids if each != new_id)]

    def merge(self, source, target):
        lists = [*target.properties.get("tags", []), *source.properties.get("tags", [])]
        target.properties = {**source.properties, **target.properties}
        if lists:
            target.properties["tags"] = list(dict.fromkeys(lists))
        target.name = target.name if target.name is not None else source.name
        target.push += [token for token in source.push if token not in target.push]
        target.ids += source.ids
        self.people.remove(source)


creations = st.builds(
    lambda distinct_id, name, held: Create(
        distinct_id, AttributeChanges(name=name), set_update("-", held) if held else None
    ),
    ids,
    names,
    properties,
)
changes = st.builds(
    lambda distinct_id, new_id, name: Change(distinct_id, new_id, AttributeChanges(name=name), None),
    ids,
    st.none() | ids,
    names,
)
patches = st.builds(
    lambda distinct_id, held: PatchChannel(distinct_id, {"push": [Token(token) for token in held]}), ids, tokens
)
deletions = st.builds(
    lambda distinct_id, held: DeleteChannel(distinct_id, ChannelDeletion((), {"push": tuple(held)})), ids, tokens
)
merges = st.builds(Merge, ids, ids)
erasures = st.lists(ids, min_size=1, max_size=2, unique=True).map(lambda gone: Erase(tuple(gone)))
edits = st.one_of(creations, changes, patches, deletions, merges, merges, erasures)
updates = st.tuples(
    ids,
    st.one_of(
        properties.filter(bool).map(lambda held: {"$set": held}),
        st.integers(1, 3).map(lambda number: {"$add": {"n": number}}),
        st.sampled_from("xyz").map(lambda element: {"$append": {"tags": element}}),
    ),
)
requests = st.one_of(edits, updates)


class TwoWritersOfPeople(RuleBasedStateMachine):
    backend_name = "memory"

    @initialize()
    def start(self):
        self.closing = contextlib.ExitStack()
        self.backend = self.closing.enter_context(fresh(self.backend_name))
        self.ingests = [ingest_on(self.backend.store), ingest_on(self.backend.reopen())]
        self.worlds = {space: World() for space in SPACES}
        self.erased = {space: [] for space in SPACES}

    def teardown(self):
        for ingest in self.ingests:
            ingest.close()
        self.closing.close()

    def submission(self, request, space):
        return sent(request, space=space) if isinstance(request, tuple) else asked(request, space=space)

    def expect(self, submission, request):
        """Do in the model what was asked, and compare the outcome."""
        world = self.worlds[submission.space]
        if isinstance(request, tuple):
            world.update(*request)
            done = True
        else:
            if isinstance(request, Erase):
                self.remember_erased(world, request, submission)
            done = world.edit(request)
        if done:
            assert submission.outcome == submission.request_id
        else:
            assert isinstance(submission.outcome, TraitbaseError), submission.outcome

    def remember_erased(self, world, request, submission):
        for each in request.distinct_ids:
            person = world.find(each)
            if person is not None:
                self.erased[submission.space].append((person.ids, submission.request_id))

    @rule(writer=st.sampled_from([0, 1]), request=requests, space=st.sampled_from(SPACES))
    def send(self, writer, request, space):
        submission = self.submission(request, space)
        self.ingests[writer].run([submission], wait_seconds=10)
        self.expect(submission, request)

    @rule(writer=st.sampled_from([0, 1]), group=st.lists(requests, min_size=2, max_size=5))
    def send_a_group(self, writer, group):
        submissions = [self.submission(request, LIVE) for request in group]
        self.ingests[writer].run(submissions, wait_seconds=10)
        for submission, request in zip(submissions, group, strict=True):
            self.expect(submission, request)

    @rule(writer=st.sampled_from([0, 1]), early=requests, late=requests)
    def send_with_another_between(self, writer, early, late):
        """One prepares, the other writes, the first writes: answered in that order, so done in that order."""
        first, second = self.submission(early, LIVE), self.submission(late, LIVE)
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
        self.expect(first, early)
        self.expect(second, late)

    @rule(writer=st.sampled_from([0, 1]), first=requests, second=requests)
    def prepare_on_top(self, writer, first, second):
        """The second group is prepared before the first is written, as the server does under load."""
        one, two = self.submission(first, LIVE), self.submission(second, LIVE)
        ingest = self.ingests[writer]
        groups = [Group([one]), Group([two])]
        for group in groups:
            exhaust(ingest.prepare(group))
        for group in groups:
            try:
                ingest.write(group, wait_seconds=10)
            except Conflict:
                ingest.abandon(group)
                ingest.run(group.submissions, wait_seconds=10)
            else:
                ingest.settle(group)
        self.expect(one, first)
        self.expect(two, second)

    @rule(writer=st.sampled_from([0, 1]))
    def restart(self, writer):
        self.ingests[writer].close()
        self.ingests[writer] = ingest_on(self.backend.reopen())

    @invariant()
    def every_id_leads_to_its_person(self):
        for space in SPACES:
            for distinct_id in IDS:
                person = self.worlds[space].find(distinct_id)
                found = find_profile(self.backend.store, space, distinct_id)
                if person is None:
                    assert found is None
                    continue
                push = [token.token for token in found.attributes.channel.get("push", [])]
                assert (found.distinct_id, found.properties, found.attributes.name) == (
                    person.ids[0],
                    person.properties,
                    person.name,
                )
                assert (sorted(push), sorted(found.attributes.aliases)) == (sorted(person.push), sorted(person.ids[1:]))

    @invariant()
    def a_listing_has_everybody_once(self):
        for space in SPACES:
            for order in ProfileOrder:
                page = list_profiles(self.backend.store, space, order, after=None, limit=100)
                assert page.after is None
                assert sorted(profile.distinct_id for profile in page.profiles) == sorted(
                    person.ids[0] for person in self.worlds[space].people
                )

    @invariant()
    def properties_know_how_many_have_them(self):
        for space in SPACES:
            _, rows = self.backend.store.get_definitions(space)
            people = self.worlds[space].people
            for row in rows:
                assert row.profiles == sum(row.name in person.properties for person in people)

    @invariant()
    def of_the_erased_no_change_is_left(self):
        for space in SPACES:
            for ids_erased, before in self.erased[space]:
                assert [each for each in self.backend.changes_naming(space, ids_erased) if each < before] == []


# Making a failing example smaller takes five minutes; `test_edits` has the small ones.
PHASES = [phase for phase in Phase if phase not in (Phase.shrink, Phase.explain)]


@pytest.mark.parametrize("name", BACKENDS)
def test_keeps_to_the_model_of_people_with_two_writers_and_restarts(name):
    machine = type(f"PeopleOn{name.title()}", (TwoWritersOfPeople,), {"backend_name": name})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=15, phases=PHASES))
