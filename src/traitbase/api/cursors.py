"""Cursors: where a listing goes on, as text that callers pass back unchanged and need not understand."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Annotated, NoReturn, TypeAlias, TypeVar

import msgspec

from traitbase.domain.errors import Fault, InvalidInput

_PACKED_FROM_BYTES = 512
_UNPACKED_MAX_BYTES = 256 * 1024

_Place = TypeVar("_Place")

StoredInteger: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A number in a cursor. A larger one was never given out, and a database would fail on it."""

_ChangePlace: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[^/]{1,255}/[0-9]{1,9}$")]
PlaceList: TypeAlias = Annotated[list[_ChangePlace], msgspec.Meta(max_length=2_000)]
"""Places of changes: request and item."""


def cursor_of(place: object) -> str:
    """Return the cursor for a place (anything that JSON can carry)."""
    text = msgspec.json.encode(place)
    packed = zlib.compress(text, 9) if len(text) > _PACKED_FROM_BYTES else text
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def place_in(cursor: str, kind: type[_Place]) -> _Place:
    """Return the place of a cursor. Raises InvalidInput for what is no cursor of that kind."""
    try:
        text = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        if text[:1] == b"\x78":  # packed; JSON does not begin so
            unpacking = zlib.decompressobj()
            text = unpacking.decompress(text, _UNPACKED_MAX_BYTES)
        return msgspec.json.decode(text, type=kind)
    except (binascii.Error, UnicodeError, ValueError, zlib.error):
        refuse_cursor()


def refuse_cursor() -> NoReturn:
    """Raise InvalidInput for a cursor that does not belong to the question."""
    message = "expected the next_cursor of an answer to the same question, unchanged"
    raise InvalidInput(f"cursor: {message}", faults=(Fault("cursor", message),), code="invalid_cursor")
