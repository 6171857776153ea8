"""`/v1/{WSID}/suppressions`: whom not to reach, in the words of Fyno's wire; and who may say so."""

from __future__ import annotations

import gzip
import json
import re
import threading
import uuid

import pytest

from support.data import open_store
from support.server import run_json
from support.strangers import STRANGERS
from traitbase.services.ports import SuppressionRow
from traitbase.store.tables import suppressions

PATH = "/v1/north/suppressions"
ADDED = {"status": "ok", "_message": "User has been added to the suppression!"}
NOTHING = "Unable to delete non existing data!"
UNAUTHENTICATED = {"status": "error", "_message": "Invalid API details"}
CALLS = [("GET", None), ("POST", {"distinct_id": "u", "channel": "sms"}), ("DELETE", None)]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def me():
    return uuid.uuid4().hex


def phone():
    return f"+9198{uuid.uuid4().int % 10**8:08d}"


def add(client, **body):
    answer = client.call("POST", PATH, body)
    assert (answer.status, answer.json) == (200, ADDED)


def found(client, query, path=PATH):
    answer = client.call("GET", f"{path}?{query}")
    assert answer.status == 200
    return answer.json


def quoted(destination):
    return destination.replace("+", "%2B").replace(" ", "%20")


def test_it_adds_and_lists_a_person(ada, me):
    add(ada, distinct_id=me, channel="email", description="asked us", expiry_ts="2999-01-01T05:30:00+05:30")
    (row,) = found(ada, f"distinct_id={me}")
    assert re.fullmatch("[0-9a-f]{24}", row["_id"])
    assert TIME.fullmatch(row["created_at"])
    assert row == {
        "_id": row["_id"],
        "destination": None,
        "distinct_id": me,
        "channel": "email",
        "description": "asked us",
        "created_at": row["created_at"],
        "expiry_ts": "2999-01-01T00:00:00.000Z",
    }


def test_it_adds_and_lists_a_destination_as_it_was_sent(ada):
    number = phone()
    sent = f"{number[:3]} {number[3:]}"
    add(ada, destination=sent, channel="sms")
    (row,) = found(ada, f"destination={quoted(number)}")
    assert (row["destination"], row["distinct_id"], row["description"], row["expiry_ts"]) == (sent, None, None, None)


def test_it_changes_a_suppression_that_is_there(ada, me):
    add(ada, distinct_id=me, channel="sms")
    (first,) = found(ada, f"distinct_id={me}")
    add(ada, distinct_id=me, destination=phone(), channel="sms", description="again")
    assert found(ada, f"distinct_id={me}") == [{**first, "description": "again"}]


@pytest.mark.parametrize(
    ("body", "message", "path"),
    [
        ({"destination": "12", "channel": "sms"}, "Invalid destination for channel sms", "destination"),
        ({"destination": "nowhere", "channel": "email"}, "Invalid destination for channel email", "destination"),
        ({"distinct_id": "u", "channel": "fax"}, "Invalid destination for channel fax", "channel"),
        ({"channel": "sms"}, "Invalid destination for channel sms", "destination"),
    ],
)
def test_it_refuses_what_is_no_destination_as_fyno_does(ada, body, message, path):
    answer = ada.call("POST", PATH, body)
    assert (answer.status, answer.json["status"], answer.json["_message"]) == (400, "error", message)
    assert [each["path"] for each in answer.json["errors"]] == [path]


@pytest.mark.parametrize("expiry", ["2000-01-01T00:00:00Z", "2999-01-01T00:00:00", "2999-01-01", "soon", 5])
def test_it_refuses_an_end_that_has_passed_or_is_none_and_adds_nothing(ada, me, expiry):
    answer = ada.call("POST", PATH, {"distinct_id": me, "channel": "sms", "expiry_ts": expiry})
    assert (answer.status, answer.json["errors"][0]["path"]) == (400, "expiry_ts")
    assert found(ada, f"distinct_id={me}") == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"distinct_id": "\\ud800", "channel": "sms"}'])
def test_it_refuses_what_is_no_object(ada, body):
    answer = ada.call("POST", PATH, body)
    assert (answer.status, answer.json["status"]) == (400, "error")


def test_it_takes_compressed_bodies_and_a_trailing_slash(ada, me):
    body = gzip.compress(json.dumps({"distinct_id": me, "channel": "sms"}).encode())
    assert ada.call("POST", f"{PATH}/", body, {"Content-Encoding": "gzip"}).json == ADDED
    assert [row["channel"] for row in found(ada, f"distinct_id={me}", path=f"{PATH}/")] == ["sms"]


def test_it_refuses_a_body_that_is_too_large_or_in_an_unknown_encoding(ada):
    assert ada.call("POST", PATH, b" " * (10 * 1024 * 1024 + 1)).status == 413
    assert ada.call("POST", PATH, b"{}", {"Content-Encoding": "br"}).status == 415


def test_it_filters_by_all_that_is_asked(ada, me):
    number = phone()
    for channel in ("sms", "email"):
        add(ada, distinct_id=me, channel=channel)
    add(ada, destination=number, channel="voice")
    assert [row["channel"] for row in found(ada, f"distinct_id={me}")] == ["sms", "email"]
    assert [row["channel"] for row in found(ada, f"distinct_id={me}&channel=email")] == ["email"]
    assert found(ada, f"distinct_id={me}&destination={quoted(number)}") == []
    assert [row["destination"] for row in found(ada, f"destination={quoted(number)}&distinct_id=")] == [number]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=x", "limit"),
        ("limit=-1", "limit"),
        ("limit=%D9%A3", "limit"),
        ("cursor=x", "cursor"),
        ("channel=fax", "channel"),
        ("channel=sms&channel=email", "channel"),
        ("destination=x&channel=sms", "destination"),
    ],
)
def test_it_names_the_parameter_at_fault(ada, query, path):
    answer = ada.call("GET", f"{PATH}?{query}")
    assert (answer.status, answer.json["errors"][0]["path"]) == (400, path)


