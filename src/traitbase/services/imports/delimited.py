"""CSV: a header line, then one row a record. Cells are text, kept exactly; an empty cell means no value.

An export is known by its column `$traitbase`; its rows right below the header say what the columns are.

Quoting is that of RFC 4180, read strictly: a cell whose quotes do not pair up is refused, not repaired. A row shorter
than the header has no values in the rest.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeVar

from traitbase.domain.definitions import State
from traitbase.domain.errors import InvalidInput
from traitbase.domain.values import JsonValue, Kind
from traitbase.services.exports.layout import (
    ATTRIBUTE_COLUMNS,
    MARK_COLUMN,
    Definition,
    Header,
    Row,
    check_version,
    unguard,
)
from traitbase.services.imports.accounting import Chunk, LineReason
from traitbase.services.imports.columns import (
    DISTINCT_ID,
    Column,
    FileColumn,
    cell_forms,
    check_has_id,
    check_names,
    check_property_names,
)
from traitbase.services.imports.rows import RowBuilder
from traitbase.services.imports.texts import open_text, physical_lines

DELIMITERS = (",", ";", "\t", "|")
"""Those that are looked for; `--delimiter` may name any other character."""

_Word = TypeVar("_Word", bound=StrEnum)
_WORDS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_CELL_MAX_CHARACTERS = 1024 * 1024  # a list of 1,000 texts fits; a quote that is never closed ends here at the latest


class CsvSource:
    """A CSV file whose header is read."""

    unit = "bytes"

    def __init__(self, path: Path, *, encoding: str, delimiter: str | None) -> None:
        self.encoding = encoding
        self.total = path.stat().st_size
        self._path = path
        self.delimiter, names = _read_header(path, encoding, delimiter)
        self.exported: Header | None = None
        self._names, self._rows_above = names, 0
        if MARK_COLUMN in names:
            check_has_id(names)
            self._names = [unguard(name) for name in names]
            self._id_at = names.index(DISTINCT_ID)  # a property of that name is guarded
            self.exported, self._rows_above = self._read_top()
            check_property_names(self._property_names)
        else:
            check_names(names)
            self._id_at = names.index(DISTINCT_ID)

    @property
    def columns(self) -> list[FileColumn]:
        """The columns besides distinct_id: all text."""
        return [FileColumn(name, Kind.STRING) for name in self._property_names]

    @property
    def _property_names(self) -> list[str]:
        names = self._without_id(self._names)
        return names if MARK_COLUMN not in names else [name for name in names if name not in _OF_EXPORTS]

    def _without_id(self, cells: Sequence[str]) -> list[str]:
        return [cell for at, cell in enumerate(cells) if at != self._id_at]

    def read(self, columns: Sequence[Column], *, rows: int) -> Iterator[Chunk]:
        """Yield the file's lines as updates, so many at a time."""
        take = self._taker(columns)
        width = len(self._names)
        forms = cell_forms(columns)
        chunk = Chunk(cell_forms=forms)
        with open_text(self._path, self.encoding) as stream:
            records = _records(physical_lines(stream), self.delimiter)
            for line, row in islice(_after_header(records, chunk), self._rows_above, None):
                chunk.read += 1
                chunk.last_line = line
                if isinstance(row, str):
                    chunk.refuse(line, LineReason.MALFORMED_ROW, row)
                elif not row or (len(row) == 1 and not row[0].strip()):
                    chunk.blank += 1
                elif len(row) > width:
                    message = f"the row has {len(row)} cells, the header {width}"
                    chunk.refuse(line, LineReason.TOO_MANY_CELLS, message)
                else:
                    take(chunk, line, row)
                if chunk.read >= rows:
                    chunk.position = stream.buffer.tell()
                    yield chunk
                    chunk = Chunk(cell_forms=forms)
        chunk.position = self.total
        yield chunk

    def _taker(self, columns: Sequence[Column]) -> _Take:
        """Return what takes a row in."""
        id_at, names = self._id_at, self._without_id(self._names)
        converts = [column.convert for column in columns]
        builder = RowBuilder([column.name for column in columns], converts, archived=self._archived)

        def take(chunk: Chunk, line: int, row: list[str]) -> None:
            distinct_id = row.pop(id_at) if len(row) > id_at else ""
            cells: dict[str, JsonValue] = {name: cell for name, cell in zip(names, row, strict=False) if cell}
            builder.add(chunk, line, distinct_id, cells)

        def take_exported(chunk: Chunk, line: int, row: list[str]) -> None:
            distinct_id = unguard(row.pop(id_at)) if len(row) > id_at else ""
            cells = {name: unguard(cell) for name, cell in zip(names, row, strict=False) if cell}
            said = {name: cells.pop(name) for name in ATTRIBUTE_COLUMNS if name in cells}
            if MARK_COLUMN in cells:
                chunk.refuse(line, LineReason.MALFORMED_ROW, _OUT_OF_PLACE)
            else:
                builder.add(chunk, line, distinct_id, dict(cells), said)

        return take if self.exported is None else take_exported

    @property
    def _archived(self) -> frozenset[str] | None:
        return None if self.exported is None else self.exported.archived

    def _read_top(self) -> tuple[Header, int]:
        """Return what the rows below the header say of the columns, and how many they are."""
        at = self._names.index(MARK_COLUMN)
        said: dict[str, dict[str, str]] = {}
        with open_text(self._path, self.encoding) as stream:
            for _, row in _after_header(_records(physical_lines(stream), self.delimiter), Chunk()):
                if isinstance(row, str) or len(row) <= at or not row[at]:
                    break
                pairs = zip(self._without_id(self._names), self._without_id(row), strict=False)
                said[row[at]] = {name: unguard(cell) for name, cell in pairs if cell}
        return _header_of(said, self._property_names), len(said)


