"""Integrations of a space: made, changed, tried and deleted. Secrets go in and never come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from traitbase.domain.destinations import Channel, find_key, invalid_destination
from traitbase.domain.errors import Conflict, Fault, InvalidInput, NotFound, Refused
from traitbase.domain.events import decode_event
from traitbase.domain.forms import Form
from traitbase.domain.integrations import (
    Integration,
    Sandbox,
    check_sends_on,
    decode_integration,
    encode_integration,
    kind_of,
    new_integration_id,
    new_signing_secret,
    parse_integration,
)
from traitbase.domain.revisions import check_revision
from traitbase.domain.spaces import Space
from traitbase.domain.values import JsonValue
from traitbase.services.campaigns.outlets import Outlets
from traitbase.services.campaigns.ports import CampaignStore, IntegrationRow, Message, Outcome
from traitbase.services.campaigns.sealing import Vault
from traitbase.services.cohorts.stored import named

SANDBOX_ID = "sandbox"
"""The integration that a space has until somebody makes one."""


@dataclass(frozen=True, slots=True)
class Made:
    """An integration, and what is shown once: the signing secret, if it was made here."""

    row: IntegrationRow
    signing_secret: str | None


@dataclass(frozen=True, slots=True)
class Integrations:
    """What a person does with integrations."""

    store: CampaignStore
    vault: Vault
    outlets: Outlets
    now_us: Callable[[], int]

    def list(self, space: Space) -> list[IntegrationRow]:
        """Return the space's integrations; a new space has a sandbox."""
        rows = self.store.list_integrations(space)
        if not rows:
            self._add_sandbox(space)
            rows = self.store.list_integrations(space)
        return rows

    def get(self, space: Space, integration_id: str) -> IntegrationRow:
        """Return an integration. Raises NotFound."""
        row = self.store.find_integration(space, integration_id)
        if row is None and integration_id == SANDBOX_ID and not self.store.list_integrations(space):
            self._add_sandbox(space)
            row = self.store.find_integration(space, integration_id)
        if row is None:
            raise NotFound(f"there is no integration {integration_id[:80]!r} here", code="integration_not_found")
        return row

    def create(self, space: Space, body: JsonValue) -> Made:
        """Store a new integration. Raises InvalidInput naming every fault, Conflict if its name is taken."""
        self.list(space)
        draft = parse_integration(body)
        secrets, shown = dict(draft.secrets), None
        if "signing_secret" not in secrets:
            shown = secrets["signing_secret"] = new_signing_secret()
        now_us = self.now_us()
        document = encode_integration(draft.integration)
        row = IntegrationRow(new_integration_id(), draft.name, document, self.vault.seal(secrets), 1, now_us, now_us)
        self.store.save_integration(space, row)
        return Made(row, shown)

    def replace(self, space: Space, integration_id: str, body: JsonValue) -> IntegrationRow:
        """Replace an integration; secrets that are not sent stay.

        Raises NotFound, InvalidInput, Conflict, also if it is at another revision than the one that was sent.
        """
        row = self.get(space, integration_id)
        before = self._secrets_if_ours(row)
        same_kind = isinstance(body, dict) and body.get("kind") == kind_of(decode_integration(row.document))
        draft = parse_integration(body, has_secrets=frozenset(before) if same_kind else frozenset(), is_edit=True)
        check_revision("integration", row.revision, draft.revision)
        kept = before if same_kind else {name: each for name, each in before.items() if name == "signing_secret"}
        sealed = self.vault.seal({**kept, **draft.secrets})
        row = row._replace(
            name=draft.name,
            document=encode_integration(draft.integration),
            secrets=sealed,
            revision=row.revision + 1,
            updated_at_us=self.now_us(),
        )
        self.store.save_integration(space, row)
        return row

    def delete(self, space: Space, integration_id: str) -> None:
        """Delete an integration. Raises NotFound, Conflict (`integration_in_use`) naming the events that use it."""
        users = [
            row.name
            for row in self.store.list_events(space)
            if any(each.integration_id == integration_id for each in decode_event(row.document).channels.values())
        ]
        if users:
            message = f"the integration is used by {named(users)}: let them use another one first"
            raise Conflict(message, code="integration_in_use")
        if not self.store.delete_integration(space, integration_id):
            raise NotFound(f"there is no integration {integration_id[:80]!r} here", code="integration_not_found")

    def test(self, space: Space, integration_id: str, body: JsonValue, *, delivery_id: str) -> Outcome:
        """Send one message to a destination, and return what the provider made of it. Raises NotFound, InvalidInput."""
        row = self.get(space, integration_id)
        form = Form(body)
        channel = form.word("channel", Channel, otherwise=Channel.EMAIL)
        destination = form.text("destination", characters=2_048)
        form.end()
        if find_key(channel, destination) is None:
            fault = Fault("destination", f"expected a destination of the channel {channel}")
            raise InvalidInput(invalid_destination(channel), faults=(fault,), code="invalid_destination")
        check_sends_on(decode_integration(row.document), channel, path="channel")
        outlet = self.outlets.find(space, integration_id)
        if isinstance(outlet, str):
            raise InvalidInput(outlet, code="cannot_be_sent")
        text = f"This is a test of the integration “{row.name}” of Traitbase. If you read this, it works."
        about: dict[str, Any] = {"distinct_id": None, "event": "test", "campaign_id": None, "data": {}}
        message = Message(delivery_id, channel.value, (destination,), "A test of Traitbase", None, text, (), about)
        return outlet.sender.send(message)

    def signing_secret(self, space: Space, integration_id: str) -> str | None:
        """Return by what a provider signs what it tells; None: there is no such integration, or no secret."""
        row = self.store.find_integration(space, integration_id)
        return None if row is None else self.vault.open(row.secrets).get("signing_secret")

    def secret_names(self, row: IntegrationRow) -> tuple[str, ...]:
        """Return which secrets an integration has."""
        return tuple(sorted(self._secrets_if_ours(row)))

    def _secrets_if_ours(self, row: IntegrationRow) -> dict[str, str]:
        try:
            return self.vault.open(row.secrets)
        except Refused:  # sealed with another key: they are entered again
            return {}

    def _add_sandbox(self, space: Space) -> None:
        now_us = self.now_us()
        document = encode_integration(Integration(Sandbox()))
        sealed = self.vault.seal({"signing_secret": new_signing_secret()})
        row = IntegrationRow(SANDBOX_ID, "Sandbox", document, sealed, 1, now_us, now_us)
        try:
            self.store.save_integration(space, row)
        except Conflict:
            return  # another request made it
