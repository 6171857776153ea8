"""What the campaign services need: a store with the ledger, and senders that carry messages.

Rows are plain tuples. Times are microseconds since 1970 UTC and end in `_at_us`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import msgspec

from traitbase.domain.campaigns import CampaignState, Options, RunKind, RunState, Schedule
from traitbase.domain.deliveries import DeliveryState
from traitbase.domain.events import Event
from traitbase.domain.spaces import Space
from traitbase.services.ports import IdempotencyRow, Store

PAGE_DELIVERIES = 500
"""Deliveries of a page, at most: what a worker claims at once."""

WITHOUT_ID = "\x01"
"""Begins what stands in the ledger for a destination without a profile. No distinct_id has control characters."""


class IntegrationRow(NamedTuple):
    """A stored integration. `document`: see `domain.integrations`; `secrets` is encrypted (None: it has none)."""

    integration_id: str
    name: str
    document: str
    secrets: str | None
    revision: int
    created_at_us: int
    updated_at_us: int


class EventRow(NamedTuple):
    """A stored event. `document`: see `domain.events`."""

    event_id: str
    name: str
    document: str
    revision: int
    created_at_us: int
    updated_at_us: int


class CampaignRow(NamedTuple):
    """A stored campaign. `document`: see `domain.campaigns`.

    `held`: why a person must decide before anything (more) is sent, as JSON; `next_at_us`: when the next run is to
    start; `run_id`: the newest run; `epoch`: that of the database when a person last let it go on.
    """

    campaign_id: str
    name: str
    document: str
    state: CampaignState
    held: str | None
    next_at_us: int | None
    run_id: str | None
    epoch: int
    revision: int
    created_at_us: int
    updated_at_us: int


class RunRow(NamedTuple):
    """One firing of an event for an audience. `plan` and `counts` are `RunPlan` and `RunCounts` as JSON."""

    run_id: str
    campaign_id: str | None
    kind: RunKind
    state: RunState
    reason: str | None
    plan: str
    planned_at_us: int
    started_at_us: int | None
    finished_at_us: int | None
    active_at_us: int
    members: int
    counts: str | None
    epoch: int
    owner: str | None


class RunPlan(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run does, as it was decided when it was planned: later edits do not change it.

    `answer`: what the call that made the run was answered, for whoever makes it again.
    """

    event: Event
    event_id: str
    options: Options
    schedule: Schedule | None = None
    campaign_name: str | None = None
    answer: Any = None


class RunCounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of an audience beside its deliveries.

    `members` are all of it; `control` and `outside` (of the sample) are not sent anything; `zones_replaced` are members
    whose own time zone is missing or none, so that the workspace's counts.
    """

    members: int = 0
    control: int = 0
    outside: int = 0
    zones_replaced: int = 0


class PageRow(NamedTuple):
    """The deliveries of a run from one id to another. `due_at_us`: when there is something to do; None: nothing is."""

    run_id: str
    page: int
    first_id: str
    last_id: str
    urgency: int
    due_at_us: int | None
    owner: str | None


class DeliveryRow(NamedTuple):
    """One message to one member. `distinct_id` may stand for a destination, see `WITHOUT_ID`."""

    run_id: str
    distinct_id: str
    channel: str
    number: int
    state: DeliveryState
    reason: str | None
    detail: str | None
    via: str | None
    destination: str | None
    destinations: str | None
    data: str | None
    is_marketing: int
    due_at_us: int
    attempts: int
    first_at_us: int | None
    handed_at_us: int | None
    settled_at_us: int | None
    provider_id: str | None = None
    opened_at_us: int | None = None
    clicked_at_us: int | None = None
    unsubscribed_at_us: int | None = None
    complained_at_us: int | None = None

    @property
    def delivery_id(self) -> str:
        """The id by which everybody knows it: the provider, its callbacks, and the email's Message-ID."""
        return f"{self.run_id}-{self.number}"


class AudienceRow(NamedTuple):
    """A member of a file's audience."""

    distinct_id: str
    line: int
    destinations: str | None
    data: str | None


