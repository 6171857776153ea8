"""NDJSON: one batch item `{"distinct_id": …, "action": {…}}` a line, with the meaning it has in the API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from traitbase.domain.definitions import infer_kind
from traitbase.domain.errors import InvalidInput
from traitbase.domain.updates import Operation, Update, parse_item
from traitbase.domain.values import Kind, parse_number_literal
from traitbase.services.imports.accounting import Chunk, LineReason
from traitbase.services.imports.columns import Column, FileColumn
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
        self.columns = self._preview()

    def read(self, columns: Sequence[Column], *, rows: int) -> Iterator[Chunk]:  # noqa: ARG002  # lines say it themselves
        """Yield the file's lines as updates, so many at a time."""
        chunk = Chunk()
        with open_text(self._path, self.encoding) as stream:
            for line, text in enumerate(physical_lines(stream), start=1):
                chunk.read += 1
                chunk.last_line = line
                if text.isspace():
                    chunk.blank += 1
                else:
                    _add(chunk, line, text)
                if chunk.read >= rows:
                    chunk.position = stream.buffer.tell()
                    yield chunk
                    chunk = Chunk()
        chunk.position = self.total
        yield chunk

    def _preview(self) -> list[FileColumn]:
        seen: dict[str, Kind] = {}
        chunk = Chunk()
        with open_text(self._path, self.encoding) as stream:
            for text in islice(physical_lines(stream), PREVIEWED_LINES):
                _add(chunk, 0, text)
        for update in chunk.updates:
            for name, kind in _kinds_in(update):
                seen.setdefault(name, kind)
        return [FileColumn(name, kind) for name, kind in seen.items()]


def _add(chunk: Chunk, line: int, text: str) -> None:
    try:
        item = _decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        # Only what is wrong and where: the decoder's message never quotes the line.
        message = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        chunk.refuse(line, LineReason.MALFORMED_JSON, f"the line is no JSON object: {message}")
        return
    try:
        chunk.add(line, parse_item(item))
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
