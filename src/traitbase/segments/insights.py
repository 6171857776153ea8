"""What the values of a property are like, asked of the copy."""

from __future__ import annotations

import decimal
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from traitbase.domain.rules.moments import offsets_between
from traitbase.domain.rules.plan import Property
from traitbase.domain.values import Kind, Number, Scalar, to_number
from traitbase.segments import elements
from traitbase.segments.compile import DIALECT, Compiler
from traitbase.segments.elements import MARK
from traitbase.segments.layout import SpaceTable
from traitbase.services.cohorts.ports import QUANTILES, Insight, ValueCount

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # of walls, or of instants written with their Z
_FIRST_US = (datetime(1, 1, 1) - _EPOCH) // timedelta(microseconds=1)  # noqa: DTZ001  # as above
_LAST_US = (datetime(9999, 12, 31, 23, 59, 59, 999_999) - _EPOCH) // timedelta(microseconds=1)  # noqa: DTZ001  # as above
_DIGITS = 100
_DAYS_IN_400_YEARS = 146_097

Ask = Callable[[str, Mapping[str, Any]], list[tuple[Any, ...]]]


class PropertyInsights(ABC):
    """Asks about one property of a space. A subclass says where its values are, and how the engine measures them."""

    @abstractmethod
    def ask(self, query: str, parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""

    @abstractmethod
    def values(self, name: str, kind: Kind) -> tuple[str, Any]:
        """Return the query of every profile's value `v`, NULL for none (of dates, the instant), and its parameters."""

    @abstractmethod
    def of_quantities(
        self, name: str, kind: Kind, counts: tuple[int, int, int], source: str, parameters: Any, top: int
    ) -> Insight:
        """Return what numbers or dates are like."""

    @abstractmethod
    def of_lists(self, name: str, counts: tuple[int, int, int], source: str, parameters: Any, top: int) -> Insight:
        """Return what lists are like."""

    def of(self, name: str, kind: Kind, *, top: int) -> Insight:
        """Return what the property's values are like, with the `top` most frequent ones."""
        source, parameters = self.values(name, kind)
        counted = "count(*), count(v), count(DISTINCT v)" if kind is not Kind.LIST else "count(*), count(v), 0"
        profiles, having, distinct = self.ask(f"SELECT {counted} FROM ({source}) AS a", parameters)[0]
        counts = (profiles, having, distinct)
        match kind:
            case Kind.LIST:
                return self.of_lists(name, counts, source, parameters, top)
            case Kind.NUMBER | Kind.DATE:
                return self.of_quantities(name, kind, counts, source, parameters, top)
            case Kind.STRING | Kind.BOOLEAN:
                return Insight(name, kind, *counts, self.top(source, parameters, top))

    def top(self, source: str, parameters: Any, top: int) -> tuple[ValueCount, ...]:
        """Return the most frequent values of a source."""
        most = f"GROUP BY v ORDER BY n DESC, v LIMIT {top:d}"
        counted = f"SELECT v, count(*) AS n FROM ({source}) AS a WHERE v IS NOT NULL {most}"
        return tuple(ValueCount(plain(value), count) for value, count in self.ask(counted, parameters))


@dataclass(frozen=True, slots=True)
class Insights(PropertyInsights):
    """Asks about one property of a space. `zone` is the one in which its dates without an offset are read."""

    table: SpaceTable
    zone: tzinfo
    query: Ask

    def ask(self, query: str, parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.query(query, parameters)

    def values(self, name: str, kind: Kind) -> tuple[str, dict[str, Any]]:
        """Return the query of every profile's value `v`, NULL for none; of dates, the instant."""
        compiler = Compiler(self.table)
        values = [value.sql(DIALECT) for value in compiler.values_of(Property(name, kind))]
        if kind is not Kind.DATE:
            return f"SELECT {values[0]} AS v FROM {self.table.profiles}", compiler.parameters
        instant, wall = values
        query = f"SELECT min({wall}), max({wall}) FROM {self.table.profiles}"
        first, last = self.ask(query, compiler.parameters)[0]
        source = f"SELECT {instant} AS i, {wall} AS w FROM {self.table.profiles}"
        if first is None:
            return f"SELECT i AS v FROM ({source})", compiler.parameters
        starts, offsets = zip(*offsets_between(first, last, self.zone), strict=True)
        segments = "SELECT unnest(CAST($starts AS BIGINT[])) AS start, unnest(CAST($offsets AS BIGINT[])) AS offset_us"
        joined = f"SELECT coalesce(i, w - offset_us) AS v FROM ({source}) ASOF LEFT JOIN ({segments}) ON w >= start"
        return joined, {**compiler.parameters, "starts": list(starts), "offsets": list(offsets)}

    def of_quantities(
        self, name: str, kind: Kind, counts: tuple[int, int, int], source: str, parameters: Mapping[str, Any], top: int
    ) -> Insight:
        """Return what numbers or dates are like."""
        listed = ", ".join(map(str, QUANTILES))
        measured = f"SELECT min(v), max(v), quantile_disc(v, [{listed}]) FROM ({source})"
        smallest, largest, quantiles = self.ask(measured, parameters)[0]
        total = self._total(source, parameters) if kind is Kind.NUMBER and counts[1] else None
        return Insight(
            name,
            kind,
            *counts,
            self.top(source, parameters, top),
            quantity_of(smallest),
            quantity_of(largest),
            tuple(number for each in quantiles or () if (number := quantity_of(each)) is not None),
            total,
        )

    def _total(self, source: str, parameters: Mapping[str, Any]) -> Number:
        # In two parts: the sum of many large numbers has more digits than the engine's decimals have room for.
        parts = "sum(CAST(trunc(v) AS HUGEINT)), sum(v - trunc(v))"
        whole, fraction = self.ask(f"SELECT {parts} FROM ({source})", parameters)[0]
        with decimal.localcontext(prec=_DIGITS):  # as many as a sum can have: by itself it keeps 28
            total = whole + fraction
        return to_number(total) or total  # beyond what a property could hold, as it is

    def of_lists(
        self, name: str, counts: tuple[int, int, int], source: str, parameters: Mapping[str, Any], top: int
    ) -> Insight:
        """Return what lists are like."""
        each = f"SELECT unnest(v) AS v FROM ({source})"
        smallest, largest = self.ask(f"SELECT min(len(v)), max(len(v)) FROM ({source})", parameters)[0]
        distinct = self.ask(f"SELECT count(DISTINCT v) FROM ({each})", parameters)[0][0]
        found = tuple(ValueCount(element_of(str(value)), count) for value, count in self.top(each, parameters, top))
        sizes = None if smallest is None else (smallest, largest)
        return Insight(name, Kind.LIST, *counts[:2], distinct, found, sizes=sizes)


def plain(value: Any) -> Scalar:
    """Return a value that the engine gave as one of ours."""
    return value if isinstance(value, str | bool | int) else to_number(value) or 0


def quantity_of(value: Any) -> Number | None:
    """Return a number or an instant that the engine gave as one of ours."""
    return None if value is None else to_number(value)


def element_of(key: str) -> Scalar:
    """Return the element that a key stands for: a date as it reads in its own form, without an offset or in UTC."""
    if not key.startswith(MARK):
        return key
    form, text = key[1:2], key[2:]
    match form:
        case elements.NUMBER:
            return to_number(Decimal(text)) or 0
        case elements.INSTANT | elements.WALL:
            at = _shown(int(text))
            return f"{at}Z" if form == elements.INSTANT else at.removesuffix("T00:00:00")
        case _:
            return key[1:]


def _shown(us: int) -> str:
    """Return a time as text. East of Greenwich the first day of the year 1 begins in the year 0, which Python lacks."""
    shift = 0 if _FIRST_US <= us <= _LAST_US else -1 if us < _FIRST_US else 1
    at = _EPOCH + timedelta(days=-shift * _DAYS_IN_400_YEARS, microseconds=us)
    return f"{at.year + shift * 400:04}{at.isoformat()[4:]}"
