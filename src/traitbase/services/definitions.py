"""Declaring property definitions before any value brings them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from traitbase.domain.definitions import DEFINITIONS_MAX, State
from traitbase.domain.errors import Conflict, Fault, InvalidInput, Refused
from traitbase.domain.spaces import Space
from traitbase.domain.updates import is_property_name
from traitbase.domain.values import Kind
from traitbase.services.ports import DefinitionRow, Store, WriteSet

_WAIT_SECONDS = 30.0


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
    faults = tuple(
        Fault(name, "a property name has 1 to 255 characters, does not start with '$' and holds no control characters")
        for name in names
        if not is_property_name(name)
    )
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
