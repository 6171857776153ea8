"""Faults of other systems' cohorts, each as a test named after its number in our list of them (see `test_reports`).

What other tests hold already (the first word is the number; a test checks that they exist):

    I-1   process/test_cohorts.py          test_a_cohort_and_a_profile_never_disagree
    I-23  domain/rules/test_evaluating.py  test_numbers_are_numbers
    I-25  domain/rules/test_evaluating.py  test_only_a_false_boolean_is_false
    I-41  process/test_cohorts.py          test_a_negative_rule_matches_nobody_wrongly_at_a_cold_start
    I-42  domain/rules/test_evaluating.py  test_missing_is_not_equal_and_does_not_contain
    I-44  http/test_cohorts.py             test_cohorts_of_cohorts_and_no_loops
    I-45  domain/rules/test_evaluating.py  test_the_same_date_has_one_answer_in_the_workspaces_zone
    I-46  domain/rules/test_evaluating.py  test_today_is_the_workspaces_day
    I-48  domain/rules/test_evaluating.py  test_it_says_what_people_asked_for_of_dates
    I-49  domain/rules/test_evaluating.py  test_rolling_hours_and_calendar_days_are_two_choices
    I-52  http/test_cohorts.py             test_the_count_of_a_large_upload_is_that_of_its_list
    I-52  process/test_cohorts.py          test_a_killed_server_counts_right_when_it_is_back
    I-54  http/test_cohorts.py             test_a_rule_about_time_moves_with_the_clock
    I-55  segments/test_columnar.py        test_the_work_is_as_large_as_the_change
    I-57  http/test_cohorts.py             test_texts_are_plain
    I-58  http/test_cohorts.py             test_a_list_comes_as_csv
    I-65  http/test_cohorts.py             test_a_list_is_added_to_replaced_and_taken_from
"""

from __future__ import annotations

import json

import pytest

from support.cohorts import call, create, members, preview, rule, rules, sampled
from support.people import merge
from support.reports import ODD_NAMES, named_tests
from traitbase.domain.rules.operators import OPERATORS_OF, POSITIVE_OF, Operator
from traitbase.domain.values import Kind

NAMES = [*ODD_NAMES, "a/b", "a~1b", "~", "%"]  # the last are odd in JSON pointers and patterns


def test_finds_the_tests_that_hold_the_others():
    assert len(named_tests(__doc__)) == 17


def exported(client, cohort_id):
    answer = client.get(f"cohorts/{cohort_id}/export?format=ndjson")
    return [json.loads(line)["distinct_id"] for line in answer.text.decode().splitlines()[1:]]


def test_i_18_a_deleted_property_is_gone_everywhere(make_client):
    client = make_client({"ann": {"plan": "pro", "old": 1}, "bob": {"old": 2}})
    cohort_id = create(client, "Olds", filter=rules(rule("plan", "notNull")))
    assert call(client, "DELETE", "properties/old?confirm=old").status in (200, 202)
    assert client.properties_of("ann") == {"plan": "pro"}
    assert "old" not in client.get(f"cohorts/{cohort_id}/export?format=ndjson").text.decode()
    assert client.get("properties/old/insight").status == 404
    assert [fault["path"] for fault in preview(client, rules(rule("old", "notNull")))["warnings"]] == [
        "filter.rules[0].field"
    ]
    client.post("set", {"distinct_id": "bob", "$set": {"old": "a text now"}})
    assert sampled(client, rules(rule("old", "=", "a text now"))) == ["bob"]


@pytest.mark.parametrize("number", [9007199254740993, 987654321012345678, -9007199254740993])
def test_i_28_a_large_number_is_itself_and_not_its_neighbour(make_client, number):
    client = make_client({"below": {"n": number - 1}, "it": {"n": number}, "above": {"n": number + 1}})
    assert sampled(client, rules(rule("n", "=", number))) == ["it"]
    assert sampled(client, rules(rule("n", ">", number))) == ["above"]
    assert sampled(client, rules(rule("n", "in", [number - 1, number]))) == ["below", "it"]
    cohort_id = create(client, "It", filter=rules(rule("n", "=", number)))
    assert b'"value":%d' % number in client.get(f"cohorts/{cohort_id}").text.replace(b" ", b"")
    client.post("numerical-add", {"distinct_id": "below", "$add": {"n": 1}})
    assert members(client, cohort_id) == exported(client, cohort_id) == ["below", "it"]


def test_i_29_ten_tenths_are_one(make_client):
    client = make_client({"ann": {}})
    for _ in range(10):
        assert client.post("numerical-add", {"distinct_id": "ann", "$add": {"x": 0.1}}).status == 202
    assert sampled(client, rules(rule("x", "=", 1))) == ["ann"]
    assert sampled(client, rules(rule("x", "<", 1))) == sampled(client, rules(rule("x", ">", 1))) == []


