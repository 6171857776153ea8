"""Limits of a profile and of a space: exact, at the byte and at the entry, and never in the way of taking away."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import reference
from traitbase.domain import values
from traitbase.domain.definitions import Definitions, PropertyDefinition
from traitbase.domain.operations import apply
from traitbase.domain.profiles import Profile
from traitbase.domain.updates import parse_item
from traitbase.domain.values import Kind

UTC_ZONE = ZoneInfo("UTC")
NONE_KNOWN = Definitions({}, UTC_ZONE)
BYTES_MAX = 262_144


def update_of(action):
    return parse_item({"distinct_id": "u", "action": action})


def defined(properties):
    kinds = {str: Kind.STRING, int: Kind.NUMBER, list: Kind.LIST}
    return Definitions({name: PropertyDefinition(kinds[type(value)]) for name, value in properties.items()}, UTC_ZONE)


def profile_of(properties):
    return Profile(properties, len(values.encode_properties(properties)))


def filled_to(size, **more):
    """Return properties whose document has exactly that size: `more`, and as many texts as it takes."""
    properties = {**more, "filling": ""}
    missing = size - len(values.encode_properties(properties))
    while missing > 250:
        name = f"filling {len(properties):04}"
        properties[name] = "x" * min(200, missing - len(f',"{name}":""') - 20)
        missing -= len(f',"{name}":"{properties[name]}"')
    properties["filling"] = "x" * missing
    assert len(values.encode_properties(properties)) == size
    return properties


def outcome_of(applied):
    return applied.profile.properties, [
        (entry.operation.value, entry.property, entry.reason.value) for entry in applied.ignored
    ]


# --- 256 KB a profile ---


def test_takes_a_value_that_fills_the_profile_to_its_last_byte():
    properties = filled_to(BYTES_MAX - len(',"p":"xx"'))
    applied = apply(profile_of(properties), update_of({"$set": {"p": "xx"}}), defined(properties))
    assert outcome_of(applied) == ({**properties, "p": "xx"}, [])


def test_ignores_a_value_that_is_one_byte_too_many():
    properties = filled_to(BYTES_MAX - len(',"p":"xx"'))
    applied = apply(profile_of(properties), update_of({"$set": {"p": "xxx"}}), defined(properties))
    assert outcome_of(applied) == (properties, [("$set", "p", "profile_full")])
    assert applied.new_kinds == {}


def test_counts_bytes_of_utf_8():
    properties = filled_to(BYTES_MAX - len(',"p":""') - 2)
    for text, ignored in (
        ("é", []),
        ("éa", [("$set", "p", "profile_full")]),
        ('"', []),
        ('""', [("$set", "p", "profile_full")]),
    ):
        assert (
            outcome_of(apply(profile_of(properties), update_of({"$set": {"p": text}}), defined(properties)))[1]
            == ignored
        )


def test_fills_a_new_profile_to_its_last_byte_and_ignores_only_what_is_beyond():
    properties = filled_to(BYTES_MAX)
    applied = apply(None, update_of({"$set": {**properties, "z": 1}}), NONE_KNOWN)
    assert outcome_of(applied) == (properties, [("$set", "z", "profile_full")])


def test_fills_a_new_profile_to_its_last_byte():
    properties = filled_to(BYTES_MAX)
    assert outcome_of(apply(None, update_of({"$set": properties}), NONE_KNOWN)) == (properties, [])


def test_applies_an_update_as_a_whole_if_its_result_fits():
    properties = filled_to(BYTES_MAX - 4, going="x" * 200)
    action = {"$set": {"coming": "y" * 190}, "$unset": ["going"]}
    applied = apply(profile_of(properties), update_of(action), defined(properties))
    del properties["going"]
    assert outcome_of(applied) == ({**properties, "coming": "y" * 190}, [])


def test_applies_what_fits_beside_what_does_not():
    properties = filled_to(BYTES_MAX - 20)
    action = {"$set": {"long": "y" * 100, "p": 1}, "$append": {"l": "y" * 100}, "$add": {"n": 1}}
    applied = apply(profile_of(properties), update_of(action), defined(properties))
    assert outcome_of(applied) == (
        {**properties, "p": 1, "n": 1},
        [("$set", "long", "profile_full"), ("$append", "l", "profile_full")],
    )
    assert applied.new_kinds == {"p": Kind.NUMBER, "n": Kind.NUMBER}


def test_takes_a_shorter_value_in_a_profile_that_is_over_its_limit():
    properties = filled_to(BYTES_MAX + 50, p="x" * 100)
    applied = apply(profile_of(properties), update_of({"$set": {"p": "y" * 100, "filling": 1}}), defined(properties))
    assert outcome_of(applied)[0] == {**properties, "p": "y" * 100}


@pytest.mark.parametrize("size", [BYTES_MAX, BYTES_MAX + 1_000])
def test_takes_away_from_a_full_profile(size):
    properties = filled_to(size, gone=1, l=["a", "b"])
    applied = apply(profile_of(properties), update_of({"$remove": {"l": "a"}, "$unset": ["gone"]}), defined(properties))
    del properties["gone"]
    assert outcome_of(applied) == ({**properties, "l": ["b"]}, [])


def test_bounds_the_size_of_a_profile_that_was_emptied_beside_a_value_that_did_not_fit():
    too_long = [f"{position:03}" + "😀" * 250 for position in range(300)]
    action = {"$set": {"l": too_long}, "$unset": ["a"]}
    applied = apply(profile_of({"a": "x"}), update_of(action), defined({"a": "x"}))
    assert outcome_of(applied) == ({}, [("$set", "l", "profile_full")])
    assert applied.profile.size_bound >= len(b"{}")


sendable = st.one_of(
    st.text(st.sampled_from('ab"\\\n\x01é日😀'), max_size=30),
    st.integers(-(10**19), 10**19),
    st.lists(st.text(st.sampled_from('ab"é😀'), max_size=20), max_size=5, unique=True),
)
single = st.one_of(st.text(st.sampled_from('ab"é😀'), max_size=30), st.integers(0, 10**19))
some_names = st.sampled_from(["p", "q", "l", "n", "filling", "filling 0003"])
near_the_limit = st.fixed_dictionaries(
    {},
    optional={
        "$set": st.dictionaries(some_names, sendable, min_size=1),
        "$once": st.dictionaries(some_names, sendable, min_size=1),
        "$add": st.dictionaries(some_names, st.integers(0, 10**12), min_size=1),
        "$append": st.dictionaries(some_names, single, min_size=1),
        "$remove": st.dictionaries(some_names, single, min_size=1),
        "$unset": st.lists(some_names, min_size=1),
    },
).filter(bool)


@settings(max_examples=40)
@given(st.integers(-60, 60), st.lists(near_the_limit, min_size=1, max_size=3))
def test_agrees_with_the_naive_model_near_the_limit(distance, sequence):
    properties = filled_to(BYTES_MAX + distance, l=["a", "b"], n=5)
    profile, definitions = profile_of(properties), defined(properties)
    for action in sequence:
        update = update_of(action)
        applied = apply(profile, update, definitions)
        expected = reference.apply(
            reference.tagged_properties(profile.properties),
            update.operations,
            kinds={name: each.kind.value for name, each in definitions.by_name.items()},
            zone=UTC_ZONE,
        )
        ignored = [(entry.operation.value, entry.property, entry.reason.value) for entry in applied.ignored]
        assert sorted(ignored) == sorted(expected.ignored)
        assert reference.tagged_properties(applied.profile.properties) == expected.properties
        size = len(values.encode_properties(applied.profile.properties))
        assert size <= applied.profile.size_bound
        assert size <= max(BYTES_MAX, len(values.encode_properties(profile.properties)))
        profile = applied.profile
        definitions = definitions.with_new(applied.new_kinds, revision=1)


# --- 2,000 properties a profile ---


def test_holds_two_thousand_properties():
    properties = {f"p{position}": position for position in range(2_000)}
    assert outcome_of(apply(None, update_of({"$set": properties}), NONE_KNOWN)) == (properties, [])


def test_ignores_the_two_thousand_and_first_property_and_defines_nothing():
    properties = {f"p{position}": position for position in range(2_000)}
    action = {"$set": {"p0": -1, "q": 1}, "$once": {"r": 1}, "$add": {"s": 1, "p1": 1}, "$append": {"t": 1}}
    applied = apply(profile_of(properties), update_of(action), defined(properties))
    assert outcome_of(applied) == (
        {**properties, "p0": -1, "p1": 2},
        [
            (word, name, "profile_full")
            for word, name in (("$set", "q"), ("$once", "r"), ("$add", "s"), ("$append", "t"))
        ],
    )
    assert applied.new_kinds == {}


def test_makes_room_for_a_property_by_unsetting_another():
    properties = {f"p{position}": position for position in range(2_000)}
    profile, definitions = profile_of(properties), defined(properties)
    profile = apply(profile, update_of({"$unset": ["p7"]}), definitions).profile
    assert apply(profile, update_of({"$set": {"q": 1}}), definitions).profile.properties["q"] == 1


# --- 5,000 definitions a space ---


def five_thousand_definitions(*, fewer=0):
    by_name = {f"d{position}": PropertyDefinition(Kind.NUMBER) for position in range(5_000 - fewer)}
    return Definitions(by_name, UTC_ZONE)


def test_makes_the_five_thousandth_definition_and_no_more():
    action = {"$set": {"q": 1, "r": 1}, "$add": {"s": 1}, "$append": {"t": 1}}
    applied = apply(None, update_of(action), five_thousand_definitions(fewer=1))
    assert outcome_of(applied) == (
        {"q": 1},
        [(word, name, "too_many_properties") for word, name in (("$set", "r"), ("$add", "s"), ("$append", "t"))],
    )
    assert applied.new_kinds == {"q": Kind.NUMBER}


def test_takes_values_of_known_properties_when_there_is_no_room_for_new_ones():
    applied = apply(None, update_of({"$set": {"d0": 1, "new": 1}, "$add": {"d1": 2}}), five_thousand_definitions())
    assert outcome_of(applied) == ({"d0": 1, "d1": 2}, [("$set", "new", "too_many_properties")])


def test_takes_away_when_there_is_no_room_for_new_definitions():
    profile = profile_of({"d0": 1, "d1": 2})
    applied = apply(profile, update_of({"$unset": ["d0"]}), five_thousand_definitions())
    assert outcome_of(applied) == ({"d1": 2}, [])


# --- 1,000 elements a list ---


def test_holds_a_thousand_elements_counted_without_their_twins():
    elements = list(range(1_000))
    applied = apply(None, update_of({"$set": {"l": [*elements, *elements]}}), NONE_KNOWN)
    assert outcome_of(applied) == ({"l": elements}, [])


def test_ignores_a_list_of_more_than_a_thousand_elements():
    applied = apply(None, update_of({"$set": {"l": list(range(1_001))}}), NONE_KNOWN)
    assert (outcome_of(applied), applied.new_kinds) == (({}, [("$set", "l", "list_too_long")]), {})


def test_appends_the_thousandth_element_and_no_more():
    properties = {"l": list(range(999))}
    definitions = defined(properties)
    full = apply(profile_of(properties), update_of({"$append": {"l": 999}}), definitions).profile
    assert full.properties == {"l": list(range(1_000))}
    refused = apply(full, update_of({"$append": {"l": 1_000}}), definitions)
    assert outcome_of(refused) == (full.properties, [("$append", "l", "list_full")])
    known = apply(full, update_of({"$append": {"l": 5}}), definitions)
    assert outcome_of(known) == (full.properties, [("$append", "l", "already_in_list")])


def test_removes_from_a_full_list():
    properties = {"l": list(range(1_000))}
    applied = apply(profile_of(properties), update_of({"$remove": {"l": 0}}), defined(properties))
    assert outcome_of(applied) == ({"l": list(range(1, 1_000))}, [])


# --- what it costs ---


def test_knows_the_exact_size_once_a_profile_is_full_and_weighs_only_what_is_touched(monkeypatch):
    properties = filled_to(BYTES_MAX - 300)
    names = list(properties)
    known = defined({**properties, "l": ["a"]})
    profile = profile_of(properties)._replace(is_exact=True)
    weighed = []

    def noting(entries):
        weighed.append(len(entries))
        return encode(entries)

    encode = values.encode_properties
    monkeypatch.setattr(values, "encode_properties", noting)
    for number in range(40):
        action = (
            {"$set": {names[number]: "y" * 199}},
            {"$set": {names[number]: "z" * 255, f"new {number}": 5}},
            {"$append": {"l": f"element {number}"}},
            {"$unset": [names[number]], "$set": {"p": "é" * 200}},
        )[number % 4]
        weighed.clear()
        profile = apply(profile, update_of(action), known).profile
        assert profile.is_exact
        assert profile.size_bound == len(encode(profile.properties)) <= BYTES_MAX
        assert sum(weighed) <= 8


def test_a_hundred_thousand_names_end_as_two_thousand_properties():
    sent = {f"n{number}": number for number in range(100_000)}
    applied = apply(None, update_of({"$set": sent, "$unset": [f"n{number}" for number in range(10)]}), NONE_KNOWN)
    kept = {f"n{number}": number for number in range(10, 2_000)}
    assert outcome_of(applied) == (kept, [("$set", f"n{number}", "profile_full") for number in range(2_000, 100_000)])
    assert len(applied.new_kinds) == 2_000


def test_more_names_than_a_profile_holds_apply_as_a_whole_if_enough_are_taken_away():
    sent = {f"n{number}": number for number in range(3_000)}
    gone = [f"n{number}" for number in range(1_000)]
    applied = apply(None, update_of({"$set": sent, "$unset": gone}), NONE_KNOWN)
    assert outcome_of(applied) == ({f"n{number}": number for number in range(1_000, 3_000)}, [])


def test_names_beyond_those_of_the_workspace_are_told_apart_from_faulty_values():
    known = Definitions({f"d{number}": PropertyDefinition(Kind.NUMBER) for number in range(5_000)}, UTC_ZONE)
    sent = {"d1": 1, "a": 5, "b": None, "c": "x" * 256, "d": [True], "e": ["x"], "f": True}
    assert outcome_of(apply(None, update_of({"$set": sent}), known)) == (
        {"d1": 1},
        [
            ("$set", "a", "too_many_properties"),
            ("$set", "b", "null_value"),
            ("$set", "c", "string_too_long"),
            ("$set", "d", "list_element_type"),
            ("$set", "e", "too_many_properties"),
            ("$set", "f", "too_many_properties"),
        ],
    )


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ([1] * 100_000, None),
        ([*range(1_000), *range(1_000)] * 10, None),
        ([*range(1_001)] * 10, "list_too_long"),
        ([1, *[1] * 10_000, True], "list_element_type"),
        ([*range(20_000), None], "list_element_type"),
        ([*range(20_000), "x" * 256], "string_too_long"),
        ([f"2020-01-01T{number % 24:02}:00:00Z" for number in range(50_000)], None),
    ],
)
def test_a_long_list_counts_each_value_once_and_is_looked_at_to_its_end(sent, reason):
    applied = apply(None, update_of({"$set": {"l": sent}}), NONE_KNOWN)
    kept = {} if reason else {"l": list(dict.fromkeys(sent))}
    assert outcome_of(applied) == (kept, [("$set", "l", reason)] if reason else [])


def test_an_addition_says_whether_the_number_or_the_sum_is_out_of_range():
    known = defined({"n": 1})
    ignored = apply(profile_of({"n": 10**20 - 1}), update_of({"$add": {"n": 1, "m": 10**20}}), known).ignored
    assert [(entry.property, entry.reason.value, entry.message) for entry in ignored] == [
        (
            "n",
            "number_out_of_range",
            "the sum is out of range: a number has at most 20 digits before the decimal point",
        ),
        ("m", "number_out_of_range", "a number has at most 20 digits before the decimal point"),
    ]
