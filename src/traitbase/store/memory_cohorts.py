"""Cohorts, the feed, and moments, in memory."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from traitbase.domain.attributes import country_code, decode_attributes
from traitbase.domain.cohorts import CohortKind, MemberMode
from traitbase.domain.errors import Conflict, InvalidInput, NotFound
from traitbase.domain.spaces import Space, Workspace
from traitbase.services.ports import (
    NOTHING_FED,
    CohortCheck,
    CohortRow,
    CopiedRow,
    DefinitionRow,
    FeedEnd,
    FeedRow,
    MembersChanged,
    Moment,
    ProfileRow,
    Snapshot,
    WriteSet,
    copied_text,
)
from traitbase.store.feeding import fed_of

if TYPE_CHECKING:
    from traitbase.store.memory import Tables


@dataclass(slots=True)
class CohortTables:
    """Cohorts and their members, and what was fed, each row with its token and the ids fed up to it."""

    cohorts: dict[tuple[Space, str], CohortRow] = field(default_factory=dict)
    members: dict[tuple[Space, str], set[str]] = field(default_factory=dict)
    feed: list[tuple[FeedRow, str, int]] = field(default_factory=list)

    def fed(
        self,
        space: Space,
        written: Sequence[str],
        *,
        deleted: Sequence[str] = (),
        cohort_id: str | None = None,
        properties: list[str] | None = None,
    ) -> None:
        """Append to the feed."""
        last = self.feed[-1] if self.feed else None
        sequence, total = (1, 0) if last is None else (last[0].sequence + 1, last[2])
        row = FeedRow(sequence, *space, cohort_id, list(written), list(deleted), properties)
        self.feed.append((row, secrets.token_hex(8), total + len(written) + len(deleted)))

    def feed_group(self, rows: WriteSet) -> None:
        """Feed what a group of the writer changes in profiles."""
        for each in fed_of(rows):
            self.fed(each.space, each.written, deleted=each.deleted, properties=each.properties)

    def move(self, space: Space, from_id: str, to_id: str) -> None:
        """Make another id a member of all static cohorts that one is in, in its place."""
        for (owner, cohort_id), members in self.members.items():
            if owner == space and from_id in members:
                members.remove(from_id)
                members.add(to_id)
                self.fed(space, [from_id, to_id], cohort_id=cohort_id)

    def erase(self, space: Space, distinct_ids: set[str]) -> int:
        """Take ids out of all lists of members, and out of what was fed. Returns how many memberships there were."""
        mine = [members for (owner, _), members in self.members.items() if owner == space]
        erased = sum(len(members & distinct_ids) for members in mine)
        for members in mine:
            members.difference_update(distinct_ids)
        for at, (row, token, total) in enumerate(self.feed):
            if (row.workspace_id, row.environment) == space:
                left = [each for each in row.written if each not in distinct_ids]
                self.feed[at] = (row._replace(written=left), token, total)
        return erased


class MemoryCohortQueries:
    """The part of the store port that deals with cohorts, the feed and moments."""

    tables: Tables
    lock: threading.RLock

    def add_cohort(
        self, space: Space, row: CohortRow, *, check: CohortCheck, members: Sequence[str] = ()
    ) -> MembersChanged | None:
        with self.lock:
            self._check_name(space, row)
            check(self.list_cohorts(space))
            self.tables.cohorts.cohorts[space, row.cohort_id] = row
            return self.change_members(space, row.cohort_id, MemberMode.ADD, members) if members else None

    def find_cohort(self, space: Space, cohort_id: str) -> CohortRow | None:
        with self.lock:
            return self.tables.cohorts.cohorts.get((space, cohort_id))

    def list_cohorts(self, space: Space) -> list[CohortRow]:
        with self.lock:
            mine = [row for (owner, _), row in self.tables.cohorts.cohorts.items() if owner == space]
        return sorted(mine, key=lambda row: row.name)

    def put_cohort(self, space: Space, row: CohortRow, *, check: CohortCheck) -> None:
        with self.lock:
            stored = self._get(space, row.cohort_id)
            if stored.revision != row.revision - 1:
                raise Conflict("the cohort was changed meanwhile: read it again", code="lost_race")
            self._check_name(space, row)
            check(self.list_cohorts(space))
            self.tables.cohorts.cohorts[space, row.cohort_id] = row

    def delete_cohort(self, space: Space, cohort_id: str, *, check: CohortCheck) -> bool:
        with self.lock:
            if (space, cohort_id) not in self.tables.cohorts.cohorts:
                return False
            check(self.list_cohorts(space))
            del self.tables.cohorts.cohorts[space, cohort_id]
            self.tables.cohorts.members.pop((space, cohort_id), None)
            self.tables.cohorts.fed(space, (), cohort_id=cohort_id)
            return True

    def note_count(self, space: Space, cohort_id: str, *, count: int, at_us: int) -> None:
        with self.lock:
            row = self.find_cohort(space, cohort_id)
            if row is not None:
                counted = row._replace(last_count=count, last_counted_at_us=at_us)
                self.tables.cohorts.cohorts[space, cohort_id] = counted

    def change_members(
        self, space: Space, cohort_id: str, mode: MemberMode, distinct_ids: Sequence[str]
    ) -> MembersChanged:
        with self.lock:
            row = self._get(space, cohort_id)
            if row.kind is not CohortKind.STATIC:
                message = f"the cohort {row.name!r} goes by its rule: freeze it into a static one to change its members"
                raise InvalidInput(message, code="cohort_is_dynamic")
            found = {each: self.tables.profiles.get((*space, each)) for each in distinct_ids}
            unknown = [each for each, profile in found.items() if profile is None]
            meant = {profile.alias_of or each for each, profile in found.items() if profile is not None}
            before = self.tables.cohorts.members.get((space, cohort_id), set())
            after = {
                MemberMode.ADD: before | meant,
                MemberMode.REPLACE: meant,
                MemberMode.REMOVE: before - meant,
            }[mode]
            self.tables.cohorts.members[space, cohort_id] = after
            added, removed = sorted(after - before), sorted(before - after)
            if added or removed:
                self.tables.cohorts.fed(space, [*removed, *added], cohort_id=cohort_id)
            return MembersChanged(len(added), len(removed), tuple(unknown[:100]), len(unknown), len(after))

    def list_members(self, space: Space, cohort_id: str, *, after: str, limit: int) -> list[str]:
        with self.lock:
            members = self.tables.cohorts.members.get((space, cohort_id), set())
            return sorted(each for each in members if each > after)[:limit]

    def count_members(self, space: Space, cohort_id: str) -> int:
        with self.lock:
            return len(self.tables.cohorts.members.get((space, cohort_id), ()))

    def trim_feed(self, *, keep: int) -> int:
        with self.lock:
            feed = self.tables.cohorts.feed
            end = feed[-1][2] if feed else 0
            left = [each for each in feed[:-1] if each[2] >= end - keep]
            trimmed = max(len(feed) - 1, 0) - len(left)
            feed[:-1] = left
            return trimmed

    @contextmanager
    def open_moment(self) -> Iterator[Moment]:
        with self.lock:
            tables = self.tables
            held = _Held(
                dict(tables.workspaces),
                dict(tables.profiles),
                sorted(tables.definitions.items()),
                dict(tables.cohorts.cohorts),
                {key: frozenset(members) for key, members in tables.cohorts.members.items()},
                list(tables.cohorts.feed),
            )
        yield MemoryMoment(held)

    @contextmanager
    def open_snapshot(self, space: Space) -> Iterator[Snapshot]:
        with self.open_moment() as moment:
            yield moment.snapshot(space)

    def _get(self, space: Space, cohort_id: str) -> CohortRow:
        row = self.tables.cohorts.cohorts.get((space, cohort_id))
        if row is None:
            raise NotFound(f"there is no cohort {cohort_id!r} here", code="cohort_not_found")
        return row

    def _check_name(self, space: Space, row: CohortRow) -> None:
        if any(each.name == row.name and each.cohort_id != row.cohort_id for each in self.list_cohorts(space)):
            message = f"there is a cohort named {row.name!r} already; choose another name"
            raise Conflict(message, code="cohort_exists")


@dataclass(frozen=True, slots=True)
class _Held:
    workspaces: dict[str, Workspace]
    profiles: dict[tuple[str, str, str], ProfileRow]
    definitions: list[tuple[tuple[Space, str], DefinitionRow]]
    cohorts: dict[tuple[Space, str], CohortRow]
    members: dict[tuple[Space, str], frozenset[str]]
    feed: list[tuple[FeedRow, str, int]]


class MemoryMoment:
    """The store as it was when this was made."""

    def __init__(self, held: _Held) -> None:
        self._held = held

    def feed_end(self) -> FeedEnd:
        if not self._held.feed:
            return NOTHING_FED
        row, token, _ = self._held.feed[-1]
        return FeedEnd(row.sequence, token)

    def holds(self, end: FeedEnd) -> bool:
        if end.sequence == 0:
            return not self._held.feed or self._held.feed[0][0].sequence == 1
        return any(FeedEnd(row.sequence, token) == end for row, token, _ in self._held.feed)

    def fed_since(self, end: FeedEnd) -> int:
        return sum(len(row.written) + len(row.deleted) for row in self.read_feed(end))

    def read_feed(self, after: FeedEnd) -> Iterator[FeedRow]:
        yield from (row for row, _, _ in self._held.feed if row.sequence > after.sequence)

    def spaces(self) -> list[Space]:
        return sorted({Space(*key[:2]) for key in self._held.profiles})

    def snapshot(self, space: Space) -> MemorySnapshot:
        return MemorySnapshot(self._held, space)


class MemorySnapshot:
    """A space as it was when this was made."""

    def __init__(self, held: _Held, space: Space) -> None:
        self._held = held
        self._space = space

    def get_workspace(self) -> Workspace:
        workspace = self._held.workspaces.get(self._space.workspace_id)
        if workspace is None:
            raise NotFound(f"there is no workspace {self._space.workspace_id!r}", code="workspace_not_found")
        return workspace

    def get_definitions(self) -> list[DefinitionRow]:
        return [row for (owner, _), row in self._held.definitions if owner == self._space]

    def count_profiles(self) -> int:
        return len(self._profiles())

    def read_profiles(self) -> Iterator[Sequence[ProfileRow]]:
        yield self._profiles()

    def find_profiles(self, distinct_ids: Sequence[str]) -> list[ProfileRow]:
        found = (self._held.profiles.get((*self._space, each)) for each in dict.fromkeys(distinct_ids))
        return [row for row in found if row is not None]

    def find_copied(self, distinct_ids: Sequence[str]) -> bytes:
        return copied_text(_copied(row) for row in self.find_profiles(distinct_ids) if row.alias_of is None)

    def read_copied(self) -> Iterator[bytes]:
        if mine := self._profiles():
            yield copied_text(map(_copied, mine))

    def list_cohorts(self) -> list[CohortRow]:
        mine = [row for (owner, _), row in self._held.cohorts.items() if owner == self._space]
        return sorted(mine, key=lambda row: row.name)

    def members_among(self, cohort_id: str, distinct_ids: Sequence[str]) -> list[str]:
        members = self._held.members.get((self._space, cohort_id), frozenset())
        return [each for each in dict.fromkeys(distinct_ids) if each in members]

    def read_members(self, cohort_id: str) -> Iterator[Sequence[str]]:
        yield sorted(self._held.members.get((self._space, cohort_id), ()))

    def _profiles(self) -> list[ProfileRow]:
        mine = [row for key, row in self._held.profiles.items() if key[:2] == self._space and row.alias_of is None]
        return sorted(mine, key=lambda row: row.distinct_id)


def _copied(row: ProfileRow) -> CopiedRow:
    country = country_code(decode_attributes(row.attributes))
    at = (row.created_at_us, row.updated_at_us)
    return CopiedRow(row.distinct_id, row.profile_id, *at, country, row.document, row.attributes)
