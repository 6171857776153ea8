"""Changing a property's definition: declaring it, archiving it, giving it another type, deleting it with its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from traitbase.domain.definitions import DEFINITIONS_MAX, State
from traitbase.domain.effects import effect_on_properties
from traitbase.domain.errors import Conflict, Fault, InvalidInput, Refused
from traitbase.domain.spaces import Space
from traitbase.domain.updates import NAME_RULE, is_property_name
from traitbase.domain.values import Kind, Value, decode_properties, encode_properties
from traitbase.services.definitions import unknown_property
from traitbase.services.ports import ChangeRow, DefinitionRow, ProfileRow, Rewriting, Store
from traitbase.services.replaying import REPLAYABLE
from traitbase.services.retyping import CHUNK, Asked, Retyped, retype

DESCRIPTION_MAX_CODE_POINTS = 1_000
WAIT_SECONDS = 30.0
"""How long to wait for others who write, in seconds. Most are done in milliseconds."""

FindUses = Callable[[Space, str], Sequence[str]]
"""Names what uses a property of a space, such as `cohort "Big spenders"`: it is not deleted while anything does."""


class Redefinition(NamedTuple):
    """What to change of a definition. `description` unset, or None for the others: leave it."""

    description: str | msgspec.UnsetType | None = msgspec.UNSET
    archived: bool | None = None
    kind: Kind | None = None


class Redefined(NamedTuple):
    """A definition after a change (or as it would be), what a retype did, how many ignored values may be replayed."""

    definition: DefinitionRow
    retyped: Retyped | None
    replayable: int


class Deleted(NamedTuple):
    """How much was deleted with a definition: values of profiles, values kept aside, ignored values."""

    profiles: int
    kept_aside: int
    ignored: int


def declare(
    store: Store, space: Space, name: str, kind: Kind, *, description: str | None, asked: Asked
) -> tuple[DefinitionRow, bool]:
    """Define a property ahead of any value; return its definition, and whether it is new.

    One that is defined with this type already gets the description, if one is given. Raises InvalidInput for a name
    that no property may have, Conflict if it has another type, Refused if the space has its `DEFINITIONS_MAX` already.
    """
    _check(name, description)
    with store.rewriting(space, wait_seconds=WAIT_SECONDS) as rewriting:
        rows = {row.name: row for row in rewriting.get_definitions()}
        known = rows.get(name)
        if known is None:
            if len(rows) >= DEFINITIONS_MAX:
                message = (
                    f"the workspace has its {DEFINITIONS_MAX:,} different property names in this environment already"
                )
                raise Refused(message, code="too_many_properties")
            row = DefinitionRow(name, kind, State.ACTIVE, asked.at_us, asked.request_id, description)
            rewriting.move_definitions()
        elif known.kind is not kind:
            message = (
                f"the property {name!r} is defined as {known.kind.value}, and cannot be declared as {kind.value}; "
                "PATCH its type to convert what is stored"
            )
            raise Conflict(message, code="definition_exists")
        else:
            row = known if description is None else known._replace(description=description)
        if row != known:
            rewriting.put_definition(row)
        return row, known is None


def redefine(store: Store, space: Space, name: str, change: Redefinition, *, asked: Asked, dry_run: bool) -> Redefined:
    """Change a definition, and with its type all values, in one transaction; or (`dry_run`) find out what that does.

    Raises NotFound, InvalidInput for a description that is too long, Refused if the storage cannot be written to.
    """
    _check(name, None if isinstance(change.description, msgspec.UnsetType) else change.description)
    opened = store.rehearsing(space) if dry_run else store.rewriting(space, wait_seconds=WAIT_SECONDS)
    with opened as rewriting:
        before = find_in(rewriting, name)
        after, retyped = before, None
        if not isinstance(change.description, msgspec.UnsetType):
            after = after._replace(description=change.description)
        if change.archived is not None:
            after = after._replace(state=State.ARCHIVED if change.archived else State.ACTIVE)
        if change.kind is not None:
            retyped = retype(rewriting, name, change.kind, asked)
            after = after._replace(kind=change.kind, profiles=retyped.converted + retyped.came_back)
            if change.kind is before.kind:
                retyped = Retyped(retyped.profiles, came_back=retyped.came_back)  # nothing was converted
        if after != before:
            rewriting.put_definition(after)
        if (after.kind, after.state) != (before.kind, before.state):
            rewriting.move_definitions()
        return Redefined(after, retyped, rewriting.count_ignored_values(name, reasons=REPLAYABLE))


def delete(store: Store, space: Space, name: str, *, asked: Asked, find_uses: Sequence[FindUses] = ()) -> Deleted:
    """Delete a definition with all values of the property, those kept aside and the ignored ones, in one transaction.

    Raises NotFound, Conflict that names what uses the property, Refused if the storage cannot be written to.
    """
    with store.rewriting(space, wait_seconds=WAIT_SECONDS) as rewriting:
        find_in(rewriting, name)
        uses = [use for find in find_uses for use in find(space, name)]
        if uses:
            message = f"the property {name!r} is used by {', '.join(uses)}; take it out there first"
            raise Conflict(message, code="property_in_use")
        profiles = _delete_values(rewriting, name, asked)
        kept_aside = rewriting.delete_kept_aside(name)
        ignored = rewriting.delete_ignored_values(name)
        rewriting.delete_definition(name)
        rewriting.move_definitions()
        return Deleted(profiles, kept_aside, ignored)


def find_in(rewriting: Rewriting, name: str) -> DefinitionRow:
    """Return a definition. Raises NotFound."""
    for row in rewriting.get_definitions():
        if row.name == name:
            return row
    raise unknown_property(name)


def _check(name: str, description: str | None) -> None:
    faults = []
    if not is_property_name(name):
        faults.append(Fault("name", NAME_RULE))
    if description is not None and (len(description) > DESCRIPTION_MAX_CODE_POINTS or "\0" in description):
        faults.append(Fault("description", f"at most {DESCRIPTION_MAX_CODE_POINTS:,} characters, and no U+0000"))
    if faults:
        raise InvalidInput("; ".join(f"{fault.path}: {fault.message}" for fault in faults), faults=tuple(faults))


def _delete_values(rewriting: Rewriting, name: str, asked: Asked) -> int:
    deleted = 0
    after = ""
    while True:
        rows = rewriting.profiles_having(name, after=after, limit=CHUNK)
        having = [(row, properties) for row in rows if name in (properties := decode_properties(row.document))]
        changed = [_without(*each, name, asked, item=item) for item, each in enumerate(having, deleted)]
        deleted += len(changed)
        rewriting.put_profiles([profile for profile, _ in changed])
        if asked.keeps_history:
            rewriting.add_changes([change for _, change in changed])
        if len(rows) < CHUNK:
            return deleted
        after = rows[-1].distinct_id


def _without(
    row: ProfileRow, before: dict[str, Value], name: str, asked: Asked, *, item: int
) -> tuple[ProfileRow, ChangeRow]:
    after = {each: value for each, value in before.items() if each != name}
    revision = row.revision + 1
    document = encode_properties(after).decode()
    effect = effect_on_properties(before, after, (name,))
    place = (*row[:2], asked.request_id, item, row.distinct_id)
    action, previous = "delete_property", row.last_change
    change = ChangeRow(*place, asked.at_us, revision, asked.key_id, "{}", None, action, effect, previous)
    last_change = change.place if asked.keeps_history else row.last_change
    left = row._replace(revision=revision, document=document, updated_at_us=asked.at_us, last_change=last_change)
    return left, change
