"""Making, launching, pausing, resuming and ending campaigns; and starting what is due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from traitbase.domain.campaign_bodies import CampaignDraft, Launch, Recipient
from traitbase.domain.campaigns import (
    Campaign,
    CampaignState,
    Options,
    Reason,
    RunKind,
    RunState,
    Schedule,
    ScheduleKind,
    check_may_become,
    decode_campaign,
    encode_campaign,
    encode_reason,
    new_campaign_id,
    new_run_id,
)
from traitbase.domain.deliveries import DeliveryState
from traitbase.domain.destinations import Channel
from traitbase.domain.errors import Conflict, Fault, InvalidInput, NotFound
from traitbase.domain.events import Event, decode_event
from traitbase.domain.forms import raise_faults
from traitbase.domain.integrations import Sandbox, decode_integration, sends_on
from traitbase.domain.revisions import check_revision
from traitbase.domain.schedules import LATE_SECONDS_MAX, is_stale
from traitbase.domain.spaces import Space
from traitbase.services.campaigns.audiences import member_key
from traitbase.services.campaigns.ports import (
    CampaignRow,
    CampaignStore,
    DeliveryRow,
    EventRow,
    PageRow,
    RunPlan,
    RunRow,
    Turn,
)
from traitbase.services.campaigns.preparing import URGENCY_OF_CALLS
from traitbase.services.campaigns.states import campaign_of, finish_if_done, move, next_run_us

EARLIEST_ZONE = timedelta(hours=14)
"""The clocks of Kiritimati are the first to show any time."""

_S = CampaignState
_encode = msgspec.json.Encoder(decimal_format="number").encode
_STARTED_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Steering:
    """What a person does with campaigns, and what the clock does. `public_url`: under which people reach the server."""

    store: CampaignStore
    now_us: Callable[[], int]
    public_url: str

    def create(self, space: Space, draft: CampaignDraft) -> CampaignRow:
        """Store a new campaign, a draft. Raises InvalidInput for what it names that is not there, Conflict."""
        self._check(space, draft.campaign)
        now_us = self.now_us()
        document = encode_campaign(draft.campaign)
        with self.store.turn() as turn:
            row = CampaignRow(
                new_campaign_id(), draft.name, document, _S.DRAFT, None, None, None, turn.epoch(), 1, now_us, now_us
            )
            turn.add_campaign(space, row)
        return row

    def edit(self, space: Space, campaign_id: str, draft: CampaignDraft) -> CampaignRow:
        """Replace a draft.

        Raises as `create`, NotFound, and Conflict: `wrong_state` for what is no draft any more, `lost_race` if it is at
        another revision than the one that was sent.
        """
        self._check(space, draft.campaign)
        with self.store.turn() as turn:
            row = self._locked(turn, space, campaign_id)
            if row.state is not _S.DRAFT:
                message = f"the campaign is {row.state}: only a draft can be changed (unschedule one that is scheduled)"
                raise Conflict(message, code="wrong_state")
            check_revision("campaign", row.revision, draft.revision)
            row = row._replace(name=draft.name, document=encode_campaign(draft.campaign))
            return move(turn, space, row, row.state, self.now_us())

    def delete(self, space: Space, campaign_id: str) -> None:
        """Delete a draft. What was sent is never deleted. Raises NotFound, Conflict."""
        with self.store.turn() as turn:
            row = self._locked(turn, space, campaign_id)
            if row.state is not _S.DRAFT:
                message = f"the campaign is {row.state}: only a draft can be deleted; cancel one that is to be sent"
                raise Conflict(message, code="wrong_state")
            turn.delete_campaign(space, campaign_id)

    def launch(self, space: Space, campaign_id: str, launch: Launch) -> CampaignRow:
        """Schedule a campaign, for now or for later.

        Raises NotFound, Conflict (`wrong_state`, `lost_race` if it or its event is not as it was looked at),
        InvalidInput for a time that passed and for what cannot be sent.
        """
        now_us = self.now_us()
        row = self._found(space, campaign_id)
        campaign = decode_campaign(row.document)
        if row.state is not _S.DRAFT:
            message = f"the campaign is {row.state}: only a draft can be launched; make another one to send it again"
            raise Conflict(message, code="wrong_state")
        check_revision("campaign", row.revision, launch.revision)
        self._check(space, campaign)
        event = self._event(space, campaign.event_id)
        check_revision("event", event.revision, launch.event_revision)
        self._check_can_be_sent(space, decode_event(event.document))
        next_at_us = first_run_us(campaign, now_us=now_us)
        campaign = msgspec.structs.replace(campaign, expected_count=launch.expected_count, tolerance=launch.tolerance)
        with self.store.turn() as turn:
            current = self._locked(turn, space, campaign_id)
            if current.revision != row.revision:
                raise Conflict("the campaign was changed meanwhile: read it again", code="lost_race")
            current = current._replace(document=encode_campaign(campaign), epoch=turn.epoch())
            return move(turn, space, current, _S.SCHEDULED, now_us, held=None, next_at_us=next_at_us)

    def unschedule(self, space: Space, campaign_id: str) -> CampaignRow:
        """Make a scheduled campaign a draft again. Raises NotFound, Conflict."""
        with self.store.turn() as turn:
            row = self._locked(turn, space, campaign_id)
            check_may_become(row.state, _S.DRAFT, doing="made a draft again")
            return move(turn, space, row, _S.DRAFT, self.now_us(), held=None, next_at_us=None)

    def pause(self, space: Space, campaign_id: str) -> CampaignRow:
        """Stop handing over messages. What is under way is written down. Raises NotFound, Conflict."""
        now_us = self.now_us()
        held = encode_reason(Reason("by_person", "somebody paused it"))
        with self.store.turn() as turn:
            row = self._locked(turn, space, campaign_id)
            check_may_become(row.state, _S.PAUSED, doing="paused")
            run = None if row.run_id is None else turn.run(space, row.run_id)
            if run is not None and run.state is RunState.PREPARING:
                message = "its audience is being resolved: pause it in a moment, or cancel it"
                raise Conflict(message, code="wrong_state")
            if run is not None and run.state is RunState.RUNNING:
                turn.put_run(space, run._replace(state=RunState.PAUSED, reason=held, active_at_us=now_us))
            return move(turn, space, row, _S.PAUSED, now_us, held=held)

    def resume(self, space: Space, campaign_id: str) -> CampaignRow:
        """Go on with a campaign that is paused, or start one now that is held. Raises NotFound, Conflict."""
        now_us = self.now_us()
        with self.store.turn() as turn:
            row = self._locked(turn, space, campaign_id)
            epoch = turn.epoch()
            if row.state is _S.SCHEDULED:
                if row.held is None:
                    raise Conflict("nothing holds the campaign: it starts when it is time", code="wrong_state")
                late = row.next_at_us is not None and row.next_at_us < now_us
                next_at_us = now_us if late else row.next_at_us
                return move(turn, space, row, row.state, now_us, held=None, next_at_us=next_at_us, epoch=epoch)
            if row.state is not _S.PAUSED:
                raise Conflict(
                    f"the campaign is {row.state}: only one that is paused can be resumed", code="wrong_state"
                )
            row = move(turn, space, row, _S.RUNNING, now_us, held=None, epoch=epoch)
            run = None if row.run_id is None else turn.run(space, row.run_id)
            if run is not None and run.finished_at_us is None:
                self._go_on(turn, space, row, run, epoch, now_us)
                return turn.campaign(space, campaign_id) or row
            return row

    def skip(self, space: Space, campaign_id: str) -> CampaignRow:
        """Leave out the run that is due of a campaign that recurs. Raises NotFound, Conflict."""
        now_us = self.now_us()
        with self.store.turn() as turn:
            row = self._locked(turn, space, campaign_id)
            if row.state is not _S.SCHEDULED or row.next_at_us is None:
                raise Conflict(
                    f"the campaign is {row.state}: only a scheduled one has a run to skip", code="wrong_state"
                )
            next_at_us = next_run_us(decode_campaign(row.document), after_us=max(now_us, row.next_at_us))
            if next_at_us is None:
                raise Conflict("the campaign does not recur after that: cancel it", code="wrong_state")
            return move(turn, space, row, row.state, now_us, held=None, next_at_us=next_at_us, epoch=turn.epoch())

    def cancel(self, space: Space, campaign_id: str) -> CampaignRow:
        """End a campaign: what was not handed over is cancelled. Raises NotFound, Conflict."""
        now_us = self.now_us()
        with self.store.turn() as turn:
            row = self._locked(turn, space, campaign_id)
            check_may_become(row.state, _S.CANCELLED, doing="cancelled")
            run = None if row.run_id is None else turn.run(space, row.run_id)
            if run is not None and run.finished_at_us is None:
                cancel_run(turn, space, run, now_us=now_us)
            return move(turn, space, row, _S.CANCELLED, now_us, held=None, next_at_us=None)

    def test(self, space: Space, campaign_id: str, recipients: Sequence[Recipient]) -> RunRow:
        """Send a campaign's event to a few people, beside it. Raises NotFound, InvalidInput."""
        row = self._found(space, campaign_id)
        event_row = self._event(space, decode_campaign(row.document).event_id)
        return self._fire(space, row, event_row, recipients)

    def start_due(self) -> int:
        """Start the runs that are due, or hold those that should surprise nobody. Returns how many were looked at."""
        due = self.store.find_due_campaigns(now_us=self.now_us(), limit=_STARTED_AT_ONCE)
        for space, row in due:
            self._start(space, row)
        return len(due)

    def hold_stale(self) -> int:
        """Pause runs that were interrupted for so long that a person should look first. Returns how many."""
        now_us = self.now_us()
        stale = self.store.find_stale(before_us=now_us - LATE_SECONDS_MAX * 1_000_000)
        message = (
            "it stood still for more than an hour (an outage, or a restored copy): look at it, then resume or cancel"
        )
        held = encode_reason(Reason("interrupted", message))
        for space, run in stale:
            with self.store.turn() as turn:
                campaign = campaign_of(turn, space, run)
                current = turn.run(space, run.run_id)
                if current is None or current.state is not RunState.RUNNING or current.active_at_us != run.active_at_us:
                    continue
                turn.put_run(space, current._replace(state=RunState.PAUSED, reason=held, active_at_us=now_us))
                if campaign is not None and campaign.state is _S.RUNNING:
                    move(turn, space, campaign, _S.PAUSED, now_us, held=held)
        return len(stale)

    def begin_epoch(self, reason: str) -> int:
        """Hold everything that was going on or is scheduled, because this is a restored copy. Returns how many runs."""
        message = f"{reason}: what it says was not sent may have been; look at it, then resume or cancel"
        held = encode_reason(Reason("restored", message))
        with self.store.turn() as turn:
            turn.raise_epoch(reason=reason, at_us=self.now_us())
            return turn.pause_everything(reason=held, at_us=self.now_us())

    def release_calls(self, *, cancel: bool) -> int:
        """Go on with the calls that `begin_epoch` held, or cancel them. Returns how many."""
        now_us, released = self.now_us(), 0
        while True:
            with self.store.turn() as turn:
                held = turn.runs_of_calls(limit=_STARTED_AT_ONCE)
                for space, run in held:
                    if cancel:
                        cancel_run(turn, space, run, now_us=now_us)
                    else:
                        turn.put_run(space, run._replace(state=RunState.RUNNING, reason=None, epoch=turn.epoch()))
            released += len(held)
            if not held:
                return released

    def _start(self, space: Space, found: CampaignRow) -> None:
        campaign = decode_campaign(found.document)
        event_row = self.store.find_event(space, campaign.event_id)
        now_us = self.now_us()
        with self.store.turn() as turn:
            row = turn.campaign(space, found.campaign_id)
            if row is None or row.revision != found.revision or row.next_at_us is None:
                return
            epoch = turn.epoch()
            held = _held(row, epoch, now_us)
            if held is not None:
                move(turn, space, row, row.state, now_us, held=encode_reason(held))
                return
            if event_row is None:
                reason = encode_reason(Reason("event_deleted", "its event is gone"))
                move(turn, space, row, _S.FAILED, now_us, held=reason, next_at_us=None)
                return
            plan = _plan(event_row, campaign.options, campaign.schedule, row.name)
            run = _run(row.campaign_id, RunKind.CAMPAIGN, RunState.PREPARING, plan, row.next_at_us, now_us, epoch)
            if turn.add_run(space, run):
                move(turn, space, row, _S.RUNNING, now_us, run_id=run.run_id, next_at_us=None)
            else:  # that time was sent already: a run that a person let go on
                next_at_us = next_run_us(campaign, after_us=row.next_at_us)
                state = _S.SCHEDULED if next_at_us is not None else _S.FAILED
                move(turn, space, row, state, now_us, next_at_us=next_at_us)

    def _fire(
        self,
        space: Space,
        row: CampaignRow,
        event_row: EventRow,
        recipients: Sequence[Recipient],
    ) -> RunRow:
        now_us = self.now_us()
        options = Options()  # a test goes at once, and counts for nobody
        plan = _plan(event_row, options, None, row.name)
        with self.store.turn() as turn:
            run = _run(row.campaign_id, RunKind.TEST, RunState.RUNNING, plan, now_us, now_us, turn.epoch())
            run = run._replace(members=len(recipients), started_at_us=now_us)
            add_direct_run(turn, space, run, plan.event, recipients, now_us=now_us, is_test=True)
        return run

    def _go_on(self, turn: Turn, space: Space, row: CampaignRow, run: RunRow, epoch: int, now_us: int) -> None:
        if run.counts is None:  # its audience was not resolved to the end
            turn.put_run(space, run._replace(state=RunState.PREPARING, reason=None, owner=None, epoch=epoch))
            return
        run = run._replace(state=RunState.RUNNING, reason=None, epoch=epoch, active_at_us=now_us)
        finish_if_done(turn, space, row, run, now_us=now_us)

    def _check(self, space: Space, campaign: Campaign) -> None:
        faults: list[Fault] = []
        if self.store.find_event(space, campaign.event_id) is None:
            faults.append(Fault("event_id", "there is no such event; GET …/events lists them"))
        audience = campaign.audience
        for path, each in (
            ("audience.cohort_id", audience.cohort_id),
            *(("audience.exclude", e) for e in audience.exclude),
        ):
            if each is not None and self.store.find_cohort(space, each) is None:
                faults.append(Fault(path, f"there is no cohort {each!r}; GET …/cohorts lists them"))
        if audience.file_id is not None and not self.store.count_audience(space, audience.file_id):
            faults.append(Fault("audience.file_id", "there is no such file, or it has no valid row"))
        raise_faults(faults)

    def _check_can_be_sent(self, space: Space, event: Event) -> None:
        faults = faults_of_channels(self.store, space, event)
        if not self.public_url and not faults and event.is_marketing and Channel.EMAIL.value in event.channels:
            row = self.store.find_integration(space, event.channels[Channel.EMAIL.value].integration_id)
            if row is not None and not isinstance(decode_integration(row.document).settings, Sandbox):
                message = (
                    "marketing email has a link to unsubscribe: set TRAITBASE_PUBLIC_URL to the address under which "
                    "its recipients reach this server"
                )
                faults.append(Fault("event_id", message))
        raise_faults(faults, code="cannot_be_sent")

    def _event(self, space: Space, event_id: str) -> EventRow:
        row = self.store.find_event(space, event_id)
        if row is None:
            raise InvalidInput(
                "event_id: there is no such event any more", faults=(Fault("event_id", "there is no such event"),)
            )
        return row

    def _found(self, space: Space, campaign_id: str) -> CampaignRow:
        row = self.store.find_campaign(space, campaign_id)
        if row is None:
            raise unknown_campaign(campaign_id)
        return row

    @staticmethod
    def _locked(turn: Turn, space: Space, campaign_id: str) -> CampaignRow:
        row = turn.campaign(space, campaign_id)
        if row is None:
            raise unknown_campaign(campaign_id)
        return row


