"""What the cohort services need of an engine. `segments` implements it; one contract suite checks each implementation.

An engine answers for one moment: that at which its view was opened. All that was answered before is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from traitbase.domain.rules.moments import Moment
from traitbase.domain.rules.plan import Plan
from traitbase.domain.rules.resolving import Catalogue
from traitbase.domain.spaces import Space
from traitbase.domain.values import Kind, Number, Scalar
from traitbase.services.ports import Snapshot


@dataclass(frozen=True, slots=True)
class Difference:
    """Who comes in and who goes out when one rule takes the place of another: how many, and the first ids in order."""

    entering: int
    leaving: int
    entering_sample: tuple[str, ...]
    leaving_sample: tuple[str, ...]


QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class ValueCount(NamedTuple):
    """A value, and how many profiles have it (of a list: as an element)."""

    value: Scalar
    profiles: int


@dataclass(frozen=True, slots=True)
class Insight:
    """What the values of a property are like, for whoever builds a rule.

    `distinct` counts different values (of a list: elements), `top` are the most frequent. For numbers and dates there
    are `smallest`, `largest` and `quantiles` (the 5th, 25th, 50th, 75th and 95th percentile, each a value that is
    there); of numbers also the exact `total`. Dates are instants, in microseconds since 1970 UTC. Lists have the sizes
    of theirs in `sizes` (smallest and largest).
    """

    name: str
    kind: Kind
    profiles: int
    having: int
    distinct: int
    top: tuple[ValueCount, ...]
    smallest: Number | None = None
    largest: Number | None = None
    quantiles: tuple[Number, ...] = ()
    total: Number | None = None
    sizes: tuple[int, int] | None = None


class CohortView(Protocol):
    """The profiles of a space at one moment. Used by one thread at a time.

    Its methods raise Refused: `cohort_too_slow` if an answer takes longer than it may, `cohort_too_large` if it needs
    more memory than there is for it, `cohorts_not_ready` if the engine's own data turned out to be damaged.
    """

    catalogue: Catalogue
    snapshot: Snapshot

    def moment_at(self, now_us: int) -> Moment:
        """Return a moment in the workspace's time zone."""

    def count(self, plan: Plan) -> int:
        """Return how many are in."""

    def total(self) -> int:
        """Return how many profiles there are."""

    def members(self, plan: Plan, *, after: str = "", limit: int) -> list[str]:
        """Return up to `limit` distinct_ids of members behind the id `after`, in order of code points."""

    def all_members(self, plan: Plan) -> Iterator[Sequence[str]]:
        """Yield the distinct_ids of all members in order of code points, some thousand at a time."""

    def compare(self, before: Plan, after: Plan, *, sample: int) -> Difference:
        """Return who is in by one plan and not by the other, with up to `sample` ids of each."""

    def insight(self, name: str, *, top: int) -> Insight:
        """Return what the values of a property are like, with up to `top` of the most frequent ones.

        Raises NotFound if there is no such property.
        """


@dataclass(frozen=True, slots=True)
class EngineState:
    """How an engine is: `ready`, or what it is doing first and how far it has come (in profiles)."""

    doing: str
    done: int = 0
    of: int = 0
    seconds_left: float | None = None


READY = EngineState("ready")


class CohortEngine(Protocol):
    """Answers who is in, for every space of a store. Safe to use from several threads."""

    def start(self) -> None:
        """Keep up in the background from now on. Without this, whoever asks first waits for all there is to do."""

    def open_view(self, space: Space) -> AbstractContextManager[CohortView]:
        """Open a view of a space as it is now. Raises NotFound without such a workspace.

        Raises Refused (`cohorts_not_ready`), saying how far it is, if the engine cannot answer for now within some
        seconds: it never answers for an earlier moment.
        """

    def state(self) -> EngineState:
        """Tell how the engine is."""

    def clear_traces(self) -> bool:
        """See to it that nothing of erased profiles can be read from the engine's files.

        False if that would take long and is done by and by.
        """

    def close(self) -> None:
        """End all work and give everything back."""
