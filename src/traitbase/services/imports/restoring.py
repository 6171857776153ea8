"""Profiles of our own exports: what a line says of one, beside its properties, and what becomes of it.

A profile of which only properties are known is an update like any other; everything else is restored by an edit.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from traitbase.domain.attributes import ALIASES_MAX, Preferences
from traitbase.domain.destinations import find_channel
from traitbase.domain.edits import Restore
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.profile_bodies import AttributeChanges, parse_creation
from traitbase.domain.updates import Update, faults_of_distinct_id
from traitbase.domain.values import JsonValue

Entry: TypeAlias = Update | Restore
"""What a line becomes."""

_NO_CHANGES = AttributeChanges()


def read_profile(sent: JsonValue, archived: frozenset[str]) -> Entry:
    """Read the JSON object of an exported profile. Raises InvalidInput naming the member at fault.

    Values of `archived` properties are restored, although such properties take no new ones.
    """
    body = parse_creation(sent)
    assert isinstance(sent, dict)  # else it was refused
    distinct_id, properties = body.distinct_id or "", body.properties
    preferences, aliases = _read_preferences(sent.get("preferences")), _read_aliases(sent.get("aliases"))
    if properties is not None:
        properties = properties._replace(distinct_id=distinct_id)
        is_plain = body.changes == _NO_CHANGES and not preferences and not aliases
        if is_plain and archived.isdisjoint(properties.operations[0][1]):
            return properties
    return Restore(distinct_id, body.changes, preferences, aliases, properties, archived)


def parts_of(entry: Entry) -> int:
    """Return how many things a line asks for, each of which may be ignored."""
    if isinstance(entry, Update):
        return sum(len(payload) for _, payload in entry.operations)
    return 1 + (0 if entry.properties is None else parts_of(entry.properties))  # the profile itself is never ignored


def update_in(entry: Entry) -> Update | None:
    """Return the operations on properties that a line asks for."""
    return entry if isinstance(entry, Update) else entry.properties


def _read_preferences(sent: JsonValue) -> Preferences:
    try:
        preferences = msgspec.convert({} if sent is None else sent, Preferences)
    except msgspec.ValidationError as error:
        raise _refusal("preferences", str(error)) from error
    for topic, channels in preferences.items():
        unknown = [name for name in channels if find_channel(name) is None]
        if unknown or not topic or "\0" in topic:
            raise _refusal("preferences", "expected topics, and in each channels with a choice and its time")
    return preferences


def _read_aliases(sent: JsonValue) -> tuple[str, ...]:
    if sent is None:
        return ()
    if type(sent) is not list or len(sent) > ALIASES_MAX:
        raise _refusal("aliases", f"expected an array of at most {ALIASES_MAX:,} distinct_ids")
    faults = tuple(fault for at, each in enumerate(sent) for fault in _faults_of(each, f"aliases[{at}]"))
    if faults:
        raise InvalidInput(f"{faults[0].path}: {faults[0].message}", faults=faults)
    return tuple(dict.fromkeys(str(each) for each in sent))


def _faults_of(sent: JsonValue, path: str) -> list[Fault]:
    return [fault for _, fault in faults_of_distinct_id(sent, path)]


def _refusal(path: str, message: str) -> InvalidInput:
    return InvalidInput(f"{path}: {message}", faults=(Fault(path, message),))
