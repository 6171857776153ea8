"""Reading the bodies of the profile calls: decoded JSON into forms that cannot be wrong, every fault at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from traitbase.domain.attributes import (
    TOKENS_MAX,
    Attributes,
    Destinations,
    Token,
    find_excess,
    replace_destinations,
)
from traitbase.domain.destinations import (
    DESTINATION_MAX_CODE_POINTS,
    TOKEN_CHANNELS,
    Channel,
    find_channel,
    find_key,
    key_of,
)
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.spaces import find_zone
from traitbase.domain.updates import FAULTS_SHOWN_MAX, Operation, Update, faults_of_distinct_id, set_update
from traitbase.domain.values import JsonValue, kind_of_json

NAME_MAX_CODE_POINTS = 255
DELETED_AT_ONCE_MAX = 1_000
"""Profiles that one call may erase."""

_PROPERTIES = ("custom_attributes", "properties")
"""Where property values are sent; the first is what Fyno's clients call it, and of a name in both the second counts."""

_IN_UPDATE = f"action.{Operation.SET.value}"
"""Where an update has what these bodies have under one of those keys."""

_WHOSE = "-"
"""Stands for the id in such an update: whose the properties are is known when they are applied."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class AttributeChanges(msgspec.Struct, frozen=True):
    """What a body says about a profile's attributes; what it does not mention stays."""

    name: str | UnsetType | None = UNSET
    status: int | UnsetType = UNSET
    timezone: str | UnsetType | None = UNSET
    channel: Destinations | UnsetType = UNSET

    def apply_to(self, attributes: Attributes) -> Attributes:
        """Return the attributes with these changes."""
        return msgspec.structs.replace(
            attributes,
            name=attributes.name if self.name is UNSET else self.name,
            status=attributes.status if self.status is UNSET else self.status,
            timezone=attributes.timezone if self.timezone is UNSET else self.timezone,
            channel=attributes.channel
            if self.channel is UNSET
            else replace_destinations(attributes.channel, self.channel),
        )


class ProfileBody(NamedTuple):
    """The body of a create (its own id) or an update (the id it shall have, or None), and properties to `$set`."""

    distinct_id: str | None
    changes: AttributeChanges
    properties: Update | None


class ChannelDeletion(NamedTuple):
    """Whole channels, or single tokens by channel."""

    channels: tuple[str, ...]
    tokens: dict[str, tuple[str, ...]]


def parse_creation(body: JsonValue) -> ProfileBody:
    """Read `{"distinct_id", "name"?, "status"?, "timezone"?, "channel"?, "properties"?}`. Raises InvalidInput."""
    sent = _object(body)
    return _profile_body(sent, list(faults_of_distinct_id(sent.get("distinct_id"), "distinct_id")))


def parse_update(body: JsonValue) -> ProfileBody:
    """Read the same where everything is optional. Raises InvalidInput."""
    sent = _object(body)
    has_id = sent.get("distinct_id") is not None
    return _profile_body(sent, list(faults_of_distinct_id(sent["distinct_id"], "distinct_id")) if has_id else [])


def parse_channel_patch(body: JsonValue) -> Destinations:
    """Read `{"channel": {…}}` with at least one destination. Raises InvalidInput."""
    faults: list[tuple[str, Fault]] = []
    sent = _object(body).get("channel")
    destinations = _read_destinations(sent, faults, null_is="to clear a channel use …/channel/delete")
    if not faults and not destinations:
        names = ", ".join(Channel)
        faults.append(_plain("channel", f"expected an object with at least one of {names}"))
    _raise_if_any(faults)
    return destinations


def parse_channel_deletion(body: JsonValue) -> ChannelDeletion:
    """Read `{"channel": ["sms"]}` or `{"push": [token], …}`, not both. Raises InvalidInput."""
    sent = _object(body)
    faults: list[tuple[str, Fault]] = []
    channels = tuple(_read_names(sent["channel"], faults)) if sent.get("channel") is not None else ()
    tokens = {
        channel.value: tuple(_read_texts(sent[channel.value], channel.value, faults))
        for channel in Channel
        if channel in TOKEN_CHANNELS and sent.get(channel.value) is not None
    }
    if channels and tokens:
        faults.append(_plain("channel", "expected either 'channel' with names, or tokens by channel; not both"))
    if not faults and not channels and not any(tokens.values()):
        names = ", ".join(sorted(TOKEN_CHANNELS))
        faults.append(_plain("channel", f"expected an array of channel names, or arrays of tokens under {names}"))
    _raise_if_any(faults)
    return ChannelDeletion(channels, tokens)