def faults_of_channels(store: CampaignStore, space: Space, event: Event) -> list[Fault]:
    """Return what keeps an event's channels from being sent."""
    faults = []
    for channel, template in event.channels.items():
        path = f"channels.{channel}.integration_id"
        row = store.find_integration(space, template.integration_id)
        if row is None:
            faults.append(Fault(path, "there is no such integration; GET …/integrations lists them"))
        elif not sends_on(decode_integration(row.document), Channel(channel)):
            faults.append(Fault(path, f"the integration {row.name!r} does not send on {channel}"))
    return faults


def first_run_us(campaign: Campaign, *, now_us: int) -> int:
    """Return when a campaign that is launched runs first. Raises InvalidInput for a time that passed."""
    schedule = campaign.schedule
    now = datetime.fromtimestamp(now_us / 1_000_000, UTC)
    match schedule.kind:
        case ScheduleKind.AT if schedule.at_us is not None:
            if is_stale(datetime.fromtimestamp(schedule.at_us / 1_000_000, UTC), now=now):
                raise _passed("schedule.at", "is more than an hour ago: choose another time, or send it now")
            return schedule.at_us
        case ScheduleKind.LOCAL if schedule.local is not None:
            local = datetime.fromisoformat(schedule.local).replace(tzinfo=UTC)
            if local + timedelta(hours=12) < now:
                raise _passed("schedule.local", "has passed in every time zone: choose another time, or send it now")
            return max(int((local - EARLIEST_ZONE).timestamp()) * 1_000_000, now_us)
        case ScheduleKind.RECURRING:
            found = next_run_us(campaign, after_us=now_us - 1)
            if found is None:
                raise _passed("schedule.rule", "has no time left that it meets")
            return found
        case _:
            return now_us


