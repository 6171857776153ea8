"""Bodies of the profile calls: total for any JSON, every fault named, and what is read is what was sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from domain.strategies import json_values
from traitbase.domain.attributes import NO_ATTRIBUTES, Attributes, Token
from traitbase.domain.destinations import Channel
from traitbase.domain.errors import InvalidInput
from traitbase.domain.profile_bodies import (
    AttributeChanges,
    ChannelDeletion,
    ProfileBody,
    check_distinct_id,
    parse_channel_deletion,
    parse_channel_patch,
    parse_creation,
    parse_deletion,
    parse_update,
)
from traitbase.domain.updates import FAULTS_SHOWN_MAX, Operation

PARSERS = [parse_creation, parse_update, parse_channel_patch, parse_channel_deletion, parse_deletion]
words = st.sampled_from(
    ["distinct_id", "name", "status", "timezone", "channel", "properties", "custom_attributes", *Channel, "token"]
)
bodies = st.one_of(
    json_values,
    st.dictionaries(
        words,
        st.one_of(
            json_values,
            st.sampled_from([0, 1, "UTC", "a@example.com", "+15551234567", ["sms"], ["a", 1], {"token": "t"}]),
            st.dictionaries(words, st.one_of(json_values, st.sampled_from(["+15551234567", [{"token": "t"}]]))),
        ),
    ),
)


@pytest.mark.parametrize("parse", PARSERS)
def test_are_read_or_refused_with_places_whatever_they_are(parse):
    @given(bodies)
    def ask(body):
        refused = refusal(parse, body)
        if refused is not None:
            assert refused.message
            assert 0 < len(refused.faults) <= FAULTS_SHOWN_MAX
            assert all(fault.message for fault in refused.faults)

    ask()


def refusal(parse, body):
    try:
        parse(body)
    except InvalidInput as error:
        return error
    return None


@given(bodies)
def test_of_an_update_are_read_the_same_when_they_create(body):
    try:
        made = parse_creation(body)
    except InvalidInput:
        return
    assert parse_update(body) == made


def test_leave_unset_what_they_do_not_mention():
    assert parse_update({}) == ProfileBody(None, AttributeChanges(UNSET, UNSET, UNSET, UNSET), None)
    held = Attributes("Ann", 0, "UTC", {"sms": "+15551234567"})
    assert parse_update({}).changes.apply_to(held) == held


def test_clear_what_is_null_and_replace_what_is_sent():
    held = Attributes("Ann", 0, "UTC", {"sms": "+15551234567"})
    cleared = parse_update({"name": None, "timezone": None, "channel": None, "status": 1})
    assert cleared.changes.apply_to(held) == NO_ATTRIBUTES
    sent = parse_update({"name": "Bo", "timezone": "Asia/Calcutta", "channel": {"slack": "s", "email": None}})
    assert sent.changes.apply_to(held) == Attributes("Bo", 0, "Asia/Calcutta", {"slack": "s"})


def test_take_tokens_as_an_array_or_one_alone_and_the_last_of_each():
    one = parse_channel_patch({"channel": {"push": {"token": "a", "integration_id": "i", "status": 0}}})
    assert one == {"push": [Token("a", "i", 0)]}
    several = parse_channel_patch({"channel": {"push": [{"token": "a"}, {"token": "b"}, {"token": "a", "status": 0}]}})
    assert several == {"push": [Token("a", None, 0), Token("b", None, 1)]}


def test_name_whole_channels_or_tokens():
    assert parse_channel_deletion({"channel": ["sms", "push"]}) == ChannelDeletion(("sms", "push"), {})
    assert parse_channel_deletion({"push": ["a"], "inapp": None}) == ChannelDeletion((), {"push": ("a",)})


def test_name_each_profile_to_erase_once():
    assert parse_deletion({"distinct_id": ["b", "a", "b"]}) == ("b", "a")


def test_carry_properties_as_one_set():
    body = parse_update({"custom_attributes": {"a": 1, "b": 1}, "properties": {"b": [2]}})
    assert body.properties is not None
    assert body.properties.operations == ((Operation.SET, {"a": 1, "b": [2]}),)
    assert parse_update({"properties": {}, "custom_attributes": None}).properties is None


@given(st.text(max_size=300))
def test_take_an_id_of_1_to_255_characters_without_control_characters(text):
    allowed = 0 < len(text) <= 255 and not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in text)
    if allowed:
        assert check_distinct_id(text, "p") == text
        return
    with pytest.raises(InvalidInput) as refused:
        check_distinct_id(text, "p")
    assert [fault.path for fault in refused.value.faults] == ["p"]
