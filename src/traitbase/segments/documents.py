"""A plan as SQL over the profiles themselves, as PostgreSQL keeps them: documents of `jsonb`, with typed access.

Every value is a bound parameter, names of properties included. A value is only ever converted where it is seen to be of
the type that is asked for, so that none can raise an error: definitions and documents agree in one snapshot, but a
distributed database has no snapshot for all of its parts. Equality is that of `jsonb`, which tells types apart and
compares numbers as numbers.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any, ClassVar, assert_never

from sqlglot import exp, parse_one

from traitbase.domain.destinations import TOKEN_CHANNELS
from traitbase.domain.rules.fields import CHANNEL_OF, Field
from traitbase.domain.rules.moments import Interval, walls_within
from traitbase.domain.rules.plan import (
    BooleanIs,
    DateWithin,
    Element,
    HasAll,
    HasAny,
    InCohorts,
    Junction,
    Leaf,
    Never,
    NumberIs,
    NumberWithin,
    OnAnniversary,
    Plan,
    PlanNode,
    Present,
    Property,
    SizeIs,
    Subject,
    TextHas,
    TextIs,
    Where,
)
from traitbase.domain.rules.tree import Combinator
from traitbase.domain.spaces import Space
from traitbase.segments.anniversaries import FIRST_YEAR, days_of
from traitbase.segments.layout import ID
from traitbase.segments.walking import PlanCompiler, any_of, days_around, digits_of, is_there

DIALECT = "postgres"

_NUL = "\0"  # which no stored text has, and no parameter may have
_LOOKED_FOR_SINGLY_MAX = 4
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

_TEXT = "CASE WHEN jsonb_typeof(j) = 'string' THEN j #>> '{}' END"
_NUMBER = "CASE WHEN jsonb_typeof(j) = 'number' THEN CAST(j AS DECIMAL) END"
_BOOLEAN = "CASE WHEN jsonb_typeof(j) = 'boolean' THEN CAST(j AS BOOLEAN) END"
_ARRAY = "CASE WHEN jsonb_typeof(j) = 'array' THEN j END"
_TOKENS = "CASE WHEN jsonb_typeof(j) = 'array' THEN jsonb_path_query_array(j, '$[*].token') END"
# Whether a text is a Date. Its day exists if it is not behind the last of its month.
_IS_DATE = r"""CASE WHEN LENGTH(t) BETWEEN 10 AND 35 AND LEFT(t, 4) <> '0000' AND t ~ (
    '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3])(:[0-5][0-9]){2}' ||
    '([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?)?$')
    THEN CAST(SUBSTRING(t FROM 9 FOR 2) AS INT) <= CASE
    WHEN SUBSTRING(t FROM 6 FOR 2) IN ('04', '06', '09', '11') THEN 30 WHEN SUBSTRING(t FROM 6 FOR 2) <> '02' THEN 31
    WHEN MOD(CAST(LEFT(t, 4) AS INT), 4) = 0
    AND (MOD(CAST(LEFT(t, 4) AS INT), 100) <> 0 OR MOD(CAST(LEFT(t, 4) AS INT), 400) = 0) THEN 29 ELSE 28 END
    ELSE FALSE END"""
_HAS_OFFSET = "LENGTH(t) > 19 AND (RIGHT(t, 1) = 'Z' OR LEFT(RIGHT(t, 6), 1) IN ('+', '-'))"
# What the clock shows, in microseconds since 1970 as if that were UTC; digits past them are dropped.
_CLOCK = """CAST(EXTRACT(EPOCH FROM CAST(LEFT(t, 19) AS TIMESTAMP)) AS BIGINT) * 1000000
    + CASE WHEN SUBSTRING(t FROM 20 FOR 1) = '.'
    THEN CAST(RPAD(SUBSTRING(t FROM '[.]([0-9]{1,6})'), 6, '0') AS BIGINT) ELSE 0 END"""
_OFFSET = """CASE WHEN RIGHT(t, 1) = 'Z' THEN 0
    ELSE (CAST(LEFT(RIGHT(t, 5), 2) AS BIGINT) * 60 + CAST(RIGHT(t, 2) AS BIGINT))
    * CASE WHEN LEFT(RIGHT(t, 6), 1) = '-' THEN -60000000 ELSE 60000000 END END"""

_FIELD_TEXTS = {Field.DISTINCT_ID: ID, Field.COUNTRY_CODE: "country"}
_FIELD_TIMES = {Field.CREATED_AT: "created_at_us", Field.UPDATED_AT: "updated_at_us"}
_BUCKET = "CAST(('x' || LEFT(MD5(id), 8))::BIT(32)::BIGINT & 4294967295 AS BIGINT) % 10000"


@dataclass(slots=True)
class DocumentCompiler(PlanCompiler):
    """Builds one query about a space. `parameters` are those of everything it has built so far, in order."""

    number_type: ClassVar[str] = "DECIMAL"

    space: Space
    parameters: list[Any] = field(default_factory=list)
    _static: dict[str, str] = field(default_factory=dict)
    """The columns that tell who is in which static cohort."""

    def everyone(self, static_cohorts: Collection[str] = ()) -> exp.Select:
        """Return the query of all profiles, with everything that tests look at: also of membership in those cohorts.

        Members are joined by the key that they share with the profiles, which a sharded database does in each shard. In
        a condition of their own (`IN`) they would have to be brought to all shards, or be refused.
        """
        attributes = "CAST(profiles.attributes AS JSONB) AS attributes"
        plain = [f"profiles.{name}" for name in ("document", "country", "created_at_us", "updated_at_us")]
        query = exp.select("profiles.distinct_id AS id", *plain, attributes, dialect=DIALECT).from_("profiles")
        for number, cohort_id in enumerate(sorted(static_cohorts)):
            members = f"members_{number}"
            self._static[cohort_id] = f"is_{members}"
            query = query.select(f"{members}.distinct_id IS NOT NULL AS is_{members}", dialect=DIALECT)
            same = exp.column("distinct_id", table=members).eq(exp.column("distinct_id", table="profiles"))
            is_of = exp.column("cohort_id", table=members).eq(self.parameter(cohort_id, "TEXT"))
            joined = exp.and_(*self._of_space(members), is_of, same)
            query = query.join(f"cohort_members AS {members}", on=joined, join_type="left")
        is_profile = exp.column("alias_of", table="profiles").is_(exp.null())
        return query.where(*self._of_space("profiles"), is_profile)

    def test(self, leaf: Leaf, plan: Plan, layers: Mapping[str, str]) -> exp.Expression:  # noqa: C901, PLR0912  # one branch a test
        """Return a leaf's test."""
        test, subject = leaf.test, leaf.subject
        if isinstance(test, Never):
            return exp.false()
        if isinstance(test, InCohorts):
            return any_of(self._membership(cohort_id, layers) for cohort_id in sorted(test.cohort_ids))
        if isinstance(subject, Property) and subject.kind is None:
            assert isinstance(test, SizeIs)
            return self.within(exp.Literal.number(0), test.size)
        match test:
            case Present():
                return is_there(self._json(subject) if isinstance(subject, Property) else self._plain(subject))
            case TextIs(texts, folded):
                return self._text_is(subject, texts, folded=folded)
            case TextHas(part, where, folded):
                return exp.false() if _NUL in part else self._text_has(subject, part, where, folded=folded)
            case NumberIs(numbers):
                return self._number_is(subject, [digits_of(each) for each in numbers])
            case NumberWithin():
                return self.within(self._number(subject), test)
            case BooleanIs(value):
                assert isinstance(subject, Property)
                return self._json(subject).eq(self.parameter(json.dumps(value), "JSONB"))
            case DateWithin(low_us, high_us):
                return self._date_within(subject, (low_us, high_us), plan)
            case OnAnniversary(days):
                return self._on_anniversary(subject, days, plan)
            case HasAny(elements):
                return self._has_any(subject, elements, plan)
            case HasAll(elements):
                found = [self._has_any(subject, [each], plan) for each in sorted(elements, key=repr)]
                return exp.paren(exp.and_(*found, copy=False), copy=False)
            case SizeIs(size):
                counted = made("COALESCE(jsonb_array_length(j), 0)", j=self.list_of(subject))
                return self.within(counted, size)
            case _:
                assert_never(test)

    def parameter(self, value: Any, type_: str) -> exp.Expression:
        """Bind a value, and return what stands for it."""
        self.parameters.append(value)
        place = exp.Parameter(this=exp.Literal.number(len(self.parameters)))
        return exp.cast(place, _type(type_))

    def text_of(self, subject: Subject) -> exp.Expression:
        """Return a text that a profile has, NULL if it has none."""
        return made(_TEXT, j=self._json(subject)) if isinstance(subject, Property) else self._plain(subject)

    def list_of(self, subject: Subject) -> exp.Expression:
        """Return a list that a profile has, as an array of `jsonb`."""
        return made(_ARRAY, j=self._json(subject)) if isinstance(subject, Property) else self._plain(subject)

    def number_of(self, subject: Property) -> exp.Expression:
        """Return a number that a profile has."""
        return made(_NUMBER, j=self._json(subject))

    def boolean_of(self, subject: Property) -> exp.Expression:
        """Return a boolean that a profile has."""
        return made(_BOOLEAN, j=self._json(subject))

    def date_of(self, subject: Subject) -> tuple[exp.Expression, exp.Expression]:
        """Return a date that a profile has as an instant, if it has an offset, and as a wall, if it has none."""
        return instant_and_wall(self.text_of(subject))

    def _json(self, subject: Property) -> exp.Expression:
        name = self.parameter(subject.name, "TEXT")
        return exp.Operator(this=exp.column("document"), operator="->", expression=name)

    def _plain(self, subject: Field) -> exp.Expression:
        if subject in _FIELD_TEXTS:
            return exp.column(_FIELD_TEXTS[subject])
        if subject in _FIELD_TIMES:
            return exp.column(_FIELD_TIMES[subject])
        if subject is Field.BUCKET:
            return made(_BUCKET)
        if subject is Field.STATUS:
            return made("COALESCE(CAST(attributes ->> 'status' AS BIGINT), 1)")
        if subject in CHANNEL_OF:
            channel = CHANNEL_OF[subject]
            if channel in TOKEN_CHANNELS:
                return made(_TOKENS, j=made(f"attributes -> 'channel' -> '{channel.value}'"))
            return made(f"attributes -> 'channel' ->> '{channel.value}'")
        return made(f"attributes ->> '{subject.value.removeprefix('$')}'")

    def _number(self, subject: Subject) -> exp.Expression:
        return self.number_of(subject) if isinstance(subject, Property) else self._plain(subject)

    def _text_is(self, subject: Subject, texts: Iterable[str], *, folded: bool) -> exp.Expression:
        sought = sorted(each for each in texts if _NUL not in each)
        if folded or not isinstance(subject, Property):
            text = _small(self.text_of(subject)) if folded else self.text_of(subject)
            return _is_one(text, self.parameter(sought, "TEXT[]"))
        return self._is_json(subject, [json.dumps(each) for each in sought])

    def _is_json(self, subject: Property, texts: Sequence[str]) -> exp.Expression:
        """Return the condition that a value is one of these, each as JSON."""
        if len(texts) == 1:
            return self._json(subject).eq(self.parameter(texts[0], "JSONB"))
        return _is_one(self._json(subject), self.parameter(texts, "JSONB[]"))

    def _text_has(self, subject: Subject, part: str, where: Where, *, folded: bool) -> exp.Expression:
        text = _small(self.text_of(subject)) if folded else self.text_of(subject)
        sought = self.parameter(part, "TEXT")
        return made(_PARTS[where], t=text, part=sought)

    def _number_is(self, subject: Subject, digits: Sequence[str]) -> exp.Expression:
        if isinstance(subject, Property):
            return self._is_json(subject, sorted(digits))
        return _is_one(self._plain(subject), self.parameter(sorted(digits), "DECIMAL[]"))

    def _date_within(self, subject: Subject, interval: Interval, plan: Plan) -> exp.Expression:
        if subject in _FIELD_TIMES:
            assert isinstance(subject, Field)
            return self.in_interval(self._plain(subject), interval)
        text = self.text_of(subject)
        instant, wall = instant_and_wall(text)
        walls = walls_within(interval, plan.moment.zone)
        exactly = any_of([self.in_interval(instant, interval), *(self.in_interval(wall, each) for each in walls)])
        return self._by_days(subject, interval, exactly)

    def _by_days(self, subject: Subject, interval: Interval, exactly: exp.Expression) -> exp.Expression:
        """Decide by the day that is written, where that decides: the instant is less than two days away from it.

        Most are decided by what is written before anybody looks whether it is a text.
        """
        low, high = interval
        days = {
            "before": _day_text(low, -2),
            "begun": _day_text(low, 2),
            "behind": _day_text(high, 2),
            "left": _day_text(high, -2),
        }
        given = {name: self.parameter(day, "TEXT") for name, day in days.items() if day is not None}
        far = [f"day {sign} {name}" for name, sign in (("before", "<"), ("behind", ">")) if name in given]
        near = [f"day {sign} {name}" for name, sign in (("begun", ">"), ("left", "<")) if name in given]
        if not far:
            return exactly
        decided = f"CASE WHEN {' OR '.join(far)} THEN FALSE WHEN {' AND '.join(near)} THEN {{}} ELSE exactly END"
        if isinstance(subject, Property):
            json = self._json(subject)
            text: exp.Expression = exp.Operator(this=json.this, operator="->>", expression=json.expression)
            decided, given = decided.format("jsonb_typeof(j) = 'string'"), {**given, "j": json}
        else:
            text, decided = self._plain(subject), decided.format("TRUE")
        return made(decided, day=made('LEFT(t, 10) COLLATE "C"', t=text), exactly=exactly, **given)

    def _on_anniversary(self, subject: Subject, days: Collection[tuple[int, int]], plan: Plan) -> exp.Expression:
        """The day of a wall is written in it; that of an instant depends on the zone, which knows each year's day."""
        if subject in _FIELD_TIMES:
            assert isinstance(subject, Field)
            return any_of(self._instant_on(*each, plan, self._plain(subject)) for each in sorted(days))
        text = self.text_of(subject)
        instant, wall = instant_and_wall(text)
        written = self.parameter([f"{month:02}-{number:02}" for month, number in sorted(days)], "TEXT[]")
        on_wall = exp.and_(is_there(wall), _is_one(made("SUBSTRING(t FROM 6 FOR 5)", t=text), written), copy=False)
        return any_of([exp.paren(on_wall), *(self._instant_on(*each, plan, instant) for each in sorted(days))])

    def _instant_on(self, month: int, number: int, plan: Plan, us: exp.Expression) -> exp.Expression:
        # In UTC it is that day, the one before or the one after: few are left to be looked at closely.
        day = "(DATE '1970-01-01' + CAST(FLOOR(us / 86400000000.0) AS INT))"
        shown = made(f"TO_CHAR({day}, 'MM-DD')", us=us)
        near = _is_one(
            shown, self.parameter([f"{m:02}-{d:02}" for m, d in sorted(days_around(month, number))], "TEXT[]")
        )
        starts, ends = days_of(month, number, plan.moment.zone)
        closely = []
        bounds = self.parameter(starts, "BIGINT[]"), self.parameter(ends, "BIGINT[]")
        for step in (-1, 0, 1):  # the zone may be in another year than UTC
            year = f"CAST(EXTRACT(YEAR FROM {day}) AS INT)"
            at = made(f"{year} + {step + 1 - FIRST_YEAR}", us=us)
            start, end = (
                exp.Bracket(this=exp.paren(each.copy()), expressions=[at.copy()], offset=1) for each in bounds
            )
            is_within = (exp.GTE(this=us.copy(), expression=start), exp.LT(this=us.copy(), expression=end))
            closely.append(exp.paren(exp.and_(*is_within, copy=False), copy=False))
        # In this order: only of what is near the days are worked out.
        return made("CASE WHEN near THEN closely ELSE FALSE END", near=near, closely=any_of(closely))

    def _has_any(self, subject: Subject, elements: Collection[Element], plan: Plan) -> exp.Expression:
        plain = [
            each for each in elements if not isinstance(each, tuple) and not (isinstance(each, str) and _NUL in each)
        ]
        texts = sorted(json.dumps(each) if isinstance(each, str) else digits_of(each) for each in plain)
        conditions: list[exp.Expression] = []
        if len(texts) <= _LOOKED_FOR_SINGLY_MAX:
            for each in texts:
                # No CASE: what is no list contains none, and an index knows the property as it is.
                whole = self._json(subject) if isinstance(subject, Property) else self._plain(subject)
                one = self.parameter(f"[{each}]", "JSONB")
                conditions.append(exp.Operator(this=whole, operator="@>", expression=one))
        else:
            found = "EXISTS(SELECT 1 FROM jsonb_array_elements(j) AS e(element) WHERE element = ANY(sought))"
            conditions.append(made(found, j=self.list_of(subject), sought=self.parameter(texts, "JSONB[]")))
        instants = sorted(each[0] for each in elements if isinstance(each, tuple))
        if instants:
            conditions.append(self._has_instant(self.list_of(subject), instants, plan))
        return any_of(conditions) if conditions else exp.false()  # what cannot be in a stored list

    def _has_instant(self, array: exp.Expression, instants: Sequence[int], plan: Plan) -> exp.Expression:
        walls = sorted(
            {low for us in instants for low, _ in walls_within((us, us + 1), plan.moment.zone) if low is not None}
        )
        text = exp.column("t", table="e")
        instant, wall = instant_and_wall(text)
        among = any_of(
            [
                _is_one(instant, self.parameter(list(instants), "BIGINT[]")),
                _is_one(wall, self.parameter(walls, "BIGINT[]")),
            ]
        )
        return made("EXISTS(SELECT 1 FROM jsonb_array_elements_text(j) AS e(t) WHERE among)", j=array, among=among)

    def _membership(self, cohort_id: str, layers: Mapping[str, str]) -> exp.Expression:
        if cohort_id in layers:
            return exp.column(layers[cohort_id])
        return exp.column(self._static[cohort_id])

    def _of_space(self, table: str) -> list[exp.Expression]:
        return [
            exp.column(name, table=table).eq(self.parameter(value, "TEXT"))
            for name, value in zip(Space._fields, self.space, strict=True)
        ]


