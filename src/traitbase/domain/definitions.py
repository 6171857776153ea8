"""Property definitions: the name and type of every property of a space, and how a first value fixes a type."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum
from typing import NamedTuple

from traitbase.domain.values import Kind, Value, is_date

DEFINITIONS_MAX = 5_000
"""Property definitions a space may have (`too_many_properties` beyond)."""

NAME_MAX_CODE_POINTS = 255


class State(StrEnum):
    """Whether a property takes new values."""

    ACTIVE = "active"
    ARCHIVED = "archived"


class PropertyDefinition(NamedTuple):
    """The declared type of one property name. An archived one takes no new values; removing stays possible."""

    kind: Kind
    state: State = State.ACTIVE


@dataclass(frozen=True, slots=True)
class Definitions:
    """What is known about the properties of one space at one moment.

    `zone` is the workspace's time zone, in which dates without one are compared. `revision` counts the changes made to
    the set, so that a writer can tell whether what it decided on is still true.
    """

    by_name: Mapping[str, PropertyDefinition]
    zone: tzinfo
    revision: int = 0

    def with_new(self, kinds: Mapping[str, Kind], *, revision: int) -> Definitions:
        """Return these definitions and the given new ones, as the set of that revision."""
        added = {name: PropertyDefinition(kind) for name, kind in kinds.items()}
        return Definitions({**self.by_name, **added}, self.zone, revision)

    def with_active(self, names: Collection[str]) -> Definitions:
        """Return these definitions, those of the given names as if they were not archived."""
        active = {name: PropertyDefinition(self.by_name[name].kind) for name in names if name in self.by_name}
        return Definitions({**self.by_name, **active}, self.zone, self.revision)


def infer_kind(value: Value) -> Kind:
    """Return the type that a first valid value gives to an unknown property.

    A JSON string in one of the Date forms makes a Date, any other a String: digits in quotes stay text.
    """
    match value:
        case bool():
            return Kind.BOOLEAN
        case str():
            return Kind.DATE if is_date(value) else Kind.STRING
        case list():
            return Kind.LIST
        case _:
            return Kind.NUMBER
