"""Cursors of lists: where the page before ended, opaque to its reader."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from traitbase.domain.errors import Fault, InvalidInput

_Place = TypeVar("_Place", bound=tuple[object, ...])


def cursor_at(place: tuple[object, ...]) -> str:
    """Return the cursor for a place: the last row's key in the order of the list."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def place_in(cursor: str, shape: type[_Place]) -> _Place:
    """Return the place that a cursor was made of. Raises InvalidInput if it is no cursor of this list."""
    try:
        text = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
        return msgspec.json.decode(text, type=shape)
    except (binascii.Error, UnicodeError, ValueError) as error:
        message = "expected the next_cursor of an answer, unchanged"
        raise InvalidInput(f"cursor: {message}", faults=(Fault("cursor", message),)) from error