def add_direct_run(
    turn: Turn,
    space: Space,
    run: RunRow,
    event: Event,
    recipients: Sequence[Recipient],
    *,
    now_us: int,
    is_test: bool = False,
) -> list[DeliveryRow]:
    """Store a run with its few deliveries, ready to be sent, and return them: for each recipient one a channel.

    Nobody may be among the recipients twice.
    """
    rows: list[DeliveryRow] = []
    keyed = sorted((member_key(each), position) for position, each in enumerate(recipients))
    for key, position in keyed:
        recipient = recipients[position]
        for channel in event.ledger_channels:
            destinations = _encode(recipient.destinations).decode() if recipient.destinations else None
            data = _encode(recipient.data).decode() if recipient.data else None
            number = len(rows)
            is_marketing = int(event.is_marketing and not is_test)
            rows.append(
                DeliveryRow(
                    run.run_id, key, channel, number, DeliveryState.PLANNED, None, None, None, None, destinations,
                    data, is_marketing, now_us, 0, None, None, None,
                )
            )  # fmt: skip
    turn.add_run(space, run)
    turn.add_deliveries(space, rows)
    turn.add_pages(space, [PageRow(run.run_id, 0, keyed[0][0], keyed[-1][0], URGENCY_OF_CALLS, now_us, None)])
    return rows


