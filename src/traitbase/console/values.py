"""Values as people type them: a text and a type become the JSON value that the API is sent, or a message beside it."""

from __future__ import annotations

import json
import re
from datetime import datetime, tzinfo
from decimal import Decimal

from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.updates import Operation
from traitbase.domain.values import Kind, is_date, parse_number_literal

KINDS = (
    (Kind.STRING, "Text"),
    (Kind.NUMBER, "Number"),
    (Kind.BOOLEAN, "True or false"),
    (Kind.DATE, "Date"),
    (Kind.LIST, "List"),
)
"""The types, and what people call them."""

OPERATIONS = {
    Operation.SET: ("set", "Set it to"),
    Operation.ONCE: ("set-once", "Set it if there is no value"),
    Operation.ADD: ("numerical-add", "Add to the number"),
    Operation.APPEND: ("list-append", "Append to the list"),
    Operation.REMOVE: ("list-remove", "Remove from the list"),
    Operation.UNSET: ("unset", "Take the value away"),
}
"""The operations: the endpoint of each, and what it does in words."""

_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,400})(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,9})?")
"""A number as JSON has them (RFC 8259)."""

_OF_KIND = {
    Kind.NUMBER: (Operation.SET, Operation.ONCE, Operation.ADD, Operation.UNSET),
    Kind.LIST: (Operation.SET, Operation.ONCE, Operation.APPEND, Operation.REMOVE, Operation.UNSET),
}
_OF_OTHERS = (Operation.SET, Operation.ONCE, Operation.UNSET)


def operations_of(kind: str) -> list[tuple[str, str]]:
    """Return the operations that make sense for a type, with what they do in words."""
    return [(each.value, OPERATIONS[each][1]) for each in _OF_KIND.get(Kind(kind), _OF_OTHERS)]


def read_value(kind: Kind, text: str, path: str = "value") -> object:
    """Return the JSON value that a text stands for. Raises InvalidInput about the field, with what was expected."""
    match kind:
        case Kind.STRING:
            return text
        case Kind.NUMBER:
            return _number(text.strip(), path)
        case Kind.BOOLEAN:
            if text.strip() not in ("true", "false"):
                raise _invalid(path, "expected true or false")
            return text.strip() == "true"
        case Kind.DATE:
            if not is_date(text.strip()):
                raise _invalid(path, "expected a day such as 2026-11-30, or a time such as 2026-11-30T18:30:00+01:00")
            return text.strip()
        case Kind.LIST:
            return _elements(text, path)


def end_of_day(text: str, zone: tzinfo, path: str) -> datetime:
    """Return the last second of a day in a zone. Raises InvalidInput about the field for what is no day."""
    try:
        return datetime.fromisoformat(f"{text}T23:59:59").replace(tzinfo=zone)
    except ValueError as error:
        raise _invalid(path, "expected a day such as 2026-12-31") from error


def read_element(text: str, path: str = "value") -> object:
    """Return one element of a list. Raises InvalidInput about the field for several, or none."""
    if not text.strip() or "\n" in text.strip("\n"):
        raise _invalid(path, "expected one element: a text, or =7 for the number 7")
    text = text.strip("\n")
    quoted = read_quoted(text)
    return read_loose(text, path) if quoted is None else quoted


def read_quoted(text: str) -> str | None:
    """Return the text that stands in quotes, as JSON writes it; None for what is no such thing."""
    if len(text) < 2 or not text[0] == text[-1] == '"':
        return None
    try:
        return str(json.loads(text))
    except ValueError:
        return None


def read_loose(text: str, path: str = "value") -> object:
    """Return a value of who knows what type: a text, or behind an equals sign a number, or true or false."""
    if not text.startswith("="):
        return text
    if text[1:] in ("true", "false"):
        return text == "=true"
    return _number(text[1:], path)


def _number(text: str, path: str) -> Decimal:
    """Return a number with all its digits. A comma is not guessed at: 1,500 is not the same number everywhere."""
    if not _NUMBER.fullmatch(text):
        raise _invalid(path, "expected a number such as 19.99, with a point and without blanks or commas")
    return parse_number_literal(text)


def _elements(text: str, path: str) -> list[object]:
    """Return a list: each line is a text; what begins with a bracket is the whole list as JSON."""
    if not text.lstrip().startswith("["):
        return [each for each in text.split("\n") if each.strip()]
    try:
        found = json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise _invalid(path, f"this begins like a list in JSON, but is none: {error}") from error
    return list(found)


def typed(value: object) -> str:
    """Return a value as it would be typed."""
    if isinstance(value, list):
        if all(isinstance(each, str) and each.strip() and "\n" not in each for each in value) and not (
            value and str(value[0]).lstrip().startswith("[")
        ):
            return "\n".join(map(str, value))
        return json.dumps([_written(each) for each in value], ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return "" if value is None else str(value)


def _written(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _invalid(path: str, message: str) -> InvalidInput:
    return InvalidInput(f"{path}: {message}", faults=(Fault(path, message),))
