"""Passwords: hashed with Argon2id (RFC 9106), verified in the same time whether or not there is such a person."""

from __future__ import annotations

import functools

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

# The library's defaults are RFC 9106's second recommended option: 64 MiB, 3 passes, 4 lanes.
_hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """Return the hash of a password, with its salt and parameters. Takes some 0.1 s and 64 MiB, on purpose."""
    return _hasher.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Tell whether a password is the one that was hashed. None: no account, which takes as long to find out."""
    nobody = _nobody()  # made for everybody, so that it takes nobody longer
    try:
        return _hasher.verify(nobody if stored is None else stored, password) and stored is not None
    except (VerifyMismatchError, InvalidHashError):
        return False


@functools.cache
def _nobody() -> str:
    return _hasher.hash("what is compared when there is no such account")


def wants_rehash(stored: str) -> bool:
    """Tell whether a hash was made with other parameters than those of today."""
    return _hasher.check_needs_rehash(stored)
