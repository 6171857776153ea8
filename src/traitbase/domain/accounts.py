"""The people who use the console: their accounts, and what their role in a workspace allows."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

from traitbase.domain.errors import Fault, InvalidInput

PASSWORD_CHARACTERS_MIN = 12
PASSWORD_CHARACTERS_MAX = 256
"""Long enough for any passphrase, short enough that hashing one is not work that strangers can order."""

_EMAIL = re.compile(r"[^\s@<>\"',;]{1,64}@[^\s@<>\"',;]{1,190}")


class Role(StrEnum):
    """What somebody may do in a workspace, each what the one before may and more.

    `viewer` reads; `editor` changes people, properties, cohorts, events and campaigns; `admin` also has the keys, the
    integrations and the other people, and does what cannot be undone: erasing people, deleting properties.
    """

    VIEWER = "viewer"
    EDITOR = "editor"
    ADMIN = "admin"

    def includes(self, needed: Role) -> bool:
        """Tell whether the role allows what another one does."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can sign in. `password` is its Argon2 hash. Times are microseconds since 1970 UTC."""

    account_id: str
    email: str
    name: str
    password: str
    created_at_us: int


def new_account_id() -> str:
    """Return a fresh account id: `acc_` and 12 hexadecimal digits."""
    return f"acc_{secrets.token_hex(6)}"


def new_token() -> str:
    """Return a fresh token for a link or a cookie: 43 URL-safe characters (256 random bits)."""
    return secrets.token_urlsafe(32)


def digest_of_token(token: str) -> str:
    """Return the SHA-256 digest (hexadecimal) under which a token is stored: it cannot be turned back."""
    return hashlib.sha256(token.encode()).hexdigest()


def check_email(text: str, path: str = "email") -> str:
    """Return an email address in the one form in which accounts are known. Raises InvalidInput."""
    email = text.strip().lower()
    if not _EMAIL.fullmatch(email):
        raise_fault(path, "expected an email address, such as ada@example.com")
    return email


def check_account_name(text: str, path: str = "name") -> str:
    """Return somebody's name. Raises InvalidInput: it is 1 to 100 characters, none of them control."""
    name = text.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise_fault(path, "expected a name of 1 to 100 characters")
    return name


def check_password(text: str, *, email: str, path: str = "password") -> str:
    """Return a new password. Raises InvalidInput: length is what makes one good (NIST SP 800-63B, 5.1.1.2)."""
    if len(text) < PASSWORD_CHARACTERS_MIN:
        raise_fault(path, f"expected at least {PASSWORD_CHARACTERS_MIN} characters: a few words are easiest to keep")
    if len(text) > PASSWORD_CHARACTERS_MAX:
        raise_fault(path, f"expected at most {PASSWORD_CHARACTERS_MAX} characters")
    if text.lower() == email or len(set(text)) < 4:
        raise_fault(path, "expected something that is harder to guess")
    return text


def raise_fault(path: str, message: str) -> None:
    """Raise InvalidInput about one field."""
    raise InvalidInput(f"{path}: {message}", faults=(Fault(path, message),))
