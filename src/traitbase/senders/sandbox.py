"""The sandbox: records what would be sent. A message is recorded once, however often it is handed over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

import msgspec

from traitbase.domain.errors import Refused
from traitbase.domain.spaces import Space
from traitbase.services.campaigns.ports import CampaignStore, Message, Outcome, OutcomeKind, SandboxRow

MESSAGES_KEPT = 10_000
_TRIMMED_EVERY = 1_000


class SandboxSender:
    """Records messages in the store; the newest 10,000 are kept.

    Those that come at once are written at once: whoever comes first writes for all who wait.
    """

    def __init__(self, store: CampaignStore, space: Space, integration_id: str, *, now_us: Callable[[], int]) -> None:
        self._store = store
        self._space = space
        self._integration_id = integration_id
        self._now_us = now_us
        self._recorded = 0
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: list[tuple[SandboxRow, Future[None]]] = []

    def send(self, message: Message) -> Outcome:
        """Record a message."""
        done: Future[None] = Future()
        with self._lock:
            self._waiting.append((self._row(message), done))
        with self._writing:
            if not done.done():
                self._write()
        try:
            done.result()
        except Refused as error:
            return Outcome(OutcomeKind.UNREACHABLE, error.message)
        return Outcome(OutcomeKind.SENT, "recorded by the sandbox, sent to nobody")

    def close(self) -> None:
        """Nothing is open."""

    def _row(self, message: Message) -> SandboxRow:
        shown = {
            "channel": message.channel,
            "destinations": message.destinations,
            "subject": message.subject,
            "html": message.html,
            "text": message.text,
            "headers": dict(message.headers),
        }
        whose = str((message.about or {}).get("distinct_id") or message.destinations[0])
        return SandboxRow(whose, message.delivery_id, self._now_us(), msgspec.json.encode(shown).decode())

    def _write(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        try:
            self._store.record_sandbox(self._space, self._integration_id, [row for row, _ in waiting])
            self._trim(len(waiting))
        except Exception as error:  # noqa: BLE001  # whoever waits is told
            for _, done in waiting:
                done.set_exception(error)
            return
        for _, done in waiting:
            done.set_result(None)

    def _trim(self, recorded: int) -> None:
        before, self._recorded = self._recorded, self._recorded + recorded
        if before // _TRIMMED_EVERY != self._recorded // _TRIMMED_EVERY:
            self._store.trim_sandbox(self._space, self._integration_id, keep=MESSAGES_KEPT)
