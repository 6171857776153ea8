"""Taking updates in: many requests at a time are applied in order and become durable in one transaction.

`Ingest` holds the steps; whoever drives them decides when: the server's group-commit writer between requests, an import
in a plain loop. Steps that can take long are generators that yield every few hundred updates, so that an event loop can
let others in between.

Several processes may write to one store. Nobody locks a profile: what was read is cached, and every write says which
revision it is based on. If that is no longer the newest, the group is rolled back, the cache forgets it, and it is
prepared again from what is stored now.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from traitbase.domain.definitions import Definitions, PropertyDefinition, State
from traitbase.domain.errors import Conflict, NotFound
from traitbase.domain.operations import Ignored, apply
from traitbase.domain.profiles import Profile
from traitbase.domain.spaces import Space, find_zone
from traitbase.domain.updates import Update
from traitbase.domain.values import Kind, decode_properties, encode_properties
from traitbase.services.change_texts import LARGE_WEIGHT, ignored_text, operations_text
from traitbase.services.ports import (
    ChangeRow,
    DefinitionRow,
    IdempotencyRow,
    ProfileRow,
    SeenRow,
    Store,
    WriteSession,
    WriteSet,
)

IDEMPOTENCY_US = 24 * 3600 * 1_000_000
"""How long an `Idempotency-Key` is remembered, in microseconds."""

_ROWS_A_STEP = 256
_DECODED_A_STEP = 512 * 1024  # bytes of documents: a few milliseconds
_CACHED_PROFILES = 100_000
_CACHED_BYTES = 32 * 1024 * 1024

_encode = msgspec.json.Encoder(decimal_format="number").encode
_row = tuple.__new__  # of a NamedTuple: what its own constructor does, for a third of the time; one a value


class IdempotencyKey(NamedTuple):
    """The `Idempotency-Key` of a request and the digest of what was asked (endpoint and body)."""

    key: str
    digest: str


@dataclass(slots=True)
class Submission:
    """One request's updates, all to be applied or none.

    After its group settled, `outcome` says what became of it:

    * its own request id: applied and durable;
    * another request id: a replay, answered by the first request of that idempotency key, nothing applied again;
    * an exception: nothing of it was applied.
    """

    space: Space
    updates: Sequence[Update]
    request_id: str
    received_at_us: int
    key_id: str
    idempotency: IdempotencyKey | None = None
    outcome: str | Exception | None = None
    ignored: list[tuple[int, Ignored]] = field(default_factory=list)
    ignored_by_reason: dict[str, int] = field(default_factory=dict)


_Key = tuple[str, str, str]
"""A profile's key: workspace, environment, distinct_id."""

_Cached = tuple[str, int, str, int]
"""Document, revision, profile_id, created_at_us: a profile as it was last written."""


class _Working:
    """A profile while a group is being prepared. Revision 0: the store does not have it."""

    __slots__ = ("changed_at_us", "created_at_us", "document", "key", "profile", "profile_id", "revision")

    def __init__(self, key: _Key, cached: _Cached | None) -> None:
        self.key = key
        self.changed_at_us = 0
        if cached is None:
            self.profile: Profile | None = None
            self.document, self.revision, self.profile_id, self.created_at_us = "", 0, "", 0
        else:
            self.document, self.revision, self.profile_id, self.created_at_us = cached
            text = self.document
            size = len(text) if text.isascii() else len(text.encode())
            self.profile = Profile(decode_properties(text), size, is_exact=True)


@dataclass(slots=True)
class Group:
    """Submissions that become durable together, and what will be written for them."""

    submissions: Sequence[Submission]
    working: dict[Space, dict[str, _Working]] = field(default_factory=dict)
    definitions: dict[Space, Definitions] = field(default_factory=dict)
    rows: WriteSet = field(default_factory=WriteSet)


