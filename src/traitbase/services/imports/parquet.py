"""Parquet: the file carries the types. Read as a stream, so that memory stays flat however long the file is.

Dates and times become text inside the database engine, exactly as precise as they are stored: its Python objects have
neither nanoseconds nor years past 9999. A `FLOAT` becomes the shortest decimal number that it can be told apart by.
"""

from __future__ import annotations

import glob
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.values import Kind
from traitbase.services.exports.layout import ATTRIBUTE_COLUMNS, MARK, Header, find_header
from traitbase.services.imports.accounting import Chunk
from traitbase.services.imports.columns import (
    DISTINCT_ID,
    Column,
    Convert,
    FileColumn,
    cell_forms,
    check_has_id,
    check_names,
    check_property_names,
)
from traitbase.services.imports.rows import NOT_FINITE, RowBuilder, compose

if TYPE_CHECKING:
    import duckdb

_MEMORY_LIMIT = "512MB"
_EXACT_FLOATS = 2.0**53  # whole floats within this are the same number as an int, and cheaper as one
_ADVICE = "leave the column out, or cast it to text, numbers, booleans, dates or a list of those when writing the file"


class _Reading(NamedTuple):
    """How a column type is read: the kind it carries, the SQL that selects it (`{}`), and what Python does then."""

    kind: Kind
    select: str = "{}"
    convert: Convert | None = None


def _number_of(value: float) -> Any:
    """Return a float as the number that its shortest decimal form says."""
    if value.is_integer() and -_EXACT_FLOATS < value < _EXACT_FLOATS:
        return int(value)
    return Decimal(repr(value)) if math.isfinite(value) else NOT_FINITE


def _numbers_of(values: list[float | None]) -> Any:
    converted = [None if value is None else _number_of(value) for value in values]
    return NOT_FINITE if NOT_FINITE in converted else converted


_INTEGERS = "tinyint smallint integer bigint hugeint utinyint usmallint uinteger ubigint uhugeint".split()  # noqa: SIM905  # reads better
_TEXTS = ("varchar", "enum", "uuid", "null")
_TIMES = ("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns")
_READINGS = {
    **dict.fromkeys(_INTEGERS, _Reading(Kind.NUMBER)),
    **dict.fromkeys(_TEXTS, _Reading(Kind.STRING, "{}::VARCHAR")),
    **dict.fromkeys(_TIMES, _Reading(Kind.DATE, "replace({}::VARCHAR, ' ', 'T')")),
    "decimal": _Reading(Kind.NUMBER),
    "double": _Reading(Kind.NUMBER, convert=_number_of),
    "float": _Reading(Kind.NUMBER, "{}::VARCHAR::DOUBLE", _number_of),
    "boolean": _Reading(Kind.BOOLEAN),
    "date": _Reading(Kind.DATE, "{}::VARCHAR"),
    "timestamp with time zone": _Reading(Kind.DATE, "replace(({} AT TIME ZONE 'UTC')::VARCHAR, ' ', 'T') || 'Z'"),
}


class ParquetSource:
    """A Parquet file whose schema is read."""

    unit = "rows"
    delimiter = None
    encoding = None

    def __init__(self, path: Path) -> None:
        self._path = path
        with _connection(path) as connection:
            self.exported = _find_export(connection, path)
            self.total, self._names, types = _read_schema(connection, path)
        if self.exported is None:
            check_names(self._names)
        else:
            check_has_id(self._names)
            check_property_names(list(self._column_of))
        self._readings = _find_readings(self._names, types)

    @property
    def columns(self) -> list[FileColumn]:
        """The columns besides distinct_id, with the kinds of their types."""
        return [FileColumn(name, self._readings[column].kind) for name, column in self._column_of.items()]

    @property
    def _column_of(self) -> dict[str, str]:
        """The name of each property's column. They are the same, but in exports of names that only differ by case."""
        renamed = {} if self.exported is None else self.exported.renamed
        of_profiles = {DISTINCT_ID, *self._attributes}
        return {renamed.get(column, column): column for column in self._names if column not in of_profiles}

    @property
    def _attributes(self) -> list[str]:
        """The columns of attributes: only exports have them."""
        return [] if self.exported is None else [name for name in ATTRIBUTE_COLUMNS if name in self._names]

    def read(self, columns: Sequence[Column], *, rows: int) -> Iterator[Chunk]:
        """Yield the file's rows as updates, so many at a time. Lines are rows, counted from 1."""
        names, column_of = [column.name for column in columns], self._column_of
        converts = [compose(self._readings[column_of[column.name]].convert, column.convert) for column in columns]
        archived = None if self.exported is None else self.exported.archived
        builder = RowBuilder(names, converts, archived=archived)
        attributes = self._attributes
        forms = cell_forms(columns)
        line = 0
        with _connection(self._path) as connection:
            # Columns by position: the engine compares names without regard to case, and renames those that clash.
            selection = self._selection([*(column_of[name] for name in names), *attributes])
            query = f"SELECT {selection} FROM {_SCAN} AS file({self._aliases()})"  # noqa: S608  # no outside text in it
            connection.execute(query, [_pattern(self._path)])
            while fetched := connection.fetchmany(rows):
                chunk = Chunk(read=len(fetched), cell_forms=forms)
                for row in fetched:
                    line += 1
                    # The row is longer: attributes, if it is an export, and distinct_id come last.
                    cells = dict(zip(names, row, strict=False))
                    if None in row:
                        cells = {name: cell for name, cell in cells.items() if cell is not None}
                    said = zip(attributes, row[len(names) :], strict=False)
                    builder.add(chunk, line, row[-1], cells, {name: cell for name, cell in said if cell is not None})
                chunk.last_line = chunk.position = line
                yield chunk

    def _aliases(self) -> str:
        return ", ".join(f"column{position}" for position in range(len(self._names)))

    def _selection(self, columns: Sequence[str]) -> str:
        places = {name: f"column{position}" for position, name in enumerate(self._names)}
        return ", ".join(self._readings[name].select.format(places[name]) for name in [*columns, DISTINCT_ID])


