"""Campaigns: one event for an audience, once or again and again. What they are, and which states they go through."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

from traitbase.domain.errors import Conflict
from traitbase.domain.rules.fields import BUCKETS, bucket_of

NAME_CHARACTERS_MAX = 255
EXCLUDED_MAX = 20
TOLERANCE_USUAL = 0.1


class CampaignState(StrEnum):
    """How a campaign is."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


_S = CampaignState

OVER = frozenset({_S.FINISHED, _S.CANCELLED, _S.FAILED})
"""States that nothing leads out of, but that a person resolves a delivery of a finished one to be sent again."""

_NEXT: Mapping[CampaignState, frozenset[CampaignState]] = {
    _S.DRAFT: frozenset({_S.SCHEDULED, _S.CANCELLED}),
    # Back to draft: its schedule is taken away before anything was sent.
    _S.SCHEDULED: frozenset({_S.RUNNING, _S.DRAFT, _S.CANCELLED, _S.FAILED}),
    # Back to scheduled: it recurs.
    _S.RUNNING: frozenset({_S.PAUSED, _S.SCHEDULED, _S.FINISHED, _S.CANCELLED, _S.FAILED}),
    _S.PAUSED: frozenset({_S.RUNNING, _S.CANCELLED, _S.FAILED}),
    _S.FINISHED: frozenset({_S.RUNNING}),
}


class RunState(StrEnum):
    """How one run is: its audience is being resolved, its deliveries are being sent, or it is over."""

    PREPARING = "preparing"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


class RunKind(StrEnum):
    """Why a run is: a campaign's, a test of one, or a call of the API."""

    CAMPAIGN = "campaign"
    TEST = "test"
    CALL = "call"


class Reason(msgspec.Struct, frozen=True):
    """Why something is as it is: one word for programs, a sentence for people."""

    code: str
    message: str


class ScheduleKind(StrEnum):
    """When a campaign is sent."""

    NOW = "now"
    AT = "at"
    LOCAL = "local"
    RECURRING = "recurring"


class Schedule(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a campaign is sent.

    `now`; `at` an instant (`at_us`, shown in `zone`); `local`: when each recipient's clocks show the time `local`;
    `recurring`: by a rule of RFC 5545 from the local time `local` in `zone` on.
    """

    kind: ScheduleKind
    zone: str | None = None
    at_us: int | None = None
    local: str | None = None
    rule: str | None = None


class QuietHours(msgspec.Struct, frozen=True):
    """From which local time of the recipient to which nothing is sent (HH:MM); what falls into it waits, or is not."""

    begins: str
    ends: str
    drop: bool


class Cap(msgspec.Struct, frozen=True):
    """At most so many marketing messages to a profile in so many days, over all campaigns."""

    messages: int
    days: int


class Audience(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who is reached: a cohort without some others, or the rows of a file."""

    cohort_id: str | None = None
    exclude: tuple[str, ...] = ()
    file_id: str | None = None
    file_name: str | None = None


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """How it is sent. `sample` and `control` are shares of the audience, 0 to 1, by each profile's bucket.

    Who is in the control group is not sent anything; the sample is of those who are not.
    """

    rate: float | None = None
    quiet: QuietHours | None = None
    cap: Cap | None = None
    sample: float | None = None
    control: float | None = None


class Campaign(msgspec.Struct, frozen=True):
    """What is stored of a campaign beside its name and state."""

    event_id: str
    audience: Audience
    schedule: Schedule
    options: Options
    expected_count: int | None = None
    tolerance: float = TOLERANCE_USUAL


_encode = msgspec.json.Encoder().encode
_decode_campaign = msgspec.json.Decoder(Campaign).decode
_decode_reason = msgspec.json.Decoder(Reason).decode


def new_campaign_id() -> str:
    """Return a fresh campaign id: `ca_` and 16 hexadecimal digits."""
    return f"ca_{secrets.token_hex(8)}"


def new_run_id() -> str:
    """Return a fresh run id: `ru_` and 16 hexadecimal digits."""
    return f"ru_{secrets.token_hex(8)}"


def encode_campaign(campaign: Campaign) -> str:
    """Return the JSON object that is stored."""
    return _encode(campaign).decode()


def decode_campaign(document: str) -> Campaign:
    """Return what `encode_campaign` was given."""
    return _decode_campaign(document)


def encode_reason(reason: Reason) -> str:
    """Return the JSON object that is stored."""
    return _encode(reason).decode()


def decode_reason(document: str | None) -> Reason | None:
    """Return what `encode_reason` was given; None for none."""
    return None if document is None else _decode_reason(document)


def may_become(state: CampaignState, next_state: CampaignState) -> bool:
    """Tell whether a campaign may go from one state to another one."""
    return next_state in _NEXT.get(state, frozenset())


def check_may_become(state: CampaignState, next_state: CampaignState, *, doing: str) -> None:
    """Raise Conflict that says what state a campaign is in, if it cannot become that one."""
    if not may_become(state, next_state):
        before = [each for each in CampaignState if may_become(each, next_state)]
        message = f"the campaign is {state}: only one that is {' or '.join(before)} can be {doing}"
        raise Conflict(message, code="wrong_state")


class Group(StrEnum):
    """In which part of an audience somebody is."""

    SENT_TO = "sent_to"
    CONTROL = "control"
    OUTSIDE = "outside"


def group_of(distinct_id: str, options: Options) -> Group:
    """Return in which part of an audience somebody is, always the same for the same id.

    The control group are the lowest buckets, the sample the next ones: raising the sample only ever adds people.
    """
    bucket = bucket_of(distinct_id)
    control, sent_to = bounds_of(options)
    if bucket < control:
        return Group.CONTROL
    return Group.SENT_TO if bucket < sent_to else Group.OUTSIDE


def bounds_of(options: Options) -> tuple[int, int]:
    """Return the bucket below which somebody is in the control group, and the one below which they are sent to."""
    control = round((options.control or 0) * BUCKETS)
    sample = BUCKETS if options.sample is None else round(options.sample * (BUCKETS - control))
    return control, control + sample


def is_as_expected(members: int, *, expected: int | None, tolerance: float) -> bool:
    """Tell whether an audience is as large as a person was told, within a share of that."""
    return expected is None or abs(members - expected) <= expected * tolerance


def quiet_until(quiet: QuietHours, at: datetime, zone: ZoneInfo) -> datetime | None:
    """Return when the quiet hours end in which an instant falls for a zone (in UTC); None if it is in none.

    Hours that begin later than they end go over midnight; equal ones are none.
    """
    local = at.astimezone(zone)
    begins, ends = time.fromisoformat(quiet.begins), time.fromisoformat(quiet.ends)
    now = local.time().replace(tzinfo=None)
    if begins == ends:
        return None
    over_midnight = begins > ends
    if not (now >= begins or now < ends if over_midnight else begins <= now < ends):
        return None
    day = local.date() + timedelta(days=1) if over_midnight and now >= begins else local.date()
    end = datetime.combine(day, ends, tzinfo=zone)
    # A change of the clocks may leave the end out, or put it before the instant that it is to follow.
    return max(end.astimezone(at.tzinfo), at + timedelta(minutes=1))
