"""The rule builder as laws: what it shows of a rule is that rule; what it makes of what is typed is what was meant."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.data import once
from support.forms import forms_in
from traitbase.console import drafts
from traitbase.console.pages.cohorts import Builder, _words
from traitbase.console.views import drawn
from traitbase.domain.rules.operators import OPERATORS_OF, SIZE_OPERATORS, WITHOUT_VALUE, Operator
from traitbase.domain.rules.tree import parse_tree
from traitbase.domain.values import Kind

KINDS = {"s": Kind.STRING, "n": Kind.NUMBER, "b": Kind.BOOLEAN, "d": Kind.DATE, "l": Kind.LIST, "<i>&\"'": Kind.STRING}
PAGE = SimpleNamespace(url=lambda place="", **_query: f"/{place}")

pytestmark = once

AWKWARD = [
    "",
    " ",
    '"',
    '""',
    '"a"',
    "=7",
    "=true",
    "=",
    "[1]",
    "a\nb",
    "\r\n",
    "\t",
    "\0",
    "<b>",
    "</textarea>",
    "&amp;",
    "a,b",
    "\u2028",
    "\xa0",
    "' OR 1=1 --",
    "5",
    "true",
    "{{ x }}",
    "null",
]
texts = st.sampled_from(AWKWARD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.integers(-(10**19), 10**19) | st.decimals(-1000, 1000, places=3)
dates = st.sampled_from(["2026-11-30", "2024-02-29T03:00:00Z", "2024-02-29T03:00:00.5+05:30"])
scalars = {
    Kind.STRING: texts,
    Kind.NUMBER: numbers,
    Kind.BOOLEAN: st.booleans(),
    Kind.DATE: dates,
    Kind.LIST: texts | numbers,
}
days = st.sampled_from(["today", "yesterday", "tomorrow"]) | st.builds(
    lambda word, number: {word: number}, st.sampled_from(["daysAgo", "daysAhead"]), st.integers(0, 9999)
)
rolling = st.fixed_dictionaries({"amount": st.integers(1, 9999), "unit": st.sampled_from(drafts.UNITS)})


@st.composite
def sizes(draw):
    operator = draw(st.sampled_from(SIZE_OPERATORS))
    ranges = (Operator.BETWEEN, Operator.NOT_BETWEEN)
    value = sorted([draw(numbers), draw(numbers)]) if operator in ranges else draw(numbers)
    return {"operator": operator.value, "value": value}


@st.composite
def rules(draw):
    if draw(st.integers(0, 9)) == 0:
        ids = draw(st.lists(st.sampled_from(["co_1", "co_2"]), min_size=1, unique=True))
        return {"field": "$cohort", "operator": draw(st.sampled_from(["in", "notIn"])), "value": sorted(ids)}
    name = draw(st.sampled_from([*KINDS, "unknown"]))
    kind = KINDS.get(name)
    operator = draw(st.sampled_from(OPERATORS_OF[kind or draw(st.sampled_from(Kind))]))
    rule = {"field": name, "operator": operator.value}
    scalar = st.one_of(*scalars.values()) if kind is None else scalars[kind]
    if operator in WITHOUT_VALUE:
        return rule
    if operator is Operator.SIZE:
        rule["value"] = draw(sizes())
    elif operator in (Operator.BETWEEN, Operator.NOT_BETWEEN):
        # Of a property that nobody has yet, nobody can say of what type the ends are.
        rule["value"] = sorted([draw(numbers), draw(numbers)]) if kind is Kind.NUMBER else ["2024-01-01", "2026-11-30"]
    elif operator.value in ("inLast", "notInLast", "inNext", "notInNext"):
        rule["value"] = draw(rolling)
    elif operator.value in ("onDay", "anniversary"):
        rule["value"] = draw(days)
    elif operator.value in ("in", "notIn", "containsAny", "containsAll", "containsNone"):
        rule["value"] = draw(st.lists(scalar, min_size=1, max_size=4))
    else:
        rule["value"] = draw(scalar)
    if kind is Kind.STRING and draw(st.booleans()):
        rule["ignoreCase"] = True
    return rule


def groups(inner):
    return st.fixed_dictionaries(
        {
            "combinator": st.sampled_from(["and", "or"]),
            "not": st.booleans(),
            "rules": st.lists(inner, min_size=1, max_size=3),
        }
    )


trees = groups(st.recursive(rules(), groups, max_leaves=8))


def sent_by_browser(draft: drafts.DraftGroup) -> drafts.DraftGroup:
    """Draw a draft as HTML, and read what a browser would send of it."""
    cohorts = [{"cohort_id": each, "name": f"<{each}>"} for each in ("co_1", "co_2")]
    html = drawn("builder.html", page=PAGE, builder=Builder(draft, KINDS, cohorts), **_words())
    fields = forms_in(html)[0].fields
    chosen: dict[str, list[str]] = {}
    for name, value in fields:
        if name.endswith(".cohorts"):
            chosen.setdefault(name, []).append(value)
    # A browser sends each line end as CR LF; a page reads all of them as LF.
    return drafts.read_draft({name: value.replace("\r\n", "\n") for name, value in fields}, chosen)


@settings(max_examples=400)
@given(trees)
def test_a_rule_that_is_shown_and_sent_back_is_that_rule(tree):
    made = drafts.made_of(sent_by_browser(drafts.draft_of(tree, KINDS)), KINDS)
    assert made.faults == {}
    assert parse_tree(made.tree, may_be_empty=True) == parse_tree(tree, may_be_empty=True)


@pytest.mark.parametrize("text", AWKWARD)
@pytest.mark.parametrize(
    ("field", "one", "several"), [("s", "=", "in"), ("l", "contains", "containsAny"), ("unknown", "=", "in")]
)
def test_a_text_stays_that_text_however_it_looks(text, field, one, several):
    tree = {
        "rules": [
            {"field": field, "operator": one, "value": text},
            {"field": field, "operator": several, "value": [text, "x"]},
        ]
    }
    made = drafts.made_of(sent_by_browser(drafts.draft_of(tree, KINDS)), KINDS)
    assert [each["value"] for each in made.tree["rules"]] == [text, [text, "x"]]


@given(trees, st.data())
def test_a_click_changes_what_it_says_and_nothing_else(tree, data):
    before = drafts.draft_of(tree, KINDS)
    nodes = [each.path for each in [*drafts.groups(before), *drafts.rules(before)] if each.path != drafts.ROOT]
    count = drafts.count_rules(before)
    group = data.draw(st.sampled_from([each.path for each in drafts.groups(before)]))
    gone = data.draw(st.sampled_from(nodes))
    within = [each for each in drafts.rules(before) if f"{each.path}-".startswith(f"{gone}-")]
    assert drafts.count_rules(drafts.changed(drafts.draft_of(tree, KINDS), f"add-rule {group}")) == count + 1
    assert drafts.count_rules(drafts.changed(drafts.draft_of(tree, KINDS), f"remove {gone}")) == count - len(within)
    after = drafts.changed(drafts.changed(drafts.draft_of(tree, KINDS), f"add-group {group}"), "nonsense r")
    (added,) = {each.path for each in drafts.groups(after)} - {each.path for each in drafts.groups(before)}
    undone = drafts.changed(after, f"remove {added}")
    assert drafts.made_of(undone, KINDS).tree == drafts.made_of(before, KINDS).tree


def test_the_keyboard_goes_to_the_rule_that_was_added_whatever_stands_behind_it():
    tree = {"rules": [{"rules": [{"field": "s", "operator": "null"}]}, {"field": "n", "operator": "null"}]}
    added = [
        drafts.added_by(drafts.changed(drafts.draft_of(tree, KINDS), action), action)
        for action in ("add-rule r", "add-rule r-0", "add-group r", "add-group r-0", "remove r-1", "add-rule r-9", "")
    ]
    assert added == ["r-2", "r-0-1", "r-2-0", "r-0-1-0", None, None, None]


@pytest.mark.parametrize(
    ("field", "operator", "values", "said"),
    [
        ("", "", {}, "choose what this rule is about"),
        ("n", ">", {"value": ""}, "type a value"),
        ("n", ">", {"value": "1,5"}, "expected a number such as 19.99, with a point and without blanks or commas"),
        ("n", ">", {"value": "NaN"}, "expected a number such as 19.99, with a point and without blanks or commas"),
        ("n", ">", {"value": "1_000"}, "expected a number such as 19.99, with a point and without blanks or commas"),
        ("s", "=", {"value": " "}, 'type a value; "" is the empty text'),
        ("s", "in", {"value": "\n \n"}, "type one value a line"),
        (
            "d",
            "=",
            {"value": "30.11.2026"},
            "expected a day such as 2026-11-30, or a time such as 2026-11-30T18:30:00+01:00",
        ),
        ("d", "inLast", {"amount": "x"}, "expected a whole number"),
        ("d", "onDay", {"day": "daysAgo", "amount": "-1"}, "expected a whole number"),
        ("$cohort", "in", {}, "choose a cohort"),
    ],
)
def test_what_is_not_finished_is_a_fault_of_its_rule(field, operator, values, said):
    draft = drafts.DraftGroup(parts=[drafts.DraftRule("r-0", field, operator, values)])
    assert drafts.made_of(draft, KINDS).faults == {"r-0": said}


def test_a_fault_of_the_api_is_shown_at_the_rule_that_it_is_about():
    tree = {
        "combinator": "and",
        "rules": [
            {"field": "n", "operator": "=", "value": 1},
            {"combinator": "or", "rules": [{"field": "s", "operator": "=", "value": "x"}]},
        ],
    }
    made = drafts.made_of(drafts.draft_of(tree, KINDS), KINDS)
    made.take("filter.rules[1].rules[0].value[3]", "too long")
    made.take("filter.rules[0]", "odd")
    made.take("filter", "everything")
    assert made.faults == {"r-1-0": "too long", "r-0": "odd", "r": "everything"}


def test_of_very_many_properties_a_rule_does_not_list_all():
    kinds = {f"p{number}": Kind.NUMBER for number in range(1_000)}
    draft = drafts.DraftGroup(
        parts=[drafts.DraftRule(f"r-{number}", f"p{number}", "=", {"value": "1"}) for number in range(100)]
    )
    html = drawn("builder.html", page=PAGE, builder=Builder(draft, kinds, []), **_words())
    assert html.count("<option") < 1_000 + 100 * 20
    made = drafts.made_of(drafts.read_draft(dict(forms_in(html)[0].fields), {}), kinds)
    assert [each["field"] for each in made.tree["rules"]] == [f"p{number}" for number in range(100)]


def test_numbers_keep_all_their_digits():
    tree = {"rules": [{"field": "n", "operator": "in", "value": [9007199254740993, Decimal("0.1000000000000000001")]}]}
    made = drafts.made_of(sent_by_browser(drafts.draft_of(tree, KINDS)), KINDS)
    assert made.tree["rules"][0]["value"] == [9007199254740993, Decimal("0.1000000000000000001")]


def test_a_form_that_claims_to_be_endless_is_bounded():
    fields = {"r.n": "999999999", **{f"r{'-0' * depth}.n": "1" for depth in range(1, 40)}}
    fields |= {f"r{'-0' * depth}.kind": "group" for depth in range(1, 40)}
    assert len(drafts.groups(drafts.read_draft(fields, {}))) == drafts.DEPTH_MAX
