"""The six operations once more: slow, simple, from the specification alone. Laws compare the real ones with it.

Values are tagged, so that `1`, `1.0`, `true` and `"1"` can never be mistaken for each other: `("number", Fraction)`,
`("boolean", bool)`, `("text", str)` for strings and dates, `("list", (…))`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

ORDER = ("$set", "$once", "$add", "$append", "$remove", "$unset")
CREATING = ORDER[:4]
PROPERTIES_MAX = 2_000
DEFINITIONS_MAX = 5_000
BYTES_MAX = 256 * 1024
ELEMENTS_MAX = 1_000

Tagged = tuple[str, Any]
Properties = dict[str, Tagged]


class Outcome(NamedTuple):
    """What the specification says must come of an update. `ignored` is in no particular order."""

    properties: Properties | None
    new_kinds: dict[str, str]
    ignored: list[tuple[str, str, str]]


def tagged(value: object) -> Tagged:
    """Return a stored value in the form this model compares."""
    if type(value) is bool:
        return "boolean", value
    if type(value) is str:
        return "text", value
    if type(value) is list:
        return "list", tuple(tagged(element) for element in value)
    return "number", Fraction(value)


def tagged_properties(properties: dict[str, Any]) -> Properties:
    return {name: tagged(value) for name, value in properties.items()}


def apply(
    properties: Properties | None,
    operations: Iterable[tuple[str, Any]],
    *,
    kinds: dict[str, str],
    zone: tzinfo,
    archived: frozenset[str] = frozenset(),
) -> Outcome:
    """Apply as a whole if the result keeps the limits of a profile, else value by value while they fit."""
    sent = [(str(operation), payload) for operation, payload in operations]
    whole = _Run(properties, kinds, zone, archived, room=lambda _before, _after: True).run(sent)
    if whole.properties is None or (len(whole.properties) <= PROPERTIES_MAX and size_of(whole.properties) <= BYTES_MAX):
        return whole
    return _Run(properties, kinds, zone, archived, room=_has_room).run(sent)


def size_of(properties: Properties) -> int:
    """Return the bytes of the smallest JSON document that holds the properties (whole numbers only)."""
    entries = [_size_of_entry(name, value) for name, value in properties.items()]
    return sum(entries) + len(",") * max(0, len(entries) - 1) + len("{}")


@lru_cache(maxsize=10_000)
def _size_of_entry(name: str, value: Tagged) -> int:
    document = json.dumps({name: _plain(value)}, ensure_ascii=False, separators=(",", ":"))
    return len(document.encode()) - len("{}")


def _plain(value: Tagged) -> object:
    word, content = value
    if word == "number":
        return int(content)
    return [_plain(element) for element in content] if word == "list" else content


def _has_room(before: Properties, after: Properties) -> bool:
    if len(after) > PROPERTIES_MAX and len(after) > len(before):
        return False
    return size_of(after) <= BYTES_MAX or size_of(after) <= size_of(before)


class _Run:
    def __init__(
        self,
        properties: Properties | None,
        kinds: dict[str, str],
        zone: tzinfo,
        archived: frozenset[str],
        *,
        room: Callable[[Properties, Properties], bool],
    ) -> None:
        self.unknown = properties is None
        self.properties = dict(properties or {})
        self.kinds = dict(kinds)
        self.new_kinds: dict[str, str] = {}
        self.ignored: list[tuple[str, str, str]] = []
        self.zone = zone
        self.archived = archived
        self.room = room

    def run(self, sent: list[tuple[str, Any]]) -> Outcome:
        creates = any(operation in CREATING for operation, _ in sent)
        for operation, payload in sorted(sent, key=lambda each: ORDER.index(each[0])):
            entries = dict.fromkeys(payload) if operation == "$unset" else payload
            for name, value in entries.items():
                reason = "absent" if self.unknown and not creates else self.one(operation, name, value)
                if reason:
                    self.ignored.append((operation, name, reason))
        return Outcome(None if self.unknown and not creates else self.properties, self.new_kinds, self.ignored)

    def one(self, operation: str, name: str, sent: Any) -> str:
        """Do one operation on one property and return why it was ignored, or nothing."""
        match operation:
            case "$set":
                return self.put(name, sent)
            case "$once":
                return self.put(name, sent, only_if_absent=True)
            case "$add":
                return self.add(name, sent)
            case "$append":
                return self.append(name, sent)
            case "$remove":
                return self.remove(name, sent)
            case _:
                return "" if self.properties.pop(name, None) is not None else "absent"

    def put(self, name: str, sent: Any, *, only_if_absent: bool = False) -> str:
        if sent is None:
            return "null_value"
        kind = self.kinds.get(name)
        brings = kind_of(sent)
        if kind is not None and brings != kind and not (kind == "string" and type(sent) is str):
            return "type_mismatch"
        value = kept(sent, self.zone)
        if type(value) is str:
            return value
        if name in self.archived:
            return "property_archived"
        if only_if_absent and name in self.properties:
            return "already_set"
        return self.write(name, value, kind or brings)

    def add(self, name: str, sent: Any) -> str:
        if sent is None:
            return "null_value"
        if type(sent) not in (int, Decimal):
            return "not_a_number"
        if reason := self.refusal(name, "number"):
            return reason
        number = rounded(sent)
        total = None if number is None else rounded(self.properties.get(name, ("number", Fraction(0)))[1] + number)
        return "number_out_of_range" if total is None else self.write(name, ("number", total), "number")

    def append(self, name: str, sent: Any) -> str:
        if sent is None:
            return "null_value"
        if reason := self.refusal(name, "list"):
            return reason
        element = kept_element(sent)
        if type(element) is str:
            return element
        current = self.properties.get(name, ("list", ()))[1]
        if any(same(element, other, self.zone) for other in current):
            return "already_in_list"
        if len(current) >= ELEMENTS_MAX:
            return "list_full"
        return self.write(name, ("list", (*current, element)), "list")

    def remove(self, name: str, sent: Any) -> str:
        if self.kinds.get(name, "list") != "list":
            return "type_mismatch"
        if name not in self.properties:
            return "absent"
        if sent is None:
            return "null_value"
        element = tagged(sent) if type(sent) is str else kept_element(sent)
        if type(element) is str:
            return element
        left = tuple(other for other in self.properties[name][1] if not same(element, other, self.zone))
        if left == self.properties[name][1]:
            return "absent"
        self.properties[name] = ("list", left)
        return ""

    def refusal(self, name: str, kind: str) -> str:
        if self.kinds.get(name, kind) != kind:
            return "type_mismatch"
        return "property_archived" if name in self.archived else ""

    def write(self, name: str, value: Tagged, kind: str) -> str:
        if name not in self.kinds and len(self.kinds) >= DEFINITIONS_MAX:
            return "too_many_properties"
        after = {**self.properties, name: value}
        if not self.room(self.properties, after):
            return "profile_full"
        self.properties = after
        if name not in self.kinds:
            self.kinds[name] = self.new_kinds[name] = kind
        return ""


def kind_of(sent: Any) -> str:
    """Return the type that a first value gives to an unknown property."""
    if type(sent) is bool:
        return "boolean"
    if type(sent) is str:
        return "string" if read_date(sent) is None else "date"
    return "list" if type(sent) is list else "number"


def kept(sent: Any, zone: tzinfo) -> Tagged | str:
    """Return the value as it is kept, or the reason why it is not."""
    if type(sent) is bool:
        return "boolean", sent
    if type(sent) is not list:
        return kept_element(sent)
    elements: list[Tagged] = []
    for each in sent:
        element = kept_element(each)
        if type(element) is str:
            return element
        if not any(same(element, other, zone) for other in elements):
            elements.append(element)
    return "list_too_long" if len(elements) > ELEMENTS_MAX else ("list", tuple(elements))


def kept_element(sent: Any) -> Tagged | str:
    """Return what may stand in a list, or the reason why it may not."""
    if type(sent) is str:
        if len(sent) > 255:
            return "string_too_long"
        return "nul_character" if "\0" in sent else ("text", sent)
    if type(sent) in (int, Decimal):
        number = rounded(sent)
        return "number_out_of_range" if number is None else ("number", number)
    return "list_element_type"


def rounded(sent: int | Decimal | Fraction) -> Fraction | None:
    """Return the number with 18 decimals, half to even, or None if it has more than 20 digits before the point."""
    if type(sent) is Decimal and sent and not -100 < sent.adjusted() < 100:
        return None if sent.adjusted() > 0 else Fraction(0)  # spares fractions with a million digits
    if type(sent) is Decimal and not sent:
        return Fraction(0)
    number = Fraction(round(Fraction(sent) * 10**18), 10**18)
    return number if abs(number) < 10**20 else None


def same(left: Tagged, right: Tagged, zone: tzinfo) -> bool:
    """Tell whether two list elements are the same kind and the same value."""
    if left == right:
        return True
    if left[0] != "text" or right[0] != "text":
        return False
    moment = instant_of(left[1], zone)
    return moment is not None and moment == instant_of(right[1], zone)


def read_date(text: str) -> tuple[date, int, timedelta | None] | None:
    """Return the calendar day, the microsecond of the day, and the offset of a Date (None: not written)."""
    shape = "".join("9" if character in "0123456789" else character for character in text)
    if shape[:10] != "9999-99-99":
        return None
    clock, offset = text[10:], None
    if clock.endswith("Z"):
        clock, offset = clock[:-1], timedelta()
    elif shape[-6:] in ("+99:99", "-99:99") and len(text) > 16:
        hours, minutes = int(text[-5:-3]), int(text[-2:])
        if hours > 23 or minutes > 59:
            return None
        offset = timedelta(hours=hours, minutes=minutes) * (-1 if text[-6] == "-" else 1)
        clock = clock[:-6]
    try:
        day = date(int(text[:4]), int(text[5:7]), int(text[8:10]))
        if not clock:
            return (day, 0, None) if offset is None else None
        return day, _microsecond_of_day(clock), offset
    except ValueError:
        return None


def _microsecond_of_day(clock: str) -> int:
    shape = "".join("9" if character in "0123456789" else character for character in clock)
    if shape not in {"T99:99:99", *("T99:99:99." + "9" * digits for digits in range(1, 10))}:
        raise ValueError(clock)
    at = time(int(clock[1:3]), int(clock[4:6]), int(clock[7:9]))
    seconds = (at.hour * 60 + at.minute) * 60 + at.second
    return seconds * 1_000_000 + int(clock[10:].ljust(6, "0")[:6])


def instant_of(text: str, zone: tzinfo) -> int | None:
    """Return the microseconds since 1970 UTC of a Date, or None."""
    parts = read_date(text)
    if parts is None:
        return None
    day, microsecond, offset = parts
    if offset is None:
        at = time(microsecond // 3_600_000_000, microsecond // 60_000_000 % 60, microsecond // 1_000_000 % 60)
        offset = zone.utcoffset(datetime.combine(day, at, tzinfo=zone)) or timedelta()
    days = day.toordinal() - date(1970, 1, 1).toordinal()
    return days * 86_400_000_000 + microsecond - offset // timedelta(microseconds=1)
