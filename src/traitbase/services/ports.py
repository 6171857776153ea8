"""What the services need of a system of record. `store` implements it; one contract suite checks each implementation.

Rows are plain tuples: they pass by the hundred thousand. Times are microseconds since 1970 UTC and end in `_at_us`.
Any method may raise `Refused(code="store_unavailable")` when the storage cannot be used at the moment (a full disk, a
lock that nobody gives back); nothing of what was being written is then kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from traitbase.domain.cohorts import CohortKind, MemberMode
from traitbase.domain.definitions import State
from traitbase.domain.keys import ApiKey
from traitbase.domain.spaces import Space, Workspace
from traitbase.domain.values import Kind

FEED_KEPT = 200_000
"""How many changed profiles the feed goes back at least. Who lags further behind reads everything anew."""

CHANGES_A_RECEIPT = 10_000
"""Changes of one request that are looked at: as many as a batch may have. A retype makes one for each profile."""


class ProfileOrder(StrEnum):
    """The orders in which profiles are listed: by what never changes, so that a page has no one twice."""

    DISTINCT_ID = "distinct_id"
    DISTINCT_ID_DESCENDING = "-distinct_id"
    CREATED_AT = "created_at"
    NEWEST_FIRST = "-created_at"


class SearchField(StrEnum):
    """Where profiles are searched by how it begins; name and email without case."""

    DISTINCT_ID = "distinct_id"
    NAME = "name"
    EMAIL = "email"


class ProfileRow(NamedTuple):
    """A stored profile, or an alias: an id that leads to another profile (`alias_of`), with nothing of its own.

    `document` is the JSON object of the properties, `attributes` that of everything else (None: as usual); `revision`
    counts the writes of this id, from 1. `last_change` is the place of the newest change of this id's row.
    """

    workspace_id: str
    environment: str
    distinct_id: str
    profile_id: str
    revision: int
    document: str
    created_at_us: int
    updated_at_us: int
    attributes: str | None = None
    alias_of: str | None = None
    last_change: str | None = None


class EditedRow(NamedTuple):
    """A profile of which more than properties is written, and what its id's row must be like until then.

    `stored_revision` 0: there is no row. `name_key` and `email_key` are what searches look at, `country` is that of the
    SMS number.
    """

    row: ProfileRow
    stored_profile_id: str
    stored_revision: int
    name_key: str | None
    email_key: str | None
    country: str | None = None


class AliasRow(NamedTuple):
    """An id that leads to another profile."""

    workspace_id: str
    environment: str
    distinct_id: str
    alias_of: str


class SeenRow(NamedTuple):
    """A profile that something was decided on without writing it. Revision 0 (and no `profile_id`): there was none."""

    workspace_id: str
    environment: str
    distinct_id: str
    profile_id: str
    revision: int


class DefinitionRow(NamedTuple):
    """A stored property definition, and the request whose value (or the command which) first brought it.

    `profiles` counts the profiles that have a value, `ignored` the values that were ignored since then.
    """

    name: str
    kind: Kind
    state: State
    first_seen_at_us: int
    first_seen_in: str
    description: str | None = None
    profiles: int = 0
    ignored: int = 0


class ChangeRow(NamedTuple):
    """What one update did: receipt and feed in one.

    `item` is the update's position in its request; `revision` that of the profile afterwards (0: there is no profile).
    `operations` is the JSON object of what was sent, `ignored` a JSON array of `{operation, property, reason, message}`
    or None if everything applied; `change_texts` writes and reads both. `action` says what it was if not an update of
    properties (such as `merge`), `effect` what became of each value (see `domain.effects`; None: nothing, or no history
    is kept). `previous` is the place of the change of the same profile's row before this one (None: this is the first,
    or it left no mark on a row).
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
    action: str | None = None
    effect: str | None = None
    previous: str | None = None

    @property
    def place(self) -> str:
        """Where this change is found, as rows and other changes refer to it."""
        return f"{self.request_id}/{self.item}"


class UnlinkedRow(NamedTuple):
    """Where to find a change that left no mark on a profile's row, so that nothing leads to it."""

    workspace_id: str
    environment: str
    distinct_id: str
    request_id: str
    item: int


