"""Replaying: operations that were ignored for a property's type or state are applied after all, in their old order.

Each is applied at most once: what was kept of it is deleted in the transaction of its effect. One is left out if a
later operation wrote the property of that profile: what somebody said last stays. "Later" goes by when an operation
came, not by when it was replayed; so the changes of a replay say of which request they are (`origin_of`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import NamedTuple, TypeAlias

import msgspec

from traitbase.domain.attributes import decode_attributes
from traitbase.domain.definitions import Definitions, PropertyDefinition
from traitbase.domain.effects import effect_on_properties
from traitbase.domain.errors import NotFound
from traitbase.domain.json_text import read_json
from traitbase.domain.operations import VALUE_LOST, Reason, apply
from traitbase.domain.profiles import Profile
from traitbase.domain.spaces import Space, find_zone
from traitbase.domain.updates import Operation, Update, parse_item
from traitbase.domain.values import decode_properties, encode_properties
from traitbase.services.change_texts import read_ignored
from traitbase.services.definitions import unknown_property
from traitbase.services.ports import ChangeRow, DefinitionRow, IgnoredRow, ProfileRow, Rewriting, Store
from traitbase.services.retyping import ACTION as RETYPE
from traitbase.services.retyping import Asked

REPLAYABLE = (Reason.TYPE_MISMATCH.value, Reason.PROPERTY_ARCHIVED.value)
"""Reasons for ignoring a value that a change of the definition can remove."""

VALUE_NOT_KEPT = "value_not_kept"
"""Why a value cannot be replayed: it was too large to keep."""

_CHUNK = 256
_encode = msgspec.json.encode
_WAIT_SECONDS = 30.0
_HOPS_MAX = 20
_ACTION = "replay"
_ORDER = {operation.value: position for position, operation in enumerate(Operation)}
_ADDING = frozenset({Operation.ADD.value, Operation.APPEND.value})

Place: TypeAlias = tuple[str, int, int]
"""When an operation came: its request, the item in it, its position in the item."""


@dataclass(slots=True)
class Replayed:
    """What a replay did with the ignored values of a property: how many it applied, and why not the others.

    `superseded`: something later was written. `still_ignored` counts by reason. `remaining` are kept on.
    """

    applied: int = 0
    superseded: int = 0
    still_ignored: Counter[str] = field(default_factory=Counter)
    remaining: int = 0


class Origin(NamedTuple):
    """The request and item of an operation that a replay applied."""

    request_id: str
    item: int


def replay(store: Store, space: Space, name: str, asked: Asked) -> Replayed:
    """Apply a property's ignored values after all, a few hundred a transaction.

    What is done is done if it is interrupted; another replay goes on. Raises NotFound if the property is not defined,
    Refused if the storage cannot be written to.
    """
    zone = _zone_of(store, space)
    done = Replayed()
    after = ("", -1)
    while True:
        with store.rewriting(space, wait_seconds=_WAIT_SECONDS) as rewriting:
            rows, is_last = _next_rows(rewriting, name, after)
            definition = next((row for row in rewriting.get_definitions() if row.name == name), None)
            if definition is None:
                raise unknown_property(name)
            if rows:
                _Chunk(rewriting, definition, zone, asked, done).run(rows)
        if is_last:
            return done
        after = (rows[-1].request_id, rows[-1].item)


def origin_of(change: ChangeRow) -> Origin | None:
    """Return whose operation a change of a replay applied; None for any other change."""
    if change.action is None or not change.action.startswith(f"{_ACTION} "):
        return None
    request_id, _, item = change.action.removeprefix(f"{_ACTION} ").rpartition(" ")
    return Origin(request_id, int(item))


def _next_rows(rewriting: Rewriting, name: str, after: tuple[str, int]) -> tuple[list[IgnoredRow], bool]:
    """Return the next ignored values in the order in which they came, and whether they are the last."""
    rows = rewriting.ignored_values(name, reasons=REPLAYABLE, after=after, limit=_CHUNK)
    is_last = len(rows) < _CHUNK
    if not is_last:  # the last item may have more operations than these; an item has six at most
        last = (rows[-1].request_id, rows[-1].item)
        rows = [row for row in rows if (row.request_id, row.item) != last]
    return sorted(rows, key=_place_of), is_last


def _place_of(row: IgnoredRow) -> Place:
    return (row.request_id, row.item, _ORDER[row.operation])


def _zone_of(store: Store, space: Space) -> tzinfo:
    workspace = store.find_workspace(space.workspace_id)
    zone = None if workspace is None else find_zone(workspace.timezone)
    if zone is None:
        raise NotFound(f"there is no workspace {space.workspace_id!r}", code="workspace_not_found")
    return zone


class _Chunk:
    """Some ignored values of a property, and the profiles that they are for."""

    def __init__(
        self, rewriting: Rewriting, definition: DefinitionRow, zone: tzinfo, asked: Asked, done: Replayed
    ) -> None:
        self._rewriting = rewriting
        self._definition = definition
        by_name = {definition.name: PropertyDefinition(definition.kind, definition.state)}
        self._definitions = Definitions(by_name, zone)
        self._asked = asked
        self._done = done
        self._rows: dict[str, ProfileRow] = {}
        self._now: dict[str, Profile] = {}
        self._changes: list[ChangeRow] = []
        self._last_change: dict[str, str] = {}
        self._settled: list[IgnoredRow] = []

    def run(self, rows: Sequence[IgnoredRow]) -> None:
        """Apply what can be applied, and write it."""
        self._rows = _find_profiles(self._rewriting, {row.distinct_id for row in rows})
        written = _Written(self._rewriting, self._definition.name, self._rows, since=rows[0].request_id)
        applied_before = self._done.applied
        for row in rows:
            profile = self._rows.get(row.distinct_id)
            if profile is None or written.after(_place_of(row), row.operation, profile.distinct_id):
                self._done.superseded += 1
            else:
                self._apply(row, profile)
        self._done.remaining += len(rows) - len(self._settled)
        self._write(applied=self._done.applied - applied_before)

    def _apply(self, row: IgnoredRow, stored: ProfileRow) -> None:
        update = _update_of(row)
        if update is None:
            self._done.still_ignored[VALUE_NOT_KEPT] += 1
            return
        before = self._now.get(stored.distinct_id) or _profile_of(stored)
        after, _, ignored = apply(before, update, self._definitions)
        if ignored or after is None:
            reason = ignored[0].reason
            self._done.still_ignored[reason.value] += 1
            if reason not in VALUE_LOST:
                self._settled.append(row)  # it is as its sender wanted it
            return
        self._done.applied += 1
        self._settled.append(row)
        self._now[stored.distinct_id] = after
        self._note(row, stored, before, after)

    def _note(self, row: IgnoredRow, stored: ProfileRow, before: Profile, after: Profile) -> None:
        """Note the change, under the replay's request: its receipt lists all that it applied."""
        name = self._definition.name
        request_id, at_us, key_id, keeps_history = self._asked
        effect = effect_on_properties(before.properties, after.properties, (name,)) if keeps_history else None
        operations = _encode({row.operation: {name: msgspec.Raw(row.value or "null")}}).decode()
        action = f"{_ACTION} {row.request_id} {row.item}"
        place = (*row[:2], request_id, self._done.applied - 1, row.distinct_id)
        previous = self._last_change.get(stored.distinct_id, stored.last_change)
        revision = stored.revision + 1
        change = ChangeRow(*place, at_us, revision, key_id, operations, None, action, effect, previous)
        self._changes.append(change)
        self._last_change[stored.distinct_id] = change.place

    def _write(self, *, applied: int) -> None:
        name = self._definition.name
        stored = {row.distinct_id: row for row in self._rows.values()}
        rows, more = [], 0
        for distinct_id, profile in self._now.items():
            row = stored[distinct_id]
            more += (name in profile.properties) - (name in decode_properties(row.document))
            document = encode_properties(profile.properties).decode()
            place = self._last_change[distinct_id]
            at_us = self._asked.at_us
            rows.append(
                row._replace(revision=row.revision + 1, document=document, updated_at_us=at_us, last_change=place)
            )
        self._rewriting.put_profiles(rows)
        self._rewriting.add_changes(self._changes)
        self._rewriting.delete_ignored_values(name, self._settled)
        if applied:
            left = max(0, self._definition.ignored - applied)
            counted = self._definition._replace(profiles=self._definition.profiles + more, ignored=left)
            self._rewriting.put_definition(counted)


