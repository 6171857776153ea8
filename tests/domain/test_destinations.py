"""Destinations: one key for all spellings of a phone or address, and nothing else passes for one."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from traitbase.domain.destinations import (
    DESTINATION_MAX_CODE_POINTS,
    PHONE_CHANNELS,
    TOKEN_CHANNELS,
    Channel,
    country_of,
    digest_of_destination,
    find_channel,
    find_key,
    key_of,
    shown,
)
from traitbase.domain.errors import InvalidInput

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
NUMBERS = [
    phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    for region in REGIONS
    for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    if (number := phonenumbers.example_number_for_type(region, kind)) is not None
]
phones = st.one_of(
    st.sampled_from(NUMBERS),
    st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True).filter(lambda text: find_key(Channel.SMS, text) is not None),
)
punctuation = st.sampled_from(["", " ", "-", ".", "/", " (", ") ", "\u00a0", "\u2011"])


def test_knows_channels_by_their_wire_names_only():
    assert {find_channel(channel.value) for channel in Channel} == set(Channel)
    assert [find_channel(name) for name in ("SMS", "", "fax", None, 5, ["sms"])] == [None] * 6
    assert not PHONE_CHANNELS & TOKEN_CHANNELS


@pytest.mark.parametrize("number", NUMBERS)
def test_takes_an_example_of_every_country_as_its_own_key(number):
    assert find_key(Channel.SMS, number) == number
    assert country_of(number) is not None


@given(phones)
@example("+390236618300")
@example("+5491123456789")
def test_shows_a_phone_so_that_it_is_the_same_when_it_is_sent_back(number):
    for channel in PHONE_CHANNELS:
        key = find_key(channel, number)
        assert key is not None
        assert find_key(channel, key) == key
        assert find_key(channel, shown(channel, number)) == key


@given(phones, st.lists(punctuation, min_size=20, max_size=20))
def test_does_not_mind_punctuation(number, marks):
    spelled = number[0] + "".join(digit + mark for digit, mark in zip(number[1:], marks, strict=False))
    assert find_key(Channel.VOICE, spelled) == find_key(Channel.VOICE, number)
    assert find_key(Channel.VOICE, f" {spelled}\t") == find_key(Channel.VOICE, number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "+1555",
        "5551234567",
        "00919879012345",
        "+1 800 FLOWERS",
        "+1 555 123 4567 ext 5",
        "+15551234567;ext=5",
        "tel:+15551234567",
        "++15551234567",
        "+1555+1234567",
        "+١٢٣٤٥٦٧٨٩٠١",
        "+0123456789",
        "+9999999999",
        "+1555123456789012",
        "+15551234567\n5",
        "+15551234567\0",
        "+1" + " " * 80 + "5551234567",
    ],
)
def test_takes_nothing_else_for_a_phone(text):
    assert [find_key(channel, text) for channel in sorted(PHONE_CHANNELS)] == [None] * 3
    assert shown(Channel.SMS, text) == text
    assert country_of(text) is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("ann@example.com", "ann@example.com"),
        ("Ann.B+x@EXAMPLE.Com", "Ann.B+x@example.com"),
        ("ann@sub.example.test", "ann@sub.example.test"),
        ("ü@EXÄMPLE.com", "ü@xn--exmple-cua.com"),
        ("ann@XN--exmple-cua.com", "ann@xn--exmple-cua.com"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("a@b", None),
        ("@", None),
        ("", None),
        (" ann@example.com", None),
        ("ann@example.com\n", None),
        ("Ann <ann@example.com>", None),
        ("ann@example.com,bo@example.com", None),
        ("ann@@example.com", None),
        ("ann@127.0.0.1", None),
        ("ann@[127.0.0.1]", None),
        ("a..b@example.com", None),
        ("ann@" + "a." * 200 + "com", None),
        ("ann\r\nBcc: bo@example.com", None),
    ],
)
def test_keeps_the_local_part_and_compares_the_domain_without_case(text, key):
    assert find_key(Channel.EMAIL, text) == key


@given(st.text(max_size=40))
def test_takes_any_other_text_as_it_is_unless_it_is_blank_or_has_control_characters(text):
    expected = text if text.strip() and not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in text) else None
    for channel in set(Channel) - PHONE_CHANNELS - {Channel.EMAIL}:
        assert find_key(channel, text) == expected
        assert shown(channel, text) == text


@pytest.mark.parametrize("channel", sorted(set(Channel) - PHONE_CHANNELS - {Channel.EMAIL}))
def test_has_a_longest_destination(channel):
    assert find_key(channel, "x" * DESTINATION_MAX_CODE_POINTS) is not None
    assert find_key(channel, "x" * (DESTINATION_MAX_CODE_POINTS + 1)) is None


@given(st.sampled_from(Channel), st.text(max_size=60))
def test_is_total_and_says_in_fynos_words_what_is_none(channel, text):
    if find_key(channel, text) is not None:
        assert key_of(channel, text, path="p") == find_key(channel, text)
        return
    with pytest.raises(InvalidInput) as refused:
        key_of(channel, text, path="p")
    assert refused.value.message == f"Invalid destination for channel {channel.value}"
    assert [fault.path for fault in refused.value.faults] == ["p"]


@pytest.mark.parametrize(
    ("phone", "country"),
    [
        ("+919879012345", "IN"),
        ("+15551234567", "US"),
        ("+14165550123", "CA"),
        ("+442083661177", "GB"),
        ("+80012345678", None),
    ],
)
def test_tells_the_country_of_a_phone(phone, country):
    assert country_of(phone) == country


@given(st.text(max_size=10), st.text(max_size=10), st.sampled_from(Channel), st.sampled_from(Channel))
def test_gives_a_digest_per_workspace_channel_and_destination(one, other, channel, second):
    digest = digest_of_destination("north", channel, one)
    assert len(digest) == 64
    assert digest != digest_of_destination("south", channel, one)
    assume((channel, one) != (second, other) and "\0" not in one + other)
    assert digest != digest_of_destination("north", second, other)