class IgnoredRow(NamedTuple):
    """A value that was ignored, kept for a while so that it can be looked at and, after a retype, applied after all.

    `value` is JSON; None if it was too large to keep.
    """

    workspace_id: str
    environment: str
    property: str
    request_id: str
    item: int
    operation: str
    distinct_id: str
    reason: str
    value: str | None
    received_at_us: int


class KeptAsideRow(NamedTuple):
    """The values that a profile lost when their property's type changed, kept until a type fits them again.

    `values` is a JSON array, the newest last: a property can be retyped again before the first came back. `request_id`
    and `kept_at_us` are those of the newest.
    """

    workspace_id: str
    environment: str
    property: str
    distinct_id: str
    values: str
    request_id: str
    kept_at_us: int


class ErasedPerson(NamedTuple):
    """Everything by which one profile was known: its ids, aliases included, and its single destinations.

    `digests` pairs channels with the digests under which suppressions live on without a name.
    """

    distinct_ids: tuple[str, ...]
    digests: tuple[tuple[str, str], ...]


class Erasure(NamedTuple):
    """Some profiles of a space that are to be erased, and who asked for it."""

    space: Space
    request_id: str
    erased_at_us: int
    key_id: str
    people: tuple[ErasedPerson, ...]

    @property
    def distinct_ids(self) -> list[str]:
        """All ids of all of them."""
        return [each for person in self.people for each in person.distinct_ids]


class ErasureRow(NamedTuple):
    """The receipt of an erasure: how much of what was erased. Nothing in it tells of whom."""

    request_id: str
    erased_at_us: int
    key_id: str
    counts: dict[str, int]


class IdempotencyRow(NamedTuple):
    """An `Idempotency-Key` that was used, the digest of the request it came with and the id that request was given.

    The key itself is kept as a digest: callers make it of what they have at hand, such as somebody's address.
    """

    workspace_id: str
    environment: str
    idempotency_key: str
    digest: str
    request_id: str
    created_at_us: int


class SuppressionRow(NamedTuple):
    """A standing reason not to reach somebody on a channel (its wire name).

    By `distinct_id`; or by `digest` (of workspace, channel and the destination's key), with the `destination` as it was
    sent. Whose person was erased has the digest only. `expires_at_us` None: it holds for good.
    """

    workspace_id: str
    suppression_id: str
    channel: str
    distinct_id: str | None
    destination: str | None
    digest: str | None
    description: str | None
    created_at_us: int
    expires_at_us: int | None


class SuppressionFilter(NamedTuple):
    """Which suppressions are meant: those to which everything applies that is not None."""

    suppression_id: str | None = None
    distinct_ids: tuple[str, ...] | None = None
    digests: tuple[str, ...] | None = None
    channel: str | None = None