def test_i_35_emoji_in_names_and_values_are_stored_and_matched(make_client):
    client = make_client({"ann": {"p 😀": "café 😀", "l": ["😀"]}, "bob": {"p 😀": "café", "l": ["😁"]}})
    cohort_id = create(client, "Smiling 😀", filter=rules(rule("p 😀", "contains", "😀"), rule("l", "contains", "😀")))
    assert members(client, cohort_id) == exported(client, cohort_id) == ["ann"]
    assert client.get(f"cohorts/{cohort_id}").json["name"] == "Smiling 😀"


@pytest.fixture(scope="module")
def of_odd_names(make_client):
    return make_client({"ann": dict.fromkeys(NAMES, 1), "bob": dict.fromkeys(NAMES, 2), "cid": {}})


@pytest.mark.parametrize("name", NAMES)
def test_i_36_an_odd_name_is_a_plain_one(of_odd_names, name):
    assert sampled(of_odd_names, rules(rule(name, "=", 1))) == ["ann"]
    assert sampled(of_odd_names, rules(rule(name, "null"))) == ["cid"]


def test_i_36_names_that_differ_in_case_are_different(make_client):
    client = make_client({"ann": {"plan": "a", "Plan": "b", "PLAN": 3, "Éa": 1, "éa": 2}, "bob": {"PLAN": 4}})
    for name, value in (("plan", "a"), ("Plan", "b"), ("PLAN", 3), ("Éa", 1), ("éa", 2)):
        assert sampled(client, rules(rule(name, "=", value))) == ["ann"]
    assert sampled(client, rules(rule("plan", "null"))) == ["bob"]


def test_i_36_a_name_that_none_can_have_is_refused(of_odd_names):
    answer = call(of_odd_names, "POST", "cohorts/preview", {"filter": rules(rule("$x", "=", 1))})
    assert answer.status == 400
    assert answer.json["errors"][0]["path"] == "filter.rules[0].field"


def test_i_39_is_set_is_the_same_on_every_screen(make_client):
    client = make_client({"one": {"p": 1, "t": "", "l": []}, "unset": {"p": 1, "t": "x", "l": ["x"]}, "never": {}})
    client.post("unset", {"distinct_id": "unset", "$unset": ["p", "t", "l"]})
    client.post("set", {"distinct_id": "never", "$set": {"p": None, "t": None, "l": None}})
    for name in ("p", "t", "l"):
        has, has_not = rules(rule(name, "notNull")), rules(rule(name, "null"))
        assert sampled(client, has) == ["one"]
        assert sampled(client, has_not) == ["never", "unset"]
        cohort_id = create(client, f"Without {name}", filter=has_not)
        assert members(client, cohort_id) == exported(client, cohort_id) == ["never", "unset"]
        for who, is_in in (("one", False), ("unset", True), ("never", True)):
            assert client.get(f"cohorts/{cohort_id}/members/{who}").json["member"] is is_in
            assert (name in client.properties_of(who)) is not is_in
        assert client.get(f"properties/{name}/insight").json["having"] == 1


def test_i_42_a_negative_rule_keeps_those_without_a_value(make_client):
    client = make_client({"pro": {"tier": "pro", "l": ["x"]}, "free": {"tier": "free", "l": []}, "missing": {}})
    assert sampled(client, rules(rule("tier", "!=", "pro"))) == ["free", "missing"]
    assert sampled(client, rules(rule("l", "doesNotContain", "x"))) == ["free", "missing"]
    assert sampled(client, rules(rule("tier", "!=", "pro"), rule("tier", "notNull"))) == ["free"]
    cohort_id = create(client, "Not pro", filter=rules(rule("tier", "!=", "pro")))
    assert "no value" in client.get(f"cohorts/{cohort_id}").json["sentence"]


KELVIN = "\u212a"  # a sign that is a small k in small letters


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("=", "KARL", ["capital", "small"]),
        ("!=", "karl", ["none", "sign", "umlaut"]),
        ("beginsWith", "kar", ["capital", "small", "umlaut"]),
        ("endsWith", "ARL", ["capital", "sign", "small"]),
        ("contains", "Ä", ["umlaut"]),
        ("contains", "ä", []),
        ("in", ["karl", f"{KELVIN}ARL"], ["capital", "sign", "small"]),
        ("in", [f"x{number}" for number in range(50)] + ["KARL"], ["capital", "small"]),
        ("notIn", [f"x{number}" for number in range(50)] + ["KARL"], ["none", "sign", "umlaut"]),
    ],
)
def test_without_case_only_ascii_letters_are_the_same(make_client, operator, value, expected):
    client = make_client(
        {
            "small": {"t": "karl"},
            "capital": {"t": "KARL"},
            "sign": {"t": f"{KELVIN}arl"},
            "umlaut": {"t": "KARÄ"},
            "none": {},
        }
    )
    assert sampled(client, rules(rule("t", operator, value) | {"ignoreCase": True})) == expected


