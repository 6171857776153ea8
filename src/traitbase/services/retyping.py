"""Giving a property another type: every value is converted, or kept aside until a later type fits it again."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from operator import attrgetter
from typing import NamedTuple, TypeVar

import msgspec

from traitbase.domain.effects import effect_on_properties
from traitbase.domain.profiles import PROFILE_MAX_BYTES, PROPERTIES_MAX
from traitbase.domain.retyping import convert
from traitbase.domain.values import Kind, Value, decode_properties, encode_properties
from traitbase.services.ports import ChangeRow, KeptAsideRow, ProfileRow, Rewriting

CHUNK = 256
"""Profiles that are held at a time; the largest are 256 KB."""

ACTION = "retype"
"""The action of a retype's changes."""

_SAMPLES = 10
_values = msgspec.json.Decoder(list[object], float_hook=Decimal)
_encode = msgspec.json.Encoder(decimal_format="number").encode
_Row = TypeVar("_Row", ProfileRow, KeptAsideRow)


class Asked(NamedTuple):
    """Who asked for something, by which request and when (microseconds since 1970 UTC), and whether to keep history."""

    request_id: str
    at_us: int
    key_id: str
    keeps_history: bool = True


class Sample(NamedTuple):
    """What a retype does to the value of one profile (`after` None: it is kept aside)."""

    distinct_id: str
    before: Value
    after: Value | None


@dataclass(slots=True)
class Retyped:
    """What a retype does, or would do: of how many profiles with a value (`profiles`) it converts or is kept aside.

    `came_back` counts values that were kept aside before and fit now, of profiles that had no value. The samples are
    the first few by distinct_id.
    """

    profiles: int = 0
    converted: int = 0
    kept_aside: int = 0
    came_back: int = 0
    converted_samples: list[Sample] = field(default_factory=list)
    kept_aside_samples: list[Sample] = field(default_factory=list)


def retype(rewriting: Rewriting, name: str, kind: Kind, asked: Asked) -> Retyped:
    """Convert a property's values in all profiles of a space. The definition itself is the caller's.

    A profile of which nothing changes (any Date is a String as it is) is not written.
    """
    work = _Retype(rewriting, name, kind, asked)
    people = _people(rewriting, name)
    while chunk := list(itertools.islice(people, CHUNK)):
        work.take(chunk)
    return work.done


def values_of(row: KeptAsideRow) -> list[Value]:
    """Return the values kept aside for a profile, the newest last."""
    return _values.decode(row.values)  # type: ignore[return-value]  # only values are ever put there


class _Person(NamedTuple):
    """An id with its profile (None: it does not have the property) and what is kept aside for it."""

    distinct_id: str
    row: ProfileRow | None
    kept: KeptAsideRow | None


def _people(rewriting: Rewriting, name: str) -> Iterator[_Person]:
    """Yield, in order of ids, everybody who has the property or something kept aside of it.

    Both are read side by side: whatever is written for a person, everything about them was read before.
    """
    having = _paged(lambda after: rewriting.profiles_having(name, after=after, limit=CHUNK))
    kept_aside = _paged(lambda after: rewriting.kept_aside(name, after=after, limit=CHUNK))
    by_id = attrgetter("distinct_id")
    for distinct_id, rows in itertools.groupby(heapq.merge(having, kept_aside, key=by_id), key=by_id):
        row: ProfileRow | None = None
        kept: KeptAsideRow | None = None
        for each in rows:
            if isinstance(each, ProfileRow):
                row = each
            elif isinstance(each, KeptAsideRow):
                kept = each
        yield _Person(distinct_id, row, kept)


def _paged(read: Callable[[str], list[_Row]]) -> Iterator[_Row]:
    after = ""
    while True:
        rows = read(after)
        yield from rows
        if len(rows) < CHUNK:
            return
        after = rows[-1].distinct_id


