"""The store port in memory: for tests of what stands on it, and for trying things out. Nothing outlives the process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from traitbase.domain.errors import Conflict, Refused
from traitbase.domain.keys import ApiKey
from traitbase.domain.spaces import Space, Workspace
from traitbase.services.ports import (
    ChangeRow,
    DefinitionRow,
    ErasureRow,
    IdempotencyRow,
    IgnoredRow,
    ProfileOrder,
    ProfileRow,
    SearchField,
    Snapshot,
    WriteSession,
    WriteSet,
)


@dataclass(slots=True)
class _Tables:
    workspaces: dict[str, Workspace] = field(default_factory=dict)
    api_keys: dict[str, ApiKey] = field(default_factory=dict)
    last_used_at_us: dict[str, int] = field(default_factory=dict)
    profiles: dict[tuple[str, str, str], ProfileRow] = field(default_factory=dict)
    revisions: dict[Space, int] = field(default_factory=dict)
    definitions: dict[tuple[Space, str], DefinitionRow] = field(default_factory=dict)
    changes: dict[tuple[Space, str], list[ChangeRow]] = field(default_factory=dict)
    search_keys: dict[tuple[str, str, str], tuple[str | None, str | None]] = field(default_factory=dict)
    ignored_values: list[IgnoredRow] = field(default_factory=list)
    erasures: dict[tuple[Space, str], ErasureRow] = field(default_factory=dict)
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

    def list_profiles(
        self, space: Space, order: ProfileOrder, *, after: tuple[int, str] | None, limit: int
    ) -> list[ProfileRow]:
        by_time = order in (ProfileOrder.CREATED_AT, ProfileOrder.NEWEST_FIRST)
        descending = order in (ProfileOrder.NEWEST_FIRST, ProfileOrder.DISTINCT_ID_DESCENDING)
        rows = sorted(self._profiles_of(space), key=lambda row: _place(row, by_time=by_time), reverse=descending)
        if after is not None:
            passed = after if by_time else (0, after[1])
            places = [(row, _place(row, by_time=by_time)) for row in rows]
            rows = [row for row, place in places if (place < passed if descending else place > passed)]
        return rows[:limit]

    def search_profiles(
        self, space: Space, field: SearchField, prefix: str, *, after: tuple[str, str] | None, limit: int
    ) -> list[tuple[str, ProfileRow]]:
        found = []
        for row in self._profiles_of(space):
            name, email = self.tables.search_keys.get(row[:3], (None, None))
            value = {SearchField.DISTINCT_ID: row.distinct_id, SearchField.NAME: name, SearchField.EMAIL: email}[field]
            if value is not None and value.startswith(prefix) and (after is None or (value, row.distinct_id) > after):
                found.append((value, row))
        return sorted(found, key=lambda each: (each[0], each[1].distinct_id))[:limit]

    def _profiles_of(self, space: Space) -> list[ProfileRow]:
        with self.lock:
            return [row for key, row in self.tables.profiles.items() if key[:2] == space and row.alias_of is None]

    def get_definitions(self, space: Space) -> tuple[int, list[DefinitionRow]]:
        with self.lock:
            rows = [row for (owner, _), row in self.tables.definitions.items() if owner == space]
            return self.tables.revisions.get(space, 0), sorted(rows)

    @contextmanager
    def open_snapshot(self, space: Space) -> Iterator[Snapshot]:
        with self.lock:  # rows are never changed in place
            rows = sorted(self._profiles_of(space), key=lambda row: row.distinct_id)
            snapshot = _MemorySnapshot(self.get_definitions(space)[1], rows)
        yield snapshot

    def find_idempotency(self, space: Space, keys: Sequence[str], *, since_us: int) -> list[IdempotencyRow]:
        with self.lock:
            found = (self.tables.idempotency.get((space, key)) for key in dict.fromkeys(keys))
            return [row for row in found if row is not None and row.created_at_us >= since_us]

    def find_changes(self, space: Space, request_id: str) -> list[ChangeRow]:
        with self.lock:
            return sorted(self.tables.changes.get((space, request_id), []), key=lambda row: row.item)

    def find_changes_of(
        self, space: Space, distinct_ids: Sequence[str], *, before: tuple[str, int] | None, limit: int
    ) -> list[ChangeRow]:
        with self.lock:
            every = [row for (owner, _), rows in self.tables.changes.items() if owner == space for row in rows]
        found = [row for row in every if row.distinct_id in set(distinct_ids) and row.effect is not None]
        found = [row for row in found if before is None or (row.request_id, row.item) < before]
        return sorted(found, key=lambda row: (row.request_id, row.item), reverse=True)[:limit]

    def find_erasure(self, space: Space, request_id: str) -> ErasureRow | None:
        with self.lock:
            return self.tables.erasures.get((space, request_id))

    def find_ignored_values(
        self, space: Space, name: str, *, before: tuple[str, int, str] | None, limit: int
    ) -> list[IgnoredRow]:
        with self.lock:
            found = [row for row in self.tables.ignored_values if row[:2] == space and row.property == name]
        found = [row for row in found if before is None or row[3:6] < before]
        return sorted(found, key=lambda row: row[3:6], reverse=True)[:limit]

    def forget_ignored_values(self, *, received_before_us: int, kept_a_property: int, at_most: int) -> int:
        with self.lock:
            kept: list[IgnoredRow] = []
            seen: Counter[tuple[str, ...]] = Counter()
            for row in sorted(self.tables.ignored_values, key=lambda row: row[3:6], reverse=True):
                seen[row[:3]] += 1
                if row.received_at_us >= received_before_us and seen[row[:3]] <= kept_a_property:
                    kept.append(row)
            deleted = len(self.tables.ignored_values) - len(kept)
            self.tables.ignored_values = kept
        return min(deleted, at_most)

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

    def clear_traces(self, *, wait_seconds: float) -> bool:  # noqa: ARG002  # nothing is kept but what is there
        return True

    def check(self) -> None:
        return

    def close(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class _MemorySnapshot:
    definitions: list[DefinitionRow]
    profiles: list[ProfileRow]

    def get_definitions(self) -> list[DefinitionRow]:
        return self.definitions

    def count_profiles(self) -> int:
        return len(self.profiles)

    def read_profiles(self) -> Iterator[Sequence[ProfileRow]]:
        yield self.profiles


def _place(row: ProfileRow, *, by_time: bool) -> tuple[int, str]:
    return row.created_at_us if by_time else 0, row.distinct_id


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
        return self._profiles_still_so(rows)

    def _profiles_still_so(self, rows: WriteSet) -> bool:
        if any(self._state_of(row[:3]) != row[3:] for row in rows.deleted):
            return False
        gone = {row[:3] for row in rows.deleted}
        if any((("", 0) if seen[:3] in gone else self._state_of(seen[:3])) != seen[3:] for seen in rows.seen):
            return False
        if any(self._state_of(edited.row[:3]) != edited[1:3] for edited in rows.edited):
            return False
        for row in rows.profiles:
            profile_id, revision = ("", 0) if row[:3] in gone else self._state_of(row[:3])
            if (revision + 1, profile_id or row.profile_id) != (row.revision, row.profile_id):
                return False
        return True

    def _state_of(self, key: tuple[str, str, str]) -> tuple[str, int]:
        stored = self._store.tables.profiles.get(key)
        return ("", 0) if stored is None else (stored.profile_id, stored.revision)

    def _write(self, rows: WriteSet) -> None:
        tables = self._store.tables
        for space, definitions in rows.new_definitions.items():
            tables.revisions[space] = rows.definitions_at.get(space, 0) + 1
            tables.definitions.update({(space, row.name): row for row in definitions})
        self._take_away(rows)
        for alias in rows.repointed:
            if alias[:3] in tables.profiles:
                tables.profiles[alias[:3]] = tables.profiles[alias[:3]]._replace(alias_of=alias.alias_of)
        for edited in rows.edited:
            tables.profiles[edited.row[:3]] = edited.row
            tables.search_keys[edited.row[:3]] = edited[3:]
        tables.profiles.update({row[:3]: row for row in rows.profiles})
        for key in rows.idempotency:
            tables.idempotency[Space(key.workspace_id, key.environment), key.idempotency_key] = key
        for change in rows.changes:
            request = (Space(change.workspace_id, change.environment), change.request_id)
            tables.changes.setdefault(request, []).append(change)
        tables.ignored_values.extend(rows.ignored_values)
        for space in rows.having.keys() | rows.ignored_counts.keys():
            having, ignored = rows.having.get(space, Counter()), rows.ignored_counts.get(space, Counter())
            for name in having.keys() | ignored.keys():
                row = tables.definitions.get((space, name))
                if row is not None:
                    profiles, lost = row.profiles + having[name], row.ignored + ignored[name]
                    tables.definitions[space, name] = row._replace(profiles=profiles, ignored=lost)

    def _take_away(self, rows: WriteSet) -> None:
        tables = self._store.tables
        for key in [*(row[:3] for row in rows.deleted), *rows.deleted_aliases]:
            tables.profiles.pop(key, None)
            tables.search_keys.pop(key, None)
        for erasure in rows.erasures:
            gone = set(erasure.distinct_ids)
            counts = {"profiles": len(erasure.people), "aliases": len(gone) - len(erasure.people)}
            erased = 0
            for (space, _), changes in tables.changes.items():
                if space == erasure.space:
                    erased += sum(row.distinct_id in gone for row in changes)
                    changes[:] = [row for row in changes if row.distinct_id not in gone]
            counts["changes"] = erased
            left = [row for row in tables.ignored_values if row[:2] != erasure.space or row.distinct_id not in gone]
            counts["ignored_values"] = len(tables.ignored_values) - len(left)
            counts |= {"kept_aside": 0, "suppressions": 0}
            tables.ignored_values = left
            receipt = ErasureRow(erasure.request_id, erasure.erased_at_us, erasure.key_id, counts)
            tables.erasures[erasure.space, erasure.request_id] = receipt
