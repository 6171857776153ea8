"""The calls on whole profiles, as the wire format has them: against a receiver that says what a server says."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from support.receiver import Reply, refusing
from traitbase.client import Conflict, Done, InvalidRequest, InvalidValue, NotFound

BASE = "/v1/north/live"


def saying(message: str, status: int = 200):
    return lambda _: Reply(status, b'{"status":"ok","_message":"%s"}' % message.encode())


@pytest.fixture
def client(client_of):
    return client_of()


def sent(receiver) -> tuple[str, str, object]:
    (request,) = receiver.requests
    assert request.headers["idempotency-key"] == "key-1"
    return request.method, request.path.removeprefix(BASE), request.json


def test_it_creates_a_profile(receiver, client):
    receiver.answering = saying("Profile created successfully", 201)
    channel = {"email": "ada@example.com", "push": [{"token": "t", "integration_id": None, "status": 1}]}
    done = client.create_profile(
        "u",
        name="Ada",
        status=0,
        timezone="Asia/Calcutta",
        channel=channel,
        properties={"ltv": Decimal("19.99"), "since": date(2026, 11, 25)},
    )
    assert done == Done("Profile created successfully")
    assert sent(receiver) == (
        "POST",
        "/profiles",
        {
            "distinct_id": "u",
            "name": "Ada",
            "status": 0,
            "timezone": "Asia/Calcutta",
            "channel": channel,
            "properties": {"ltv": 19.99, "since": "2026-11-25"},
        },
    )


def test_it_returns_the_request_id_of_properties(receiver, client):
    receiver.answering = lambda _: Reply(201, b'{"status":"ok","_message":"done","request_id":"01a2"}')
    assert client.create_profile("u", properties={"a": 1}) == Done("done", "01a2")


def test_it_creates_a_profile_of_nothing_but_an_id(receiver, client):
    receiver.answering = saying("Profile created successfully", 201)
    client.create_profile("u")
    assert sent(receiver) == ("POST", "/profiles", {"distinct_id": "u"})


def test_a_distinct_id_that_is_taken_is_a_conflict(receiver, client):
    message = "Distinct ID 'u' already exists in the 'live' version of your workspace"
    receiver.answering = refusing(400, message)
    with pytest.raises(Conflict) as refused:
        client.create_profile("u")
    assert (refused.value.message, refused.value.status) == (message, 400)


def test_it_updates_only_what_was_given(receiver, client):
    receiver.answering = saying("1 Record(s) updated successfully")
    assert client.update_profile("a/b", name="") == Done("1 Record(s) updated successfully")
    assert sent(receiver) == ("PUT", "/profiles/a%2Fb", {"name": ""})


def test_it_renames(receiver, client):
    receiver.answering = saying("1 Record(s) updated successfully")
    client.update_profile("u", new_distinct_id="v", status=1)
    assert sent(receiver) == ("PUT", "/profiles/u", {"status": 1, "distinct_id": "v"})


def test_it_merges(receiver, client):
    receiver.answering = saying("1 Record(s) updated and 1 Records(s) deleted")
    assert client.merge("anon:1", "..") == Done("1 Record(s) updated and 1 Records(s) deleted")
    assert sent(receiver) == ("PATCH", "/profiles/anon%3A1/merge/%2E%2E", {})


def test_it_deletes(receiver, client):
    receiver.answering = saying("2 User(s) deleted successfully")
    assert client.delete_profiles(["a", "b"]) == Done("2 User(s) deleted successfully")
    assert sent(receiver) == ("POST", "/profiles/delete", {"distinct_id": ["a", "b"]})


def test_it_updates_channels(receiver, client):
    receiver.answering = saying("Channel has been modified successfully")
    client.update_channel("u", {"sms": "+919876543210"})
    assert sent(receiver) == ("PATCH", "/profiles/u/channel", {"channel": {"sms": "+919876543210"}})


def test_it_deletes_whole_channels(receiver, client):
    receiver.answering = saying("Channel has been modified successfully")
    client.delete_channel("u", ["sms", "email"])
    assert sent(receiver) == ("POST", "/profiles/u/channel/delete", {"channel": ["sms", "email"]})


def test_it_deletes_single_tokens(receiver, client):
    receiver.answering = saying("Channel has been modified successfully")
    client.delete_channel("u", push=["t1"], webpush=["t2"])
    assert sent(receiver) == ("POST", "/profiles/u/channel/delete", {"push": ["t1"], "webpush": ["t2"]})


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("Unable to update the record since the record does not exist", lambda it: it.update_profile("u", name="x")),
        ("merge from id does not exist", lambda it: it.merge("u", "v")),
        ("Cannot delete non existing user", lambda it: it.delete_profiles(["u"])),
        ("incorrect/non existing distinct_id provided", lambda it: it.update_channel("u", {"sms": "+1"})),
        ("Unable to delete channel since the channel does not exist", lambda it: it.delete_channel("u", ["sms"])),
    ],
)
def test_what_does_not_exist_is_not_found(receiver, client, message, call):
    receiver.answering = refusing(400, message)
    with pytest.raises(NotFound) as missing:
        call(client)
    assert (missing.value.message, missing.value.status) == (message, 400)


def test_a_destination_that_is_none_is_an_invalid_request(receiver, client):
    receiver.answering = refusing(400, "Invalid destination for channel sms")
    with pytest.raises(InvalidRequest, match="Invalid destination for channel sms"):
        client.update_channel("u", {"sms": "x"})


def test_it_says_where_a_property_is_wrong(client):
    with pytest.raises(InvalidValue, match="'\\$'") as refused:
        client.update_profile("u", properties={"good": 1, "$bad": 1})
    assert refused.value.path == "properties.$bad"


@pytest.mark.parametrize(
    "call",
    [
        lambda it: it.create_profile(""),
        lambda it: it.create_profile(42),
        lambda it: it.create_profile("u", status=2),
        lambda it: it.create_profile("u", name="\ud800"),
        lambda it: it.create_profile("u", channel={"email": object()}),
        lambda it: it.create_profile("u", properties={"a": None}),
        lambda it: it.create_profile("u", properties={"$a": 1}),
        lambda it: it.update_profile("u"),
        lambda it: it.update_profile("u", new_distinct_id=""),
        lambda it: it.merge("", "v"),
        lambda it: it.delete_profiles([]),
        lambda it: it.delete_profiles("user-1"),
        lambda it: it.update_channel("u", {}),
        lambda it: it.delete_channel("u"),
        lambda it: it.delete_channel("u", "sms"),
        lambda it: it.delete_channel("u", ["sms"], push=["t"]),
    ],
)
def test_it_sends_nothing_that_cannot_be(receiver, client, call):
    with pytest.raises(InvalidValue):
        call(client)
    assert receiver.requests == []
