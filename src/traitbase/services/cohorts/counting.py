"""Asking who is in: previews of rules, counts and members of stored cohorts, what an edit would change, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from traitbase.domain.cohorts import CohortKind
from traitbase.domain.errors import Fault, InvalidInput, NotFound, Refused
from traitbase.domain.rules.describing import describe
from traitbase.domain.rules.evaluating import is_member
from traitbase.domain.rules.explaining import ExplainedGroup, explain
from traitbase.domain.rules.fields import Field
from traitbase.domain.rules.moments import Moment
from traitbase.domain.rules.operators import Operator
from traitbase.domain.rules.plan import Plan
from traitbase.domain.rules.resolving import Catalogue, resolve
from traitbase.domain.rules.tree import Combinator, Group, Rule
from traitbase.domain.spaces import Space, zone_of
from traitbase.services.cohorts.catalogues import catalogue_of
from traitbase.services.cohorts.people import person_of
from traitbase.services.cohorts.ports import CohortEngine, CohortView, Difference
from traitbase.services.cohorts.stored import get_cohort, unknown_cohort
from traitbase.services.ports import CohortRow, Store
from traitbase.services.profiles import ProfileView, view_of

_NOTED_EVERY_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Counted:
    """How many are in, of how many profiles, as of when (microseconds since 1970 UTC).

    `sample` are the first of them in order of distinct_id, `sentence` is what a rule says that was looked at.
    """

    count: int
    total: int
    as_of_us: int
    sample: tuple[ProfileView, ...] = ()
    warnings: tuple[Fault, ...] = ()
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Members:
    """Some members in order of distinct_id, and the id from behind which to go on (None: that was all)."""

    profiles: tuple[ProfileView, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class Explained:
    """Whether somebody is in, as of when, and why. `tree` None: it is a static cohort."""

    distinct_id: str
    is_member: bool
    as_of_us: int
    tree: ExplainedGroup | None


@dataclass(frozen=True, slots=True)
class Asking:
    """The engine and the store that are asked."""

    store: Store
    engine: CohortEngine

    def preview(self, space: Space, tree: Group, *, now_us: int, sample: int, path: str = "filter") -> Counted:
        """Return who is in by a rule that is not stored. Raises InvalidInput naming every fault of the rule."""
        with self.engine.open_view(space) as view:
            plan = resolve(tree, view.catalogue, view.moment_at(now_us), path=path)
            names = {cohort_id: known.name for cohort_id, known in view.catalogue.cohorts.items()}
            return replace(_counted(view, plan, now_us, sample), sentence=describe(tree, names))

    def members_of_rule(
        self, space: Space, tree: Group, *, now_us: int, after: str, limit: int, path: str = "filter"
    ) -> Members:
        """Return a page of those that are in by a rule that is not stored."""
        with self.engine.open_view(space) as view:
            plan = resolve(tree, view.catalogue, view.moment_at(now_us), path=path)
            return _members(view, plan, after, limit)

    def count(self, space: Space, cohort_id: str, *, now_us: int) -> Counted:
        """Return how many are in a cohort, and note it.

        Raises NotFound; Refused if it cannot be computed, saying why and what its last count was.
        """
        row = get_cohort(self.store, space, cohort_id)
        with _telling_of_last_count(row, now_us), self._opened(space, row, now_us) as (view, plan):
            counted = _counted(view, plan, now_us, 0)
        self._note(space, row, counted)
        return counted

    def count_as_of(self, space: Space, cohort_id: str, *, at_us: int) -> Counted:
        """Return how many would be in a cohort if it were another time, of the profiles as they are now."""
        row = get_cohort(self.store, space, cohort_id)
        with self._opened(space, row, at_us) as (view, plan):
            return _counted(view, plan, at_us, 0)

    def members(self, space: Space, cohort_id: str, *, now_us: int, after: str, limit: int) -> Members:
        """Return a page of a cohort's members, as of now. Raises as `count` does."""
        row = get_cohort(self.store, space, cohort_id)
        with _telling_of_last_count(row, now_us), self._opened(space, row, now_us) as (view, plan):
            return _members(view, plan, after, limit)

    @contextmanager
    def all_members(self, space: Space, cohort_id: str, *, now_us: int) -> Iterator[tuple[CohortView, Plan]]:
        """Hold a cohort as it is now, for reading all of it. Raises as `count` does."""
        row = get_cohort(self.store, space, cohort_id)
        with _telling_of_last_count(row, now_us), self._opened(space, row, now_us) as opened:
            yield opened

    def compare(self, space: Space, cohort_id: str, tree: Group, *, now_us: int, sample: int) -> Difference:
        """Return who would come in and go out if a cohort had another rule. Raises InvalidInput for a rule at fault."""
        row = get_cohort(self.store, space, cohort_id)
        with self._opened(space, row, now_us) as (view, before):
            after = resolve(tree, view.catalogue, view.moment_at(now_us), path="filter", cohort_id=cohort_id)
            return view.compare(before, after, sample=sample)

    def explain(self, space: Space, cohort_id: str, distinct_id: str, *, now_us: int) -> Explained:
        """Return whether somebody is in a cohort, and why. Raises NotFound for a cohort or profile that is not there.

        From the profile itself, by the reference: whatever the engine says can be checked with it.
        """
        row = get_cohort(self.store, space, cohort_id)
        with self.store.open_snapshot(space) as snapshot:
            found = snapshot.find_profiles([distinct_id])
            if found and found[0].alias_of is not None:
                found = snapshot.find_profiles([found[0].alias_of])
            if not found:
                raise NotFound("there is no profile with this distinct_id", code="profile_not_found")
            catalogue = catalogue_of(snapshot.get_definitions(), snapshot.list_cohorts())
            plan = _plan_of(row, catalogue, Moment(now_us, zone_of(snapshot.get_workspace())))
            in_static = {each for each in plan.static_cohorts if snapshot.members_among(each, [found[0].distinct_id])}
        person = person_of(found[0], in_static)
        tree = explain(plan, person) if row.kind is CohortKind.DYNAMIC else None
        return Explained(person.distinct_id, is_member(plan, person), now_us, tree)

    @contextmanager
    def _opened(self, space: Space, row: CohortRow, now_us: int) -> Iterator[tuple[CohortView, Plan]]:
        with self.engine.open_view(space) as view:
            yield view, _plan_of(row, view.catalogue, view.moment_at(now_us))

    def _note(self, space: Space, row: CohortRow, counted: Counted) -> None:
        last_us = row.last_counted_at_us
        if row.last_count == counted.count and last_us is not None and counted.as_of_us - last_us < _NOTED_EVERY_US:
            return
        try:
            self.store.note_count(space, row.cohort_id, count=counted.count, at_us=counted.as_of_us)
        except Refused:
            return  # the answer is right, whether it can be noted or not


