"""Who is calling: API keys, checked on every request and remembered for two seconds."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from traitbase.api.errors import UNAUTHENTICATED
from traitbase.domain.errors import Refused
from traitbase.domain.keys import ApiKey, Scope
from traitbase.domain.spaces import Space
from traitbase.services.ports import Store

# A revoked key is refused after this long at the latest, in every process.
_REMEMBERED_SECONDS = 2.0
_REMEMBERED_MAX = 10_000


class _Remembered(NamedTuple):
    header: bytes
    key: ApiKey
    until: float


class Gate:
    """Lets requests in. Remembers good keys for two seconds; their last use is written down by `note_uses`."""

    def __init__(self, store: Store, *, now_us: Callable[[], int]) -> None:
        self._store = store
        self._now_us = now_us
        self._known: dict[int, _Remembered] = {}  # by the header's (salted) hash, compared in constant time
        self._used_at_us: dict[str, int] = {}
        self._lent: dict[bytes, ApiKey] = {}

    def admit(
        self,
        authorization: bytes | None,
        *,
        space: Space,
        client: str | None,
        needed: Scope | None,
    ) -> ApiKey:
        """Return the caller's key. `needed` None: any scope will do.

        Raises Refused: `unauthenticated` for whatever is wrong with the key, always with the same text;
        `insufficient_scope` for a good key that may not do this.
        """
        key = self._find(authorization)
        now_us = self._now_us()
        if key is None or not key.opens(space) or not key.is_current(now_us) or not key.allows_address(client):
            raise Refused(UNAUTHENTICATED, code="unauthenticated")
        if key.digest:  # a lent one has none, and no row
            self._used_at_us[key.key_id] = now_us
        if needed is not None and not key.allows(needed):
            enough = " or ".join(repr(scope.value) for scope in dict.fromkeys((needed, Scope.ADMIN)))
            message = f"this API key has the scope {key.scope.value!r}, and this call needs {enough}"
            raise Refused(message, code="insufficient_scope")
        return key

    def admits_at_once(self, authorization: bytes | None) -> bool:
        """Whether `admit` waits for nothing: the key is remembered, or the store is right here."""
        return self._store.answers_at_once or authorization is None or self._remembered(authorization) is not None

    @contextmanager
    def lending(self, key: ApiKey) -> Iterator[bytes]:
        """Yield an `Authorization` that stands for a key which is stored nowhere, in this process and for this block.

        So the console asks for somebody who has signed in, by the same way and under the same rules as everybody.
        """
        header = b"Bearer " + secrets.token_urlsafe(32).encode()
        self._lent[header] = key
        try:
            yield header
        finally:
            del self._lent[header]

    def note_uses(self) -> None:
        """Write down when keys were last used."""
        used, self._used_at_us = self._used_at_us, {}
        for key_id, at_us in used.items():
            self._store.note_api_key_use(key_id, at_us=at_us)

    def _find(self, authorization: bytes | None) -> ApiKey | None:
        if authorization is None:
            return None
        key = self._remembered(authorization)
        if key is not None:
            return key
        now = time.monotonic()
        key = self._look_up(authorization)
        if key is not None:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            self._known[hash(authorization)] = _Remembered(authorization, key, now + _REMEMBERED_SECONDS)
        return key

    def _remembered(self, authorization: bytes) -> ApiKey | None:
        # 256 random bits that exist for the time of one call: their place in a table tells nobody anything.
        if (lent := self._lent.get(authorization)) is not None:
            return lent
        found = self._known.get(hash(authorization))
        if found is None or time.monotonic() >= found.until or not hmac.compare_digest(found.header, authorization):
            return None
        return found.key

    def _look_up(self, authorization: bytes) -> ApiKey | None:
        if authorization[:7].lower() != b"bearer ":
            return None
        digest = hashlib.sha256(authorization[7:].strip()).hexdigest()
        key = self._store.find_api_key(digest)
        return key if key is not None and hmac.compare_digest(key.digest, digest) else None
