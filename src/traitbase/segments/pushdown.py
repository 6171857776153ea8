"""The push-down engine: every question is one query of the profiles where they are, in a snapshot of the store.

It keeps nothing, so there is nothing to catch up and nothing to clear; it takes as long as the database takes to read
the documents of a space.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from sqlglot import exp

from traitbase.domain.errors import NotFound
from traitbase.domain.rules.moments import Moment
from traitbase.domain.rules.plan import Plan
from traitbase.domain.rules.resolving import Catalogue
from traitbase.domain.spaces import Space, zone_of
from traitbase.segments.document_insights import DocumentInsights
from traitbase.segments.documents import DIALECT, DocumentCompiler, is_found_by_value
from traitbase.segments.layout import ID
from traitbase.services.cohorts.catalogues import catalogue_of
from traitbase.services.cohorts.ports import READY, Difference, EngineState, Insight
from traitbase.services.ports import Snapshot

_IDS_A_STEP = 10_000


class QueriedSnapshot(Snapshot, Protocol):
    """A snapshot of a store that keeps profiles as `documents` says, and answers queries of them."""

    def ask(self, query: str, values: Sequence[Any], *, seconds: float) -> list[tuple[Any, ...]]:
        """Return the rows of a query. Raises Refused (`cohort_too_slow`) if it takes longer."""

    def indexed_properties(self) -> frozenset[str]:
        """Return the names of the properties that have an index of their own."""

    def ask_in_steps(
        self, query: str, values: Sequence[Any], *, step: int, seconds: float
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a query, so many at a time."""


class QueriedStore(Protocol):
    """A store that opens such snapshots."""

    def open_snapshot(self, space: Space) -> AbstractContextManager[QueriedSnapshot]:
        """Hold a space as it is at this moment."""


class PushdownEngine:
    """The cohort engine port on a store that answers queries. Safe to use from several threads."""

    def __init__(self, store: QueriedStore, *, answer_seconds: float) -> None:
        self._store = store
        self._answer_seconds = answer_seconds

    def start(self) -> None:
        """Do nothing: there is nothing to keep up."""

    @contextmanager
    def open_view(self, space: Space) -> Iterator[PushdownView]:
        """Open a view of a space as it is now. See the port."""
        with self._store.open_snapshot(space) as snapshot:
            yield PushdownView(snapshot, space, self._answer_seconds)

    def state(self) -> EngineState:
        """Tell that it is ready."""
        return READY

    def clear_traces(self) -> bool:
        """Tell that it has none."""
        return True

    def close(self) -> None:
        """Do nothing: the store is whoever's opened it."""


class PushdownView:
    """See the port for what each method promises."""

    def __init__(self, snapshot: QueriedSnapshot, space: Space, answer_seconds: float) -> None:
        self.snapshot: Snapshot = snapshot
        self._queried = snapshot
        self._space = space
        self._seconds = answer_seconds
        self._total: int | None = None
        self._indexed = snapshot.indexed_properties()
        self._zone = zone_of(snapshot.get_workspace())
        self.catalogue: Catalogue = catalogue_of(snapshot.get_definitions(), snapshot.list_cohorts())

    def moment_at(self, now_us: int) -> Moment:
        """Return a moment in the workspace's time zone."""
        return Moment(now_us, self._zone)

    def count(self, plan: Plan) -> int:
        """Return how many are in.

        All there are, is counted on the way, as who asks for the one mostly wants both; but not where an index leads to
        those that are in: then nobody else is looked at.
        """
        compiler = self._compiler()
        if self._indexed and is_found_by_value(plan.root, self._indexed):
            query = compiler.filtered(plan).sql(DIALECT)
            return int(self._ask(f"SELECT count(*) FROM ({query}) AS found", compiler.parameters)[0][0])
        query = compiler.source({"is_in": plan}).sql(DIALECT)
        counted = f"SELECT count(*) FILTER (WHERE is_in), count(*) FROM ({query}) AS asked"
        count, self._total = self._ask(counted, compiler.parameters)[0]
        return int(count)

    def total(self) -> int:
        """Return how many profiles there are."""
        if self._total is None:
            self._total = self.snapshot.count_profiles()
        return self._total

    def members(self, plan: Plan, *, after: str = "", limit: int) -> list[str]:
        """Return up to `limit` distinct_ids of members behind the id `after`, in order of code points."""
        compiler = self._compiler()
        query = _ids(compiler.filtered(plan))
        if after:
            behind = exp.GT(this=exp.column(ID), expression=compiler.parameter(after, "TEXT"))
            query = query.where(behind, copy=False)
        return [row[0] for row in self._rows(query.limit(limit, copy=False), compiler)]

    def all_members(self, plan: Plan) -> Iterator[Sequence[str]]:
        """Yield the distinct_ids of all members in order of code points, some thousand at a time."""
        compiler = self._compiler()
        query = _ids(compiler.filtered(plan)).sql(DIALECT)
        steps = self._queried.ask_in_steps(query, compiler.parameters, step=_IDS_A_STEP, seconds=self._seconds)
        for rows in steps:
            yield [row[0] for row in rows]

    def compare(self, before: Plan, after: Plan, *, sample: int) -> Difference:
        """Return who is in by one plan and not by the other, with up to `sample` ids of each."""
        compiler = self._compiler()
        query = compiler.source({"was_in": before, "is_in": after}).sql(DIALECT)

        def of_both(wanted: str, condition: str = "") -> list[tuple[Any, ...]]:
            return self._ask(f"SELECT {wanted} FROM ({query}) AS compared {condition}", compiler.parameters)

        enters, leaves = "NOT was_in AND is_in", "was_in AND NOT is_in"
        enter, leave = of_both(f"count(*) FILTER (WHERE {enters}), count(*) FILTER (WHERE {leaves})")[0]
        entering, leaving = (
            tuple(row[0] for row in of_both(ID, f"WHERE {condition} ORDER BY {ID} LIMIT {sample:d}"))
            for condition in (enters, leaves)
        )
        return Difference(enter, leave, entering, leaving)

    def insight(self, name: str, *, top: int) -> Insight:
        """Return what the values of a property are like."""
        definition = self.catalogue.properties.get(name)
        if definition is None:
            raise NotFound(f"there is no property {name!r} here", code="property_not_found")
        return DocumentInsights(self._space, self._zone, self._ask).of(name, definition.kind, top=top)

    def _compiler(self) -> DocumentCompiler:
        return DocumentCompiler(self._space)

    def _rows(self, query: exp.Query, compiler: DocumentCompiler) -> list[tuple[Any, ...]]:
        return self._ask(query.sql(DIALECT), compiler.parameters)

    def _ask(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._queried.ask(query, values, seconds=self._seconds)


def _ids(query: exp.Select) -> exp.Select:
    return query.select(exp.column(ID), append=False, copy=False).order_by(exp.column(ID), copy=False)
