"""Retries: on what, how long in between, when it ends; and that one call stays one call."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.receiver import Reply, accepted, cut, in_turn, refusing
from traitbase import Client
from traitbase.client import ClientError, InvalidRequest, NotAuthorised, Unavailable
from traitbase.client.retrying import Patience

BUSY = refusing(503, "the write queue is full")


@pytest.mark.parametrize("fault", [BUSY, refusing(500, "oh"), refusing(502, "x"), refusing(429, "slower"), cut])
def test_it_tries_again_with_the_same_key_and_body(receiver, client_of, fault):
    receiver.answering = in_turn(fault, fault, accepted)
    assert client_of().add("u", {"n": 1}) == "01a21105-b81b-7081-a49d-4707c903e770"
    assert [request.headers["idempotency-key"] for request in receiver.requests] == ["key-1"] * 3
    assert [request.body for request in receiver.requests] == [b'{"distinct_id":"u","$add":{"n":1}}'] * 3


def test_it_gives_each_call_a_key_of_its_own(receiver, client_of):
    client = client_of()
    client.set("u", {"a": 1})
    client.set("u", {"a": 1})
    assert [request.headers["idempotency-key"] for request in receiver.requests] == ["key-1", "key-2"]


@pytest.mark.parametrize("status", [400, 404, 409, 413, 415, 422])
def test_it_never_tries_a_4xx_again(receiver, client_of, clock, status):
    receiver.answering = refusing(status, "no")
    with pytest.raises(ClientError, match="no"):
        client_of().set("u", {"a": 1})
    assert (len(receiver.requests), clock.slept) == (1, [])


@pytest.mark.parametrize("status", [401, 403])
def test_it_never_tries_a_refused_key_again(receiver, client_of, status):
    receiver.answering = refusing(status, "Invalid API details")
    with pytest.raises(NotAuthorised) as refused:
        client_of().set("u", {"a": 1})
    assert (refused.value.message, refused.value.status, len(receiver.requests)) == ("Invalid API details", status, 1)


def test_it_waits_twice_as_long_each_time(receiver, client_of, clock):
    receiver.answering = BUSY
    with pytest.raises(Unavailable) as gave_up:
        client_of(max_retries=7).set("u", {"a": 1})
    assert clock.slept == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0]
    assert (gave_up.value.attempts, gave_up.value.status) == (8, 503)
    assert "gave up after 8 tries" in str(gave_up.value)
    assert "the write queue is full" in str(gave_up.value)


def test_it_takes_up_to_half_of_a_wait_away_by_chance(receiver, client_of, clock):
    receiver.answering = BUSY
    clock.chance = 0.5
    with pytest.raises(Unavailable):
        client_of(max_retries=2).set("u", {"a": 1})
    assert clock.slept == [0.1875, 0.375]


def test_it_gives_up_when_the_time_is_over(receiver, client_of, clock):
    receiver.answering = BUSY
    with pytest.raises(Unavailable) as gave_up:
        client_of(max_retries=100, retry_seconds=3.0).set("u", {"a": 1})
    assert clock.slept == [0.25, 0.5, 1.0]
    assert gave_up.value.attempts == 4


def test_it_tries_once_when_told_not_to_retry(receiver, client_of):
    receiver.answering = cut
    with pytest.raises(Unavailable, match="gave up after 1 try in") as gave_up:
        client_of(max_retries=0).set("u", {"a": 1})
    assert (gave_up.value.attempts, gave_up.value.status, len(receiver.requests)) == (1, None, 1)


def test_it_waits_as_long_as_the_server_asks(receiver, client_of, clock):
    receiver.answering = in_turn(refusing(503, "later", {"Retry-After": "7"}), accepted)
    client_of().set("u", {"a": 1})
    assert clock.slept == [7.0]


def test_it_never_waits_less_than_its_own_pace(receiver, client_of, clock):
    receiver.answering = in_turn(refusing(429, "later", {"Retry-After": "0"}), accepted)
    client_of().set("u", {"a": 1})
    assert clock.slept == [0.25]


@pytest.mark.parametrize(
    ("until", "waited"), [("Wed, 21 Oct 2015 07:28:30 GMT", 30.0), ("Tue, 20 Oct 2015 07:28:00 GMT", 0.25)]
)
def test_it_reads_a_date_in_retry_after_by_the_servers_own_clock(receiver, client_of, clock, until, waited):
    headers = {"Retry-After": until, "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    receiver.answering = in_turn(lambda _: Reply(503, b"", headers), accepted)
    client_of().set("u", {"a": 1})
    assert clock.slept == [waited]


@pytest.mark.parametrize("text", ["soon", "-5", "1.5", "9" * 400, ""])
def test_it_keeps_its_own_pace_when_retry_after_is_unreadable(receiver, client_of, clock, text):
    receiver.answering = in_turn(refusing(503, "later", {"Retry-After": text}), accepted)
    client_of().set("u", {"a": 1})
    assert clock.slept == [0.25]


def test_it_gives_up_at_once_when_the_server_asks_for_more_than_it_has(receiver, client_of, clock):
    receiver.answering = refusing(503, "later", {"Retry-After": "121"})
    with pytest.raises(Unavailable):
        client_of().set("u", {"a": 1})
    assert (clock.slept, len(receiver.requests)) == ([], 1)


def test_it_tries_again_where_nothing_listens(clock):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}", "north", "key", max_retries=2, surroundings=clock.surroundings) as client,
        pytest.raises(Unavailable, match="ConnectError") as gave_up,
    ):
        client.set("u", {"a": 1})
    assert gave_up.value.attempts == 3


def test_it_tries_again_after_a_silence(clock):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        options = {"timeout_seconds": 0.05, "max_retries": 1, "surroundings": clock.surroundings}
        with Client(url, "north", "key", **options) as client, pytest.raises(Unavailable, match="ReadTimeout"):
            client.set("u", {"a": 1})


def test_it_tries_reading_again_too(receiver, client_of):
    page = b'{"items": [], "next_cursor": null}'
    receiver.answering = in_turn(BUSY, lambda _: Reply(200, page))
    assert list(client_of().definitions()) == []


def test_it_does_not_follow_to_another_address(receiver, client_of):
    receiver.answering = lambda _: Reply(302, b"", {"Location": "http://127.0.0.1:1/"})
    with pytest.raises(ClientError, match="is base_url right"):
        client_of().set("u", {"a": 1})
    assert len(receiver.requests) == 1


def test_it_tells_where_a_request_was_wrong(receiver, client_of):
    body = b'{"status":"error","_message":"no","errors":[{"path":"$set.a","message":"bad"}],"more":1}'
    receiver.answering = lambda _: Reply(400, body)
    with pytest.raises(InvalidRequest) as refused:
        client_of().set("u", {"a": 1})
    assert [(fault.path, fault.message) for fault in refused.value.faults] == [("$set.a", "bad")]


@given(
    tried=st.integers(1, 2_000),
    elapsed=st.floats(0, 1e6),
    asked=st.none() | st.floats(0, 1e9),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_law_a_wait_ends_in_time_and_is_never_shorter_than_asked(tried, elapsed, asked, chance):
    patience = Patience(max_retries=1_000, max_seconds=600.0)
    wait = patience.seconds_until_next(tried=tried, elapsed=elapsed, asked=asked, chance=chance)
    if wait is not None:
        assert tried <= 1_000
        assert wait >= 0.125
        assert elapsed + wait <= 600
        assert wait >= (asked or 0)
