"""A plan as SQL over the columnar copy, built as a tree: values are bound parameters, names the copy's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, assert_never

from sqlglot import exp

from traitbase.domain.rules.fields import Field
from traitbase.domain.rules.moments import Interval, walls_within
from traitbase.domain.rules.plan import (
    BooleanIs,
    DateWithin,
    Element,
    HasAll,
    HasAny,
    InCohorts,
    Leaf,
    Never,
    NumberIs,
    NumberWithin,
    OnAnniversary,
    Plan,
    Present,
    Property,
    SizeIs,
    Subject,
    TextHas,
    TextIs,
    Where,
)
from traitbase.domain.values import Kind
from traitbase.segments.anniversaries import FIRST_YEAR, days_of
from traitbase.segments.elements import keys_of
from traitbase.segments.layout import DOCUMENT, FIELD_COLUMNS, ID, NUMBER_TYPE, SpaceTable
from traitbase.segments.loading import call, pointer_to, read_from_document
from traitbase.segments.walking import PlanCompiler, any_of, days_around, digits_of, is_there

DIALECT = "duckdb"

_LISTED_MAX = 16  # more values are looked up in a table of them
_LOOKED_FOR_SINGLY_MAX = 4  # in lists: quicker one by one

_Made = Callable[[exp.Expression], exp.Expression]
"""Makes of what is sought, as it is in the rule, what it is compared as."""


@dataclass(slots=True)
class Compiler(PlanCompiler):
    """Builds one query about a space. `parameters` are those of everything it has built so far, by name."""

    number_type: ClassVar[str] = NUMBER_TYPE

    table: SpaceTable
    parameters: dict[str, Any] = field(default_factory=dict)

    def values_of(self, subject: Subject) -> list[exp.Expression]:
        """Return what a test looks at: a column, or of a Date that of instants and that of walls."""
        if isinstance(subject, Field):
            return [exp.column(FIELD_COLUMNS[subject][0])]
        column = self.table.columns[subject.name]
        if column.position is None:
            pointer = self.parameter(pointer_to(subject.name), "VARCHAR")
            return read_from_document(call("json_extract_string", exp.column(DOCUMENT), pointer), column.kind)
        if column.kind is Kind.DATE:
            return [exp.column(column.name), exp.column(column.walls)]
        return [exp.column(column.name)]

    def parameter(self, value: Any, type_: str) -> exp.Expression:
        """Bind a value, and return what stands for it."""
        name = f"v{len(self.parameters)}"
        self.parameters[name] = value
        return exp.cast(exp.Placeholder(this=name), _type(type_))

    def everyone(self, static_cohorts: Collection[str] = ()) -> exp.Select:  # noqa: ARG002  # they are tables of their own
        """Return the query of all profiles."""
        return exp.select("*").from_(self.table.profiles)

    def test(self, leaf: Leaf, plan: Plan, layers: Mapping[str, str]) -> exp.Expression:  # noqa: C901, PLR0912  # one branch a test
        """Return a leaf's test."""
        test = leaf.test
        if isinstance(test, Never):
            return exp.false()
        if isinstance(test, InCohorts):
            return any_of(self._membership(cohort_id, layers) for cohort_id in sorted(test.cohort_ids))
        if isinstance(leaf.subject, Property) and leaf.subject.kind is None:
            assert isinstance(test, SizeIs)
            return self.within(exp.Literal.number(0), test.size)
        values = self.values_of(leaf.subject)
        match test:
            case Present():
                return any_of(is_there(column) for column in values)
            case TextIs(texts, folded):
                sought = sorted(texts)
                if not folded:
                    return self._one_of(values[0], sought, "VARCHAR")
                return _folding(values[0], lambda value, made: self._one_of(value, sought, "VARCHAR", made))
            case TextHas(part, where, folded):
                sought_part = self.parameter(part, "VARCHAR")
                if not folded:
                    return call(_PARTS[where], values[0], sought_part)
                return _folding(values[0], lambda value, made: call(_PARTS[where], value, made(sought_part)))
            case NumberIs(numbers):
                return self._one_of(values[0], sorted(map(digits_of, numbers)), NUMBER_TYPE)
            case NumberWithin():
                return self.within(values[0], test)
            case BooleanIs(value):
                return values[0].eq(exp.true() if value else exp.false())
            case DateWithin(low_us, high_us):
                return self._date_within((low_us, high_us), plan, values)
            case OnAnniversary(days):
                return self._on_anniversary(days, plan, values)
            case HasAny(elements):
                keys = sorted({key for each in elements for key in keys_of(each, plan.moment.zone)})
                return self._has_any(values[0], keys)
            case HasAll(elements):
                return self._has_all(values[0], elements, plan)
            case SizeIs(size):
                return self.within(call("coalesce", call("len", values[0]), exp.Literal.number(0)), size)
            case _:
                assert_never(test)

    def _membership(self, cohort_id: str, layers: Mapping[str, str]) -> exp.Expression:
        if cohort_id in layers:
            return exp.column(layers[cohort_id])
        is_of = exp.column("cohort_id").eq(self.parameter(cohort_id, "VARCHAR"))
        members = exp.select("id").from_(self.table.members).where(is_of)
        return exp.In(this=exp.column(ID), query=exp.Subquery(this=members))

    def _one_of(
        self, value: exp.Expression, sought: Sequence[str], type_: str, made: _Made = lambda each: each
    ) -> exp.Expression:
        if len(sought) == 1:
            return value.eq(made(self.parameter(sought[0], type_)))
        if len(sought) <= _LISTED_MAX:
            return value.isin(*(made(self.parameter(each, type_)) for each in sought))
        return exp.In(this=value, query=exp.Subquery(this=self._table_of(sought, type_, made)))

    def _table_of(self, values: Sequence[str], type_: str, made: _Made = lambda each: each) -> exp.Select:
        # As one JSON text: passing on a hundred thousand values takes the driver a quarter of a second.
        name = f"v{len(self.parameters)}"
        self.parameters[name] = json.dumps(values)
        texts = call("from_json", exp.Placeholder(this=name), exp.Literal.string('["VARCHAR"]'))
        return exp.select(made(call("unnest", exp.cast(texts, _type(f"{type_}[]")))))

    def _date_within(self, interval: Interval, plan: Plan, values: Sequence[exp.Expression]) -> exp.Expression:
        conditions = [self.in_interval(values[0], interval)]
        if len(values) > 1:
            walls = walls_within(interval, plan.moment.zone)
            conditions.extend(self.in_interval(values[1], each) for each in walls)
        return any_of(conditions)

    def _on_anniversary(
        self, days: Collection[tuple[int, int]], plan: Plan, values: Sequence[exp.Expression]
    ) -> exp.Expression:
        """The day of a wall is written in it; that of an instant depends on the zone, which knows each year's day."""
        conditions = []
        for month, number in sorted(days):
            conditions.append(self._instant_on(month, number, plan, values[0]))
            if len(values) > 1:
                conditions.append(_shows_day(values[1], month, number))
        return any_of(conditions)

    def _instant_on(self, month: int, number: int, plan: Plan, value: exp.Expression) -> exp.Expression:
        # In UTC it is that day, the one before or the one after: few are left to be looked at closely.
        near = any_of(_shows_day(value, *each) for each in days_around(month, number))
        starts, ends = days_of(month, number, plan.moment.zone)
        year = call("year", call("make_timestamp", value))
        closely = []
        for step in (-1, 0, 1):  # the zone may be in another year than UTC
            at = exp.Add(this=year.copy(), expression=exp.Literal.number(step + 1 - FIRST_YEAR))
            start = call("list_extract", self.parameter(starts, "BIGINT[]"), at)
            end = call("list_extract", self.parameter(ends, "BIGINT[]"), at)
            is_within = (exp.GTE(this=value.copy(), expression=start), exp.LT(this=value.copy(), expression=end))
            closely.append(exp.paren(exp.and_(*is_within, copy=False), copy=False))
        return exp.paren(exp.and_(near, any_of(closely), copy=False), copy=False)

    def _has_any(self, value: exp.Expression, keys: Sequence[str]) -> exp.Expression:
        if len(keys) <= _LOOKED_FOR_SINGLY_MAX:
            return any_of(call("list_contains", value, self.parameter(key, "VARCHAR")) for key in keys)
        if len(keys) <= _LISTED_MAX:
            return call("list_has_any", value, self.parameter(list(keys), "VARCHAR[]"))
        # A list function would make a table of the keys for every profile anew.
        element = exp.alias_(call("unnest", value), "element")
        elements = exp.select(exp.column(ID), element).from_(self.table.profiles).subquery("elements")
        among = exp.In(this=exp.column("element"), query=exp.Subquery(this=self._table_of(keys, "VARCHAR")))
        having = exp.select(ID).from_(elements).where(among)
        return exp.In(this=exp.column(ID), query=exp.Subquery(this=having))

    def _has_all(self, value: exp.Expression, elements: Collection[Element], plan: Plan) -> exp.Expression:
        keys = [keys_of(each, plan.moment.zone) for each in elements]
        single = sorted(each[0] for each in keys if len(each) == 1)
        conditions: list[exp.Expression] = []
        if single:
            conditions.append(call("list_has_all", value, self.parameter(single, "VARCHAR[]")))
        conditions.extend(
            call("list_has_any", value, self.parameter(sorted(each), "VARCHAR[]")) for each in keys if len(each) > 1
        )
        size = exp.GTE(this=call("len", value.copy()), expression=exp.Literal.number(len(keys)))
        return exp.paren(exp.and_(size, *conditions, copy=False), copy=False)


