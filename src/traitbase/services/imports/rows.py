"""Rows of a table as updates: each becomes one `$set` of the cells that hold something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from traitbase.domain.errors import InvalidInput
from traitbase.domain.updates import set_update
from traitbase.domain.values import JsonValue
from traitbase.services.exports.layout import read_attribute_cells
from traitbase.services.imports.accounting import Chunk, LineReason
from traitbase.services.imports.columns import Convert
from traitbase.services.imports.restoring import read_profile


class NotFinite:
    """A floating-point value that is no number: NaN or an infinity."""


NOT_FINITE: Final = NotFinite()


def compose(first: Convert | None, second: Convert | None) -> Convert | None:
    """Return the conversion that does both in order. What the first finds not finite, the second is not asked about."""
    if first is None or second is None:
        return first or second

    def convert(value: Any) -> Any:
        between = first(value)
        return between if between is NOT_FINITE else second(between)

    return convert


class RowBuilder:
    """Turns the cells of rows into updates. `converts` pairs with `names`; None: the cell is sent as it is.

    `archived`: the rows are those of an export, which has these archived properties.
    """

    def __init__(
        self, names: Sequence[str], converts: Sequence[Convert | None], *, archived: frozenset[str] | None = None
    ) -> None:
        self._names = tuple(names)
        self._archived = archived
        pairs = zip(names, converts, strict=True)
        self._converts = [(name, convert) for name, convert in pairs if convert is not None]

    def add(
        self,
        chunk: Chunk,
        line: int,
        distinct_id: str,
        properties: dict[str, JsonValue],
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Take a row: its cells by name, those without a value left out; `attributes` of an export by column."""
        for name, convert in self._converts:
            if name in properties:
                value: Any = convert(properties[name])
                if value is NOT_FINITE:
                    del properties[name]
                    message = "NaN and infinities are no numbers; nothing was sent for them"
                    chunk.ignore(line, LineReason.NOT_FINITE, message, distinct_id=distinct_id, property_name=name)
                else:
                    properties[name] = value
        try:
            if self._archived is not None:
                said = read_attribute_cells(attributes) if attributes else {}
                profile = {**said, "distinct_id": distinct_id, "properties": properties}
                chunk.add(line, read_profile(profile, self._archived))
            elif properties:
                chunk.add(line, set_update(distinct_id, properties))
            else:
                self._add_empty(chunk, line, distinct_id)
        except InvalidInput as error:
            chunk.ignored = [finding for finding in chunk.ignored if finding.line != line]
            chunk.refuse_invalid(line, error)

    def _add_empty(self, chunk: Chunk, line: int, distinct_id: str) -> None:
        set_update(distinct_id, {self._names[0]: None})  # only for what it raises: is the distinct_id one?
        if not chunk.ignored or chunk.ignored[-1].line != line:
            message = "the row has no value in any column; nothing was sent for it"
            chunk.ignore(line, LineReason.NO_VALUES, message, distinct_id=distinct_id)
