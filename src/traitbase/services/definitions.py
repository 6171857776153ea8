"""Property definitions: reading them, and declaring them before any value brings them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from traitbase.domain.definitions import DEFINITIONS_MAX, State
from traitbase.domain.errors import Conflict, Fault, InvalidInput, NotFound, Refused
from traitbase.domain.spaces import Space
from traitbase.domain.updates import NAME_RULE, is_property_name
from traitbase.domain.values import Kind
from traitbase.services.ports import DefinitionRow, IgnoredRow, Store, WriteSet

_WAIT_SECONDS = 30.0


class DefinitionView(NamedTuple):
    """A definition, and the newest of the ignored values that are kept of its property."""

    row: DefinitionRow
    last_ignored: IgnoredRow | None


def list_definitions(store: Store, space: Space, *, after: str | None, limit: int) -> tuple[list[DefinitionView], bool]:
    """Return up to `limit` definitions behind a name (None: from the first on), and whether there are more."""
    _, rows = store.get_definitions(space)
    rest = [row for row in rows if after is None or row.name > after]
    return _with_ignored(store, space, rest[:limit]), len(rest) > limit


def get_definition(store: Store, space: Space, name: str) -> DefinitionView:
    """Return one definition. Raises NotFound."""
    _, rows = store.get_definitions(space)
    found = [row for row in rows if row.name == name]
    if not found:
        raise unknown_property(name)
    return _with_ignored(store, space, found)[0]


def unknown_property(name: str) -> NotFound:
    """Return the error for a property that is not defined."""
    return NotFound(f"there is no property {name!r} in this environment", code="property_not_found")


def _with_ignored(store: Store, space: Space, rows: list[DefinitionRow]) -> list[DefinitionView]:
    names = [row.name for row in rows if row.ignored]
    last = {entry.property: entry for entry in store.find_last_ignored(space, names)}
    return [DefinitionView(row, last.get(row.name)) for row in rows]


def declare_definitions(
    store: Store, space: Space, kinds: Mapping[str, Kind], *, at_us: int, first_seen_in: str
) -> list[str]:
    """Define properties with the given kinds and return those names that were not defined before.

    Other writers may define properties at the same time; what they were faster with is kept. Raises InvalidInput for a
    name that no property may have, Conflict if a name is defined with another kind, Refused if the space would have
    more than `DEFINITIONS_MAX` definitions or the storage cannot be written to. Nothing is declared then.
    """
    rows = [DefinitionRow(name, kind, State.ACTIVE, at_us, first_seen_in) for name, kind in kinds.items()]
    return _add(store, space, rows, check=_check_kinds)


def restore_definitions(store: Store, space: Space, rows: Sequence[DefinitionRow]) -> list[str]:
    """Define properties with their states and descriptions, and return those names that were not defined before.

    Those that are defined stay as they are, whatever they are. Raises as `declare_definitions` does otherwise.
    """
    return _add(store, space, rows, check=None)


def _add(
    store: Store, space: Space, rows: Sequence[DefinitionRow], *, check: Callable[[DefinitionRow, Kind], None] | None
) -> list[str]:
    """Define what is not defined yet. `check` is asked about each row that is, with the kind it has."""
    _check_names(row.name for row in rows)
    session = store.open_session()
    try:
        while True:
            revision, found = store.get_definitions(space)
            new = _find_new(rows, {row.name: row.kind for row in found}, check)
            if not new:
                return []
            writes = WriteSet(definitions_at={space: revision}, new_definitions={space: new})
            try:
                session.write(writes, wait_seconds=_WAIT_SECONDS)
            except Conflict:  # another writer changed the definitions meanwhile: look again
                continue
            return [row.name for row in new]
    finally:
        session.close()


def _check_names(names: Iterable[str]) -> None:
    faults = tuple(Fault(name, NAME_RULE) for name in names if not is_property_name(name))
    if faults:
        raise InvalidInput(f"{faults[0].path!r} cannot be a property name: {faults[0].message}", faults=faults)


def _check_kinds(row: DefinitionRow, found: Kind) -> None:
    if found is not row.kind:
        message = f"the property {row.name!r} is defined as {found.value}, and cannot be declared as {row.kind.value}"
        raise Conflict(message, code="definition_exists")


def _find_new(
    rows: Sequence[DefinitionRow], known: Mapping[str, Kind], check: Callable[[DefinitionRow, Kind], None] | None
) -> list[DefinitionRow]:
    for row in rows:
        if check is not None and row.name in known:
            check(row, known[row.name])
    new = [row for row in rows if row.name not in known]
    if len(known) + len(new) > DEFINITIONS_MAX:
        message = (
            f"{len(new):,} new properties do not fit: a workspace has at most {DEFINITIONS_MAX:,} in an environment, "
            f"this one has {len(known):,} already"
        )
        raise Refused(message, code="too_many_properties")
    return new
