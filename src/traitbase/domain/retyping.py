"""Retyping: what a stored value becomes when its property gets another type, or that it cannot become anything.

| from, to | String | Number | Boolean | Date | List |
| --- | --- | --- | --- | --- | --- |
| String | as it is | a JSON number literal | `true`, `false` | one of the Date forms | of this one element |
| Number | its plain digits | as it is | - | - | of this one element |
| Boolean | `true`, `false` | - | as it is | - | - |
| Date | as written | - | - | as it is | of this one element |
| List | what its one element becomes | likewise | likewise | likewise | as it is |

Nothing is guessed: no number is taken for a date or a Boolean, no text is trimmed, and what would lose digits does not
convert. Where there is a dash, or a value is not of the form, there is no conversion.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import assert_never

from traitbase.domain.values import (
    LIST_MAX_ELEMENTS,
    NUMBER_DECIMALS,
    NUMBER_INTEGER_DIGITS,
    STRING_MAX_CODE_POINTS,
    Kind,
    Number,
    Scalar,
    Value,
    is_date,
    to_number,
)

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_NUMBER_TEXT_MAX = 255
_BOOLEANS = {"true": True, "false": False}


def convert(value: Value, kind: Kind) -> Value | None:
    """Return the value as one of that kind (itself, where it is one already), or None if it cannot be.

    A string stands for a String and a Date alike: what it becomes does not depend on which it was. Converting from
    String to Number and back gives the number's canonical form; a scalar that becomes a List comes back as it was.
    """
    match kind:
        case Kind.STRING:
            return _to_string(value)
        case Kind.NUMBER:
            return _to_number(value)
        case Kind.BOOLEAN:
            return _to_boolean(value)
        case Kind.DATE:
            return _to_date(value)
        case Kind.LIST:
            return _to_list(value)
        case _:
            assert_never(kind)


def fits(value: Value, kind: Kind) -> bool:
    """Tell whether a stored value is one of that kind."""
    match value:
        case bool():
            return kind is Kind.BOOLEAN
        case str():
            if kind is Kind.DATE:
                return is_date(value)
            return kind is Kind.STRING and len(value) <= STRING_MAX_CODE_POINTS
        case list():
            return kind is Kind.LIST and len(value) <= LIST_MAX_ELEMENTS
        case _:
            return kind is Kind.NUMBER


def _to_string(value: Value) -> Value | None:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case list():
            return _of_only_element(value, Kind.STRING)
        case _:
            return format(value, "f") if isinstance(value, Decimal) else str(value)


def _to_number(value: Value) -> Value | None:
    match value:
        case bool():
            return None
        case str():
            return _read_number(value)
        case list():
            return _of_only_element(value, Kind.NUMBER)
        case _:
            return value


def _to_boolean(value: Value) -> Value | None:
    match value:
        case bool():
            return value
        case str():
            return _BOOLEANS.get(value)
        case list():
            return _of_only_element(value, Kind.BOOLEAN)
        case _:
            return None


def _to_date(value: Value) -> Value | None:
    match value:
        case str():
            return value if is_date(value) else None
        case list():
            return _of_only_element(value, Kind.DATE)
        case _:
            return None


def _to_list(value: Value) -> Value | None:
    if isinstance(value, list):
        return value
    return None if isinstance(value, bool) else [value]


def _of_only_element(elements: list[Scalar], kind: Kind) -> Value | None:
    return convert(elements[0], kind) if len(elements) == 1 else None


def _read_number(text: str) -> Number | None:
    """Return the number that a text writes as JSON would, if it can be kept to its last digit."""
    if len(text) > _NUMBER_TEXT_MAX or _NUMBER.fullmatch(text) is None:
        return None
    written = Decimal(text)
    if written and not -NUMBER_DECIMALS <= written.adjusted() < NUMBER_INTEGER_DIGITS:
        return None
    number = to_number(written)
    return number if number == written else None
