"""Days, calendar steps, and which walls are which instants, in zones whose clocks do odd things."""

from __future__ import annotations

import datetime as dt
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.populations import ZONES, Maker
from traitbase.domain.rules.moments import (
    DAY_US,
    HOUR_US,
    Moment,
    day_interval,
    instant_of_wall,
    month_and_day,
    months_away,
    offsets_between,
    wall_of,
    walls_within,
)
from traitbase.domain.values import instant_of

NEW_YORK = ZoneInfo("America/New_York")
makers = st.randoms(use_true_random=False).map(Maker)
zones = st.sampled_from(ZONES)


def at(text: str, zone: ZoneInfo = NEW_YORK) -> int:
    instant = instant_of(text, zone)
    assert instant is not None
    return instant


@given(makers, zones)
def test_a_wall_is_the_instant_that_a_date_without_an_offset_is(maker, zone):
    text = maker.instant().isoformat()
    wall = instant_of(f"{text}Z", zone)
    assert instant_of_wall(wall, zone) == instant_of(text, zone)


@given(makers, zones)
def test_a_clock_shows_the_wall_that_it_is_read_as(maker, zone):
    instant = maker.instant_us()
    shown = wall_of(instant, zone)
    # Where the clock was set back, the same is shown an hour later, too.
    assert abs(instant_of_wall(shown, zone) - instant) <= 2 * HOUR_US


@given(makers, zones, st.integers(-3 * HOUR_US, 3 * HOUR_US), st.booleans(), st.booleans())
def test_walls_within_an_interval_are_those_whose_instants_are(maker, zone, distance, has_low, has_high):
    low = maker.instant_us()
    high = low + abs(maker.random.randrange(3 * DAY_US))
    interval = (low if has_low else None, high if has_high else None)
    found = walls_within(interval, zone)
    edges = [edge for each in found for edge in each if edge is not None]
    tried = [low, high, low + distance, high + distance, *edges, *(edge - 1 for edge in edges)]
    tried += [wall_of(each, zone) + step for each in (low, high) for step in (-HOUR_US, -1, 0, 1, HOUR_US)]
    for wall in tried:
        instant = instant_of_wall(wall, zone)
        is_in = (not has_low or low <= instant) and (not has_high or instant < high)
        by_intervals = any((a is None or a <= wall) and (b is None or wall < b) for a, b in found)
        assert by_intervals == is_in


def test_a_day_has_23_hours_when_the_clock_skips_one():
    start, end = day_interval(at("2026-03-08T00:00:00Z") // DAY_US, NEW_YORK)
    assert (start, end) == (at("2026-03-08T05:00:00Z"), at("2026-03-09T04:00:00Z"))


def test_today_is_the_day_in_the_zone():
    now = at("2026-03-08T03:00:00Z")
    assert Moment(now, NEW_YORK).today == at("2026-03-07T00:00:00Z") // DAY_US
    assert Moment(now, ZoneInfo("UTC")).today == at("2026-03-08T00:00:00Z") // DAY_US


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("2026-03-31T12:00:00", -1, "2026-02-28T12:00:00"),
        ("2024-03-31T12:00:00", -1, "2024-02-29T12:00:00"),
        ("2024-02-29T12:00:00", -12, "2023-02-28T12:00:00"),
        ("2026-01-15T00:30:00", 12 * 3, "2029-01-15T00:30:00"),
        ("2026-02-08T02:30:00", 1, "2026-03-08T03:30:00"),  # 02:30 is skipped that day
    ],
)
def test_months_are_steps_in_the_calendar(start, months, end):
    assert months_away(at(start), months, NEW_YORK) == at(end)


@pytest.mark.parametrize("months", [-1_000_000, 12_000_000])
def test_months_beyond_every_date_lie_beyond_every_date(months):
    far = months_away(at("2026-01-01"), months, NEW_YORK)
    assert far < at("0001-01-01T00:00:00+23:59") if months < 0 else far > at("9999-12-31T23:59:59-23:59")


@given(st.dates())
def test_a_day_number_has_the_month_and_day_of_its_date(date):
    assert month_and_day(date.toordinal() - dt.date(1970, 1, 1).toordinal()) == (date.month, date.day)


def test_days_beyond_the_years_go_on_in_the_same_calendar():
    first, last = dt.date(1, 1, 1), dt.date(9999, 12, 31)
    epoch = dt.date(1970, 1, 1).toordinal()
    assert month_and_day(first.toordinal() - epoch - 1) == (12, 31)
    assert month_and_day(last.toordinal() - epoch + 1) == (1, 1)


def test_offsets_are_told_from_where_they_hold():
    first, last = at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z")
    found = [(wall, offset // HOUR_US) for wall, offset in offsets_between(first, last, NEW_YORK)]
    assert found == [(first, -5), (at("2026-03-08T03:00:00Z"), -4), (at("2026-11-01T02:00:00Z"), -5)]


def test_a_seed_makes_the_same_again():
    assert Maker(Random(7)).people(NEW_YORK) == Maker(Random(7)).people(NEW_YORK)
