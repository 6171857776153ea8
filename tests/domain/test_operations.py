"""The six operations: total, pure, in agreement with a naive model, and each with its own laws."""

from __future__ import annotations

import copy
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import reference
from domain.strategies import actions, few_scalars, items, numbers, scalars, value_lists, zones
from traitbase.domain import values
from traitbase.domain.definitions import Definitions, PropertyDefinition, State, infer_kind
from traitbase.domain.operations import Applied, Ignored, Reason, applied_in, apply
from traitbase.domain.profiles import Profile
from traitbase.domain.updates import Operation, parse_item
from traitbase.domain.values import Kind

UTC_ZONE = ZoneInfo("UTC")
NONE_KNOWN = Definitions({}, UTC_ZONE)


def update_of(action):
    return parse_item({"distinct_id": "u", "action": action})


def after(*actions_in_order, definitions=NONE_KNOWN, profile=None):
    """Apply actions one after the other and return the last result and the definitions that were then known."""
    applied = Applied(profile, {}, ())
    for action in actions_in_order:
        applied = apply(applied.profile, update_of(action), definitions)
        definitions = definitions.with_new(applied.new_kinds, revision=definitions.revision + 1)
    return applied, definitions


def properties_after(*actions_in_order, definitions=NONE_KNOWN):
    profile = after(*actions_in_order, definitions=definitions)[0].profile
    return None if profile is None else profile.properties


def reasons(applied):
    return sorted((entry.operation.value, entry.property, entry.reason.value) for entry in applied.ignored)


@st.composite
def situations(draw):
    """A profile (or None) and definitions that fit together: what some updates left behind, some names archived."""
    definitions = Definitions({}, draw(zones))
    profile = None
    for action in draw(st.lists(actions(), max_size=4)):
        applied = apply(profile, update_of(action), definitions)
        profile = applied.profile
        definitions = definitions.with_new(applied.new_kinds, revision=definitions.revision + 1)
    if draw(st.booleans()):  # another profile's values made the definitions
        profile = draw(st.sampled_from([None, Profile({})]))
    by_name = dict(definitions.by_name)
    for name in draw(st.lists(st.sampled_from(sorted(by_name)), max_size=2)) if by_name else []:
        by_name[name] = by_name[name]._replace(state=State.ARCHIVED)
    return profile, Definitions(by_name, definitions.zone, definitions.revision)


def agrees_with_the_model(profile, update, definitions):
    applied = apply(profile, update, definitions)
    expected = reference.apply(
        None if profile is None else reference.tagged_properties(profile.properties),
        update.operations,
        kinds={name: definition.kind.value for name, definition in definitions.by_name.items()},
        zone=definitions.zone,
        archived=frozenset(name for name, each in definitions.by_name.items() if each.state is State.ARCHIVED),
    )
    got = reference.Outcome(
        None if applied.profile is None else reference.tagged_properties(applied.profile.properties),
        {name: kind.value for name, kind in applied.new_kinds.items()},
        reasons(applied),
    )
    assert got == expected._replace(ignored=sorted(expected.ignored))
    return applied


# --- laws of all updates ---


@given(situations(), items)
def test_agrees_with_the_naive_model(situation, item):
    profile, definitions = situation
    agrees_with_the_model(profile, parse_item(item), definitions)


@given(st.lists(items, min_size=1, max_size=8), zones)
def test_agrees_with_the_naive_model_over_a_sequence(sequence, zone):
    profiles = {}
    definitions = Definitions({}, zone)
    for item in sequence:
        applied = agrees_with_the_model(profiles.get(item["distinct_id"]), parse_item(item), definitions)
        profiles[item["distinct_id"]] = applied.profile
        definitions = definitions.with_new(applied.new_kinds, revision=definitions.revision + 1)


@given(situations(), items)
def test_leaves_its_arguments_as_they_are(situation, item):
    update = parse_item(item)
    before = copy.deepcopy((situation[0], update, dict(situation[1].by_name)))
    apply(situation[0], update, situation[1])
    assert repr((situation[0], update, dict(situation[1].by_name))) == repr(before)


