"""What a plan is in any SQL: the tree above the tests, and the cohorts that it names, as columns of one query.

Missing values are NULL, and SQL's logic has three values where rules have two. So negation is pushed down to the tests:
what is left above them is AND and OR, for which NULL may stand for false all the way up, and a negated test is
`(test) IS NOT TRUE`, which is never NULL. Tests that are not negated stay bare, so that the engine can use them to skip
what cannot match.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from sqlglot import exp

from traitbase.domain.rules.plan import Leaf, Plan, PlanNode
from traitbase.domain.rules.tree import Combinator
from traitbase.domain.values import Number

_INT64_MAX = 2**63 - 1


class PlanCompiler(ABC):
    """Builds one query about a space. A subclass says whom it is about, and what the tests are."""

    @abstractmethod
    def everyone(self) -> exp.Select:
        """Return the query of all profiles, with everything that tests look at."""

    @abstractmethod
    def test(self, leaf: Leaf, plan: Plan, layers: Mapping[str, str]) -> exp.Expression:
        """Return a leaf's test, true or not (false or NULL). `layers` are the columns of cohorts, by their ids."""

    def source(self, plans: Mapping[str, Plan]) -> exp.Select:
        """Return the query of all profiles, with a boolean column, never NULL, for each plan by its name.

        The cohorts that a plan names are columns, too, each worked out once in the same pass over the profiles.
        """
        query = self.everyone()
        for name, plan in plans.items():
            query, layers = self._with_cohorts(query, plan, name)
            query = _with_column(query, name, self._node(plan.root, plan, layers, negated=False))
        return query

    def filtered(self, plan: Plan) -> exp.Select:
        """Return the query of the profiles that are in."""
        query, layers = self._with_cohorts(self.everyone(), plan, "cohort")
        return _from(query).where(self._node(plan.root, plan, layers, negated=False), copy=False)

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
