"""Attributes: stored and read again without a difference; what is sent back as it was shown stays as it was."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from domain.profile_strategies import attributes, destinations, texts
from traitbase.domain.attributes import (
    NO_ATTRIBUTES,
    Attributes,
    decode_attributes,
    encode_attributes,
    patch_destinations,
    replace_destinations,
    search_keys,
    shown_destinations,
    timezone_offset,
    without_destinations,
)

phones = st.sampled_from(["+91 98790-12345", "+919879012345", "+1 (555) 123-4567"])
reachable = st.builds(
    lambda held, sms: {**held, "sms": sms, "voice": "+4930123456", "whatsapp": sms}, destinations, phones
)
channel_names = st.lists(st.sampled_from(["sms", "email", "push", "inapp"]), max_size=3).map(tuple)


@given(attributes)
def test_come_back_from_the_store_as_they_were(held):
    document = encode_attributes(held)
    assert decode_attributes(document) == held
    assert (document is None) == (held == NO_ATTRIBUTES)
    assert document is None or isinstance(json.loads(document), dict)


@given(reachable)
def test_stay_as_they_were_written_when_they_are_sent_back_as_shown(stored):
    assert replace_destinations(stored, shown_destinations(stored)) == stored
    assert patch_destinations(stored, shown_destinations(stored)) == stored


@given(destinations, destinations)
def test_are_replaced_as_a_whole(stored, sent):
    assert replace_destinations(stored, sent) == sent


@given(destinations, destinations)
def test_are_patched_one_by_one(stored, sent):
    patched = patch_destinations(stored, sent)
    assert set(patched) == {*stored, *sent}
    for name, held in patched.items():
        if name not in sent:
            assert held == stored[name]
        elif isinstance(held, str):
            assert held == sent[name]
        else:
            came = {token.token: token for token in sent[name]}
            before = [token.token for token in stored.get(name, [])]
            assert [token.token for token in held] == [*before, *(each for each in came if each not in before)]
            assert all(came.get(token.token, token) == token for token in held)
    assert patch_destinations(patched, sent) == patched


@given(destinations, channel_names, st.sets(st.sampled_from("abcdefgh")))
def test_lose_what_is_named_and_nothing_else(stored, channels, gone):
    left = without_destinations(stored, channels, {"push": tuple(gone)})
    for name, held in stored.items():
        if name in channels:
            assert name not in left
        elif name == "push":
            assert left.get("push", []) == [token for token in held if token.token not in gone]
        else:
            assert left[name] == held
    assert all(left.values())


@given(st.none() | texts, texts)
def test_are_searched_without_case(name, email):
    held = Attributes(name=name, channel={"email": email})
    assert search_keys(held) == (name and name.casefold(), email.casefold())
    assert search_keys(NO_ATTRIBUTES) == (None, None)


def test_tell_the_offset_of_now():
    summer, winter = 1_782_864_000_000_000, 1_796_083_200_000_000  # 2026-07-01, 2026-12-01
    berlin, new_york = Attributes(timezone="Europe/Berlin"), Attributes(timezone="America/St_Johns")
    assert [timezone_offset(berlin, now_us=at) for at in (summer, winter)] == ["+02:00", "+01:00"]
    assert [timezone_offset(new_york, now_us=at) for at in (summer, winter)] == ["-02:30", "-03:30"]
    assert timezone_offset(NO_ATTRIBUTES, now_us=summer) is None
