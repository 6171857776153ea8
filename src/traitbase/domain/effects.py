"""What a change did to a profile, value by value: the entries of its history.

An update of properties keeps what was before (`before_update`): what came after follows from what was sent, and half of
the text need not be written. Anything else keeps both (`effect_on_properties`, `effect_on_profile`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from traitbase.domain import values
from traitbase.domain.attributes import Attributes
from traitbase.domain.destinations import TOKEN_CHANNELS, digest_of_destination, find_channel, find_key
from traitbase.domain.updates import Operation, Payload
from traitbase.domain.values import Scalar, Value

State: TypeAlias = tuple[Mapping[str, Value], Attributes]
"""A profile's properties and attributes."""

_encode = msgspec.json.Encoder(decimal_format="number").encode

Operations: TypeAlias = Sequence[tuple[Operation, Payload]]
"""An update's operations, in the order in which they ran."""

NOTHING_BEFORE = "{}"
"""What an update finds that makes a profile."""

_CHANNEL = "$channel."
_ELEMENTWISE = (Operation.APPEND, Operation.REMOVE)

LISTS_SHOWN_WHOLE_MAX = 64
"""Elements up to which a changed list is kept as it was before and after; of longer ones, what came and went."""


def effect_on_properties(before: Mapping[str, Value], after: Mapping[str, Value], names: Iterable[str]) -> str | None:
    """Return what became of the named properties, as the JSON object that is stored; None if nothing changed.

    `{"plan": ["free", "pro"]}`: before and after, null for none (null is no value, so nothing else can be meant). Of a
    long list: `{"added": […], "removed": […], "size": [before, after]}`.
    """
    effect = {}
    for name in names:
        was, now = before.get(name), after.get(name)
        if was is not now and (was != now or type(was) is not type(now)):
            effect[name] = _change(was, now)
    return _encode(effect).decode() if effect else None


def before_update(before: Mapping[str, Value], operations: Operations) -> str:
    """Return the values that an update found under the names it mentions, as the JSON object that is stored.

    Of a long list that only gets or loses an element: `{"size": elements}`.
    """
    if len(operations) == 1 and operations[0][0] not in _ELEMENTWISE:
        return _encode(_held_of(before, operations[0][1])).decode()
    held: dict[str, Any] = {}
    whole: set[str] = set()
    for operation, payload in operations:
        found = _held_of(before, payload)
        held.update(found)
        if operation not in _ELEMENTWISE:
            whole.update(found)
    shortened = {name: value if name in whole else _shortened(value) for name, value in held.items()}
    return _encode(shortened).decode()


def effects_of_update(
    before: Mapping[str, Any], operations: Operations, left_out: Collection[tuple[Operation, str]], zone: tzinfo
) -> dict[str, Any]:
    """Return what an update did, as `effect_on_properties` has it, from what it found and what of it was ignored."""
    held = {name: value for name, value in before.items() if type(value) is not dict}
    long: dict[str, tuple[list[Scalar], list[Scalar]]] = {}
    for operation, payload in operations:
        for name in payload:
            if (operation, name) in left_out:
                continue
            sent = payload[name] if isinstance(payload, dict) else None
            if type(before.get(name)) is dict:
                added, removed = long.setdefault(name, ([], []))
                (added if operation is Operation.APPEND else removed).append(sent)  # type: ignore[arg-type]  # a scalar
            else:
                _do(held, operation, name, sent, zone)
    effects: dict[str, Any] = {name: _counted(before[name]["size"], *told) for name, told in long.items()}
    for name in dict.fromkeys(name for _, payload in operations for name in payload):
        was, now = before.get(name), held.get(name)
        if type(was) is not dict and (was != now or type(was) is not type(now)):
            effects[name] = _change(was, now)
    return effects


def _held_of(before: Mapping[str, Value], payload: Payload) -> dict[str, Any]:
    if len(payload) <= len(before):
        return {name: before[name] for name in payload if name in before}
    return {name: value for name, value in before.items() if name in payload}


def _shortened(value: Value) -> object:
    return {"size": len(value)} if type(value) is list and len(value) > LISTS_SHOWN_WHOLE_MAX else value


def _do(held: dict[str, Value], operation: Operation, name: str, sent: Any, zone: tzinfo) -> None:
    """Do again to one value what was done: it was valid then."""
    current: Any = held.get(name)
    match operation:
        case Operation.UNSET:
            held.pop(name, None)
        case Operation.ADD:
            held[name] = values.add(current or 0, values.to_number(sent) or 0) or 0
        case Operation.APPEND:
            held[name] = [*(current or []), _kept(sent)]
        case Operation.REMOVE:
            position = values.index_of(_kept(sent), current or [], zone)
            held[name] = [element for place, element in enumerate(current or []) if place != position]
        case _:
            held[name] = values.unique([_kept(each) for each in sent], zone) if type(sent) is list else _kept(sent)


def _kept(sent: Any) -> Any:
    return values.to_number(sent) if type(sent) is int or type(sent) is Decimal else sent


def _counted(size: int, added: list[Scalar], removed: list[Scalar]) -> dict[str, Any]:
    return {"added": added, "removed": removed, "size": [size, size + len(added) - len(removed)]}


def effect_on_profile(before: State | None, after: State) -> str | None:
    """Return what became of a whole profile (before None: there was none), properties first.

    Its attributes are `$name`, `$channel.sms` and so on: no property's name can begin with `$`.
    """
    was = {} if before is None else {**before[0], **_as_entries(before[1])}
    now = {**after[0], **_as_entries(after[1])}
    return effect_on_properties(was, now, dict.fromkeys((*was, *now)))


def digests_in(effect: str | None, workspace_id: str) -> Iterator[tuple[str, str]]:
    """Yield the channel and the digest of each single destination that an effect on a profile tells of."""
    if effect is None or f'"{_CHANNEL}' not in effect:
        return
    for name, told in msgspec.json.decode(effect).items():
        channel = find_channel(name.removeprefix(_CHANNEL)) if name.startswith(_CHANNEL) else None
        if channel is None or channel in TOKEN_CHANNELS or type(told) is not list:
            continue
        for destination in told:
            key = find_key(channel, destination) if type(destination) is str else None
            if key is not None:
                yield channel.value, digest_of_destination(workspace_id, channel, key)


def _change(was: Value | None, now: Value | None) -> object:
    if type(was) is list and type(now) is list and max(len(was), len(now)) > LISTS_SHOWN_WHOLE_MAX:
        return {"added": _missing_in(was, now), "removed": _missing_in(now, was), "size": [len(was), len(now)]}
    return [was, now]


def _missing_in(known: list[Any], elements: list[Any]) -> list[Any]:
    left = set(known)
    return [element for element in elements if element not in left]


def _as_entries(attributes: Attributes) -> dict[str, Any]:
    entries: dict[str, Any] = {"$status": attributes.status}
    if attributes.name is not None:
        entries["$name"] = attributes.name
    if attributes.timezone is not None:
        entries["$timezone"] = attributes.timezone
    for channel, destination in attributes.channel.items():
        entries[f"{_CHANNEL}{channel}"] = destination  # tokens as they are: written as objects, and compared as wholes
    for topic, channels in attributes.preferences.items():
        for channel, preference in channels.items():
            entries[f"$preference.{topic}.{channel}"] = preference.choice.value
    if attributes.aliases:
        entries["$aliases"] = list(attributes.aliases)
    return entries
