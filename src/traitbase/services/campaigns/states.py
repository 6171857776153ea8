"""The steps of runs and campaigns from one state to another, each in the transaction that somebody opened."""

from __future__ import annotations

from datetime import UTC, datetime

from traitbase.domain.campaigns import (
    Campaign,
    CampaignState,
    Reason,
    RunKind,
    RunState,
    ScheduleKind,
    decode_campaign,
    encode_reason,
    may_become,
)
from traitbase.domain.schedules import parse_recurrence
from traitbase.domain.spaces import Space, find_zone
from traitbase.services.campaigns.ports import CampaignRow, CampaignStore, RunRow, Turn


def move(
    turn: Turn, space: Space, row: CampaignRow, state: CampaignState, now_us: int, **changes: object
) -> CampaignRow:
    """Store a campaign in another state, and return it. It must be one that may follow."""
    assert state is row.state or may_become(row.state, state), f"{row.state} cannot become {state}"
    moved = row._replace(state=state, revision=row.revision + 1, updated_at_us=now_us, **changes)  # type: ignore[arg-type]  # its own fields
    turn.put_campaign(space, moved)
    return moved


def finish_if_done(turn: Turn, space: Space, campaign: CampaignRow | None, run: RunRow, *, now_us: int) -> None:
    """Store a run; if there is nothing left to do, as finished, and its campaign with it, or scheduled again.

    Both are locked. `campaign` None: it is nobody's.
    """
    if run.state is not RunState.RUNNING or turn.has_open_pages(space, run.run_id):
        turn.put_run(space, run)
        return
    turn.put_run(space, run._replace(state=RunState.FINISHED, finished_at_us=now_us))
    if campaign is None or campaign.run_id != run.run_id or campaign.state is not CampaignState.RUNNING:
        return
    next_at_us = next_run_us(decode_campaign(campaign.document), after_us=run.planned_at_us)
    state = CampaignState.FINISHED if next_at_us is None else CampaignState.SCHEDULED
    move(turn, space, campaign, state, now_us, held=None, next_at_us=next_at_us)


def campaign_of(turn: Turn, space: Space, run: RunRow) -> CampaignRow | None:
    """Return the campaign that a run is a run of, locked; None for a test or a call."""
    if run.campaign_id is None or run.kind is not RunKind.CAMPAIGN:
        return None
    return turn.campaign(space, run.campaign_id)


def pause_run(store: CampaignStore, space: Space, run_id: str, reason: Reason, *, now_us: int) -> bool:
    """Pause a run that is running, and its campaign, with a reason that a person is shown. False: it is not running."""
    found = store.find_run(space, run_id)
    if found is None or found.campaign_id is None:
        return False
    with store.turn() as turn:
        campaign = turn.campaign(space, found.campaign_id)
        run = turn.run(space, run_id)
        if campaign is None or run is None or run.state is not RunState.RUNNING:
            return False
        held = encode_reason(reason)
        turn.put_run(space, run._replace(state=RunState.PAUSED, reason=held, active_at_us=now_us))
        if campaign.state is CampaignState.RUNNING and campaign.run_id == run_id:
            move(turn, space, campaign, CampaignState.PAUSED, now_us, held=held)
        return True


def fail_run(store: CampaignStore, space: Space, run_id: str, reason: Reason, *, now_us: int) -> None:
    """End a run, and its campaign, that cannot go on, with a reason that a person is shown."""
    found = store.find_run(space, run_id)
    if found is None:
        return
    with store.turn() as turn:
        campaign = None if found.campaign_id is None else turn.campaign(space, found.campaign_id)
        run = turn.run(space, run_id)
        if run is None or run.finished_at_us is not None:
            return
        told = encode_reason(reason)
        turn.put_run(space, run._replace(state=RunState.FAILED, reason=told, finished_at_us=now_us, owner=None))
        turn.cancel_planned(space, run_id, reason="failed", at_us=now_us)
        if campaign is not None and may_become(campaign.state, CampaignState.FAILED):
            move(turn, space, campaign, CampaignState.FAILED, now_us, held=told, next_at_us=None)


def next_run_us(campaign: Campaign, *, after_us: int) -> int | None:
    """Return when a campaign runs next after a time; None: it does not."""
    schedule = campaign.schedule
    if schedule.kind is not ScheduleKind.RECURRING:
        return None
    zone = find_zone(schedule.zone or "")
    if zone is None or schedule.local is None or schedule.rule is None:
        return None  # a zone may go out of use
    rule = parse_recurrence(schedule.rule, starts_at=datetime.fromisoformat(schedule.local), zone=zone)
    found = rule.after(datetime.fromtimestamp(after_us / 1_000_000, UTC), count=1)
    return int(found[0].timestamp()) * 1_000_000 if found else None
