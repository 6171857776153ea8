"""The reference: whether one profile is in, in plain Python. Slow and right; the engines are tested against it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import assert_never

from traitbase.domain.rules.fields import Field, Person, value_of
from traitbase.domain.rules.moments import DAY_US, month_and_day, wall_of
from traitbase.domain.rules.plan import (
    BooleanIs,
    DateWithin,
    HasAll,
    HasAny,
    InCohorts,
    Junction,
    Leaf,
    Never,
    NumberIs,
    NumberWithin,
    OnAnniversary,
    Plan,
    PlanNode,
    Present,
    Property,
    SizeIs,
    Subject,
    TextHas,
    TextIs,
    Where,
)
from traitbase.domain.rules.texts import folded
from traitbase.domain.rules.tree import Combinator
from traitbase.domain.values import Number, Value, has_offset, identity_of, instant_of


def is_member(plan: Plan, person: Person) -> bool:
    """Tell whether a person is in. Two-valued: what is missing makes tests false and their complements true."""
    return holds(plan.root, person, plan, memberships_of(plan, person))


def memberships_of(plan: Plan, person: Person) -> dict[str, bool]:
    """Return of each cohort that the plan names whether the person is in it."""
    found = {cohort_id: cohort_id in person.static_cohorts for cohort_id in plan.static_cohorts}
    for cohort_id, root in plan.cohorts:  # each behind those that it names
        found[cohort_id] = holds(root, person, plan, found)
    return found


def holds(node: PlanNode, person: Person, plan: Plan, memberships: Mapping[str, bool]) -> bool:
    """Tell whether a node of a plan is true of a person."""
    if isinstance(node, Junction):
        parts = (holds(part, person, plan, memberships) for part in node.parts)
        return (all(parts) if node.combinator is Combinator.AND else any(parts)) is not node.negated
    return _passes(node, person, plan.moment.zone, memberships) is not node.negated


def seen_of(subject: Subject, person: Person) -> Value | None:
    """Return the value that a rule sees: of a property or a built-in field, None for nothing.

    Those of `$created_at` and `$updated_at` are instants (microseconds).
    """
    if isinstance(subject, Property):
        return person.properties.get(subject.name) if subject.kind is not None else None
    return None if subject is Field.COHORT else value_of(subject, person)


def _passes(leaf: Leaf, person: Person, zone: tzinfo, memberships: Mapping[str, bool]) -> bool:  # noqa: C901, PLR0912  # one branch a test
    test = leaf.test
    if isinstance(test, InCohorts):
        return any(memberships[cohort_id] for cohort_id in test.cohort_ids)
    value = seen_of(leaf.subject, person)
    if isinstance(test, SizeIs):
        return _is_within(len(value) if isinstance(value, list) else 0, test.size)
    if value is None:
        return False
    match test:
        case Present():
            return True
        case Never():
            return False
        case TextIs(texts, fold):
            return _text(value, fold=fold) in texts
        case TextHas(part, where, fold):
            return _has_part(_text(value, fold=fold), part, where)
        case NumberIs(numbers):
            return value in numbers
        case NumberWithin():
            assert not isinstance(value, str | list)
            return _is_within(value, test)
        case BooleanIs(wanted):
            return value is wanted
        case DateWithin(low_us, high_us):
            at = _instant(value, zone)
            return (low_us is None or low_us <= at) and (high_us is None or at < high_us)
        case OnAnniversary(days):
            return month_and_day(_day(value, zone)) in days
        case HasAny(elements):
            assert isinstance(value, list)
            return any(identity_of(element, zone) in elements for element in value)
        case HasAll(elements):
            assert isinstance(value, list)
            return elements <= {identity_of(element, zone) for element in value}
        case _:
            assert_never(test)


def _text(value: Value, *, fold: bool) -> str:
    assert isinstance(value, str)
    return folded(value) if fold else value


def _has_part(text: str, part: str, where: Where) -> bool:
    match where:
        case Where.ANYWHERE:
            return part in text
        case Where.START:
            return text.startswith(part)
        case Where.END:
            return text.endswith(part)
        case _:
            assert_never(where)


def _is_within(number: Number, test: NumberWithin) -> bool:
    above = test.low is None or (number > test.low if test.low_is_out else number >= test.low)
    below = test.high is None or (number < test.high if test.high_is_out else number <= test.high)
    return above and below


def _instant(value: Value, zone: tzinfo) -> int:
    if isinstance(value, int):
        return value  # of a built-in field
    assert isinstance(value, str)
    at = instant_of(value, zone)
    assert at is not None, "a Date property holds Dates"
    return at


def _day(value: Value, zone: tzinfo) -> int:
    """Return the calendar day of a date: as it is written, or of an instant the day in the zone."""
    if isinstance(value, str) and not has_offset(value):
        at = instant_of(value, UTC)
        assert at is not None
        return at // DAY_US
    return wall_of(_instant(value, zone), zone) // DAY_US
