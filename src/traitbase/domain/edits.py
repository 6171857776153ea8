"""Edits: what else than property updates is done to profiles, each as a whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from traitbase.domain.attributes import Destinations, Preferences
from traitbase.domain.profile_bodies import AttributeChanges, ChannelDeletion
from traitbase.domain.updates import Update


@dataclass(frozen=True, slots=True)
class Create:
    """Make a profile; `properties` are then set as by an update."""

    distinct_id: str
    changes: AttributeChanges
    properties: Update | None


@dataclass(frozen=True, slots=True)
class Change:
    """Replace what is mentioned, rename the profile (`new_id` None: no), set properties."""

    distinct_id: str
    new_id: str | None
    changes: AttributeChanges
    properties: Update | None


@dataclass(frozen=True, slots=True)
class PatchChannel:
    """Overwrite single destinations, add or update tokens."""

    distinct_id: str
    channel: Destinations


@dataclass(frozen=True, slots=True)
class DeleteChannel:
    """Take destinations away."""

    distinct_id: str
    deletion: ChannelDeletion


@dataclass(frozen=True, slots=True)
class Prefer:
    """Record choices for topics on channels."""

    distinct_id: str
    preferences: Preferences


@dataclass(frozen=True, slots=True)
class Merge:
    """Make one profile of two; the source's id becomes an alias. A missing target means a rename."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Erase:
    """Erase profiles with everything that is known of them; ids that do not exist are passed over."""

    distinct_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restore:
    """Bring back a profile that was exported: make it if it is unknown, replace what is mentioned, add its other ids.

    Values of `archived` properties are taken although those take no new values: the export says so of them itself.
    """

    distinct_id: str
    changes: AttributeChanges
    preferences: Preferences
    aliases: tuple[str, ...]
    properties: Update | None
    archived: frozenset[str] = frozenset()


Edit: TypeAlias = Create | Change | PatchChannel | DeleteChannel | Prefer | Merge | Erase | Restore


def ids_of(edit: Edit) -> tuple[str, ...]:
    """Return the distinct_ids that an edit names."""
    match edit:
        case Change(distinct_id=distinct_id, new_id=new_id):
            return (distinct_id,) if new_id is None else (distinct_id, new_id)
        case Merge(source=source, target=target):
            return (source, target)
        case Erase(distinct_ids=distinct_ids):
            return distinct_ids
        case Restore(distinct_id=distinct_id, aliases=aliases):
            return (distinct_id, *aliases)
        case _:
            return (edit.distinct_id,)