_Take: TypeAlias = Callable[[Chunk, int, list[str]], None]
_OF_EXPORTS = frozenset({MARK_COLUMN, *ATTRIBUTE_COLUMNS})
_OUT_OF_PLACE = f"a row with something in {MARK_COLUMN} says what the columns are, and stands right below the header"


def _header_of(said: Mapping[str, Mapping[str, str]], names: Sequence[str]) -> Header:
    """Return the header of an export from the rows that say something of its columns."""
    word, types = next(((word, cells) for word, cells in said.items() if word.startswith(Row.TYPES)), ("", {}))
    if not word:
        message = f"the file is an export: the row of types must stand right below the header ({MARK_COLUMN} 'types 1')"
        raise InvalidInput(message, code="invalid_header")
    version = word.removeprefix(Row.TYPES).strip()
    check_version(int(version) if version.isdecimal() else 0)
    states, descriptions = said.get(Row.STATES, {}), said.get(Row.DESCRIPTIONS, {})
    return Header(
        traitbase_export=int(version),
        definitions=tuple(
            Definition(
                name,
                _one_of(Kind, types.get(name, Kind.STRING), name),
                _one_of(State, states.get(name, State.ACTIVE), name),
                descriptions.get(name),
            )
            for name in names
        ),
    )


def _one_of(words: type[_Word], word: str, name: str) -> _Word:
    try:
        return words(word)
    except ValueError:
        expected = ", ".join(words)
        message = f"column {name!r}: {word!r} is no word for it; expected one of {expected}"
        raise InvalidInput(message, code="invalid_header") from None


def _after_header(
    records: Iterator[tuple[int, list[str] | str]], chunk: Chunk
) -> Iterator[tuple[int, list[str] | str]]:
    for _, row in records:
        if row:
            break
        chunk.read += 1
        chunk.blank += 1
    return records


def _read_header(path: Path, encoding: str, delimiter: str | None) -> tuple[str, list[str]]:
    """Return the delimiter and the names in the header line."""
    if delimiter is not None:
        chosen = _WORDS.get(delimiter.lower(), delimiter)
        if len(chosen) != 1 or chosen in '"\r\n':
            raise InvalidInput(f"--delimiter {delimiter!r}: expected one character such as ';', or 'tab'")
        return chosen, _first_row(path, encoding, chosen)
    found: list[tuple[str, list[str]]] = []
    faults: list[InvalidInput] = []
    for each in DELIMITERS:
        try:
            found.append((each, _first_row(path, encoding, each)))
        except InvalidInput as fault:  # often quotes that only pair up with another delimiter
            faults.append(fault)
    # Most columns win; among those that find a distinct_id if any does. The first, the comma, wins a draw.
    best = max(found, key=lambda pair: (DISTINCT_ID in pair[1], len(pair[1])), default=(",", []))
    if faults and len(best[1]) < 2:
        raise faults[0]
    return best


def _first_row(path: Path, encoding: str, delimiter: str) -> list[str]:
    with open_text(path, encoding) as stream:
        for line, row in _records(physical_lines(stream), delimiter):
            if isinstance(row, str):
                raise InvalidInput(f"{path.name} has no readable header: line {line}: {row}", code="invalid_header")
            if row:
                return row
    raise InvalidInput(
        f"{path.name} is empty; expected a header line with distinct_id and property names", code="empty"
    )


class _Lines:
    """Physical lines on their way to the CSV reader, which can be given some of them again."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self.first = 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._taken.append(line)
        return line

    def begin(self) -> None:
        """Go on to the next record."""
        self.first += len(self._taken)
        self._taken.clear()

    def give_again(self) -> None:
        """Take back all lines of the current record but the first."""
        self._again.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]


def _records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield each record's first line number and its cells, or what is wrong with it.

    After a fault the next *line* is read afresh, so that a quote that is never closed costs one line and not the rest
    of the file.
    """
    csv.field_size_limit(_CELL_MAX_CHARACTERS)
    feed = _Lines(lines)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.begin()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            feed.give_again()
            reader = csv.reader(feed, delimiter=delimiter, strict=True)
            yield feed.first, _explained(str(error))
        else:
            yield feed.first, row


def _explained(error: str) -> str:
    if "unexpected end of data" in error or "field limit" in error:
        return "a quoted cell begins here and is not closed"
    if "expected after" in error:
        return "there is text after a closing quote; a quote inside a quoted cell is written twice"
    return error
