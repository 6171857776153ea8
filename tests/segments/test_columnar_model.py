"""Random operations, merges, deletes, retypes, restarts, crashes, counts: the copy answers as the stored profiles do.

Two engines are asked: one with a file, which is closed, killed, damaged and replaced; and one in memory beside it,
which is another process for all it knows.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ingest.submitting import asked, ingest_on, sent
from segments.populations import Maker
from store.backends import LIVE, NORTH, TEST, SqliteBackend
from traitbase.domain.cohorts import CohortKind, MemberMode
from traitbase.domain.edits import Create, Erase, Merge
from traitbase.domain.errors import InvalidInput, TraitbaseError
from traitbase.domain.profile_bodies import AttributeChanges
from traitbase.domain.rules.resolving import resolve
from traitbase.domain.rules.tree import parse_tree
from traitbase.domain.spaces import Space
from traitbase.domain.values import Kind
from traitbase.segments.columnar import ColumnarEngine
from traitbase.segments.copy import Copy, Limits
from traitbase.segments.scanning import ScanningEngine
from traitbase.services.ingest import Submission
from traitbase.services.ports import CohortRow
from traitbase.services.redefining import Redefinition, redefine
from traitbase.services.retyping import Asked

IDS = ["a", "b", "c", "d", "e", "ü"]
NAMES = ["text", "number", "flag", "day", "list", "text/2~"]
STATIC = ("s1", "s2")
LIMITS = Limits(threads=1)

ids = st.sampled_from(IDS)
seeds = st.integers(0, 2**32)
spaces = st.sampled_from([LIVE, LIVE, TEST])


def have(name: str) -> dict[str, object]:
    return {"combinator": "and", "rules": [{"field": name, "operator": "notNull"}]}


def an_update(maker: Maker, space: Space, distinct_id: str) -> Submission:
    kinds = dict(zip(NAMES, [Kind.STRING, Kind.NUMBER, Kind.BOOLEAN, Kind.DATE, Kind.LIST, Kind.STRING], strict=True))
    chosen = maker.random.sample(NAMES, maker.random.randint(1, 3))
    values = {name: maker.value(kinds[name] if maker.chance(80) else Kind.DATE) for name in chosen}
    action = {"$set": values} if maker.chance(80) else {"$unset": chosen}
    return sent((distinct_id, action), space=space, at_us=maker.random.randrange(2**50))


class PowerCut(Exception):
    """Ends what is being done in the middle."""


class Machine(RuleBasedStateMachine):
    """One store, two engines, and the reference."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = contextlib.ExitStack()
        self.folder = Path(self.opened.enter_context(tempfile.TemporaryDirectory()))
        self.backend = SqliteBackend(self.folder)
        self.opened.callback(self.backend.close)
        self.store = self.backend.store
        self.store.add_workspace(NORTH)
        self.ingest = ingest_on(self.store)
        self.opened.callback(self.ingest.close)
        self.told: list[str] = []
        self.engine = self.new_engine(self.folder)
        self.other = self.new_engine(None)
        self.reference = ScanningEngine(self.store)
        for cohort_id in STATIC:
            for space in (LIVE, TEST):
                row = CohortRow(cohort_id, cohort_id, CohortKind.STATIC, None, None, 1, 1, 1)
                self.store.add_cohort(space, row, check=lambda _: None)

    def new_engine(self, folder: Path | None) -> ColumnarEngine:
        return ColumnarEngine(self.store, folder, LIMITS, tell=lambda event, **_: self.told.append(event))

    def teardown(self) -> None:
        self.engine.close()
        self.other.close()
        self.opened.close()

    # --- what happens to profiles ---

    @rule(space=spaces, distinct_id=ids, seed=seeds)
    def update(self, space, distinct_id, seed):
        self.ingest.run([an_update(Maker(Random(seed)), space, distinct_id)], wait_seconds=5)

    @rule(space=spaces, some=st.lists(ids, min_size=2, max_size=5), seed=seeds)
    def do_several_at_once(self, space, some, seed):
        maker = Maker(Random(seed))
        submissions = [an_update(maker, space, distinct_id) for distinct_id in some]
        edit = maker.random.choice([Create(some[0], AttributeChanges(name="Cy"), None), Merge(some[0], some[-1])])
        if maker.chance(50):
            submissions.insert(maker.random.randrange(len(some)), asked(edit, space=space))
        self.ingest.run(submissions, wait_seconds=5)

    @rule(space=spaces, distinct_id=ids, name=st.sampled_from(["Ann", "Bo"]))
    def create(self, space, distinct_id, name):
        changes = AttributeChanges(name=name, channel={"sms": "+919879012345"})
        self.ingest.run([asked(Create(distinct_id, changes, None), space=space)], wait_seconds=5)

    @rule(space=spaces, source=ids, into=ids)
    def merge(self, space, source, into):
        self.ingest.run([asked(Merge(source, into), space=space)], wait_seconds=5)

    @rule(space=spaces, distinct_ids=st.lists(ids, min_size=1, max_size=3, unique=True))
    def erase(self, space, distinct_ids):
        self.ingest.run([asked(Erase(tuple(distinct_ids)), space=space)], wait_seconds=5)

    # Dates are texts as they are written: such a retype changes no document, but every value.
    @rule(space=spaces, name=st.sampled_from(["day", "day", "text", *NAMES]), kind=st.sampled_from(Kind), seed=seeds)
    def retype(self, space, name, kind, seed):
        asked_for = Asked(f"retype {len(self.told)} {name}", 5, "key", keeps_history=False)
        with contextlib.suppress(TraitbaseError):  # there may be no such property yet
            redefine(self.store, space, name, Redefinition(kind=kind), asked=asked_for, dry_run=False)
        self.ingest = ingest_on(self.store)
        self.count(space, seed)

    @rule(space=spaces, cohort_id=st.sampled_from(STATIC), mode=st.sampled_from(MemberMode), some=st.lists(ids))
    def change_members(self, space, cohort_id, mode, some):
        self.store.change_members(space, cohort_id, mode, some)

    @rule(keep=st.integers(0, 10))
    def trim_the_feed(self, keep):
        self.store.trim_feed(keep=keep)

    # --- what happens to the copy ---

    @rule()
    def restart(self):
        self.engine.close()
        self.engine = self.new_engine(self.folder)

    @rule()
    def kill(self):
        """Go on with the files as they are in the middle of everything, which is what a killed process leaves."""
        with tempfile.TemporaryDirectory() as elsewhere:
            for file in self.folder.glob("cohorts.*.duckdb*"):
                shutil.copy(file, elsewhere)
            self.engine.close()
            for file in self.folder.glob("cohorts.*.duckdb*"):
                file.unlink()
            for file in Path(elsewhere).iterdir():
                shutil.copy(file, self.folder)
        self.engine = self.new_engine(self.folder)

    @rule(space=spaces, method=st.sampled_from(["insert", "delete", "table_of", "put_members", "erase", "settle"]))
    def cut_the_power_while_catching_up(self, space, method):
        original = getattr(Copy, method)

        def cut(*_args: object, **_others: object) -> None:
            raise PowerCut

        setattr(Copy, method, cut)
        try:
            with contextlib.suppress(PowerCut), self.engine.open_view(space):
                pass
        finally:
            setattr(Copy, method, original)

    @rule(seed=seeds)
    def damage(self, seed):
        """Write nonsense into the file: it is noticed when it is opened, at the latest."""
        self.engine.close()
        random = Random(seed)
        for file in self.folder.glob("cohorts.*.duckdb"):
            content = bytearray(file.read_bytes())
            if random.random() < 0.5:
                content[: random.randrange(1, 8192)] = b"\0" * 4096
            else:
                del content[random.randrange(len(content)) :]
            file.write_bytes(content)
        self.engine = self.new_engine(self.folder)

    @rule()
    def clear_traces(self):
        assert self.engine.clear_traces() is True

    # --- what is asked ---

    @rule(space=spaces, seed=seeds)
    def count(self, space, seed):
        maker = Maker(Random(seed))
        sent = [maker.tree(STATIC) for _ in range(3)] + [have(name) for name in NAMES]
        trees = [parse_tree(each, may_be_empty=False) for each in sent]
        moment_us = max(maker.instant_us(), 0)
        for engine in (self.engine, self.other):
            self.compare(engine, space, trees, moment_us)

    def compare(self, engine: ColumnarEngine, space: Space, trees, now_us: int) -> None:
        with engine.open_view(space) as view, self.reference.open_view(space) as expected:
            assert view.total() == expected.total()
            plans = []
            for tree in trees:
                with contextlib.suppress(InvalidInput):  # a retype made it one that cannot be asked
                    plans.append(resolve(tree, view.catalogue, view.moment_at(now_us)))
            for plan in plans:
                members = expected.members(plan, limit=100)
                assert view.members(plan, limit=100) == members
                assert view.count(plan) == len(members)
                assert [each for step in view.all_members(plan) for each in step] == members
            if len(plans) > 1:
                assert view.compare(*plans[:2], sample=2) == expected.compare(*plans[:2], sample=2)

    @initialize(seed=seeds)
    def begin(self, seed):
        for number, distinct_id in enumerate(IDS):
            self.update(LIVE, distinct_id, seed + number)


@pytest.mark.slow
def test_the_copy_answers_as_the_stored_profiles_do():
    found = settings(max_examples=80, stateful_step_count=25, phases=[Phase.explicit, Phase.generate, Phase.shrink])
    run_state_machine_as_test(Machine, settings=found)
