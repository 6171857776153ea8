"""List elements as keys: texts that are the same for equal elements, so that lists compare as texts.

A text is its own key. A number or a date has a key that no text has: texts that begin like one get its mark in front.
"""

from __future__ import annotations

from datetime import tzinfo

from traitbase.domain.rules.moments import walls_within
from traitbase.domain.rules.plan import Element
from traitbase.domain.values import NUMBER_DECIMALS

MARK = "\x01"
NUMBER, INSTANT, WALL = "n", "d", "w"


def keys_of(element: Element, zone: tzinfo) -> list[str]:
    """Return the keys under which an element equal to this one may stand in a list.

    There are several for a date: with an offset it is an instant, without one a wall that the zone makes an instant.
    """
    match element:
        case str():
            return [MARK + element if element.startswith(MARK) else element]
        case tuple():
            (instant,) = element
            walls = walls_within((instant, instant + 1), zone)
            return [f"{MARK}{INSTANT}{instant}", *(f"{MARK}{WALL}{low}" for low, _ in walls)]
        case int():
            return [f"{MARK}{NUMBER}{element}.{'0' * NUMBER_DECIMALS}"]
        case _:
            return [f"{MARK}{NUMBER}{element:.{NUMBER_DECIMALS}f}"]