def test_it_pages_through_all_each_once_while_some_are_added(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    client = server.client(key, workspace_id)
    base = f"/v1/{workspace_id}/suppressions"
    for number in range(25):
        assert client.call("POST", base, {"distinct_id": f"u {number}&", "channel": "sms"}).status == 200
    seen, path, pages = [], f"{base}?limit=10&channel=sms&distinct_id=", 0
    while path is not None:
        answer = client.call("GET", path)
        seen += [row["distinct_id"] for row in answer.json]
        link = answer.headers.get("link")
        path = None if link is None else re.fullmatch(r'<([^>]+)>; rel="next"', link)[1]
        pages += 1
        client.call("POST", base, {"distinct_id": f"late {pages}", "channel": "sms"})
    assert pages == 3
    assert sorted(seen) == sorted([*(f"u {number}&" for number in range(25)), "late 1", "late 2"])


def test_it_lists_ten_thousand_at_once_and_points_to_the_rest(server, cast, data):
    store = open_store(data)
    rows = 10_001
    with store._database.writing() as connection:
        every = [
            SuppressionRow("south", f"{number:024x}", "sms", f"u{number}", None, None, None, 0, None)._asdict()
            for number in range(rows)
        ]
        connection.execute(suppressions.insert(), every)
    store.close()
    cy = server.client(cast.cy, "south")
    first = cy.call("GET", "/v1/south/suppressions")
    rest = cy.call("GET", first.headers["link"].split(">")[0][1:])
    assert (len(first.json), [row["distinct_id"] for row in rest.json]) == (10_000, ["u10000"])
    assert "link" not in rest.headers


def test_it_deletes_by_id_before_distinct_id_before_destination(ada, me):
    number = phone()
    for channel in ("sms", "email", "push"):
        add(ada, distinct_id=me, channel=channel)
    add(ada, destination=number, channel="sms")
    first = found(ada, f"distinct_id={me}")[0]["_id"]

    def delete(query):
        answer = ada.call("DELETE", f"{PATH}?{query}")
        return answer.status, answer.json

    others = f"distinct_id={me}&destination={quoted(number)}"
    assert delete(f"_id={first}&{others}") == (200, {"status": "ok", "_message": "1 record(s) has been deleted!"})
    assert delete(f"_id=&{others}") == (200, {"status": "ok", "_message": "2 record(s) has been deleted!"})
    assert len(found(ada, f"destination={quoted(number)}")) == 1
    assert delete(f"destination={quoted(number)}")[0] == 200
    assert found(ada, f"destination={quoted(number)}") == []


@pytest.mark.parametrize(
    "query", ["", "_id=", "_id=5f0000000000000000000000", "_id=x", "distinct_id=nobody", "destination=x"]
)
def test_it_says_so_where_there_is_nothing_to_delete(ada, query):
    answer = ada.call("DELETE", f"{PATH}?{query}")
    assert (answer.status, answer.json["status"], answer.json["_message"]) == (400, "error", NOTHING)


def test_it_keeps_one_record_of_many_calls_at_once(server, cast, me):
    def call():
        client = server.client(cast.ada, "north")
        for _ in range(5):
            add(client, distinct_id=me, channel="sms")

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found(server.client(cast.ada, "north"), f"distinct_id={me}")) == 1


# --- who may not ---


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize(("method", "body"), CALLS)
def test_it_is_closed_to(server, keys_of_strangers, who, method, body):
    client = server.client(keys_of_strangers[who], "north")
    for query in ("", "?limit=x", "?distinct_id=u"):  # nor is told what is wrong with the question
        answer = client.call(method, f"{PATH}{query}", body)
        assert (answer.status, answer.json) == (401, UNAUTHENTICATED)


def test_it_is_open_to_a_key_of_live(server, data, me):
    key = run_json("keys", "create", "--workspace", "north", "--environment", "live", data=data)["api_key"]
    client = server.client(key, "north")
    add(client, distinct_id=me, channel="sms")
    assert client.call("GET", f"{PATH}?limit=x").status == 400
    assert client.call("DELETE", f"{PATH}?distinct_id={me}").status == 200


def test_it_lets_senders_add_readers_list_and_owners_do_all(server, cast, me):
    statuses = {}
    for name, key in (("ada", cast.ada), ("bo", cast.bo), ("ian", cast.ian)):
        client = server.client(key, "north")
        body = {"distinct_id": me, "channel": "sms"}
        statuses[name] = [
            client.call("POST", PATH, body).status,
            client.call("GET", f"{PATH}?distinct_id={me}").status,
            client.call("DELETE", f"{PATH}?distinct_id={me}").status,
        ]
    assert statuses == {"ada": [200, 200, 200], "bo": [403, 200, 403], "ian": [200, 403, 403]}


def test_it_neither_shows_nor_deletes_another_workspaces(server, cast, ada, me):
    add(ada, distinct_id=me, channel="sms")
    (mine,) = found(ada, f"distinct_id={me}")
    cy = server.client(cast.cy, "south")
    assert found(cy, f"distinct_id={me}", path="/v1/south/suppressions") == []
    for query in (f"_id={mine['_id']}", f"distinct_id={me}"):
        assert cy.call("DELETE", f"/v1/south/suppressions?{query}").status == 400
    assert found(ada, f"distinct_id={me}") == [mine]