_PARTS: Mapping[Where, str] = {Where.ANYWHERE: "contains", Where.START: "starts_with", Where.END: "suffix"}
_CAPITALS, _SMALL = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"


def _type(name: str) -> exp.DataType:
    return _parsed_type(name).copy()


@cache
def _parsed_type(name: str) -> exp.DataType:
    return exp.DataType.build(name, dialect=DIALECT)


def _shows_day(us: exp.Expression, month: int, number: int) -> exp.Expression:
    shown = call("make_timestamp", us)
    parts = ((call("month", shown), month), (call("day", shown), number))
    is_so = [exp.EQ(this=part, expression=exp.Literal.number(wanted)) for part, wanted in parts]
    return exp.paren(exp.and_(*is_so, copy=False), copy=False)


def _folding(value: exp.Expression, test: Callable[[exp.Expression, _Made], exp.Expression]) -> exp.Expression:
    """Return a test of a text without regard to the case of ASCII letters. What it is compared with is folded already.

    `translate` does exactly that, and takes a microsecond for it. `lower` is quick, but folds other letters, too: it is
    asked first, and is right about texts that have no others.
    """
    quickly = test(call("lower", value), lambda each: call("lower", each))
    small = call("translate", value, exp.Literal.string(_CAPITALS), exp.Literal.string(_SMALL))
    exactly = test(small, lambda each: each.copy())
    is_plain = exp.EQ(this=call("strlen", value), expression=call("length", value))
    # Not AND and OR, of which the engine works out both sides for everybody.
    holds = exp.Case(ifs=[exp.If(this=is_plain, true=exp.true())], default=exactly)
    return exp.Case(ifs=[exp.If(this=quickly, true=holds)])
