"""Texts without regard to case: the 26 letters of ASCII, no others, so that every engine agrees on them."""

from __future__ import annotations

import string

_SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def folded(text: str) -> str:
    """Return a text with its ASCII letters made small."""
    return text.translate(_SMALL)
