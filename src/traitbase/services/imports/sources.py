"""Opening a file: which format it is, and the reader for it."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from traitbase.domain.errors import InvalidInput, NotFound
from traitbase.domain.values import Kind
from traitbase.services.exports.layout import Header
from traitbase.services.imports.accounting import Chunk
from traitbase.services.imports.columns import Column, FileColumn
from traitbase.services.imports.delimited import CsvSource
from traitbase.services.imports.ndjson import NdjsonSource
from traitbase.services.imports.parquet import ParquetSource
from traitbase.services.imports.texts import Ask, find_encoding


class Format(StrEnum):
    """The file formats that can be imported."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


_BY_SUFFIX = {
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".txt": Format.CSV,
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
}
_PARQUET_MARK = b"PAR1"
_COMPRESSED_MARKS = (b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the person says about a file. None: the file itself says it. `kinds` are asked for by column name."""

    format: Format | None = None
    delimiter: str | None = None
    encoding: str | None = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)


class Source(Protocol):
    """A file that can be read as updates. `total` is its size in `unit`, `bytes` or `rows`."""

    unit: str
    total: int

    @property
    def encoding(self) -> str | None:
        """The name of the encoding of a text file."""

    @property
    def delimiter(self) -> str | None:
        """What separates the cells of a CSV file."""

    @property
    def columns(self) -> list[FileColumn]:
        """The columns besides distinct_id, and what kind of values each has."""

    @property
    def exported(self) -> Header | None:
        """What the file says of itself, if it is one of our own exports."""

    def read(self, columns: Sequence[Column], *, rows: int) -> Iterator[Chunk]:
        """Yield the file's lines, so many at a time. Raises InvalidInput if it turns out to be damaged."""


def open_source(path: Path, options: ImportOptions, *, ask: Ask | None = None) -> tuple[Format, Source]:
    """Return the file's format and a reader for it. `ask` is asked about an encoding that is only a guess.

    Raises NotFound if there is no such file, InvalidInput that says what is wrong with it or with the options.
    """
    try:
        chosen = options.format or _find_format(path)
        return chosen, _open(path, chosen, options, ask)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", code="no_file") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}", code="unreadable_file") from error


def _open(path: Path, chosen: Format, options: ImportOptions, ask: Ask | None) -> Source:
    if not stat.S_ISREG(path.stat().st_mode):
        raise InvalidInput(f"{path} is no regular file; save what it holds to a file first", code="unreadable_file")
    _check_options(chosen, options)
    if chosen is Format.PARQUET:
        return ParquetSource(path)
    encoding = find_encoding(path, asked=options.encoding, ask=ask)
    if chosen is Format.NDJSON:
        return NdjsonSource(path, encoding=encoding)
    return CsvSource(path, encoding=encoding, delimiter=options.delimiter)


def _check_options(chosen: Format, options: ImportOptions) -> None:
    if options.delimiter is not None and chosen is not Format.CSV:
        raise InvalidInput(f"--delimiter is for CSV; this is read as {chosen.value}")
    if options.encoding is not None and chosen is Format.PARQUET:
        raise InvalidInput("--encoding is for CSV and NDJSON; Parquet says it itself")
    if options.kinds and chosen is Format.NDJSON:
        raise InvalidInput("--type is for CSV and Parquet; the values of NDJSON carry their types themselves")


def _find_format(path: Path) -> Format:
    with path.open("rb") as file:
        start = file.read(4)
    if start == _PARQUET_MARK:
        return Format.PARQUET
    if start.startswith(_COMPRESSED_MARKS):
        raise InvalidInput(f"{path.name} is compressed (or a spreadsheet): unpack it, or save it as CSV, first")
    found = _BY_SUFFIX.get(path.suffix.lower())
    if found is None:
        endings = ", ".join(_BY_SUFFIX)
        message = (
            f"the format of {path.name} is not clear from its name (known are {endings}): "
            "say --format csv, ndjson or parquet"
        )
        raise InvalidInput(message, code="unknown_format")
    return found
