"""What a plan is in any SQL: the tree above the tests, and the cohorts that it names, as columns of one query.

Missing values are NULL, and SQL's logic has three values where rules have two. So negation is pushed down to the tests:
what is left above them is AND and OR, for which NULL may stand for false all the way up, and a negated test is
`(test) IS NOT TRUE`, which is never NULL. Tests that are not negated stay bare, so that the engine can use them to skip
what cannot match.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from typing import Any, ClassVar

from sqlglot import exp

from traitbase.domain.rules.moments import Interval
from traitbase.domain.rules.plan import Leaf, NumberWithin, Plan, PlanNode
from traitbase.domain.rules.tree import Combinator
from traitbase.domain.values import Number

_INT64_MAX = 2**63 - 1


class PlanCompiler(ABC):
    """Builds one query about a space. A subclass says whom it is about, and what the tests are."""

    number_type: ClassVar[str]
    """The type in which numbers are exact."""

    @abstractmethod
    def parameter(self, value: Any, type_: str) -> exp.Expression:
        """Bind a value, and return what stands for it."""

    @abstractmethod
    def everyone(self, static_cohorts: Collection[str] = ()) -> exp.Select:
        """Return the query of all profiles, with everything that tests look at: also of membership in those cohorts."""

    @abstractmethod
    def test(self, leaf: Leaf, plan: Plan, layers: Mapping[str, str]) -> exp.Expression:
        """Return a leaf's test, true or not (false or NULL). `layers` are the columns of cohorts, by their ids."""

    def source(self, plans: Mapping[str, Plan]) -> exp.Select:
        """Return the query of all profiles, with a boolean column, never NULL, for each plan by its name.

        The cohorts that a plan names are columns, too, each worked out once in the same pass over the profiles.
        """
        query = self.everyone(frozenset().union(*(plan.static_cohorts for plan in plans.values())))
        for name, plan in plans.items():
            query, layers = self._with_cohorts(query, plan, name)
            query = _with_column(query, name, self._node(plan.root, plan, layers, negated=False))
        return query

    def filtered(self, plan: Plan) -> exp.Select:
        """Return the query of the profiles that are in."""
        query, layers = self._with_cohorts(self.everyone(plan.static_cohorts), plan, "cohort")
        return _from(query).where(self._node(plan.root, plan, layers, negated=False), copy=False)

    def within(self, value: exp.Expression, test: NumberWithin) -> exp.Expression:
        """Return the condition that a number lies between two."""
        conditions: list[exp.Expression] = []
        if test.low is not None:
            low = self.parameter(digits_of(test.low), self.number_type)
            conditions.append(
                exp.GT(this=value, expression=low) if test.low_is_out else exp.GTE(this=value, expression=low)
            )
        if test.high is not None:
            high = self.parameter(digits_of(test.high), self.number_type)
            conditions.append(
                exp.LT(this=value, expression=high) if test.high_is_out else exp.LTE(this=value, expression=high)
            )
        return exp.paren(exp.and_(*conditions, copy=False), copy=False)

    def in_interval(self, value: exp.Expression, interval: Interval) -> exp.Expression:
        """Return the condition that a time, in microseconds, lies in an interval."""
        low, high = interval
        conditions: list[exp.Expression] = []
        if low is not None:
            conditions.append(exp.GTE(this=value.copy(), expression=self.parameter(clamped(low), "BIGINT")))
        if high is not None:
            conditions.append(exp.LT(this=value.copy(), expression=self.parameter(clamped(high), "BIGINT")))
        return exp.paren(exp.and_(*conditions, copy=False), copy=False) if conditions else is_there(value.copy())

    def _with_cohorts(self, query: exp.Select, plan: Plan, name: str) -> tuple[exp.Select, dict[str, str]]:
        """Return a query with a column for each cohort that a plan names, and those columns by cohort id."""
        layers: dict[str, str] = {}
        for number, (cohort_id, root) in enumerate(plan.cohorts):
            layer = f"{name}_{number}"
            query = _with_column(query, layer, self._node(root, plan, layers, negated=False))
            layers[cohort_id] = layer
        return query, layers

    def _node(self, node: PlanNode, plan: Plan, layers: Mapping[str, str], *, negated: bool) -> exp.Expression:
        if isinstance(node, Leaf):
            return self._leaf(node, plan, layers, negated=node.negated is not negated)
        negated = node.negated is not negated
        parts = [self._node(part, plan, layers, negated=negated) for part in node.parts]
        is_conjunction = (node.combinator is Combinator.AND) is not negated
        if not parts:
            return exp.true() if is_conjunction else exp.false()
        return exp.paren(exp.and_(*parts, copy=False) if is_conjunction else exp.or_(*parts, copy=False), copy=False)

    def _leaf(self, leaf: Leaf, plan: Plan, layers: Mapping[str, str], *, negated: bool) -> exp.Expression:
        test = self.test(leaf, plan, layers)
        if not negated:
            return test
        return exp.Not(this=exp.Is(this=exp.paren(test, copy=False), expression=exp.true()))


def _with_column(query: exp.Select, name: str, condition: exp.Expression) -> exp.Select:
    is_so = exp.Is(this=exp.paren(condition, copy=False), expression=exp.true())
    return exp.select("*", exp.alias_(is_so, name)).from_(query.subquery("people", copy=False), copy=False)


def _from(query: exp.Select) -> exp.Select:
    return exp.select("*").from_(query.subquery("people", copy=False), copy=False)


def days_around(month: int, number: int) -> set[tuple[int, int]]:
    """Return the days that are next to a day of the year in some year, and itself."""
    days = {
        day + timedelta(days=step)
        for year in (2023, 2024)
        for step in (-1, 0, 1)
        for day in [date(2024 if (month, number) == (2, 29) else year, month, number)]
    }
    return {(day.month, day.day) for day in days}


def is_there(value: exp.Expression) -> exp.Expression:
    """Return the condition that there is a value."""
    return exp.Not(this=exp.Is(this=value, expression=exp.null()))


def any_of(conditions: Iterable[exp.Expression]) -> exp.Expression:
    """Return the condition that one of some holds."""
    return exp.paren(exp.or_(*conditions, copy=False), copy=False)


def digits_of(number: Number) -> str:
    """Return a number without an exponent."""
    return format(number, "f") if not isinstance(number, int) else str(number)


def clamped(us: int) -> int:
    """Return a time, or the first or last one that 64 bits can hold."""
    return min(max(us, -_INT64_MAX), _INT64_MAX)
