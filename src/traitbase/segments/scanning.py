"""The reference as an engine: asks every profile of a store snapshot in turn. Slow, right, and with nothing to keep.

For stores in memory, and for testing the other engines.
"""

from __future__ import annotations

import decimal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from traitbase.domain.errors import NotFound
from traitbase.domain.rules.evaluating import is_member
from traitbase.domain.rules.fields import Person
from traitbase.domain.rules.moments import Moment
from traitbase.domain.rules.plan import Plan
from traitbase.domain.spaces import Space, zone_of
from traitbase.domain.values import Kind, Number, Scalar, Value, identity_of, instant_of
from traitbase.services.cohorts.catalogues import catalogue_of
from traitbase.services.cohorts.people import person_of
from traitbase.services.cohorts.ports import QUANTILES, READY, Difference, EngineState, Insight, ValueCount
from traitbase.services.ports import Snapshot, Store

_IDS_A_STEP = 1_000
_DIGITS = 100


class ScanningEngine:
    """The cohort engine port on nothing but a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self) -> None:
        """Do nothing: there is nothing to keep up."""

    @contextmanager
    def open_view(self, space: Space) -> Iterator[ScanningView]:
        """Open a view of a space as it is now. See the port."""
        with self._store.open_snapshot(space) as snapshot:
            yield ScanningView(snapshot)

    def state(self) -> EngineState:
        """Tell that there is nothing to wait for."""
        return READY

    def clear_traces(self) -> bool:
        """Tell that there are none."""
        return True

    def close(self) -> None:
        """Do nothing: nothing is kept."""


class ScanningView:
    """See the port for what each method promises."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._zone = zone_of(snapshot.get_workspace())
        self.catalogue = catalogue_of(snapshot.get_definitions(), snapshot.list_cohorts())

    def moment_at(self, now_us: int) -> Moment:
        """Return a moment in the workspace's time zone."""
        return Moment(now_us, self._zone)

    def count(self, plan: Plan) -> int:
        """Return how many are in."""
        return sum(1 for _ in self._members(plan))

    def total(self) -> int:
        """Return how many profiles there are."""
        return self.snapshot.count_profiles()

    def members(self, plan: Plan, *, after: str = "", limit: int) -> list[str]:
        """Return up to `limit` distinct_ids of members behind the id `after`, in order of code points."""
        return sorted(each for each in self._members(plan) if each > after)[:limit]

    def all_members(self, plan: Plan) -> Iterator[Sequence[str]]:
        """Yield the distinct_ids of all members in order of code points, some thousand at a time."""
        found = sorted(self._members(plan))
        for start in range(0, len(found), _IDS_A_STEP):
            yield found[start : start + _IDS_A_STEP]

    def compare(self, before: Plan, after: Plan, *, sample: int) -> Difference:
        """Return who is in by one plan and not by the other, with up to `sample` ids of each."""
        was_in, is_in = set(self._members(before)), set(self._members(after))
        enter, leave = sorted(is_in - was_in), sorted(was_in - is_in)
        return Difference(len(enter), len(leave), tuple(enter[:sample]), tuple(leave[:sample]))

    def insight(self, name: str, *, top: int) -> Insight:
        """Return what the values of a property are like."""
        definition = self.catalogue.properties.get(name)
        if definition is None:
            raise NotFound(f"there is no property {name!r} here", code="property_not_found")
        people = list(self._people(()))
        values = [person.properties[name] for person in people if name in person.properties]
        kind = definition.kind
        counted = Counter(each for value in values for each in self._counted(value, kind))
        most = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:top]
        counts = (len(people), len(values), len(counted))
        found = tuple(ValueCount(value, count) for value, count in most)
        if kind is Kind.LIST:
            sizes = [len(value) for value in values if isinstance(value, list)]
            return Insight(name, kind, *counts, found, sizes=(min(sizes), max(sizes)) if sizes else None)
        if kind not in (Kind.NUMBER, Kind.DATE) or not values:
            return Insight(name, kind, *counts, found)
        ordered = sorted(self._quantity(value) for value in values)
        at = [ordered[max(-(-int(share * 100) * len(ordered) // 100) - 1, 0)] for share in QUANTILES]
        with decimal.localcontext(prec=_DIGITS):  # as many as a sum can have: by itself it keeps 28
            total = sum(ordered) if kind is Kind.NUMBER else None
        return Insight(name, kind, *counts, found, ordered[0], ordered[-1], tuple(at), total)

    def _counted(self, value: Value, kind: Kind) -> list[Scalar]:
        if isinstance(value, list):
            unique = {identity_of(element, self._zone): element for element in value}
            return list(unique.values())
        return [self._quantity(value)] if kind is Kind.DATE else [value]

    def _quantity(self, value: Value) -> Number:
        if isinstance(value, str):
            at = instant_of(value, self._zone)
            assert at is not None, "a Date property holds Dates"
            return at
        assert not isinstance(value, list)
        return value

    def _members(self, plan: Plan) -> Iterator[str]:
        return (person.distinct_id for person in self._people(tuple(plan.static_cohorts)) if is_member(plan, person))

    def _people(self, static_cohorts: Sequence[str]) -> Iterator[Person]:
        lists = {
            cohort_id: {each for step in self.snapshot.read_members(cohort_id) for each in step}
            for cohort_id in static_cohorts
        }
        for rows in self.snapshot.read_profiles():
            for row in rows:
                yield person_of(row, {cohort_id for cohort_id, members in lists.items() if row.distinct_id in members})
