"""Checking rules against what there is: values that do not fit, operators a type does not have, cohorts in a loop."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from traitbase.domain.definitions import PropertyDefinition, State
from traitbase.domain.errors import InvalidInput
from traitbase.domain.rules.moments import Moment
from traitbase.domain.rules.operators import OPERATORS_OF, Operator
from traitbase.domain.rules.reading import IN_MAX
from traitbase.domain.rules.resolving import Catalogue, KnownCohort, resolve
from traitbase.domain.rules.tree import parse_tree
from traitbase.domain.values import Kind

MOMENT = Moment(1_790_000_000_000_000, ZoneInfo("Europe/Berlin"))
KINDS = {"text": Kind.STRING, "number": Kind.NUMBER, "flag": Kind.BOOLEAN, "day": Kind.DATE, "list": Kind.LIST}
DEFINITIONS = {name: PropertyDefinition(kind) for name, kind in KINDS.items()}
DEFINITIONS["old"] = PropertyDefinition(Kind.STRING, State.ARCHIVED)


def tree_of(*rules: object):
    return parse_tree({"combinator": "and", "rules": list(rules)}, may_be_empty=False)


def rule(field: str, operator: str, value: object = None, **others: object) -> dict[str, object]:
    return {"field": field, "operator": operator, "value": value, **others}


def naming(*cohort_ids: str) -> dict[str, object]:
    return rule("$cohort", "in", list(cohort_ids))


def resolved(*rules: object, cohorts: dict[str, KnownCohort] | None = None, cohort_id: str | None = None):
    catalogue = Catalogue(DEFINITIONS, cohorts or {})
    return resolve(tree_of(*rules), catalogue, MOMENT, path="filter", cohort_id=cohort_id)


def fault_of(*rules: object, **others: object) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as refused:
        resolved(*rules, **others)
    [fault] = refused.value.faults
    return fault.path, fault.message


@pytest.mark.parametrize(
    ("sent", "place", "part"),
    [
        (rule("text", "=", 5), "value", "expected a text, not the number 5"),
        (rule("text", "=", None), "value", "expected a text, not null"),
        (rule("text", "in", "a"), "value", "expected an array of values, not the text 'a'"),
        (rule("text", "in", []), "value", "at least one value"),
        (rule("text", "in", ["a", 5]), "value[1]", "expected a text, not the number 5"),
        (rule("text", "in", ["a"] * (IN_MAX + 1)), "value", "expected at most 100,000 values, not 100,001"),
        (rule("text", "contains", "x" * 3_000), "value", "at most 2,048 characters, not 3,000"),
        (rule("number", "=", "5"), "value", "expected a number, not the text '5'; write it without quotes"),
        (rule("number", "=", True), "value", "expected a number, not boolean"),
        (rule("number", ">", 10**20), "value", "at most 20 digits"),
        (rule("number", "between", [5]), "value", "an array of two ends, [from, to], not list"),
        (rule("number", "between", [5, 1]), "value", "the lower end first"),
        (rule("number", "between", [5, "x"]), "value[1]", "expected a number"),
        (rule("flag", "=", "true"), "value", "expected true or false, not the text 'true'"),
        (rule("flag", "=", 0), "value", "expected true or false"),
        (rule("day", "=", "yesterday"), "value", "expected a date: YYYY-MM-DD"),
        (rule("day", "<", 1_700_000_000), "value", "expected a date"),
        (rule("day", "<", "2024-02-30"), "value", "expected a date"),
        (rule("day", "between", ["2024-02-02", "2024-02-01"]), "value", "the earlier end first"),
        (rule("day", "inLast", 7), "value", 'expected {"amount": 7, "unit": "day"}'),
        (rule("day", "inLast", {"amount": 7, "unit": "days"}), "value", "the unit one of minute, hour"),
        (rule("day", "inNext", {"amount": 0, "unit": "day"}), "value.amount", "a whole number from 1"),
        (rule("day", "inNext", {"amount": 1.5, "unit": "day"}), "value.amount", "a whole number from 1"),
        (rule("day", "onDay", "someday"), "value", 'expected "today"'),
        (rule("day", "anniversary", {"daysAhead": -1}), "value.daysAhead", "a whole number from 0"),
        (rule("list", "contains", ["a"]), "value", "expected a text or a number"),
        (rule("list", "containsAny", "a"), "value", "expected an array"),
        (rule("list", "containsAll", ["a", True]), "value[1]", "expected a text or a number"),
        (rule("list", "size", 2), "value", 'expected {"operator": ">=", "value": 2}'),
        (rule("list", "size", {"operator": ">=", "value": "2"}), "value.value", "expected a number"),
        (rule("list", "size", {"operator": "contains", "value": 2}), "value", "the operator one of"),
        (rule("text", "=", "a", ignoreCase=True) | {"field": "number", "value": 1}, "ignoreCase", "leave it out"),
        (rule("text", "notNull", ignoreCase=True), "ignoreCase", "leave it out"),
        (rule("$nobody", "=", "a"), "field", "no built-in field '$nobody'; there are $distinct_id"),
        (rule("a\nb", "=", "a"), "field", "no property can have this name"),
        (rule("x" * 256, "=", "a"), "field", "no property can have this name"),
        (rule("$status", "=", "1"), "value", "expected a number"),
        (rule("$created_at", "inLast", "week"), "value", "expected {"),
        (rule("$channel.push", "=", "a"), "operator", "cannot be asked of '$channel.push', a list"),
        (rule("$cohort", "=", "c"), "operator", "$cohort has 'in' and 'notIn'"),
        (rule("$cohort", "in", []), "value", "the id of a cohort"),
        (rule("$cohort", "in", ["none"]), "value", "there is no cohort 'none' here"),
    ],
)  # fmt: skip
def test_it_says_what_does_not_fit_and_where(sent, place, part):
    path, message = fault_of(rule("text", "notNull"), sent)
    assert path == f"filter.rules[1].{place}"
    assert part in message


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("operator", Operator)
def test_a_type_has_its_operators_and_no_others(name, operator):
    value = (
        {} if operator in (Operator.NULL, Operator.NOT_NULL, Operator.IS_EMPTY, Operator.IS_NOT_EMPTY) else {"value": 5}
    )
    try:
        resolved({"field": name, "operator": operator.value, **value})
        refused = ""
    except InvalidInput as refusal:
        refused = refusal.message
    assert ("cannot be asked of" in refused) is (operator not in OPERATORS_OF[KINDS[name]])


def test_a_property_that_is_not_there_yet_is_a_warning():
    plan = resolved(rule("new", "=", "a"), rule("old", "=", "a"))
    assert [warning.path for warning in plan.warnings] == ["filter.rules[0].field", "filter.rules[1].field"]
    assert "nobody has a value" in plan.warnings[0].message
    assert "archived" in plan.warnings[1].message


def test_cohorts_come_behind_those_that_they_name():
    cohorts = {
        "a": KnownCohort("A", tree_of(naming("b", "s"))),
        "b": KnownCohort("B", tree_of(naming("c"))),
        "c": KnownCohort("C", tree_of(rule("text", "=", "x"))),
        "s": KnownCohort("S", None),
    }
    plan = resolved(naming("a"), naming("c"), cohorts=cohorts)
    assert [cohort_id for cohort_id, _ in plan.cohorts] == ["c", "b", "a"]
    assert plan.static_cohorts == {"s"}


def test_a_cohort_that_leads_to_itself_is_refused_by_name():  # I-44
    cohorts = {"a": KnownCohort("A", tree_of(rule("text", "=", "x"))), "b": KnownCohort("B", tree_of(naming("a")))}
    path, message = fault_of(naming("b"), cohorts=cohorts, cohort_id="a")
    assert path == "filter.rules[0].value"
    assert message == "cohorts must not lead back to themselves: 'B' → 'A' → 'B'; take one of these out"
    _, message = fault_of(naming("a"), cohorts=cohorts, cohort_id="a")
    assert "'A' → 'A'" in message


def test_ways_through_many_cohorts_are_not_counted_one_by_one():
    cohorts = {"0": KnownCohort("0", tree_of(rule("text", "=", "x")))}
    for number in range(1, 60):
        before = str(number - 1)
        cohorts[str(number)] = KnownCohort(str(number), tree_of(naming(before), naming(before)))
    assert len(resolved(naming("59"), cohorts=cohorts).cohorts) == 60


def test_too_much_in_all_is_refused():
    large = tree_of(*[rule("text", "=", "x")] * 500)
    cohorts = {str(number): KnownCohort(str(number), large) for number in range(12)}
    path, message = fault_of(naming(*cohorts), cohorts=cohorts)
    assert path == "filter.rules[0].value"
    assert "more than 5,000 rules" in message


def test_a_cohort_that_cannot_be_computed_is_named():
    cohorts = {"a": KnownCohort("Pros", tree_of(rule("text", ">", 5)))}
    path, message = fault_of(naming("a"), cohorts=cohorts)
    assert path == "filter.rules[0].value"
    assert message.startswith("the cohort 'Pros' cannot be computed: rules[0].operator: '>' cannot be asked of 'text'")
