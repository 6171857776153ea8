"""Making a tree ready: every rule checked against its field's type, every value read, every other cohort found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from traitbase.domain.definitions import PropertyDefinition, State
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.rules.cycles import find_cycle
from traitbase.domain.rules.fields import KIND_OF, Field, find_field
from traitbase.domain.rules.moments import Moment
from traitbase.domain.rules.operators import COHORT_OPERATORS, FOLDING, OPERATORS_OF, POSITIVE_OF, Operator
from traitbase.domain.rules.plan import InCohorts, Junction, Leaf, Never, Plan, PlanNode, Present, Property, Subject
from traitbase.domain.rules.reading import Misfit, read_cohort_ids, read_test
from traitbase.domain.rules.tree import Faults, Group, Node, Rule, joined, leaves
from traitbase.domain.updates import is_property_name
from traitbase.domain.values import Kind

PLANNED_RULES_MAX = 5_000
"""Rules in a plan, those of the cohorts that it names included."""


@dataclass(frozen=True, slots=True)
class KnownCohort:
    """A stored cohort as other rules need it: its name, and its tree; None: it is a static one."""

    name: str
    tree: Group | None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What rules can be about at one moment: the space's properties by name, and its cohorts by id."""

    properties: Mapping[str, PropertyDefinition]
    cohorts: Mapping[str, KnownCohort]


def resolve(tree: Group, catalogue: Catalogue, moment: Moment, *, path: str = "", cohort_id: str | None = None) -> Plan:
    """Return the plan of a tree. `path` is where the tree stands in the body; `cohort_id` whose tree it is (to be).

    Raises InvalidInput (`invalid_rule`) naming every fault: a value that does not fit the property's type, an operator
    that it does not have, a cohort that is not there, cannot be computed, or leads back to this one.
    """
    faults = Faults(path)
    warnings: list[Fault] = []
    resolver = _Resolver(catalogue, moment, faults, warnings)
    root = resolver.group(tree, "")
    faults.refuse()
    named = _Named(catalogue, moment, faults, cohort_id)
    named.add(tree, root)
    faults.refuse()
    told = tuple(Fault(joined(path, each.path), each.message) for each in warnings)
    return Plan(moment, tree, root, tuple(named.cohorts.items()), frozenset(named.static), told)


class _Named:
    """The cohorts that a tree names, and those that they name, each once and behind those that it names itself."""

    def __init__(self, catalogue: Catalogue, moment: Moment, faults: Faults, cohort_id: str | None) -> None:
        self._catalogue = catalogue
        self._moment = moment
        self._faults = faults
        self._own_id = cohort_id
        self._rules = 0
        self.cohorts: dict[str, Junction] = {}
        self.static: set[str] = set()

    def add(self, tree: Group, root: Junction) -> None:
        """Add what a tree names. Whatever is wrong with it is a fault of the rule that names it."""
        trees = {cohort_id: each.tree for cohort_id, each in self._catalogue.cohorts.items() if each.tree is not None}
        self._rules = sum(1 for _ in leaves(tree))
        for leaf in _cohort_leaves(root):
            assert isinstance(leaf.test, InCohorts)
            for cohort_id in sorted(leaf.test.cohort_ids):
                cycle = find_cycle(cohort_id, trees if self._own_id is None else {**trees, self._own_id: tree})
                if cycle is not None:
                    self._faults.add(joined(leaf.path, "value"), _loop(cycle, self._catalogue))
                else:
                    self._add(cohort_id, joined(leaf.path, "value"))

    def _add(self, cohort_id: str, path: str) -> None:
        if cohort_id in self.cohorts or cohort_id in self.static or self._rules > PLANNED_RULES_MAX:
            return
        known = self._catalogue.cohorts[cohort_id]
        if known.tree is None:
            self.static.add(cohort_id)
            return
        inner = Faults()
        root = _Resolver(self._catalogue, self._moment, inner, []).group(known.tree, "")
        self._rules += sum(1 for _ in leaves(known.tree))
        if self._rules > PLANNED_RULES_MAX:
            message = f"with the cohorts that it names, this is more than {PLANNED_RULES_MAX:,} rules"
            self._faults.add(path, f"{message}; freeze some of them into static cohorts")
            return
        try:
            inner.refuse()
        except InvalidInput as error:
            self._faults.add(path, f"the cohort {known.name!r} cannot be computed: {error.message}")
            return
        for leaf in _cohort_leaves(root):
            assert isinstance(leaf.test, InCohorts)
            for each in sorted(leaf.test.cohort_ids):
                self._add(each, path)
        self.cohorts[cohort_id] = root


