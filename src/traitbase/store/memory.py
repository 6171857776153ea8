"""The store port in memory: for tests of what stands on it, and for trying things out. Nothing outlives the process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from traitbase.domain.errors import Conflict, Refused
from traitbase.domain.keys import ApiKey
from traitbase.domain.spaces import Space, Workspace
from traitbase.services.ports import ChangeRow, DefinitionRow, IdempotencyRow, ProfileRow, WriteSession, WriteSet


@dataclass(slots=True)
class _Tables:
    workspaces: dict[str, Workspace] = field(default_factory=dict)
    api_keys: dict[str, ApiKey] = field(default_factory=dict)
    last_used_at_us: dict[str, int] = field(default_factory=dict)
    profiles: dict[tuple[str, str, str], ProfileRow] = field(default_factory=dict)
    revisions: dict[Space, int] = field(default_factory=dict)
    definitions: dict[tuple[Space, str], DefinitionRow] = field(default_factory=dict)
    changes: dict[tuple[Space, str], list[ChangeRow]] = field(default_factory=dict)
    idempotency: dict[tuple[Space, str], IdempotencyRow] = field(default_factory=dict)


class MemoryStore:
    """See the port for what each method promises."""

    def __init__(self) -> None:
        self.tables = _Tables()
        self.lock = threading.RLock()
        self.writing = threading.Lock()  # held from stage to commit, which may be another thread's

    def add_workspace(self, workspace: Workspace) -> None:
        with self.lock:
            if workspace.workspace_id in self.tables.workspaces:
                raise Conflict(f"there is a workspace {workspace.workspace_id!r} already", code="workspace_exists")
            self.tables.workspaces[workspace.workspace_id] = workspace

    def find_workspace(self, workspace_id: str) -> Workspace | None:
        with self.lock:
            return self.tables.workspaces.get(workspace_id)

    def list_workspaces(self) -> list[Workspace]:
        with self.lock:
            return sorted(self.tables.workspaces.values(), key=lambda each: (each.created_at_us, each.workspace_id))

    def add_api_key(self, key: ApiKey) -> None:
        with self.lock:
            self.tables.api_keys[key.key_id] = key

    def find_api_key(self, digest: str) -> ApiKey | None:
        with self.lock:
            return next((key for key in self.tables.api_keys.values() if key.digest == digest), None)

    def list_api_keys(self, workspace_id: str) -> list[tuple[ApiKey, int | None]]:
        with self.lock:
            keys = [key for key in self.tables.api_keys.values() if key.workspace_id == workspace_id]
            keys.sort(key=lambda key: (key.created_at_us, key.key_id))
            return [(key, self.tables.last_used_at_us.get(key.key_id)) for key in keys]

    def revoke_api_key(self, key_id: str, *, at_us: int) -> bool:
        with self.lock:
            key = self.tables.api_keys.get(key_id)
            if key is None or key.revoked_at_us is not None:
                return False
            self.tables.api_keys[key_id] = replace(key, revoked_at_us=at_us)
            return True

    def note_api_key_use(self, key_id: str, *, at_us: int) -> None:
        with self.lock:
            if key_id in self.tables.api_keys:
                self.tables.last_used_at_us[key_id] = at_us

    def find_profiles(self, space: Space, distinct_ids: Sequence[str]) -> list[ProfileRow]:
        with self.lock:
            found = (self.tables.profiles.get((*space, distinct_id)) for distinct_id in dict.fromkeys(distinct_ids))
            return [row for row in found if row is not None]

    def get_definitions(self, space: Space) -> tuple[int, list[DefinitionRow]]:
        with self.lock:
            rows = [row for (owner, _), row in self.tables.definitions.items() if owner == space]
            return self.tables.revisions.get(space, 0), sorted(rows)

    def find_idempotency(self, space: Space, keys: Sequence[str], *, since_us: int) -> list[IdempotencyRow]:
        with self.lock:
            found = (self.tables.idempotency.get((space, key)) for key in dict.fromkeys(keys))
            return [row for row in found if row is not None and row.created_at_us >= since_us]

    def find_changes(self, space: Space, request_id: str) -> list[ChangeRow]:
        with self.lock:
            return sorted(self.tables.changes.get((space, request_id), []), key=lambda row: row.item)

    def forget_requests(self, *, received_before_us: int, at_most: int) -> int:
        deleted = 0
        with self.lock:
            for key, rows in list(self.tables.changes.items()):
                old = [row for row in rows if row.received_at_us < received_before_us][: at_most - deleted]
                deleted += len(old)
                self.tables.changes[key] = [row for row in rows if row not in old]
            for token, row in list(self.tables.idempotency.items()):
                if row.created_at_us < received_before_us:
                    del self.tables.idempotency[token]
        return deleted

    def open_session(self) -> WriteSession:
        return _MemorySession(self)

    def tidy(self) -> None:
        return

    def check(self) -> None:
        return

    def close(self) -> None:
        return


class _MemorySession:
    """Checks everything first, then writes everything; other writers wait from the one to the other."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._staged = WriteSet()

    def write(self, rows: WriteSet, *, wait_seconds: float) -> None:
        self.stage(rows, wait_seconds=wait_seconds)
        self.commit()

    def stage(self, rows: WriteSet, *, wait_seconds: float) -> None:
        if not self._store.writing.acquire(timeout=wait_seconds):
            raise Refused("the storage is held by another writer; try again", code="store_unavailable")
        with self._store.lock:
            still_so = self._still_so(rows)
        if not still_so:
            self._store.writing.release()
            raise Conflict("another writer was faster", code="lost_race")
        self._staged = rows

    def commit(self) -> None:
        with self._store.lock:
            self._write(self._staged)
        self._store.writing.release()

    def close(self) -> None:
        return

    def _still_so(self, rows: WriteSet) -> bool:
        tables = self._store.tables
        for space, revision in rows.definitions_at.items():
            if tables.revisions.get(space, 0) != revision:
                return False
        for key in rows.idempotency:
            taken = tables.idempotency.get((Space(key.workspace_id, key.environment), key.idempotency_key))
            if taken is not None and taken.created_at_us >= rows.expired_before_us:
                return False
        for seen in rows.seen:
            stored = tables.profiles.get(seen[:3])
            if (("", 0) if stored is None else (stored.profile_id, stored.revision)) != seen[3:]:
                return False
        for row in rows.profiles:
            stored = tables.profiles.get(row[:3])
            revision, profile_id = (0, row.profile_id) if stored is None else (stored.revision, stored.profile_id)
            if (revision + 1, profile_id) != (row.revision, row.profile_id):
                return False
        return True

    def _write(self, rows: WriteSet) -> None:
        tables = self._store.tables
        for space, definitions in rows.new_definitions.items():
            tables.revisions[space] = rows.definitions_at.get(space, 0) + 1
            tables.definitions.update({(space, row.name): row for row in definitions})
        tables.profiles.update({row[:3]: row for row in rows.profiles})
        for key in rows.idempotency:
            tables.idempotency[Space(key.workspace_id, key.environment), key.idempotency_key] = key
        for change in rows.changes:
            request = (Space(change.workspace_id, change.environment), change.request_id)
            tables.changes.setdefault(request, []).append(change)