@given(situations(), items)
def test_gives_the_same_answer_to_the_same_question(situation, item):
    update = parse_item(item)
    assert repr(apply(situation[0], update, situation[1])) == repr(apply(situation[0], update, situation[1]))


@given(situations(), items)
def test_applies_or_ignores_every_entry_exactly_once(situation, item):
    update = parse_item(item)
    applied = apply(situation[0], update, situation[1])
    ignored = tuple((entry.operation, entry.property) for entry in applied.ignored)
    sent = [(operation, name) for operation, payload in update.operations for name in payload]
    assert sorted([*applied_in(update, ignored), *ignored]) == sorted(sent)


@given(situations(), items)
def test_keeps_only_values_that_fit_their_definitions(situation, item):
    applied = apply(situation[0], parse_item(item), situation[1])
    known = situation[1].with_new(applied.new_kinds, revision=9).by_name
    for name, value in ({} if applied.profile is None else applied.profile.properties).items():
        kind = infer_kind(value)
        assert kind is known[name].kind or (known[name].kind is Kind.STRING and kind is Kind.DATE)


@given(situations(), items)
def test_bounds_the_size_of_the_document_from_above(situation, item):
    applied = apply(situation[0], parse_item(item), situation[1])
    if applied.profile is not None:
        assert len(values.encode_properties(applied.profile.properties)) <= applied.profile.size_bound


@given(situations(), items)
def test_makes_definitions_only_for_values_that_were_written(situation, item):
    update = parse_item(item)
    profile, definitions = situation
    applied = apply(profile, update, definitions)
    ignored = tuple((entry.operation, entry.property) for entry in applied.ignored)
    wrote = {
        name for operation, name in applied_in(update, ignored) if operation not in (Operation.REMOVE, Operation.UNSET)
    }
    assert set(applied.new_kinds) == wrote - set(definitions.by_name)


@given(situations(), st.lists(st.sampled_from(["a", "b", "l", "n", "never"]), min_size=1), few_scalars)
def test_leaves_an_unknown_profile_unknown_when_only_taking_away(situation, gone, value):
    update = update_of({"$unset": gone, "$remove": {"l": value}})
    applied = apply(None, update, situation[1])
    assert (applied.profile, applied.new_kinds, {entry.reason for entry in applied.ignored}) == (
        None,
        {},
        {Reason.ABSENT},
    )


@given(actions().filter(lambda action: set(action) - {"$remove", "$unset"}))
def test_creates_an_unknown_profile_even_if_every_value_is_ignored(action):
    assert apply(None, update_of(action), NONE_KNOWN).profile is not None


# --- each operation ---


@given(situations(), st.dictionaries(st.sampled_from("abln"), st.one_of(scalars, value_lists), min_size=1))
def test_makes_set_twice_the_same_as_once(situation, sent):
    profile, definitions = situation
    once, known = after({"$set": sent}, definitions=definitions, profile=profile)
    twice, _ = after({"$set": sent}, definitions=known, profile=once.profile)
    assert repr(twice.profile.properties) == repr(once.profile.properties)
    assert (reasons(twice), twice.new_kinds) == (reasons(once), {})


@given(situations(), st.dictionaries(st.sampled_from("abln"), st.one_of(scalars, value_lists), min_size=1))
def test_ignores_once_where_there_is_a_value(situation, sent):
    profile, definitions = situation
    first, known = after({"$once": sent}, definitions=definitions, profile=profile)
    again, _ = after({"$once": sent}, definitions=known, profile=first.profile)
    assert again.profile.properties == first.profile.properties
    assert {entry.property for entry in again.ignored} == set(sent)
    written = {entry.property for entry in first.ignored} ^ set(sent)
    assert written == {entry.property for entry in again.ignored if entry.reason is Reason.ALREADY_SET} - {
        entry.property for entry in first.ignored
    }