def _update_of(row: IgnoredRow) -> Update | None:
    if row.value is None:
        return None
    value = read_json(row.value.encode())
    return parse_item({"distinct_id": row.distinct_id, "action": {row.operation: {row.property: value}}})


def _profile_of(row: ProfileRow) -> Profile:
    return Profile(decode_properties(row.document), len(row.document.encode()))


def _find_profiles(rewriting: Rewriting, distinct_ids: Iterable[str]) -> dict[str, ProfileRow]:
    """Return the profile that each of the ids leads to; ids of nobody are left out."""
    leads_to = {distinct_id: distinct_id for distinct_id in distinct_ids}
    known: dict[str, ProfileRow] = {}
    for _ in range(_HOPS_MAX):
        missing = sorted(set(leads_to.values()) - known.keys())
        found = {row.distinct_id: row for row in rewriting.find_profiles(missing)}
        known.update(found)
        leads_on = {target: row.alias_of for target, row in known.items() if row.alias_of is not None}
        if not found or not any(target in leads_on for target in leads_to.values()):
            break
        leads_to = {each: leads_on.get(target, target) for each, target in leads_to.items()}
    rows = {each: known.get(target) for each, target in leads_to.items()}
    return {each: row for each, row in rows.items() if row is not None and row.alias_of is None}