@dataclass(slots=True)
class WriteSet:
    """All that one transaction writes, and what it is based on.

    `definitions_at` says for each space at which revision of its definitions the writer decided; `new_definitions`
    take a space one revision further. `profiles` are in order of their keys, each one revision above the stored one of
    the same `profile_id` (revision 1: there is none). `seen` profiles are not written but must be as they were seen: an
    answer such as "was absent" is true of one revision only. `idempotency` keys may replace rows created before
    `expired_before_us`.

    `deleted` ids go first, then `repointed` aliases lead elsewhere, then come `edited` and `profiles`.
    `deleted_aliases` are aliases of deleted profiles that were not looked at. `touched` names the properties that can
    be other than stored in a space's `profiles` (no such set: any of them); `edited` ones
    can be anything. `having` says by how much the number of
    profiles that have a property changes, `ignored_counts` that of its ignored values. `must_hold`: something was
    answered that depends on what was seen, so this is to be checked even if there is nothing to write.
    """

    definitions_at: dict[Space, int] = field(default_factory=dict)
    new_definitions: dict[Space, list[DefinitionRow]] = field(default_factory=dict)
    profiles: list[ProfileRow] = field(default_factory=list)
    seen: list[SeenRow] = field(default_factory=list)
    changes: list[ChangeRow] = field(default_factory=list)
    unlinked: list[UnlinkedRow] = field(default_factory=list)
    idempotency: list[IdempotencyRow] = field(default_factory=list)
    expired_before_us: int = 0
    edited: list[EditedRow] = field(default_factory=list)
    deleted: list[SeenRow] = field(default_factory=list)
    deleted_aliases: list[tuple[str, str, str]] = field(default_factory=list)
    repointed: list[AliasRow] = field(default_factory=list)
    erasures: list[Erasure] = field(default_factory=list)
    ignored_values: list[IgnoredRow] = field(default_factory=list)
    touched: dict[Space, set[str]] = field(default_factory=dict)
    having: dict[Space, Counter[str]] = field(default_factory=dict)
    ignored_counts: dict[Space, Counter[str]] = field(default_factory=dict)
    must_hold: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write or to check."""
        return not (self.changes or self.edited or self.deleted or self.erasures or self.must_hold)


class CohortRow(NamedTuple):
    """A stored cohort. `rule` is the JSON of its tree (None: it is static); `revision` counts its edits, from 1.

    `last_count` is how many were in when it was last counted, at `last_counted_at_us`.
    """

    cohort_id: str
    name: str
    kind: CohortKind
    rule: str | None
    description: str | None
    revision: int
    created_at_us: int
    updated_at_us: int
    last_count: int | None = None
    last_counted_at_us: int | None = None


CohortCheck = Callable[[list[CohortRow]], None]
"""Is given all cohorts of a space before one of them is written; what it raises leaves everything as it was."""


class MembersChanged(NamedTuple):
    """What a list of ids did to a static cohort.

    `unknown` are the first of the ids that lead to no profile, `unknown_count` how many there are; `members` is how
    many the cohort has now.
    """

    added: int
    removed: int
    unknown: tuple[str, ...]
    unknown_count: int
    members: int


class FeedEnd(NamedTuple):
    """Where the feed ends at a moment: the sequence of its newest row, and by what the store knows the moment again.

    Sequence 0: nothing was fed yet.
    """

    sequence: int
    token: str


NOTHING_FED = FeedEnd(0, "")


class FeedRow(NamedTuple):
    """What one transaction did to the profiles of a space, or to the members of a static cohort (`cohort_id`).

    `written` are the distinct_ids of profiles that were written or became aliases (of members: that came or went; none:
    the cohort is gone), `deleted` the profile_ids of those that were erased: nothing else of them is kept. Of profiles,
    `properties` names what can have changed beside `updated_at`; None: anything, or they are new.
    """

    sequence: int
    workspace_id: str
    environment: str
    cohort_id: str | None
    written: list[str]
    deleted: list[str]
    properties: list[str] | None = None


FED_PROPERTIES_MAX = 10
"""What changed more properties than this may have changed anything, as far as the feed says: a copy's rows are replaced
as a whole as quickly as in so many columns."""


class CopiedRow(NamedTuple):
    """A profile as a copy of it needs it. `country` is that of the SMS number, ISO 3166-1 alpha-2.

    They pass by the ten thousand, as one text that the database makes: rows would be fetched one at a time, each
    waiting for the interpreter beside everything else that the process does. A profile a line, and between the fields,
    in this order, a character that none of them has: ids have no control characters, and JSON escapes them.
    """

    distinct_id: str
    profile_id: str
    created_at_us: int
    updated_at_us: int
    country: str | None
    document: str
    attributes: str | None


BETWEEN_COPIED_FIELDS = b"\x1f"
BETWEEN_COPIED_ROWS = b"\n"


def copied_text(rows: Iterable[CopiedRow]) -> bytes:
    """Return profiles as the text that is copied."""
    lines = [BETWEEN_COPIED_FIELDS.join([b"" if each is None else str(each).encode() for each in row]) for row in rows]
    return BETWEEN_COPIED_ROWS.join(lines)


class Snapshot(Protocol):
    """One space as it was at one moment, whatever is written meanwhile. Used by one thread at a time."""

    def get_workspace(self) -> Workspace:
        """Return the space's workspace. Raises NotFound."""

    def get_definitions(self) -> list[DefinitionRow]:
        """Return the definitions in order of name."""

    def count_profiles(self) -> int:
        """Return how many profiles there are, aliases not counted."""

    def read_profiles(self) -> Iterator[Sequence[ProfileRow]]:
        """Yield the profiles (no aliases) in order of distinct_id, some hundred at a time."""

    def find_profiles(self, distinct_ids: Sequence[str]) -> list[ProfileRow]:
        """Return those of the profiles (and aliases) that exist, in any order."""

    def find_copied(self, distinct_ids: Sequence[str]) -> bytes:
        """Return those of the profiles (no aliases) that exist, in any order, as text (see `CopiedRow`)."""

    def read_copied(self) -> Iterator[bytes]:
        """Yield the profiles (no aliases) in order of distinct_id, some hundred at a time, as text."""

    def list_cohorts(self) -> list[CohortRow]:
        """Return the space's cohorts in order of name."""

    def members_among(self, cohort_id: str, distinct_ids: Sequence[str]) -> list[str]:
        """Return those of the ids that are members of a static cohort, in any order."""

    def read_members(self, cohort_id: str) -> Iterator[Sequence[str]]:
        """Yield the members of a static cohort in order of distinct_id, some thousand at a time."""


