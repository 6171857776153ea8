"""What is to be suppressed: read into what cannot be wrong, and recognised by digest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traitbase.domain.destinations import Channel
from traitbase.domain.errors import InvalidInput
from traitbase.domain.suppressions import (
    SuppressionBody,
    digests_of,
    is_suppression_id,
    new_suppression_id,
    parse_suppression,
)

NOW_US = 1_700_000_000_000_000  # 2023-11-14T22:13:20Z
PHONE = "+91 98790 12345"


def read(**body):
    return parse_suppression(body, now_us=NOW_US)


def fault_in(body):
    with pytest.raises(InvalidInput) as caught:
        parse_suppression(body, now_us=NOW_US)
    return caught.value.message, [fault.path for fault in caught.value.faults]


def test_reads_a_destination_as_it_was_sent():
    body = read(destination=PHONE, channel="sms", description="asked us")
    assert body == SuppressionBody(Channel.SMS, None, PHONE, "asked us", None)


def test_lets_the_distinct_id_win_whatever_the_destination_is():
    expected = SuppressionBody(Channel.SMS, "u", None, None, None)
    assert [read(distinct_id="u", destination=other, channel="sms") for other in (PHONE, "x", 5, None)] == [
        expected
    ] * 4


@pytest.mark.parametrize("empty", [None, ""])
def test_takes_an_empty_distinct_id_for_none(empty):
    assert read(distinct_id=empty, destination=PHONE, channel="sms").destination == PHONE


def test_takes_any_channel():
    texts = {"sms": PHONE, "whatsapp": PHONE, "voice": PHONE, "email": "ann@example.com"}
    for channel in Channel:
        text = texts.get(channel, "token")
        assert read(destination=text, channel=channel.value) == SuppressionBody(channel, None, text, None, None)


@pytest.mark.parametrize(
    ("body", "message", "path"),
    [
        ({"destination": "12", "channel": "sms"}, "Invalid destination for channel sms", "destination"),
        ({"destination": "a@b", "channel": "email"}, "Invalid destination for channel email", "destination"),
        ({"destination": 919879012345, "channel": "sms"}, "Invalid destination for channel sms", "destination"),
        ({"destination": ["x"], "channel": "push"}, "Invalid destination for channel push", "destination"),
        ({"channel": "sms"}, "Invalid destination for channel sms", "destination"),
        (
            {"distinct_id": "", "destination": "", "channel": "sms"},
            "Invalid destination for channel sms",
            "destination",
        ),
        ({"distinct_id": "u", "channel": "fax"}, "Invalid destination for channel fax", "channel"),
        ({"distinct_id": "u", "channel": "SMS"}, "Invalid destination for channel SMS", "channel"),
    ],
)
def test_refuses_what_is_no_destination_or_channel_in_fynos_words(body, message, path):
    assert fault_in(body) == (message, [path])


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], ""),
        ({"distinct_id": "u"}, "channel"),
        ({"distinct_id": "u", "channel": None}, "channel"),
        ({"distinct_id": 5, "destination": PHONE, "channel": "sms"}, "distinct_id"),
        ({"distinct_id": "u" * 256, "channel": "sms"}, "distinct_id"),
        ({"distinct_id": "a\0", "channel": "sms"}, "distinct_id"),
        ({"distinct_id": "u", "channel": "sms", "description": 5}, "description"),
        ({"distinct_id": "u", "channel": "sms", "description": "x" * 1_001}, "description"),
    ],
)
def test_names_the_field_at_fault(body, path):
    assert fault_in(body)[1] == [path]


def test_shortens_a_long_name_in_the_message():
    message, _ = fault_in({"distinct_id": "u", "channel": "x" * 10_000})
    assert message == f"Invalid destination for channel {'x' * 79}…"


@pytest.mark.parametrize(
    ("text", "seconds_ahead"),
    [
        ("2023-11-14T22:13:21Z", 1),
        ("2023-11-15T03:43:21+05:30", 1),
        ("2023-11-14T14:13:21.500-08:00", 1.5),
        ("2023-11-14T22:13:20.000001Z", 0.000001),
    ],
)
def test_reads_when_it_expires(text, seconds_ahead):
    assert read(distinct_id="u", channel="sms", expiry_ts=text).expires_at_us == NOW_US + int(seconds_ahead * 1_000_000)


@pytest.mark.parametrize(
    "text",
    [
        "2023-11-14T22:13:20Z",
        "2000-01-01T00:00:00Z",
        "2030-01-01T00:00:00",
        "2030-01-01",
        "2030-02-30T00:00:00Z",
        "2030-01-01 00:00:00Z",
        "tomorrow",
        "",
        1_900_000_000,
        True,
    ],
)
def test_refuses_what_has_passed_or_is_no_time_with_an_offset(text):
    assert fault_in({"distinct_id": "u", "channel": "sms", "expiry_ts": text})[1] == ["expiry_ts"]


@pytest.mark.parametrize(
    ("channel", "one", "other"),
    [
        (Channel.SMS, "+919879012345", "+91 (98790) 123-45"),
        (Channel.EMAIL, "ann@example.com", "ann@EXAMPLE.com"),
    ],
)
def test_recognises_a_destination_however_it_is_written(channel, one, other):
    assert digests_of("north", one, channel=channel) == digests_of("north", other, channel=channel)


def test_tells_destinations_channels_and_workspaces_apart():
    asked = [
        ("north", PHONE, Channel.SMS),
        ("north", PHONE, Channel.VOICE),
        ("south", PHONE, Channel.SMS),
        ("north", "+919879012346", Channel.SMS),
        ("north", "ann@example.com", Channel.EMAIL),
        ("north", "Ann@example.com", Channel.EMAIL),
    ]
    assert len({digests_of(workspace, text, channel=channel) for workspace, text, channel in asked}) == len(asked)


def test_recognises_a_destination_on_every_channel_that_it_may_be_one_of():
    of_each = {channel: digests_of("north", PHONE, channel=channel)[0] for channel in Channel if channel != "email"}
    assert set(digests_of("north", PHONE)) == set(of_each.values())


@given(st.integers(0, 2**52), st.integers(1_000, 2**40), st.text("0123456789abcdef", min_size=24, max_size=24))
def test_makes_ids_that_grow_with_time(at_us, later_us, random_id):
    first = new_suppression_id(random_id, at_us=at_us)
    second = new_suppression_id("0" * 24, at_us=at_us + later_us)
    assert is_suppression_id(first)
    assert is_suppression_id(second)
    assert first < second
