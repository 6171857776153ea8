"""Populations and rules made at random, from small vocabularies, so that rules find somebody.

From a `random.Random`: seeded, for volume; or one of Hypothesis' (`st.randoms`), which shrinks what it finds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

from traitbase.domain.attributes import Attributes, Token
from traitbase.domain.definitions import PropertyDefinition
from traitbase.domain.rules.fields import KIND_OF, Field, Person
from traitbase.domain.rules.moments import Moment
from traitbase.domain.rules.operators import FOLDING, OPERATORS_OF, SIZE_OPERATORS, WITHOUT_VALUE, Operator
from traitbase.domain.values import Kind, Number, Scalar, Value, is_date, to_number, unique

ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "America/New_York",
        "Europe/Berlin",
        "Asia/Kolkata",
        "Pacific/Apia",  # left out a whole day
        "America/Sao_Paulo",  # its clock skipped midnight
        "Australia/Lord_Howe",  # moves by half an hour
        "Africa/Monrovia",  # once was 44 minutes and 30 seconds off
    )
]

KINDS = {
    "text": Kind.STRING,
    "Text": Kind.STRING,  # names are told apart by case
    "a/b~c\"'": Kind.STRING,
    "number": Kind.NUMBER,
    "0": Kind.NUMBER,
    "flag": Kind.BOOLEAN,
    "day": Kind.DATE,
    "日": Kind.DATE,
    "list": Kind.LIST,
}
DEFINITIONS = {name: PropertyDefinition(kind) for name, kind in KINDS.items()}
STATIC = ("s1", "s2")

_WORDS = [
    *("", "a", "A", "ab", "AB", "aB", "é", "É", "50%", "a_b", "axb", "'; --", "a\0b", "\U0001f600", "\uffff", "%"),
    *("2024-02-29", "2024-02-30", "2024-02-29T10:00:00Z", "true", "1", "\n", "\x1f", '"', "\\", "x" * 255, "東京"),
]
_NUMBERS = [
    *(0, 1, -1, 2, 3, 10, 2**53, 2**53 + 1, 2**63, 2**64, 10**20 - 1, 1 - 10**20),
    *map(Decimal, ("0.1", "-0.5", "1E-18", "0.123456789012345678", "99999999999999999999.9", "1234567890.123456789")),
]
# Around changes of the clock in some of the zones, the ends of time, and leap days.
_TURNS = [
    dt.datetime.fromisoformat(text)
    for text in (
        *("2026-03-08T07:00:00", "2026-11-01T06:00:00", "2026-03-29T01:00:00", "2011-12-30T10:00:00"),
        *("2018-11-04T03:00:00", "2026-04-04T15:00:00", "1972-01-07T00:44:30", "2024-02-29T00:00:00"),
        *("2023-02-28T12:00:00", "0001-01-01T00:00:00", "9999-12-31T23:59:59", "1970-01-01T00:00:00"),
    )
]
_OFFSETS = ("Z", "+00:00", "-05:00", "+05:30", "+14:00", "-11:00", "+23:59", "-23:59")
_FRACTIONS = ("", "", "", ".5", ".000001", ".123456789", ".999999999")
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  # of clocks, no zone involved


class Maker:
    """Makes values, people and rules."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def one(self, of: Sequence[object]):
        return self.random.choice(of)

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def word(self) -> str:
        if self.chance(80):
            return self.one(_WORDS)
        return "".join(self.one("aAzZ%_é\0\ud7ff\ue000\U0010ffff 0-") for _ in range(self.random.randrange(5)))

    def number(self) -> Number:
        if self.chance(60):
            return self.one(_NUMBERS)
        if self.chance(50):
            return self.random.randrange(-100, 100)
        digits, decimals = self.random.randrange(1, 36), self.random.randrange(0, 19)
        drawn = Decimal(self.random.randrange(-(10**digits), 10**digits)).scaleb(-decimals)
        number = to_number(drawn)
        return 0 if number is None else number

    def instant(self) -> dt.datetime:
        seconds = self.one([0, 1, -1, 1800, -1800, 3600, 7200, -3600, 43_200, 86_400, -86_400])
        try:
            return self.one(_TURNS) + dt.timedelta(seconds=seconds * self.random.randrange(1, 4))
        except OverflowError:
            return self.one(_TURNS)

    def instant_us(self) -> int:
        if self.chance(70):
            return (self.instant() - _EPOCH) // dt.timedelta(microseconds=1)
        return self.random.randrange(2**50)

    def date(self) -> str:
        at = self.instant()
        form = self.random.randrange(3)
        text = at.isoformat(timespec="seconds")
        if form == 0:
            return text[:10]
        written = text + self.one(_FRACTIONS) + ("" if form == 1 else self.one(_OFFSETS))
        assert is_date(written)
        return written

    def element(self) -> Scalar:
        return self.one([self.word, self.number, self.date])()

    def list(self) -> list[Scalar]:
        return [self.element() for _ in range(self.random.randrange(5))]

    def value(self, kind: Kind) -> Value:
        match kind:
            case Kind.STRING:
                return self.word()
            case Kind.NUMBER:
                return self.number()
            case Kind.BOOLEAN:
                return self.chance(50)
            case Kind.DATE:
                return self.date()
            case Kind.LIST:
                return self.list()

    # --- people ---

    def attributes(self) -> Attributes:
        channel: dict[str, object] = {}
        if self.chance(40):
            channel["email"] = self.one(["a@example.com", "B@example.com"])
        if self.chance(30):
            channel["sms"] = self.one(["+919879012345", "+15551234567"])
        if self.chance(30):
            tokens = self.random.sample(["t", "u", "2024-02-29"], self.random.randrange(3))
            channel["push"] = [Token(token) for token in tokens]
        name = self.word() or None
        zone = self.one([None, "UTC", "Asia/Calcutta"])
        return Attributes(name if self.chance(40) else None, self.one([1, 1, 0]), zone, channel)

    def person(self, distinct_id: str, zone: ZoneInfo) -> Person:
        held: dict[str, Value] = {}
        for name, kind in KINDS.items():
            if self.chance(70):
                value = self.value(kind)
                held[name] = unique(value, zone) if isinstance(value, list) else value
        cohorts = frozenset(each for each in STATIC if self.chance(40))
        return Person(distinct_id, held, self.attributes(), self.instant_us(), self.instant_us(), cohorts)

    def people(self, zone: ZoneInfo, most: int = 12) -> list[Person]:
        ids = ["a", "b", "ann", "Ann", "é", "'", '"', "%", "\U0001f600", "\uffff", "2024-02-29", "1"]
        chosen = self.random.sample(ids, self.random.randrange(most + 1))
        return [self.person(distinct_id, zone) for distinct_id in chosen]

    def moment(self) -> Moment:
        return Moment(max(self.instant_us(), 0), self.one(ZONES))

    # --- rules, as their JSON ---

    def tree(self, cohort_ids: Sequence[str] = STATIC, depth: int = 3) -> dict[str, object]:
        rules = [
            self.tree(cohort_ids, depth - 1) if depth > 1 and self.chance(25) else self.rule(cohort_ids)
            for _ in range(self.one([1, 1, 2, 2, 3]))
        ]
        group: dict[str, object] = {"combinator": self.one(["and", "or"]), "rules": rules}
        if self.chance(30):
            group["not"] = self.chance(70)
        return group

    def rule(self, cohort_ids: Sequence[str] = STATIC) -> dict[str, object]:
        if self.chance(10):
            named = self.random.sample(list(cohort_ids), self.random.randrange(1, len(cohort_ids) + 1))
            return {"field": Field.COHORT.value, "operator": self.one(["in", "notIn"]), "value": named}
        if self.chance(5):
            return {"field": Field.BUCKET.value, "operator": self.one(["<", ">="]), "value": self.one([0, 5000, 9000])}
        field, kind = self.one(_ASKED)
        operator = self.one(OPERATORS_OF[kind])
        rule: dict[str, object] = {"field": field, "operator": operator.value}
        if operator not in WITHOUT_VALUE:
            rule["value"] = self.operand(kind, operator)
        if kind is Kind.STRING and operator in FOLDING and self.chance(40):
            rule["ignoreCase"] = True
        return rule

    def operand(self, kind: Kind, operator: Operator) -> object:
        one: Callable[[], object] = self.element if kind is Kind.LIST else lambda: self.value(kind)
        match operator:
            case Operator.IN | Operator.NOT_IN | Operator.CONTAINS_ANY | Operator.CONTAINS_ALL | Operator.CONTAINS_NONE:
                return [one() for _ in range(self.one([1, 2, 3, 4, 18]))]
            case Operator.BETWEEN | Operator.NOT_BETWEEN:
                # Dates of the same form, so that they are in order whatever the zone.
                length = self.one([10, 19])
                cut = [str(one())[:length] for _ in range(2)] if kind is Kind.DATE else [one(), one()]
                return sorted(cut)  # type: ignore[type-var]
            case Operator.IN_LAST | Operator.NOT_IN_LAST | Operator.IN_NEXT | Operator.NOT_IN_NEXT:
                unit = self.one(["minute", "hour", "day", "week", "month", "year"])
                return {"amount": self.one([1, 2, 7, 30, 400, 5_000, 1_000_000]), "unit": unit}
            case Operator.ON_DAY | Operator.ANNIVERSARY:
                days = {self.one(["daysAgo", "daysAhead"]): self.one([0, 1, 2, 30, 365, 366, 10_000])}
                return self.one(["today", "yesterday", "tomorrow", days])
            case Operator.SIZE:
                comparison = self.one(SIZE_OPERATORS)
                is_range = comparison in (Operator.BETWEEN, Operator.NOT_BETWEEN)
                return {
                    "operator": comparison.value,
                    "value": [1, self.one([1, 2])] if is_range else self.one([0, 1, 2]),
                }
            case _:
                return one()


_ASKED = [
    *KINDS.items(),
    *KINDS.items(),
    *((field.value, kind) for field, kind in KIND_OF.items()),
    ("not there yet", Kind.LIST),
    ("not there yet", Kind.NUMBER),
]
