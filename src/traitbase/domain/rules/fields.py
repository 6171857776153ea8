"""The built-in fields of rules: what is known of a profile beside its properties. Their names begin with `$`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from traitbase.domain.attributes import NO_ATTRIBUTES, Attributes, country_code
from traitbase.domain.destinations import TOKEN_CHANNELS, Channel
from traitbase.domain.values import Kind, Scalar, Value

BUCKETS = 10_000
"""`$bucket` is a whole number from 0 to one below this."""


class Field(StrEnum):
    """The built-in fields, by their names on the wire."""

    DISTINCT_ID = "$distinct_id"
    NAME = "$name"
    STATUS = "$status"
    TIMEZONE = "$timezone"
    COUNTRY_CODE = "$country_code"
    CREATED_AT = "$created_at"
    UPDATED_AT = "$updated_at"
    BUCKET = "$bucket"
    COHORT = "$cohort"
    SMS = "$channel.sms"
    WHATSAPP = "$channel.whatsapp"
    VOICE = "$channel.voice"
    EMAIL = "$channel.email"
    SLACK = "$channel.slack"
    DISCORD = "$channel.discord"
    TEAMS = "$channel.teams"
    PUSH = "$channel.push"
    INAPP = "$channel.inapp"
    WEBPUSH = "$channel.webpush"


CHANNEL_OF = {Field(f"$channel.{channel.value}"): channel for channel in Channel}
"""The channel fields: the destination as it was sent (a text), or the tokens (a list)."""

KIND_OF: dict[Field, Kind] = {
    Field.DISTINCT_ID: Kind.STRING,
    Field.NAME: Kind.STRING,
    Field.STATUS: Kind.NUMBER,
    Field.TIMEZONE: Kind.STRING,
    Field.COUNTRY_CODE: Kind.STRING,
    Field.CREATED_AT: Kind.DATE,
    Field.UPDATED_AT: Kind.DATE,
    Field.BUCKET: Kind.NUMBER,
    **{name: Kind.LIST if channel in TOKEN_CHANNELS else Kind.STRING for name, channel in CHANNEL_OF.items()},
}
"""The type of each built-in field; `$cohort` has none: see `COHORT_OPERATORS`."""

_BY_NAME = {each.value: each for each in Field}


@dataclass(frozen=True, slots=True)
class Person:
    """All that a rule may ask about one profile. Times are microseconds since 1970 UTC.

    `static_cohorts` are the ids of the static cohorts that the profile is in.
    """

    distinct_id: str
    properties: Mapping[str, Value]
    attributes: Attributes = NO_ATTRIBUTES
    created_at_us: int = 0
    updated_at_us: int = 0
    static_cohorts: frozenset[str] = field(default=frozenset())


def find_field(name: str) -> Field | None:
    """Return the built-in field of that name, or None."""
    return _BY_NAME.get(name)


def bucket_of(distinct_id: str) -> int:
    """Return the bucket of an id, 0 to 9,999: the same in every engine and release.

    The first 32 bits of the MD5 digest of its UTF-8, modulo 10,000 (every database at hand can compute that). No bucket
    is more than one in 430,000 likelier than another.
    """
    digest = hashlib.md5(distinct_id.encode(), usedforsecurity=False).hexdigest()
    return int(digest[:8], 16) % BUCKETS


def value_of(name: Field, person: Person) -> str | int | list[Scalar] | None:
    """Return what a person has in a built-in field, None for nothing. Dates are instants, in microseconds."""
    if name in CHANNEL_OF:
        destination = person.attributes.channel.get(CHANNEL_OF[name].value)
        return [token.token for token in destination] if isinstance(destination, list) else destination
    return _VALUES[name](person)


_VALUES: dict[Field, Callable[[Person], str | int | None]] = {
    Field.DISTINCT_ID: lambda person: person.distinct_id,
    Field.NAME: lambda person: person.attributes.name,
    Field.STATUS: lambda person: person.attributes.status,
    Field.TIMEZONE: lambda person: person.attributes.timezone,
    Field.COUNTRY_CODE: lambda person: country_code(person.attributes),
    Field.CREATED_AT: lambda person: person.created_at_us,
    Field.UPDATED_AT: lambda person: person.updated_at_us,
    Field.BUCKET: lambda person: bucket_of(person.distinct_id),
}
