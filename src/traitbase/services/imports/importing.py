"""The use case: a file's lines become updates, group by group, and a tally of what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast

from traitbase.domain.definitions import PropertyDefinition
from traitbase.domain.edits import Restore
from traitbase.domain.errors import Refused, TraitbaseError
from traitbase.domain.spaces import Space
from traitbase.domain.updates import Update
from traitbase.domain.values import Kind
from traitbase.services.definitions import declare_definitions, restore_definitions
from traitbase.services.exports.layout import Definition
from traitbase.services.imports.accounting import Chunk, Finding, Tally
from traitbase.services.imports.columns import Column, decide_columns, kinds_asked, kinds_found
from traitbase.services.imports.restoring import update_in
from traitbase.services.imports.sources import Format, Source
from traitbase.services.imports.writing import GroupWriter, settle_chunk
from traitbase.services.ingest import Ingest, Submission
from traitbase.services.ports import DefinitionRow, Store
from traitbase.services.workspaces import get_workspace

ROWS_A_GROUP = 2_000
"""Lines that become durable together.

Enough that the commits themselves do not count, few enough that another writer of the same database waits about 20 ms.
"""

KEY_ID = "import"
"""What receipts name in place of an API key."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where time and ids come from, and whether profiles keep a history."""

    now_us: Callable[[], int]
    new_request_id: Callable[[], str]
    new_profile_id: Callable[[], str]
    keeps_history: bool = True
    key_id: str = KEY_ID
    """What receipts and histories name in place of an API key."""


@dataclass(frozen=True, slots=True)
class Import:
    """A file that is ready to be read into a space, with the types its columns were given."""

    space: Space
    format: Format
    source: Source
    columns: Sequence[Column]


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told while an import runs: `on_progress` how much of the source is done, `report` each finding."""

    on_progress: Callable[[int], None] | None = None
    report: Callable[[Finding], None] | None = None


def plan_import(store: Store, space: Space, opened: tuple[Format, Source], *, asked: dict[str, Kind]) -> Import:
    """Decide the types of the file's columns.

    Raises NotFound for an unknown workspace, InvalidInput or Conflict (naming the column) where a type that was asked
    for is impossible. Nothing is written.
    """
    get_workspace(store, space.workspace_id)
    _, rows = store.get_definitions(space)
    definitions = {row.name: PropertyDefinition(row.kind, row.state) for row in rows}
    chosen, source = opened
    header = source.exported
    exported = {} if header is None else {each.name: _definition_of(each) for each in header.definitions}
    return Import(space, chosen, source, decide_columns(source.columns, definitions, asked, exported))


def _definition_of(exported: Definition) -> PropertyDefinition:
    return PropertyDefinition(exported.type, exported.state)


def check_import(planned: Import, *, watch: Watch) -> Tally:
    """Read the whole file and write nothing. What the tally has as applied is what would be sent."""
    tally = Tally(watch.report)
    for chunk in planned.source.read(planned.columns, rows=ROWS_A_GROUP):
        tally.add(chunk, ())
        if watch.on_progress:
            watch.on_progress(chunk.position)
    return tally


def run_import(store: Store, planned: Import, *, given: Sources, watch: Watch) -> Tally:
    """Write the file's lines, in groups that are durable one after the other.

    A column's property is defined when its first value comes, or at once if its type was asked for.
    Raises Refused, saying how far it got, if the storage cannot be written to, the file turns out to be damaged or a
    person interrupts: what was durable by then stays, nothing after it was applied.
    """
    if planned.format is not Format.NDJSON:
        _declare(store, planned.space, kinds_asked(planned.columns), given)
    if planned.source.exported is not None:
        at_us, definitions = given.now_us(), planned.source.exported.definitions
        rows = [
            DefinitionRow(each.name, each.type, each.state, at_us, KEY_ID, each.description) for each in definitions
        ]
        restore_definitions(store, planned.space, rows)
    tally = Tally(watch.report)
    try:
        _write_all(store, planned, given, watch, tally)
    except (TraitbaseError, OSError, UnicodeError, KeyboardInterrupt) as error:
        raise _stopped(planned, tally, error) from error
    return tally


def _write_all(store: Store, planned: Import, given: Sources, watch: Watch, tally: Tally) -> None:
    def on_durable(chunk: Chunk, submissions: Sequence[Submission]) -> None:
        tally.add(chunk, settle_chunk(chunk, submissions))
        if watch.on_progress:
            watch.on_progress(chunk.position)

    undeclared = {} if planned.format is Format.NDJSON else kinds_found(planned.columns)
    ingest = Ingest(store, new_profile_id=given.new_profile_id, keeps_history=given.keeps_history)
    with GroupWriter(ingest, tidy=store.tidy, on_durable=on_durable) as writer:
        for chunk in _read(planned):
            if undeclared:
                # A value of text could be taken for a date, so its column's type comes first. Without a value, none.
                found = {name: undeclared.pop(name) for name in _names_in(chunk) & undeclared.keys()}
                _declare(store, planned.space, found, given)
            writer.put(chunk, list(_submissions_of(chunk, planned.space, given)))


def _submissions_of(chunk: Chunk, space: Space, given: Sources) -> Iterator[Submission]:
    """Yield the chunk's entries in order: updates in a row as one request, each edit as one of its own."""
    for kind, entries in groupby(chunk.entries, key=type):
        if kind is Restore:
            for edit in entries:
                yield Submission(
                    space, (), given.new_request_id(), given.now_us(), given.key_id, edit=cast("Restore", edit)
                )
        else:
            updates = cast("list[Update]", list(entries))
            yield Submission(space, updates, given.new_request_id(), given.now_us(), given.key_id)


def _declare(store: Store, space: Space, kinds: dict[str, Kind], given: Sources) -> None:
    declare_definitions(store, space, kinds, at_us=given.now_us(), first_seen_in=KEY_ID)


def _names_in(chunk: Chunk) -> set[str]:
    updates = filter(None, map(update_in, chunk.entries))
    return {name for update in updates for _, payload in update.operations for name in payload}


def _read(planned: Import) -> Iterator[Chunk]:
    return planned.source.read(planned.columns, rows=ROWS_A_GROUP)


def _stopped(planned: Import, tally: Tally, error: BaseException) -> Refused:
    reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
    if not tally.read:
        return Refused(f"stopped before anything was applied: {reason}", code="import_stopped")
    what = "row" if planned.format is Format.PARQUET else "line"
    if planned.format is Format.NDJSON and planned.source.exported is None:
        advice = f"to go on, import the lines after {tally.last_line:,} as a file of their own"
    else:
        advice = "the same file can be imported again: setting a value twice is setting it once"
    message = (
        f"stopped: {reason}. Everything up to {what} {tally.last_line:,} is durable ({tally.applied:,} applied, "
        f"{tally.ignored:,} ignored, {tally.refused:,} refused), nothing after it was applied; {advice}"
    )
    return Refused(message, code="import_stopped")
