"""Taking updates in: many requests at a time are applied in order and become durable in one transaction.

`Ingest` holds the steps; whoever drives them decides when: the server's group-commit writer between requests, an import
in a plain loop. Steps that can take long are generators that yield every few hundred updates, so that an event loop can
let others in between.

Several processes may write to one store. Nobody locks a profile: what was read is cached, and every write says which
revision it is based on. If that is no longer the newest, the group is rolled back, the cache forgets it, and it is
prepared again from what is stored now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from traitbase.domain.definitions import Definitions, PropertyDefinition, State
from traitbase.domain.edits import Edit, Restore, ids_of
from traitbase.domain.effects import NOTHING_BEFORE, before_update
from traitbase.domain.errors import Conflict, NotFound, TraitbaseError
from traitbase.domain.operations import VALUE_LOST, Ignored, apply
from traitbase.domain.profiles import Profile
from traitbase.domain.spaces import Space, find_zone
from traitbase.domain.updates import Payload, Update
from traitbase.domain.values import Kind
from traitbase.services.change_texts import LARGE_WEIGHT, ignored_text, operations_text
from traitbase.services.collecting import collect_rows, stored_as
from traitbase.services.editing import Editor, Erased
from traitbase.services.loading import Loading, Step
from traitbase.services.ports import (
    ChangeRow,
    DefinitionRow,
    Erasure,
    IdempotencyRow,
    IgnoredRow,
    Store,
    UnlinkedRow,
    WriteSession,
    WriteSet,
)
from traitbase.services.working import People, ProfileCache

IDEMPOTENCY_US = 24 * 3600 * 1_000_000
"""How long an `Idempotency-Key` is remembered, in microseconds."""

_IGNORED_KEPT_AN_UPDATE = 100
_IGNORED_VALUE_MAX_BYTES = 64 * 1024

_encode = msgspec.json.Encoder(decimal_format="number").encode
_row = tuple.__new__  # of a NamedTuple: what its own constructor does, for a third of the time; one a value


class IdempotencyKey(NamedTuple):
    """The `Idempotency-Key` of a request and the digest of what was asked (endpoint and body)."""

    key: str
    digest: str


@dataclass(slots=True)
class Submission:
    """One request's updates, or its one edit: all to be applied or none.

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
    edit: Edit | None = None
    outcome: str | Exception | None = None
    ignored: list[tuple[int, Ignored]] = field(default_factory=list)
    ignored_by_reason: dict[str, int] = field(default_factory=dict)

    @property
    def counts_for(self) -> int:
        """How many updates it counts for: an edit is one."""
        return len(self.updates) or 1


@dataclass(slots=True)
class Group:
    """Submissions that become durable together, and what will be written for them."""

    submissions: Sequence[Submission]
    people: dict[Space, People] = field(default_factory=dict)
    definitions: dict[Space, Definitions] = field(default_factory=dict)
    rows: WriteSet = field(default_factory=WriteSet)


