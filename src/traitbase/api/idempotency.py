"""The `Idempotency-Key` of a request."""

from __future__ import annotations

import hashlib

from traitbase.api.bodies import Headers
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.services.ingest import IdempotencyKey

_MAX_CHARACTERS = 255


def header_once(name: bytes, headers: Headers) -> bytes | None:
    """Return the value of a header that may be there once, or None. Raises InvalidInput if it is there more often."""
    values = [value for header, value in headers if header == name]
    if len(values) > 1:
        fault = Fault(name.decode().title(), "expected once, and it was sent several times")
        raise InvalidInput(f"header {fault.path}: {fault.message}", faults=(fault,))
    return values[0] if values else None


def idempotency_key(headers: Headers, called: str, body: bytes) -> IdempotencyKey | None:
    """Return the key of a request (of which `called` and `body` say what it asks for), or None if it has none.

    Raises InvalidInput for a header that is none.
    """
    token = header_once(b"idempotency-key", headers)
    return None if token is None else key_for(token, called, body)


def key_for(token: bytes, called: str, body: bytes) -> IdempotencyKey:
    """Return the key for the header's value. Raises InvalidInput if it cannot be one."""
    if not (1 <= len(token) <= _MAX_CHARACTERS and all(0x20 <= byte <= 0x7E for byte in token)):
        fault = Fault("Idempotency-Key", f"expected 1 to {_MAX_CHARACTERS} printable ASCII characters")
        raise InvalidInput(f"header {fault.path}: {fault.message}", faults=(fault,))
    digest = hashlib.sha256(called.encode() + b"\n" + body).hexdigest()
    return IdempotencyKey(hashlib.sha256(token).hexdigest(), digest)
