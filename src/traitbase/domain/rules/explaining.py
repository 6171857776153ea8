"""Why somebody is in or out: every node of the tree, what it saw and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass

from traitbase.domain.rules.evaluating import holds, memberships_of, seen_of
from traitbase.domain.rules.fields import Person
from traitbase.domain.rules.plan import InCohorts, Junction, Plan, PlanNode, Subject
from traitbase.domain.rules.tree import Combinator, Rule
from traitbase.domain.values import Value


@dataclass(frozen=True, slots=True)
class ExplainedRule:
    """A rule that was asked. `seen` is the value (None: there is none; of dates that are built in, microseconds).

    Of a rule about cohorts, `memberships` says of each whether the person is in.
    """

    path: str
    rule: Rule
    subject: Subject
    holds: bool
    seen: Value | None
    memberships: dict[str, bool] | None = None


@dataclass(frozen=True, slots=True)
class ExplainedGroup:
    """A group that was asked, with all of its rules, also those that did not matter any more."""

    path: str
    combinator: Combinator
    negated: bool
    holds: bool
    parts: tuple[ExplainedRule | ExplainedGroup, ...]


def explain(plan: Plan, person: Person) -> ExplainedGroup:
    """Return why a person is in or out by a plan."""
    memberships = memberships_of(plan, person)

    def of_group(node: Junction) -> ExplainedGroup:
        parts = tuple(of_node(part) for part in node.parts)
        is_so = holds(node, person, plan, memberships)
        return ExplainedGroup(node.path, node.combinator, node.negated, is_so, parts)

    def of_node(node: PlanNode) -> ExplainedRule | ExplainedGroup:
        if isinstance(node, Junction):
            return of_group(node)
        is_so = holds(node, person, plan, memberships)
        if isinstance(node.test, InCohorts):
            of_each = {cohort_id: memberships[cohort_id] for cohort_id in sorted(node.test.cohort_ids)}
            return ExplainedRule(node.path, node.rule, node.subject, is_so, None, of_each)
        return ExplainedRule(node.path, node.rule, node.subject, is_so, seen_of(node.subject, person))

    return of_group(plan.root)