class WorkerRow(NamedTuple):
    """A process that sends. Until its lease ends, what it has claimed is its own."""

    worker_id: str
    host: str
    started_at_us: int
    lease_until_us: int


class SandboxRow(NamedTuple):
    """A message that a sandbox recorded."""

    distinct_id: str
    delivery_id: str
    at_us: int
    message: str


class Claimed(NamedTuple):
    """A page that a worker has claimed, and the run it belongs to."""

    space: Space
    page: PageRow
    run: RunRow


class Tally(NamedTuple):
    """How many deliveries of a run are alike, and of how many of them something is known."""

    channel: str
    state: DeliveryState
    reason: str | None
    deliveries: int
    opened: int
    clicked: int
    unsubscribed: int
    complained: int


class Slots(NamedTuple):
    """How many messages may go, from when on."""

    messages: int
    at_us: int


class DeliveryFilter(NamedTuple):
    """Which deliveries are meant: those to which everything applies that is not None."""

    run_id: str | None = None
    distinct_ids: tuple[str, ...] | None = None
    states: tuple[DeliveryState, ...] | None = None


DeliveryPlace = tuple[str, str, str]
"""Where a listing goes on: behind that run_id, distinct_id and channel."""


class Turn(Protocol):
    """One transaction on campaigns and their ledger. What it locks, it locks in this order: campaign, run, page.

    Whatever it wrote is durable when it ends well, and nothing of it if it does not.
    """

    def campaign(self, space: Space, campaign_id: str) -> CampaignRow | None:
        """Return a campaign, and let nobody else change it until the end."""

    def put_campaign(self, space: Space, row: CampaignRow) -> None:
        """Store a campaign in the place of what there is."""

    def add_campaign(self, space: Space, row: CampaignRow) -> None:
        """Store a new campaign. Raises Conflict (`campaign_exists`) if its name is taken."""

    def delete_campaign(self, space: Space, campaign_id: str) -> None:
        """Delete a campaign."""

    def run(self, space: Space, run_id: str, *, to_change: bool = True) -> RunRow | None:
        """Return a run, and let nobody else change it until the end (`to_change`: or look at it like this)."""

    def add_run(self, space: Space, row: RunRow) -> bool:
        """Store a new run. False if its campaign has one for that time already."""

    def put_run(self, space: Space, row: RunRow) -> None:
        """Store a run in the place of what there is."""

    def epoch(self) -> int:
        """Return the epoch of the database."""

    def raise_epoch(self, *, reason: str, at_us: int) -> int:
        """Begin another epoch: what was going on waits for a person. Returns it."""

    def pause_everything(self, *, reason: str, at_us: int) -> int:
        """Pause every run that is going on, and its campaign, whatever its space. Returns how many runs."""

    def runs_of_calls(self, *, limit: int) -> list[tuple[Space, RunRow]]:
        """Return runs of calls that are paused, locked."""

    def add_deliveries(self, space: Space, rows: Sequence[DeliveryRow]) -> None:
        """Store new deliveries, whose keys are not there yet."""

    def forget_deliveries(self, space: Space, run_id: str) -> None:
        """Delete the deliveries and pages of a run that was never begun."""

    def add_pages(self, space: Space, rows: Sequence[PageRow]) -> None:
        """Store pages."""

    def wake_pages(self, space: Space, run_id: str, *, at_us: int) -> None:
        """Let all pages of a run be looked at, from that time on."""

    def claim_page(self, worker_id: str, *, now_us: int, epoch: int) -> Claimed | None:
        """Take a page with something to do of a run that is running, the most urgent first; None if there is none."""

    def holds_page(self, space: Space, page: PageRow) -> bool:
        """Tell whether a page is still that worker's, and let nobody take it until the end."""

    def release_page(self, space: Space, page: PageRow, *, due_at_us: int | None) -> None:
        """Give a page back."""

    def next_due(self, space: Space, page: PageRow) -> int | None:
        """Return when the first of a page's planned deliveries is due; None if there is none."""

    def has_open_pages(self, space: Space, run_id: str) -> bool:
        """Tell whether there is something to do in a run, or somebody at it."""

    def change_deliveries(self, space: Space, changes: Sequence[DeliveryChange]) -> list[bool]:
        """Change deliveries that are still as they are believed to be. Returns for each whether it was."""

    def cancel_planned(self, space: Space, run_id: str, *, reason: str, at_us: int) -> None:
        """Cancel all deliveries of a run that are planned; those that may have been taken before are unconfirmed."""

    def recover_page(self, space: Space, page: PageRow, *, state: DeliveryState, at_us: int) -> int:
        """Change those of a page that were being sent when their worker ended. Returns how many."""

    def pages_of(self, worker_id: str) -> list[tuple[Space, PageRow]]:
        """Return what a worker has claimed."""

    def drop_worker(self, worker_id: str) -> None:
        """Forget a worker, and what audience it was resolving."""

    def take_slots(self, space: Space, of_id: str, *, wanted: int, rate: float, now_us: int) -> Slots:
        """Take up to that many of the moments at which a rate (messages a second) allows one, within a second.

        None may be left within it: then `messages` is 0, and `at_us` says when to come again.
        """

    def count_marketing(self, space: Space, distinct_ids: Sequence[str], *, since_us: int) -> Mapping[str, int]:
        """Return how many marketing messages were handed to providers for ids since a time; none: not in it.

        Nobody else counts any of the ids until the end.
        """

    def use_key(self, row: IdempotencyRow, *, expired_before_us: int) -> IdempotencyRow | None:
        """Store an idempotency key; or return the row that is there and not expired."""


