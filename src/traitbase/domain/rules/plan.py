"""A rule tree made ready for one moment: what each node asks, with nothing left to look up.

Every test is positive and false for a missing value (but a size, for which missing counts 0); what is negative is the
same test with `negated`, which is exactly its complement. Dates are intervals of instants by now, texts without regard
to case are folded, and every other cohort is either a part of the plan or a static one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from traitbase.domain.errors import Fault
from traitbase.domain.rules.fields import Field
from traitbase.domain.rules.moments import Moment
from traitbase.domain.rules.tree import Combinator, Group, Rule
from traitbase.domain.values import Kind, Number


@dataclass(frozen=True, slots=True)
class Property:
    """A user property and its type; None: there is no such property yet, so nobody has a value."""

    name: str
    kind: Kind | None


Subject: TypeAlias = Property | Field


@dataclass(frozen=True, slots=True)
class Present:
    """Whether there is a value. `""`, 0, false and `[]` are values."""


@dataclass(frozen=True, slots=True)
class TextIs:
    """Whether a text is one of these. `folded`: its ASCII letters are made small first, as those here are."""

    texts: frozenset[str]
    folded: bool


class Where(StrEnum):
    """Where in a text a part is looked for."""

    ANYWHERE = "anywhere"
    START = "start"
    END = "end"


@dataclass(frozen=True, slots=True)
class TextHas:
    """Whether a text has this part there."""

    part: str
    where: Where
    folded: bool


@dataclass(frozen=True, slots=True)
class NumberIs:
    """Whether a number is one of these."""

    numbers: frozenset[Number]


@dataclass(frozen=True, slots=True)
class NumberWithin:
    """Whether a number lies between these; None: without end. The ends are in unless said otherwise."""

    low: Number | None = None
    high: Number | None = None
    low_is_out: bool = False
    high_is_out: bool = False


@dataclass(frozen=True, slots=True)
class BooleanIs:
    """Whether a boolean is this one."""

    value: bool


@dataclass(frozen=True, slots=True)
class DateWithin:
    """Whether a date's instant lies from `low_us` (in) to `high_us` (out); None: without end."""

    low_us: int | None
    high_us: int | None


@dataclass(frozen=True, slots=True)
class OnAnniversary:
    """Whether a date's calendar day has one of these months and days.

    The day of a Date without an offset is the one that is written; that of an instant is the day in the moment's zone.
    """

    days: frozenset[tuple[int, int]]


Element: TypeAlias = "str | Number | tuple[int]"
"""What list elements are compared by: a text, a number, or the instant of a text that is a Date (`identity_of`)."""


@dataclass(frozen=True, slots=True)
class HasAny:
    """Whether a list has at least one of these elements."""

    elements: frozenset[Element]


@dataclass(frozen=True, slots=True)
class HasAll:
    """Whether a list has every one of these elements."""

    elements: frozenset[Element]


@dataclass(frozen=True, slots=True)
class SizeIs:
    """Whether the number of a list's elements is within this, missing counting 0."""

    size: NumberWithin


@dataclass(frozen=True, slots=True)
class InCohorts:
    """Whether the profile is a member of at least one of these cohorts."""

    cohort_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Never:
    """False: what is asked of a property that is not there yet."""


Test: TypeAlias = (
    Present
    | TextIs
    | TextHas
    | NumberIs
    | NumberWithin
    | BooleanIs
    | DateWithin
    | OnAnniversary
    | HasAny
    | HasAll
    | SizeIs
    | InCohorts
    | Never
)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One rule: what is tested of what, and whether its complement is meant. `path` leads to it from the root."""

    path: str
    rule: Rule
    subject: Subject
    test: Test
    negated: bool


@dataclass(frozen=True, slots=True)
class Junction:
    """One group. `negated` flips what the combinator makes of the parts."""

    path: str
    combinator: Combinator
    parts: tuple[PlanNode, ...]
    negated: bool


PlanNode: TypeAlias = Leaf | Junction


@dataclass(frozen=True, slots=True)
class Plan:
    """A tree at one moment, and the dynamic cohorts that it names: each behind those that it names itself.

    `static_cohorts` are the ids of the static ones that any of them names. `warnings` say what is odd but no fault.
    """

    moment: Moment
    tree: Group
    root: Junction
    cohorts: tuple[tuple[str, Junction], ...] = ()
    static_cohorts: frozenset[str] = frozenset()
    warnings: tuple[Fault, ...] = field(default=())
