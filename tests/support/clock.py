"""A clock that tests move: sleeping moves it at once, and what was slept is written down."""

from __future__ import annotations

import itertools

from traitbase.client import Surroundings


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []
        self.chance = 0.0
        keys = itertools.count(1)
        self.surroundings = Surroundings(
            monotonic=lambda: self.now,
            sleep=self.sleep,
            random=lambda: self.chance,
            new_key=lambda: f"key-{next(keys)}",
        )

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
