"""The columnar engine: every question is one query of the copy, at the moment of the store snapshot beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from sqlglot import exp

from traitbase.domain.definitions import PropertyDefinition
from traitbase.domain.errors import NotFound, Refused
from traitbase.domain.rules.moments import Moment
from traitbase.domain.rules.plan import Plan
from traitbase.domain.rules.resolving import Catalogue
from traitbase.domain.spaces import Space, zone_of
from traitbase.segments.compile import DIALECT, Compiler
from traitbase.segments.copy import Limits
from traitbase.segments.files import Files
from traitbase.segments.insights import Insights
from traitbase.segments.keeping import Keeper, Opened
from traitbase.segments.layout import ID
from traitbase.segments.progress import Tell
from traitbase.services.cohorts.catalogues import catalogue_of
from traitbase.services.cohorts.ports import Difference, EngineState, Insight
from traitbase.services.ports import Snapshot, Store

_IDS_A_STEP = 10_000
_AT_ONCE_ROWS = 200_000


class ColumnarEngine:
    """The cohort engine port on a columnar copy of a store. Safe to use from several threads."""

    def __init__(self, store: Store, folder: Path | None, limits: Limits, *, tell: Tell) -> None:
        """Keep the copy in a folder, or in memory (None, or if another process keeps one there)."""
        files = None if folder is None else Files.claim(folder)
        if folder is not None and files is None:
            tell("cohorts_in_memory", folder=str(folder), message="another process keeps its copy there")
        self._limits = limits
        self._keeper = Keeper(store, files, limits, tell=tell)

    def start(self) -> None:
        """Keep up in the background from now on."""
        self._keeper.start()

    @contextmanager
    def open_view(self, space: Space) -> Iterator[ColumnarView]:
        """Open a view of a space as it is now. See the port."""
        with self._keeper.at_newest(space) as opened:
            yield ColumnarView(opened, self._limits, self._keeper)

    def state(self) -> EngineState:
        """Tell how the engine is."""
        return self._keeper.state()

    def clear_traces(self) -> bool:
        """See to it that nothing of erased profiles can be read from the copy's file."""
        return self._keeper.clear_traces(at_most_rows=_AT_ONCE_ROWS)

    def close(self) -> None:
        """End all work and close the copy."""
        self._keeper.close()


class ColumnarView:
    """See the port for what each method promises."""

    def __init__(self, opened: Opened, limits: Limits, keeper: Keeper) -> None:
        self._opened = opened
        self._limits = limits
        self._keeper = keeper
        self.snapshot: Snapshot = opened.snapshot
        self.catalogue: Catalogue = catalogue_of(opened.definitions, opened.snapshot.list_cohorts())
        self._zone = zone_of(opened.snapshot.get_workspace())

    def moment_at(self, now_us: int) -> Moment:
        """Return a moment in the workspace's time zone."""
        return Moment(now_us, self._zone)

    def count(self, plan: Plan) -> int:
        """Return how many are in."""
        compiler = self._compiler()
        query = compiler.filtered(plan).select(exp.Count(this=exp.Star()), append=False, copy=False)
        return int(self._rows(query, compiler.parameters)[0][0])

    def total(self) -> int:
        """Return how many profiles there are."""
        copy, table = self._opened.copy, self._opened.table
        total = copy.counted(table, at=self._opened.position)
        if total is None:
            query = exp.select(exp.Count(this=exp.Star())).from_(table.profiles)
            total = int(self._rows(query, {})[0][0])
            copy.note_count(table, total, at=self._opened.position)
        return total

    def members(self, plan: Plan, *, after: str = "", limit: int) -> list[str]:
        """Return up to `limit` distinct_ids of members behind the id `after`, in order of code points."""
        compiler = self._compiler()
        query = _ids(compiler.filtered(plan))
        if after:
            behind = exp.GT(this=exp.column(ID), expression=compiler.parameter(after, "VARCHAR"))
            query = query.where(behind, copy=False)
        return [row[0] for row in self._rows(query.limit(limit, copy=False), compiler.parameters)]

    def all_members(self, plan: Plan) -> Iterator[Sequence[str]]:
        """Yield the distinct_ids of all members in order of code points, some thousand at a time."""
        compiler = self._compiler()
        with self._answering():
            cursor = self._opened.cursor.execute(_ids(compiler.filtered(plan)).sql(DIALECT), compiler.parameters)
        while True:
            with self._answering():
                rows = cursor.fetchmany(_IDS_A_STEP)
            if not rows:
                return
            yield [row[0] for row in rows]

    def compare(self, before: Plan, after: Plan, *, sample: int) -> Difference:
        """Return who is in by one plan and not by the other, with up to `sample` ids of each."""
        enters, leaves = "NOT was_in AND is_in", "was_in AND NOT is_in"
        counts = self._of_both(before, after, f"count(*) FILTER ({enters}), count(*) FILTER ({leaves})")
        samples = [
            self._of_both(before, after, ID, f"WHERE {condition} ORDER BY {ID} LIMIT {sample:d}")
            for condition in (enters, leaves)
        ]
        entering, leaving = (tuple(row[0] for row in rows) for rows in samples)
        enter, leave = counts[0]
        return Difference(enter, leave, entering, leaving)

    def insight(self, name: str, *, top: int) -> Insight:
        """Return what the values of a property are like."""
        definition: PropertyDefinition | None = self.catalogue.properties.get(name)
        if definition is None:
            raise NotFound(f"there is no property {name!r} here", code="property_not_found")
        return Insights(self._opened.table, self._zone, self._ask).of(name, definition.kind, top=top)

    def _of_both(self, before: Plan, after: Plan, wanted: str, condition: str = "") -> list[tuple[Any, ...]]:
        compiler = self._compiler()
        query = compiler.source({"was_in": before, "is_in": after}).sql(DIALECT)
        return self._ask(f"SELECT {wanted} FROM ({query}) {condition}", compiler.parameters)  # no outside text

    def _compiler(self) -> Compiler:
        return Compiler(self._opened.table)

    def _rows(self, query: exp.Query, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return self._ask(query.sql(DIALECT), parameters)

    def _ask(self, query: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with self._answering():
            return self._opened.cursor.execute(query, parameters).fetchall()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Bound the time of a query, and say what its failure means."""
        seconds = self._limits.answer_seconds
        timer = threading.Timer(seconds, self._opened.cursor.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        except duckdb.InterruptException as error:
            message = f"this takes longer than the {seconds:g} s that an answer may: make the rule simpler"
            raise Refused(message, code="cohort_too_slow") from error
        except duckdb.OutOfMemoryException as error:
            message = (
                "this takes more memory than there is for one answer: name fewer values, or make parts of it cohorts"
            )
            raise Refused(message, code="cohort_too_large") from error
        except (
            duckdb.IOException,
            duckdb.FatalException,
            duckdb.InternalException,
            duckdb.SerializationException,
        ) as error:
            self._keeper.discard(self._opened.copy, type(error).__name__)
            message = "the engine's copy of the profiles was damaged and is made anew; nothing is lost, try again then"
            raise Refused(message, code="cohorts_not_ready") from error
        finally:
            timer.cancel()


def _ids(query: exp.Select) -> exp.Select:
    return query.select(exp.column(ID), append=False, copy=False).order_by(exp.column(ID), copy=False)
