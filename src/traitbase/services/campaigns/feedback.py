"""What comes back: unsubscriptions, opens and clicks by links, and what providers tell about deliveries.

Everything may come twice, and in any order: what is known afterwards is the same.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from traitbase.domain.attributes import Choice, Preference, Preferences
from traitbase.domain.campaigns import RunState
from traitbase.domain.deliveries import DeliveryState, after_callback
from traitbase.domain.destinations import Channel
from traitbase.domain.errors import InvalidInput, Refused
from traitbase.domain.forms import Form
from traitbase.domain.spaces import Space
from traitbase.domain.subscriptions import ALL_TOPICS
from traitbase.domain.suppressions import SuppressionBody
from traitbase.domain.values import JsonValue
from traitbase.services.campaigns.links import Named, Unsubscription
from traitbase.services.campaigns.ports import WITHOUT_ID, CampaignStore, DeliveryChange, DeliveryRow
from traitbase.services.campaigns.sealing import signature_of
from traitbase.services.campaigns.sending import plan_of
from traitbase.services.suppressions import suppress

TOLD_AT_ONCE_MAX = 1_000
CLOCK_SECONDS_MAX = 300
"""How far a signed request's time may be from ours."""


class Told(StrEnum):
    """What a provider tells about a delivery."""

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"


@dataclass(frozen=True, slots=True)
class Notice:
    """What a provider tells about one delivery."""

    delivery_id: str
    told: Told
    detail: str | None


@dataclass(frozen=True, slots=True)
class Feedback:
    """Takes in what comes back. `new_id` returns 24 random hexadecimal digits."""

    store: CampaignStore
    now_us: Callable[[], int]
    new_id: Callable[[], str]

    def choice_of(self, whom: Unsubscription) -> Preferences:
        """Return what somebody who unsubscribes by a link has chosen."""
        topic = whom.subscription_id or ALL_TOPICS
        return {topic: {whom.channel: Preference(Choice.OPTED_OUT, self.now_us())}}

    def note_unsubscribed(self, whom: Unsubscription) -> None:
        """Write down of which message somebody unsubscribed. Without a profile, the destination is suppressed."""
        row = self._find(whom.named)
        if row is not None:
            self.store.note_delivery(whom.named.space, row._replace(unsubscribed_at_us=self.now_us()))
        if row is not None and row.distinct_id.startswith(WITHOUT_ID) and row.destination is not None:
            self._suppress(whom.named.space, row, "unsubscribed by a link")

    def note_opened(self, named: Named) -> None:
        """Write down that a message was opened."""
        row = self._find(named)
        if row is not None and row.opened_at_us is None:
            self.store.note_delivery(named.space, row._replace(opened_at_us=self.now_us()))

    def note_clicked(self, named: Named) -> None:
        """Write down that a link in a message was followed: whoever did that has opened it."""
        row = self._find(named)
        if row is not None and row.clicked_at_us is None:
            now_us = self.now_us()
            self.store.note_delivery(named.space, row._replace(clicked_at_us=now_us, opened_at_us=now_us))

    def take(self, space: Space, notices: list[Notice], *, integration_id: str) -> tuple[int, list[str]]:
        """Take in what a provider tells; return of how many deliveries, and the ids that are none of its own."""
        unknown = []
        for notice in notices:
            row = self._of_id(space, notice.delivery_id)
            if row is None or not self._is_carried_by(space, row, integration_id):
                unknown.append(notice.delivery_id)
                continue
            self._take_one(space, row, notice)
        return len(notices) - len(unknown), unknown

    def resolve(self, space: Space, delivery_id: str, state: DeliveryState) -> DeliveryRow:
        """Decide about a delivery of which nobody knows whether it was sent: it was, was not, or is sent again.

        Raises InvalidInput for a delivery that is none, or is not unconfirmed.
        """
        row = self._of_id(space, delivery_id)
        if row is None or row.state is not DeliveryState.UNCONFIRMED:
            state_now = "not known" if row is None else row.state.value
            message = f"the delivery is {state_now}: only one that is unconfirmed can be resolved"
            raise InvalidInput(message, code="wrong_state")
        now_us = self.now_us()
        settled_at_us = None if state is DeliveryState.PLANNED else now_us
        after = row._replace(state=state, reason="resolved", settled_at_us=settled_at_us, due_at_us=now_us)
        if state is DeliveryState.PLANNED:
            after = after._replace(handed_at_us=None)  # it was not sent, as the person says
        with self.store.turn() as turn:
            run = turn.run(space, row.run_id)
            change = DeliveryChange(after, (DeliveryState.UNCONFIRMED,), row.attempts)
            if not turn.change_deliveries(space, [change])[0]:
                raise InvalidInput("the delivery was resolved meanwhile", code="wrong_state")
            if state is DeliveryState.PLANNED and run is not None:
                turn.wake_pages(space, row.run_id, at_us=now_us)
                if run.state is RunState.FINISHED:
                    again = run._replace(state=RunState.RUNNING, finished_at_us=None, active_at_us=now_us)
                    turn.put_run(space, again._replace(epoch=turn.epoch()))
        return after

    def _take_one(self, space: Space, row: DeliveryRow, notice: Notice) -> None:
        now_us = self.now_us()
        if notice.told is Told.COMPLAINED:
            self.store.note_delivery(space, row._replace(complained_at_us=now_us))
            self._suppress(space, row, "a complaint, as the provider told")
            return
        told = DeliveryState(notice.told.value)
        state = after_callback(row.state, told)
        if state is not row.state:
            after = row._replace(
                state=state, reason="bounced" if told is DeliveryState.BOUNCED else None, settled_at_us=now_us
            )
            if notice.detail is not None:
                after = after._replace(detail=notice.detail)
            with self.store.turn() as turn:
                turn.change_deliveries(space, [DeliveryChange(after, (row.state,), row.attempts)])
        if told is DeliveryState.BOUNCED:
            self._suppress(space, row, "a bounce, as the provider told")

    def _suppress(self, space: Space, row: DeliveryRow, why: str) -> None:
        if row.destination is None or row.via is None:
            return
        body = SuppressionBody(Channel(row.via), None, row.destination, why, None)
        suppress(self.store, space.workspace_id, body, now_us=self.now_us(), new_id=self.new_id)

    def _is_carried_by(self, space: Space, row: DeliveryRow, integration_id: str) -> bool:
        run = self.store.find_run(space, row.run_id)
        if run is None or row.via is None:
            return False
        template = plan_of(run).event.channels.get(row.via)
        return template is not None and template.integration_id == integration_id

    def _of_id(self, space: Space, delivery_id: str) -> DeliveryRow | None:
        named = named_by(space, delivery_id)
        return None if named is None else self._find(named)

    def _find(self, named: Named) -> DeliveryRow | None:
        return self.store.find_delivery(named.space, named.run_id, named.number)


