"""Senders: what carries messages to a mail server, a URL, or another service."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from traitbase.domain.integrations import AppriseService, Smtp, Webhook, decode_integration
from traitbase.domain.spaces import Space
from traitbase.services.campaigns.ports import CampaignStore, IntegrationRow, OpenSender, Sender


def sender_opener(store: CampaignStore, *, now_us: Callable[[], int], allowed_networks: str) -> OpenSender:
    """Return what opens senders. `allowed_networks`: private ones that webhooks may reach (CIDR, with commas)."""

    def open_sender(space: Space, row: IntegrationRow, secrets: Mapping[str, str]) -> Sender:
        match decode_integration(row.document).settings:
            case Smtp() as settings:
                from traitbase.senders.smtp import SmtpSender  # noqa: PLC0415  # only who uses it loads it

                return SmtpSender(settings, secrets.get("password"))
            case Webhook() as settings:
                from traitbase.senders.webhook import WebhookSender, networks_of  # noqa: PLC0415  # only who uses it loads it

                signing_secret = secrets.get("signing_secret", "")
                return WebhookSender(settings.url, signing_secret, networks_of(allowed_networks), now_us=now_us)
            case AppriseService():
                from traitbase.senders.through_apprise import AppriseSender  # noqa: PLC0415  # only who uses it loads it

                return AppriseSender(secrets.get("url", ""))
            case _:
                from traitbase.senders.sandbox import SandboxSender  # noqa: PLC0415  # only who uses it loads it

                return SandboxSender(store, space, row.integration_id, now_us=now_us)

    return open_sender
