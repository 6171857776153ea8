"""The store port in memory: for tests of what stands on it, and for trying things out. Nothing outlives the process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from traitbase.domain.effects import digests_in
from traitbase.domain.errors import Conflict, Refused
from traitbase.domain.keys import ApiKey
from traitbase.domain.spaces import Space, Workspace
from traitbase.services.ports import (
    CHANGES_A_RECEIPT,
    ChangeRow,
    Cleared,
    DefinitionRow,
    ErasedPerson,
    Erasure,
    ErasureRow,
    IdempotencyRow,
    IgnoredRow,
    KeptAsideRow,
    ProfileOrder,
    ProfileRow,
    Rewriting,
    SearchField,
    SuppressionFilter,
    SuppressionRow,
    WriteSession,
    WriteSet,
)
from traitbase.store.erasing import copied_id
from traitbase.store.memory_cohorts import CohortTables, MemoryCohortQueries
from traitbase.store.memory_rewriting import MemoryRewriting
from traitbase.store.moving import moves_of


@dataclass(slots=True)
class Tables:
    """All rows there are, by their keys."""

    workspaces: dict[str, Workspace] = field(default_factory=dict)
    api_keys: dict[str, ApiKey] = field(default_factory=dict)
    last_used_at_us: dict[str, int] = field(default_factory=dict)
    profiles: dict[tuple[str, str, str], ProfileRow] = field(default_factory=dict)
    revisions: dict[Space, int] = field(default_factory=dict)
    definitions: dict[tuple[Space, str], DefinitionRow] = field(default_factory=dict)
    changes: dict[tuple[Space, str], list[ChangeRow]] = field(default_factory=dict)
    search_keys: dict[tuple[str, str, str], tuple[str | None, ...]] = field(default_factory=dict)
    ignored_values: list[IgnoredRow] = field(default_factory=list)
    kept_aside: dict[tuple[str, str, str, str], KeptAsideRow] = field(default_factory=dict)
    erasures: dict[tuple[Space, str], ErasureRow] = field(default_factory=dict)
    idempotency: dict[tuple[Space, str], IdempotencyRow] = field(default_factory=dict)
    suppressions: dict[tuple[str, str], SuppressionRow] = field(default_factory=dict)
    subscription_settings: dict[Space, str] = field(default_factory=dict)
    cohorts: CohortTables = field(default_factory=CohortTables)


class MemoryStore(MemoryCohortQueries):
    """See the port for what each method promises."""

    answers_at_once = True

    def __init__(self) -> None:
        self.tables = Tables()
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
            name, email, *_ = self.tables.search_keys.get(row[:3], (None, None))
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

    def find_idempotency(self, space: Space, keys: Sequence[str], *, since_us: int) -> list[IdempotencyRow]:
        with self.lock:
            found = (self.tables.idempotency.get((space, key)) for key in dict.fromkeys(keys))
            return [row for row in found if row is not None and row.created_at_us >= since_us]

    def find_changes(self, space: Space, request_id: str, *, limit: int = CHANGES_A_RECEIPT) -> list[ChangeRow]:
        with self.lock:
            return sorted(self.tables.changes.get((space, request_id), []), key=lambda row: row.item)[:limit]

    def find_changes_at(self, space: Space, places: Sequence[str]) -> list[ChangeRow]:
        with self.lock:
            every = {
                row.place: row for (owner, _), rows in self.tables.changes.items() if owner == space for row in rows
            }
        return [every[place] for place in places if place in every]

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

    def find_last_ignored(self, space: Space, names: Sequence[str]) -> list[IgnoredRow]:
        return [row for name in names for row in self.find_ignored_values(space, name, before=None, limit=1)]

    def find_kept_aside(self, space: Space, name: str, *, after: str, limit: int) -> list[KeptAsideRow]:
        with self.lock:
            return MemoryRewriting(self.tables, space).kept_aside(name, after=after, limit=limit)

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
        return deleted

    def forget_idempotency(self, *, created_before_us: int) -> int:
        with self.lock:
            old = [key for key, row in self.tables.idempotency.items() if row.created_at_us < created_before_us]
            for key in old:
                del self.tables.idempotency[key]
        return len(old)

    def put_suppression(self, row: SuppressionRow) -> None:
        with self.lock:
            same = [each for each in self.tables.suppressions.values() if _is_same(each, row)]
            for each in same:
                del self.tables.suppressions[each[:2]]
            kept = min((each for each in same if _holds(each, row.created_at_us)), default=None)
            if kept is not None:
                row = row._replace(suppression_id=kept.suppression_id, created_at_us=kept.created_at_us)
            self.tables.suppressions[row[:2]] = row

    def list_suppressions(
        self, workspace_id: str, which: SuppressionFilter, *, now_us: int, after: str | None, limit: int
    ) -> list[SuppressionRow]:
        rows = self._suppressions_of(workspace_id, now_us)
        return [row for row in rows if _is_meant(row, which) and (after is None or row.suppression_id > after)][:limit]

    def find_suppressions(
        self, workspace_id: str, *, distinct_ids: Sequence[str], digests: Sequence[str], now_us: int
    ) -> list[SuppressionRow]:
        ids, known = set(distinct_ids), set(digests)
        rows = self._suppressions_of(workspace_id, now_us)
        return [row for row in rows if row.distinct_id in ids or row.digest in known]

    def delete_suppressions(self, workspace_id: str, which: SuppressionFilter, *, now_us: int) -> int:
        with self.lock:
            meant = [row for row in self._suppressions_of(workspace_id, now_us) if _is_meant(row, which)]
            for row in meant:
                del self.tables.suppressions[row[:2]]
        return len(meant)

    def forget_suppressions(self, *, expired_by_us: int, at_most: int) -> int:
        with self.lock:
            old = [row for row in self.tables.suppressions.values() if not _holds(row, expired_by_us)][:at_most]
            for row in old:
                del self.tables.suppressions[row[:2]]
        return len(old)

    def _suppressions_of(self, workspace_id: str, now_us: int) -> list[SuppressionRow]:
        with self.lock:
            every = [row for row in self.tables.suppressions.values() if row.workspace_id == workspace_id]
        return sorted((row for row in every if _holds(row, now_us)), key=lambda row: row.suppression_id)

    def find_subscription_settings(self, space: Space) -> str | None:
        with self.lock:
            return self.tables.subscription_settings.get(space)

    def put_subscription_settings(self, space: Space, document: str, *, at_us: int) -> None:  # noqa: ARG002  # for operators
        with self.lock:
            self.tables.subscription_settings[space] = document

    def open_session(self) -> WriteSession:
        return _MemorySession(self)

    @contextmanager
    def rewriting(self, space: Space, *, wait_seconds: float) -> Iterator[Rewriting]:
        if not self.writing.acquire(timeout=wait_seconds):
            raise Refused("the storage is held by another writer; try again", code="store_unavailable")
        try:
            opened = MemoryRewriting(self.tables, space)
            yield opened
            with self.lock:
                opened.keep()
        finally:
            self.writing.release()

    @contextmanager
    def rehearsing(self, space: Space) -> Iterator[Rewriting]:
        with self.lock:
            yield MemoryRewriting(self.tables, space)

    def tidy(self) -> None:
        return

    def clear_traces(self, *, wait_seconds: float) -> Cleared:  # noqa: ARG002  # nothing is kept but what is there
        return Cleared(log=True, file=True)

    def compact(self) -> None:
        return

    def check(self) -> None:
        return

    def close(self) -> None:
        return


def _place(row: ProfileRow, *, by_time: bool) -> tuple[int, str]:
    return row.created_at_us if by_time else 0, row.distinct_id


def _holds(row: SuppressionRow, now_us: int) -> bool:
    return row.expires_at_us is None or row.expires_at_us > now_us


def _is_same(row: SuppressionRow, other: SuppressionRow) -> bool:
    if (row.workspace_id, row.channel) != (other.workspace_id, other.channel):
        return False
    return row.distinct_id == other.distinct_id if other.digest is None else row.digest == other.digest


def _is_meant(row: SuppressionRow, which: SuppressionFilter) -> bool:
    return (
        which.suppression_id in (None, row.suppression_id)
        and (which.distinct_ids is None or row.distinct_id in which.distinct_ids)
        and (which.digests is None or row.digest in which.digests)
        and which.channel in (None, row.channel)
    )


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
        self._write_edited(rows)
        tables.profiles.update({row[:3]: row for row in rows.profiles})
        tables.cohorts.feed_group(rows)
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

    def _write_edited(self, rows: WriteSet) -> None:
        tables = self._store.tables
        for alias in rows.repointed:
            if alias[:3] in tables.profiles:
                tables.profiles[alias[:3]] = tables.profiles[alias[:3]]._replace(alias_of=alias.alias_of)
        for space, old, new in moves_of(rows.edited):
            self._move_kept_aside((*space, old), new)
            tables.cohorts.move(space, old, new)
        for edited in rows.edited:
            tables.profiles[edited.row[:3]] = edited.row
            tables.search_keys[edited.row[:3]] = edited[3:]

    def _move_kept_aside(self, key: tuple[str, str, str], target: str) -> None:
        kept = self._store.tables.kept_aside
        for place in [each for each in kept if (each[0], each[1], each[3]) == key]:
            there = (*place[:3], target)
            if there not in kept:
                kept[there] = kept.pop(place)._replace(distinct_id=target)

    def _take_away(self, rows: WriteSet) -> None:
        tables = self._store.tables
        aliases = [key for key in rows.deleted_aliases if key in tables.profiles and tables.profiles[key].alias_of]
        for key in [*(row[:3] for row in rows.deleted), *aliases]:
            tables.profiles.pop(key, None)
            tables.search_keys.pop(key, None)
        for erasure in rows.erasures:
            gone = set(erasure.distinct_ids)
            counts = {"profiles": len(erasure.people), "aliases": len(gone) - len(erasure.people)}
            erased: list[ChangeRow] = []
            for (space, _), changes in tables.changes.items():
                if space == erasure.space:
                    erased += [row for row in changes if row.distinct_id in gone]
                    changes[:] = [row for row in changes if row.distinct_id not in gone]
            counts["changes"] = len(erased)
            left = [row for row in tables.ignored_values if row[:2] != erasure.space or row.distinct_id not in gone]
            counts["ignored_values"] = len(tables.ignored_values) - len(left)
            tables.ignored_values = left
            aside = [key for key in tables.kept_aside if key[:2] == erasure.space and key[3] in gone]
            for place in aside:
                del tables.kept_aside[place]
            counts["cohort_members"] = tables.cohorts.erase(erasure.space, gone)
            counts |= {"kept_aside": len(aside), "suppressions": self._erase_suppressions(erasure, erased)}
            receipt = ErasureRow(erasure.request_id, erasure.erased_at_us, erasure.key_id, counts)
            tables.erasures[erasure.space, erasure.request_id] = receipt

    def _erase_suppressions(self, erasure: Erasure, changes: Sequence[ChangeRow]) -> int:
        elsewhere = {key[2] for key in self._store.tables.profiles if _is_elsewhere(key, erasure.space)}
        workspace_id = erasure.space.workspace_id
        digests = {each for row in changes for each in digests_in(row.effect, workspace_id)}
        digests.update(each for person in erasure.people for each in person.digests)
        changed = self._take_out_destinations(workspace_id, digests)
        return changed + sum(self._unname(workspace_id, person, elsewhere) for person in erasure.people)

    def _take_out_destinations(self, workspace_id: str, digests: set[tuple[str, str]]) -> int:
        table = self._store.tables.suppressions
        by_destination = [
            key
            for key, row in table.items()
            if row.workspace_id == workspace_id and row.destination is not None and (row.channel, row.digest) in digests
        ]
        for key in by_destination:
            table[key] = table[key]._replace(destination=None, description=None)
        return len(by_destination)

    def _unname(self, workspace_id: str, person: ErasedPerson, elsewhere: set[str]) -> int:
        table = self._store.tables.suppressions
        digests = dict(person.digests)
        before = dict(table)
        for key, row in before.items():
            digest = digests.get(row.channel)
            if row.workspace_id != workspace_id:
                continue
            if row.distinct_id in person.distinct_ids:
                keeps_ids = row.distinct_id in elsewhere
                nameless = row._replace(distinct_id=None, digest=digest, description=None)
                if not keeps_ids:
                    del table[key]
                if digest is not None:
                    copy = copied_id(row.suppression_id, digest) if keeps_ids else row.suppression_id
                    table[workspace_id, copy] = nameless._replace(suppression_id=copy)
        return len({key for key in before.keys() | table.keys() if before.get(key) != table.get(key)})


def _is_elsewhere(key: tuple[str, str, str], space: Space) -> bool:
    return key[0] == space.workspace_id and key[1] != space.environment
