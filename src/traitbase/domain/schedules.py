"""When a campaign is sent: instants, local times in each recipient's zone, and rules that come back.

A local time that a change of the clocks leaves out is taken by the offset before the change, so that it comes as much
later as the clocks were moved (RFC 5545, 3.3.5); one that comes twice is taken the first time, and only then. The same
holds for a day that a zone leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dateutil.rrule import rruleset, rrulestr

from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.spaces import find_zone

RULE_CHARACTERS_MAX = 512
LATE_SECONDS_MAX = 3_600
"""A time that passed longer ago than that is for a person to decide about: see `is_stale`."""

_EVERY = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY")
_LOOKED_AT_MAX = 10_000
_FARTHEST = timedelta(days=366 * 12)


class RecipientTime(NamedTuple):
    """When somebody is reached. `zone_is_theirs`: False if they have none that exists, and the workspace's counts."""

    at: datetime
    zone: str
    zone_is_theirs: bool


def instant_of(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant (in UTC) at which a zone's clocks show a time. `local` has no zone itself."""
    assert local.tzinfo is None, "a local time has no zone of its own"
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def recipient_time(local: datetime, zone_name: str | None, *, workspace_zone: ZoneInfo) -> RecipientTime:
    """Return when it is that local time for somebody: in their own zone, or else in the workspace's."""
    own = find_zone(zone_name.strip()) if zone_name and zone_name.strip() else None
    zone = workspace_zone if own is None else own
    return RecipientTime(instant_of(local, zone), zone.key, own is not None)


def is_stale(planned_at: datetime, *, now: datetime) -> bool:
    """Tell whether a time that was planned passed so long ago that nobody should be surprised by it now."""
    return now - planned_at > timedelta(seconds=LATE_SECONDS_MAX)


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A rule of RFC 5545 (`FREQ=WEEKLY;BYDAY=MO`) from a local time on, in a zone."""

    rule: str
    starts_at: datetime
    zone: ZoneInfo
    _times: rruleset

    def after(self, moment: datetime, *, count: int) -> list[datetime]:
        """Return up to `count` instants (in UTC) later than a moment, in order, none of them twice."""
        return list(islice(self._later_than(moment), count))

    def _later_than(self, moment: datetime) -> Iterator[datetime]:
        # Two days are more than any clock is from any other; from there on each is looked at.
        local = max(
            moment.astimezone(UTC).replace(tzinfo=None) - timedelta(days=2), self.starts_at - timedelta(seconds=1)
        )
        latest = moment.astimezone(UTC)
        for time in islice(self._times.xafter(local), _LOOKED_AT_MAX):
            at = instant_of(time, self.zone)
            if at > latest:
                latest = at
                yield at


def parse_recurrence(rule: str, *, starts_at: datetime, zone: ZoneInfo) -> Recurrence:
    """Return a rule that comes back. `starts_at` is the first local time that it may be.

    Raises InvalidInput that says what is wrong with the rule, also if there is no time that meets it.
    """
    text = rule.strip().removeprefix("RRULE:")
    if len(text) > RULE_CHARACTERS_MAX:
        raise _refused(f"a rule has at most {RULE_CHARACTERS_MAX} characters, this one {len(text)}")
    if "\n" in text or ":" in text:
        raise _refused("expected one rule, such as FREQ=WEEKLY;BYDAY=MO")
    parts = dict(part.partition("=")[::2] for part in text.upper().split(";"))
    if parts.get("FREQ") not in _EVERY:
        raise _refused(f"FREQ must be one of {', '.join(_EVERY)}, such as FREQ=WEEKLY;BYDAY=MO")
    if too_often := {"BYSECOND", "BYMINUTE"} & parts.keys():
        raise _refused(f"{', '.join(sorted(too_often))} cannot be given: the minute is that of the first time")
    if parts.get("UNTIL", "").endswith("Z"):
        raise _refused("UNTIL is a local time here, without a Z at its end")
    try:
        times = rrulestr(text, dtstart=starts_at, forceset=True, ignoretz=True)
        first = times.xafter(starts_at, count=1, inc=True)
        found = next(iter(first), None)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise _refused(str(error) or "it cannot be read") from error
    if found is None or found > starts_at + _FARTHEST:
        raise _refused("no time meets it within twelve years")
    return Recurrence(text, starts_at, zone, times)


def _refused(what: str) -> InvalidInput:
    message = f"schedule.rule: {what}"
    return InvalidInput(message, faults=(Fault("schedule.rule", what),), code="bad_schedule")