class Moment(Protocol):
    """The whole store as it was at one moment, whatever is written meanwhile. Used by one thread at a time."""

    def feed_end(self) -> FeedEnd:
        """Return where the feed ends."""

    def holds(self, end: FeedEnd) -> bool:
        """Tell whether the feed goes back to that end of an earlier moment, so that what came since can be read."""

    def fed_since(self, end: FeedEnd) -> int:
        """Return how many ids were fed since that end of an earlier moment, which this one must hold."""

    def read_feed(self, after: FeedEnd) -> Iterator[FeedRow]:
        """Yield what was fed since that end of an earlier moment, which this one must hold."""

    def spaces(self) -> list[Space]:
        """Return the spaces that have profiles."""

    def snapshot(self, space: Space) -> Snapshot:
        """Return a space as it was at this moment."""


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


class Rewriting(Protocol):
    """One transaction that changes a property in a whole space, in chunks. Nobody else writes until it is over.

    What is read need not show what the same rewriting wrote before. Ids and texts are in order of code points.
    """

    def get_definitions(self) -> list[DefinitionRow]:
        """Return the space's definitions in order of name."""

    def find_profiles(self, distinct_ids: Sequence[str]) -> list[ProfileRow]:
        """Return those of the profiles (and aliases) that exist, in any order."""

    def profiles_having(self, name: str, *, after: str, limit: int) -> list[ProfileRow]:
        """Return up to `limit` profiles behind the id `after` that have the property, in order of distinct_id.

        There may be some among them that do not have it, and only a shorter answer than `limit` is the last.
        """

    def kept_aside(self, name: str, *, after: str, limit: int) -> list[KeptAsideRow]:
        """Return up to `limit` rows of values kept aside, behind the id `after`, in order of distinct_id."""

    def ignored_values(
        self, name: str, *, reasons: Sequence[str], after: tuple[str, int], limit: int
    ) -> list[IgnoredRow]:
        """Return up to `limit` values ignored for these reasons, the oldest first, behind (request, item)."""

    def changes_since(self, name: str, distinct_ids: Sequence[str], request_id: str) -> Iterator[ChangeRow]:
        """Yield, in any order, the changes of these ids from that request on that may have written the property."""

    def put_profiles(self, rows: Sequence[ProfileRow]) -> None:
        """Write properties; each row is one revision above the stored one."""

    def put_definition(self, row: DefinitionRow) -> None:
        """Store a definition in place of the one with its name, if there is one."""

    def delete_definition(self, name: str) -> None:
        """Delete a definition."""

    def move_definitions(self) -> None:
        """Take the space's definitions one revision further: whoever decided on the old ones will decide again."""

    def put_kept_aside(self, rows: Sequence[KeptAsideRow]) -> None:
        """Store rows in place of those of the same property and profile."""

    def delete_kept_aside(self, name: str, distinct_ids: Sequence[str] | None = None) -> int:
        """Delete a property's rows of these ids (None: all); return how many."""

    def delete_ignored_values(self, name: str, rows: Sequence[IgnoredRow] | None = None) -> int:
        """Delete these ignored values of a property (None: all); return how many."""

    def count_ignored_values(self, name: str, *, reasons: Sequence[str]) -> int:
        """Return how many of a property's values that were ignored for these reasons are kept."""

    def add_changes(self, rows: Sequence[ChangeRow]) -> None:
        """Store changes."""

    def touch(self, distinct_ids: Sequence[str]) -> None:
        """Feed profiles that stay as they are written, but mean something else now: by another type of a property."""


