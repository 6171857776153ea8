"""The reference: whether one profile is in. The cases of the specification, and those that people met elsewhere."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.populations import DEFINITIONS, STATIC, Maker
from traitbase.domain.definitions import PropertyDefinition, infer_kind
from traitbase.domain.rules.evaluating import is_member
from traitbase.domain.rules.fields import Person, bucket_of
from traitbase.domain.rules.moments import Moment
from traitbase.domain.rules.operators import POSITIVE_OF, Operator
from traitbase.domain.rules.resolving import Catalogue, KnownCohort, resolve
from traitbase.domain.rules.tree import parse_tree
from traitbase.domain.values import instant_of

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "cohorts.json").read_text(), parse_float=Decimal)
CATALOGUE = Catalogue(DEFINITIONS, {cohort_id: KnownCohort(cohort_id, None) for cohort_id in STATIC})
NEW_YORK = ZoneInfo("America/New_York")


def members(people, rule, *, as_of="2026-11-26T12:00:00Z", zone=NEW_YORK, kinds=None) -> list[str]:
    definitions = {}
    for properties in people.values():
        for name, value in properties.items():
            definitions.setdefault(name, PropertyDefinition(infer_kind(value)))
    tree = parse_tree(rule if "rules" in rule else {"combinator": "and", "rules": [rule]}, may_be_empty=False)
    plan = resolve(tree, Catalogue(definitions | (kinds or {}), {}), Moment(instant_of(as_of, zone), zone))
    return [name for name, properties in people.items() if is_member(plan, Person(name, properties))]


def rule(field: str, operator: str, value: object = None, **others: object) -> dict[str, object]:
    return {"field": field, "operator": operator, "value": value, **others}


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_it_answers_as_the_vectors_say(case):
    zone = ZoneInfo(VECTORS["zone"])
    assert members(VECTORS["profiles"], case["filter"], as_of=VECTORS["as_of"], zone=zone) == case["members"]


@given(st.randoms(use_true_random=False))
def test_a_negative_operator_is_exactly_the_complement_of_its_twin(random):
    maker = Maker(random)
    moment = maker.moment()
    person = maker.person("ann", moment.zone)
    sent = maker.rule()
    twin = POSITIVE_OF.get(Operator(sent["operator"]))
    if twin is None:
        return
    plans = [
        resolve(parse_tree({"combinator": "and", "rules": [each]}, may_be_empty=False), CATALOGUE, moment)
        for each in (sent, sent | {"operator": twin.value})
    ]
    assert is_member(plans[0], person) is not is_member(plans[1], person)


@given(st.randoms(use_true_random=False))
def test_not_flips_a_group_and_nothing_else(random):
    maker = Maker(random)
    moment = maker.moment()
    person = maker.person("ann", moment.zone)
    sent = maker.tree()
    flipped = sent | {"not": not sent.get("not", False)}
    plans = [resolve(parse_tree(each, may_be_empty=False), CATALOGUE, moment) for each in (sent, flipped)]
    assert is_member(plans[0], person) is not is_member(plans[1], person)


def test_the_same_date_has_one_answer_in_the_workspaces_zone():  # I-45
    people = {"a": {"joined": "2024-06-01T03:00:00Z"}, "b": {"joined": "2024-06-01T08:00:00Z"}}
    assert members(people, rule("joined", "<", "2024-06-01"), zone=ZoneInfo("US/Pacific")) == ["a"]


def test_today_is_the_workspaces_day():  # I-46
    people = {"a": {"on": "2026-11-26"}, "b": {"on": "2026-11-27"}}
    assert members(people, rule("on", "onDay", "today"), as_of="2026-11-26T22:00:00-05:00") == ["a"]


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        (">", "2026-11-26T12:00:00Z", ["soon", "later"]),
        ("onDay", "yesterday", ["yesterday"]),
        ("onDay", {"daysAgo": 1}, ["yesterday"]),
        ("onDay", {"daysAhead": 7}, ["later"]),
        ("inLast", {"amount": 7, "unit": "day"}, ["week", "yesterday", "now"]),
        ("inNext", {"amount": 7, "unit": "day"}, ["now", "soon", "later"]),
        ("anniversary", "today", ["now", "born"]),
        ("anniversary", {"daysAhead": 1}, ["soon"]),
    ],
)
def test_it_says_what_people_asked_for_of_dates(operator, value, expected):  # I-48
    people = {
        "week": {"at": "2026-11-19T12:00:00Z"},
        "before": {"at": "2026-11-19T11:59:59Z"},
        "yesterday": {"at": "2026-11-25T10:00:00-05:00"},
        "now": {"at": "2026-11-26T12:00:00Z"},
        "soon": {"at": "2026-11-27T12:00:00Z"},
        "later": {"at": "2026-12-03T12:00:00Z"},
        "born": {"at": "1990-11-26"},
    }
    assert members(people, rule("at", operator, value)) == expected


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        ("2023-02-28T12:00:00Z", ["leap", "28"]),
        ("2024-02-28T12:00:00Z", ["28"]),
        ("2024-02-29T12:00:00Z", ["leap"]),
        ("2023-03-01T12:00:00Z", []),
    ],
)
def test_29_february_falls_on_28_february_in_other_years(as_of, expected):
    people = {"leap": {"born": "1992-02-29"}, "28": {"born": "1991-02-28"}}
    assert members(people, rule("born", "anniversary", "today"), as_of=as_of) == expected


def test_rolling_hours_and_calendar_days_are_two_choices():  # I-49
    people = {"08:00": {"at": "2026-11-19T08:00:00-05:00"}, "13:00": {"at": "2026-11-19T13:00:00-05:00"}}
    now = "2026-11-26T11:49:00-05:00"
    assert members(people, rule("at", "inLast", {"amount": 7, "unit": "day"}), as_of=now) == ["13:00"]
    assert members(people, rule("at", "onDay", {"daysAgo": 7}), as_of=now) == ["08:00", "13:00"]


def test_only_a_false_boolean_is_false():  # I-25
    people = {"text": {"t": "banana"}, "zero": {"n": 0}, "empty": {"t": ""}, "false": {"b": False}, "missing": {}}
    assert members(people, rule("b", "=", False)) == ["false"]


def test_numbers_are_numbers():  # I-23
    people = {name: {"score": Decimal(name)} for name in ("9", "10", "100", "-5", "1e2")}
    assert members(people, rule("score", ">", 9)) == ["10", "100", "1e2"]


def test_missing_is_not_equal_and_does_not_contain():  # I-42
    people = {"pro": {"tier": "pro"}, "free": {"tier": "free"}, "missing": {}, "x": {"l": ["x"]}, "empty": {"l": []}}
    assert members(people, rule("tier", "!=", "pro")) == ["free", "missing", "x", "empty"]
    assert members(people, rule("l", "doesNotContain", "x")) == ["pro", "free", "missing", "empty"]


def test_buckets_are_stable():
    assert [bucket_of(name) for name in ("ann", "bob", "日本")] == [3834, 7420, 1462]
