"""Reading the JSON of a rule tree: every fault has the path of its node; what is read is written as it was."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import strategies
from segments.populations import Maker
from traitbase.domain.errors import InvalidInput
from traitbase.domain.rules.tree import DEPTH_MAX, EVERYONE, RULES_MAX, parse_tree, to_json

RULE = {"field": "plan", "operator": "=", "value": "pro"}


def group(*rules: object, **others: object) -> dict[str, object]:
    return {"combinator": "and", "rules": list(rules), **others}


def faults_of(sent: object) -> dict[str, str]:
    with pytest.raises(InvalidInput) as refused:
        parse_tree(sent, path="filter", may_be_empty=False)
    assert refused.value.code == "invalid_rule"
    assert refused.value.message == f"{refused.value.faults[0].path}: {refused.value.faults[0].message}"
    return {fault.path: fault.message for fault in refused.value.faults}


@given(st.randoms(use_true_random=False).map(lambda random: Maker(random).tree()))
def test_it_reads_what_it_writes(sent):
    tree = parse_tree(sent, may_be_empty=False)
    assert parse_tree(to_json(tree), may_be_empty=False) == tree


@given(strategies.json_values)
def test_it_refuses_anything_else_without_stumbling(sent):
    try:
        parse_tree(sent, may_be_empty=False)
    except InvalidInput as refusal:
        assert refusal.faults  # noqa: PT017  # most of what is drawn is refused, not all


def test_it_writes_groups_and_rules_in_one_form():
    sent = {"rules": [RULE | {"id": "b2"}, {"field": "plan", "operator": "null", "value": ""}], "id": "a1", "path": [0]}
    assert to_json(parse_tree(sent, may_be_empty=False)) == {
        "combinator": "and",
        "not": False,
        "rules": [RULE, {"field": "plan", "operator": "null"}],
    }


@pytest.mark.parametrize(
    ("sent", "path", "part"),
    [
        ([], "filter", "expected a group"),
        ({}, "filter", "expected a group"),
        (group(), "filter.rules", "at least one rule"),
        (group(group()), "filter.rules[0].rules", "at least one rule"),
        (group(RULE, 5), "filter.rules[1]", "expected a rule or a group"),
        (group(RULE, combinator="xor"), "filter.combinator", '"and" or "or"'),
        (group(RULE, **{"not": 1}), "filter.not", "true or false, not number"),
        ({"combinator": "and", "rules": {}}, "filter.rules", "expected an array of rules and groups, not object"),
        (group({"field": "plan", "operator": "like", "value": "x"}), "filter.rules[0].operator", "'like' is no"),
        (group({"field": "plan", "operator": 5}), "filter.rules[0].operator", "expected the name of an operator"),
        (group({"field": "", "operator": "null"}), "filter.rules[0].field", "expected the name of a property"),
        (group({"field": "plan", "operator": "="}), "filter.rules[0].value", "'=' needs a value"),
        (group({"field": "plan", "operator": "null", "value": 1}), "filter.rules[0].value", "takes no value"),
        (group(RULE | {"ignoreCase": "yes"}), "filter.rules[0].ignoreCase", "true or false, not string"),
        (group(RULE | {"valueSource": "field"}), "filter.rules[0].valueSource", "no such key"),
        (group(RULE | {"disabled": True}), "filter.rules[0].disabled", "no such key"),
        (group(RULE, muted=False), "filter.muted", "no such key"),
        (group(group(group({"field": "x", "operator": "="}))), "filter.rules[0].rules[0].rules[0].value", "needs"),
    ],
)  # fmt: skip
def test_it_names_the_node_at_fault(sent, path, part):
    faults = faults_of(sent)
    assert part in faults[path]


def test_it_names_every_fault_at_once():
    sent = group({"field": "a", "operator": "?"}, group(), RULE, {"field": "b", "operator": "="})
    assert list(faults_of(sent)) == ["filter.rules[0].operator", "filter.rules[1].rules", "filter.rules[3].value"]


def test_it_takes_an_empty_root_where_it_may_be_empty():
    assert parse_tree({}, may_be_empty=True) == parse_tree(group(), may_be_empty=True) == EVERYONE


def nested(depth: int) -> dict[str, object]:
    tree = group(RULE)
    for _ in range(depth - 1):
        tree = group(tree)
    return tree


def test_it_takes_groups_ten_deep_and_refuses_more():
    parse_tree(nested(DEPTH_MAX), may_be_empty=False)
    [(path, message)] = faults_of(nested(DEPTH_MAX + 1)).items()
    assert path == "filter" + ".rules[0]" * DEPTH_MAX
    assert message.startswith("groups within groups go 10 deep at most")


def test_it_refuses_a_tree_a_thousand_deep_as_quickly():
    assert len(faults_of(nested(100_000 // 200))) == 1


def test_it_takes_500_rules_and_refuses_more():
    parse_tree(group(*[RULE] * RULES_MAX), may_be_empty=False)
    assert faults_of(group(*[RULE] * (RULES_MAX + 1))) == {
        "filter.rules[500]": "a tree has at most 500 rules; many values of one field are one rule with 'in'"
    }


def test_it_refuses_many_groups_and_many_rules_in_many_groups():
    assert "at most 500 groups" in next(iter(faults_of(group(*[group(RULE)] * 501)).values()))
    assert "at most 500 rules" in next(iter(faults_of(group(*[group(*[RULE] * 100)] * 6)).values()))


def test_a_maker_of_rules_makes_each_operator():
    made = {rule["operator"] for seed in range(300) for rule in [Maker(Random(seed)).rule()]}
    assert len(made) >= 28
