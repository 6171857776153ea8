"""What a change did to a profile, value by value: the entries of its history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from traitbase.domain.attributes import Attributes
from traitbase.domain.values import Value

State: TypeAlias = tuple[Mapping[str, Value], Attributes]
"""A profile's properties and attributes."""

_encode = msgspec.json.Encoder(decimal_format="number").encode

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


def effect_on_profile(before: State | None, after: State) -> str | None:
    """Return what became of a whole profile (before None: there was none), properties first.

    Its attributes are `$name`, `$channel.sms` and so on: no property's name can begin with `$`.
    """
    was = {} if before is None else {**before[0], **_as_entries(before[1])}
    now = {**after[0], **_as_entries(after[1])}
    return effect_on_properties(was, now, dict.fromkeys((*was, *now)))


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
        entries[f"$channel.{channel}"] = destination  # tokens as they are: written as objects, and compared as wholes
    for topic, channels in attributes.preferences.items():
        for channel, preference in channels.items():
            entries[f"$preference.{topic}.{channel}"] = preference.choice.value
    if attributes.aliases:
        entries["$aliases"] = list(attributes.aliases)
    return entries
