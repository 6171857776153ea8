"""API keys: who may do what in which workspace and environment, and how a key is kept without being known."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.spaces import Space


class Scope(StrEnum):
    """What a key allows: `ingest` writes and sees its own receipts, `read` reads, `admin` does everything."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


class Reach(StrEnum):
    """The environments in which a key is valid."""

    LIVE = "live"
    TEST = "test"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored: its SHA-256 digest (hexadecimal), never the key itself.

    The key is 256 random bits, so a plain digest cannot be turned back; slow hashes are for passwords people choose.
    Times are microseconds since 1970 UTC; None means never. No networks means any address.
    """

    key_id: str
    workspace_id: str
    reach: Reach
    scope: Scope
    name: str
    digest: str
    created_at_us: int
    expires_at_us: int | None = None
    revoked_at_us: int | None = None
    networks: tuple[str, ...] = ()

    def opens(self, space: Space) -> bool:
        """Tell whether the key is one of this workspace and environment."""
        return self.workspace_id == space.workspace_id and self.reach in (Reach.BOTH, space.environment)

    def is_current(self, now_us: int) -> bool:
        """Tell whether the key is neither revoked nor expired at that moment."""
        return self.revoked_at_us is None and (self.expires_at_us is None or now_us < self.expires_at_us)

    def allows_address(self, address: str | None) -> bool:
        """Tell whether a client at that IP address (None: not known) may use the key."""
        if not self.networks:
            return True
        try:
            client = ip_address(address or "")
        except ValueError:
            return False
        mapped = getattr(client, "ipv4_mapped", None)  # how a socket for both families shows an IPv4 client
        client = client if mapped is None else mapped
        return any(client in ip_network(network) for network in self.networks)

    def allows(self, needed: Scope) -> bool:
        """Tell whether the scope includes the needed one. Reading is no part of `ingest`, nor writing of `read`."""
        return self.scope is Scope.ADMIN or self.scope is needed


def new_secret() -> str:
    """Return a fresh API key: `tb_` and 43 URL-safe characters (256 random bits)."""
    return f"tb_{secrets.token_urlsafe(32)}"


def new_key_id() -> str:
    """Return a fresh id by which a key may be named in logs and lists: `key_` and 12 hexadecimal digits."""
    return f"key_{secrets.token_hex(6)}"


def digest_of(secret: str) -> str:
    """Return the SHA-256 digest (hexadecimal) under which a key is stored and looked up."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check_networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return networks in canonical CIDR form, or raise InvalidInput naming the first that is none."""
    return tuple(str(_network(text)) for text in texts)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        fault = Fault("allow", f"{text!r} is no network; expected CIDR such as 10.0.0.0/8 or 192.0.2.7/32 ({error})")
        raise InvalidInput(f"{fault.path}: {fault.message}", faults=(fault,)) from error
