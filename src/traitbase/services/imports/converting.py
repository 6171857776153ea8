"""Reading one cell as another kind, strictly. What cannot be read stays as it is, and is then visibly ignored."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from traitbase.domain.values import JsonValue, Kind, Number, parse_number_literal

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "false": False}
_PLAIN_DIGITS_MAX = 30  # longer ones are out of range anyway, and `int` refuses thousands of digits

_decode = msgspec.json.Decoder(float_hook=parse_number_literal).decode


def _read_number(cell: str) -> JsonValue:
    """Read a number as JSON writes it: no sign `+`, no leading zeros, a point, nothing around it."""
    found = _NUMBER.fullmatch(cell)
    if found is None:
        return cell
    is_plain = found[1] is None and found[2] is None and len(found[0]) <= _PLAIN_DIGITS_MAX
    return int(found[0]) if is_plain else parse_number_literal(found[0])


def _read_boolean(cell: str) -> JsonValue:
    return _BOOLEANS.get(cell.lower(), cell)


def _read_list(cell: str) -> JsonValue:
    """Read a JSON array of single values."""
    try:
        value = _decode(cell)
    except (msgspec.DecodeError, RecursionError):
        return cell
    if type(value) is not list or any(type(element) in (list, dict) for element in value):
        return cell
    return value


def _write_number(value: Number) -> str:
    return format(value, "f") if type(value) is Decimal else str(value)


def _write_boolean(value: object) -> str:
    return "true" if value is True else "false"


FROM_TEXT: dict[Kind, Callable[[Any], Any]] = {
    Kind.NUMBER: _read_number,
    Kind.BOOLEAN: _read_boolean,
    Kind.LIST: _read_list,
}
"""How text is read as another kind. A Date is text anyway."""

CELL_FORMS = {
    Kind.NUMBER: "the column is read as numbers, written as in JSON: 19.99, -3, 1e5 (a point, no separators, no units)",
    Kind.BOOLEAN: "the column is read as booleans: true or false",
    Kind.DATE: "the column is read as dates: 2026-11-25, or 2026-11-25T18:30:00 with or without Z or +05:30",
    Kind.LIST: 'the column is read as lists, written as in JSON: ["a", "b"] or [1, 2] (strings, numbers and dates)',
}
"""What a person is told whose cell is none of these."""

TO_TEXT: dict[Kind, Callable[[Any], Any]] = {Kind.NUMBER: _write_number, Kind.BOOLEAN: _write_boolean}
"""How typed values are written as text, where the person asks for it."""
