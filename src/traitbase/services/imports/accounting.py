"""What became of every line of a file: applied, ignored with a reason, refused with a reason, or blank.

The law: applied + ignored + refused + blank = lines read. A line of which anything was ignored counts as ignored, and
if something else of it was applied, as applied in part too. A CSV record counts as one line, also if a quoted cell
makes it span several; the header is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from traitbase.domain.errors import InvalidInput
from traitbase.domain.operations import Ignored, Reason
from traitbase.domain.updates import Operation, Payload, Update
from traitbase.services.imports.restoring import Entry, parts_of

SAMPLES_SHOWN = 10
"""How many ignored values and refused lines are kept for the summary."""


class LineReason(StrEnum):
    """Why a line was refused, or why the reader sent nothing of it: stable codes beside those of the operations."""

    MALFORMED_ROW = "malformed_row"
    TOO_MANY_CELLS = "too_many_cells"
    MALFORMED_JSON = "malformed_json"
    INVALID_DISTINCT_ID = "invalid_distinct_id"
    INVALID_ITEM = "invalid_item"
    NO_VALUES = "no_values"
    NOT_FINITE = "not_finite"


class Finding(NamedTuple):
    """One refused line, or one ignored value of a line. What is not known is None; messages hold no values."""

    line: int
    outcome: str
    reason: str
    message: str
    distinct_id: str | None = None
    operation: str | None = None
    property: str | None = None


@dataclass(slots=True)
class Chunk:
    """Some lines of a file as they were read.

    `entries` come from `lines` (same length); `refused` and `ignored` are what the reader itself found. `read` counts
    all lines, `last_line` is the number of the last one, and `position` how much of the source is read by now, in the
    source's own unit. `cell_forms` says for a column of text how it must be written to be read as the column's type.
    """

    cell_forms: Mapping[str, str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    refused: list[Finding] = field(default_factory=list)
    ignored: list[Finding] = field(default_factory=list)
    blank: int = 0
    read: int = 0
    last_line: int = 0
    position: int = 0

    def add(self, line: int, entry: Entry) -> None:
        """Take a line that became an update, or a profile to restore."""
        self.entries.append(entry)
        self.lines.append(line)

    def refuse(self, line: int, reason: LineReason, message: str) -> None:
        """Take a line that cannot become an update."""
        self.refused.append(Finding(line, "refused", reason.value, message))

    def refuse_invalid(self, line: int, error: InvalidInput) -> None:
        """Take a line of which the domain says what is wrong."""
        where, what = (error.faults[0].path, error.faults[0].message) if error.faults else ("", error.message)
        about_id = where == "distinct_id"
        reason = LineReason.INVALID_DISTINCT_ID if about_id else LineReason.INVALID_ITEM
        self.refuse(line, reason, f"{where}: {what}" if where and not what.startswith(where) else what)

    def take_back(self, failed: Mapping[int, InvalidInput]) -> None:
        """Refuse lines that turned out, when they were to be written, to be impossible; by position in `entries`."""
        for item, error in failed.items():
            self.refuse_invalid(self.lines[item], error)
        kept = [item for item in range(len(self.lines)) if item not in failed]
        self.entries = [self.entries[item] for item in kept]
        self.lines = [self.lines[item] for item in kept]

    def ignore(
        self, line: int, reason: LineReason, message: str, *, distinct_id: str, property_name: str | None = None
    ) -> None:
        """Take note of a value that is not sent (no property name: of a line that has nothing to send)."""
        self.ignored.append(Finding(line, "ignored", reason.value, message, distinct_id, None, property_name))


@dataclass(slots=True)
class Tally:
    """The account of an import so far. `report` (if any) is given every finding, in order of lines within a chunk.

    `ignored_values` and `refused_lines` count by reason; `applied_partly` is part of `ignored`.
    """

    report: Callable[[Finding], None] | None = None
    read: int = 0
    applied: int = 0
    applied_partly: int = 0
    ignored: int = 0
    refused: int = 0
    blank: int = 0
    last_line: int = 0
    ignored_values: Counter[str] = field(default_factory=Counter)
    refused_lines: Counter[str] = field(default_factory=Counter)
    samples: list[Finding] = field(default_factory=list)

    def add(self, chunk: Chunk, outcomes: Sequence[tuple[int, Ignored]]) -> None:
        """Take in a chunk whose updates are durable, and what of them was ignored (position of the entry, why)."""
        ignored = {finding.line for finding in chunk.ignored}
        if outcomes or ignored:
            ignored.update(chunk.lines[item] for item, _ in outcomes)
            self._add_entries(chunk, outcomes, ignored)
        else:
            self.applied += len(chunk.entries)
        self.read += chunk.read
        self.ignored += len(ignored)
        self.refused += len(chunk.refused)
        self.blank += chunk.blank
        self.last_line = chunk.last_line
        self._note(chunk, outcomes)

    def _add_entries(self, chunk: Chunk, outcomes: Sequence[tuple[int, Ignored]], ignored: set[int]) -> None:
        values_ignored = Counter(item for item, _ in outcomes)
        for item, line in enumerate(chunk.lines):
            if line not in ignored:
                self.applied += 1
            elif values_ignored[item] < parts_of(chunk.entries[item]):
                self.applied_partly += 1

    def _note(self, chunk: Chunk, outcomes: Sequence[tuple[int, Ignored]]) -> None:
        findings = [*chunk.refused, *chunk.ignored, *_findings_of(chunk, outcomes)]
        if not findings:
            return
        findings.sort(key=lambda finding: finding.line)
        for finding in findings:
            counts = self.refused_lines if finding.outcome == "refused" else self.ignored_values
            counts[finding.reason] += 1
            if self.report is not None:
                self.report(finding)
        self.samples.extend(findings[: SAMPLES_SHOWN - len(self.samples)])


def _findings_of(chunk: Chunk, outcomes: Sequence[tuple[int, Ignored]]) -> Iterator[Finding]:
    for item, (operation, name, reason, message) in outcomes:
        entry = chunk.entries[item]
        told = message
        if reason is Reason.TYPE_MISMATCH and isinstance(entry, Update) and _was_left_as_text(entry.operations, name):
            told = chunk.cell_forms.get(name, message)
        yield Finding(chunk.lines[item], "ignored", reason.value, told, entry.distinct_id, operation.value, name)


def _was_left_as_text(operations: tuple[tuple[Operation, Payload], ...], name: str) -> bool:
    return any(type(payload.get(name)) is str for _, payload in operations if isinstance(payload, dict))
