"""The server's answers as typed values: numbers exact, times aware, and whatever else they may hold left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from traitbase.client.errors import UnexpectedAnswer
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.json_text import read_json
from traitbase.domain.values import Scalar, Value

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Applied:
    """One operation on one property that took effect."""

    operation: str
    property: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """One value that was not applied. `reason` is stable (`type_mismatch`), `message` is written for people."""

    operation: str
    property: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ReceiptItem:
    """What became of one update."""

    distinct_id: str
    applied: tuple[Applied, ...]
    ignored: tuple[Ignored, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one request, item by item in the order in which they were sent."""

    request_id: str
    received_at: datetime
    items: tuple[ReceiptItem, ...]

    @property
    def applied(self) -> tuple[Applied, ...]:
        """What took effect, over all items."""
        return tuple(entry for item in self.items for entry in item.applied)

    @property
    def ignored(self) -> tuple[Ignored, ...]:
        """What did not, over all items."""
        return tuple(entry for item in self.items for entry in item.ignored)


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile as it is kept.

    In `properties`, numbers are `int` where they are whole and exact `Decimal`s where they are not; dates are texts, as
    they were sent. `created_at` and `updated_at` are aware (UTC). What a server does not tell (yet) is None.
    """

    distinct_id: str
    properties: Mapping[str, Value]
    profile_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    name: str | None = None
    status: int | None = None
    """1: active; 0: receives nothing."""
    timezone: str | None = None
    channel: Mapping[str, Any] | None = None
    """Destinations as they are shown; `channel_raw` has them as they were sent."""
    channel_raw: Mapping[str, Any] | None = None
    id_list: Sequence[str] = ()
    """The profile_ids of profiles that were merged into this one."""
    aliases: Sequence[str] = ()
    """Other distinct_ids that lead to this profile."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one value: of a `property`, or of an `attribute` such as `name` or `channel.sms`.

    `before` and `after` are None where there was none. Of a list of more than 64 elements, `added` and `removed`.
    """

    property: str | None = None
    attribute: str | None = None
    before: Any = None
    after: Any = None
    added: Sequence[Any] | None = None
    removed: Sequence[Any] | None = None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of a profile: when, by which request, key and id, and what it did."""

    request_id: str
    at: datetime
    key_id: str
    action: str
    distinct_id: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """A property and its type: `string`, `number`, `boolean`, `date` or `list`."""

    name: str
    type: str
    state: str
    first_seen_at: datetime | None = None
    first_seen_in: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What the server says to a call that changes a profile; `request_id` leads to the receipt, where there is one.

    Of an erasure, `erased` says how much of what; `log_cleared` and `file_rewritten` whether its traces are out of the
    database's log and of the free space in its file already.
    """

    message: str
    request_id: str | None = None
    erased: Mapping[str, int] | None = None
    log_cleared: bool | None = None
    file_rewritten: bool | None = None


class Accepted(msgspec.Struct, frozen=True):
    """The answer to one of the seven property calls."""

    request_id: str


class DefinitionPage(msgspec.Struct, frozen=True):
    """A page of definitions, and where the next one begins."""

    items: tuple[Definition, ...]
    next_cursor: str | None = None


class HistoryPage(msgspec.Struct, frozen=True):
    """A page of a profile's history, and where the next one begins."""

    items: tuple[HistoryEntry, ...]
    next_cursor: str | None = None


class ProfilePage(msgspec.Struct, frozen=True):
    """A page of profiles, each as it came, and where the next one begins."""

    items: tuple[dict[str, Any], ...]
    next_cursor: str | None = None


class Envelope(msgspec.Struct, frozen=True, rename={"message": "_message"}):
    """The answer of calls that return nothing else."""

    message: str = ""
    request_id: str | None = None
    erased: dict[str, int] | None = None
    log_cleared: bool | None = None
    file_rewritten: bool | None = None


class Refusal(msgspec.Struct, frozen=True, rename={"message": "_message"}):
    """The body of every error."""

    message: str
    errors: tuple[Fault, ...] = ()


class _ProfileOnTheWire(msgspec.Struct, frozen=True):
    distinct_id: str
    properties: dict[str, Any]  # the reader has made exact Decimals of the numbers
    profile_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    name: str | None = None
    status: int | None = None
    timezone: str | None = None
    channel: dict[str, Any] | None = None
    channel_raw: dict[str, Any] | None = None
    id_list: tuple[str, ...] | None = None
    aliases: tuple[str, ...] | None = None


def read(body: bytes, into: type[Answer]) -> Answer:
    """Return an answer as its type; keys that it does not know are skipped. Raises UnexpectedAnswer."""
    try:
        return msgspec.convert(read_json(body), into)
    except (InvalidInput, msgspec.ValidationError) as error:
        shown = body[:200].decode(errors="replace")
        raise UnexpectedAnswer(f"the answer is none of this API's ({error}): {shown}") from error


def read_profile(body: bytes) -> Profile:
    """Return a profile. Raises UnexpectedAnswer."""
    return _profile(read(body, _ProfileOnTheWire))


def profiles_in(page: ProfilePage) -> list[Profile]:
    """Return the profiles of a page. Raises UnexpectedAnswer."""
    try:
        return [_profile(msgspec.convert(item, _ProfileOnTheWire)) for item in page.items]
    except msgspec.ValidationError as error:
        raise UnexpectedAnswer(f"the answer is none of this API's ({error})") from error


def _profile(sent: _ProfileOnTheWire) -> Profile:
    properties = {name: _whole_as_int(value) for name, value in sent.properties.items()}
    own = {"properties", "id_list", "aliases"}
    rest = {name: getattr(sent, name) for name in sent.__struct_fields__ if name not in own}
    return Profile(properties=properties, id_list=sent.id_list or (), aliases=sent.aliases or (), **rest)


def _whole_as_int(value: Value) -> Value:
    if isinstance(value, list):
        return [_number(element) for element in value]
    return _number(value)


def _number(value: Scalar) -> Scalar:
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    return value


def find_refusal(body: bytes) -> Refusal | None:
    """Return what an error's body says, or None if something else than a Traitbase server wrote it."""
    try:
        return read(body, Refusal)
    except UnexpectedAnswer:
        return None
