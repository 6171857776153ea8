"""What is checked last: whether a planned delivery may go, and where, right before it is handed over.

Whoever is suppressed, opted out, switched off, gone or has had enough by now gets nothing, whatever was so when the
audience was resolved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from traitbase.domain.attributes import NO_ATTRIBUTES, Attributes, decode_attributes
from traitbase.domain.campaigns import quiet_until
from traitbase.domain.deliveries import UNSENT, DeliveryState
from traitbase.domain.destinations import Channel, digest_of_destination, find_key
from traitbase.domain.errors import Refused
from traitbase.domain.events import FIRST, OnUnknown
from traitbase.domain.spaces import Space, find_zone
from traitbase.domain.subscriptions import SubscriptionSettings, allows
from traitbase.domain.values import decode_properties
from traitbase.services.aliases import find_profiles_behind
from traitbase.services.campaigns.links import Links, Named
from traitbase.services.campaigns.ports import (
    WITHOUT_ID,
    CampaignStore,
    DeliveryFilter,
    DeliveryRow,
    Message,
    RunPlan,
    RunRow,
)
from traitbase.services.campaigns.rendering import Envelope, Subject, render
from traitbase.services.ports import ProfileRow, SuppressionRow
from traitbase.services.subscriptions import get_settings

_DETAIL_CHARACTERS = 500
_S = DeliveryState
_decode_object = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_FAMILY_MAX = 1_100


@dataclass(frozen=True, slots=True)
class RunAtHand:
    """A run that is being sent."""

    space: Space
    row: RunRow
    plan: RunPlan
    zone: ZoneInfo


class Decision(NamedTuple):
    """What becomes of a delivery: it is over, it waits (`row` says until when), or `message` is handed over.

    `distinct_ids`: under which ids the recipient may have been sent something before.
    """

    before: DeliveryRow
    row: DeliveryRow
    message: Message | None = None
    integration_id: str | None = None
    distinct_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Member:
    """A delivery, and who it is for as they are now. `profile` None: there is none."""

    row: DeliveryRow
    profile: ProfileRow | None
    attributes: Attributes
    destinations: Mapping[str, str]

    @property
    def has_id(self) -> bool:
        return not self.row.distinct_id.startswith(WITHOUT_ID)

    @property
    def ids(self) -> tuple[str, ...]:
        if not self.has_id:
            return ()
        own = self.row.distinct_id if self.profile is None else self.profile.distinct_id
        return tuple(dict.fromkeys((self.row.distinct_id, own, *self.attributes.aliases)))


class _Way(NamedTuple):
    """A channel and where it leads for a recipient; or why it does not."""

    channel: str
    destinations: tuple[str, ...] = ()
    state: DeliveryState = _S.NO_DESTINATION
    reason: str = "no_destination"


class Deciding:
    """Decides about deliveries of a run."""

    def __init__(self, store: CampaignStore, links: Links, *, now_us: Callable[[], int]) -> None:
        self._store = store
        self._links = links
        self._now_us = now_us

    def decide(self, run: RunAtHand, rows: Sequence[DeliveryRow]) -> list[Decision]:
        """Return what becomes of planned deliveries, in their order. Nothing is written."""
        now_us = self._now_us()
        members = self._members(run, rows)
        suppressed = self._suppressed(run, members, now_us)
        topics = get_settings(self._store, run.space)
        return [self._decide(run, member, suppressed, topics, now_us) for member in members]

    def _members(self, run: RunAtHand, rows: Sequence[DeliveryRow]) -> list[_Member]:
        ids = [row.distinct_id for row in rows if not row.distinct_id.startswith(WITHOUT_ID)]
        found = find_profiles_behind(self._store, run.space, ids)
        members = []
        for row in rows:
            profile = found.get(row.distinct_id)
            attributes = NO_ATTRIBUTES if profile is None else decode_attributes(profile.attributes)
            destinations = {} if row.destinations is None else _decode_object(row.destinations)
            members.append(_Member(row, profile, attributes, destinations))
        return members

    def _suppressed(self, run: RunAtHand, members: Sequence[_Member], now_us: int) -> set[tuple[str, str]]:
        """Return what is suppressed: (channel, distinct_id) and (channel, digest)."""
        ids = [each for member in members for each in member.ids]
        digests = [
            digest
            for member in members
            for channel in _channels_of(run, member)
            for destination in _destinations(member, channel)
            if (digest := _digest(run.space, channel, destination)) is not None
        ]
        rows: list[SuppressionRow] = self._store.find_suppressions(
            run.space.workspace_id, distinct_ids=ids, digests=digests, now_us=now_us
        )
        by_id = {(row.channel, row.distinct_id) for row in rows if row.distinct_id is not None}
        return by_id | {(row.channel, row.digest) for row in rows if row.digest is not None}

    def _decide(
        self,
        run: RunAtHand,
        member: _Member,
        suppressed: set[tuple[str, str]],
        topics: SubscriptionSettings,
        now_us: int,
    ) -> Decision:
        row = member.row
        if member.has_id and member.profile is None and not member.destinations:
            return over(row, _S.NO_DESTINATION, "profile_deleted", now_us)
        if member.attributes.status != 1:
            return over(row, _S.INACTIVE, "inactive", now_us)
        if self._is_anothers(run, member):
            return over(row, _S.SKIPPED, "merged", now_us, "another member of the audience is the same person now")
        ways = [self._way(run, member, channel, suppressed, topics) for channel in _channels_of(run, member)]
        way = next((each for each in ways if each.destinations), None)
        if way is None:
            told = next((each for each in ways if each.state is not _S.NO_DESTINATION), ways[0])
            return over(row._replace(via=told.channel), told.state, told.reason, now_us)
        waits = self._quiet(run, member, now_us)
        if waits is not None:
            return waits
        return self._render(run, member, way, now_us)

    def _way(
        self,
        run: RunAtHand,
        member: _Member,
        channel: str,
        suppressed: set[tuple[str, str]],
        topics: SubscriptionSettings,
    ) -> _Way:
        destinations = _destinations(member, channel)
        if not destinations:
            return _Way(channel)
        left = tuple(each for each in destinations if (channel, _digest(run.space, channel, each)) not in suppressed)
        if not left or any((channel, each) in suppressed for each in member.ids):
            return _Way(channel, (), _S.SUPPRESSED, "suppressed")
        event = run.plan.event
        asks = event.is_marketing or event.subscription_id is not None
        if asks and not allows(topics, member.attributes.preferences, event.subscription_id, Channel(channel)):
            return _Way(channel, (), _S.OPTED_OUT, "opted_out")
        return _Way(channel, left)

    def _is_anothers(self, run: RunAtHand, member: _Member) -> bool:
        """Tell whether another member, who is the same person by now, gets the message or has got it."""
        ids = member.ids
        if len(ids) < 2:
            return False
        which = DeliveryFilter(run_id=run.row.run_id, distinct_ids=ids)
        for other in self._store.list_deliveries(run.space, which, after=None, limit=_FAMILY_MAX):
            if other.channel != member.row.channel or other.distinct_id == member.row.distinct_id:
                continue
            if other.state in UNSENT:
                continue
            if other.state is not _S.PLANNED or other.distinct_id < member.row.distinct_id:
                return True
        return False

    def _quiet(self, run: RunAtHand, member: _Member, now_us: int) -> Decision | None:
        quiet = run.plan.options.quiet
        if quiet is None:
            return None
        own = find_zone(member.attributes.timezone) if member.attributes.timezone else None
        until = quiet_until(quiet, datetime.fromtimestamp(now_us / 1_000_000, UTC), own or run.zone)
        if until is None:
            return None
        if quiet.drop:
            return over(member.row, _S.SKIPPED, "quiet_hours", now_us)
        return Decision(member.row, member.row._replace(due_at_us=int(until.timestamp() * 1_000_000)))

    def _render(self, run: RunAtHand, member: _Member, way: _Way, now_us: int) -> Decision:
        row = member.row._replace(via=way.channel, destination=way.destinations[0])
        event = run.plan.event
        properties = {} if member.profile is None else decode_properties(member.profile.document)
        data = {} if row.data is None else _decode_object(row.data)
        who = member.profile.distinct_id if member.profile is not None else None
        if who is None and member.has_id:
            who = row.distinct_id
        campaign = {"name": run.plan.campaign_name, "id": run.row.campaign_id, "run_id": run.row.run_id}
        envelope = Envelope(Named(run.space, row.run_id, row.number), way.channel, way.destinations, campaign)
        try:
            rendered = render(event, Subject(who, properties, member.attributes, data), envelope, self._links)
        except Refused as error:
            return over(row, _S.SKIPPED, "template_failed", now_us, error.message)
        if rendered.unknown and event.on_unknown is OnUnknown.SKIP:
            return over(row, _S.SKIPPED, "unknown_variable", now_us, ", ".join(rendered.unknown))
        integration_id = event.channels[way.channel].integration_id
        return Decision(member.row, row, rendered.message, integration_id, member.ids)


def _channels_of(run: RunAtHand, member: _Member) -> Sequence[str]:
    return list(run.plan.event.channels) if member.row.channel == FIRST else [member.row.channel]


def _destinations(member: _Member, channel: str) -> tuple[str, ...]:
    """Return where a channel leads for a recipient: what came with the call or file counts before the profile's."""
    given = member.destinations.get(channel)
    if given is not None:
        return (given,)
    held = member.attributes.channel.get(channel)
    if held is None:
        return ()
    return (held,) if isinstance(held, str) else tuple(each.token for each in held if each.status == 1)


def _digest(space: Space, channel: str, destination: str) -> str | None:
    key = find_key(Channel(channel), destination)
    return None if key is None else digest_of_destination(space.workspace_id, Channel(channel), key)


def over(row: DeliveryRow, state: DeliveryState, reason: str, now_us: int, detail: str | None = None) -> Decision:
    """Return that a planned delivery ends without being handed over (again).

    If it may have been taken before, nobody knows that it was not: then it is unconfirmed.
    """
    if row.handed_at_us is not None:
        detail = f"it is not sent again ({reason}); whether it was sent before is not known"
        state, reason = _S.UNCONFIRMED, "no_answer"
    cut = None if detail is None else detail[:_DETAIL_CHARACTERS]
    return Decision(row, row._replace(state=state, reason=reason, detail=cut, settled_at_us=now_us))
