"""Keeping the columnar copy up with the store: making it, catching up from the feed, making it anew.

Everything that changes the copy happens here, under one lock. A copy says at which moment of the store it is, and moves
in one transaction from there to the moment of an open store snapshot: what is asked of the copy then is as the store
was at that moment, exactly. Whatever is wrong with a copy (missing, of another layout, of another past, damaged), a new
one is made: it is never the truth, and losing it loses nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from traitbase.domain.cohorts import CohortKind
from traitbase.domain.errors import Refused, TraitbaseError
from traitbase.domain.spaces import Space
from traitbase.domain.values import Kind
from traitbase.segments.changes import Changes, read_changes
from traitbase.segments.copy import Copy, Limits, OutOfColumns, Strayed, WritingAnew, count_copied, gathered
from traitbase.segments.files import Files
from traitbase.segments.layout import SpaceTable
from traitbase.segments.progress import Progress, Tell
from traitbase.segments.readers import Readers
from traitbase.services.cohorts.ports import READY, EngineState
from traitbase.services.ports import FED_PROPERTIES_MAX, DefinitionRow, FeedEnd, Moment, Snapshot, Store

_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.02
_CATCH_UP_SECONDS = 1.0
_FOLLOWING_SECONDS = 10.0  # who asked will ask again: for so long they find little to be waited for
_FOLLOW_SECONDS = 0.1
_WORTH_FOLLOWING = 2_000  # changed profiles
_WORTH_CATCHING_UP = 20_000  # changed profiles: about half a second's work
_WORTH_REWRITING = 100_000  # changed profiles: they are not as small, and not as quickly read, as the others
_STEP = 500  # of the largest profiles they are 128 MB
_REST_AFTER_REWRITING = 20  # times as long as it took
_LOG_SHARE = 4  # of the memory: what changed is held there, about as large as in the log, until it is rewritten
_AHEAD_ROUNDS = 5
_AHEAD_ENOUGH = 2_000
_RETRY_SECONDS = 60.0  # after a copy could not be written anew: with a full disk, say


@dataclass(slots=True)
class Opened:
    """A space in the copy and in the store, both at one moment."""

    copy: Copy
    cursor: duckdb.DuckDBPyConnection
    table: SpaceTable
    position: FeedEnd
    snapshot: Snapshot
    definitions: list[DefinitionRow]


class Keeper:
    """One copy of everything in a store: in our file if there is one (`files`), else in memory."""

    def __init__(self, store: Store, files: Files | None, limits: Limits, *, tell: Tell) -> None:
        self._store = store
        self._files = files
        self._limits = limits
        self._tell = tell
        self._lock = threading.Lock()
        self._copy: Copy | None = None
        self._readers = Readers()
        self._work = Progress(tell)
        self._thread: threading.Thread | None = None
        self._rewriter: threading.Thread | None = None
        self._writing: WritingAnew | None = None
        self._wake = threading.Event()
        self._ended = False
        self._seen_sequence = -1
        self._asked_at = -_FOLLOWING_SECONDS
        self._rewrite_next_at = self._retry_at = 0.0
        self._has_looked_for_files = False

    def state(self) -> EngineState:
        """Tell what is being done, and how far it has come."""
        return self._work.state if self._copy is not None or self._work.state != READY else EngineState("starting")

    def start(self) -> None:
        """Keep up in the background from now on. Without this, whoever asks first does all the work."""
        self._thread = threading.Thread(target=self._run, name="cohorts", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the work in the background, and close the copy."""
        self._ended = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        if self._rewriter is not None:
            while self._rewriter.is_alive():
                self._stop_writing()
                self._rewriter.join(_POLL_SECONDS)
        with self._lock:
            if self._copy is not None:
                self._readers.retire(self._copy, self._copy.close)
                self._copy = None
            if self._files is not None:
                self._files.release()
                self._files = None

    # --- reading ---

    @contextmanager
    def at_newest(self, space: Space) -> Iterator[Opened]:
        """Give the copy of a space and a snapshot of the store, both at one moment that is not past when asked.

        Raises Refused (`cohorts_not_ready`) if that takes too long.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        was_followed, self._asked_at = self._is_followed(), time.monotonic()
        if not was_followed:
            self._wake.set()
        while True:
            with ExitStack() as stack:
                opened = self._try_to_open(space, stack, deadline)
                if opened is not None:
                    yield opened
                    return
            if time.monotonic() >= deadline:
                raise self._not_ready()
            self._wake.set()
            time.sleep(_POLL_SECONDS)

    def _try_to_open(self, space: Space, stack: ExitStack, deadline: float) -> Opened | None:
        """Open a space; None if the work in the background has much to do first."""
        if not self._lock.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise self._not_ready()
        try:
            moment = stack.enter_context(self._store.open_moment())
            if self._thread is not None and not self._is_near(moment, _WORTH_CATCHING_UP):
                return None
            copy = self._caught_up(moment)
            snapshot = moment.snapshot(space)
            definitions = snapshot.get_definitions()
            copy, table = self._matched(copy, moment, space, definitions)
            cursor, position = copy.cursor(), copy.position
            self._readers.take(copy)
        finally:
            self._lock.release()
        stack.callback(self._readers.give_back, copy)
        stack.callback(cursor.close)
        return Opened(copy, cursor, table, position, snapshot, definitions)

    def discard(self, copy: Copy, reason: str) -> None:
        """Have a new copy made in place of one that turned out to be damaged."""
        with self._lock:
            if self._copy is copy:
                self._forget(copy, reason)
        self._wake.set()

    def _is_near(self, moment: Moment, within: int) -> bool:
        """Tell whether catching up is quick enough for whoever waits for an answer."""
        copy = self._copy
        if copy is None:
            return False
        return moment.holds(copy.position) and moment.fed_since(copy.position) <= within

    def _is_followed(self) -> bool:
        """Tell whether somebody asked lately, so that the work in the background is done in small steps."""
        return time.monotonic() - self._asked_at < _FOLLOWING_SECONDS

    def _not_ready(self) -> Refused:
        state = self.state()
        share = f", {state.done:,} of {state.of:,} profiles" if state.of else ""
        left = "" if state.seconds_left is None else f"; about {state.seconds_left:.0f} s are left"
        message = f"cohorts cannot be counted at the moment: the engine is {state.doing}{share}{left}; try again then"
        return Refused(message, code="cohorts_not_ready")

    # --- changing. All of it with the lock ---

    def _caught_up(self, moment: Moment) -> Copy:
        """Return the copy at that moment, however much there is to do for it."""
        copy = self._copy or self._open_file()
        try:
            if copy is not None and moment.holds(copy.position):
                self._catch_up(copy, moment)
                return copy
        except OutOfColumns:
            pass
        except (duckdb.Error, Strayed) as error:
            assert copy is not None
            self._forget(copy, type(error).__name__)
        return self._make(moment)

    def _matched(
        self, copy: Copy, moment: Moment, space: Space, definitions: Sequence[DefinitionRow]
    ) -> tuple[Copy, SpaceTable]:
        """Return the copy and its table of a space, which has the columns of these definitions.

        Declaring a property, or giving it another type while nobody has a value, changes no profile.
        """
        kinds = _kinds(definitions)
        table = copy.tables.get(space)
        if table is not None and {name: column.kind for name, column in table.columns.items()} == kinds:
            return copy, table
        try:
            with copy.moving(copy.position):
                return copy, copy.table_of(space, kinds)
        except OutOfColumns:
            copy = self._make(moment)
            with copy.moving(copy.position):
                return copy, copy.table_of(space, kinds)  # there is one now, if the space has profiles

    def _open_file(self) -> Copy | None:
        """Open the newest file that is any good, and remove the others. Only at first: later ones are our own."""
        if self._files is None or self._has_looked_for_files:
            return None
        self._has_looked_for_files = True
        for path in list(self._files.newest_first()):
            try:
                copy = Copy.open(path, self._limits)
            except duckdb.Error as error:
                copy = None
                self._tell("cohorts_copy_damaged", file=path.name, reason=type(error).__name__)
            if copy is not None:
                self._files.remove_others(path)
                self._copy = copy
                return copy
            self._files.remove(path)
        return None

    def _make(self, moment: Moment) -> Copy:
        """Make a new copy from the profiles themselves."""
        spaces = moment.spaces()
        with self._work.doing("building", sum(moment.snapshot(space).count_profiles() for space in spaces)):
            path = None if self._files is None else self._files.following()
            copy = Copy.create(path, self._limits)
            try:
                for space in spaces:
                    self._fill(copy, moment.snapshot(space), space)
                with copy.moving(moment.feed_end()):
                    pass  # only now it is a copy
                copy.settle()
            except BaseException as error:
                copy.close()
                if path is not None and self._files is not None:
                    self._files.remove(path)
                if isinstance(error, duckdb.Error):
                    raise _cannot_be_made(error) from error
                raise
        self._replace(copy)
        return copy

    def _fill(self, copy: Copy, snapshot: Snapshot, space: Space) -> None:
        """Bring all of a space into a copy: one thread reads from the store while others fill the columns."""
        definitions = snapshot.get_definitions()
        table = copy.table_of(space, _kinds(definitions), {row.name: row.profiles for row in definitions})
        with copy.filling(table) as put:
            for profiles in gathered(snapshot.read_copied()):
                if self._ended:
                    raise _stopping()
                put(profiles)
                self._work.add(count_copied(profiles))
        for cohort in snapshot.list_cohorts():
            if cohort.kind is CohortKind.STATIC:
                for members in snapshot.read_members(cohort.cohort_id):
                    copy.add_members(table, cohort.cohort_id, members)

    def _catch_up(self, copy: Copy, moment: Moment) -> None:
        self._bring(copy, moment, self._work)

    def _bring(self, copy: Copy, moment: Moment, work: Progress) -> None:
        """Bring a copy to a moment, up to which the feed goes on from the copy's own."""
        end = moment.feed_end()
        if end == copy.position:
            return
        pending = read_changes(moment, copy.position)
        with (
            work.doing("catching up", sum(each.count_profiles() for each in pending.values())),
            copy.moving(end),
        ):
            for space, changes in pending.items():
                self._apply(copy, moment.snapshot(space), space, changes, work)

    def _apply(self, copy: Copy, snapshot: Snapshot, space: Space, changes: Changes, work: Progress) -> None:
        table = copy.table_of(space, _kinds(snapshot.get_definitions()))
        if changes.deleted:
            copy.erase(table, changes.deleted)
        written, updated = set(changes.written), changes.updated.keys() - changes.written.keys()
        if table.has_documents or len(changes.properties) > FED_PROPERTIES_MAX:
            written, updated = written | updated, set()
        if written:
            with copy.replacing(table, written) as put:
                _pass_on(snapshot, written, put, work)
        if updated:
            with copy.updating(table, changes.properties) as put:
                _pass_on(snapshot, updated, put, work)
        for cohort_id in changes.cohorts_gone:
            copy.delete_cohort(table, cohort_id)
        for cohort_id, ids in changes.members.items():
            among = list(ids)
            copy.put_members(table, cohort_id, snapshot.members_among(cohort_id, among), among)

    def _replace(self, copy: Copy) -> None:
        before, self._copy = self._copy, copy
        if before is not None:
            self._retire(before)

    def _forget(self, copy: Copy, reason: str) -> None:
        self._tell("cohorts_copy_damaged", file=copy.path.name if copy.path else "memory", reason=reason)
        if self._copy is copy:
            self._copy = None
        self._retire(copy)

    def _retire(self, copy: Copy) -> None:
        """Close a copy and remove its file, as soon as nobody reads it any more."""
        files = self._files

        def end() -> None:
            copy.close()
            if copy.path is not None and files is not None:
                files.remove(copy.path)

        self._readers.retire(copy, end)

    # --- in the background ---

    def _run(self) -> None:
        while not self._ended:
            with self._telling():
                self._keep_up()
            self._wake.wait(_FOLLOW_SECONDS if self._is_followed() else _CATCH_UP_SECONDS)
            self._wake.clear()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell of what goes wrong, and go on: it is tried again, and nothing is lost with a copy."""
        try:
            yield
        except TraitbaseError as error:
            self._tell("cohorts_postponed", message=error.message)
        except Exception as error:  # noqa: BLE001  # said above
            self._tell("cohorts_failed", error=type(error).__name__, message=getattr(error, "message", ""))

    def _keep_up(self) -> None:
        with self._lock, self._store.open_moment() as moment:
            end = moment.feed_end()
            is_quiet, self._seen_sequence = end.sequence == self._seen_sequence, end.sequence
            within = _WORTH_FOLLOWING if self._is_followed() else _WORTH_CATCHING_UP
            if is_quiet or not self._is_near(moment, within):
                self._caught_up(moment)
            if self._rewriter is None or not self._rewriter.is_alive():
                self._plan_rewriting()

    def _plan_rewriting(self) -> None:
        """Begin to write the copy anew, if that is worth it: in a thread beside, which takes seconds."""
        copy, files = self._copy, self._files
        if copy is None or time.monotonic() < self._retry_at:
            return
        presses = copy.log_bytes() >= self._limits.memory_bytes // _LOG_SHARE
        if time.monotonic() < self._rewrite_next_at and not presses:
            return
        is_worn = presses or copy.changed_rows >= max(_WORTH_REWRITING, copy.count_rows() // 5)
        if files is None:
            if is_worn:  # in memory there is no other way, and whoever asks waits for it
                copy.write_over()
            return
        if not is_worn and not copy.holds_traces:
            return
        path = files.following()
        self._readers.take(copy)
        self._writing = copy.writing_anew(path)
        arguments = [copy, files, self._writing]
        self._rewriter = threading.Thread(target=self._rewrite, args=arguments, name="cohorts-anew", daemon=True)
        self._rewriter.start()

    def clear_traces(self, *, at_most_rows: int) -> bool:
        """Take what deleted profiles left out of the copy's file; False if the file is left to the background.

        In memory there is nothing to clear: no file.
        """
        if self._files is None:
            return True
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._lock.acquire(timeout=max(deadline - time.monotonic(), 0)):
            try:
                with self._store.open_moment() as moment:
                    if self._thread is None or self._is_near(moment, _WORTH_CATCHING_UP):
                        return self._cleared(self._caught_up(moment), at_most_rows)
            finally:
                self._lock.release()
            self._wake.set()
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return False

    def _cleared(self, copy: Copy, at_most_rows: int) -> bool:
        if copy.holds_traces and self._thread is not None and copy.count_rows() > at_most_rows:
            self._wake.set()
            return False
        if copy.holds_traces:
            self._replace_at_once(copy)
        # Another file is there as long as somebody reads it, or writes it anew in the background.
        return self._files is None or len(list(self._files.newest_first())) <= 1

    def _replace_at_once(self, copy: Copy) -> None:
        assert self._files is not None
        path = self._files.following()
        copy.writing_anew(path).write()
        self._replace(self._open_anew(path))

    def _rewrite(self, copy: Copy, files: Files, writing: WritingAnew) -> None:
        """Write the copy anew, without what was deleted, while it goes on being read and changed."""
        began_at = time.monotonic()
        is_done = False
        with self._telling():
            try:
                writing.write()
            except BaseException as error:
                files.remove(writing.path)
                if self._ended:
                    raise _stopping() from error
                raise
            finally:
                self._writing = None
                self._readers.give_back(copy)
            self._put_in_place(self._open_anew(writing.path), of=copy)
            is_done = True
        took = time.monotonic() - began_at
        if is_done:
            self._rewrite_next_at = time.monotonic() + _REST_AFTER_REWRITING * took
            self._tell("cohorts_rewritten", seconds=round(took, 3))
        else:
            self._retry_at = time.monotonic() + _RETRY_SECONDS

    def _put_in_place(self, anew: Copy, *, of: Copy) -> None:
        """Bring a copy that was written anew to what is now, and use it from then on, unless another took its place."""
        try:
            self._catch_up_ahead(anew)
            with self._lock, self._store.open_moment() as moment:
                if self._copy is of and moment.holds(anew.position):
                    self._catch_up(anew, moment)
                    self._replace(anew)
        finally:
            if self._copy is not anew:  # or this one has no room for what came
                self._retire(anew)

    def _stop_writing(self) -> None:
        """Give up what is being written anew: it is begun again when it is worth it."""
        writing = self._writing
        if writing is not None:
            writing.stop()

    def _open_anew(self, path: Path) -> Copy:
        copy = Copy.open(path, self._limits)
        assert copy is not None, "it is as the one it was made of"
        return copy

    def _catch_up_ahead(self, copy: Copy) -> None:
        """Bring a copy that nobody uses yet near to what is, so that nobody waits for that when it comes into use."""
        for _ in range(_AHEAD_ROUNDS):
            with self._store.open_moment() as moment:
                if not moment.holds(copy.position):
                    return
                behind = moment.fed_since(copy.position)
                self._bring(copy, moment, Progress(self._tell))
            if behind <= _AHEAD_ENOUGH:
                return


def _pass_on(snapshot: Snapshot, ids: Collection[str], put: Callable[[bytes], None], work: Progress) -> None:
    """Read profiles from the store for a copy to take in."""
    in_order = sorted(ids)  # as they lie in the store
    steps = (in_order[start : start + _STEP] for start in range(0, len(in_order), _STEP))
    for profiles in gathered(map(snapshot.find_copied, steps)):
        put(profiles)
        work.add(count_copied(profiles))


def _stopping() -> Refused:
    return Refused("the server is stopping", code="cohorts_not_ready")


def _cannot_be_made(error: duckdb.Error) -> Refused:
    message = (
        f"cohorts cannot be counted: the engine's copy of the profiles cannot be made ({type(error).__name__}): is "
        "there room on the disk of the data folder, and memory (TRAITBASE_COHORT_MEMORY_MB)? Everything else goes on"
    )
    return Refused(message, code="cohorts_not_ready")


def _kinds(definitions: Sequence[DefinitionRow]) -> dict[str, Kind]:
    return {row.name: row.kind for row in definitions}
