"""Rules as sentences."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest

from segments.populations import Maker
from traitbase.domain.rules.describing import describe
from traitbase.domain.rules.tree import EVERYONE, parse_tree


def sentence(*rules: object, **others: object) -> str:
    tree = parse_tree({"combinator": "and", "rules": list(rules), **others}, may_be_empty=False)
    return describe(tree, {"c1": "Big spenders"})


def rule(field: str, operator: str, value: object = None, **others: object) -> dict[str, object]:
    return {"field": field, "operator": operator, "value": value, **others}


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (rule("plan", "=", "pro"), 'plan is "pro"'),
        (rule("plan", "!=", "pro", ignoreCase=True), 'plan is not "pro", in capitals or not (or has no value)'),
        (rule("plan", "null"), "plan has no value"),
        (rule("plan", "in", list("abcdefg")), 'plan is one of "a", "b", "c", "d", "e" or 2 more'),
        (rule("ltv", ">=", Decimal("0.1")), "ltv is at least 0.1"),
        (rule("ltv", "between", [1, 5]), "ltv is between 1 and 5"),
        (rule("vip", "=", True), "vip is true"),
        (rule("day", "<", "2024-06-01"), "day is before 2024-06-01"),
        (rule("day", "<=", "2024-06-01"), "day is on or before 2024-06-01"),
        (rule("day", "=", "2024-06-01"), "day is 2024-06-01"),
        (rule("day", "inLast", {"amount": 30, "unit": "day"}), "day is in the last 30 days"),
        (rule("day", "notInNext", {"amount": 1, "unit": "month"}), "day is not in the next month (or has no value)"),
        (rule("day", "onDay", {"daysAgo": 1}), "day is on the day 1 day ago"),
        (rule("day", "anniversary", "today"), "day has its anniversary today"),
        (rule("tags", "containsAll", ["a", 2]), 'tags contains all of "a" and 2'),
        (rule("tags", "isEmpty"), "tags is empty or missing"),
        (rule("tags", "size", {"operator": ">", "value": 2}), "tags has a number of elements that is above 2"),
        (rule("$channel.email", "endsWith", "@x.org"), 'email destination ends with "@x.org"'),
        (rule("$cohort", "notIn", ["c1", "c2"]), "membership is of none of “Big spenders” or “c2”"),
    ],
)
def test_it_says_what_a_rule_asks(sent, said):
    assert sentence(sent) == f"Profiles where {said}."


def test_it_puts_groups_in_brackets():
    inner = {"combinator": "or", "rules": [rule("a", "null"), rule("b", "null")]}
    assert sentence(rule("c", "null"), inner) == "Profiles where c has no value and (a has no value or b has no value)."
    assert sentence(inner, **{"not": True}) == "Profiles where not ((a has no value or b has no value))."
    assert describe(EVERYONE, {}) == "All profiles."


def test_it_says_something_of_every_rule():
    for seed in range(500):
        assert describe(parse_tree(Maker(Random(seed)).tree(), may_be_empty=False), {}).endswith(".")