def named_by(space: Space, delivery_id: str) -> Named | None:
    """Return the delivery that an id names, None if it cannot be one."""
    run_id, _, number = delivery_id.rpartition("-")
    if not run_id or not number.isascii() or not number.isdecimal() or len(number) > 12:
        return None
    return Named(space, run_id, int(number))


def parse_notices(body: JsonValue) -> list[Notice]:
    """Read one notice `{"delivery_id", "status", "detail"?}`, or an array of them. Raises InvalidInput."""
    sent = body if type(body) is list else [body]
    form = Form({})
    if len(sent) > TOLD_AT_ONCE_MAX:
        raise InvalidInput(f"expected at most {TOLD_AT_ONCE_MAX:,} notices at once")
    notices = []
    for position, each in enumerate(sent):
        inner = Form(each, f"[{position}]" if type(body) is list else "", form.faults)
        delivery_id = inner.text("delivery_id", characters=255)
        told = inner.word("status", Told)
        notices.append(Notice(delivery_id, told, inner.maybe_text("detail", characters=500)))
        inner.close()
    form.end()
    return notices


def check_signature(secret: str, headers: Mapping[str, str], body: bytes, *, now_us: int) -> None:
    """Raise Refused unless a body was signed with a secret, just now: HMAC-SHA256 over `timestamp.body`."""
    timestamp, signature = headers.get("traitbase-timestamp", ""), headers.get("traitbase-signature", "")
    expected = signature_of(secret, timestamp, body)
    is_signed = hmac.compare_digest(f"v1={expected}".encode(), signature.encode())
    is_fresh = timestamp.isascii() and timestamp.isdecimal() and len(timestamp) < 12
    if not is_signed or not is_fresh or abs(int(timestamp) - now_us // 1_000_000) > CLOCK_SECONDS_MAX:
        message = (
            "expected the headers Traitbase-Timestamp (seconds since 1970, now) and Traitbase-Signature "
            "(v1=HMAC-SHA256 of timestamp.body with the integration's signing secret)"
        )
        raise Refused(message, code="bad_signature")
