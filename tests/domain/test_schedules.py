"""Schedules: what a local time means on the days on which clocks are moved, and rules across them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traitbase.domain.errors import InvalidInput
from traitbase.domain.schedules import instant_of, is_stale, parse_recurrence, recipient_time

BERLIN = ZoneInfo("Europe/Berlin")


def local(text):
    return datetime.fromisoformat(text)


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "wall", "at"),
    [
        ("Europe/Berlin", "2026-03-28 02:30", "2026-03-28 01:30"),
        ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29 01:30"),  # left out: it is 03:30 there
        ("Europe/Berlin", "2026-03-29 03:00", "2026-03-29 01:00"),
        ("Europe/Berlin", "2026-10-25 02:30", "2026-10-25 00:30"),  # twice: the first
        ("Europe/Berlin", "2026-10-25 03:00", "2026-10-25 02:00"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03 15:45"),  # by half an hour
        ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04 14:45"),
        ("Asia/Kolkata", "2026-03-29 02:30", "2026-03-28 21:00"),
        ("Asia/Kathmandu", "2026-03-29 02:30", "2026-03-28 20:45"),
        ("Pacific/Apia", "2011-12-29 10:00", "2011-12-29 20:00"),
        ("Pacific/Apia", "2011-12-30 10:00", "2011-12-30 20:00"),  # a day that was left out
        ("Pacific/Apia", "2011-12-31 10:00", "2011-12-30 20:00"),
        ("America/New_York", "2026-03-08 02:30", "2026-03-08 07:30"),
        ("America/New_York", "2026-11-01 01:30", "2026-11-01 05:30"),
    ],
)
def test_a_local_time_is_that_instant(zone, wall, at):
    assert instant_of(local(wall), ZoneInfo(zone)) == utc(at)


walls = st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1)).map(lambda each: each.replace(microsecond=0))  # noqa: DTZ001
zones = st.sampled_from(sorted(available_timezones())).map(ZoneInfo)


@given(walls, zones)
def test_clocks_then_show_it_or_what_they_were_moved_to_and_never_before(wall, zone):
    at = instant_of(wall, zone)
    shown = at.astimezone(zone).replace(tzinfo=None)
    if shown != wall:
        assert shown > wall  # left out: later by what the clocks were moved
        assert all(
            (at + timedelta(hours=step)).astimezone(zone).replace(tzinfo=None) != wall for step in (-2, -1, 1, 2)
        )
    else:
        for minutes in (15, 20, 30, 40, 60, 90, 120, 180):  # the first, if there are two
            assert (at - timedelta(minutes=minutes)).astimezone(zone).replace(tzinfo=None) != wall


@pytest.mark.parametrize(
    ("name", "zone", "is_theirs"),
    [
        ("Asia/Calcutta", "Asia/Calcutta", True),
        (" Asia/Tokyo ", "Asia/Tokyo", True),
        ("UTC", "UTC", True),
        ("GMT+5", "Europe/Berlin", False),
        ("", "Europe/Berlin", False),
        (None, "Europe/Berlin", False),
        ("Mars/X", "Europe/Berlin", False),
        ("../../etc/passwd", "Europe/Berlin", False),
        ("Europe", "Europe/Berlin", False),
    ],
)
def test_a_zone_that_does_not_exist_is_the_workspaces_and_is_said_to_be(name, zone, is_theirs):
    found = recipient_time(local("2026-06-01 10:00"), name, workspace_zone=BERLIN)
    assert (found.zone, found.zone_is_theirs) == (zone, is_theirs)
    assert found.at == instant_of(local("2026-06-01 10:00"), ZoneInfo(zone))


def test_an_hour_late_is_late_and_a_second_more_is_stale():
    planned = utc("2026-06-01 10:00")
    assert not is_stale(planned, now=planned + timedelta(hours=1))
    assert is_stale(planned, now=planned + timedelta(hours=1, seconds=1))
    assert not is_stale(planned, now=planned - timedelta(days=9))


@pytest.mark.parametrize(
    ("rule", "starts_at", "zone", "times"),
    [
        (
            "FREQ=DAILY",
            "2026-03-28 02:30",
            "Europe/Berlin",
            ["2026-03-28 01:30", "2026-03-29 01:30", "2026-03-30 00:30"],
        ),
        (
            "FREQ=DAILY",
            "2026-10-24 02:30",
            "Europe/Berlin",
            ["2026-10-24 00:30", "2026-10-25 00:30", "2026-10-26 01:30"],
        ),
        (  # what is left out and what follows are one instant, and one sending
            "FREQ=HOURLY",
            "2026-03-29 01:00",
            "Europe/Berlin",
            ["2026-03-29 00:00", "2026-03-29 01:00", "2026-03-29 02:00", "2026-03-29 03:00"],
        ),
        (
            "RRULE:FREQ=WEEKLY;BYDAY=MO,TH",
            "2026-03-26 10:00",
            "Europe/Berlin",
            ["2026-03-26 09:00", "2026-03-30 08:00", "2026-04-02 08:00"],
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=-1",
            "2026-01-31 08:00",
            "Asia/Kolkata",
            ["2026-01-31 02:30", "2026-02-28 02:30", "2026-03-31 02:30"],
        ),
        ("FREQ=YEARLY", "2024-02-29 08:00", "UTC", ["2024-02-29 08:00", "2028-02-29 08:00"]),
        ("FREQ=DAILY;COUNT=2", "2026-01-01 08:00", "UTC", ["2026-01-01 08:00", "2026-01-02 08:00"]),
        ("FREQ=DAILY;UNTIL=20260102T080000", "2026-01-01 08:00", "UTC", ["2026-01-01 08:00", "2026-01-02 08:00"]),
        (
            "FREQ=DAILY",
            "2011-12-29 10:00",
            "Pacific/Apia",
            ["2011-12-29 20:00", "2011-12-30 20:00", "2011-12-31 20:00"],
        ),
    ],
)
def test_a_rule_comes_back_at_the_local_time_whatever_the_clocks_do(rule, starts_at, zone, times):
    recurrence = parse_recurrence(rule, starts_at=local(starts_at), zone=ZoneInfo(zone))
    expected = [utc(each) for each in times]
    assert recurrence.after(expected[0] - timedelta(seconds=1), count=len(times)) == expected
    assert recurrence.after(expected[0] - timedelta(days=400), count=len(times)) == expected
    for before, behind in itertools.pairwise(expected):
        assert recurrence.after(before, count=1) == [behind]


@given(walls, zones, st.sampled_from(["FREQ=HOURLY", "FREQ=DAILY", "FREQ=WEEKLY;BYDAY=SU", "FREQ=MONTHLY"]))
def test_its_times_grow_and_asking_from_any_of_them_goes_on_behind_it(starts_at, zone, rule):
    recurrence = parse_recurrence(rule, starts_at=starts_at, zone=zone)
    times = recurrence.after(instant_of(starts_at, zone) - timedelta(days=3), count=30)
    assert times == sorted(set(times))
    assert recurrence.after(times[7], count=22) == times[8:]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("", "FREQ must be one of YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY"),
        ("every monday", "FREQ must be one of"),
        ("FREQ=SECONDLY", "FREQ must be one of"),
        ("FREQ=MINUTELY;INTERVAL=5", "FREQ must be one of"),
        ("FREQ=DAILY;BYMINUTE=0,1,2", "BYMINUTE cannot be given"),
        ("FREQ=DAILY;BYHOUR=25", "schedule.rule"),
        ("FREQ=DAILY;FOO=1", "schedule.rule"),
        ("FREQ=DAILY;INTERVAL=x", "schedule.rule"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "no time meets it within twelve years"),
        ("FREQ=DAILY;UNTIL=20200101T000000", "no time meets it"),
        ("FREQ=DAILY;UNTIL=20300101T000000Z", "UNTIL is a local time here"),
        ("FREQ=DAILY\nRRULE:FREQ=WEEKLY", "expected one rule"),
        ("FREQ=DAILY;" + "BYDAY=MO;" * 100, "at most 512 characters"),
    ],
)
def test_a_rule_that_is_none_says_why(rule, told):
    with pytest.raises(InvalidInput) as refused:
        parse_recurrence(rule, starts_at=local("2026-01-01 08:00"), zone=BERLIN)
    assert told in refused.value.message
