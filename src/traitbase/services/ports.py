"""What the services need of a system of record. `store` implements it; one contract suite checks each implementation.

Rows are plain tuples: they pass by the hundred thousand. Times are microseconds since 1970 UTC and end in `_at_us`.
Any method may raise `Refused(code="store_unavailable")` when the storage cannot be used at the moment (a full disk, a
lock that nobody gives back); nothing of what was being written is then kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from traitbase.domain.definitions import State
from traitbase.domain.keys import ApiKey
from traitbase.domain.spaces import Space, Workspace
from traitbase.domain.values import Kind


class ProfileRow(NamedTuple):
    """A stored profile. `document` is the JSON object of its properties; `revision` counts its writes, from 1."""

    workspace_id: str
    environment: str
    distinct_id: str
    profile_id: str
    revision: int
    document: str
    created_at_us: int
    updated_at_us: int


class SeenRow(NamedTuple):
    """A profile that something was decided on without writing it. Revision 0 (and no `profile_id`): there was none."""

    workspace_id: str
    environment: str
    distinct_id: str
    profile_id: str
    revision: int


class DefinitionRow(NamedTuple):
    """A stored property definition, and the request whose value (or the command which) first brought it."""

    name: str
    kind: Kind
    state: State
    first_seen_at_us: int
    first_seen_in: str


class ChangeRow(NamedTuple):
    """What one update did: receipt and feed in one.

    `item` is the update's position in its request; `revision` that of the profile afterwards (0: there is no profile).
    `operations` is the JSON object of what was sent, `ignored` a JSON array of `{operation, property, reason, message}`
    or None if everything applied; `change_texts` writes and reads both.
    """

    workspace_id: str
    environment: str
    request_id: str
    item: int
    distinct_id: str
    received_at_us: int
    revision: int
    key_id: str
    operations: str
    ignored: str | None


class IdempotencyRow(NamedTuple):
    """An `Idempotency-Key` that was used: the digest of the request it came with and the id that request was given."""

    workspace_id: str
    environment: str
    idempotency_key: str
    digest: str
    request_id: str
    created_at_us: int


@dataclass(slots=True)
class WriteSet:
    """All that one transaction writes, and what it is based on.

    `definitions_at` says for each space at which revision of its definitions the writer decided; `new_definitions`
    take a space one revision further. `profiles` are in order of their keys, each one revision above the stored one of
    the same `profile_id` (revision 1: there is none). `seen` profiles are not written but must be as they were seen: an
    answer such as "was absent" is true of one revision only. `idempotency` keys may replace rows created before
    `expired_before_us`.
    """

    definitions_at: dict[Space, int] = field(default_factory=dict)
    new_definitions: dict[Space, list[DefinitionRow]] = field(default_factory=dict)
    profiles: list[ProfileRow] = field(default_factory=list)
    seen: list[SeenRow] = field(default_factory=list)
    changes: list[ChangeRow] = field(default_factory=list)
    idempotency: list[IdempotencyRow] = field(default_factory=list)
    expired_before_us: int = 0


class WriteSession(Protocol):
    """One writer's connection. Used by one thread at a time."""

    def write(self, rows: WriteSet, *, wait_seconds: float) -> None:
        """Make everything visible and durable together, or nothing.

        Raises Conflict if something it is based on is no longer so: read again and decide anew. Raises Refused if
        another writer held the storage for `wait_seconds`, or it cannot be written to. The same as `stage`, `commit`.
        """

    def stage(self, rows: WriteSet, *, wait_seconds: float) -> None:
        """Do everything of `write` but the end: `commit` must follow. Raises as `write` does."""

    def commit(self) -> None:
        """Make what was staged visible and durable. May be called from another thread. Raises Refused as `write`."""

    def close(self) -> None:
        """Give the connection back."""


class Store(Protocol):
    """The system of record. Safe to use from several threads; a read sees all that was committed before it began."""

    def add_workspace(self, workspace: Workspace) -> None:
        """Store a new workspace. Raises Conflict if its id is taken."""

    def find_workspace(self, workspace_id: str) -> Workspace | None:
        """Return the workspace, or None."""

    def list_workspaces(self) -> list[Workspace]:
        """Return all workspaces in order of creation."""

    def add_api_key(self, key: ApiKey) -> None:
        """Store a new key."""

    def find_api_key(self, digest: str) -> ApiKey | None:
        """Return the key with that digest, or None."""

    def list_api_keys(self, workspace_id: str) -> list[tuple[ApiKey, int | None]]:
        """Return a workspace's keys in order of creation, each with the time it was last used."""

    def revoke_api_key(self, key_id: str, *, at_us: int) -> bool:
        """Revoke a key for good. False if there is no such key, or it is revoked already."""

    def note_api_key_use(self, key_id: str, *, at_us: int) -> None:
        """Record that the key was used."""

    def find_profiles(self, space: Space, distinct_ids: Sequence[str]) -> list[ProfileRow]:
        """Return those of the profiles that exist, in any order."""

    def get_definitions(self, space: Space) -> tuple[int, list[DefinitionRow]]:
        """Return the revision of the space's definitions (0: none yet) and the definitions in order of name."""

    def find_idempotency(self, space: Space, keys: Sequence[str], *, since_us: int) -> list[IdempotencyRow]:
        """Return those of the keys that were used at or after `since_us`."""

    def find_changes(self, space: Space, request_id: str) -> list[ChangeRow]:
        """Return the changes of one request in order of item; an empty list if none are known."""

    def forget_requests(self, *, received_before_us: int, at_most: int) -> int:
        """Delete up to that many changes received earlier, and all idempotency keys of that age. Returns how many."""

    def open_session(self) -> WriteSession:
        """Return a new session for one writer."""

    def tidy(self) -> None:
        """Do the storage's own housekeeping (such as moving a write-ahead log along), in the caller's thread."""

    def check(self) -> None:
        """Raise Refused if the storage cannot be read or written to at the moment."""

    def close(self) -> None:
        """Close all connections."""
