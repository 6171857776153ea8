"""What the calls of integrations, events and campaigns answer."""

from __future__ import annotations

from typing import Any

import msgspec

from traitbase.api.wire import time_of
from traitbase.domain.campaigns import Reason, ScheduleKind, decode_campaign, decode_reason
from traitbase.domain.events import decode_event
from traitbase.domain.integrations import decode_integration, kind_of
from traitbase.domain.spaces import Workspace
from traitbase.services.campaigns.calls import Fired, Queued
from traitbase.services.campaigns.events import Preview
from traitbase.services.campaigns.ports import CampaignRow, EventRow, IntegrationRow, Message, RunRow
from traitbase.services.campaigns.reporting import ChannelReport, RunReport, counts_of


def integration_answer(row: IntegrationRow, secret_names: tuple[str, ...]) -> dict[str, Any]:
    """Return an integration. Of its secrets it is only said which there are."""
    integration = decode_integration(row.document)
    settings = msgspec.to_builtins(integration.settings)
    settings.pop("type", None)
    return {
        "integration_id": row.integration_id,
        "name": row.name,
        "kind": kind_of(integration).value,
        "rate": integration.rate,
        "settings": settings,
        "secrets": list(secret_names),
        "hook": f"/v1/hooks/{row.integration_id}",
        **_times(row),
    }


def event_answer(row: EventRow) -> dict[str, Any]:
    """Return an event, in the form in which it is sent."""
    return {"event_id": row.event_id, **msgspec.to_builtins(decode_event(row.document)), **_times(row)}


def preview_answer(preview: Preview) -> dict[str, Any]:
    """Return what somebody would be sent on a channel."""
    message = None if preview.message is None else message_answer(preview.message)
    return {
        "channel": preview.channel,
        "message": message,
        "unknown": list(preview.unknown),
        "error": preview.error,
        "has_destination": preview.has_destination,
    }


def message_answer(message: Message) -> dict[str, Any]:
    """Return a message."""
    return {
        "destinations": list(message.destinations),
        "subject": message.subject,
        "html": message.html,
        "text": message.text,
        "headers": dict(message.headers),
    }


def fired_answer(fired: Fired, *, bulk: bool) -> dict[str, Any]:
    """Return what a call put into the ledger, in Fyno's shapes."""
    entries = [{entry.channel: _queued(entry) for entry in recipient} for recipient in fired.recipients]
    response: Any = entries[0]
    if bulk:
        response = [{"seq": seq, **entry} for seq, entry in enumerate(entries, 1)]
    return {
        "event": fired.event,
        "received_time": time_of(fired.at_us),
        "request_id": fired.request_id,
        "response": response,
    }


def campaign_answer(row: CampaignRow, workspace: Workspace) -> dict[str, Any]:
    """Return a campaign. Its times are in UTC; `timezone` is the zone that counts where a recipient has none."""
    campaign = decode_campaign(row.document)
    schedule = {key: value for key, value in msgspec.to_builtins(campaign.schedule).items() if key != "at_us"}
    if campaign.schedule.kind is ScheduleKind.AT and campaign.schedule.at_us is not None:
        schedule["at"] = time_of(campaign.schedule.at_us)
    options = msgspec.to_builtins(campaign.options)
    quiet = options.pop("quiet", None)
    if quiet is not None:
        options["quiet_hours"] = {
            "from": quiet["begins"], "to": quiet["ends"], "then": "drop" if quiet["drop"] else "delay"
        }  # fmt: skip
    return {
        "campaign_id": row.campaign_id,
        "name": row.name,
        "state": row.state.value,
        "held": reason_answer(decode_reason(row.held)),
        "event_id": campaign.event_id,
        "audience": msgspec.to_builtins(campaign.audience),
        "schedule": schedule,
        "options": options,
        "timezone": workspace.timezone,
        "next_run_at": None if row.next_at_us is None else time_of(row.next_at_us),
        "run_id": row.run_id,
        **_times(row),
    }


def reason_answer(reason: Reason | None) -> dict[str, str] | None:
    """Return why something is as it is."""
    return None if reason is None else {"code": reason.code, "message": reason.message}


def run_answer(run: RunRow) -> dict[str, Any]:
    """Return a run."""
    counts = counts_of(run)
    return {
        "run_id": run.run_id,
        "campaign_id": run.campaign_id,
        "kind": run.kind.value,
        "state": run.state.value,
        "reason": reason_answer(decode_reason(run.reason)),
        "planned_at": time_of(run.planned_at_us),
        "started_at": None if run.started_at_us is None else time_of(run.started_at_us),
        "finished_at": None if run.finished_at_us is None else time_of(run.finished_at_us),
        "members": run.members,
        "control": 0 if counts is None else counts.control,
        "outside_sample": 0 if counts is None else counts.outside,
        "zones_replaced": 0 if counts is None else counts.zones_replaced,
    }


def report_answer(report: RunReport) -> dict[str, Any]:
    """Return what became of a run. Its hours begin at the given instants (UTC); `timezone` is the workspace's."""
    return {
        "run": run_answer(report.run),
        "timezone": report.zone,
        "total": _channel(report.total),
        "channels": {name: _channel(each) for name, each in sorted(report.channels.items())},
        "hours": [
            {"from": time_of(at_us), "state": state, "deliveries": number} for at_us, state, number in report.hours
        ],
    }


def _channel(report: ChannelReport) -> dict[str, Any]:
    return {
        "planned": report.planned,
        "sent": report.sent,
        "states": dict(sorted(report.states.items())),
        "failed": dict(sorted(report.failed.items())),
        "not_sent": dict(sorted(report.not_sent.items())),
        "opened": report.opened,
        "clicked": report.clicked,
        "unsubscribed": report.unsubscribed,
        "complained": report.complained,
    }


def _queued(entry: Queued) -> dict[str, Any]:
    if entry.destination is None:
        message = f"the recipient has no destination on the channel {entry.channel} at this moment"
        return {"destination": None, "msg_id": entry.msg_id, "status": "error", "_message": message}
    return {"destination": entry.destination, "msg_id": entry.msg_id, "status": "ok"}


def _times(row: IntegrationRow | EventRow | CampaignRow) -> dict[str, Any]:
    return {
        "revision": row.revision,
        "created_at": time_of(row.created_at_us),
        "updated_at": time_of(row.updated_at_us),
    }