class DeliveryChange(NamedTuple):
    """What becomes of a delivery: `row` is as it is to be, if it is in one of the states and at that many attempts."""

    row: DeliveryRow
    before: tuple[DeliveryState, ...]
    attempts: int


class CampaignStore(Store, Protocol):
    """The system of record with campaigns and their ledger."""

    def list_integrations(self, space: Space) -> list[IntegrationRow]:
        """Return the space's integrations in order of name."""

    def find_integration(self, space: Space, integration_id: str) -> IntegrationRow | None:
        """Return an integration, or None."""

    def find_integration_anywhere(self, integration_id: str) -> tuple[Space, IntegrationRow] | None:
        """Return an integration and its space; None if there is none, or several with that id."""

    def save_integration(self, space: Space, row: IntegrationRow) -> None:
        """Store an integration: a new one at revision 1, or the next revision.

        Raises Conflict: `integration_exists` if its name is taken, `lost_race` if it was changed meanwhile.
        """

    def delete_integration(self, space: Space, integration_id: str) -> bool:
        """Delete an integration. False if there is none."""

    def list_events(self, space: Space) -> list[EventRow]:
        """Return the space's events in order of name."""

    def find_event(self, space: Space, event_id: str) -> EventRow | None:
        """Return an event, or None."""

    def find_event_named(self, space: Space, name: str) -> EventRow | None:
        """Return the event of a name, or None."""

    def save_event(self, space: Space, row: EventRow) -> None:
        """Store an event, as `save_integration` does (`event_exists`)."""

    def delete_event(self, space: Space, event_id: str) -> bool:
        """Delete an event. False if there is none."""

    def list_campaigns(self, space: Space) -> list[CampaignRow]:
        """Return the space's campaigns, the newest first."""

    def find_campaign(self, space: Space, campaign_id: str) -> CampaignRow | None:
        """Return a campaign, or None."""

    def find_due_campaigns(self, *, now_us: int, limit: int) -> list[tuple[Space, CampaignRow]]:
        """Return campaigns whose next run is due and that nothing holds, the longest due first."""

    def turn(self) -> AbstractContextManager[Turn]:
        """Open a transaction on campaigns and their ledger."""

    def list_runs(self, space: Space, campaign_id: str, *, limit: int) -> list[RunRow]:
        """Return the newest runs of a campaign, the newest first."""

    def find_run(self, space: Space, run_id: str) -> RunRow | None:
        """Return a run, or None."""

    def find_unprepared(self, *, limit: int) -> list[tuple[Space, RunRow]]:
        """Return runs whose audience is to be resolved and that no worker is at."""

    def find_stale(self, *, before_us: int) -> list[tuple[Space, RunRow]]:
        """Return campaigns' runs that are running, have had something to do since before then, and did nothing."""

    def read_page(self, space: Space, page: PageRow, *, due_by_us: int) -> list[DeliveryRow]:
        """Return the planned deliveries of a page that are due, in order of their keys."""

    def find_delivery(self, space: Space, run_id: str, number: int) -> DeliveryRow | None:
        """Return a delivery by its number in a run, or None."""

    def list_deliveries(
        self, space: Space, which: DeliveryFilter, *, after: DeliveryPlace | None, limit: int
    ) -> list[DeliveryRow]:
        """Return up to `limit` deliveries in order of their keys."""

    def tally(self, space: Space, run_id: str) -> list[Tally]:
        """Count the deliveries of a run."""

    def tally_by_hour(self, space: Space, run_id: str) -> list[tuple[int, DeliveryState, int]]:
        """Count a run's settled deliveries by the hour (its first microsecond) and state."""

    def note_delivery(self, space: Space, row: DeliveryRow) -> None:
        """Store when a delivery was opened, clicked or unsubscribed from, whichever `row` has."""

    def add_audience(self, space: Space, file_id: str, rows: Sequence[AudienceRow]) -> list[str]:
        """Store rows of a file; return the ids of those that are there already, which are left out."""

    def read_audience(self, space: Space, file_id: str) -> Iterator[Sequence[AudienceRow]]:
        """Yield the rows of a file in order of their ids, some thousand at a time, as they were at one moment."""

    def count_audience(self, space: Space, file_id: str) -> int:
        """Return how many rows a file has."""

    def forget_audience(self, space: Space, file_id: str) -> None:
        """Delete the rows of a file."""

    def keep_worker(self, row: WorkerRow) -> None:
        """Store or prolong a worker's lease."""

    def list_workers(self) -> list[WorkerRow]:
        """Return all workers."""

    def record_sandbox(self, space: Space, integration_id: str, rows: Sequence[SandboxRow]) -> None:
        """Record messages, each once."""

    def list_sandbox(self, space: Space, integration_id: str, *, limit: int) -> list[SandboxRow]:
        """Return the newest messages of a sandbox, the newest first."""

    def trim_sandbox(self, space: Space, integration_id: str, *, keep: int) -> None:
        """Delete the oldest messages of a sandbox but so many."""