class Cleared(NamedTuple):
    """What has been cleared of traces: the log of earlier states, and the free space in the storage's files."""

    log: bool
    file: bool


class Store(Protocol):
    """The system of record. Safe to use from several threads; a read sees all that was committed before it began."""

    @property
    def answers_at_once(self) -> bool:
        """Whether a small question takes less time than handing it to a thread: nothing waits for a network."""

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
        """Return those of the profiles (and aliases) that exist, in any order."""

    def list_profiles(
        self, space: Space, order: ProfileOrder, *, after: tuple[int, str] | None, limit: int
    ) -> list[ProfileRow]:
        """Return up to `limit` profiles in that order, from behind `after` (time of creation, distinct_id)."""

    def search_profiles(
        self, space: Space, field: SearchField, prefix: str, *, after: tuple[str, str] | None, limit: int
    ) -> list[tuple[str, ProfileRow]]:
        """Return up to `limit` profiles whose field begins so, with the field's value, in order of value and id.

        The prefix is without case for name and email. Texts are in order of code points.
        """

    def get_definitions(self, space: Space) -> tuple[int, list[DefinitionRow]]:
        """Return the revision of the space's definitions (0: none yet) and the definitions in order of name."""

    def open_snapshot(self, space: Space) -> AbstractContextManager[Snapshot]:
        """Hold a space as it is at this moment, for reading all of it.

        Writers go on meanwhile, but what they replace or delete stays in the storage's files until the end.
        """

    def open_moment(self) -> AbstractContextManager[Moment]:
        """Hold the whole store as it is at this moment, as `open_snapshot` does a space."""

    def trim_feed(self, *, keep: int) -> int:
        """Delete rows of the feed that are more than that many ids behind its end. Returns how many rows."""

    def find_idempotency(self, space: Space, keys: Sequence[str], *, since_us: int) -> list[IdempotencyRow]:
        """Return those of the keys that were used at or after `since_us`."""

    def find_changes(self, space: Space, request_id: str, *, limit: int = CHANGES_A_RECEIPT) -> list[ChangeRow]:
        """Return the first changes of one request in order of item; an empty list if none are known."""

    def find_changes_at(self, space: Space, places: Sequence[str]) -> list[ChangeRow]:
        """Return those of the changes at these places (`ChangeRow.place`) that are still known, in any order."""

    def find_erasure(self, space: Space, request_id: str) -> ErasureRow | None:
        """Return the receipt of an erasure, or None."""

    def find_ignored_values(
        self, space: Space, name: str, *, before: tuple[str, int, str] | None, limit: int
    ) -> list[IgnoredRow]:
        """Return up to `limit` ignored values of a property, newest first, from before (request, item, operation)."""

    def find_last_ignored(self, space: Space, names: Sequence[str]) -> list[IgnoredRow]:
        """Return the newest ignored value of each of the properties that has any."""

    def find_kept_aside(self, space: Space, name: str, *, after: str, limit: int) -> list[KeptAsideRow]:
        """Return up to `limit` rows of values kept aside, behind the id `after`, in order of distinct_id."""

    def forget_requests(self, *, received_before_us: int, at_most: int) -> int:
        """Delete up to that many changes received earlier. Returns how many."""

    def forget_idempotency(self, *, created_before_us: int) -> int:
        """Delete the idempotency keys that were used earlier. Returns how many."""

    def forget_ignored_values(self, *, received_before_us: int, kept_a_property: int, at_most: int) -> int:
        """Delete up to that many ignored values received earlier, or beyond the newest of their property."""

    def open_session(self) -> WriteSession:
        """Return a new session for one writer."""

    def rewriting(self, space: Space, *, wait_seconds: float) -> AbstractContextManager[Rewriting]:
        """Begin a rewriting: all of it is durable at the end of the block, or nothing if that is left by an exception.

        Raises Refused if another writer held the storage for `wait_seconds`, or it cannot be written to.
        """

    def rehearsing(self, space: Space) -> AbstractContextManager[Rewriting]:
        """Begin a rewriting that reads one state of the storage, writes nothing, and is in nobody's way."""

    def tidy(self) -> None:
        """Do the storage's own housekeeping (such as moving a write-ahead log along), in the caller's thread."""

    def clear_traces(self, *, wait_seconds: float) -> Cleared:
        """See to it that nothing that was deleted can be read from the storage's files any more.

        What could not be done within that time, because somebody was still reading an earlier state, or would hold
        writers up for too long, is done by `tidy` or `compact`.
        """

    def compact(self) -> None:
        """Write the storage's files anew, without what deleted data left in them. Writers wait for it.

        Raises Refused if others read or write for too long, or the disk has no room for it.
        """

    def check(self) -> None:
        """Raise Refused if the storage cannot be read or written to at the moment."""

    def close(self) -> None:
        """Close all connections."""

    # --- suppressions: a workspace's, in both environments. One holds until the moment at which it expires ---

    def put_suppression(self, row: SuppressionRow) -> None:
        """Store a suppression, in the place of the same one: of that channel and distinct_id, or that digest.

        If that one still holds (at the row's `created_at_us`), its id and time of creation stay.
        """

    def list_suppressions(
        self, workspace_id: str, which: SuppressionFilter, *, now_us: int, after: str | None, limit: int
    ) -> list[SuppressionRow]:
        """Return up to `limit` suppressions that hold, in order of their ids, from behind the id `after`."""

    def find_suppressions(
        self, workspace_id: str, *, distinct_ids: Sequence[str], digests: Sequence[str], now_us: int
    ) -> list[SuppressionRow]:
        """Return all that hold by any of the ids or any of the digests, each once, in order of their ids."""

    def delete_suppressions(self, workspace_id: str, which: SuppressionFilter, *, now_us: int) -> int:
        """Delete those that hold. Returns how many."""

    def forget_suppressions(self, *, expired_by_us: int, at_most: int) -> int:
        """Delete up to that many that expired at that time or before. Returns how many."""

    # --- subscription settings ---

    def find_subscription_settings(self, space: Space) -> str | None:
        """Return the JSON object of the space's sections and topics, None if there never was one."""

    def put_subscription_settings(self, space: Space, document: str, *, at_us: int) -> None:
        """Replace it."""

    # --- cohorts ---

    def add_cohort(
        self, space: Space, row: CohortRow, *, check: CohortCheck, members: Sequence[str] = ()
    ) -> MembersChanged | None:
        """Store a new cohort, a static one with its members, and return what became of those; None if there are none.

        Raises Conflict (`cohort_exists`) if its name is taken.
        """

    def find_cohort(self, space: Space, cohort_id: str) -> CohortRow | None:
        """Return the cohort, or None."""

    def list_cohorts(self, space: Space) -> list[CohortRow]:
        """Return the space's cohorts in order of name."""

    def put_cohort(self, space: Space, row: CohortRow, *, check: CohortCheck) -> None:
        """Replace a cohort by its next revision.

        Raises Conflict if the stored one is not the revision before (`lost_race`) or the name is another's
        (`cohort_exists`), NotFound if there is none.
        """

    def delete_cohort(self, space: Space, cohort_id: str, *, check: CohortCheck) -> bool:
        """Delete a cohort and its list of members. False if there is none."""

    def note_count(self, space: Space, cohort_id: str, *, count: int, at_us: int) -> None:
        """Record how many were in a cohort."""

    def change_members(
        self, space: Space, cohort_id: str, mode: MemberMode, distinct_ids: Sequence[str]
    ) -> MembersChanged:
        """Change the members of a static cohort, all at once. An id counts as the profile that it leads to.

        Raises NotFound if there is no such cohort, InvalidInput (`cohort_is_dynamic`) if it goes by a rule.
        """

    def list_members(self, space: Space, cohort_id: str, *, after: str, limit: int) -> list[str]:
        """Return up to `limit` members of a static cohort behind the id `after`, in order of distinct_id."""

    def count_members(self, space: Space, cohort_id: str) -> int:
        """Return how many members a static cohort has."""
