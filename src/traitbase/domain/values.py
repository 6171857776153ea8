"""The five kinds of property value: what counts as one, when two are equal, and how each is written.

Sources: JSON (RFC 8259), dates a subset of ISO 8601 as listed at `is_date`, limits from the property API.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias

import msgspec

Number: TypeAlias = int | Decimal
Scalar: TypeAlias = str | int | Decimal | bool
Value: TypeAlias = str | int | Decimal | bool | list["Scalar"]

# What a JSON reader may hand over for one value. Objects are a fault of structure and never get this far.
JsonValue: TypeAlias = str | int | Decimal | bool | list["JsonValue"] | dict[str, "JsonValue"] | None

STRING_MAX_CODE_POINTS = 255
LIST_MAX_ELEMENTS = 1_000
NUMBER_INTEGER_DIGITS = 20
NUMBER_DECIMALS = 18

NUMBER_BOUND = 10**NUMBER_INTEGER_DIGITS
"""Numbers lie strictly between this and its negative."""

_FINEST = Decimal(1).scaleb(-NUMBER_DECIMALS)
_EXACT = Context(prec=2 * (NUMBER_INTEGER_DIGITS + NUMBER_DECIMALS), rounding=ROUND_HALF_EVEN)
_FAR_OUT_OF_RANGE = Decimal("1E+999999")
_FINER_THAN_ANYTHING = Decimal("1E-999999")


class Kind(StrEnum):
    """The type of a property, as written in definitions and answers."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    LIST = "list"


def parse_number_literal(text: str) -> Decimal:
    """Return the exact value of a JSON number literal with a fraction or exponent.

    Literals beyond what a Decimal can hold become one that is far out of range, or one that rounds to zero; both are
    then treated like any other number of their size.
    """
    try:
        return Decimal(text)
    except InvalidOperation:
        mantissa, exponent = re.split("[eE]", text)
        if not mantissa.strip("-.0"):
            return Decimal(0)
        negative = mantissa.startswith("-")
        tiny = exponent.startswith("-")
        magnitude = _FINER_THAN_ANYTHING if tiny else _FAR_OUT_OF_RANGE
        return -magnitude if negative else magnitude


def to_number(value: Number) -> Number | None:
    """Return the canonical form of a number (an int where it is whole), or None if it is out of range.

    Up to 20 integer digits and 18 decimals are kept exactly; finer digits are rounded half to even.
    """
    if isinstance(value, int):
        return value if -NUMBER_BOUND < value < NUMBER_BOUND else None
    text = str(value)
    if len(text) <= NUMBER_DECIMALS and text[-1] in "123456789" and "." in text and "E" not in text:
        return value  # short, plain and not whole: canonical as it is, like nearly every price and measure
    if not value.is_finite() or value.adjusted() > NUMBER_INTEGER_DIGITS:
        return 0 if not value else None
    if value.adjusted() < -NUMBER_DECIMALS - 1:
        return 0
    if value.as_tuple().exponent < -NUMBER_DECIMALS:  # type: ignore[operator]  # finite: an int
        # One rounding, from all the digits that were written, to at most 39: the context never rounds again.
        value = value.quantize(_FINEST, context=_EXACT)
    if not -NUMBER_BOUND < value < NUMBER_BOUND:  # looked at after rounding, which may have carried it over
        return None
    if value == value.to_integral_value():
        return int(value)
    return value.normalize(_EXACT)


def add(left: Number, right: Number) -> Number | None:
    """Return the exact sum of two canonical numbers in canonical form, or None if it is out of range."""
    if type(left) is int and type(right) is int:
        total: Number = left + right
    else:
        total = _EXACT.add(left, right)
    return to_number(total)


_DATE = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_EPOCH_ORDINAL = datetime(1970, 1, 1).toordinal()  # noqa: DTZ001  # arithmetic on calendar days, no zone involved
_DAY_US = 86_400_000_000


def is_date(text: str) -> bool:
    """Tell whether a string is a Date.

    That is `YYYY-MM-DD`, or `YYYY-MM-DDTHH:MM:SS` with 1 to 9 fraction digits or none, followed by `Z`, `±HH:MM` or
    nothing: a day that exists in the (proleptic Gregorian) calendar and a time that exists on a clock without leap
    seconds. Nothing around it: no blanks, no week dates, no other digits than 0 to 9.
    """
    return _has_date_shape(text) and _read_date(text) is not None


