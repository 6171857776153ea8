"""An audience from a file: CSV, NDJSON or Parquet, each row a member by distinct_id or by a destination.

Every row is accounted for: ready, not valid (with its line and why), or a duplicate of an earlier one, which counts.
Text stays text: what a file says of somebody is for templates, and no number is made of it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from traitbase.domain.campaign_bodies import DATA_BYTES_MAX, Recipient
from traitbase.domain.destinations import Channel, find_channel, find_key
from traitbase.domain.errors import InvalidInput
from traitbase.domain.spaces import Space
from traitbase.domain.updates import faults_of_distinct_id
from traitbase.services.campaigns.audiences import member_key
from traitbase.services.campaigns.ports import AudienceRow, CampaignStore
from traitbase.services.imports.sources import Format
from traitbase.services.imports.texts import find_encoding, open_text, physical_lines

FILE_BYTES_MAX = 50 * 1024 * 1024
NOT_VALID_SHOWN = 100
ID_COLUMN = "distinct_id"

_ROWS_A_STEP = 2_000
_CELL_CHARACTERS_MAX = 1024 * 1024
_DELIMITERS = ",;\t|"
_encode = msgspec.json.Encoder(decimal_format="number").encode


class NotValid(NamedTuple):
    """A row that nobody can be reached by, and why."""

    line: int
    reason: str


@dataclass(slots=True)
class Accounted:
    """What became of a file's rows. The law: ready + not_valid + duplicates = processed."""

    processed: int = 0
    ready: int = 0
    duplicates: int = 0
    not_valid: int = 0
    shown: list[NotValid] = field(default_factory=list)

    def refuse(self, line: int, reason: str) -> None:
        """Count a row that is not valid."""
        self.not_valid += 1
        if len(self.shown) < NOT_VALID_SHOWN:
            self.shown.append(NotValid(line, reason))


def store_file(store: CampaignStore, space: Space, file_id: str, path: Path, format_: Format) -> Accounted:
    """Read a file and store its rows as an audience. Raises InvalidInput if it cannot be read as what it is said to be.

    If that fails in the middle, nothing of it is kept.
    """
    accounted = Accounted()
    waiting: list[AudienceRow] = []

    def write() -> None:
        twice = store.add_audience(space, file_id, waiting)
        accounted.duplicates += len(twice)
        accounted.ready += len(waiting) - len(twice)
        waiting.clear()

    try:
        for line, cells in _READERS[format_](path):
            accounted.processed += 1
            row = _row(line, cells)
            if isinstance(row, str):
                accounted.refuse(line, row)
                continue
            waiting.append(row)
            if len(waiting) >= _ROWS_A_STEP:
                write()
        if waiting:
            write()
    except BaseException:
        store.forget_audience(space, file_id)
        raise
    return accounted


class _Misfit(Exception):
    """A row is not valid, and why."""


def _row(line: int, cells: Mapping[str, Any] | str) -> AudienceRow | str:
    """Return a row as it is stored, or why it is not valid."""
    if isinstance(cells, str):
        return cells
    given = {name: cell for name, cell in cells.items() if cell is not None and cell != ""}
    try:
        distinct_id = _distinct_id(given.pop(ID_COLUMN, None))
        destinations = {name: _destination(name, cell) for name, cell in given.items() if find_channel(name)}
    except _Misfit as misfit:
        return str(misfit)
    if distinct_id is None and not destinations:
        channels = ", ".join(Channel)
        return f"expected a {ID_COLUMN}, or a destination in a column with a channel's name ({channels})"
    data = {name: cell for name, cell in given.items() if name not in destinations}
    text = _encode(data).decode() if data else None
    if text is not None and len(text) > DATA_BYTES_MAX:
        return f"the other columns hold more than {DATA_BYTES_MAX // 1024} KB"
    key = member_key(Recipient(distinct_id, destinations, {}))
    return AudienceRow(key, line, _encode(destinations).decode() if destinations else None, text)


def _distinct_id(cell: Any) -> str | None:
    if cell is None:
        return None
    for _, fault in faults_of_distinct_id(cell, ID_COLUMN):
        raise _Misfit(f"{fault.path}: {fault.message}")
    return str(cell)


def _destination(name: str, cell: Any) -> str:
    if type(cell) is not str or find_key(Channel(name), cell) is None:
        raise _Misfit(f"{name}: this is no destination of the channel {name}")
    return cell


def _read_csv(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    encoding = find_encoding(path, asked=None, ask=None)
    csv.field_size_limit(_CELL_CHARACTERS_MAX)
    with open_text(path, encoding) as stream:
        first = stream.readline(_CELL_CHARACTERS_MAX)
        stream.seek(0)
        delimiter = max(_DELIMITERS, key=first.count)
        reader = csv.reader(physical_lines(stream), delimiter=delimiter, strict=True)
        try:
            names = [name.strip() for name in next(reader, [])]
        except csv.Error as error:
            raise InvalidInput(f"line 1 cannot be read as CSV: {error}", code="bad_file") from error
        _check_names(names)
        while True:
            began = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise InvalidInput(f"line {began} cannot be read as CSV: {error}", code="bad_file") from error
            if cells is None:
                return
            if not cells:
                continue
            if len(cells) > len(names):
                yield began, f"expected {len(names)} cells, as the first line has, not {len(cells)}"
            else:
                yield began, dict(zip(names, cells, strict=False))


def _read_ndjson(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    decode = msgspec.json.Decoder().decode
    with open_text(path, find_encoding(path, asked=None, ask=None)) as stream:
        for line, text in enumerate(physical_lines(stream), 1):
            if not text.strip():
                continue
            try:
                found = decode(text)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                yield line, f"expected a JSON object: {error}"
                continue
            yield line, found if isinstance(found, dict) else "expected a JSON object"


def _read_parquet(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    import duckdb  # noqa: PLC0415  # a large library that only this needs

    connection = duckdb.connect(":memory:", config={"memory_limit": "256MB", "threads": 1})
    try:
        cursor = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
        names = [column[0] for column in cursor.description or ()]
        _check_names(names)
        line = 0
        while rows := cursor.fetchmany(_ROWS_A_STEP):
            for cells in rows:
                line += 1
                yield line, {name: _plain(cell) for name, cell in zip(names, cells, strict=True)}
    except duckdb.Error as error:
        raise InvalidInput(f"the file cannot be read as Parquet: {error}", code="bad_file") from error
    finally:
        connection.close()


def _plain(cell: Any) -> Any:
    return cell if cell is None or isinstance(cell, str | int | float | bool) else str(cell)


def _check_names(names: list[str]) -> None:
    if not any(name == ID_COLUMN or find_channel(name) is not None for name in names):
        message = (
            f"expected a first line with the column {ID_COLUMN}, or one with a channel's name ({', '.join(Channel)})"
        )
        raise InvalidInput(message, code="bad_file")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InvalidInput(f"the column {twice[0]!r} is there twice", code="bad_file")


_READERS = {Format.CSV: _read_csv, Format.NDJSON: _read_ndjson, Format.PARQUET: _read_parquet}
