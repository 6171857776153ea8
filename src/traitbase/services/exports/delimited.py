"""CSV (RFC 4180, UTF-8): a header, a row of types, then one profile a row. Texts are guarded against formulas."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import BinaryIO

from traitbase.domain.attributes import decode_attributes
from traitbase.domain.definitions import State
from traitbase.domain.values import decode_properties
from traitbase.services.exports.layout import (
    ATTRIBUTE_COLUMNS,
    MARK_COLUMN,
    Header,
    Row,
    attribute_cells,
    guard,
    text_of,
)
from traitbase.services.ports import ProfileRow

_NO_ATTRIBUTES = ("",) * len(ATTRIBUTE_COLUMNS)


def write_csv(header: Header, steps: Iterable[Sequence[ProfileRow]], out: BinaryIO) -> None:
    """Write a space to `out`, step by step."""
    names = [definition.name for definition in header.definitions]
    out.write(_encoded(_top(header, names)))
    out.writelines(_encoded(_cells(row, names) for row in rows) for rows in steps)


def _top(header: Header, names: Sequence[str]) -> Iterator[Sequence[str]]:
    definitions = header.definitions
    yield ("distinct_id", MARK_COLUMN, *ATTRIBUTE_COLUMNS, *map(_heading, names))
    yield ("", f"{Row.TYPES} {header.traitbase_export}", *_NO_ATTRIBUTES, *(each.type for each in definitions))
    if any(each.state is not State.ACTIVE for each in definitions):
        yield ("", Row.STATES, *_NO_ATTRIBUTES, *(each.state for each in definitions))
    if any(each.description is not None for each in definitions):
        described = ("" if each.description is None else guard(each.description) for each in definitions)
        yield ("", Row.DESCRIPTIONS, *_NO_ATTRIBUTES, *described)


def _heading(name: str) -> str:
    return f"'{name}" if name == "distinct_id" else guard(name)


def _cells(row: ProfileRow, names: Sequence[str]) -> list[str]:
    properties = decode_properties(row.document)
    cells = [guard(row.distinct_id), ""]
    if row.attributes is None:
        cells.extend(_NO_ATTRIBUTES)
    else:
        held = attribute_cells(decode_attributes(row.attributes))
        cells.extend(guard(held[column]) if column in held else "" for column in ATTRIBUTE_COLUMNS)
    for name in names:
        value = properties.get(name)
        if value is None:
            cells.append("")
        else:
            cells.append(guard(value) if type(value) is str else text_of(value))
    return cells


def _encoded(rows: Iterable[Sequence[str]]) -> bytes:
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
