"""What carries messages: a sender for each integration, opened once and kept until the integration changes."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from traitbase.domain.errors import TraitbaseError
from traitbase.domain.integrations import decode_integration
from traitbase.domain.spaces import Space
from traitbase.services.campaigns.ports import CampaignStore, Message, OpenSender, Outcome, OutcomeKind, Sender
from traitbase.services.campaigns.sealing import Vault


@dataclass(frozen=True, slots=True)
class Outlet:
    """An open sender, and at what rate (messages a second) it may send; None: as fast as it can."""

    sender: Sender
    rate: float | None
    revision: int


@dataclass(frozen=True, slots=True)
class _Unusable:
    """Stands for a sender that could not be opened."""

    why: str

    def send(self, _message: Message) -> Outcome:
        return Outcome(OutcomeKind.MISCONFIGURED, self.why)

    def close(self) -> None:
        """Nothing is open."""


class Outlets:
    """Opens senders and keeps them. Safe to use from several threads."""

    def __init__(self, store: CampaignStore, vault: Vault, open_sender: OpenSender) -> None:
        self._store = store
        self._vault = vault
        self._open_sender = open_sender
        self._lock = threading.Lock()
        self._open: dict[tuple[Space, str], Outlet] = {}

    def find(self, space: Space, integration_id: str) -> Outlet | str:
        """Return what sends over an integration, or why nothing can."""
        row = self._store.find_integration(space, integration_id)
        if row is None:
            return f"there is no integration {integration_id!r} any more"
        with self._lock:
            found = self._open.get((space, integration_id))
            if found is not None and found.revision == row.revision:
                return found
        try:
            sender = self._open_sender(space, row, self._vault.open(row.secrets))
        except TraitbaseError as error:
            # Such as secrets that were sealed with another key: nobody's message can go before somebody mends that.
            return Outlet(_Unusable(error.message), None, 0)
        outlet = Outlet(sender, decode_integration(row.document).rate, row.revision)
        with self._lock:
            before = self._open.get((space, integration_id))
            self._open[space, integration_id] = outlet
        if before is not None:
            before.sender.close()
        return outlet

    def close(self) -> None:
        """Close all senders."""
        with self._lock:
            every, self._open = list(self._open.values()), {}
        for outlet in every:
            outlet.sender.close()