@pytest.mark.parametrize("value", ["", 0, False, [], "x", "2020-10-01"])
def test_takes_an_empty_value_as_a_value(value):
    applied, _ = after({"$set": {"p": value}}, {"$once": {"p": value}})
    assert (applied.profile.properties, reasons(applied)) == ({"p": value}, [("$once", "p", "already_set")])


def test_writes_once_again_after_an_unset():
    assert properties_after({"$set": {"a": 1}}, {"$unset": ["a"]}, {"$once": {"a": 2}}) == {"a": 2}


@given(numbers, numbers)
def test_adds_two_numbers_as_it_adds_their_sum(left, right):
    first, second = values.to_number(left), values.to_number(right)
    total = None if first is None or second is None else values.add(first, second)
    if total is None:
        return
    assert repr(properties_after({"$add": {"n": left}}, {"$add": {"n": right}})) == repr({"n": total})


@given(numbers)
def test_adds_to_an_absent_number_as_to_zero(number):
    assert properties_after({"$add": {"n": number}}) == properties_after({"$set": {"n": number}})


@pytest.mark.parametrize("more", [1, Decimal("1.5"), Decimal("0.9999999999999999995")])
def test_ignores_a_sum_that_is_out_of_range_and_keeps_the_number(more):
    applied, _ = after({"$set": {"n": 10**20 - 1}}, {"$add": {"n": more}})
    assert (applied.profile.properties, reasons(applied)) == ({"n": 10**20 - 1}, [("$add", "n", "number_out_of_range")])


@given(situations(), few_scalars)
def test_appends_a_value_once(situation, value):
    profile, definitions = situation
    once, known = after({"$append": {"l": value}}, definitions=definitions, profile=profile)
    twice, _ = after({"$append": {"l": value}}, definitions=known, profile=once.profile)
    assert repr(twice.profile.properties) == repr(once.profile.properties)
    assert [entry.property for entry in twice.ignored] == ["l"]
    assert once.ignored or twice.ignored[0].reason is Reason.ALREADY_IN_LIST


@given(value_lists, few_scalars)
def test_removes_what_was_appended(present, value):
    before, known = after({"$set": {"l": present}})
    appended, known = after({"$append": {"l": value}}, definitions=known, profile=before.profile)
    if appended.ignored:
        return
    removed, _ = after({"$remove": {"l": value}}, definitions=known, profile=appended.profile)
    assert removed.profile.properties == {"l": before.profile.properties.get("l", [])}


def test_keeps_an_emptied_list():
    assert properties_after({"$set": {"l": ["a", 2]}}, {"$remove": {"l": "a"}}, {"$remove": {"l": Decimal("2.0")}}) == {
        "l": []
    }


def test_removes_a_date_by_its_instant_in_the_zone_of_the_workspace():
    berlin = Definitions({}, ZoneInfo("Europe/Berlin"))
    written = {"$set": {"l": ["2024-06-01", "2024-05-31T22:00:00Z", "2024-06-01T00:00:00", "2024-06-01T00:00:00Z"]}}
    assert properties_after(written, definitions=berlin) == {"l": ["2024-06-01", "2024-06-01T00:00:00Z"]}
    assert properties_after(written, {"$remove": {"l": "2024-05-31T22:00:00.0Z"}}, definitions=berlin) == {
        "l": ["2024-06-01T00:00:00Z"]
    }


@given(situations())
def test_unsets_any_type_and_keeps_its_definition(situation):
    profile, definitions = situation
    if profile is None or not profile.properties:
        return
    applied, known = after({"$unset": list(profile.properties)}, definitions=definitions, profile=profile)
    assert (applied.profile.properties, applied.ignored, known.by_name) == ({}, (), definitions.by_name)


