"""The instants of one day of the year, in every year there is."""

from __future__ import annotations

import calendar
from datetime import date, tzinfo
from functools import lru_cache

from traitbase.domain.rules.moments import day_interval

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_DAYS_IN_400_YEARS = 146_097

FIRST_YEAR, LAST_YEAR = 0, 10_000
"""A Date has the years 1 to 9999; in a zone, its instant can be in the year before or after."""


@lru_cache(maxsize=64)
def days_of(month: int, day: int, zone: tzinfo) -> tuple[list[int | None], list[int | None]]:
    """Return when that day begins and ends in each year (microseconds since 1970 UTC), as two lists.

    None for a year without it (29 February).
    """
    starts: list[int | None] = []
    ends: list[int | None] = []
    for year in range(FIRST_YEAR, LAST_YEAR + 1):
        if (month, day) == (2, 29) and not calendar.isleap(year):
            starts.append(None)
            ends.append(None)
            continue
        start, end = day_interval(_day_number(year, month, day), zone)
        starts.append(start)
        ends.append(end)
    return starts, ends


def _day_number(year: int, month: int, day: int) -> int:
    shift = (year < 1) - (year > 9999)  # to a year that a date can have, with the same calendar
    return date(year + 400 * shift, month, day).toordinal() - _EPOCH_ORDINAL - shift * _DAYS_IN_400_YEARS
