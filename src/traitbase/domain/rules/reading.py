"""The value of a rule, read as its operator and its field's type want it: what does not fit is said so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from traitbase.domain.rules.moments import (
    DAY_US,
    Moment,
    day_interval,
    instant_of_wall,
    is_leap_year,
    month_and_day,
    months_away,
)
from traitbase.domain.rules.operators import POSITIVE_OF, SIZE_OPERATORS, Operator
from traitbase.domain.rules.plan import (
    BooleanIs,
    DateWithin,
    Element,
    HasAll,
    HasAny,
    NumberIs,
    NumberWithin,
    OnAnniversary,
    SizeIs,
    Test,
    TextHas,
    TextIs,
    Where,
)
from traitbase.domain.rules.texts import folded
from traitbase.domain.rules.tree import Rule
from traitbase.domain.values import JsonValue, Kind, Number, identity_of, instant_of, is_date, kind_of_json, to_number

IN_MAX = 100_000
"""Values in one `in`, and elements in one rule about a list."""

TEXT_MAX_CODE_POINTS = 2_048
"""Longest text in a rule: that of the longest thing it can be compared with, a destination."""

COHORTS_MAX = 100
"""Cohorts that one rule can name."""

AMOUNT_MAX = 1_000_000
"""Largest amount of a unit of time."""

_MINUTE_US = 60_000_000
_UNITS_US = {"minute": _MINUTE_US, "hour": 60 * _MINUTE_US, "day": DAY_US, "week": 7 * DAY_US}
_UNITS_MONTHS = {"month": 1, "year": 12}
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_DAY_LENGTH = len("YYYY-MM-DD")
_ENDS = 2


class Misfit(Exception):
    """A value that its rule cannot have. `place` is where in the rule it is."""

    def __init__(self, message: str, *, place: str = "value") -> None:
        super().__init__(message)
        self.message = message
        self.place = place


def read_test(rule: Rule, operator: Operator, kind: Kind, moment: Moment) -> tuple[Test, bool]:
    """Return what a rule tests, and whether its complement is meant (a size of `!=`).

    `operator` is the rule's own or its positive twin, one of those of the type. Raises Misfit.
    """
    match kind:
        case Kind.STRING:
            return _read_text_test(rule, operator), False
        case Kind.NUMBER:
            return _read_number_test(rule.value, operator, "value"), False
        case Kind.BOOLEAN:
            if type(rule.value) is not bool:
                raise Misfit(f"expected true or false, not {_shown(rule.value)}")
            return BooleanIs(rule.value), False
        case Kind.DATE:
            return _read_date_test(rule.value, operator, moment), False
        case Kind.LIST:
            return _read_list_test(rule.value, operator, moment)


def read_cohort_ids(sent: JsonValue) -> list[str]:
    """Return the cohort ids that a rule names: one, or a list. Raises Misfit."""
    found = [sent] if type(sent) is str else sent
    if type(found) is not list or not found or not all(type(each) is str for each in found):
        raise Misfit("expected the id of a cohort, or an array of ids")
    if len(found) > COHORTS_MAX:
        raise Misfit(f"expected at most {COHORTS_MAX} cohorts")
    return [str(each) for each in found]


def _read_text_test(rule: Rule, operator: Operator) -> Test:
    fold = rule.ignores_case
    if operator is Operator.IN:
        texts = [_read_text(each, f"value[{at}]") for at, each in enumerate(_several(rule.value))]
        return TextIs(frozenset(map(folded, texts) if fold else texts), fold)
    text = _read_text(rule.value, "value")
    text = folded(text) if fold else text
    if operator is Operator.EQUAL:
        return TextIs(frozenset((text,)), fold)
    return TextHas(text, _WHERE[operator], fold)


_WHERE = {
    Operator.CONTAINS: Where.ANYWHERE,
    Operator.BEGINS_WITH: Where.START,
    Operator.ENDS_WITH: Where.END,
}


def _read_text(sent: JsonValue, place: str) -> str:
    if type(sent) is not str:
        raise Misfit(f"expected a text, not {_shown(sent)}", place=place)
    if len(sent) > TEXT_MAX_CODE_POINTS:
        raise Misfit(f"expected a text of at most {TEXT_MAX_CODE_POINTS:,} characters, not {len(sent):,}", place=place)
    return sent


def _read_number_test(sent: JsonValue, operator: Operator, place: str) -> NumberIs | NumberWithin:
    if operator is Operator.IN:
        return NumberIs(frozenset(_read_number(each, f"{place}[{at}]") for at, each in enumerate(_several(sent))))
    if operator is Operator.BETWEEN:
        low, high = (_read_number(each, f"{place}[{at}]") for at, each in enumerate(_ends(sent)))
        if low > high:
            raise Misfit("expected the lower end first", place=place)
        return NumberWithin(low, high)
    number = _read_number(sent, place)
    match operator:
        case Operator.LESS:
            return NumberWithin(high=number, high_is_out=True)
        case Operator.LESS_OR_EQUAL:
            return NumberWithin(high=number)
        case Operator.GREATER:
            return NumberWithin(low=number, low_is_out=True)
        case Operator.GREATER_OR_EQUAL:
            return NumberWithin(low=number)
        case _:
            return NumberIs(frozenset((number,)))


def _read_number(sent: JsonValue, place: str) -> Number:
    """Return a number as a property would hold it: compared with what was set to the same literal, it is equal."""
    if isinstance(sent, bool) or not isinstance(sent, int | Decimal):
        hint = "; write it without quotes" if type(sent) is str else ""
        raise Misfit(f"expected a number, not {_shown(sent)}{hint}", place=place)
    number = to_number(sent)
    if number is None:
        raise Misfit("expected a number of at most 20 digits before the point: no property can hold this", place=place)
    return number


def _read_date_test(sent: JsonValue, operator: Operator, moment: Moment) -> Test:
    match operator:
        case Operator.IN_LAST | Operator.IN_NEXT:
            return _read_rolling(sent, operator, moment)
        case Operator.ON_DAY:
            return DateWithin(*day_interval(moment.today + _read_days(sent), moment.zone))
        case Operator.ANNIVERSARY:
            return _anniversary(moment.today + _read_days(sent))
        case Operator.BETWEEN:
            first, last = (_read_date(each, moment, f"value[{at}]") for at, each in enumerate(_ends(sent)))
            if first[0] > last[0]:
                raise Misfit("expected the earlier end first")
            return DateWithin(first[0], last[1])
        case _:
            start, end = _read_date(sent, moment, "value")
            return _COMPARED[operator](start, end)


_COMPARED: Mapping[Operator, Callable[[int, int], DateWithin]] = {
    Operator.EQUAL: DateWithin,
    Operator.LESS: lambda start, _end: DateWithin(None, start),
    Operator.LESS_OR_EQUAL: lambda _start, end: DateWithin(None, end),
    Operator.GREATER: lambda _start, end: DateWithin(end, None),
    Operator.GREATER_OR_EQUAL: lambda start, _end: DateWithin(start, None),
}


def _read_date(sent: JsonValue, moment: Moment, place: str) -> tuple[int, int]:
    """Return the instants that a date stands for, the last excluded: a whole calendar day, or one microsecond."""
    if type(sent) is not str or not is_date(sent):
        expected = "expected a date: YYYY-MM-DD (the whole day), or YYYY-MM-DDTHH:MM:SS with Z or an offset behind it"
        raise Misfit(f"{expected}, not {_shown(sent)}", place=place)
    start = instant_of(sent, moment.zone)
    assert start is not None, "it is a date"
    if len(sent) > _DAY_LENGTH:
        return start, start + 1
    midnight = instant_of(f"{sent}T00:00:00Z", moment.zone)
    assert midnight is not None, "it is a date"
    return start, instant_of_wall(midnight + DAY_US, moment.zone)


def _read_rolling(sent: JsonValue, operator: Operator, moment: Moment) -> DateWithin:
    amount, unit = (sent.get("amount"), sent.get("unit")) if type(sent) is dict else (None, None)
    units = (*_UNITS_US, *_UNITS_MONTHS)
    if type(sent) is not dict or set(sent) != {"amount", "unit"} or type(unit) is not str or unit not in units:
        raise Misfit(f'expected {{"amount": 7, "unit": "day"}}, the unit one of {", ".join(units)}')
    if type(amount) is not int or not 1 <= amount <= AMOUNT_MAX:
        raise Misfit(f"expected a whole number from 1 to {AMOUNT_MAX:,}", place="value.amount")
    sign = -1 if operator is Operator.IN_LAST else 1
    if unit in _UNITS_US:
        other = moment.now_us + sign * amount * _UNITS_US[unit]
    else:
        other = months_away(moment.now_us, sign * amount * _UNITS_MONTHS[unit], moment.zone)
    return DateWithin(min(other, moment.now_us), max(other, moment.now_us) + 1)


def _read_days(sent: JsonValue) -> int:
    """Return how many days ahead of today is meant."""
    if type(sent) is str and sent in _DAYS:
        return _DAYS[sent]
    if type(sent) is dict and len(sent) == 1:
        [(key, days)] = sent.items()
        if key in ("daysAgo", "daysAhead"):
            if type(days) is not int or not 0 <= days <= AMOUNT_MAX:
                raise Misfit(f"expected a whole number from 0 to {AMOUNT_MAX:,}", place=f"value.{key}")
            return -days if key == "daysAgo" else days
    raise Misfit('expected "today", "yesterday", "tomorrow", {"daysAgo": 3} or {"daysAhead": 3}')


def _anniversary(day: int) -> OnAnniversary:
    month, number = month_and_day(day)
    days = {(month, number)}
    if (month, number) == (2, 28) and not is_leap_year(day):
        days.add((2, 29))
    return OnAnniversary(frozenset(days))


def _read_list_test(sent: JsonValue, operator: Operator, moment: Moment) -> tuple[Test, bool]:
    match operator:
        case Operator.IS_NOT_EMPTY:
            return SizeIs(NumberWithin(low=1)), False
        case Operator.SIZE:
            return _read_size(sent)
        case Operator.CONTAINS:
            return HasAny(frozenset((_read_element(sent, moment, "value"),))), False
        case _:
            elements = (_read_element(each, moment, f"value[{at}]") for at, each in enumerate(_several(sent)))
            return (HasAll if operator is Operator.CONTAINS_ALL else HasAny)(frozenset(elements)), False


def _read_element(sent: JsonValue, moment: Moment, place: str) -> Element:
    if type(sent) is str:
        return identity_of(_read_text(sent, place), moment.zone)  # type: ignore[return-value]  # of a text
    if isinstance(sent, bool) or not isinstance(sent, int | Decimal):
        raise Misfit(f"expected a text or a number, as lists hold, not {_shown(sent)}", place=place)
    return _read_number(sent, place)


def _read_size(sent: JsonValue) -> tuple[SizeIs, bool]:
    word = sent.get("operator") if type(sent) is dict else None
    operator = next((each for each in SIZE_OPERATORS if each.value == word), None)
    if type(sent) is not dict or set(sent) != {"operator", "value"} or operator is None:
        words = ", ".join(each.value for each in SIZE_OPERATORS)
        raise Misfit(f'expected {{"operator": ">=", "value": 2}}, the operator one of {words}')
    positive = POSITIVE_OF.get(operator, operator)
    test = _read_number_test(sent["value"], positive, "value.value")
    if isinstance(test, NumberIs):
        (number,) = test.numbers
        test = NumberWithin(number, number)
    return SizeIs(test), positive is not operator


def _several(sent: JsonValue) -> list[JsonValue]:
    if type(sent) is not list:
        raise Misfit(f"expected an array of values, not {_shown(sent)}")
    if not sent:
        raise Misfit("expected at least one value")
    if len(sent) > IN_MAX:
        raise Misfit(f"expected at most {IN_MAX:,} values, not {len(sent):,}; a static cohort can have more members")
    return sent


def _ends(sent: JsonValue) -> list[JsonValue]:
    if type(sent) is not list or len(sent) != _ENDS:
        raise Misfit(f"expected an array of two ends, [from, to], not {_shown(sent)}")
    return sent


def _shown(sent: JsonValue) -> str:
    """Return what was sent in few words: its type, and a short text or number itself."""
    kind = kind_of_json(sent)
    if type(sent) is str:
        return f"the text {sent[:40]!r}"
    return f"the number {str(sent)[:40]}" if kind == "number" else kind
