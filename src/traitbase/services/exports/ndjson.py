"""NDJSON: the header as the first line, then one profile a line. The format that says everything by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import msgspec

from traitbase.domain.attributes import decode_attributes
from traitbase.services.exports.layout import Header, attributes_as_json, encode_header
from traitbase.services.ports import ProfileRow

_encode = msgspec.json.Encoder().encode


def write_ndjson(header: Header, steps: Iterable[Sequence[ProfileRow]], out: BinaryIO) -> None:
    """Write a space to `out`, step by step."""
    out.write(encode_header(header) + b"\n")
    out.writelines(b"".join(map(_line, rows)) for rows in steps)


def _line(row: ProfileRow) -> bytes:
    attributes = b"" if row.attributes is None else attributes_as_json(decode_attributes(row.attributes))
    # The document is JSON on one line already: every digit as it is stored.
    return b"".join(_parts(row, attributes))


def _parts(row: ProfileRow, attributes: bytes) -> Iterator[bytes]:
    yield b'{"distinct_id":'
    yield _encode(row.distinct_id)
    yield b","
    yield attributes
    yield b'"properties":'
    yield row.document.encode()
    yield b"}\n"
