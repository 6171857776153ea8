"""What a profile has beside its properties: name, status, time zone, destinations, preferences, and its other ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from traitbase.domain.destinations import PHONE_CHANNELS, TOKEN_CHANNELS, Channel, country_of, find_key, shown

ALIASES_MAX = 1_000
"""Other ids that a profile may have, from merges and renames."""

TOKENS_MAX = 100
"""Tokens that a profile may have on one channel."""

DESTINATIONS_MAX_BYTES = 64 * 1024
"""What a profile's destinations may take as JSON. They are written as a whole whenever one of them changes."""


class Token(msgspec.Struct, frozen=True):
    """Where one device or browser is reached. `status` 1: in use, 0: receives nothing."""

    token: str
    integration_id: str | None = None
    status: int = 1


Destinations: TypeAlias = dict[str, str | list[Token]]
"""By the channel's wire name: one destination as it was sent, or a list of tokens, each once."""


class Choice(StrEnum):
    """What a person chose for a topic on a channel."""

    OPTED_IN = "opted-in"
    OPTED_OUT = "opted-out"


class Preference(msgspec.Struct, frozen=True):
    """A choice, and when it was made (microseconds since 1970 UTC)."""

    choice: Choice
    at_us: int


Preferences: TypeAlias = dict[str, dict[str, Preference]]
"""By topic id (or `all`: every topic) and the channel's wire name."""


class Attributes(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything of a profile that is no property.

    `status` 1: active, 0: receives nothing. `timezone` is an IANA name. `aliases` are distinct_ids that lead to this
    profile, `id_list` the profile_ids of the profiles merged into it; both in order, each once.
    """

    name: str | None = None
    status: int = 1
    timezone: str | None = None
    channel: Destinations = {}  # msgspec gives each its own
    preferences: Preferences = {}
    aliases: tuple[str, ...] = ()
    id_list: tuple[str, ...] = ()


NO_ATTRIBUTES = Attributes()

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Attributes)


def encode_attributes(attributes: Attributes) -> str | None:
    """Return the JSON object that is stored, without what is as usual; None if all of it is."""
    return None if attributes == NO_ATTRIBUTES else _encoder.encode(attributes).decode()


def decode_attributes(document: str | None) -> Attributes:
    """Return what `encode_attributes` was given."""
    return NO_ATTRIBUTES if document is None else _decoder.decode(document)


def find_excess(destinations: Destinations) -> tuple[str, str] | None:
    """Return where a profile would have more destinations than it may, and what is the most; None if it would not."""
    for name, destination in destinations.items():
        if isinstance(destination, list) and len(destination) > TOKENS_MAX:
            return f"channel.{name}", f"a profile has at most {TOKENS_MAX} tokens on a channel"
    if len(_encoder.encode(destinations)) > DESTINATIONS_MAX_BYTES:
        return "channel", f"a profile's destinations take at most {DESTINATIONS_MAX_BYTES // 1024} KB"
    return None


def replace_destinations(stored: Destinations, sent: Destinations) -> Destinations:
    """Return what was sent, but destinations equal to the stored ones as they are written there.

    So a profile that is read (with its phones grouped for display) and sent back stays as it was.
    """
    return {name: _as_stored(name, stored.get(name), destination) for name, destination in sent.items()}


def patch_destinations(stored: Destinations, sent: Destinations) -> Destinations:
    """Return the stored destinations with single ones overwritten, and tokens added or, same token, updated."""
    patched = dict(stored)
    for name, destination in sent.items():
        before = patched.get(name)
        if isinstance(destination, list) and isinstance(before, list):
            patched[name] = list({token.token: token for token in [*before, *destination]}.values())
        else:
            patched[name] = _as_stored(name, before, destination)
    return patched


def without_destinations(
    stored: Destinations, channels: tuple[str, ...], tokens: dict[str, tuple[str, ...]]
) -> Destinations:
    """Return the stored destinations without some channels and without some tokens. What is not there is not missed."""
    left: Destinations = {}
    for name, destination in stored.items():
        if isinstance(destination, list) and name in tokens:
            gone = frozenset(tokens[name])  # a body has room for a million
            kept: str | list[Token] = [token for token in destination if token.token not in gone]
        else:
            kept = destination
        if name not in channels and kept:
            left[name] = kept
    return left


def shown_destinations(stored: Destinations) -> Destinations:
    """Return the destinations as people read them: phone numbers grouped."""
    return {
        name: shown(Channel(name), destination) if isinstance(destination, str) else destination
        for name, destination in stored.items()
    }


def country_code(attributes: Attributes) -> str | None:
    """Return the country (ISO 3166-1 alpha-2) of the profile's SMS number, None if there is none."""
    number = attributes.channel.get(Channel.SMS.value)
    return country_of(number) if isinstance(number, str) else None


def timezone_offset(attributes: Attributes, *, now_us: int) -> str | None:
    """Return the offset of the profile's zone from UTC at that moment, as `+05:30`; None without a zone."""
    if attributes.timezone is None:
        return None
    at = datetime.fromtimestamp(now_us // 1_000_000, UTC).astimezone(ZoneInfo(attributes.timezone))
    minutes = (at.utcoffset() or timedelta()) // timedelta(minutes=1)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def search_keys(attributes: Attributes) -> tuple[str | None, str | None]:
    """Return name and email address in the form in which they are searched: without case."""
    email = attributes.channel.get(Channel.EMAIL.value)
    return (
        attributes.name.casefold() if attributes.name else None,
        email.casefold() if isinstance(email, str) else None,
    )


def _as_stored(name: str, stored: str | list[Token] | None, sent: str | list[Token]) -> str | list[Token]:
    if name in _WRITTEN_VARIOUSLY and isinstance(stored, str) and isinstance(sent, str):
        channel = Channel(name)
        return stored if find_key(channel, stored) == find_key(channel, sent) else sent
    return sent


# Phones have spellings. Of an address only the case of its domain may differ, and whoever changes that means it.
_WRITTEN_VARIOUSLY = frozenset(channel.value for channel in PHONE_CHANNELS)

assert not PHONE_CHANNELS & TOKEN_CHANNELS