def parse_deletion(body: JsonValue) -> tuple[str, ...]:
    """Read `{"distinct_id": ["a", "b"]}`: ids, each once. Raises InvalidInput."""
    sent = _object(body).get("distinct_id")
    faults: list[tuple[str, Fault]] = []
    if type(sent) is not list or not sent:
        faults.append(_plain("distinct_id", "expected an array of distinct_ids with at least one item"))
    elif len(sent) > DELETED_AT_ONCE_MAX:
        faults.append(_plain("distinct_id", f"at most {DELETED_AT_ONCE_MAX:,} profiles at once: send it in parts"))
    else:
        for position, distinct_id in enumerate(sent):
            faults.extend(faults_of_distinct_id(distinct_id, f"distinct_id[{position}]"))
    _raise_if_any(faults)
    return tuple(dict.fromkeys(sent))  # type: ignore[arg-type]  # just checked: a list of texts


def check_distinct_id(value: str, path: str) -> str:
    """Return a distinct_id from a path or query. Raises InvalidInput."""
    _raise_if_any(list(faults_of_distinct_id(value, path)))
    return value


def _object(body: JsonValue) -> Mapping[str, JsonValue]:
    if type(body) is not dict:
        _raise_if_any([_plain("", f"the body must be a JSON object, not {kind_of_json(body)}")])
    return body  # type: ignore[return-value]  # an object: the others are raised


def _profile_body(sent: Mapping[str, JsonValue], faults: list[tuple[str, Fault]]) -> ProfileBody:
    changes = AttributeChanges(
        name=_read_name(sent["name"], faults) if "name" in sent else UNSET,
        status=_read_status(sent["status"], "status", faults) if "status" in sent else UNSET,
        timezone=_read_zone(sent["timezone"], faults) if "timezone" in sent else UNSET,
        channel=_read_destinations(sent["channel"], faults) if "channel" in sent else UNSET,
    )
    properties: dict[str, JsonValue] = {}
    for key in _PROPERTIES:
        properties.update(_read_properties(sent.get(key), key, faults))
    _raise_if_any(faults)
    update = set_update(_WHOSE, properties) if properties else None
    return ProfileBody(sent.get("distinct_id"), changes, update)  # type: ignore[arg-type]  # checked by the caller


def _read_properties(sent: JsonValue, key: str, faults: list[tuple[str, Fault]]) -> dict[str, JsonValue]:
    if sent is None or sent == {}:
        return {}
    if type(sent) is not dict:
        faults.append(_plain(key, f"expected an object of property names and values, not {kind_of_json(sent)}"))
        return {}
    try:
        set_update(_WHOSE, sent)
    except InvalidInput as error:
        for fault in error.faults:
            faults.append((error.message, Fault(fault.path.replace(_IN_UPDATE, key, 1), fault.message)))  # noqa: PERF401
    return sent


def _read_name(sent: JsonValue, faults: list[tuple[str, Fault]]) -> str | None:
    if sent is None:
        return None
    if type(sent) is str and len(sent) <= NAME_MAX_CODE_POINTS and "\0" not in sent:
        return sent or None
    faults.append(_plain("name", f"expected a text of at most {NAME_MAX_CODE_POINTS} characters, or null to clear it"))
    return None


def _read_status(sent: JsonValue, path: str, faults: list[tuple[str, Fault]]) -> int:
    if type(sent) is int and sent in (0, 1):
        return sent
    faults.append(_plain(path, "expected 1 (active) or 0 (receives nothing)"))
    return 1


def _read_zone(sent: JsonValue, faults: list[tuple[str, Fault]]) -> str | None:
    if sent is None or (type(sent) is str and find_zone(sent) is not None):
        return sent
    message = "expected an IANA time zone such as 'Asia/Kolkata' or 'Europe/Berlin', or null to clear it"
    faults.append(_plain("timezone", message))
    return None


def _read_destinations(sent: JsonValue, faults: list[tuple[str, Fault]], *, null_is: str | None = None) -> Destinations:
    """Read a channel object. A null member says nothing, unless `null_is` says what to do instead of sending it."""
    if sent is None and null_is is None:
        return {}
    if type(sent) is not dict:
        faults.append(_plain("channel", f"expected an object of channels and destinations, not {kind_of_json(sent)}"))
        return {}
    read = _read_members(sent, faults, null_is=null_is)
    excess = None if faults else find_excess(read)
    if excess is not None:
        faults.append(_plain(*excess))
    return read