def instant_of(text: str, zone: tzinfo) -> int | None:
    """Return the instant of a Date in microseconds since 1970 UTC, or None if the text is no Date.

    Forms without an offset are read in `zone` (in a gap or fold of its clock, as `fold=0` does: the earlier offset).
    Digits past the microsecond are dropped.
    """
    return _instant_of(text, zone) if _has_date_shape(text) else None


def has_offset(date: str) -> bool:
    """Tell whether a Date says how far its clock is from UTC (`Z`, `±HH:MM`); if not, it is read in a zone."""
    return len(date) > len("YYYY-MM-DDTHH:MM:SS") and (date[-1] == "Z" or date[-6] in "+-")


def _has_date_shape(text: str) -> bool:
    # Keeps nearly all texts that are no dates, and all long ones, away from the regular expression and the caches.
    return 10 <= len(text) <= 35 and text[4] == "-" and text[7] == "-"


@lru_cache(maxsize=65_536)
def _instant_of(text: str, zone: tzinfo) -> int | None:
    parts = _read_date(text)
    if parts is None:
        return None
    local, microseconds, offset = parts
    if offset is None:
        offset = local.replace(tzinfo=zone).utcoffset() or timedelta()
    days = local.toordinal() - _EPOCH_ORDINAL
    seconds = local.hour * 3600 + local.minute * 60 + local.second
    # Integers, not datetimes: 0001-01-01 east of Greenwich lies before the first datetime there is.
    return days * _DAY_US + seconds * 1_000_000 + microseconds - offset // timedelta(microseconds=1)


@lru_cache(maxsize=65_536)
def _read_date(text: str) -> tuple[datetime, int, timedelta | None] | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    try:
        local = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))  # noqa: DTZ001  # its zone is worked out by the caller
    except ValueError:
        return None
    distance = _read_offset(offset) if offset else None
    if offset and distance is None:
        return None
    return local, int((fraction or "")[:6].ljust(6, "0")), distance


def _read_offset(text: str) -> timedelta | None:
    if text == "Z":
        return timedelta()
    hours, minutes = int(text[1:3]), int(text[4:6])
    if hours > 23 or minutes > 59:
        return None
    distance = timedelta(hours=hours, minutes=minutes)
    return -distance if text[0] == "-" else distance


def index_of(value: str | Number, elements: list[Scalar], zone: tzinfo) -> int | None:
    """Return the position of the element equal to `value`, or None.

    Equal means the same kind and the same value: numbers by value, strings exactly, dates by instant. Lists hold no
    booleans, so `1 == True` cannot mislead here.
    """
    if value in elements:
        return elements.index(value)
    if type(value) is not str:
        return None
    instant = instant_of(value, zone)
    if instant is None:
        return None
    for position, element in enumerate(elements):
        if type(element) is str and instant_of(element, zone) == instant:
            return position
    return None


def unique(elements: list[Scalar], zone: tzinfo) -> list[Scalar]:
    """Return the elements with each value once, the first position kept; equal as in `index_of`."""
    seen: set[object] = set()
    kept = []
    for element in elements:
        key = identity_of(element, zone)
        if key not in seen:
            seen.add(key)
            kept.append(element)
    return kept


def identity_of(element: Scalar, zone: tzinfo) -> object:
    """Return a hashable key that two list elements share exactly when they are equal as in `index_of`."""
    if type(element) is str:
        instant = instant_of(element, zone)
        return element if instant is None else (instant,)
    return element


_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(dict[str, object], float_hook=Decimal)


def encode_properties(properties: dict[str, Value]) -> bytes:
    """Return properties as the JSON object (UTF-8) that is stored: numbers exact, dates as written."""
    return _encoder.encode(properties)


def decode_properties(document: bytes | str) -> dict[str, Value]:
    """Return what `encode_properties` was given."""
    return _decoder.decode(document)  # type: ignore[return-value]  # only our own documents get here


def written(value: Value) -> object:
    """Return a value ready for a JSON encoder that shows it to people: numbers without an exponent.

    `Decimal("1E-7")` is stored as `1E-7` and shown as `0.0000001`.
    """
    if type(value) is Decimal:
        return msgspec.Raw(format(value, "f").encode())
    if type(value) is list:
        return [written(element) for element in value]
    return value


def kind_of_json(value: JsonValue) -> str:
    """Return the word a message uses for what was sent: `string`, `number`, `boolean`, `null`, `list` or `object`."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int() | Decimal():
            return "number"
        case list():
            return "list"
        case _:
            return "object"
