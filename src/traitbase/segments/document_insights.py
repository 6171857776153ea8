"""What the values of a property are like, asked of the documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from sqlglot import exp

from traitbase.domain.rules.moments import offsets_between
from traitbase.domain.rules.plan import Property
from traitbase.domain.spaces import Space
from traitbase.domain.values import NUMBER_DECIMALS, Kind, to_number
from traitbase.segments.documents import DIALECT, DocumentCompiler, instant_and_wall, made
from traitbase.segments.elements import INSTANT, MARK, NUMBER, WALL
from traitbase.segments.insights import PropertyInsights, element_of, quantity_of
from traitbase.services.cohorts.ports import QUANTILES, Insight, ValueCount

Ask = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

_MARK = f"CHR({ord(MARK)})"


@dataclass(frozen=True, slots=True)
class DocumentInsights(PropertyInsights):
    """Asks about one property of a space. `zone` is the one in which its dates without an offset are read."""

    space: Space
    zone: tzinfo
    query: Ask

    def ask(self, query: str, parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.query(query, parameters)

    def values(self, name: str, kind: Kind) -> tuple[str, Any]:
        """Return the query of every profile's value `v`, NULL for none (of dates, the instant), and its parameters."""
        subject = Property(name, kind)
        compiler = DocumentCompiler(self.space)
        people = compiler.everyone()
        match kind:
            case Kind.NUMBER:
                value = compiler.number_of(subject)
            case Kind.BOOLEAN:
                value = compiler.boolean_of(subject)
            case Kind.LIST:
                value = compiler.list_of(subject)
            case Kind.DATE:
                return self._instants(compiler, people, subject)
            case _:
                value = compiler.text_of(subject)
        return _selecting(people, v=value), compiler.parameters

    def _instants(self, compiler: DocumentCompiler, people: exp.Select, subject: Property) -> tuple[str, list[Any]]:
        instant, wall = compiler.date_of(subject)
        source = _selecting(people, i=instant, w=wall)
        first, last = self.ask(f"SELECT min(w), max(w) FROM ({source}) AS a", compiler.parameters)[0]
        if first is None:
            return f"SELECT i AS v FROM ({source}) AS a", compiler.parameters
        starts, offsets = (list(each) for each in zip(*offsets_between(first, last, self.zone), strict=True))
        bounds = [compiler.parameter(each, "BIGINT[]").sql(DIALECT) for each in (starts, offsets)]
        joined = f"COALESCE(i, w - ({bounds[1]})[width_bucket(w, {bounds[0]})])"
        return f"SELECT {joined} AS v FROM ({source}) AS a", compiler.parameters

    def of_quantities(
        self, name: str, kind: Kind, counts: tuple[int, int, int], source: str, values: Sequence[Any], top: int
    ) -> Insight:
        """Return what numbers or dates are like."""
        listed = ", ".join(map(str, QUANTILES))
        measured = (
            f"SELECT min(v), max(v), percentile_disc(ARRAY[{listed}]) WITHIN GROUP (ORDER BY v), "
            f"sum(CAST(v AS DECIMAL)) FROM ({source}) AS a"
        )
        smallest, largest, quantiles, summed = self.ask(measured, values)[0]
        total = None
        if kind is Kind.NUMBER and counts[1]:
            total = to_number(summed) or summed  # beyond what a property could hold, as it is
        return Insight(
            name,
            kind,
            *counts,
            self.top(source, values, top),
            quantity_of(smallest),
            quantity_of(largest),
            tuple(number for each in quantiles or () if (number := quantity_of(each)) is not None),
            total,
        )

    def of_lists(
        self, name: str, counts: tuple[int, int, int], source: str, values: Sequence[Any], top: int
    ) -> Insight:
        """Return what lists are like."""
        elements = "CROSS JOIN LATERAL jsonb_array_elements(v) AS e(element)"
        each = f"SELECT {_element_key()} AS v FROM ({source}) AS a {elements}"
        sizes = "min(jsonb_array_length(v)), max(jsonb_array_length(v))"
        smallest, largest = self.ask(f"SELECT {sizes} FROM ({source}) AS a", values)[0]
        distinct = self.ask(f"SELECT count(DISTINCT v) FROM ({each}) AS b", values)[0][0]
        found = tuple(ValueCount(element_of(str(value)), count) for value, count in self.top(each, values, top))
        return Insight(
            name, Kind.LIST, *counts[:2], distinct, found, sizes=None if smallest is None else (smallest, largest)
        )


def _selecting(people: exp.Select, **values: exp.Expression) -> str:
    listed = ", ".join(f"{value.sql(DIALECT)} AS {name}" for name, value in values.items())
    return f"SELECT {listed} FROM ({people.sql(DIALECT)}) AS people"


def _element_key() -> str:
    """Return the expression of a list element's key, as `elements.keys_of` has it."""
    text = made("element #>> '{}'")
    instant, wall = instant_and_wall(text)
    number = f"{_MARK} || '{NUMBER}' || CAST(CAST(CAST(element AS DECIMAL) AS DECIMAL(38, {NUMBER_DECIMALS})) AS TEXT)"
    key = made(
        f"""CASE WHEN jsonb_typeof(element) = 'number' THEN {number}
        ELSE COALESCE({_MARK} || '{INSTANT}' || CAST(instant AS TEXT), {_MARK} || '{WALL}' || CAST(wall AS TEXT),
        CASE WHEN LEFT(t, 1) = {_MARK} THEN {_MARK} || t ELSE t END) END""",
        instant=instant,
        wall=wall,
        t=text,
    )
    return f'({key.sql(DIALECT)}) COLLATE "C"'