_DAY, _INSTANT = "2024-06-01", "2024-06-01T12:00:00Z"
_PERIOD = {"amount": 5, "unit": "day"}
_VALUES = {
    Operator.IN_LAST: [_PERIOD],
    Operator.IN_NEXT: [_PERIOD],
    Operator.ON_DAY: ["today", "yesterday", "tomorrow", {"daysAgo": 3}, {"daysAhead": 3}],
    Operator.ANNIVERSARY: ["today", {"daysAhead": 3}],
    Operator.CONTAINS_ANY: [["x", 1]],
    Operator.CONTAINS_ALL: [["x", 1]],
    Operator.SIZE: [{"operator": operator, "value": 1} for operator in ("=", "!=", "<", "<=", ">", ">=")]
    + [{"operator": operator, "value": [1, 2]} for operator in ("between", "notBetween")],
}
_SIMPLE = {
    Kind.STRING: ["x"],
    Kind.NUMBER: [1, 1.5],
    Kind.BOOLEAN: [True],
    Kind.DATE: [_DAY, _INSTANT],
    Kind.LIST: ["x", 1, 1.5],
}
_NAMES = {Kind.STRING: "s", Kind.NUMBER: "n", Kind.BOOLEAN: "b", Kind.DATE: "d", Kind.LIST: "l"}
_PEOPLE = {"it": {"s": "x", "n": 1, "b": True, "d": _INSTANT, "l": ["x", 1]}, "missing": {}}


def values_for(kind: Kind, operator: Operator) -> list[object]:
    if operator in (Operator.NULL, Operator.NOT_NULL, Operator.IS_EMPTY, Operator.IS_NOT_EMPTY):
        return [None]
    positive = POSITIVE_OF.get(operator, operator)
    if positive is Operator.BETWEEN:
        return [[each, each] for each in _SIMPLE[kind]]
    if positive is Operator.IN:
        return [_SIMPLE[kind]]
    return _VALUES.get(positive, _SIMPLE[kind])


@pytest.fixture(scope="module")
def of_each_type(make_client):
    return make_client(_PEOPLE)


@pytest.mark.parametrize(
    ("kind", "operator"), [(kind, operator) for kind in OPERATORS_OF for operator in OPERATORS_OF[kind]]
)
def test_i_50_each_type_takes_each_of_its_operators_and_keeps_the_rule(of_each_type, kind, operator):
    client = of_each_type
    for number, value in enumerate(values_for(kind, operator)):
        tree = rules(rule(_NAMES[kind], operator.value, value))
        found = sampled(client, tree)
        cohort_id = create(client, f"{kind} {operator} {number}", filter=tree)
        (stored,) = client.get(f"cohorts/{cohort_id}").json["filter"]["rules"]
        assert (stored["field"], stored["operator"], stored.get("value")) == (_NAMES[kind], operator.value, value)
        assert members(client, cohort_id) == found
        for who in _PEOPLE:
            assert client.get(f"cohorts/{cohort_id}/members/{who}").json["member"] is (who in found)
        if operator in POSITIVE_OF:
            positive = rules(rule(_NAMES[kind], POSITIVE_OF[operator].value, value))
            assert sorted(found + sampled(client, positive)) == sorted(_PEOPLE)


def test_i_55_membership_follows_through_cohorts_of_cohorts(make_client):
    client = make_client({f"u{number}": {"n": number} for number in range(30)})
    of_last = create(client, "0", filter=rules(rule("n", "<", 10)))
    for depth in range(1, 6):
        of_last = create(client, f"{depth}", filter=rules(rule("$cohort", "in", [of_last])))
    assert len(members(client, of_last)) == 10
    assert (
        client.post(
            "batch", {"batch": [{"distinct_id": f"u{n}", "action": {"$set": {"n": 50}}} for n in range(5)]}
        ).status
        == 202
    )
    assert members(client, of_last) == [f"u{number}" for number in range(5, 10)]
    client.call("POST", f"{client.base}/profiles", {"distinct_id": "new"})
    merge(client, "u5", "new")
    assert members(client, of_last) == ["new", *(f"u{number}" for number in range(6, 10))]