class _Resolver:
    """Resolves the nodes of one tree."""

    def __init__(self, catalogue: Catalogue, moment: Moment, faults: Faults, warnings: list[Fault]) -> None:
        self._catalogue = catalogue
        self._moment = moment
        self._faults = faults
        self._warnings = warnings

    def group(self, group: Group, path: str) -> Junction:
        parts: list[PlanNode] = []
        for at, node in enumerate(group.rules):
            part = self._node(node, joined(path, f"rules[{at}]"))
            if part is not None:
                parts.append(part)
        return Junction(path, group.combinator, tuple(parts), group.negated)

    def _node(self, node: Node, path: str) -> PlanNode | None:
        return self.group(node, path) if isinstance(node, Group) else self._rule(node, path)

    def _rule(self, rule: Rule, path: str) -> Leaf | None:
        subject = self._subject(rule, path)
        if subject is None:
            return None
        if subject is Field.COHORT:
            return self._cohort_rule(rule, path)
        kind = subject.kind if isinstance(subject, Property) else KIND_OF[subject]
        if not self._may_be_asked(rule, kind, path):
            return None
        positive = POSITIVE_OF.get(rule.operator, rule.operator)
        negated = positive is not rule.operator
        if kind is None and rule.operator not in (Operator.SIZE, Operator.IS_EMPTY, Operator.IS_NOT_EMPTY):
            return Leaf(path, rule, subject, Never(), negated)
        if positive is Operator.NOT_NULL:
            return Leaf(path, rule, subject, Present(), negated)
        try:
            test, flips = read_test(rule, positive, kind or Kind.LIST, self._moment)
        except Misfit as misfit:
            self._faults.add(joined(path, misfit.place), misfit.message)
            return None
        return Leaf(path, rule, subject, test, negated is not flips)

    def _subject(self, rule: Rule, path: str) -> Subject | None:
        where = joined(path, "field")
        if rule.field.startswith("$"):
            field = find_field(rule.field)
            if field is None:
                self._faults.add(where, f"there is no built-in field {rule.field[:80]!r}; there are {', '.join(Field)}")
            return field
        if not is_property_name(rule.field):
            self._faults.add(where, "no property can have this name: 1 to 255 characters, no control characters")
            return None
        definition = self._catalogue.properties.get(rule.field)
        if definition is None:
            message = f"there is no property {rule.field!r} yet: until one is seen or declared, nobody has a value"
            self._warnings.append(Fault(where, message))
            return Property(rule.field, None)
        if definition.state is State.ARCHIVED:
            self._warnings.append(Fault(where, f"the property {rule.field!r} is archived: it takes no new values"))
        return Property(rule.field, definition.kind)

    def _may_be_asked(self, rule: Rule, kind: Kind | None, path: str) -> bool:
        operators = {each for every in OPERATORS_OF.values() for each in every} if kind is None else OPERATORS_OF[kind]
        if rule.operator not in operators:
            assert kind is not None, "each operator is some type's"
            of_kind = ", ".join(f"'{each.value}'" for each in OPERATORS_OF[kind])
            message = f"'{rule.operator.value}' cannot be asked of {rule.field!r}, a {kind.value}; it has {of_kind}"
            self._faults.add(joined(path, "operator"), message)
            return False
        if rule.ignores_case and ((kind is not None and kind is not Kind.STRING) or rule.operator not in FOLDING):
            self._faults.add(
                joined(path, "ignoreCase"), "only comparisons of texts have a case to ignore; leave it out"
            )
            return False
        return True

    def _cohort_rule(self, rule: Rule, path: str) -> Leaf | None:
        if rule.operator not in COHORT_OPERATORS:
            expected = " and ".join(f"'{each.value}'" for each in COHORT_OPERATORS)
            self._faults.add(joined(path, "operator"), f"$cohort has {expected}, by cohort ids")
            return None
        try:
            cohort_ids = read_cohort_ids(rule.value)
        except Misfit as misfit:
            self._faults.add(joined(path, misfit.place), misfit.message)
            return None
        unknown = [each for each in cohort_ids if each not in self._catalogue.cohorts]
        if unknown:
            self._faults.add(joined(path, "value"), f"there is no cohort {unknown[0][:80]!r} here")
            return None
        if rule.ignores_case:
            self._faults.add(
                joined(path, "ignoreCase"), "only comparisons of texts have a case to ignore; leave it out"
            )
            return None
        return Leaf(path, rule, Field.COHORT, InCohorts(frozenset(cohort_ids)), rule.operator is Operator.NOT_IN)


def _cohort_leaves(node: PlanNode) -> list[Leaf]:
    if isinstance(node, Leaf):
        return [node] if isinstance(node.test, InCohorts) else []
    return [leaf for part in node.parts for leaf in _cohort_leaves(part)]


def _loop(cycle: list[str], catalogue: Catalogue) -> str:
    names = [catalogue.cohorts[each].name if each in catalogue.cohorts else "this cohort" for each in cycle]
    return f"cohorts must not lead back to themselves: {' → '.join(map(repr, names))}; take one of these out"
