"""Request bodies: read to a limit, and decompressed to the same limit without ever holding more."""

from __future__ import annotations

import asyncio
import io
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TypeVar

import zstandard
from fastapi import Request

from traitbase.domain.errors import InvalidInput, Refused
from traitbase.domain.json_text import LARGE_BYTES, NESTING_MAX, read_json, read_json_in_pieces
from traitbase.domain.values import JsonValue

BODIES_MAX_BYTES = 128 * 1024 * 1024
"""Bytes of bodies that may be on their way at once, not counting those that come in one piece (503 beyond).

Sixty callers that each stop one byte before the end of 10 MB would hold 600 MB otherwise.
"""

BODY_MAX_BYTES = 10 * 1024 * 1024
"""Largest body, sent or decompressed."""

_DISCARDED_BYTES_MAX = 2 * BODY_MAX_BYTES
_INLINE_BYTES_MAX = 16 * 1024
_PIECE_BYTES = 64 * 1024
_ZSTD_WINDOW_MAX = 16 * 1024 * 1024

Headers = Iterable[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Room:
    """Room for the bodies that are on their way from callers, all together."""

    def __init__(self, bytes_max: int) -> None:
        self._left = bytes_max

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Open one request's share; what it has taken is given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self._left += share.size

    def take(self, size: int) -> None:
        """Take some room. Raises Refused (`queue_full`) if there is not so much."""
        if size > self._left:
            message = (
                "too many large bodies are on their way at once; nothing of this request was applied, send it again"
            )
            raise Refused(message, code="queue_full")
        self._left -= size


class Share:
    """What one request has of the room, in bytes."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.size = 0

    def take(self, size: int) -> None:
        """Take more. Raises Refused as `Room.take` does."""
        self._room.take(size)
        self.size += size


class ClientGone(Exception):  # nobody is left to tell
    """The client went away before its body was complete. Nothing of it counts."""


async def read_body(receive: Receive, headers: Headers, share: Share) -> bytes:
    """Return the whole body, decompressed. What comes takes room from `share` as it comes.

    Raises Refused (`too_large`, `unsupported_encoding`, `queue_full`), InvalidInput for a body that does not
    decompress, ClientGone.
    """
    encoding = b""
    for name, value in headers:
        if name == b"content-length" and int(value or b"0") > BODY_MAX_BYTES:
            await _discard(receive)
            raise _too_large()
        if name == b"content-encoding":
            encoding = value.strip().lower()
    if encoding not in _ENCODINGS:
        message = f"Content-Encoding {encoding.decode('latin-1')!r} is not supported; send gzip, deflate, zstd, or none"
        raise Refused(message, code="unsupported_encoding")
    body = await _receive_all(receive, share)
    decompress = _ENCODINGS[encoding]
    if decompress is None:
        return body
    if len(body) <= _INLINE_BYTES_MAX:
        return decompress(body)
    return await asyncio.to_thread(decompress, body)


_room_of_framework = Room(BODIES_MAX_BYTES)


_Read = TypeVar("_Read")


async def read_json_body(
    request: Request, parse: Callable[[JsonValue], _Read], *, nesting_max: int = NESTING_MAX
) -> tuple[_Read, bytes]:
    """Return what `parse` makes of the JSON body of a request to the framework's routes, and the body itself.

    Raises InvalidInput and Refused, as the hot routes do, and what `parse` raises. Large ones are read in a thread.
    """
    body = await read_whole_body(request)
    if len(body) <= LARGE_BYTES:
        return parse(read_json(body)), body
    return await asyncio.to_thread(lambda: parse(read_json_in_pieces(body, nesting_max=nesting_max))), body


async def read_whole_body(request: Request) -> bytes:
    """Return the body of a request to the framework's routes. Raises InvalidInput and Refused as the hot routes do."""
    try:
        with _room_of_framework.share() as share:
            return await read_body(request.receive, request.headers.raw, share)
    except ClientGone as error:  # the framework wants an answer, also for nobody
        raise InvalidInput("the body ended before it was complete", code="malformed_body") from error


async def _receive_all(receive: Receive, share: Share) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > BODY_MAX_BYTES:
            raise _too_large()
        return body
    pieces: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        size += len(piece)
        if size > BODY_MAX_BYTES:
            if message.get("more_body"):
                pieces.clear()
                await _discard(receive)
            raise _too_large()
        share.take(len(piece))
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)
        message = await receive()


async def _discard(receive: Receive) -> None:
    """Read on for a while: a client that is still sending when its connection is closed never sees the answer."""
    size = 0
    while size < _DISCARDED_BYTES_MAX:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return
        size += len(message.get("body", b""))


def _decompress_gzip(body: bytes) -> bytes:
    return _inflate(body, zlib.MAX_WBITS | 16)


def _decompress_deflate(body: bytes) -> bytes:
    # RFC 9110 means the zlib format; some clients send bare deflate, which begins with another byte.
    looks_like_zlib = len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return _inflate(body, zlib.MAX_WBITS if looks_like_zlib else -zlib.MAX_WBITS)


def _inflate(body: bytes, window_bits: int) -> bytes:
    pieces = []
    size = 0
    rest = body
    try:
        while rest:  # a gzip body may consist of several members
            stream = zlib.decompressobj(window_bits)
            while not stream.eof:
                piece = stream.decompress(rest, _PIECE_BYTES)
                rest = stream.unconsumed_tail
                size += len(piece)
                if size > BODY_MAX_BYTES:
                    raise _too_large()
                pieces.append(piece)
                if not piece and not rest and not stream.eof:
                    raise InvalidInput("the compressed body ends too early", code="malformed_body")
            rest = stream.unused_data if window_bits > 16 else b""
    except zlib.error as error:
        raise InvalidInput(f"the body does not decompress: {error}", code="malformed_body") from error
    return b"".join(pieces)


def _decompress_zstd(body: bytes) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX).stream_reader(
        io.BytesIO(body), read_across_frames=True
    )
    try:
        text = reader.read(BODY_MAX_BYTES + 1)
    except zstandard.ZstdError as error:
        raise InvalidInput(f"the body does not decompress: {error}", code="malformed_body") from error
    if len(text) > BODY_MAX_BYTES:
        raise _too_large()
    return text


_ENCODINGS: dict[bytes, Callable[[bytes], bytes] | None] = {
    b"": None,
    b"identity": None,
    b"gzip": _decompress_gzip,
    b"x-gzip": _decompress_gzip,
    b"deflate": _decompress_deflate,
    b"zstd": _decompress_zstd,
}


def _too_large() -> Refused:
    message = f"a body has at most {BODY_MAX_BYTES // (1024 * 1024)} MB, also when decompressed; send it in parts"
    return Refused(message, code="too_large")
