"""The type of every column of a file: what the file carries, what is defined already, what the person says.

Text stays text. A column of text is only read as something else if its property is defined so, or the person says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from traitbase.domain.definitions import PropertyDefinition, State
from traitbase.domain.errors import Conflict, Fault, InvalidInput
from traitbase.domain.updates import is_property_name
from traitbase.domain.values import Kind
from traitbase.services.imports import converting

DISTINCT_ID = "distinct_id"

Convert: TypeAlias = Callable[[Any], Any]
"""Takes what a column carries, returns what is sent."""


class Origin(StrEnum):
    """Who decided on a column's type."""

    DEFINED = "defined"
    ASKED = "asked"
    EXPORT = "export"
    FILE = "file"
    TEXT = "text"


class FileColumn(NamedTuple):
    """A column (other than distinct_id) as the file has it, and the kind that its values have there."""

    name: str
    carried: Kind


@dataclass(frozen=True, slots=True)
class Column:
    """A column and the type of its property. `carried` is the kind its values have in the file."""

    name: str
    carried: Kind
    kind: Kind
    origin: Origin
    state: State = State.ACTIVE

    @property
    def convert(self) -> Convert | None:
        """What turns a value of the file into one of the property's type; None: nothing does, or needs to."""
        if self.carried is Kind.STRING:
            return converting.FROM_TEXT.get(self.kind)
        if self.kind is Kind.STRING and self.origin is Origin.ASKED:
            return converting.TO_TEXT.get(self.carried)
        return None

    @property
    def warning(self) -> str | None:
        """What the person should know before the column is written."""
        if self.state is State.ARCHIVED:
            return "the property is archived: every value will be ignored"
        if self.origin is not Origin.DEFINED or self.carried in (self.kind, Kind.STRING):
            return None
        if self.carried is Kind.DATE and self.kind is Kind.STRING:
            return None  # a date is written as a string, and any string fits
        return f"the file has {self.carried.value} values, the property is {self.kind.value}: they will be ignored"


def check_names(names: Sequence[str]) -> None:
    """Raise InvalidInput, naming the column, unless one is distinct_id and all others can be properties, each once."""
    check_property_names(names)
    check_has_id(names)
    if len(names) == 1:
        raise InvalidInput(f"there is no column beside {DISTINCT_ID!r}, so nothing to set", code="no_columns")


def check_property_names(names: Sequence[str]) -> None:
    """Raise InvalidInput, naming the column, unless all can be properties, each once."""
    faults = []
    seen: set[str] = set()
    for position, name in enumerate(names, start=1):
        where = f"column {position} ({name!r})"
        if name in seen:
            faults.append(Fault(where, "the name is used by another column before it; rename or remove one of them"))
        elif not is_property_name(name):
            expected = "a name has 1 to 255 characters, does not start with '$' and holds no control characters"
            faults.append(Fault(where, f"this cannot be a property name: {expected}; rename or remove the column"))
        seen.add(name)
    if faults:
        raise InvalidInput(f"{faults[0].path}: {faults[0].message}", faults=tuple(faults), code="invalid_column")


def check_has_id(names: Sequence[str]) -> None:
    """Raise InvalidInput that says which columns there are, unless one is distinct_id."""
    if DISTINCT_ID not in names:
        shown = ", ".join(repr(name) for name in names[:20])
        message = f"there is no column {DISTINCT_ID!r}; the columns are {shown}. Rename the one that holds your own ids"
        raise InvalidInput(message, code="no_distinct_id")


def decide_columns(
    found: Sequence[FileColumn],
    definitions: Mapping[str, PropertyDefinition],
    asked: Mapping[str, Kind],
    exported: Mapping[str, PropertyDefinition],
) -> list[Column]:
    """Return the file's columns with their types. `exported`: those that an export says itself.

    Raises InvalidInput if a type is asked for a column that the file does not have or that its values cannot be read
    as, Conflict if the property is defined with another type.
    """
    unknown = [name for name in asked if name not in {column.name for column in found}]
    if unknown:
        shown = ", ".join(repr(column.name) for column in found[:20])
        raise InvalidInput(
            f"--type {unknown[0]}: there is no such column; the columns are {shown}", code="unknown_column"
        )
    return [
        _decide(column, definitions.get(column.name), asked.get(column.name), exported.get(column.name))
        for column in found
    ]


def cell_forms(columns: Sequence[Column]) -> dict[str, str]:
    """Return for each column whose text is read as something else how it must be written."""
    return {
        column.name: f"{converting.CELL_FORMS[column.kind]}; nothing else is converted"
        for column in columns
        if column.carried is Kind.STRING and column.kind in converting.CELL_FORMS
    }


def kinds_asked(columns: Sequence[Column]) -> dict[str, Kind]:
    """Return the kinds that the person asked for: they hold whether or not a value comes."""
    return {column.name: column.kind for column in columns if column.origin is Origin.ASKED}


def kinds_found(columns: Sequence[Column]) -> dict[str, Kind]:
    """Return the kinds of the file's other columns that are not defined yet: they hold once a value comes."""
    return {column.name: column.kind for column in columns if column.origin in (Origin.FILE, Origin.TEXT)}


def _decide(
    found: FileColumn, definition: PropertyDefinition | None, asked: Kind | None, exported: PropertyDefinition | None
) -> Column:
    name, carried = found
    if definition is not None and asked is not None and definition.kind is not asked:
        message = (
            f"--type {name}={asked.value}: the property is defined as {definition.kind.value} already; leave --type "
            "out, or rename the column"
        )
        raise Conflict(message, code="definition_exists")
    if asked is not None:
        _check_readable(name, carried, asked)
        return Column(name, carried, asked, Origin.ASKED, State.ACTIVE if definition is None else definition.state)
    if definition is not None:
        restored = exported is not None and exported.state is State.ARCHIVED
        state = State.ACTIVE if restored else definition.state
        return Column(name, carried, definition.kind, Origin.DEFINED, state)
    if exported is not None:
        return Column(name, carried, exported.kind, Origin.EXPORT)
    return Column(name, carried, carried, Origin.TEXT if carried is Kind.STRING else Origin.FILE)


def _check_readable(name: str, carried: Kind, asked: Kind) -> None:
    if carried in (asked, Kind.STRING):
        return
    if asked is Kind.STRING and carried is not Kind.LIST:
        return
    message = f"--type {name}={asked.value}: the file has {carried.value} values there, which cannot be read as that"
    raise InvalidInput(message, code="unreadable_type")
