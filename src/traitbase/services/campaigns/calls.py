"""Calls of the API that fire an event for one or many: in the ledger before they are answered, sent by the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from traitbase.domain.attributes import NO_ATTRIBUTES, Attributes, decode_attributes
from traitbase.domain.campaign_bodies import EventCall, Recipient
from traitbase.domain.campaigns import Options
from traitbase.domain.errors import Conflict, Fault, InvalidInput
from traitbase.domain.events import FIRST, Event, decode_event
from traitbase.domain.forms import raise_faults
from traitbase.domain.spaces import Space
from traitbase.services.aliases import find_profiles_behind
from traitbase.services.campaigns.audiences import member_key
from traitbase.services.campaigns.ports import CampaignStore, RunPlan
from traitbase.services.campaigns.steering import add_direct_run, faults_of_channels, run_of_call
from traitbase.services.ingest import IDEMPOTENCY_US, IdempotencyKey
from traitbase.services.ports import IdempotencyRow

_decode_plan = msgspec.json.Decoder(RunPlan).decode


class Queued(NamedTuple):
    """A message that is in the ledger. `destination` None: there is none on the channel as far as is known now."""

    channel: str
    destination: str | None
    msg_id: str


class Fired(NamedTuple):
    """What a call did: for each recipient, in their order, what is in the ledger."""

    request_id: str
    at_us: int
    event: str
    recipients: list[list[Queued]]


@dataclass(frozen=True, slots=True)
class Calls:
    """Fires events."""

    store: CampaignStore
    now_us: Callable[[], int]

    def fire(self, space: Space, call: EventCall, *, request_id: str, key: IdempotencyKey | None = None) -> Fired:
        """Put messages into the ledger. The same key and call again: what was answered then.

        Raises InvalidInput (`unknown_event`), Conflict (`idempotency_conflict`) for a key that came with another call.
        """
        row = self.store.find_event_named(space, call.event)
        if row is None:
            message = (
                f"The notification event name '{call.event}' is invalid or does not exists on "
                f"{'prod' if space.environment == 'live' else space.environment}"
            )
            fault = Fault("event", "expected the name of an event; GET …/events lists them")
            raise InvalidInput(message, faults=(fault,), code="unknown_event")
        event = decode_event(row.document)
        raise_faults(faults_of_channels(self.store, space, event), code="cannot_be_sent")
        now_us = self.now_us()
        runs = _without_repeats(call.recipients)
        known = self._attributes(space, call.recipients)
        queued: dict[int, list[Queued]] = {}
        for part, positions in enumerate(runs):
            queued.update(_queued(event, call.recipients, positions, known, run_id=_run_id(request_id, part)))
        fired = Fired(request_id, now_us, event.name, [queued[each] for each in range(len(call.recipients))])
        with self.store.turn() as turn:
            if key is not None:
                used = IdempotencyRow(*space, key.key, key.digest, request_id, now_us)
                before = turn.use_key(used, expired_before_us=now_us - IDEMPOTENCY_US)
                if before is not None:
                    return self._answered(space, before, key)
            for part, positions in enumerate(runs):
                answer = msgspec.to_builtins(fired) if part == 0 else None
                plan = RunPlan(event, row.event_id, Options(), answer=answer)
                recipients = [call.recipients[each] for each in positions]
                run = run_of_call(
                    _run_id(request_id, part), plan, members=len(recipients), now_us=now_us, epoch=turn.epoch()
                )
                add_direct_run(turn, space, run, event, recipients, now_us=now_us)
        return fired

    def _answered(self, space: Space, before: IdempotencyRow, key: IdempotencyKey) -> Fired:
        run = self.store.find_run(space, before.request_id)
        if before.digest != key.digest or run is None:
            message = "the Idempotency-Key was used for another request: choose another one for this"
            raise Conflict(message, code="idempotency_conflict")
        return msgspec.convert(_decode_plan(run.plan).answer, Fired)

    def _attributes(self, space: Space, recipients: Sequence[Recipient]) -> Mapping[str, Attributes]:
        ids = sorted({each.distinct_id for each in recipients if each.distinct_id is not None})
        found = find_profiles_behind(self.store, space, ids)
        return {distinct_id: decode_attributes(row.attributes) for distinct_id, row in found.items()}


def _without_repeats(recipients: Sequence[Recipient]) -> list[list[int]]:
    """Return positions in groups, nobody twice in one: a call may have several messages for somebody."""
    groups: list[list[int]] = []
    seen: dict[str, int] = {}
    for position, recipient in enumerate(recipients):
        key = member_key(recipient)
        at = seen.get(key, 0)
        seen[key] = at + 1
        if at == len(groups):
            groups.append([])
        groups[at].append(position)
    return groups


def _run_id(request_id: str, part: int) -> str:
    return request_id if part == 0 else f"{request_id}.{part}"


def _queued(
    event: Event,
    recipients: Sequence[Recipient],
    positions: Sequence[int],
    known: Mapping[str, Attributes],
    *,
    run_id: str,
) -> dict[int, list[Queued]]:
    """Return what is put into the ledger for some recipients, by their position."""
    found: dict[int, list[Queued]] = {}
    number = 0
    for _, position in sorted((member_key(recipients[each]), each) for each in positions):
        recipient = recipients[position]
        attributes = known.get(recipient.distinct_id or "", NO_ATTRIBUTES)
        entries = []
        for channel in event.ledger_channels:
            entries.append(_one(event, channel, recipient, attributes, f"{run_id}-{number}"))
            number += 1
        found[position] = entries
    return found


def _one(event: Event, channel: str, recipient: Recipient, attributes: Attributes, msg_id: str) -> Queued:
    for each in event.channels if channel == FIRST else (channel,):
        destination = recipient.destinations.get(each) or _held(attributes, each)
        if destination is not None:
            return Queued(each, destination, msg_id)
    return Queued(next(iter(event.channels)) if channel == FIRST else channel, None, msg_id)


def _held(attributes: Attributes, channel: str) -> str | None:
    held: Any = attributes.channel.get(channel)
    if held is None or isinstance(held, str):
        return held
    return next((each.token for each in held if each.status == 1), None)
