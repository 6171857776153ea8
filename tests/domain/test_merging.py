"""Merging: the target's values win, nothing else of either is lost, and what would not fit is refused."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.profile_strategies import attributes, properties, texts
from traitbase.domain.attributes import ALIASES_MAX, NO_ATTRIBUTES, TOKENS_MAX, Attributes, Choice, Preference, Token
from traitbase.domain.errors import InvalidInput
from traitbase.domain.merging import merge_attributes, merge_properties
from traitbase.domain.profiles import PROFILE_MAX_BYTES, PROPERTIES_MAX, Profile
from traitbase.domain.values import LIST_MAX_ELEMENTS, encode_properties, unique

UTC = ZoneInfo("UTC")


def profile(held):
    return Profile(held, len(encode_properties(held)))


def merged(target, source):
    return merge_properties(profile(target), profile(source), UTC).properties


def merge_both(target, source):
    return merge_attributes(target, source, source_distinct_id="source", source_profile_id="f" * 24)


@given(properties, properties)
def test_keeps_every_name_and_every_element_of_either(target, source):
    made = merged(target, source)
    assert set(made) == {*target, *source}
    for name, value in made.items():
        ours, theirs = target.get(name), source.get(name)
        if isinstance(ours, list) and isinstance(theirs, list):
            assert value == unique([*ours, *theirs], UTC)
            assert value[: len(unique(ours, UTC))] == unique(ours, UTC)
        else:
            assert value == (theirs if ours is None else ours)
            assert type(value) is type(theirs if ours is None else ours)


@given(properties, properties)
def test_is_the_same_when_it_is_done_twice(target, source):
    made = merged(target, source)
    assert merged(made, source) == made
    assert merged(target, {}) == target
    assert merged({}, source) == source


@given(properties, properties)
def test_leaves_what_it_was_given_as_it_was(target, source):
    before = encode_properties(target), encode_properties(source)
    merged(target, source)
    assert (encode_properties(target), encode_properties(source)) == before


@given(properties, properties)
def test_knows_how_large_the_profile_became(target, source):
    made = merge_properties(profile(target), profile(source), UTC)
    assert len(encode_properties(made.properties)) <= made.size_bound


def test_tells_elements_apart_as_a_list_does():
    target, source = {"l": ["2026-11-25T00:00:00Z", 1]}, {"l": ["2026-11-25T01:00:00+01:00", "1", 2]}
    assert merged(target, source) == {"l": ["2026-11-25T00:00:00Z", 1, "1", 2]}


def test_takes_a_list_to_its_limit_and_refuses_one_more():
    half = LIST_MAX_ELEMENTS // 2
    fits = {"l": list(range(half, LIST_MAX_ELEMENTS))}
    assert len(merged({"l": list(range(half))}, fits)["l"]) == LIST_MAX_ELEMENTS
    with pytest.raises(InvalidInput, match="the list 'l' would have more than 1,000 elements"):
        merged({"l": list(range(half))}, {"l": [*fits["l"], -1]})


def test_takes_a_profile_to_its_limit_and_refuses_one_more():
    half = {f"t{number}": 1 for number in range(PROPERTIES_MAX // 2)}
    other = {f"s{number}": 1 for number in range(PROPERTIES_MAX // 2)}
    assert len(merged(half, other)) == PROPERTIES_MAX
    with pytest.raises(InvalidInput, match="more than 2,000 properties or 256 KB"):
        merged(half, {**other, "more": 1})


def test_measures_a_profile_where_the_bounds_are_near_the_limit():
    target = {f"t{number}": "x" * 255 for number in range(480)}
    same = dict(target)  # two bounds of 130 KB each, and 130 KB together
    assert merged(target, {**same, "more": 1}) == {**target, "more": 1}
    large = {f"s{number}": "x" * 255 for number in range(560)}
    assert len(encode_properties({**target, **large})) > PROFILE_MAX_BYTES
    with pytest.raises(InvalidInput, match="256 KB"):
        merged(target, large)


@given(attributes, attributes)
def test_fills_the_targets_gaps_from_the_source(target, source):
    made = merge_both(target, source)
    assert made.name == (source.name if target.name is None else target.name)
    assert made.timezone == (source.timezone if target.timezone is None else target.timezone)
    assert made.status == target.status
    assert set(made.channel) == {*target.channel, *source.channel}
    for name, held in made.channel.items():
        ours, theirs = target.channel.get(name), source.channel.get(name)
        if isinstance(held, str):
            assert held == (theirs if ours is None else ours)
        else:
            known = {token.token for token in ours or []}
            assert held == [*(ours or []), *(token for token in theirs or [] if token.token not in known)]


@given(attributes, attributes)
def test_lets_every_id_of_either_lead_to_the_target(target, source):
    made = merge_both(target, source)
    assert set(made.aliases) == {*target.aliases, "source", *source.aliases}
    assert set(made.id_list) == {*target.id_list, "f" * 24, *source.id_list}
    assert len(made.aliases) == len(set(made.aliases))
    assert made.aliases[: len(target.aliases)] == target.aliases


@given(attributes, attributes)
def test_keeps_an_opt_out_of_either(target, source):
    made = merge_both(target, source).preferences
    either = [target.preferences, source.preferences]
    assert {(topic, channel) for topic in made for channel in made[topic]} == {
        (topic, channel) for held in either for topic in held for channel in held[topic]
    }
    for topic, channels in made.items():
        for channel, preference in channels.items():
            said = [held[topic][channel] for held in either if channel in held.get(topic, {})]
            assert preference in said
            outs = [each for each in said if each.choice is Choice.OPTED_OUT]
            assert preference == (outs or said)[0]


@given(attributes, attributes)
def test_is_the_same_for_attributes_done_twice(target, source):
    made = merge_both(target, source)
    assert merge_both(made, source) == made


def test_refuses_more_destinations_than_a_profile_may_have():
    """Forty tokens of two thousand characters are more than 64 KB."""
    halves = [
        Attributes(channel={"push": [Token(f"{number}".ljust(2_000, "x")) for number in range(start, start + 20)]})
        for start in (0, 20)
    ]
    with pytest.raises(InvalidInput, match="channel: a profile's destinations take at most 64 KB; take some away"):
        merge_both(*halves)


def test_refuses_too_many_tokens():
    target = Attributes(channel={"push": [Token(f"t{number}") for number in range(TOKENS_MAX)]})
    assert merge_both(target, target).channel == target.channel
    with pytest.raises(
        InvalidInput, match=r"channel.push: a profile has at most 100 tokens on a channel; take some away"
    ):
        merge_both(target, Attributes(channel={"push": [Token("more")]}))


def test_refuses_too_many_ids():
    target = Attributes(aliases=tuple(f"t{number}" for number in range(ALIASES_MAX - 1)))
    assert len(merge_both(target, NO_ATTRIBUTES).aliases) == ALIASES_MAX
    with pytest.raises(InvalidInput, match="more than 1,000 other ids"):
        merge_both(target, Attributes(aliases=("more",)))


@given(texts, st.integers(0, 10))
def test_keeps_the_targets_opt_out_where_both_said_no(topic, at_us):
    ours, theirs = Preference(Choice.OPTED_OUT, at_us), Preference(Choice.OPTED_OUT, at_us + 1)
    made = merge_both(Attributes(preferences={topic: {"sms": ours}}), Attributes(preferences={topic: {"sms": theirs}}))
    assert made.preferences == {topic: {"sms": ours}}
