"""The client against a real server: what is sent is kept, and what is kept is read, exactly."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from support.receiver import Reply
from traitbase import Client
from traitbase.client import (
    Applied,
    ClientError,
    Conflict,
    Definition,
    Ignored,
    InvalidValue,
    NotAuthorised,
    NotFound,
    Profile,
    ReceiptItem,
    UnexpectedAnswer,
)


def test_it_does_each_of_the_six_operations(client, me):
    client.set(me, {"plan": "pro", "city": "Pune", "signed_up": date(2026, 11, 25), "marketing": True})
    client.set_once(me, {"plan": "free", "first_url": "/"})
    client.add(me, {"ltv": Decimal("19.99"), "visits": 1})
    client.append(me, {"tags": "vip"})
    client.append(me, {"tags": 7})
    client.remove(me, {"tags": "vip"})
    client.unset(me, ["city"])
    assert client.get_profile(me).properties == {
        "plan": "pro",
        "signed_up": "2026-11-25",
        "marketing": True,
        "first_url": "/",
        "ltv": Decimal("19.99"),
        "visits": 1,
        "tags": [7],
    }


def test_it_reads_a_receipt(client, me):
    client.set(me, {"name_of_dog": "Rex"})
    request_id = client.set(me, {"name_of_dog": 5, "age_of_dog": 3})
    receipt = client.receipt(request_id)
    message = receipt.ignored[0].message
    assert receipt.request_id == request_id
    assert receipt.received_at.tzinfo is not None
    assert receipt.items == (
        ReceiptItem(me, (Applied("$set", "age_of_dog"),), (Ignored("$set", "name_of_dog", "type_mismatch", message),)),
    )
    assert receipt.applied == (Applied("$set", "age_of_dog"),)
    assert "string" in message.lower()


def test_a_receipt_that_is_gone_is_not_found(client):
    with pytest.raises(NotFound, match="there is no receipt") as missing:
        client.receipt("01a21105-b81b-7081-a49d-4707c903e770")
    assert missing.value.status == 404


def test_it_tells_unknown_profiles_from_known_ones(client, me):
    assert client.find_profile(me) is None
    with pytest.raises(NotFound, match=me):
        client.get_profile(me)


def test_a_wrong_base_url_is_no_unknown_profile(server, cast, me):
    with (
        Client(f"http://127.0.0.1:{server.port}/elsewhere", "north", cast.ada) as astray,
        pytest.raises(NotFound) as missing,
    ):
        astray.find_profile(me)
    assert missing.value.status == 404


def test_the_times_of_a_profile_are_aware(client, me):
    client.set(me, {"a": 1})
    profile = client.get_profile(me)
    assert profile.created_at == profile.updated_at
    assert profile.created_at.utcoffset() is not None


@pytest.mark.parametrize("distinct_id", [".", "..", "a/b", "a/../b", "ä?x=1#%2F", "user:1", "東京 +&", "a.b@c.de", "%"])
def test_it_reaches_profiles_whatever_their_id(client, distinct_id):
    client.set(distinct_id, {"whose": distinct_id})
    profile = client.get_profile(distinct_id)
    assert (profile.distinct_id, profile.properties) == (distinct_id, {"whose": distinct_id})


def test_it_keeps_the_environments_apart(server, cast, client, me):
    with Client(f"http://127.0.0.1:{server.port}", "north", cast.ada, environment="test") as testing:
        testing.set(me, {"a": 1})
        assert testing.get_profile(me).properties == {"a": 1}
    assert client.find_profile(me) is None


def test_a_key_of_another_workspace_is_not_authorised(server, cast):
    with (
        Client(f"http://127.0.0.1:{server.port}/", "north", cast.cy) as stranger,
        pytest.raises(NotAuthorised, match="Invalid API details") as refused,
    ):
        stranger.set("u", {"a": 1})
    assert refused.value.status == 401


def test_a_key_that_may_only_read_is_not_authorised_to_write(server, cast):
    with Client(f"http://127.0.0.1:{server.port}", "north", cast.bo) as reader, pytest.raises(NotAuthorised) as refused:
        reader.set("u", {"a": 1})
    assert refused.value.status == 403


def test_it_yields_every_definition_in_order(server, cast):
    with Client(f"http://127.0.0.1:{server.port}", "south", cast.cy) as client:
        with client.batch() as batch:
            for number in range(2_100):
                batch.set(f"u{number % 7}", {f"p{number:04d}": number})
        found = list(client.definitions())
    assert [definition.name for definition in found] == [f"p{number:04d}" for number in range(2_100)]
    first = found[0]
    assert first == Definition("p0000", "number", "active", first.first_seen_at, first.first_seen_in)
    assert first.first_seen_at.utcoffset() is not None


def test_it_reads_naive_datetimes_in_its_zone(server, cast, me):
    options = {"naive_datetimes": ZoneInfo("Asia/Kolkata")}
    with Client(f"http://127.0.0.1:{server.port}", "north", cast.ada, **options) as client:
        client.set(me, {"at": datetime.fromisoformat("2026-11-25T18:30:00")})
        assert client.get_profile(me).properties == {"at": "2026-11-25T18:30:00+05:30"}


def test_it_reads_what_servers_to_come_say_about_a_profile(receiver, client_of):
    body = b"""{"distinct_id": "u", "profile_id": "5f", "name": "Ada", "status": 1, "timezone": "Asia/Calcutta",
        "timezone_offset": "+05:30", "country_code": null, "channel": {"sms": "+91 98765"},
        "channel_raw": {"sms": "+9198765", "push": [{"token": "t", "integration_id": null, "status": 1}]},
        "properties": {"a": 1.50, "b": 2.0, "c": [3.0, 0.1, "x"]}, "id_list": ["6a"], "version": "live",
        "created_at": "2026-11-25T08:30:00.123Z", "updated_at": "2026-11-25T08:30:00.123Z", "new": {"x": [1]}}"""
    receiver.answering = lambda _: Reply(200, body)
    at = datetime(2026, 11, 25, 8, 30, 0, 123_000, tzinfo=UTC)
    found = client_of().get_profile("u")
    assert (type(found.properties["b"]), type(found.properties["c"][0])) == (int, int)
    assert found == Profile(
        distinct_id="u",
        properties={"a": Decimal("1.5"), "b": 2, "c": [3, Decimal("0.1"), "x"]},
        profile_id="5f",
        created_at=at,
        updated_at=at,
        name="Ada",
        status=1,
        timezone="Asia/Calcutta",
        channel={"sms": "+91 98765"},
        channel_raw={"sms": "+9198765", "push": [{"token": "t", "integration_id": None, "status": 1}]},
        id_list=("6a",),
    )


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b"", b"[]", b'{"request_id": 5}'])
def test_an_answer_that_is_none_is_told_of(receiver, client_of, body):
    receiver.answering = lambda _: Reply(200, body)
    with pytest.raises(UnexpectedAnswer, match="none of this API's"):
        client_of().set("u", {"a": 1})


def test_an_answer_that_does_not_decompress_is_told_of(receiver, client_of):
    receiver.answering = lambda _: Reply(200, b"plain", {"Content-Encoding": "gzip"})
    with pytest.raises(UnexpectedAnswer, match="does not decompress"):
        client_of().set("u", {"a": 1})


def test_it_sends_nothing_that_it_refuses(receiver, client_of):
    with pytest.raises(ValueError, match="unset"):
        client_of().set("u", {"good": 1, "bad": None})
    assert receiver.requests == []


def test_it_says_who_calls(receiver, client_of):
    client_of().set("u", {"a": 1})
    headers = receiver.requests[0].headers
    assert (headers["authorization"], headers["content-type"]) == ("Bearer key", "application/json")
    assert headers["user-agent"].startswith("traitbase-python/")


def test_the_same_key_and_content_count_once_whichever_client_sends_them(server, cast, client, me):
    first = client.with_key(f"order-{me}").add(me, {"orders": 1})
    with Client(f"http://127.0.0.1:{server.port}", "north", cast.ada) as other:
        assert other.with_key(f"order-{me}").add(me, {"orders": 1}) == first
    assert client.get_profile(me).properties == {"orders": 1}


def test_the_same_key_with_other_content_is_a_conflict(client, me):
    client.with_key(f"order-{me}").add(me, {"orders": 1})
    with pytest.raises(Conflict, match="Idempotency-Key") as refused:
        client.with_key(f"order-{me}").add(me, {"orders": 2})
    assert refused.value.status == 409


@pytest.mark.parametrize("key", ["", "x" * 256, "café", "a\nb"])
def test_it_refuses_a_key_that_is_none(client_of, key):
    with pytest.raises(InvalidValue, match="idempotency_key"):
        client_of().with_key(key)


def test_a_closed_client_says_so(client_of):
    client = client_of()
    client.close()
    client.close()
    with pytest.raises(ClientError, match="closed"):
        client.set("u", {"a": 1})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base_url": "127.0.0.1:8080"}, "base_url"),
        ({"base_url": "http://"}, "base_url"),
        ({"base_url": "http://host:port"}, "base_url"),
        ({"base_url": "https://host/?x=1"}, "base_url"),
        ({"environment": "prod"}, "environment"),
        ({"workspace_id": ""}, "workspace_id"),
        ({"api_key": "key\n"}, "api_key"),
        ({"api_key": ""}, "api_key"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 10_001}, "batch_size"),
        ({"batch_bytes": 10_000_000}, "batch_bytes"),
        ({"batch_seconds": 0}, "batch_seconds"),
        ({"naive_datetimes": "Europe/Berlin"}, "naive_datetimes"),
    ],
)
def test_it_refuses_arguments_that_cannot_be(arguments, message):
    usual = {"base_url": "http://127.0.0.1", "workspace_id": "north", "api_key": "key"}
    with pytest.raises(ClientError, match=message):
        Client(**{**usual, **arguments})


def test_it_does_not_show_the_key_when_printed(client_of):
    assert "key" not in repr(client_of()._caller._address)


@pytest.mark.parametrize(
    ("imported", "left_out"),
    [("traitbase", {"httpx", "msgspec", "traitbase.client"}), ("traitbase.cli.main", {"traitbase.client"})],
)
def test_the_client_is_loaded_only_when_it_is_asked_for(imported, left_out):
    program = f"import sys, {imported}; print({left_out} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_module_has_no_other_names():
    import traitbase

    assert traitbase.Client is Client
    with pytest.raises(AttributeError, match="Klient"):
        traitbase.Klient  # noqa: B018