def _plan_of(row: CohortRow, catalogue: Catalogue, moment: Moment) -> Plan:
    """Return the plan of a stored cohort at a moment."""
    known = catalogue.cohorts.get(row.cohort_id)
    if known is None:
        raise unknown_cohort(row.cohort_id)  # it was deleted meanwhile
    own_id = None if known.tree is None else row.cohort_id
    tree = known.tree or Group(Combinator.AND, (Rule(Field.COHORT.value, Operator.IN, [row.cohort_id]),))
    try:
        return resolve(tree, catalogue, moment, cohort_id=own_id)
    except InvalidInput as error:
        message = f"the cohort “{row.name}” cannot be computed: {error.message}"
        raise NotComputable(message, faults=error.faults) from error


class NotComputable(InvalidInput):
    """A stored rule does not fit what there is any more, such as a property that has another type now."""

    def __init__(self, message: str, *, faults: tuple[Fault, ...]) -> None:
        super().__init__(message, faults=faults, code="cohort_not_computable")


@contextmanager
def _telling_of_last_count(row: CohortRow, now_us: int) -> Iterator[None]:
    """Say with every reason why a cohort cannot be computed how old its last count is."""
    try:
        yield
    except (Refused, NotComputable) as error:
        if row.last_count is None or row.last_counted_at_us is None:
            known = "it was never counted before"
        else:
            seconds = max(now_us - row.last_counted_at_us, 0) / 1_000_000
            known = f"{row.last_count:,} were in when it was last counted, {_age(seconds)} ago"
        error.message = f"{error.message}; {known}"
        raise


def _age(seconds: float) -> str:
    for size, word in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{int(seconds // size):,} {word}"
    return f"{int(seconds)} seconds"


def _counted(view: CohortView, plan: Plan, now_us: int, sample: int) -> Counted:
    found = _profiles(view, view.members(plan, limit=sample)) if sample else ()
    return Counted(view.count(plan), view.total(), now_us, found, plan.warnings)


def _members(view: CohortView, plan: Plan, after: str, limit: int) -> Members:
    ids = view.members(plan, after=after, limit=limit + 1)
    more = ids[limit - 1] if len(ids) > limit else None
    return Members(_profiles(view, ids[:limit]), more)


def _profiles(view: CohortView, distinct_ids: Sequence[str]) -> tuple[ProfileView, ...]:
    """Return the profiles of ids that are in order, as they are at the view's moment."""
    found = {row.distinct_id: row for row in view.snapshot.find_profiles(distinct_ids)}
    return tuple(view_of(found[each]) for each in distinct_ids)
