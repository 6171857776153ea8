"""Signing in: passwords against guessing, and sessions that expire and can be ended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from traitbase.domain.accounts import (
    PASSWORD_CHARACTERS_MAX,
    Account,
    Role,
    check_password,
    digest_of_token,
    new_token,
    raise_fault,
)
from traitbase.domain.errors import InvalidInput, Refused
from traitbase.services.accounts.passwords import hash_password, verify_password, wants_rehash
from traitbase.services.accounts.ports import AccountStore, SignInRow

IDLE_HOURS = 12
LONGEST_DAYS = 14
ATTEMPT_MINUTES = 15
ATTEMPTS_OF_BOTH = 5
ATTEMPTS_OF_ADDRESS = 30
ATTEMPTS_OF_EMAIL = 100
"""Wrong passwords for one account from one address, from one address, and for one account, in 15 minutes.

The last is far above the first: else anybody could keep somebody out by guessing badly.
"""

_HOUR_US = 3_600_000_000
_NOTE_US = 60_000_000
WRONG = "This email address and password do not go together."
"""One text for an unknown address and a wrong password, so that nothing can be found out by trying."""


class Session(NamedTuple):
    """Somebody who has signed in, and what they may do by workspace id."""

    account: Account
    roles: dict[str, Role]
    digest: str


class Sessions:
    """Signs people in and out."""

    def __init__(self, store: AccountStore, *, now_us: Callable[[], int]) -> None:
        self._store = store
        self._now_us = now_us

    def sign_in(self, email: str, password: str, *, address: str, agent: str) -> str:
        """Return the token of a new session.

        Raises InvalidInput for a wrong pair, Refused (`too_many_attempts`) for somebody who guesses.
        """
        email = email.strip().lower()
        attempt = self._count(email, address)
        account = self._store.find_account_by_email(email)
        stored = None if account is None else account.password
        if not verify_password(stored, password[: PASSWORD_CHARACTERS_MAX + 1]) or account is None:
            raise InvalidInput(WRONG, code="wrong_password")
        self._store.clear_attempts(attempt, _of(email, address))
        if wants_rehash(account.password):
            self._store.set_password(account.account_id, hash_password(password))
        return self.begin(account, agent=agent)

    def begin(self, account: Account, *, agent: str) -> str:
        """Return the token of a new session of somebody who has shown who they are."""
        token, now_us = new_token(), self._now_us()
        row = SignInRow(
            digest_of_token(token), account.account_id, now_us, now_us, now_us + IDLE_HOURS * _HOUR_US, agent[:200]
        )
        self._store.add_sign_in(row)
        return token

    def find(self, token: str) -> Session | None:
        """Return the session of a token, or None. It goes on for as long as it is used, but no longer than 14 days."""
        digest, now_us = digest_of_token(token), self._now_us()
        row = self._store.find_sign_in(digest)
        if row is None or row.expires_at_us <= now_us:
            return None
        account = self._store.find_account(row.account_id)
        if account is None:
            return None
        if now_us - row.used_at_us > _NOTE_US:
            last_us = row.created_at_us + LONGEST_DAYS * 24 * _HOUR_US
            expires_at_us = min(now_us + IDLE_HOURS * _HOUR_US, last_us)
            self._store.note_sign_in(digest, used_at_us=now_us, expires_at_us=expires_at_us)
        roles = {each.workspace_id: each.role for each in self._store.roles_of(account.account_id)}
        return Session(account, roles, digest)

    def end(self, session: Session) -> None:
        """End a session."""
        self._store.end_sign_ins(session.account.account_id, digests=[session.digest])

    def list(self, session: Session) -> list[SignInRow]:
        """Return all sessions of whoever has this one, the newest first."""
        return self._store.list_sign_ins(session.account.account_id, now_us=self._now_us())

    def end_others(self, session: Session) -> int:
        """End all sessions of whoever has this one but this one. Returns how many."""
        return self._store.end_sign_ins(session.account.account_id, digests=None, but=session.digest)

    def change_password(self, session: Session, *, current: str, new: str, address: str) -> None:
        """Choose another password, which ends all other sessions. Raises InvalidInput naming the field, Refused."""
        account = session.account
        attempt = self._count(account.email, address)
        if not verify_password(account.password, current):
            raise_fault("current", "this is not the password")
        self._store.clear_attempts(attempt, _of(account.email, address))
        self._store.set_password(
            account.account_id, hash_password(check_password(new, email=account.email, path="new"))
        )
        self.end_others(session)

    def _count(self, email: str, address: str) -> str:
        """Count an attempt, until it is known to be good; return its id. Raises Refused if there were too many."""
        now_us, attempt = self._now_us(), new_token()
        limits = {
            _of(email, address): ATTEMPTS_OF_BOTH,
            _of("", address): ATTEMPTS_OF_ADDRESS,
            _of(email, ""): ATTEMPTS_OF_EMAIL,
        }
        since_us = now_us - ATTEMPT_MINUTES * 60_000_000
        counts = self._store.count_attempts(attempt, list(limits), now_us=now_us, since_us=since_us)
        if any(count > at_most for count, at_most in zip(counts, limits.values(), strict=True)):
            message = f"That were too many attempts. Try again in {ATTEMPT_MINUTES} minutes."
            raise Refused(message, code="too_many_attempts")
        return attempt


def _of(email: str, address: str) -> str:
    """Return under what attempts are counted: a digest, since who does not exist is nobody's business to keep."""
    return hashlib.sha256(f"{email}\n{address}".encode()).hexdigest()
