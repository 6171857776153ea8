"""Now, and what days and calendar steps are around it in a time zone. Instants and walls are microseconds since 1970.

A *wall* is what a clock on the wall shows, as if it were UTC: a Date written without an offset is one until a zone
makes it an instant. Where the zone's clock skips or repeats an hour, the earlier offset counts (`fold=0`), as
everywhere else in the product.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TypeAlias

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000

Interval: TypeAlias = tuple[int | None, int | None]
"""From the first (included) to the second (not included); None: without end."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # of walls: no zone involved
_EPOCH_ORDINAL = _EPOCH.toordinal()
_MICROSECOND = timedelta(microseconds=1)
_FIRST_US = (datetime(1, 1, 1) - _EPOCH) // _MICROSECOND  # noqa: DTZ001  # as above
_LAST_US = (datetime(9999, 12, 31) - _EPOCH) // _MICROSECOND + DAY_US - 1  # noqa: DTZ001  # as above
_FIRST_DAY, _LAST_DAY = _FIRST_US // DAY_US, _LAST_US // DAY_US


@dataclass(frozen=True, slots=True)
class Moment:
    """Now (microseconds since 1970 UTC), taken once per evaluation, and the workspace's time zone."""

    now_us: int
    zone: tzinfo

    @property
    def today(self) -> int:
        """The calendar day that it is: days since 1970-01-01."""
        return wall_of(self.now_us, self.zone) // DAY_US


def wall_of(instant_us: int, zone: tzinfo) -> int:
    """Return what a clock in the zone shows at an instant."""
    # Beyond the years that a datetime can hold, the zone is as it is at their ends.
    at = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=min(max(instant_us, _FIRST_US), _LAST_US))
    try:
        offset = at.astimezone(zone).utcoffset()
    except OverflowError:  # the local time would lie outside
        offset = zone.utcoffset(at.replace(tzinfo=None))
    return instant_us + (offset or timedelta()) // _MICROSECOND


def instant_of_wall(wall_us: int, zone: tzinfo) -> int:
    """Return the instant at which a clock in the zone shows this."""
    return wall_us - offset_of_wall(wall_us, zone)


def offset_of_wall(wall_us: int, zone: tzinfo) -> int:
    """Return how far the zone is ahead of UTC when its clock shows this (microseconds)."""
    local = _EPOCH + timedelta(microseconds=min(max(wall_us, _FIRST_US), _LAST_US))
    return (local.replace(tzinfo=zone).utcoffset() or timedelta()) // _MICROSECOND


def day_interval(day: int, zone: tzinfo) -> tuple[int, int]:
    """Return the instants of a calendar day (days since 1970-01-01), from its first one to that of the next day."""
    return instant_of_wall(day * DAY_US, zone), instant_of_wall((day + 1) * DAY_US, zone)


def month_and_day(day: int) -> tuple[int, int]:
    """Return month and day of the month of a calendar day (days since 1970-01-01), in any year."""
    _, month, number = _calendar_of(day)
    return month, number


def is_leap_year(day: int) -> bool:
    """Tell whether the year of a calendar day is one with a 29 February."""
    return calendar.isleap(_calendar_of(day)[0])


def months_away(instant_us: int, months: int, zone: tzinfo) -> int:
    """Return the instant some calendar months later (negative: earlier) in the zone, at the same time of the day.

    A day that the month does not have becomes its last: a month before 31 March is 28 or 29 February.
    """
    wall = wall_of(instant_us, zone)
    year, month, number = _calendar_of(wall // DAY_US)
    count = year * 12 + month - 1 + months
    year, month = count // 12, count % 12 + 1
    if not 1 <= year <= 9999:
        return instant_us + months * 31 * DAY_US  # beyond every Date there is, in the same direction
    number = min(number, calendar.monthrange(year, month)[1])
    day = datetime(year, month, number).toordinal() - _EPOCH_ORDINAL  # noqa: DTZ001  # a calendar day
    return instant_of_wall(day * DAY_US + wall % DAY_US, zone)


@lru_cache(maxsize=4_096)
def walls_within(interval: Interval, zone: tzinfo) -> tuple[Interval, ...]:
    """Return which walls are instants within the interval, when read in the zone.

    That is mostly one interval, moved by the offset; near a change of the zone's clock it can be up to three, because
    the hour that the clock skips is read with the offset before it.
    """
    low, high = interval
    from_low = ((None, None),) if low is None else _at_least(low, zone)
    before_high = ((None, None),) if high is None else _complement(_at_least(high, zone))
    return tuple(_intersection(from_low, before_high))


def offsets_between(first: int, last: int, zone: tzinfo) -> list[tuple[int, int]]:
    """Return the offsets of the zone's clock from one wall to another: from which wall on, and how far ahead of UTC.

    Of changes that are taken back within a day, it may know nothing.
    """
    return [(start, offset) for start, _, offset in _segments(first, last + 1, zone, step=DAY_US)]


def _at_least(low: int, zone: tzinfo) -> tuple[Interval, ...]:
    """Return which walls are instants from `low` on, in order. The last is without end: no offset is a whole day."""
    found: list[Interval] = []
    certain = low + DAY_US
    for start, stop, offset in (*_segments(low - DAY_US, certain, zone), (certain, None, 0)):
        first = max(start, low + offset) if stop is not None else start
        if stop is not None and first >= stop:
            continue
        if found and found[-1][1] == first:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((first, stop))
    return tuple(found)


def _complement(intervals: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """Return what lies before and between some intervals that are in order, none without a beginning."""
    edges = [None, *(edge for interval in intervals for edge in interval)]
    return tuple((edges[at], edges[at + 1]) for at in range(0, len(edges) - 1, 2))


def _intersection(these: tuple[Interval, ...], those: tuple[Interval, ...]) -> Iterator[Interval]:
    for low, high in these:
        for other_low, other_high in those:
            lows = [each for each in (low, other_low) if each is not None]
            highs = [each for each in (high, other_high) if each is not None]
            start, stop = max(lows, default=None), min(highs, default=None)
            if start is None or stop is None or start < stop:
                yield start, stop


def _segments(first: int, end: int, zone: tzinfo, step: int = HOUR_US) -> Iterator[tuple[int, int, int]]:
    """Yield the stretches of walls with one offset: from, to, offset. A clock changes at most once within a step."""
    start, offset = first, offset_of_wall(first, zone)
    at = first
    while at < end:
        following = min(at + step, end)
        new = offset_of_wall(following, zone)
        if new != offset:
            change = _first_with(new, at, following, zone)
            yield start, change, offset
            start, offset = change, new
        at = following
    yield start, end, offset


def _first_with(offset: int, before: int, at: int, zone: tzinfo) -> int:
    while at - before > 1:
        middle = (before + at) // 2
        if offset_of_wall(middle, zone) == offset:
            at = middle
        else:
            before = middle
    return at


def _calendar_of(day: int) -> tuple[int, int, int]:
    """Return year, month and day of a calendar day; beyond the years 1 to 9999, of the same day 400 years nearer."""
    while day < _FIRST_DAY:
        day += 146_097
    while day > _LAST_DAY:
        day -= 146_097
    date = datetime.fromordinal(day + _EPOCH_ORDINAL)
    return date.year, date.month, date.day