# --- senders ---


@dataclass(frozen=True, slots=True)
class Message:
    """What is handed to a sender: ready to go. `headers` are an email's own."""

    delivery_id: str
    channel: str
    destinations: tuple[str, ...]
    subject: str | None
    html: str | None
    text: str | None
    headers: tuple[tuple[str, str], ...] = ()
    about: Mapping[str, Any] | None = None


class OutcomeKind(StrEnum):
    """What is known after handing a message over.

    `rejected` and `deferred` are about this recipient, for good or for now; `unreachable` and `misconfigured` about the
    integration: nobody's message would have gone. `unknown`: it may have been taken, or not.
    """

    SENT = "sent"
    REJECTED = "rejected"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"
    MISCONFIGURED = "misconfigured"


class Outcome(NamedTuple):
    """What a provider made of a message. `detail`: what it said."""

    kind: OutcomeKind
    detail: str
    provider_id: str | None = None


class Sender(Protocol):
    """Carries messages over one integration. Safe to use from several threads."""

    def send(self, message: Message) -> Outcome:
        """Hand a message over. Raises nothing: whatever happens is an outcome."""

    def close(self) -> None:
        """Close its connections."""


OpenSender = Callable[[Space, IntegrationRow, Mapping[str, str]], Sender]
"""Opens a sender for an integration with its secrets."""