_SCAN = "read_parquet(?, hive_partitioning = false)"


@contextmanager
def _connection(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the engine for one file; what it cannot read is InvalidInput."""
    import duckdb  # noqa: PLC0415  # takes a third of a second, and only Parquet needs it

    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY_LIMIT,
        "threads": 1,
        "autoinstall_known_extensions": False,
    }
    connection = duckdb.connect(":memory:", config=settings)
    try:
        connection.execute("SET enable_progress_bar = false")  # it goes to standard output, among what is printed
        yield connection
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"{path.name} cannot be read as Parquet: {reason}", code="unreadable_file") from error
    finally:
        connection.close()


def _pattern(path: Path) -> str:
    return glob.escape(str(path))  # the engine takes patterns, and a file may be called a[1].parquet


def _find_export(connection: duckdb.DuckDBPyConnection, path: Path) -> Header | None:
    query = "SELECT value FROM parquet_kv_metadata(?) WHERE key::VARCHAR = ?"
    found = connection.execute(query, [_pattern(path), MARK]).fetchone()
    return None if found is None else find_header(found[0])


def _read_schema(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[int, list[str], list[Any]]:
    """Return the number of rows, the names as they are in the file, and the engine's types."""
    pattern = [_pattern(path)]
    counted = connection.execute("SELECT num_rows FROM parquet_file_metadata(?)", pattern).fetchone()
    tree = connection.execute("SELECT name, num_children FROM parquet_schema(?)", pattern).fetchall()
    described = connection.execute(f"SELECT * FROM {_SCAN} LIMIT 0", pattern).description  # noqa: S608  # a constant
    assert counted is not None  # one file, one row
    return counted[0], list(_top_level(tree)), [column[1] for column in described or ()]


def _top_level(tree: Sequence[tuple[str, int | None]]) -> Iterator[str]:
    """Yield the names right below the root of a schema, which is a tree written in depth-first order."""
    position = 1
    while position < len(tree):
        yield tree[position][0]
        open_places = 1
        while open_places:
            open_places += (tree[position][1] or 0) - 1
            position += 1


def _find_readings(names: Sequence[str], types: Sequence[Any]) -> dict[str, _Reading]:
    found = {name: _reading_of(kind) for name, kind in zip(names, types, strict=True)}
    faults = tuple(
        Fault(f"column {name!r}", f"values of type {kind} cannot be kept in a property; {_ADVICE}")
        for name, kind in zip(names, types, strict=True)
        if found[name] is None
    )
    if faults:
        raise InvalidInput(f"{faults[0].path}: {faults[0].message}", faults=faults, code="unsupported_type")
    readings = {name: reading for name, reading in found.items() if reading is not None}
    readings[DISTINCT_ID] = _reading_of_ids(types[names.index(DISTINCT_ID)])
    return readings


def _reading_of_ids(kind: Any) -> _Reading:
    if kind.id not in _TEXTS and kind.id not in _INTEGERS:
        message = f"column {DISTINCT_ID!r}: ids are text or whole numbers, not {kind}; cast the column to text"
        raise InvalidInput(message, code="unsupported_type")
    return _Reading(Kind.STRING, "{}::VARCHAR")


def _reading_of(kind: Any) -> _Reading | None:
    if kind.id not in ("list", "array"):
        return _READINGS.get(kind.id)
    element = _READINGS.get(kind.children[0][1].id)
    if element is None:
        return None
    select = "{}"
    if element.select != "{}":
        select = "list_transform({}, lambda element: " + element.select.format("element") + ")"
    return _Reading(Kind.LIST, select, _numbers_of if element.convert else None)
