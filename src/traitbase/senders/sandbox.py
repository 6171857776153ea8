"""The sandbox: records what would be sent. A message is recorded once, however often it is handed over."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from traitbase.domain.errors import Refused
from traitbase.domain.spaces import Space
from traitbase.services.campaigns.ports import CampaignStore, Message, Outcome, OutcomeKind, SandboxRow

MESSAGES_KEPT = 10_000
_TRIMMED_EVERY = 1_000


class SandboxSender:
    """Records messages in the store; the newest 10,000 are kept."""

    def __init__(self, store: CampaignStore, space: Space, integration_id: str, *, now_us: Callable[[], int]) -> None:
        self._store = store
        self._space = space
        self._integration_id = integration_id
        self._now_us = now_us
        self._sent = 0

    def send(self, message: Message) -> Outcome:
        """Record a message."""
        shown = {
            "channel": message.channel,
            "destinations": message.destinations,
            "subject": message.subject,
            "html": message.html,
            "text": message.text,
            "headers": dict(message.headers),
        }
        about = message.about or {}
        row = SandboxRow(
            str(about.get("distinct_id") or message.destinations[0]),
            message.delivery_id,
            self._now_us(),
            msgspec.json.encode(shown).decode(),
        )
        try:
            self._store.record_sandbox(self._space, self._integration_id, row)
            self._sent += 1
            if self._sent % _TRIMMED_EVERY == 0:
                self._store.trim_sandbox(self._space, self._integration_id, keep=MESSAGES_KEPT)
        except Refused as error:
            return Outcome(OutcomeKind.UNREACHABLE, error.message)
        return Outcome(OutcomeKind.SENT, "recorded by the sandbox, sent to nobody")

    def close(self) -> None:
        """Nothing is open."""