class Ingest:
    """Applies groups of submissions to a store through one write session.

    The order for a group is `prepare`, `write`, `settle`. `write` may run in another thread while the next group is
    being prepared on top of this one. If it fails, `abandon` both and begin again with `prepare`.
    """

    def __init__(self, store: Store, *, new_profile_id: Callable[[], str]) -> None:
        self._store = store
        self._session: WriteSession = store.open_session()
        self._new_profile_id = new_profile_id
        self._cache = _ProfileCache()
        self._definitions: dict[Space, Definitions] = {}

    def prepare(self, group: Group) -> Iterator[None]:
        """Apply the group's updates in order to what is stored, in memory only."""
        group.working = {}
        group.definitions = {}
        group.rows = WriteSet()
        fresh = self._settle_replays(group)
        yield from self._load(group, fresh)
        for submission in fresh:
            submission.ignored.clear()
            submission.ignored_by_reason.clear()
            yield from self._apply(group, submission)
        yield from self._collect_profiles(group)
        self._publish(group)

    def write(self, group: Group, *, wait_seconds: float) -> None:
        """Make a prepared group durable. The one step that may run in another thread; it blocks on the disk.

        Raises Conflict if another process was faster, Refused if the storage cannot be written to.
        """
        if group.rows.changes:
            self._session.write(group.rows, wait_seconds=wait_seconds)

    def stage(self, group: Group) -> bool:
        """Do everything of `write` but the wait for the disk: `commit` must follow. False if there is nothing to write.

        Does not wait for other writers. Raises as `write` does.
        """
        if group.rows.changes:
            self._session.stage(group.rows, wait_seconds=0)
        return bool(group.rows.changes)

    def commit(self) -> None:
        """Make the staged group durable. May run in another thread; it blocks on the disk."""
        self._session.commit()

    def settle(self, group: Group) -> None:
        """Give every submission of a written group its outcome."""
        for submission in group.submissions:
            if submission.outcome is None:
                submission.outcome = submission.request_id
        self._cache.shrink()

    def abandon(self, group: Group) -> None:
        """Forget everything that was believed about what the group touched."""
        for in_space in group.working.values():
            for work in in_space.values():
                self._cache.drop(work.key)
        for space in group.definitions:
            self._definitions.pop(space, None)
        for submission in group.submissions:
            submission.outcome = None

    def run(self, submissions: Sequence[Submission], *, wait_seconds: float) -> None:
        """Do all steps for one group in the calling thread, as often as other writers make it necessary.

        Raises Refused if the storage cannot be written to; nothing of the group is then kept.
        """
        group = Group(submissions)
        while True:
            try:
                for _ in self.prepare(group):
                    pass
                self.write(group, wait_seconds=wait_seconds)
            except Conflict:
                self.abandon(group)
            except BaseException:
                self.abandon(group)
                raise
            else:
                self.settle(group)
                return

    def close(self) -> None:
        """Give the session back."""
        self._session.close()

    def _publish(self, group: Group) -> None:
        """Let the next group build on this one. Provisional until it is written: `abandon` takes it back."""
        self._definitions.update(group.definitions)
        for in_space in group.working.values():
            for work in in_space.values():
                if work.document:
                    revision = work.revision + (1 if work.changed_at_us else 0)
                    self._cache.put(work.key, (work.document, revision, work.profile_id, work.created_at_us))

    def _settle_replays(self, group: Group) -> list[Submission]:
        """Give replays their outcome and return the submissions that are new."""
        keyed: dict[Space, list[Submission]] = {}
        for submission in group.submissions:
            if submission.idempotency is not None:
                keyed.setdefault(submission.space, []).append(submission)
        if not keyed:
            return list(group.submissions)
        used: dict[tuple[Space, str], tuple[str, str]] = {}
        since_us = min(submission.received_at_us for submission in group.submissions) - IDEMPOTENCY_US
        group.rows.expired_before_us = since_us
        for space, submissions in keyed.items():
            keys = [submission.idempotency.key for submission in submissions if submission.idempotency]
            for row in self._store.find_idempotency(space, keys, since_us=since_us):
                used[space, row.idempotency_key] = (row.digest, row.request_id)
        fresh = []
        for submission in group.submissions:
            token = submission.idempotency
            if token is None:
                fresh.append(submission)
                continue
            first = used.get((submission.space, token.key))
            if first is None:
                used[submission.space, token.key] = (token.digest, submission.request_id)
                at_us = submission.received_at_us
                row = IdempotencyRow(*submission.space, token.key, token.digest, submission.request_id, at_us)
                group.rows.idempotency.append(row)
                fresh.append(submission)
            elif first[0] == token.digest:
                submission.outcome = first[1]
            else:
                submission.outcome = Conflict(
                    "Idempotency-Key was used for another request within the last 24 hours; use a new key for a new "
                    "request",
                    code="idempotency_key_reused",
                )
        return fresh

    def _load(self, group: Group, fresh: Iterable[Submission]) -> Iterator[None]:
        """Fetch into `group.working` every profile that the submissions name, and their spaces' definitions."""
        missing: dict[Space, list[str]] = {}
        decoded = 0
        find_cached = self._cache.get
        for submission in fresh:
            space = submission.space
            if space not in group.definitions:
                known = self._definitions.get(space) or self._read_definitions(space)
                group.definitions[space] = known
                group.rows.definitions_at[space] = known.revision
                group.working[space] = {}
            workspace_id, environment = space
            working = group.working[space]
            for distinct_id, _, _ in submission.updates:
                if distinct_id not in working:
                    key = (workspace_id, environment, distinct_id)
                    cached = find_cached(key)
                    working[distinct_id] = _Working(key, cached)
                    if cached is None:
                        missing.setdefault(space, []).append(distinct_id)
                    else:
                        decoded += len(cached[0])
                        if decoded > _DECODED_A_STEP:
                            decoded = 0
                            yield
        yield
        yield from self._load_missing(group, missing)

    def _load_missing(self, group: Group, missing: dict[Space, list[str]]) -> Iterator[None]:
        decoded = 0
        for space, distinct_ids in missing.items():
            working = group.working[space]
            for chunk in _in_steps(distinct_ids):
                for row in self._store.find_profiles(space, chunk):
                    cached = (row.document, row.revision, row.profile_id, row.created_at_us)
                    working[row.distinct_id] = _Working((*space, row.distinct_id), cached)
                    decoded += len(row.document)
                    if decoded > _DECODED_A_STEP:
                        decoded = 0
                        yield
                yield

    def _read_definitions(self, space: Space) -> Definitions:
        workspace = self._store.find_workspace(space.workspace_id)
        zone = find_zone(workspace.timezone) if workspace else None
        if zone is None:
            raise NotFound(f"there is no workspace {space.workspace_id!r}", code="workspace_not_found")
        revision, rows = self._store.get_definitions(space)
        by_name = {row.name: PropertyDefinition(row.kind, row.state) for row in rows}
        return Definitions(by_name, zone, revision)

    def _apply(self, group: Group, submission: Submission) -> Iterator[None]:
        """Apply a submission's updates. Yields after each: one on a full profile can take as long as hundreds."""
        space = submission.space
        workspace_id, environment = space
        working = group.working[space]
        definitions = group.definitions[space]
        request_id, at_us, key_id = submission.request_id, submission.received_at_us, submission.key_id
        for item, update in enumerate(submission.updates):
            distinct_id, operations, _ = update
            work = working[distinct_id]
            before = work.profile
            profile, new_kinds, ignored = apply(before, update, definitions)
            if new_kinds:
                definitions = self._add_definitions(group, submission, new_kinds)
            if not ignored or (before is None and profile is not None) or len(ignored) < _entries_in(update):
                work.changed_at_us = at_us
            work.profile = profile  # where nothing changed, the same properties, perhaps weighed by now
            revision = work.revision + 1 if work.changed_at_us else work.revision
            sent = operations_text(update) if update.weight > LARGE_WEIGHT else _encode(dict(operations)).decode()
            told = self._note_ignored(submission, item, ignored) if ignored else None
            row = (workspace_id, environment, request_id, item, distinct_id, at_us, revision, key_id, sent, told)
            group.rows.changes.append(_row(ChangeRow, row))
            yield

    def _note_ignored(self, submission: Submission, item: int, ignored: tuple[Ignored, ...]) -> str:
        submission.ignored.extend((item, entry) for entry in ignored)
        counts = submission.ignored_by_reason
        for entry in ignored:
            counts[entry.reason] = counts.get(entry.reason, 0) + 1
        return ignored_text(ignored)

    def _add_definitions(self, group: Group, submission: Submission, new_kinds: dict[str, Kind]) -> Definitions:
        """Add definitions to the group and return all that its space has now."""
        space = submission.space
        rows = group.rows.new_definitions.setdefault(space, [])
        known = group.definitions[space]
        revision = known.revision if rows else known.revision + 1  # one step a group, however many it adds
        group.definitions[space] = known.with_new(new_kinds, revision=revision)
        at_us = submission.received_at_us
        rows.extend(
            DefinitionRow(name, kind, State.ACTIVE, at_us, submission.request_id) for name, kind in new_kinds.items()
        )
        return group.definitions[space]

    def _collect_profiles(self, group: Group) -> Iterator[None]:
        """Turn changed profiles into rows, in order of their keys (so that no two writers ever wait crosswise)."""
        rows = group.rows.profiles
        for space in sorted(group.working):
            in_space = group.working[space]
            for distinct_id in sorted(in_space):
                work = in_space[distinct_id]
                profile = work.profile
                if not work.changed_at_us or profile is None:
                    group.rows.seen.append(SeenRow(*work.key, work.profile_id, work.revision))
                    continue
                if not work.revision:
                    work.profile_id, work.created_at_us = self._new_profile_id(), work.changed_at_us
                work.document = encode_properties(profile.properties).decode()
                before, at_us = work.revision, work.changed_at_us
                row = (*work.key, work.profile_id, before + 1, work.document, work.created_at_us, at_us)
                rows.append(_row(ProfileRow, row))
                if len(rows) % _ROWS_A_STEP == 0:
                    yield


