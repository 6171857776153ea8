"""What became of a campaign: from the ledger, never from who is in the cohort now."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from traitbase.domain.deliveries import UNSENT, DeliveryState
from traitbase.domain.spaces import Space
from traitbase.services.campaigns.ports import (
    WITHOUT_ID,
    CampaignStore,
    DeliveryFilter,
    DeliveryPlace,
    DeliveryRow,
    RunCounts,
    RunRow,
    Tally,
)

_S = DeliveryState
_A_STEP = 1_000
_decode_counts = msgspec.json.Decoder(RunCounts).decode
_HANDED_OVER = (_S.SENT, _S.DELIVERED, _S.BOUNCED)


@dataclass(slots=True)
class ChannelReport:
    """What became of a run's deliveries on one channel.

    `planned` are all of them, each in exactly one state. `sent`: a provider took it, whatever it told later.
    """

    planned: int = 0
    sent: int = 0
    opened: int = 0
    clicked: int = 0
    unsubscribed: int = 0
    complained: int = 0
    states: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    not_sent: Counter[str] = field(default_factory=Counter)

    def add(self, tally: Tally) -> None:
        """Take in deliveries that are alike."""
        self.planned += tally.deliveries
        self.states[tally.state.value] += tally.deliveries
        self.opened += tally.opened
        self.clicked += tally.clicked
        self.unsubscribed += tally.unsubscribed
        self.complained += tally.complained
        if tally.state in _HANDED_OVER:
            self.sent += tally.deliveries
        if tally.state is _S.FAILED:
            self.failed[tally.reason or "failed"] += tally.deliveries
        if tally.state in UNSENT:
            self.not_sent[tally.reason or tally.state.value] += tally.deliveries


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run and what became of its deliveries: in all, by channel, and over time (the hour's first microsecond)."""

    run: RunRow
    counts: RunCounts | None
    total: ChannelReport
    channels: dict[str, ChannelReport]
    hours: list[tuple[int, str, int]]
    zone: str


class ReportFormat(StrEnum):
    """The formats in which deliveries are exported."""

    NDJSON = "ndjson"
    CSV = "csv"


def report_of(store: CampaignStore, space: Space, run: RunRow) -> RunReport:
    """Return what became of a run."""
    workspace = store.find_workspace(space.workspace_id)
    total, channels = ChannelReport(), dict[str, ChannelReport]()
    for tally in store.tally(space, run.run_id):
        total.add(tally)
        channels.setdefault(tally.channel, ChannelReport()).add(tally)
    hours = [(at_us, state.value, number) for at_us, state, number in store.tally_by_hour(space, run.run_id)]
    counts = counts_of(run)
    return RunReport(run, counts, total, channels, hours, "UTC" if workspace is None else workspace.timezone)


def counts_of(run: RunRow) -> RunCounts | None:
    """Return what is known of a run's audience; None: it is not resolved yet."""
    return None if run.counts is None else _decode_counts(run.counts)


def read_deliveries(store: CampaignStore, space: Space, which: DeliveryFilter) -> Iterator[DeliveryRow]:
    """Yield deliveries in order of their keys, however many."""
    after: DeliveryPlace | None = None
    while True:
        rows = store.list_deliveries(space, which, after=after, limit=_A_STEP)
        yield from rows
        if len(rows) < _A_STEP:
            return
        after = (rows[-1].run_id, rows[-1].distinct_id, rows[-1].channel)


EXPORTED = (
    "delivery_id", "run_id", "distinct_id", "channel", "destination", "state", "reason", "detail", "attempts",
    "due_at", "first_attempt_at", "handed_over_at", "settled_at", "opened_at", "clicked_at", "unsubscribed_at",
    "complained_at", "provider_id",
)  # fmt: skip
"""The columns of an export of deliveries, and the members of one."""


def shown(row: DeliveryRow, time_of: Any) -> dict[str, Any]:
    """Return a delivery as it is shown. `time_of` writes a time."""

    def at(at_us: int | None) -> str | None:
        return None if at_us is None else str(time_of(at_us))

    has_id = not row.distinct_id.startswith(WITHOUT_ID)
    return {
        "delivery_id": row.delivery_id,
        "run_id": row.run_id,
        "distinct_id": row.distinct_id if has_id else None,
        "channel": row.via or row.channel,
        "destination": row.destination,
        "state": row.state.value,
        "reason": row.reason,
        "detail": row.detail,
        "attempts": row.attempts,
        "due_at": at(row.due_at_us),
        "first_attempt_at": at(row.first_at_us),
        "handed_over_at": at(row.handed_at_us),
        "settled_at": at(row.settled_at_us),
        "opened_at": at(row.opened_at_us),
        "clicked_at": at(row.clicked_at_us),
        "unsubscribed_at": at(row.unsubscribed_at_us),
        "complained_at": at(row.complained_at_us),
        "provider_id": row.provider_id,
    }


def exported(
    store: CampaignStore, space: Space, which: DeliveryFilter, format_: ReportFormat, time_of: Any
) -> Iterator[bytes]:
    """Yield deliveries as a file. A cell that a spreadsheet would take for a formula has an apostrophe before it."""
    if format_ is ReportFormat.CSV:
        yield _csv_line(EXPORTED)
    for row in read_deliveries(store, space, which):
        entry = shown(row, time_of)
        if format_ is ReportFormat.CSV:
            yield _csv_line([entry[name] for name in EXPORTED])
        else:
            yield msgspec.json.encode(entry) + b"\n"


def _csv_line(cells: Any) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([_guarded(each) for each in cells])
    return out.getvalue().encode()


def _guarded(cell: Any) -> Any:
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{cell}"
    return "" if cell is None else cell
