"""Suppressions: reading what is to be suppressed, and recognising a destination by digests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC

from traitbase.domain.destinations import (
    Channel,
    digest_of_destination,
    find_channel,
    find_key,
    invalid_destination,
    key_of,
)
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.updates import faults_of_distinct_id
from traitbase.domain.values import JsonValue, instant_of, kind_of_json

DESCRIPTION_MAX_CODE_POINTS = 1_000
"""Longest description of a suppression."""

_NAME_SHOWN_MAX = 80
_WITH_OFFSET = re.compile(r"T.*(Z|[+-]\d\d:\d\d)", re.ASCII)
_SUPPRESSION_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True, slots=True)
class SuppressionBody:
    """Whom not to reach on a channel: a person by distinct_id, or a destination as it was sent; the other is None.

    `expires_at_us`: microseconds since 1970 UTC, None: never.
    """

    channel: Channel
    distinct_id: str | None
    destination: str | None
    description: str | None
    expires_at_us: int | None


def parse_suppression(body: JsonValue, *, now_us: int) -> SuppressionBody:
    """Read `{"distinct_id" | "destination", "channel", "description"?, "expiry_ts"?}`; the distinct_id wins.

    Empty texts and null count as not sent. Raises InvalidInput: `Invalid destination for channel <channel>` for a
    channel or destination that is none, else naming the field at fault.
    """
    if type(body) is not dict:
        raise _invalid("", f"the body must be a JSON object, not {kind_of_json(body)}")
    channel = read_channel(body.get("channel"))
    distinct_id, destination = _read_whom(body, channel)
    return SuppressionBody(
        channel,
        distinct_id,
        destination,
        _read_description(body.get("description")),
        _read_expiry(body.get("expiry_ts"), now_us),
    )


def read_channel(sent: JsonValue) -> Channel:
    """Return the channel of a wire name. Raises InvalidInput."""
    channel = find_channel(sent)
    if channel is None:
        expected = f"expected one of {', '.join(Channel)}"
        if type(sent) is not str:
            raise _invalid("channel", expected)
        name = sent if len(sent) <= _NAME_SHOWN_MAX else f"{sent[: _NAME_SHOWN_MAX - 1]}…"
        fault = Fault("channel", expected)
        raise InvalidInput(invalid_destination(name), faults=(fault,), code="invalid_destination")
    return channel


def digests_of(workspace_id: str, destination: str, *, channel: Channel | None = None) -> tuple[str, ...]:
    """Return the digests under which a destination may be suppressed: one for each channel that it could be one of.

    With a channel, that one's only. Raises InvalidInput then if it is none.
    """
    if channel is not None:
        key = key_of(channel, destination, path="destination")
        return (digest_of_destination(workspace_id, channel, key),)
    keys = ((each, find_key(each, destination)) for each in Channel)
    return tuple(digest_of_destination(workspace_id, each, key) for each, key in keys if key is not None)


def new_suppression_id(random_id: str, *, at_us: int) -> str:
    """Return an id of 24 hexadecimal digits that grows with time: milliseconds since 1970, 48 bits of a random one.

    So lists are in order of creation, and whoever pages through one meets what is added meanwhile at its end.
    """
    return f"{at_us // 1_000:012x}{random_id[-12:]}"


def is_suppression_id(text: str) -> bool:
    """Tell whether a text is what `new_suppression_id` returns."""
    return _SUPPRESSION_ID.fullmatch(text) is not None


def _read_whom(body: Mapping[str, JsonValue], channel: Channel) -> tuple[str | None, str | None]:
    distinct_id, destination = body.get("distinct_id"), body.get("destination")
    if distinct_id not in (None, ""):
        for message, fault in faults_of_distinct_id(distinct_id, "distinct_id"):
            raise InvalidInput(message, faults=(fault,))
        assert isinstance(distinct_id, str)  # it has no faults
        return distinct_id, None
    if destination in (None, ""):
        fault = Fault("destination", "expected a distinct_id or a destination")
        raise InvalidInput(invalid_destination(channel), faults=(fault,), code="invalid_destination")
    text = destination if type(destination) is str else ""
    key_of(channel, text, path="destination")
    return None, text


def _read_description(sent: JsonValue) -> str | None:
    if sent is None:
        return None
    if type(sent) is not str or len(sent) > DESCRIPTION_MAX_CODE_POINTS or "\0" in sent:
        limit = DESCRIPTION_MAX_CODE_POINTS
        raise _invalid("description", f"expected a text of at most {limit:,} characters, or null")
    return sent or None


def _read_expiry(sent: JsonValue, now_us: int) -> int | None:
    if sent is None:
        return None
    at_us = instant_of(sent, UTC) if type(sent) is str and _WITH_OFFSET.search(sent) else None
    if at_us is None:
        message = "expected a time with its offset, such as 2030-01-31T18:30:00Z or 2030-01-31T18:30:00+05:30, or null"
        raise _invalid("expiry_ts", f"{message} for never")
    if at_us <= now_us:
        raise _invalid("expiry_ts", "this time has passed; expected one in the future, or null for never")
    return at_us


def _invalid(path: str, message: str) -> InvalidInput:
    return InvalidInput(f"{path}: {message}" if path else message, faults=(Fault(path, message),))