_operations = msgspec.json.Decoder(dict[str, dict[str, msgspec.Raw] | list[str]])
_effect = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Written:
    """When the property of each profile was last written, by which operation."""

    def __init__(self, rewriting: Rewriting, name: str, rows: dict[str, ProfileRow], *, since: str) -> None:
        owners: dict[str, str] = {}
        for distinct_id, row in rows.items():
            for each in (distinct_id, row.distinct_id, *decode_attributes(row.attributes).aliases):
                owners[each] = row.distinct_id
        self._last: dict[str, dict[str, Place]] = {}
        for change in rewriting.changes_since(name, list(owners), since):
            last = self._last.setdefault(owners[change.distinct_id], {})
            for operation, place in _writes_in(change, name):
                last[operation] = max(last.get(operation, place), place)

    def after(self, place: Place, operation: str, distinct_id: str) -> bool:
        """Tell whether something was written later that an operation of that place must not touch.

        Adding to what others have added to since does not undo anything.
        """
        for other, written_at in self._last.get(distinct_id, {}).items():
            if written_at > place and not (other == operation and operation in _ADDING):
                return True
        return False


def _writes_in(change: ChangeRow, name: str) -> Iterator[tuple[str, Place]]:
    """Yield the operations of a change that wrote the property, and when they came. A retype writes nothing new."""
    if change.action == RETYPE:
        return
    origin = origin_of(change)
    if change.action and change.effect and origin is None and name in _effect.decode(change.effect):
        # An edit, such as a merge: it wrote what it was not sent.
        yield change.action, (change.request_id, change.item, len(_ORDER))
    left_out = {(entry.operation, entry.property) for entry in read_ignored(change.ignored or "[]")}
    request_id, item = origin or Origin(change.request_id, change.item)
    for operation, payload in _operations.decode(change.operations).items():
        if name in payload and (operation, name) not in left_out:
            yield operation, (request_id, item, _ORDER[operation])