_PARTS: Mapping[Where, str] = {
    Where.ANYWHERE: "STRPOS(t, part) > 0",
    Where.START: "STARTS_WITH(t, part)",
    Where.END: "RIGHT(t, LENGTH(part)) = part",
}


def is_found_by_value(node: PlanNode, indexed: Collection[str]) -> bool:
    """Tell whether whoever meets a plan has one of some values of one of these properties: an index leads to them."""
    if node.negated:
        return False
    if isinstance(node, Junction):
        among = any if node.combinator is Combinator.AND else all
        return bool(node.parts) and among(is_found_by_value(part, indexed) for part in node.parts)
    if not isinstance(node.subject, Property) or node.subject.name not in indexed:
        return False
    match node.test:
        case TextIs(_, folded):
            return not folded
        case HasAny(elements):
            return len(elements) <= _LOOKED_FOR_SINGLY_MAX and not any(isinstance(each, tuple) for each in elements)
        case HasAll(elements):
            return any(not isinstance(each, tuple) for each in elements)
        case NumberIs() | BooleanIs():
            return True
        case _:
            return False


def _day_text(us: int | None, days: int) -> str | None:
    """Return the day of a time, moved by some days, as a Date is written; or what is before or behind all of them."""
    if us is None:
        return None
    number = us // 86_400_000_000 + days + _EPOCH_ORDINAL
    if number < 1:
        return "0000"
    return date.fromordinal(number).isoformat() if number <= date.max.toordinal() else "9999-99-99"


