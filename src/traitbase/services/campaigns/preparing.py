"""Resolving an audience: once, as it is at one moment, into the deliveries of a run.

Until all of them are written nothing is sent. If the worker ends before, what it wrote is taken away and another one
begins anew, at another moment: an audience is never put together from two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from traitbase.domain.attributes import decode_attributes
from traitbase.domain.campaigns import (
    Audience,
    Campaign,
    CampaignState,
    Group,
    Reason,
    RunState,
    ScheduleKind,
    bounds_of,
    decode_campaign,
    encode_reason,
    group_of,
    is_as_expected,
)
from traitbase.domain.deliveries import DeliveryState
from traitbase.domain.errors import NotFound, Refused, TraitbaseError
from traitbase.domain.rules.fields import BUCKETS, Field
from traitbase.domain.rules.operators import Operator
from traitbase.domain.rules.resolving import resolve
from traitbase.domain.rules.tree import Combinator, Rule
from traitbase.domain.rules.tree import Group as RuleGroup
from traitbase.domain.schedules import LATE_SECONDS_MAX, recipient_time
from traitbase.domain.spaces import Space, zone_of
from traitbase.services.campaigns.ports import (
    PAGE_DELIVERIES,
    WITHOUT_ID,
    AudienceRow,
    CampaignStore,
    DeliveryRow,
    PageRow,
    RunCounts,
    RunPlan,
    RunRow,
)
from traitbase.services.campaigns.states import fail_run, finish_if_done, move
from traitbase.services.cohorts.counting import Asking
from traitbase.services.cohorts.ports import CohortView
from traitbase.services.ports import Snapshot

URGENCY_OF_CALLS = 0
URGENCY_OF_CAMPAIGNS = 1

_WRITTEN_AT_ONCE = 4_000
_decode_plan = msgspec.json.Decoder(RunPlan).decode
_encode = msgspec.json.Encoder().encode


class Member(NamedTuple):
    """One of an audience: an id (or what stands for a destination), its zone, and what a file says about it."""

    distinct_id: str
    zone_name: str | None = None
    destinations: str | None = None
    data: str | None = None


class _Lost(Exception):
    """The run is another worker's, or not to be prepared any more."""