class _Retype:
    """A retype under way."""

    def __init__(self, rewriting: Rewriting, name: str, kind: Kind, asked: Asked) -> None:
        self._rewriting = rewriting
        self._name = name
        self._kind = kind
        self._asked = asked
        self._changed = 0
        self._profiles: list[ProfileRow] = []
        self._changes: list[ChangeRow] = []
        self._kept: list[KeptAsideRow] = []
        self._given_back: list[str] = []
        self._same: list[str] = []
        self.done = Retyped()

    def take(self, people: list[_Person]) -> None:
        """Do some people's part of it, and write it."""
        missing = [person.distinct_id for person in people if person.row is None]
        found = {row.distinct_id: row for row in self._rewriting.find_profiles(missing)} if missing else {}
        for person in people:
            row = person.row or found.get(person.distinct_id)
            if row is None or row.alias_of is not None:
                continue  # what is kept aside for an id that leads elsewhere stays there, and listed
            properties = decode_properties(row.document)
            if self._name in properties:
                self._convert(row, properties, person.kept)
            elif person.kept is not None:
                self._give_back(row, properties, person.kept)
        self._write()

    def _convert(self, row: ProfileRow, properties: dict[str, Value], kept: KeptAsideRow | None) -> None:
        done, name = self.done, self._name
        done.profiles += 1
        before = properties[name]
        after = convert(before, self._kind)
        if after is None:
            done.kept_aside += 1
            if done.kept_aside <= _SAMPLES:
                done.kept_aside_samples.append(Sample(row.distinct_id, before, None))
            self._keep(row, before, kept)
            self._put(row, {each: value for each, value in properties.items() if each != name}, properties)
            return
        done.converted += 1
        if done.converted <= _SAMPLES:
            done.converted_samples.append(Sample(row.distinct_id, before, after))
        if after is not before:
            self._put(row, {**properties, name: after}, properties)
        else:
            self._same.append(row.distinct_id)

    def _give_back(self, row: ProfileRow, properties: dict[str, Value], kept: KeptAsideRow) -> None:
        """Give a profile without a value the newest one that fits."""
        values = values_of(kept)
        for position in reversed(range(len(values))):
            value = convert(values[position], self._kind)
            if value is None:
                continue
            more = {**properties, self._name: value}
            if len(more) > PROPERTIES_MAX or len(encode_properties(more)) > PROFILE_MAX_BYTES:
                continue
            del values[position]
            if values:
                self._kept.append(kept._replace(values=_encode(values).decode()))
            else:
                self._given_back.append(row.distinct_id)
            self.done.came_back += 1
            self._put(row, more, properties)
            return

    def _keep(self, row: ProfileRow, value: Value, kept: KeptAsideRow | None) -> None:
        values = [value] if kept is None else [*values_of(kept), value]
        text = _encode(values).decode()
        self._kept.append(KeptAsideRow(*row[:2], self._name, row.distinct_id, text, *self._asked[:2]))

    def _put(self, row: ProfileRow, after: dict[str, Value], before: dict[str, Value]) -> None:
        document = encode_properties(after).decode()
        revision = row.revision + 1
        at_us = self._asked.at_us
        last_change = row.last_change
        if self._asked.keeps_history:
            effect = effect_on_properties(before, after, (self._name,))
            request_id, _, key_id, _ = self._asked
            place = (*row[:2], request_id, self._changed, row.distinct_id)
            change = ChangeRow(*place, at_us, revision, key_id, "{}", None, ACTION, effect, row.last_change)
            self._changes.append(change)
            last_change = change.place
        self._profiles.append(
            row._replace(revision=revision, document=document, updated_at_us=at_us, last_change=last_change)
        )
        self._changed += 1

    def _write(self) -> None:
        rewriting = self._rewriting
        rewriting.put_profiles(self._profiles)
        rewriting.touch(self._same)
        rewriting.put_kept_aside(self._kept)
        if self._given_back:
            rewriting.delete_kept_aside(self._name, self._given_back)
        rewriting.add_changes(self._changes)
        self._profiles, self._kept, self._given_back, self._changes, self._same = [], [], [], [], []