def _read_members(sent: dict[str, JsonValue], faults: list[tuple[str, Fault]], *, null_is: str | None) -> Destinations:
    read: Destinations = {}
    for name, destination in sent.items():
        if len(faults) >= FAULTS_SHOWN_MAX:
            break
        path = f"channel.{name if len(name) <= 80 else name[:79] + '…'}"
        channel = find_channel(name)
        if channel is None:
            faults.append(_plain(path, f"there is no such channel; expected one of {', '.join(Channel)}"))
        elif destination is None:
            if null_is is not None:
                faults.append(_plain(path, f"null is no destination; {null_is}"))
        elif channel in TOKEN_CHANNELS:
            tokens = _read_tokens(destination, path, faults)
            if tokens:
                read[name] = tokens
        else:
            _read_destination(channel, destination, path, faults)
            read[name] = destination  # type: ignore[assignment]  # a fault otherwise
    return read


def _read_destination(channel: Channel, sent: JsonValue, path: str, faults: list[tuple[str, Fault]]) -> None:
    try:
        key_of(channel, sent if type(sent) is str else "", path=path)
    except InvalidInput as error:
        faults.extend((error.message, fault) for fault in error.faults)


def _read_tokens(sent: JsonValue, path: str, faults: list[tuple[str, Fault]]) -> list[Token]:
    entries = [sent] if type(sent) is dict else sent  # a bare object is one element: a public web client sends that
    if type(entries) is not list:
        faults.append(_plain(path, 'expected an array of {"token", "integration_id", "status"}'))
        return []
    if len(entries) > TOKENS_MAX:
        faults.append(_plain(path, f"a profile has at most {TOKENS_MAX} tokens on a channel"))
        return []
    read = [_read_token(entry, f"{path}[{position}]", faults) for position, entry in enumerate(entries)]
    return list({token.token: token for token in read}.values())


def _read_token(sent: JsonValue, path: str, faults: list[tuple[str, Fault]]) -> Token:
    if type(sent) is not dict:
        faults.append(_plain(path, 'expected an object {"token", "integration_id", "status"}'))
        return Token("")
    token, integration_id = sent.get("token"), sent.get("integration_id")
    if type(token) is not str or find_key(Channel.PUSH, token) is None:
        message = f"expected a text of 1 to {DESTINATION_MAX_CODE_POINTS:,} characters without control characters"
        faults.append(_plain(f"{path}.token", message))
    if integration_id is not None and not _is_integration_id(integration_id):
        message = "expected a text of 1 to 255 characters without control characters, or null"
        faults.append(_plain(f"{path}.integration_id", message))
    status = 1 if sent.get("status") is None else _read_status(sent["status"], f"{path}.status", faults)
    return Token(token if type(token) is str else "", integration_id, status)  # type: ignore[arg-type]  # each is in `faults` otherwise


def _is_integration_id(sent: JsonValue) -> bool:
    return type(sent) is str and 0 < len(sent) <= 255 and _CONTROL.search(sent) is None


def _read_names(sent: JsonValue, faults: list[tuple[str, Fault]]) -> Iterator[str]:
    for position, name in enumerate(_read_texts(sent, "channel", faults)):
        if len(faults) >= FAULTS_SHOWN_MAX:
            return
        if find_channel(name) is None:
            message = f"there is no such channel; expected one of {', '.join(Channel)}"
            faults.append(_plain(f"channel[{position}]", message))
        yield name


def _read_texts(sent: JsonValue, path: str, faults: list[tuple[str, Fault]]) -> list[str]:
    if type(sent) is list and all(type(entry) is str for entry in sent):
        return sent  # type: ignore[return-value]  # as was just checked
    faults.append(_plain(path, "expected an array of texts"))
    return []


def _plain(path: str, message: str) -> tuple[str, Fault]:
    return (f"{path}: {message}" if path else message), Fault(path, message)


def _raise_if_any(faults: list[tuple[str, Fault]]) -> None:
    if faults:
        raise InvalidInput(faults[0][0], faults=tuple(fault for _, fault in faults[:FAULTS_SHOWN_MAX]))