@dataclass(frozen=True, slots=True)
class Audiences:
    """Resolves audiences."""

    store: CampaignStore
    asking: Asking
    now_us: Callable[[], int]

    def count(self, space: Space, campaign: Campaign) -> RunCounts:
        """Return how many would be reached by a campaign now."""
        if campaign.audience.file_id is None:
            return self._count_cohort(space, campaign)
        counts = [0, 0, 0]
        with self._members(space, campaign, with_zones=False) as steps:
            for members in steps:
                for member in members:
                    counts[_GROUPS.index(group_of(member.distinct_id, campaign.options))] += 1
        return RunCounts(sum(counts), counts[1], counts[2])

    def prepare(self, space: Space, run: RunRow, worker_id: str) -> None:
        """Resolve the audience of a run that nobody is at, and let it begin, or hold it for a person.

        Raises Refused if the storage or the engine cannot be used at the moment: it is tried again.
        """
        taken = self._take(space, run.run_id, worker_id)
        if taken is None or taken.campaign_id is None:
            return
        row = self.store.find_campaign(space, taken.campaign_id)
        if row is None:
            reason = Reason("campaign_deleted", "its campaign is gone")
            fail_run(self.store, space, run.run_id, reason, now_us=self.now_us())
            return
        try:
            self._write(space, taken, decode_campaign(row.document), worker_id)
        except _Lost:
            return
        except Refused:
            self._give_back(space, run.run_id, worker_id)
            raise
        except TraitbaseError as error:
            # A cohort that is gone, or whose rule fits nothing any more: trying again would not help.
            reason = Reason("audience_unknown", error.message)
            fail_run(self.store, space, run.run_id, reason, now_us=self.now_us())

    def _take(self, space: Space, run_id: str, worker_id: str) -> RunRow | None:
        with self.store.turn() as turn:
            run = turn.run(space, run_id)
            if run is None or run.state is not RunState.PREPARING or run.owner is not None:
                return None
            turn.forget_deliveries(space, run_id)
            run = run._replace(owner=worker_id, members=0, counts=None, active_at_us=self.now_us())
            turn.put_run(space, run)
            return run

    def _give_back(self, space: Space, run_id: str, worker_id: str) -> None:
        with self.store.turn() as turn:
            run = turn.run(space, run_id)
            if run is not None and run.owner == worker_id:
                turn.put_run(space, run._replace(owner=None))

    def _write(self, space: Space, run: RunRow, campaign: Campaign, worker_id: str) -> None:
        plan = _decode_plan(run.plan)
        workspace = self.store.find_workspace(space.workspace_id)
        assert workspace is not None, "its data is there"
        writing = _Writing(plan, run, zone_of(workspace), now_us=self.now_us())
        is_local = plan.schedule is not None and plan.schedule.kind is ScheduleKind.LOCAL
        with self._members(space, campaign, with_zones=is_local) as steps:
            for members in steps:
                for member in members:
                    writing.add(member)
                if len(writing.deliveries) >= _WRITTEN_AT_ONCE:
                    self._flush(space, run, writing, worker_id, is_last=False)
        self._flush(space, run, writing, worker_id, is_last=True)
        self._begin(space, run, campaign, writing, worker_id)

    def _flush(self, space: Space, run: RunRow, writing: _Writing, worker_id: str, *, is_last: bool) -> None:
        deliveries, pages = writing.take(is_last=is_last)
        with self.store.turn() as turn:
            current = turn.run(space, run.run_id)
            if current is None or current.owner != worker_id or current.state is not RunState.PREPARING:
                raise _Lost
            turn.add_deliveries(space, deliveries)
            turn.add_pages(space, pages)
            counted = current._replace(members=writing.counts.members, active_at_us=self.now_us())
            turn.put_run(space, counted)

    def _begin(self, space: Space, run: RunRow, campaign: Campaign, writing: _Writing, worker_id: str) -> None:
        now_us = self.now_us()
        counts = writing.counts
        with self.store.turn() as turn:
            row = None if run.campaign_id is None else turn.campaign(space, run.campaign_id)
            current = turn.run(space, run.run_id)
            if current is None or current.owner != worker_id or current.state is not RunState.PREPARING:
                raise _Lost
            current = current._replace(
                owner=None, counts=_encode(counts).decode(), members=counts.members, started_at_us=now_us
            )
            turn.wake_pages(space, run.run_id, at_us=now_us)
            expected = campaign.expected_count
            if row is not None and not is_as_expected(counts.members, expected=expected, tolerance=campaign.tolerance):
                message = (
                    f"the audience has {counts.members:,} members, and {expected:,} were expected: look at it, then "
                    "resume or cancel"
                )
                held = encode_reason(Reason("audience_differs", message))
                turn.put_run(space, current._replace(state=RunState.PAUSED, reason=held))
                move(turn, space, row, CampaignState.PAUSED, now_us, held=held)
                return
            finish_if_done(turn, space, row, current._replace(state=RunState.RUNNING), now_us=now_us)

    @contextmanager
    def _members(self, space: Space, campaign: Campaign, *, with_zones: bool) -> Iterator[Iterator[Sequence[Member]]]:
        """Hold an audience as it is at one moment; yields its members in order of their ids."""
        audience = campaign.audience
        if audience.file_id is not None:
            yield self._of_file(space, audience.file_id, with_zones=with_zones)
            return
        with self._cohort(space, audience) as (view, tree):
            plan = resolve(tree, view.catalogue, view.moment_at(self.now_us()), path="audience")
            steps = view.all_members(plan)
            yield (_with_zones(view.snapshot, ids) if with_zones else [Member(each) for each in ids] for ids in steps)

    def _count_cohort(self, space: Space, campaign: Campaign) -> RunCounts:
        """Count the members of a cohort without reading them: a million of them took 1.6 s, a count takes 50 ms."""
        control, sent_to = bounds_of(campaign.options)
        with self._cohort(space, campaign.audience) as (view, tree):
            moment = view.moment_at(self.now_us())

            def count(*more: Rule) -> int:
                part = RuleGroup(Combinator.AND, (*tree.rules, *more))
                return view.count(resolve(part, view.catalogue, moment, path="audience"))

            of_control = count(Rule(Field.BUCKET.value, Operator.LESS, control)) if control else 0
            outside = count(Rule(Field.BUCKET.value, Operator.GREATER_OR_EQUAL, sent_to)) if sent_to < BUCKETS else 0
            return RunCounts(count(), of_control, outside)

    @contextmanager
    def _cohort(self, space: Space, audience: Audience) -> Iterator[tuple[CohortView, RuleGroup]]:
        """Hold the profiles as they are, and the rule of who is in an audience. Raises NotFound."""
        assert audience.cohort_id is not None, "it is a cohort or a file"
        rules = [Rule(Field.COHORT.value, Operator.IN, [audience.cohort_id])]
        rules += [Rule(Field.COHORT.value, Operator.NOT_IN, [each]) for each in audience.exclude]
        tree = RuleGroup(Combinator.AND, tuple(rules))
        with self.asking.engine.open_view(space) as view:
            known = view.catalogue.cohorts
            for cohort_id in (audience.cohort_id, *audience.exclude):
                if cohort_id not in known:
                    raise NotFound(f"there is no cohort {cohort_id!r} any more", code="cohort_not_found")
            yield view, tree

    def _of_file(self, space: Space, file_id: str, *, with_zones: bool) -> Iterator[Sequence[Member]]:
        for rows in self.store.read_audience(space, file_id):
            if not with_zones:
                yield [_member(row) for row in rows]
                continue
            with self.store.open_snapshot(space) as snapshot:
                zones = _zones(snapshot, [row.distinct_id for row in rows])
            yield [_member(row)._replace(zone_name=zones.get(row.distinct_id)) for row in rows]


