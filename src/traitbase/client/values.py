"""Values on their way out: Python's become JSON's exactly, and what has no honest form is refused before it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Literal, TypeAlias

import msgspec

from traitbase.client.errors import InvalidValue
from traitbase.client.items import Item
from traitbase.domain.errors import InvalidInput
from traitbase.domain.updates import Operation, Payload, parse_item
from traitbase.domain.values import JsonValue, is_date

PropertyValue: TypeAlias = str | int | float | Decimal | bool | date | Enum | Sequence["PropertyValue"]
"""What a property may be given. A `datetime` is a `date` to the type checker."""

NaiveDatetimes: TypeAlias = Literal["refuse"] | tzinfo

_INTEGER_MAX_DIGITS = 4_300  # Python writes no longer integers, lest a request costs minutes (CVE-2020-10735)
_INTEGER_BOUND = 10**_INTEGER_MAX_DIGITS
_SINGLE_VALUED = frozenset({Operation.ADD, Operation.APPEND, Operation.REMOVE})

_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Conversion:
    """Turns arguments into what is sent; `naive_datetimes` is what to do with a datetime that has no zone."""

    naive_datetimes: NaiveDatetimes = "refuse"

    def item(self, distinct_id: str, operation: Operation, given: Mapping[str, PropertyValue] | Iterable[str]) -> Item:
        """Return one operation on one profile, ready to be sent. Raises InvalidValue."""
        path = operation.value
        unset = operation is Operation.UNSET
        payload: Payload = _names(given, path) if unset else self._converted(given, operation, path)
        checked_text(distinct_id, "distinct_id")
        content: JsonValue = {"distinct_id": distinct_id, "action": {path: payload}}  # type: ignore[dict-item]  # mypy finds no list[str] in it
        _check_structure(content)
        return Item(distinct_id, operation, payload, encode(content, path=path))

    def properties(self, given: Mapping[str, PropertyValue]) -> dict[str, JsonValue]:
        """Return the properties of a whole profile as the wire has them. Raises InvalidValue."""
        converted = self._converted(given, Operation.SET, "properties")
        _check_structure({"distinct_id": "any", "action": {"$set": converted}}, called="properties")
        return converted

    def _converted(self, given: object, operation: Operation, path: str) -> dict[str, JsonValue]:
        if not isinstance(given, Mapping):
            raise InvalidValue(path, f"expected a mapping of names to values, not {_type_of(given)}")
        converted: dict[str, JsonValue] = {}
        for name, value in given.items():
            place = f"{path}.{checked_text(name, f'{path}: a property name')}"
            converted[name] = self._value(value, operation, place)
        return converted

    def _value(self, value: object, operation: Operation, path: str) -> JsonValue:
        if isinstance(value, list | tuple):
            if operation in _SINGLE_VALUED:
                raise InvalidValue(path, f"{operation.value} takes one value, not a list: make one call for each value")
            return [self._element(element, f"{path}[{position}]") for position, element in enumerate(value)]
        if operation is Operation.APPEND or operation is Operation.REMOVE:
            return self._element(value, path)
        scalar = self._scalar(value, path)
        if operation is Operation.ADD and (isinstance(scalar, bool) or not isinstance(scalar, int | Decimal)):
            raise InvalidValue(path, f"$add takes a number (int, Decimal or float), not {_type_of(value)}")
        return scalar

    def _element(self, value: object, path: str) -> JsonValue:
        if isinstance(value, list | tuple):
            raise InvalidValue(path, "a list holds single values, not lists: flatten it")
        scalar = self._scalar(value, path)
        if isinstance(scalar, bool):
            raise InvalidValue(path, "a list holds strings, numbers and dates, not booleans")
        return scalar

    def _scalar(self, value: object, path: str) -> str | int | Decimal | bool:
        match value:
            case Enum() if isinstance(value, str | int | float | Decimal | date):
                return self._scalar(value.value, path)
            case bool():
                return value
            case str():
                return checked_text(value, path)
            case int():
                return _integer(value, path)
            case Decimal():
                return _finite(Decimal(value), path)
            case float():
                # Not repr(): numpy's floats are floats too, and theirs reads "np.float64(0.1)".
                return _finite(Decimal(float.__repr__(value)), path)
            case datetime():
                return self._moment(value, path)
            case date():
                return value.isoformat()
        raise InvalidValue(path, _refusal_of(value))

    def _moment(self, value: datetime, path: str) -> str:
        offset = _offset_of(value, path)
        if offset is None:
            if not isinstance(self.naive_datetimes, tzinfo):
                raise InvalidValue(path, _NAIVE)
            value = value.replace(tzinfo=self.naive_datetimes)
            offset = value.utcoffset()
        if offset is not None and offset % timedelta(minutes=1):
            message = (
                f"a zone's offset is written in hours and minutes, this one is {offset}: use value.astimezone(UTC)"
            )
            raise InvalidValue(path, message)
        text = value.replace(tzinfo=None).isoformat() + "Z" if not offset else value.isoformat()
        if not is_date(text):  # a subclass may write itself as it likes; the server would keep that as a String
            raise InvalidValue(path, f"{text!r} is not how a time is written: make it a plain datetime")
        return text


_NAIVE = (
    "a datetime without a time zone says no instant. Give it its zone, as datetime.now(UTC) and "
    "value.replace(tzinfo=ZoneInfo('Asia/Kolkata')) do, or make the client with naive_datetimes=ZoneInfo(…) to have "
    "all of them read in that zone"
)


def checked_text(value: object, path: str) -> str:
    """Return a text as a plain str. Raises InvalidValue for another type, or half of a surrogate pair."""
    if not isinstance(value, str):
        raise InvalidValue(path, f"expected a str, not {_type_of(value)}")
    text = str.__str__(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            message = f"the character at {error.start} is half of a surrogate pair, which is no Unicode text"
            raise InvalidValue(path, message) from error
    return text


def encode(content: object, *, path: str) -> bytes:
    """Return content as JSON (UTF-8), numbers exact. Raises InvalidValue for what JSON cannot say."""
    try:
        return _encoder.encode(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue(path, f"it has no JSON form: {error}") from error


def _names(given: object, path: str) -> list[str]:
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InvalidValue(
            path, f"expected a list of property names, not {_type_of(given)}; for one name write ['plan']"
        )
    return [checked_text(name, f"{path}[{position}]") for position, name in enumerate(given)]


def _integer(value: int, path: str) -> int:
    number = int(value)
    if not -_INTEGER_BOUND < number < _INTEGER_BOUND:
        raise InvalidValue(path, f"an integer has at most {_INTEGER_MAX_DIGITS:,} digits")
    return number


def _finite(number: Decimal, path: str) -> Decimal:
    if not number.is_finite():
        raise InvalidValue(
            path, f"{number} is no number that could be kept; leave it out, or use unset to clear the property"
        )
    return number


def _offset_of(value: datetime, path: str) -> timedelta | None:
    try:
        return value.utcoffset()
    except ValueError as error:  # pandas.NaT is a datetime, too, and raises this
        raise InvalidValue(path, f"{value} is no time; leave it out, or use unset to clear the property") from error


def _refusal_of(value: object) -> str:
    match value:
        case None:
            return "None is no value: to clear a property call unset(distinct_id, [name]), to keep it leave it out"
        case Mapping():
            return "a dict cannot be a value: flatten it into several properties"
        case set() | frozenset():
            return "a set has no order, and lists keep theirs: give sorted(value) or list(value)"
        case Enum():
            return f"{_type_of(value)} is an Enum of neither text nor numbers: give its .value, or make it a StrEnum"
    if type(value).__module__ == "numpy":
        return f"numpy's {_type_of(value)} cannot be sent: give value.item(), or value.tolist() of an array"
    return (
        f"a value of type {_type_of(value)} cannot be sent: expected str, int, float, Decimal, bool, date, an aware "
        "datetime, or a list of these"
    )


def _check_structure(content: JsonValue, *, called: str = "$set") -> None:
    """Let the server's own rules say what a request may look like: names, ids, nothing empty."""
    try:
        parse_item(content)
    except InvalidInput as error:
        fault = error.faults[0]
        raise InvalidValue(fault.path.removeprefix("action.").replace("$set", called, 1), fault.message) from error


def _type_of(value: object) -> str:
    return type(value).__qualname__