def cancel_run(turn: Turn, space: Space, run: RunRow, *, now_us: int) -> None:
    """End a run: what was not handed over is cancelled, what is under way is written down when it is known."""
    turn.cancel_planned(space, run.run_id, reason="cancelled", at_us=now_us)
    turn.put_run(space, run._replace(state=RunState.CANCELLED, finished_at_us=now_us, owner=None))


def unknown_campaign(campaign_id: str) -> NotFound:
    """Return the error for an id that is no campaign's."""
    return NotFound(f"there is no campaign {campaign_id[:80]!r} here", code="campaign_not_found")


def _held(row: CampaignRow, epoch: int, now_us: int) -> Reason | None:
    """Return why a campaign whose time has come is not started by itself."""
    if row.epoch != epoch:
        return Reason("restored", "this is a restored copy: resume it if it was not sent before, or cancel it")
    planned_at = datetime.fromtimestamp((row.next_at_us or now_us) / 1_000_000, UTC)
    if is_stale(planned_at, now=datetime.fromtimestamp(now_us / 1_000_000, UTC)):
        message = (
            f"it was planned for {planned_at:%Y-%m-%d %H:%M} UTC, more than an hour ago: resume it to send it now, or "
            "cancel it"
        )
        return Reason("stale_schedule", message)
    return None


def _plan(event_row: EventRow, options: Options, schedule: Schedule | None, campaign_name: str | None) -> RunPlan:
    return RunPlan(decode_event(event_row.document), event_row.event_id, options, schedule, campaign_name)


def _run(
    campaign_id: str | None,
    kind: RunKind,
    state: RunState,
    plan: RunPlan,
    planned_at_us: int,
    now_us: int,
    epoch: int,
    run_id: str | None = None,
) -> RunRow:
    text = _encode(plan).decode()
    return RunRow(
        run_id or new_run_id(), campaign_id, kind, state, None, text, planned_at_us, None, None, now_us, 0, None, epoch,
        None,
    )  # fmt: skip


def run_of_call(run_id: str, plan: RunPlan, *, members: int, now_us: int, epoch: int) -> RunRow:
    """Return the run of a call of the API."""
    run = _run(None, RunKind.CALL, RunState.RUNNING, plan, now_us, now_us, epoch, run_id)
    return run._replace(members=members, started_at_us=now_us)


def _passed(path: str, message: str) -> InvalidInput:
    return InvalidInput(f"{path} {message}", faults=(Fault(path, message),), code="schedule_passed")
