"""A small world with campaigns: a store, people, a clock that tests set, and a provider that does as it is told."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traitbase.domain.attributes import Attributes, country_code, encode_attributes, search_keys
from traitbase.domain.campaign_bodies import Launch, parse_campaign
from traitbase.domain.cohorts import new_cohort_id
from traitbase.domain.events import encode_event, new_event_id, parse_event
from traitbase.domain.integrations import encode_integration, new_integration_id, parse_integration
from traitbase.domain.rules.tree import parse_tree
from traitbase.domain.spaces import Space, Workspace
from traitbase.domain.values import encode_properties
from traitbase.segments.columnar import ColumnarEngine
from traitbase.segments.copy import Limits
from traitbase.services.campaigns.ports import (
    CampaignRow,
    CampaignStore,
    DeliveryFilter,
    DeliveryRow,
    EventRow,
    IntegrationRow,
    Message,
    Outcome,
    OutcomeKind,
)
from traitbase.services.campaigns.sealing import Vault, new_key
from traitbase.services.campaigns.steering import Steering
from traitbase.services.campaigns.working import Worker, WorkerParts
from traitbase.services.cohorts.counting import Asking
from traitbase.services.cohorts.stored import Draft, create_cohort
from traitbase.services.ports import EditedRow, ProfileRow, WriteSet

SPACE = Space("north", "live")
START_US = 1_790_000_000_000_000
KEY = new_key()

ACCEPTED = Outcome(OutcomeKind.SENT, "250 accepted")


class Crash(BaseException):
    """The process ended here."""


@dataclass
class Provider:
    """What integrations talk to. `answer` decides what becomes of a message; `taken` are those it took."""

    answer: Callable[[Message], Outcome] = lambda _message: ACCEPTED
    taken: list[Message] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, message: Message) -> Outcome:
        outcome = self.answer(message)
        if outcome.kind in (OutcomeKind.SENT, OutcomeKind.UNKNOWN):
            with self.lock:
                self.taken.append(message)
        return outcome

    def close(self) -> None:
        pass

    def times(self) -> Counter[str]:
        """Return how often each destination got something."""
        return Counter(message.destinations[0] for message in self.taken)


class World:
    """Everything there is, over a store that is open."""

    def __init__(self, store: CampaignStore, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.now = START_US
        self.provider = Provider()
        self.vault = Vault([KEY])
        self._engine: ColumnarEngine | None = None
        self._revisions: Counter[str] = Counter()
        with contextlib.suppress(Exception):
            store.add_workspace(Workspace(SPACE.workspace_id, "North", "Europe/Berlin", 1_000))
        self.integration_id = self.integrate({"name": "sandbox", "kind": "sandbox", "settings": {}})
        self.steering = Steering(store, lambda: self.now, "https://here.test")
        self._names = itertools.count(1)

    @property
    def asking(self) -> Asking:
        if self._engine is None:
            told = lambda *_arguments, **_fields: None  # noqa: E731
            limits = Limits(memory_bytes=256 * 1024 * 1024, answer_seconds=30)
            self._engine = ColumnarEngine(self.store, self.folder, limits, tell=told)
        return Asking(self.store, self._engine)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self.store.close()

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)

    def people(self, number: int, **properties: Any) -> list[str]:
        """Make profiles `p-00000` and so on, each with an email address."""
        ids = [f"p-{each:05}" for each in range(number)]
        for each in ids:
            self.person(each, {"email": f"{each}@x.test"}, properties)
        return ids

    def person(
        self,
        distinct_id: str,
        channel: Mapping[str, Any] | None = None,
        properties: Mapping[str, Any] | None = None,
        **attributes: Any,
    ) -> None:
        """Make or replace a profile."""
        self._write(distinct_id, Attributes(channel=dict(channel or {}), **attributes), dict(properties or {}))

    def alias(self, distinct_id: str, of: str, attributes: Attributes, properties: Mapping[str, Any]) -> None:
        """Let an id lead to another profile, as a merge does."""
        self._revisions[distinct_id] += 1
        revision = self._revisions[distinct_id]
        row = ProfileRow(*SPACE, distinct_id, _profile_id(distinct_id), revision, "{}", self.now, self.now, None, of)
        edited = EditedRow(row, _profile_id(distinct_id) if revision > 1 else "", revision - 1, None, None)
        self._save(WriteSet(edited=[edited]))
        self._write(of, attributes, dict(properties))

    def forget(self, distinct_id: str) -> None:
        """Delete a profile's row behind everybody's back."""
        import sqlalchemy as sa

        from traitbase.store.tables import profiles

        with self.store._database.writing() as connection:
            connection.execute(sa.delete(profiles).where(profiles.c.distinct_id == distinct_id))
        self._revisions[distinct_id] = 0

    def _write(self, distinct_id: str, attributes: Attributes, properties: dict[str, Any]) -> None:
        self._revisions[distinct_id] += 1
        revision = self._revisions[distinct_id]
        row = ProfileRow(
            *SPACE,
            distinct_id,
            _profile_id(distinct_id),
            revision,
            encode_properties(properties).decode(),
            self.now,
            self.now,
            encode_attributes(attributes),
        )
        stored = ("", 0) if revision == 1 else (_profile_id(distinct_id), revision - 1)
        name_key, email_key = search_keys(attributes)
        self._save(WriteSet(edited=[EditedRow(row, *stored, name_key, email_key, country_code(attributes))]))

    def _save(self, rows: WriteSet) -> None:
        session = self.store.open_session()
        try:
            session.write(rows, wait_seconds=5)
        finally:
            session.close()

    def integrate(self, body: Mapping[str, Any]) -> str:
        draft = parse_integration(dict(body))
        integration_id = new_integration_id()
        document, sealed = encode_integration(draft.integration), self.vault.seal(draft.secrets)
        row = IntegrationRow(integration_id, draft.name, document, sealed, 1, self.now, self.now)
        self.store.save_integration(SPACE, row)
        return integration_id

    def event(self, **changes: Any) -> str:
        """Store a marketing event with an email, unless it is said otherwise; return its id."""
        email = {"integration_id": self.integration_id, "subject": "Hello {{ profile.distinct_id }}", "text": "Hi"}
        body = {"name": f"event {next(self._names)}", "type": "marketing", "channels": {"email": email}, **changes}
        event = parse_event(body)
        row = EventRow(new_event_id(), event.name, encode_event(event), 1, self.now, self.now)
        self.store.save_event(SPACE, row)
        return row.event_id

    def static_cohort(self, ids: Sequence[str]) -> str:
        cohort_id = new_cohort_id()
        draft = Draft(f"cohort {next(self._names)}", None, None, tuple(ids))
        create_cohort(self.store, SPACE, draft, cohort_id=cohort_id, now_us=self.now)
        return cohort_id

    def cohort(self, tree: Mapping[str, Any]) -> str:
        cohort_id = new_cohort_id()
        draft = Draft(f"cohort {next(self._names)}", None, parse_tree(dict(tree), path="filter", may_be_empty=True))
        create_cohort(self.store, SPACE, draft, cohort_id=cohort_id, now_us=self.now)
        return cohort_id

    def campaign(self, cohort_id: str, *, event_id: str | None = None, **changes: Any) -> str:
        """Store a draft and return its id."""
        body = {
            "name": f"campaign {next(self._names)}",
            "event_id": event_id or self.event(),
            "audience": {"cohort_id": cohort_id},
            **changes,
        }
        return self.steering.create(SPACE, parse_campaign(body)).campaign_id

    def launch(self, campaign_id: str, expected: int | None = None, tolerance: float = 0.1) -> CampaignRow:
        return self.steering.launch(SPACE, campaign_id, Launch(expected, tolerance))

    def worker(self, store: CampaignStore | None = None, **changes: Any) -> Worker:
        """Return a worker whose steps the test takes itself."""
        parts = WorkerParts(
            store=store or self.store,
            asking=self.asking if changes.pop("with_engine", True) else None,  # type: ignore[arg-type]
            vault=self.vault,
            open_sender=lambda _space, _row, _secrets: self.provider,
            public_url="https://here.test",
            now_us=lambda: self.now,
            tell=lambda *_arguments, **_fields: None,
            monotonic=lambda: self.now / 1_000_000,
            **changes,
        )
        return Worker(parts)

    def run_out(self, worker: Worker, *, seconds: float = 0, step: float = 1.0) -> None:
        """Let a worker do all there is to do; go on with the clock for so long."""
        until = self.now + int(seconds * 1_000_000)
        while True:
            worker.keep_lease()
            worker.do_chores()
            while worker.prepare_one():
                pass
            for _ in range(300):
                if not worker.send_one():
                    break
            else:
                raise AssertionError(f"it goes on and on: {self.everything()}")
            worker.do_chores()
            if self.now >= until:
                return
            self.wait(step)

    def everything(self) -> dict[str, Any]:
        """Return all runs and pages there are, for messages."""
        import sqlalchemy as sa

        from traitbase.store.tables import campaigns, deliveries, delivery_pages, runs

        with self.store._database.reading() as connection:
            return {
                table.name: [row._asdict() for row in connection.execute(sa.select(table).limit(70))]
                for table in (campaigns, runs, delivery_pages, deliveries)
            }

    def found(self, campaign_id: str) -> CampaignRow:
        row = self.store.find_campaign(SPACE, campaign_id)
        assert row is not None
        return row

    def deliveries(self, campaign_id: str) -> list[DeliveryRow]:
        rows = []
        for run in self.store.list_runs(SPACE, campaign_id, limit=100):
            rows += self.store.list_deliveries(SPACE, DeliveryFilter(run_id=run.run_id), after=None, limit=100_000)
        return rows

    def states(self, campaign_id: str) -> dict[str, int]:
        """Count a campaign's deliveries by state, and by reason where there is one."""
        counted = Counter(
            f"{row.state.value}/{row.reason}" if row.reason else row.state.value for row in self.deliveries(campaign_id)
        )
        return dict(counted)


def _profile_id(distinct_id: str) -> str:
    return distinct_id.encode().hex().rjust(24, "0")[:24]
