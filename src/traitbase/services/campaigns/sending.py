"""Sending a page of deliveries: decide, note that it is being sent, hand over, write down what became of it.

That order is the promise. Before a provider is called, the delivery is `sending` in the ledger, durably; whoever finds
it so after a crash knows that nobody knows. In the same transaction it is asked whether the run still runs and the
page is still this worker's: a pause, a cancellation, a restored copy or another worker is never missed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import NamedTuple, TypeAlias

import msgspec

from traitbase.domain.campaigns import RunKind, RunState
from traitbase.domain.deliveries import DeliveryState, after_crash, retry_at
from traitbase.domain.errors import Refused
from traitbase.domain.events import AfterCrash, Event
from traitbase.domain.spaces import zone_of
from traitbase.services.campaigns.deciding import Deciding, Decision, RunAtHand, over
from traitbase.services.campaigns.health import Health
from traitbase.services.campaigns.outlets import Outlets
from traitbase.services.campaigns.ports import (
    CampaignStore,
    Claimed,
    DeliveryChange,
    DeliveryRow,
    Message,
    Outcome,
    OutcomeKind,
    RunPlan,
    RunRow,
    Sender,
    Turn,
)
from traitbase.services.campaigns.states import campaign_of, finish_if_done, pause_run

MESSAGES_AT_ONCE = 25
"""What one lane hands over at once: as many may be unconfirmed after a crash."""

_S = DeliveryState
_SETTLED_EVERY_SECONDS = 0.25
_WANTED_SECONDS = 0.05
_SETTLED_AGAIN_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
_TOLD_LATER = (_S.SENDING, _S.UNCONFIRMED)
_decode_plan = msgspec.json.Decoder(RunPlan).decode


class Handed(NamedTuple):
    """A delivery whose message was handed over, and what the provider made of it."""

    row: DeliveryRow
    integration_id: str
    outcome: Outcome


class _Ready(NamedTuple):
    """A message that may go, and by what."""

    decision: Decision
    message: Message
    sender: Sender
    rate: float | None


_Done: TypeAlias = "SimpleQueue[tuple[_Ready, Outcome | BaseException]]"


class Pace:
    """In how many threads messages are handed over: in few where a provider answers at once, for each costs time."""

    def __init__(self) -> None:
        self._threads = MESSAGES_AT_ONCE

    def parts_of(self, ready: Sequence[_Ready]) -> list[Sequence[_Ready]]:
        """Return messages in parts, one for each thread."""
        threads = min(self._threads, len(ready))
        return [ready[start::threads] for start in range(threads)]

    def note(self, messages: int, seconds: float) -> None:
        """Take in how long some took together."""
        threads = min(self._threads, messages)
        latency = seconds * threads / messages
        self._threads = min(max(round(messages * latency / _WANTED_SECONDS), 1), MESSAGES_AT_ONCE)


@dataclass(slots=True)
class SendingParts:
    """What sending needs."""

    store: CampaignStore
    deciding: Deciding
    outlets: Outlets
    health: Health
    pool: Executor
    now_us: Callable[[], int]
    may_begin: Callable[[], bool]
    may_hand_over: Callable[[], bool]
    chance: Callable[[], float] = field(default=random.random)
    pace: Pace = field(default_factory=Pace)


class PageWork:
    """One claimed page, from the claim to its release."""

    def __init__(self, parts: SendingParts, claimed: Claimed) -> None:
        self._parts = parts
        self._space, self._page, run = claimed
        workspace = parts.store.find_workspace(self._space.workspace_id)
        assert workspace is not None, "its data is there"
        self._run = RunAtHand(self._space, run, _decode_plan(run.plan), zone_of(workspace))
        self._event = self._run.plan.event
        self._settled: list[DeliveryChange] = []
        self._being_written = 0
        self._come_again_us: int | None = None

    def do(self) -> None:
        """Do what is to be done on the page now, and give it back. Raises Refused if the storage cannot be used."""
        try:
            for rows in self._steps():
                if not self._parts.may_begin() or not self._send(rows):
                    break
            self._release()
        except Refused:
            self._settle_at_last()
            raise

    def _steps(self) -> Iterator[Sequence[DeliveryRow]]:
        rows = self._parts.store.read_page(self._space, self._page, due_by_us=self._parts.now_us())
        for start in range(0, len(rows), MESSAGES_AT_ONCE):
            yield rows[start : start + MESSAGES_AT_ONCE]

    def _send(self, rows: Sequence[DeliveryRow]) -> bool:
        """Send some deliveries; False: leave the page."""
        decisions = self._parts.deciding.decide(self._run, rows)
        ready, failed = self._ready(decisions)
        others = [*(each for each in decisions if each.message is None), *failed]
        goes_on = True
        while ready or others:
            marked = self._mark(ready, others)
            if marked is None:
                return False
            others = []
            if not marked and ready:
                return False  # its rate, or what carries it, says when to come again
            if marked:
                goes_on = self._hand_over(marked) and goes_on
            ready = ready[len(marked) :]
        return goes_on

    def _ready(self, decisions: Sequence[Decision]) -> tuple[list[_Ready], list[Decision]]:
        """Return what can be handed over, and what fails because there is nothing to carry it any more."""
        ids = {each.integration_id for each in decisions if each.integration_id is not None}
        outlets = {each: self._parts.outlets.find(self._space, each) for each in ids}
        ready, failed = [], []
        for decision in decisions:
            if decision.message is None or decision.integration_id is None:
                continue
            outlet = outlets[decision.integration_id]
            if isinstance(outlet, str):
                now_us = self._parts.now_us()
                failed.append(over(decision.row, _S.FAILED, "integration_missing", now_us, outlet))
            else:
                ready.append(_Ready(decision, decision.message, outlet.sender, outlet.rate))
        return ready, failed

    def _mark(self, ready: Sequence[_Ready], others: Sequence[Decision]) -> list[_Ready] | None:
        """Write down that messages are being sent. Returns which ones may go now; None: nothing here may any more."""
        now_us = self._parts.now_us()
        wait_seconds = max(
            (self._parts.health.seconds_to_wait(self._space, each) for each in _integrations(ready)), default=0.0
        )
        with self._turn() as turn:
            run = turn.run(self._space, self._run.row.run_id, to_change=False)
            holds = turn.holds_page(self._space, self._page)
            self._settle(turn)
            is_running = run is not None and run.state is RunState.RUNNING and run.epoch == turn.epoch()
            if not holds or not is_running:
                return None
            turn.change_deliveries(self._space, [_change(each) for each in others])
            if not ready:
                return []
            if wait_seconds > 0:
                self._come_again_us = now_us + int(wait_seconds * 1_000_000)
                return []
            going, at_us = self._within_rates(turn, ready, now_us)
            going = self._within_cap(turn, going, now_us)
            if not going:
                return []
            rows = [_sending(each.decision.row, now_us) for each in going]
            changes = [
                DeliveryChange(row, (_S.PLANNED,), each.decision.before.attempts)
                for row, each in zip(rows, going, strict=True)
            ]
            changed = turn.change_deliveries(self._space, changes)
        pause = (at_us - self._parts.now_us()) / 1_000_000
        if pause > 0:
            time.sleep(min(pause, 1.0))
        return [
            each._replace(decision=each.decision._replace(row=row))
            for each, row, was_planned in zip(going, rows, changed, strict=True)
            if was_planned
        ]

    def _within_rates(self, turn: Turn, ready: Sequence[_Ready], now_us: int) -> tuple[list[_Ready], int]:
        """Return what the rates of the run and of what carries it allow within a second, and from when on."""
        rates = {f"run {self._run.row.run_id}": self._run.plan.options.rate}
        rates.update({each.decision.integration_id or "": each.rate for each in ready})
        allowed, at_us = len(ready), now_us
        for of_id in sorted(rates):
            rate = rates[of_id]
            if rate is None:
                continue
            slots = turn.take_slots(self._space, of_id, wanted=allowed, rate=rate, now_us=now_us)
            if not slots.messages:
                self._come_again_us = slots.at_us
                return [], slots.at_us
            allowed, at_us = min(allowed, slots.messages), max(at_us, slots.at_us)
        return list(ready[:allowed]), at_us

    def _within_cap(self, turn: Turn, going: list[_Ready], now_us: int) -> list[_Ready]:
        """Leave out who has been sent as many marketing messages as they may; write that down."""
        cap = self._run.plan.options.cap
        if cap is None or not self._event.is_marketing:
            return going
        ids = sorted({each for ready in going for each in ready.decision.distinct_ids})
        since_us = now_us - cap.days * 86_400_000_000
        counts = dict(turn.count_marketing(self._space, ids, since_us=since_us))
        left, capped = [], []
        for ready in going:
            own = ready.decision.distinct_ids
            if sum(counts.get(each, 0) for each in own) >= cap.messages:
                capped.append(over(ready.decision.before, _S.CAPPED, "capped", now_us))
            else:
                left.append(ready)
                for each in own[:1]:
                    counts[each] = counts.get(each, 0) + 1
        turn.change_deliveries(self._space, [_change(each) for each in capped])
        return left

    def _hand_over(self, ready: Sequence[_Ready]) -> bool:
        """Hand messages over, and write down what became of each as soon as it is known. False: leave the page."""
        if not self._parts.may_hand_over():
            return False  # the lease is over: what was marked is found by whoever takes the page
        done: _Done = SimpleQueue()
        began = time.monotonic()
        for part in self._parts.pace.parts_of(ready):
            self._parts.pool.submit(_send_each, part, done)
        goes_on, settled_at = True, began
        for left in range(len(ready), 0, -1):
            each, outcome = done.get()
            if isinstance(outcome, BaseException):
                raise outcome
            goes_on = self._note(each, outcome) and goes_on
            if left > 1 and time.monotonic() - settled_at > _SETTLED_EVERY_SECONDS:
                self._settle_alone()
                settled_at = time.monotonic()
        self._parts.pace.note(len(ready), time.monotonic() - began)
        return goes_on

    def _note(self, ready: _Ready, outcome: Outcome) -> bool:
        """Take in what became of a message. False: the run pauses."""
        decision, integration_id = ready.decision, ready.decision.integration_id or ""
        self._settled.append(self._settlement(decision.row, outcome))
        reason = self._parts.health.note(self._space, integration_id, self._run.row.run_id, outcome)
        if reason is None or self._run.row.kind is not RunKind.CAMPAIGN:
            return True
        pause_run(self._parts.store, self._space, self._run.row.run_id, reason, now_us=self._parts.now_us())
        return False

    def _settlement(self, row: DeliveryRow, outcome: Outcome) -> DeliveryChange:
        now_us = self._parts.now_us()
        after = settled(
            row,
            outcome,
            self._event,
            now_us=now_us,
            chance=self._parts.chance(),
            pauses=self._run.row.kind is RunKind.CAMPAIGN,
        )
        return DeliveryChange(after, _TOLD_LATER, row.attempts)

    @contextmanager
    def _turn(self) -> Iterator[Turn]:
        """Open a transaction. What became of messages is kept in mind until what says so is durable."""
        self._being_written = 0
        with self._parts.store.turn() as turn:
            yield turn
        del self._settled[: self._being_written]

    def _settle(self, turn: Turn) -> None:
        turn.change_deliveries(self._space, self._settled)
        self._being_written = len(self._settled)

    def _settle_alone(self) -> None:
        if self._settled:
            with self._turn() as turn:
                self._settle(turn)

    def _settle_at_last(self) -> None:
        """Write down what is known, now that the storage refused it: else it would have to be called unconfirmed."""
        for seconds in _SETTLED_AGAIN_SECONDS:
            time.sleep(seconds)
            with suppress(Refused):
                self._settle_alone()
                return

    def _release(self) -> None:
        with self._turn() as turn:
            campaign = campaign_of(turn, self._space, self._run.row)
            run = turn.run(self._space, self._run.row.run_id)
            holds = turn.holds_page(self._space, self._page)
            self._settle(turn)
            if run is None or not holds:
                return
            due_at_us = turn.next_due(self._space, self._page)
            if due_at_us is not None and self._come_again_us is not None:
                due_at_us = max(due_at_us, self._come_again_us)
            turn.release_page(self._space, self._page, due_at_us=due_at_us)
            run = run._replace(active_at_us=self._parts.now_us())
            finish_if_done(turn, self._space, campaign, run, now_us=self._parts.now_us())


def settled(
    row: DeliveryRow, outcome: Outcome, event: Event, *, now_us: int, chance: float, pauses: bool
) -> DeliveryRow:
    """Return a delivery that was being sent as it is after the provider answered, or did not.

    `pauses`: its run pauses if the integration is at fault, so that this is no failure of the delivery.
    """
    row = row._replace(detail=outcome.detail, provider_id=outcome.provider_id, settled_at_us=now_us)
    match outcome.kind:
        case OutcomeKind.SENT:
            return row._replace(state=_S.SENT, reason=None)
        case OutcomeKind.REJECTED:
            return row._replace(state=_S.FAILED, reason="rejected")
        case OutcomeKind.UNKNOWN:
            state = after_crash(is_sent_again=event.after_crash is AfterCrash.RESEND)
            if state is not _S.PLANNED:
                return row._replace(state=state, reason="no_answer")
    again = row._replace(state=_S.PLANNED, reason=outcome.kind.value, settled_at_us=None)
    if outcome.kind is not OutcomeKind.UNKNOWN:
        again = again._replace(handed_at_us=None)
    is_of_integration = outcome.kind in (OutcomeKind.UNREACHABLE, OutcomeKind.MISCONFIGURED)
    if is_of_integration and pauses:
        return again._replace(due_at_us=now_us, first_at_us=None)
    at = retry_at(
        max(row.attempts, 1),
        first_at=_instant(row.first_at_us or now_us),
        now=_instant(now_us),
        chance=chance,
    )
    if at is None:
        return row._replace(state=_S.FAILED, reason="gave_up")
    return again._replace(due_at_us=int(at.timestamp() * 1_000_000))


def lost(row: DeliveryRow, event: Event) -> DeliveryState:
    """Return what a delivery is that was being sent when its worker ended."""
    assert row.state is _S.SENDING, "others are not lost"
    return after_crash(is_sent_again=event.after_crash is AfterCrash.RESEND)


def _send_each(ready: Sequence[_Ready], done: _Done) -> None:
    """Hand messages over. A sender that fails in a way that it does not know may have handed its message over."""
    for each in ready:
        outcome: Outcome | BaseException
        try:
            outcome = each.sender.send(each.message)
        except Exception as error:  # noqa: BLE001  # whatever it is, the others go on
            outcome = Outcome(OutcomeKind.UNKNOWN, f"{type(error).__name__} while it was sent")
        except BaseException as error:  # noqa: BLE001  # whoever waits for this must not wait for ever
            outcome = error
        done.put((each, outcome))


def plan_of(run: RunRow) -> RunPlan:
    """Return what a run does."""
    return _decode_plan(run.plan)


def _sending(row: DeliveryRow, now_us: int) -> DeliveryRow:
    first_at_us = now_us if row.first_at_us is None else row.first_at_us
    return row._replace(
        state=_S.SENDING, reason=None, attempts=row.attempts + 1, first_at_us=first_at_us, handed_at_us=now_us
    )


def _change(decision: Decision) -> DeliveryChange:
    return DeliveryChange(decision.row, (_S.PLANNED,), decision.before.attempts)


def _integrations(ready: Sequence[_Ready]) -> set[str]:
    return {each.decision.integration_id for each in ready if each.decision.integration_id is not None}


def _instant(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)