@given(
    st.sampled_from(Kind),
    st.sampled_from(["$set", "$once", "$add", "$append"]),
    st.one_of(scalars, value_lists),
)
def test_changes_nothing_and_defines_nothing_on_a_mismatch(kind, word, sent):
    if type(sent) is list and word in ("$add", "$append"):
        return
    held = {Kind.STRING: "x", Kind.NUMBER: 1, Kind.BOOLEAN: True, Kind.DATE: "2020-10-01", Kind.LIST: ["a"]}[kind]
    definitions = Definitions({"p": PropertyDefinition(kind)}, UTC_ZONE)
    for profile in (Profile({"p": held}, 99), Profile({})):
        applied = apply(profile, update_of({word: {"p": sent}}), definitions)
        assert applied.new_kinds == {}
        if applied.ignored:
            assert applied.profile.properties == profile.properties


def test_reads_the_fixed_order_of_operations():
    action = {
        "$unset": ["gone"],
        "$remove": {"l": "a"},
        "$append": {"l": "b"},
        "$add": {"n": 5},
        "$once": {"o": 1, "n": 9},
        "$set": {"n": 10, "l": ["a"], "gone": 1},
    }
    applied, _ = after(action)
    assert applied.profile.properties == {"n": 15, "l": ["b"], "o": 1}
    assert reasons(applied) == [("$once", "n", "already_set")]
    assert applied.new_kinds == {"n": Kind.NUMBER, "l": Kind.LIST, "gone": Kind.NUMBER, "o": Kind.NUMBER}


# --- types ---


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("Premium", Kind.STRING),
        ("21546", Kind.STRING),
        ("01234", Kind.STRING),
        ("20201001", Kind.STRING),
        ("2020-02-30", Kind.STRING),
        ("true", Kind.STRING),
        ("", Kind.STRING),
        ("2020-10-01", Kind.DATE),
        ("2020-10-01T18:30:00.000+05:30", Kind.DATE),
        (0, Kind.NUMBER),
        (Decimal("20.34"), Kind.NUMBER),
        (True, Kind.BOOLEAN),
        ([], Kind.LIST),
        (["2020-10-01"], Kind.LIST),
    ],
)
def test_infers_the_type_of_an_unknown_property(value, kind):
    for word in ("$set", "$once"):
        applied, _ = after({word: {"p": value}})
        assert (applied.profile.properties, applied.new_kinds, applied.ignored) == ({"p": value}, {"p": kind}, ())


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        (Kind.NUMBER, "123"),
        (Kind.NUMBER, True),
        (Kind.NUMBER, "2020-10-01"),
        (Kind.NUMBER, [1]),
        (Kind.STRING, 5),
        (Kind.STRING, True),
        (Kind.STRING, ["x"]),
        (Kind.BOOLEAN, "true"),
        (Kind.BOOLEAN, 1),
        (Kind.BOOLEAN, 0),
        (Kind.DATE, 1481222640),
        (Kind.DATE, "01/10/2020"),
        (Kind.DATE, ""),
        (Kind.LIST, "x"),
        (Kind.LIST, 1),
    ],
)
def test_converts_nothing(kind, sent):
    applied = apply(
        None, update_of({"$set": {"p": sent, "q": 1}}), Definitions({"p": PropertyDefinition(kind)}, UTC_ZONE)
    )
    assert applied.profile.properties == {"q": 1}
    assert reasons(applied) == [("$set", "p", "type_mismatch")]


def test_lets_any_text_into_a_string_property():
    sent = ["2020-10-01", "", " x ", "e\u0301", "\u00e9", "😀" * 255]
    for text in sent:
        assert properties_after({"$set": {"p": "x"}}, {"$set": {"p": text}}) == {"p": text}


