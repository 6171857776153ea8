"""NDJSON: one batch item `{"distinct_id": …, "action": {…}}` a line, with the meaning it has in the API.

An export begins with a header instead; its lines are profiles, and may be items too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from traitbase.domain.definitions import infer_kind
from traitbase.domain.errors import InvalidInput
from traitbase.domain.updates import Operation, Update, parse_item
from traitbase.domain.values import Kind, parse_number_literal
from traitbase.services.exports.layout import Header, find_header
from traitbase.services.imports.accounting import Chunk, LineReason
from traitbase.services.imports.columns import Column, FileColumn
from traitbase.services.imports.restoring import read_profile, update_in
from traitbase.services.imports.texts import open_text, physical_lines

PREVIEWED_LINES = 1_000
"""How many lines are looked at to show the types before anything is written."""

_decode = msgspec.json.Decoder(float_hook=parse_number_literal).decode


class NdjsonSource:
    """An NDJSON file. Its values carry their types themselves; `columns` are those that its first lines show."""

    unit = "bytes"
    delimiter = None

    def __init__(self, path: Path, *, encoding: str) -> None:
        self.encoding = encoding
        self.total = path.stat().st_size
        self._path = path
        self.exported = _find_header(path, encoding)
        self.columns = self._preview()

    def read(self, columns: Sequence[Column], *, rows: int) -> Iterator[Chunk]:  # noqa: ARG002  # lines say it themselves
        """Yield the file's lines as updates, so many at a time."""
        chunk = Chunk()
        archived = None if self.exported is None else self.exported.archived
        with open_text(self._path, self.encoding) as stream:
            for line, text in _numbered(physical_lines(stream), self.exported):
                chunk.read += 1
                chunk.last_line = line
                if text.isspace():
                    chunk.blank += 1
                else:
                    _add(chunk, line, text, archived)
                if chunk.read >= rows:
                    chunk.position = stream.buffer.tell()
                    yield chunk
                    chunk = Chunk()
        chunk.position = self.total
        yield chunk

    def _preview(self) -> list[FileColumn]:
        if self.exported is not None:
            return [FileColumn(definition.name, definition.type) for definition in self.exported.definitions]
        seen: dict[str, Kind] = {}
        chunk = Chunk()
        with open_text(self._path, self.encoding) as stream:
            for text in islice(physical_lines(stream), PREVIEWED_LINES):
                _add(chunk, 0, text, None)
        for update in filter(None, map(update_in, chunk.entries)):
            for name, kind in _kinds_in(update):
                seen.setdefault(name, kind)
        return [FileColumn(name, kind) for name, kind in seen.items()]


def _find_header(path: Path, encoding: str) -> Header | None:
    with open_text(path, encoding) as stream:
        first = next(physical_lines(stream), "")
    return find_header(first)


def _numbered(lines: Iterator[str], header: Header | None) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers, without the header."""
    numbered = enumerate(lines, start=1)
    return numbered if header is None else islice(numbered, 1, None)


def _add(chunk: Chunk, line: int, text: str, archived: frozenset[str] | None) -> None:
    try:
        item = _decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        # Only what is wrong and where: the decoder's message never quotes the line.
        message = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        chunk.refuse(line, LineReason.MALFORMED_JSON, f"the line is no JSON object: {message}")
        return
    try:
        is_profile = archived is not None and not (isinstance(item, dict) and "action" in item)
        chunk.add(line, read_profile(item, archived or frozenset()) if is_profile else parse_item(item))
    except InvalidInput as error:
        chunk.refuse_invalid(line, error)


def _kinds_in(update: Update) -> Iterator[tuple[str, Kind]]:
    for operation, payload in update.operations:
        if type(payload) is not dict:
            continue
        for name, value in payload.items():
            match operation:
                case Operation.SET | Operation.ONCE if value is not None:
                    yield name, infer_kind(value)  # type: ignore[arg-type]  # objects were refused, null is left out
                case Operation.ADD:
                    yield name, Kind.NUMBER
                case Operation.APPEND:
                    yield name, Kind.LIST
                case _:
                    pass
