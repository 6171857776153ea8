"""Declaring property definitions before any value brings them."""

from __future__ import annotations

from collections.abc import Mapping

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
    _check_names(kinds)
    session = store.open_session()
    try:
        while True:
            revision, rows = store.get_definitions(space)
            new = _find_new(kinds, {row.name: row.kind for row in rows})
            if not new:
                return []
            entries = [DefinitionRow(name, kinds[name], State.ACTIVE, at_us, first_seen_in) for name in new]
            writes = WriteSet(definitions_at={space: revision}, new_definitions={space: entries})
            try:
                session.write(writes, wait_seconds=_WAIT_SECONDS)
            except Conflict:  # another writer changed the definitions meanwhile: look again
                continue
            return new
    finally:
        session.close()


def _check_names(kinds: Mapping[str, Kind]) -> None:
    faults = tuple(
        Fault(name, "a property name has 1 to 255 characters, does not start with '$' and holds no control characters")
        for name in kinds
        if not is_property_name(name)
    )
    if faults:
        raise InvalidInput(f"{faults[0].path!r} cannot be a property name: {faults[0].message}", faults=faults)


def _find_new(kinds: Mapping[str, Kind], known: Mapping[str, Kind]) -> list[str]:
    for name, kind in kinds.items():
        found = known.get(name, kind)
        if found is not kind:
            message = f"the property {name!r} is defined as {found.value}, and cannot be declared as {kind.value}"
            raise Conflict(message, code="definition_exists")
    new = [name for name in kinds if name not in known]
    if len(known) + len(new) > DEFINITIONS_MAX:
        message = (
            f"{len(new):,} new properties do not fit: a workspace has at most {DEFINITIONS_MAX:,} in an environment, "
            f"this one has {len(known):,} already"
        )
        raise Refused(message, code="too_many_properties")
    return new