@pytest.mark.parametrize(
    ("word", "sent", "reason"),
    [
        ("$set", None, "null_value"),
        ("$set", "x" * 256, "string_too_long"),
        ("$set", "😀" * 256, "string_too_long"),
        ("$set", "\0", "nul_character"),
        ("$set", 10**20, "number_out_of_range"),
        ("$set", Decimal("1E+999999"), "number_out_of_range"),
        ("$set", ["a", True], "list_element_type"),
        ("$set", [None], "list_element_type"),
        ("$set", ["x" * 256], "string_too_long"),
        ("$set", list(range(1_001)), "list_too_long"),
        ("$once", None, "null_value"),
        ("$once", -(10**20), "number_out_of_range"),
        ("$add", None, "null_value"),
        ("$add", "12", "not_a_number"),
        ("$add", True, "not_a_number"),
        ("$add", 10**400, "number_out_of_range"),
        ("$append", None, "null_value"),
        ("$append", False, "list_element_type"),
        ("$append", "\0", "nul_character"),
        ("$append", "x" * 256, "string_too_long"),
        ("$append", 10**20, "number_out_of_range"),
        ("$remove", 1, "absent"),
    ],
)
def test_ignores_a_bad_value_with_its_reason_and_applies_its_neighbours(word, sent, reason):
    applied, _ = after({word: {"p": sent}, "$set": {"ok": 1, **({"p": sent} if word == "$set" else {})}})
    assert (applied.profile.properties, applied.new_kinds) == ({"ok": 1}, {"ok": Kind.NUMBER})
    assert reasons(applied) == [(word, "p", reason)]


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ({"$set": {"p": "y"}}, "property_archived"),
        ({"$once": {"p": "y"}}, "property_archived"),
        ({"$set": {"p": 1}}, "type_mismatch"),
    ],
)
def test_takes_no_new_values_for_an_archived_property(action, reason):
    definitions = Definitions({"p": PropertyDefinition(Kind.STRING, State.ARCHIVED)}, UTC_ZONE)
    applied = apply(Profile({"p": "x"}, 9), update_of(action), definitions)
    assert (applied.profile.properties, [entry.reason.value for entry in applied.ignored]) == ({"p": "x"}, [reason])


def test_lets_an_archived_property_be_taken_away():
    definitions = Definitions({"l": PropertyDefinition(Kind.LIST, State.ARCHIVED)}, UTC_ZONE)
    profile = Profile({"l": ["a", "b"]}, 15)
    assert apply(profile, update_of({"$remove": {"l": "a"}}), definitions).profile.properties == {"l": ["b"]}
    assert apply(profile, update_of({"$unset": ["l"]}), definitions).profile.properties == {}


def test_explains_a_mismatch_to_the_caller():
    definitions = Definitions({"d": PropertyDefinition(Kind.DATE), "n": PropertyDefinition(Kind.NUMBER)}, UTC_ZONE)
    applied = apply(None, update_of({"$set": {"d": 1481222640, "n": "12"}, "$append": {"n": 1}}), definitions)
    date, number = "a Date (such as 2020-10-01 or 2020-10-01T18:30:00+05:30)", "a Number"
    mismatch = Reason.TYPE_MISMATCH
    assert applied.ignored == (
        Ignored(
            Operation.SET, "d", mismatch, f"this property is {date}, and a JSON number was sent; nothing is converted"
        ),
        Ignored(
            Operation.SET, "n", mismatch, f"this property is {number}, and a JSON string was sent; nothing is converted"
        ),
        Ignored(Operation.APPEND, "n", mismatch, f"$append needs a List, and this property is {number}"),
    )


@given(situations(), items)
def test_gives_every_reason_a_message(situation, item):
    assert all(entry.message for entry in apply(situation[0], parse_item(item), situation[1]).ignored)


# --- definitions that are not the newest: another process defined what this one has not heard of ---


@given(situations(), items, st.sets(st.sampled_from("abln")))
def test_raises_nothing_on_a_profile_that_is_newer_than_the_definitions(situation, item, unheard_of):
    profile, definitions = situation
    known = {name: each for name, each in definitions.by_name.items() if name not in unheard_of}
    applied = apply(profile, parse_item(item), Definitions(known, definitions.zone))
    assert type(applied) is Applied