def instant_and_wall(text: exp.Expression) -> tuple[exp.Expression, exp.Expression]:
    """Return a text that may be a Date as an instant, if it has an offset, and as a wall, if it has none."""
    instant = made(f"CASE WHEN ({_IS_DATE}) AND {_HAS_OFFSET} THEN {_CLOCK} - ({_OFFSET}) END", t=text)
    wall = made(f"CASE WHEN ({_IS_DATE}) AND NOT ({_HAS_OFFSET}) THEN {_CLOCK} END", t=text)
    return instant, wall


def made(template: str, **parts: exp.Expression) -> exp.Expression:
    """Return an expression that is written as text, with parts in the place of columns of those names."""

    def put(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Column) and not node.table and node.name in parts:
            return parts[node.name].copy()
        return node

    return exp.paren(_parsed(template).copy().transform(put, copy=False), copy=False)


@cache
def _parsed(template: str) -> exp.Expression:
    return parse_one(template, dialect=DIALECT)  # type: ignore[return-value]  # the library's own base class


@cache
def _parsed_type(name: str) -> exp.DataType:
    return exp.DataType.build(name, dialect=DIALECT)


def _type(name: str) -> exp.DataType:
    return _parsed_type(name).copy()


def _is_one(value: exp.Expression, sought: exp.Expression) -> exp.Expression:
    return exp.EQ(this=value, expression=exp.Any(this=exp.paren(sought, copy=False)))


def _small(text: exp.Expression) -> exp.Expression:
    """Return a text with its ASCII letters made small: in the collation C, `lower` knows no others."""
    return made('LOWER(t COLLATE "C")', t=text)