_GROUPS = (Group.SENT_TO, Group.CONTROL, Group.OUTSIDE)


class _Writing:
    """Makes deliveries of members, and pages of deliveries."""

    def __init__(self, plan: RunPlan, run: RunRow, zone: ZoneInfo, *, now_us: int) -> None:
        self._plan = plan
        self._run_id = run.run_id
        self._zone = zone
        self._now_us = now_us
        self._channels = plan.event.ledger_channels
        self._is_marketing = int(plan.event.is_marketing)
        self._number = 0
        self._pages = 0
        self._of_zone: dict[str | None, tuple[int, bool]] = {}
        self._sums = dict.fromkeys(_GROUPS, 0)
        self._zones_replaced = 0
        self.deliveries: list[DeliveryRow] = []

    @property
    def counts(self) -> RunCounts:
        sums = self._sums
        return RunCounts(sum(sums.values()), sums[Group.CONTROL], sums[Group.OUTSIDE], self._zones_replaced)

    def add(self, member: Member) -> None:
        group = group_of(member.distinct_id, self._plan.options)
        self._sums[group] += 1
        if group is not Group.SENT_TO:
            return
        due_at_us, zone_is_theirs = self._due(member.zone_name)
        self._zones_replaced += not zone_is_theirs
        is_late = self._now_us - due_at_us > LATE_SECONDS_MAX * 1_000_000
        state = DeliveryState.SKIPPED if is_late else DeliveryState.PLANNED
        reason = "local_time_passed" if is_late else None
        for channel in self._channels:
            self.deliveries.append(
                DeliveryRow(
                    self._run_id,
                    member.distinct_id,
                    channel,
                    self._number,
                    state,
                    reason,
                    None,
                    None,
                    None,
                    member.destinations,
                    member.data,
                    self._is_marketing,
                    due_at_us,
                    0,
                    None,
                    None,
                    self._now_us if is_late else None,
                )
            )
            self._number += 1

    def take(self, *, is_last: bool) -> tuple[list[DeliveryRow], list[PageRow]]:
        """Return what is to be written: whole pages, and at the end the rest."""
        pages: list[PageRow] = []
        rows, start = self.deliveries, 0
        # A member's channels are on one page, so that one worker at a time has to do with them.
        size = max(PAGE_DELIVERIES // len(self._channels), 1) * len(self._channels)
        while len(rows) - start >= size or (is_last and start < len(rows)):
            part = rows[start : start + size]
            pages.append(
                PageRow(
                    self._run_id,
                    self._pages,
                    part[0].distinct_id,
                    part[-1].distinct_id,
                    URGENCY_OF_CAMPAIGNS,
                    None,
                    None,
                )
            )
            self._pages += 1
            start += len(part)
        self.deliveries = rows[start:]
        return rows[:start], pages

    def _due(self, zone_name: str | None) -> tuple[int, bool]:
        """Return when a member's message is due, and whether their own zone counts."""
        schedule = self._plan.schedule
        if schedule is None or schedule.kind is not ScheduleKind.LOCAL or schedule.local is None:
            return self._now_us, True
        found = self._of_zone.get(zone_name)
        if found is None:
            local = datetime.fromisoformat(schedule.local)
            theirs = recipient_time(local, zone_name, workspace_zone=self._zone)
            found = (int(theirs.at.timestamp()) * 1_000_000, theirs.zone_is_theirs)
            self._of_zone[zone_name] = found
        return found


def _member(row: AudienceRow) -> Member:
    return Member(row.distinct_id, None, row.destinations, row.data)


def _with_zones(snapshot: Snapshot, ids: Sequence[str]) -> list[Member]:
    zones = _zones(snapshot, ids)
    return [Member(each, zones.get(each)) for each in ids]


def _zones(snapshot: Snapshot, ids: Sequence[str]) -> dict[str, str | None]:
    zones: dict[str, str | None] = {}
    for start in range(0, len(ids), PAGE_DELIVERIES):
        wanted = [each for each in ids[start : start + PAGE_DELIVERIES] if not each.startswith(WITHOUT_ID)]
        for row in snapshot.find_profiles(wanted):
            zones[row.distinct_id] = decode_attributes(row.attributes).timezone
    return zones