class Ingest:
    """Applies groups of submissions to a store through one write session.

    The order for a group is `prepare`, `write`, `settle`. `write` may run in another thread while the next group is
    being prepared on top of this one. If it fails, `abandon` both and begin again with `prepare`.
    """

    def __init__(self, store: Store, *, new_profile_id: Callable[[], str], keeps_history: bool = True) -> None:
        self._store = store
        self._session: WriteSession = store.open_session()
        self._new_profile_id = new_profile_id
        self._keeps_history = keeps_history
        self._cache = ProfileCache()
        self._definitions: dict[Space, Definitions] = {}

    def prepare(self, group: Group) -> Iterator[Step]:
        """Apply the group's updates and edits in order to what is stored, in memory only.

        Yields what comes next.
        """
        group.people = {}
        group.definitions = {}
        group.rows = WriteSet()
        if any(submission.idempotency is not None for submission in group.submissions):
            yield Step.ASKS
        fresh = self._settle_replays(group)
        yield from self._load(group, fresh)
        for submission in fresh:
            submission.ignored.clear()
            submission.ignored_by_reason.clear()
            if submission.edit is not None:
                self._edit(group, submission, submission.edit)
            else:
                yield from self._apply(group, submission)
        for people in group.people.values():
            for _ in collect_rows(people, group.rows, new_profile_id=self._new_profile_id):
                yield Step.THINKS
        self._publish(group)

    def write(self, group: Group, *, wait_seconds: float) -> None:
        """Make a prepared group durable. The one step that may run in another thread; it blocks on the disk.

        Raises Conflict if another process was faster, Refused if the storage cannot be written to.
        """
        if not group.rows.is_empty:
            self._session.write(group.rows, wait_seconds=wait_seconds)

    @property
    def stages_at_once(self) -> bool:
        """Whether `stage` takes less time for a few updates than handing them to a thread."""
        return self._store.answers_at_once

    def stage(self, group: Group) -> bool:
        """Do everything of `write` but the wait for the disk: `commit` must follow. False if there is nothing to write.

        Does not wait for other writers. Raises as `write` does.
        """
        if group.rows.is_empty:
            return False
        self._session.stage(group.rows, wait_seconds=0)
        return True

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
        for people in group.people.values():
            for work in people.rows():
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
        for people in group.people.values():
            for work in people.left:
                self._cache.drop(work.key)
            for work in people.rows():
                if work.profile is not None or work.alias_of is not None:
                    revision = work.stored_revision + (1 if work.changed_at_us else 0)
                    self._cache.put(work.key, stored_as(work, revision=revision))

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

    def _load(self, group: Group, fresh: Iterable[Submission]) -> Iterator[Step]:
        """Fetch into `group.people` every profile that the submissions name, and their spaces' definitions."""
        loading = Loading(self._store, self._cache)
        for submission in fresh:
            space = submission.space
            if space not in group.definitions:
                if space not in self._definitions:
                    yield Step.ASKS
                known = self._definitions.get(space) or self._read_definitions(space)
                group.definitions[space] = known
                group.rows.definitions_at[space] = known.revision
                group.rows.touched[space] = set()
                group.people[space] = People(space)
            if submission.edit is not None:
                yield from loading.want(group.people[space], ids_of(submission.edit))
            else:
                yield from loading.want(group.people[space], [update[0] for update in submission.updates])
        yield Step.THINKS
        yield from loading.run()

    def _read_definitions(self, space: Space) -> Definitions:
        workspace = self._store.find_workspace(space.workspace_id)
        zone = find_zone(workspace.timezone) if workspace else None
        if zone is None:
            raise NotFound(f"there is no workspace {space.workspace_id!r}", code="workspace_not_found")
        revision, rows = self._store.get_definitions(space)
        by_name = {row.name: PropertyDefinition(row.kind, row.state) for row in rows}
        return Definitions(by_name, zone, revision)

    def _apply(self, group: Group, submission: Submission) -> Iterator[Step]:
        """Apply a submission's updates. Yields after each: one on a full profile can take as long as hundreds."""
        space = submission.space
        workspace_id, environment = space
        by_id = group.people[space].by_id
        definitions = group.definitions[space]
        keeps_history, unlinked = self._keeps_history, group.rows.unlinked
        touched = group.rows.touched[space]
        request_id, at_us, key_id = submission.request_id, submission.received_at_us, submission.key_id
        for item, update in enumerate(submission.updates):
            distinct_id, operations, _ = update
            for _, named in operations:
                touched.update(named)
            work = by_id[distinct_id]
            before = work.profile
            profile, new_kinds, ignored = apply(before, update, definitions)
            if new_kinds:
                definitions = self._add_definitions(group, submission, new_kinds)
            effect = None
            if not ignored or (before is None and profile is not None) or len(ignored) < _entries_in(update):
                if keeps_history:
                    effect = before_update(before.properties, operations) if before is not None else NOTHING_BEFORE
                work.changed_at_us = at_us
                previous = work.last_change
                work.last_change = f"{request_id}/{item}"
            else:
                previous = None
                unlinked.append(_row(UnlinkedRow, (workspace_id, environment, distinct_id, request_id, item)))
            work.profile = profile  # where nothing changed, the same properties, perhaps weighed by now
            revision = work.stored_revision + 1 if work.changed_at_us else work.stored_revision
            sent = operations_text(update) if update.weight > LARGE_WEIGHT else _encode(dict(operations)).decode()
            told = self._note_ignored(group, submission, (item, update), ignored) if ignored else None
            row = (workspace_id, environment, request_id, item, distinct_id, at_us, revision, key_id, sent, told)
            group.rows.changes.append(_row(ChangeRow, (*row, None, effect, previous)))
            yield Step.THINKS

    def _edit(self, group: Group, submission: Submission, edit: Edit) -> None:
        """Carry out an edit; if it cannot be, the submission's outcome says why."""
        space, rows = submission.space, group.rows
        properties = getattr(edit, "properties", None)
        told: list[str] = []

        def apply_update(profile: Profile, update: Update) -> Profile:
            known = group.definitions[space]
            if isinstance(edit, Restore) and edit.archived:
                known = known.with_active(edit.archived)
            applied, new_kinds, ignored = apply(profile, update, known)
            if new_kinds:
                self._add_definitions(group, submission, new_kinds)
            if ignored:
                mine = update._replace(distinct_id=ids_of(edit)[0])
                told.append(self._note_ignored(group, submission, (0, mine), ignored))
            return profile if applied is None else applied

        editor = Editor(
            people=group.people[space],
            definitions=group.definitions[space],
            at_us=submission.received_at_us,
            keeps_history=self._keeps_history,
            new_profile_id=self._new_profile_id,
            apply_update=apply_update,
        )
        try:
            done = editor.run(edit)
        except TraitbaseError as error:
            rows.must_hold = True
            self._fail(group, submission, error)
            return
        if isinstance(done, Erased):
            self._note_erasure(group, submission, done)
            return
        sent = "{}" if properties is None else _encode(dict(properties.operations)).decode()
        work = done.work
        change = ChangeRow(
            *space,
            submission.request_id,
            0,
            work.distinct_id,
            submission.received_at_us,
            work.stored_revision + (1 if work.changed_at_us else 0),
            submission.key_id,
            sent,
            told[0] if told else None,
            done.action,
            done.effect,
            work.last_change if done.is_change else None,
        )
        rows.changes.append(change)
        if done.is_change:
            work.last_change = change.place
        else:
            rows.unlinked.append(UnlinkedRow(*space, work.distinct_id, submission.request_id, 0))

    def _fail(self, group: Group, submission: Submission, error: TraitbaseError) -> None:
        """Give a submission that cannot be carried out its outcome, and whoever was to be answered with it."""
        submission.outcome = error
        token = submission.idempotency
        if token is None:
            return
        request_id = submission.request_id
        group.rows.idempotency = [row for row in group.rows.idempotency if row.request_id != request_id]
        for other in group.submissions:
            if other.outcome == request_id:
                other.outcome = error

    def _note_erasure(self, group: Group, submission: Submission, erased: Erased) -> None:
        """Have everything erased by which these profiles were known, also what this group was about to write."""
        space, rows = submission.space, group.rows
        erasure = Erasure(space, submission.request_id, submission.received_at_us, submission.key_id, erased.people)
        gone = frozenset(erasure.distinct_ids)
        rows.changes = [row for row in rows.changes if row.distinct_id not in gone or row[:2] != space]
        rows.unlinked = [row for row in rows.unlinked if row.distinct_id not in gone or row[:2] != space]
        rows.ignored_values = [row for row in rows.ignored_values if row.distinct_id not in gone or row[:2] != space]
        rows.deleted_aliases.extend((*space, alias) for alias in erased.unseen_aliases)
        rows.erasures.append(erasure)

    def _note_ignored(
        self, group: Group, submission: Submission, update: tuple[int, Update], ignored: tuple[Ignored, ...]
    ) -> str:
        """Take note of what was ignored of an update, and return it as it is stored with the change."""
        item, (distinct_id, operations, _) = update
        space, rows = submission.space, group.rows
        submission.ignored.extend((item, entry) for entry in ignored)
        counts = submission.ignored_by_reason
        for entry in ignored:
            counts[entry.reason] = counts.get(entry.reason, 0) + 1
        known = group.definitions[space].by_name
        lost = [entry for entry in ignored if entry.reason in VALUE_LOST and entry.property in known]
        if lost:
            rows.ignored_counts.setdefault(space, Counter()).update([entry.property for entry in lost])
            payloads = dict(operations)
            for operation, name, reason, _message in lost[:_IGNORED_KEPT_AN_UPDATE]:
                value = _kept_value(payloads[operation], name)
                rows.ignored_values.append(
                    IgnoredRow(
                        *space,
                        name,
                        submission.request_id,
                        item,
                        operation.value,
                        distinct_id,
                        reason.value,
                        value,
                        submission.received_at_us,
                    )
                )
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


def _entries_in(update: Update) -> int:
    return sum([len(payload) for _, payload in update.operations])


def _kept_value(payload: Payload, name: str) -> str | None:
    value = _encode(payload[name] if isinstance(payload, dict) else None)
    return value.decode() if len(value) <= _IGNORED_VALUE_MAX_BYTES else None
