"""What the columnar copy of a space looks like: a table with a row a profile, and a typed column a property.

Columns are numbered, so that no property's name gets into SQL. A Date has two: instants (of dates with an offset) and
walls (of those without, see `domain.rules.moments`), so that nothing in the copy depends on a time zone. A list is one
of element keys: equal elements have the same key (`element_key`). Numbers are DECIMAL(38,18), which holds every number
that a property can have, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from traitbase.domain.destinations import TOKEN_CHANNELS
from traitbase.domain.rules.fields import CHANNEL_OF, Field
from traitbase.domain.values import Kind

LAYOUT = 3
"""Of the copy's tables. One of another layout is made anew."""

COLUMNS_MAX = 256
"""Properties of a space that get columns of their own: those that most profiles have, when the copy is made, then the
first to come. Rules about the others read the profiles' documents, which are kept as a column as soon as there are any:
slower (some microseconds a profile), and as right."""

ID = "id"
KEY = "key"
"""What rows are found by when they are replaced: half of the SHA-256 of the id, read four times as quickly as that. No
two ids have the same, not even those of somebody who tries."""
PROFILE_ID = "profile_id"
DOCUMENT = "document"

NUMBER_TYPE = "DECIMAL(38, 18)"
TYPES: dict[Kind, str] = {
    Kind.STRING: "VARCHAR",
    Kind.NUMBER: NUMBER_TYPE,
    Kind.BOOLEAN: "BOOLEAN",
    Kind.DATE: "BIGINT",
    Kind.LIST: "VARCHAR[]",
}

FIELD_COLUMNS: dict[Field, tuple[str, str]] = {
    Field.DISTINCT_ID: (ID, "VARCHAR"),
    Field.NAME: ("name", "VARCHAR"),
    Field.STATUS: ("status", "TINYINT"),
    Field.TIMEZONE: ("timezone", "VARCHAR"),
    Field.COUNTRY_CODE: ("country", "VARCHAR"),
    Field.CREATED_AT: ("created_at", "BIGINT"),
    Field.UPDATED_AT: ("updated_at", "BIGINT"),
    Field.BUCKET: ("bucket", "SMALLINT"),
    **{
        name: (f"to_{channel.value}", "VARCHAR[]" if channel in TOKEN_CHANNELS else "VARCHAR")
        for name, channel in CHANNEL_OF.items()
    },
}
"""Name and type of the columns that every space has, by the built-in field."""


@dataclass(frozen=True, slots=True)
class Column:
    """Where a property's values are. `position` None: only in the document."""

    kind: Kind
    position: int | None

    @property
    def name(self) -> str:
        """The column's name. Of a Date, that of the instants."""
        assert self.position is not None
        return f"c{self.position}"

    @property
    def walls(self) -> str:
        """The name of a Date's second column."""
        return f"{self.name}_walls"

    @property
    def declared(self) -> Iterator[tuple[str, str]]:
        """Names and types of the columns that it takes."""
        if self.position is not None:
            yield self.name, TYPES[self.kind]
            if self.kind is Kind.DATE:
                yield self.walls, TYPES[self.kind]


@dataclass(slots=True)
class SpaceTable:
    """The tables of one space, by its number in the copy, and the columns of its properties by name."""

    number: int
    columns: dict[str, Column] = field(default_factory=dict)
    has_documents: bool = False

    @property
    def profiles(self) -> str:
        """The name of the table with a row a profile."""
        return f"p{self.number}"

    @property
    def members(self) -> str:
        """The name of the table with a row for each member of a static cohort."""
        return f"m{self.number}"
