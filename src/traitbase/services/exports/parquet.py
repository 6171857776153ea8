"""Parquet: typed columns. Numbers are DECIMAL(38, 18), which holds every number exactly; lists and tokens are JSON.

The database engine writes the file. It is given the rows through a pipe as JSON in which every value is text, so that
none passes through a floating-point number, and neither side holds more than some thousand rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from traitbase.domain.attributes import decode_attributes
from traitbase.domain.errors import Refused
from traitbase.domain.values import Kind, decode_properties
from traitbase.services.exports.layout import (
    ATTRIBUTE_COLUMNS,
    JSON_COLUMNS,
    MARK,
    STATUS,
    Header,
    attribute_cells,
    encode_header,
    text_of,
)
from traitbase.services.ports import ProfileRow

_MEMORY_BYTES = 512 * 1024 * 1024
_MEMORY_BYTES_A_COLUMN = 512 * 1024  # measured: with 5,000 columns of text it took 0.8 GB; 0.5 GB were not enough
_ROW_GROUP_CELLS = 1_000_000
_ROW_GROUP_ROWS = (2_048, 122_880)
_CASTS = {Kind.NUMBER: "::DECIMAL(38, 18)", Kind.LIST: "::JSON"}
_encode = msgspec.json.Encoder().encode


def write_parquet(header: Header, steps: Iterable[Sequence[ProfileRow]], path: Path) -> None:
    """Write a space to a file. Raises Refused if it cannot be written."""
    header = msgspec.structs.replace(header, renamed=_renamed(header))
    with ThreadPoolExecutor(1, thread_name_prefix="export-parquet") as executor:
        # The thread is there before it writes: one that is interrupted while it starts is not waited for, and would
        # make the file anew after it was removed.
        executor.submit(import_module, "duckdb").result()
        reading, writing = os.pipe()
        with _closing(
            os.fdopen(writing, "wb")
        ) as pipe:  # before there is a reader, or an interruption leaves it waiting
            written = executor.submit(_write, header, reading, path)
            with suppress(BrokenPipeError):
                for rows in steps:
                    pipe.write(b"".join(_lines(rows, header)))
        written.result()


@contextmanager
def _closing(pipe: BinaryIO) -> Iterator[BinaryIO]:
    """Close a pipe at the end, so that its reader ends too. If the reader has given up, it says why itself."""
    try:
        yield pipe
    finally:
        with suppress(BrokenPipeError):
            pipe.close()


def _renamed(header: Header) -> dict[str, str]:
    """Return a column's name for each property whose own only differs by case from that of one before it."""
    seen = {"distinct_id", *(column.casefold() for column in ATTRIBUTE_COLUMNS)}
    taken = {definition.name.casefold() for definition in header.definitions}
    renamed = {}
    for name in (definition.name for definition in header.definitions):
        column, number = name, 1
        while column.casefold() in (seen if number == 1 else seen | taken):
            number += 1
            column = f"{name} ({number})"
        seen.add(column.casefold())
        if column != name:
            renamed[column] = name
    return renamed


def _lines(rows: Iterable[ProfileRow], header: Header) -> Iterator[bytes]:
    positions = {definition.name: str(at) for at, definition in enumerate(header.definitions, _FIRST_PROPERTY)}
    for row in rows:
        cells: dict[str, str] = {"0": row.distinct_id}
        if row.attributes is not None:
            held = attribute_cells(decode_attributes(row.attributes))
            cells.update({_ATTRIBUTES[column]: cell for column, cell in held.items()})
        for name, value in decode_properties(row.document).items():
            cells[positions[name]] = text_of(value)
        yield _encode(cells)
        yield b"\n"


_ATTRIBUTES = {column: str(at) for at, column in enumerate(ATTRIBUTE_COLUMNS, 1)}
_FIRST_PROPERTY = 1 + len(ATTRIBUTE_COLUMNS)


def _write(header: Header, reading: int, path: Path) -> None:
    """Read rows from the pipe until it ends, and write them. Closes the pipe in any case, so that nobody waits."""
    import duckdb  # noqa: PLC0415  # takes a third of a second, and only Parquet needs it

    columns = list(_columns(header))
    rows = min(max(_ROW_GROUP_CELLS // len(columns), _ROW_GROUP_ROWS[0]), _ROW_GROUP_ROWS[1])
    # The file is there already, for its owner only; the engine would make another one and put it in its place.
    settled = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {rows}, USE_TMP_FILE false"
    options = f"{settled}, KV_METADATA {{{MARK}: {_text(_said(header))}}}"
    source = f"read_json('/dev/fd/{reading}', format = 'newline_delimited', columns = {_keys(len(columns))})"
    chosen = ", ".join(f'"{at}"{cast} AS {_name(name)}' for at, (name, cast) in enumerate(columns))
    memory = _MEMORY_BYTES + _MEMORY_BYTES_A_COLUMN * len(columns)
    settings: Mapping[str, Any] = {
        "memory_limit": f"{memory // 1024}KiB",
        "threads": 1,
        "autoinstall_known_extensions": False,
        "temp_directory": "",
    }
    try:
        with duckdb.connect(":memory:", config=dict(settings)) as engine:
            engine.execute("SET enable_progress_bar = false")  # it goes to standard output, among what is printed
            engine.execute(f"COPY (SELECT {chosen} FROM {source}) TO {_text(str(path))} ({options})")  # noqa: S608  # quoted
            found = [row[0] for row in engine.execute(_SCHEMA, [str(path)]).fetchall()[1:]]
        assert found == [name for name, _ in columns], "the engine renamed a column"
    except duckdb.Error as error:
        raise Refused(f"the file cannot be written: {str(error).splitlines()[0]}", code="export_stopped") from error
    finally:
        os.close(reading)


_SCHEMA = "SELECT name FROM parquet_schema(?)"


def _columns(header: Header) -> Iterator[tuple[str, str]]:
    """Yield each column's name, and how its text becomes its type."""
    yield "distinct_id", ""
    for column in ATTRIBUTE_COLUMNS:
        yield column, "::TINYINT" if column == STATUS else "::JSON" if column in JSON_COLUMNS else ""
    columns = {name: column for column, name in header.renamed.items()}
    for definition in header.definitions:
        cast = "::BOOLEAN" if definition.type is Kind.BOOLEAN else _CASTS.get(definition.type, "")
        yield columns.get(definition.name, definition.name), cast


def _said(header: Header) -> str:
    return encode_header(header).decode()


def _keys(count: int) -> str:
    return "{" + ", ".join(f"'{at}': 'VARCHAR'" for at in range(count)) + "}"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