def _entries_in(update: Update) -> int:
    return sum([len(payload) for _, payload in update.operations])


class _ProfileCache:
    """The profiles written last, bounded in number and in bytes.

    It keeps documents, not decoded profiles: decoding one again takes a tenth of the time of asking the database, and a
    hundred thousand documents are a hundred thousand strings that the garbage collector never has to walk through.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[_Key, _Cached] = OrderedDict()
        self._bytes = 0
        self.get = self._entries.get

    def put(self, key: _Key, cached: _Cached) -> None:
        before = self._entries.get(key)
        if before is None:
            self._bytes += len(cached[0])
        else:
            self._bytes += len(cached[0]) - len(before[0])
            self._entries.move_to_end(key)
        self._entries[key] = cached

    def drop(self, key: _Key) -> None:
        cached = self._entries.pop(key, None)
        if cached is not None:
            self._bytes -= len(cached[0])

    def shrink(self) -> None:
        """Let the oldest go. Only called after a commit: until then the newest exist nowhere else."""
        while len(self._entries) > _CACHED_PROFILES or self._bytes > _CACHED_BYTES:
            _, cached = self._entries.popitem(last=False)
            self._bytes -= len(cached[0])


def _in_steps(rows: Sequence) -> Iterator[Sequence]:  # type: ignore[type-arg]
    for start in range(0, len(rows), _ROWS_A_STEP):
        yield rows[start : start + _ROWS_A_STEP]
