"""What only this installation can read or sign: secrets at rest, and the links in messages.

Secrets are sealed with Fernet (AES-128-CBC, HMAC-SHA256). Several keys may be given, the first one seals: so keys are
changed without losing what the old one sealed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from traitbase.domain.errors import InvalidInput, Refused

_SIGNATURE_BYTES = 16
_decode_secrets = msgspec.json.Decoder(dict[str, str]).decode


class Vault:
    """Seals and signs with an installation's keys (texts of `new_key`), the newest first."""

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
            self._signing_keys = [base64.urlsafe_b64decode(key) for key in keys]
        except (ValueError, binascii.Error) as error:
            message = (
                "the secret key is none: expected 32 random bytes in URL-safe base64, as `openssl rand -base64 32 | "
                "tr +/ -_` makes them; several with commas, the newest first"
            )
            raise InvalidInput(message, code="bad_settings") from error

    def seal(self, secrets: Mapping[str, str]) -> str | None:
        """Return secrets as they are stored; None for none."""
        return self._fernet.encrypt(msgspec.json.encode(dict(secrets))).decode() if secrets else None

    def open(self, sealed: str | None) -> dict[str, str]:
        """Return what was sealed. Raises Refused (`wrong_secret_key`) if it was sealed with another key."""
        if sealed is None:
            return {}
        try:
            return _decode_secrets(self._fernet.decrypt(sealed.encode()))
        except InvalidToken as error:
            message = (
                "the integration's secrets were encrypted with another key: set TRAITBASE_SECRET_KEY (or the file "
                "secret.key in the data folder) to what it was then, or enter the secrets again"
            )
            raise Refused(message, code="wrong_secret_key") from error

    def sign(self, purpose: str, parts: Sequence[str]) -> str:
        """Return a token that names these parts and that nobody else can make. `purpose`: what it is good for."""
        payload = msgspec.json.encode(list(parts))
        return _to_text(payload + _signature(self._signing_keys[0], purpose, payload))

    def read(self, purpose: str, token: str) -> list[str] | None:
        """Return the parts of a token that was signed here for that purpose; None: it was not."""
        try:
            signed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (ValueError, binascii.Error):
            return None
        payload, signature = signed[:-_SIGNATURE_BYTES], signed[-_SIGNATURE_BYTES:]
        if not any(hmac.compare_digest(signature, _signature(key, purpose, payload)) for key in self._signing_keys):
            return None
        parts: list[str] = msgspec.json.decode(payload)
        return parts


def new_key() -> str:
    """Return a fresh key."""
    return Fernet.generate_key().decode()


def signature_of(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a body at a time (seconds since 1970): HMAC-SHA256 over `timestamp.body`, hexadecimal."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _signature(key: bytes, purpose: str, payload: bytes) -> bytes:
    own = hmac.new(key, f"traitbase {purpose}".encode(), hashlib.sha256).digest()
    return hmac.new(own, payload, hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def _to_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
