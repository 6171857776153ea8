"""Reading property definitions: the list, one by any name, what was ignored, what is kept aside."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest


@pytest.fixture
def client(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    return server.client(key, workspace_id)


def change(client, name, body, *, dry_run=False):
    path = f"{client.base}/properties/{quote(name, safe='')}"
    return client.call("PATCH", path + ("?dry_run=true" if dry_run else ""), body)


def put(client, distinct_id, **properties):
    answer = client.post("set", {"distinct_id": distinct_id, "$set": properties})
    assert answer.status == 202
    return answer.json["request_id"]


def test_it_lists_what_is_known_of_each_property(client):
    first = put(client, "u", plan="free", seats=1)
    put(client, "w", plan="pro")
    ignored = put(client, "w", plan=7)
    items = client.get("properties").json["items"]
    times = [item.pop("first_seen_at") for item in items]
    assert len(set(times)) == 1
    at = items[0]["last_ignored"].pop("at")
    assert at > times[0]
    assert items == [
        {
            "name": "plan",
            "type": "string",
            "state": "active",
            "description": None,
            "first_seen_in": first,
            "profiles": 2,
            "ignored": 1,
            "last_ignored": {
                "value": 7,
                "reason": "type_mismatch",
                "operation": "$set",
                "distinct_id": "w",
                "request_id": ignored,
            },
        },
        {
            "name": "seats",
            "type": "number",
            "state": "active",
            "description": None,
            "first_seen_in": first,
            "profiles": 1,
            "ignored": 0,
            "last_ignored": None,
        },
    ]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("plan", "plan"),
        ("a.b", "a.b"),
        ("a/b", "a%2Fb"),
        ("a/b", "a/b"),
        ("a/ignored", "a%2fignored"),
        ("a/", "a%2F"),
        ("..", "%2e%2e"),
        ("50%", "50%25"),
        ("日本 ü😀", quote("日本 ü😀")),
        ("?#&+", quote("?#&+", safe="")),
        ("ignored", "ignored"),
        ("__proto__", "__proto__"),
        ("a[0]\"'", quote("a[0]\"'")),
    ],
)
def test_it_finds_a_property_by_any_name(client, name, path):
    client.post("set", {"distinct_id": "u", "$set": {name: 1}})
    client.post("set", {"distinct_id": "u", "$set": {name: "x"}})
    assert client.get(f"properties/{path}").json["name"] == name
    assert client.get(f"properties/{path}/").json["name"] == name
    assert [row["value"] for row in client.get(f"properties/{path}/ignored").json["items"]] == ["x"]
    assert client.get(f"properties/{path}/kept-aside").json == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("path", ["nothing", "nothing/ignored", "nothing/kept-aside", "%FF", "a%00b", "/ignored"])
def test_it_says_that_there_is_no_such_property(client, path):
    answer = client.get(f"properties/{path}")
    assert (answer.status, answer.json["status"]) == (404, "error")


def test_it_pages_through_ignored_values_newest_first(client):
    put(client, "u", n=1)
    for number in range(5):
        put(client, "u", n=f"text {number}")
    seen, cursor = [], ""
    while cursor is not None:
        page = client.get(f"properties/n/ignored?limit=2{cursor and '&cursor=' + cursor}").json
        seen += [row["value"] for row in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [f"text {number}" for number in (4, 3, 2, 1, 0)]


def test_it_shows_ignored_values_to_the_last_digit(client):
    put(client, "u", s="text")
    client.post("set", b'{"distinct_id": "u", "$set": {"s": 9007199254740993.000000000000000001}}')
    text = client.get("properties/s/ignored").text
    assert b'"value":9007199254740993.000000000000000001' in text


def test_it_pages_through_what_is_kept_aside(client):
    for number in range(5):
        put(client, f"u{number}", zip=f"0{number}")
    request_id = change(client, "zip", {"type": "number"}).json["request_id"]
    seen, cursor = [], ""
    while cursor is not None:
        page = client.get(f"properties/zip/kept-aside?limit=2{cursor and '&cursor=' + cursor}").json
        seen += page["items"]
        cursor = page["next_cursor"]
    assert [(row["distinct_id"], row["values"], row["request_id"]) for row in seen] == [
        (f"u{number}", [f"0{number}"], request_id) for number in range(5)
    ]


@pytest.mark.parametrize("path", ["n/ignored", "n/kept-aside"])
@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1001", "cursor=x", "cursor=WzFd"])
def test_it_names_the_parameter_at_fault(client, path, query):
    put(client, "u", n=1)
    answer = client.get(f"properties/{path}?{query}")
    assert answer.status == 400
    assert answer.json["errors"][0]["path"] == query.split("=")[0]


def test_it_forgets_nothing_of_a_profile_in_the_other_environment(server, client):
    put(client, "u", n=1)
    workspace_id = client.base.split("/")[2]
    other = server.client(client.key, workspace_id, "test")
    assert other.get("properties").json["items"] == []
    assert other.get("properties/n").status == 404


# --- declaring ---


def declare(client, body):
    return client.call("POST", f"{client.base}/properties", body)


def test_it_declares_a_property_ahead_of_its_first_value(client):
    answer = declare(client, {"name": "zip", "type": "string", "description": "with its zeros"})
    assert answer.status == 201
    assert client.get("properties/zip").json == answer.json
    assert (answer.json["type"], answer.json["profiles"]) == ("string", 0)
    assert answer.json["description"] == "with its zeros"
    put(client, "u", zip="2020-10-01")
    assert client.get("properties/zip").json == {**answer.json, "profiles": 1}


def test_it_declares_the_same_twice_and_takes_a_newer_description(client):
    first = declare(client, {"name": "n", "type": "number"})
    second = declare(client, {"name": "n", "type": "number", "description": "how many"})
    third = declare(client, {"name": "n", "type": "number"})
    assert [answer.status for answer in (first, second, third)] == [201, 200, 200]
    assert third.json == second.json == {**first.json, "description": "how many"}


def test_it_does_not_declare_a_property_that_has_another_type(client):
    put(client, "u", n=1)
    answer = declare(client, {"name": "n", "type": "string"})
    assert answer.status == 409
    assert "'n' is defined as number" in answer.json["_message"]
    assert client.get("properties/n").json["type"] == "number"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"name": "$n", "type": "number"}, "name"),
        ({"name": "", "type": "number"}, "name"),
        ({"name": "x" * 256, "type": "number"}, "name"),
        ({"name": "a\nb", "type": "number"}, "name"),
        ({"name": 5, "type": "number"}, "name"),
        ({"name": "n", "type": "float"}, "type"),
        ({"name": "n", "type": None}, "type"),
        ({"name": "n", "type": "number", "description": "x" * 1001}, "description"),
        ({"name": "n", "type": "number", "description": "\0"}, "description"),
        ({"name": "n", "type": "number", "tpye": 1}, ""),
        ({"name": "n"}, ""),
        ([], ""),
        (b"{", ""),
        (b"", ""),
    ],
)
def test_it_says_what_is_wrong_with_a_declaration(client, body, path):
    answer = declare(client, body)
    assert answer.status == 400
    assert answer.json["errors"][0]["path"] == path
    assert client.get("properties").json["items"] == []


def test_it_declares_no_more_than_the_limit_until_one_is_deleted(client):
    for start in range(0, 5_000, 1_000):
        put(client, "u" + str(start), **{f"p{number}": 1 for number in range(start, start + 1_000)})
    answer = declare(client, {"name": "one more", "type": "number"})
    assert answer.status == 409
    assert "5,000" in answer.json["_message"]
    assert declare(client, {"name": "p1", "type": "number"}).status == 200
    assert delete(client, "p2", "p2").status == 200
    assert declare(client, {"name": "one more", "type": "number"}).status == 201


def test_it_takes_a_compressed_body_and_refuses_an_unknown_encoding(client):
    path = f"{client.base}/properties"
    body = json.dumps({"name": "n", "type": "number"}).encode()
    assert client.call("POST", path, body, {"Content-Encoding": "br"}).status == 415
    assert client.call("POST", path, b" " * (10 * 1024 * 1024) + body).status == 413


# --- describing and archiving ---


def test_it_describes_a_property_and_takes_the_description_away(client):
    put(client, "u", n=1)
    first = change(client, "n", {"description": "how many"})
    assert (first.status, first.json["property"]["description"]) == (200, "how many")
    assert (first.json["retype"], first.json["replay"]) == (None, None)
    change(client, "n", {"archived": False})
    assert client.get("properties/n").json["description"] == "how many"
    assert change(client, "n", {"description": None}).json["property"]["description"] is None


def test_it_archives_a_property_its_values_stay_and_come_no_more(client):
    put(client, "u", n=1)
    assert change(client, "n", {"archived": True}).json["property"]["state"] == "archived"
    answer = client.post("set", {"distinct_id": "u", "$set": {"n": 2}})
    assert client.receipt(answer)["items"][0]["ignored"][0]["reason"] == "property_archived"
    assert client.properties_of("u") == {"n": 1}
    assert change(client, "n", {"archived": False}).json["property"]["state"] == "active"
    put(client, "u", n=3)
    assert client.properties_of("u") == {"n": 3}


def test_it_changes_nothing_in_a_dry_run(client):
    put(client, "u", n=1)
    before = client.get("properties").text
    answer = change(client, "n", {"archived": True, "description": "x", "type": "string", "replay": True}, dry_run=True)
    assert answer.json["property"]["state"] == "archived"
    assert (answer.json["dry_run"], answer.json["request_id"], answer.json["replay"]) == (True, None, None)
    assert client.get("properties").text == before


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, ""),
        ({"archived": 1}, "archived"),
        ({"archived": None}, "archived"),
        ({"type": "text"}, "type"),
        ({"description": 5}, "description"),
        ({"description": "x" * 1001}, "description"),
        ({"state": "archived"}, ""),
        (b"null", ""),
    ],
)
def test_it_says_what_is_wrong_with_a_change(client, body, path):
    put(client, "u", n=1)
    answer = change(client, "n", body)
    assert answer.status == 400
    assert answer.json["errors"][0]["path"] == path


def test_it_cannot_change_what_is_not_defined(client):
    assert change(client, "n", {"archived": True}).status == 404
    assert client.call("POST", f"{client.base}/properties/n/replay").status == 404
    assert client.call("DELETE", f"{client.base}/properties/n?confirm=n").status == 404


# --- deleting ---


def delete(client, name, confirm):
    path = f"{client.base}/properties/{quote(name, safe='')}"
    return client.call("DELETE", path if confirm is None else f"{path}?confirm={quote(confirm)}")


@pytest.mark.parametrize("confirm", [None, "", "N", "n "])
def test_it_deletes_nothing_unless_its_name_is_said_twice(client, confirm):
    put(client, "u", n=1)
    answer = delete(client, "n", confirm)
    assert (answer.status, answer.json["errors"][0]["path"]) == (400, "confirm")
    assert client.properties_of("u") == {"n": 1}


def test_it_deletes_a_property_everywhere(client):
    put(client, "u", n="1", other=True)
    put(client, "w", n="x")
    put(client, "w", n=5)
    change(client, "n", {"type": "number"})
    answer = delete(client, "n", "n")
    assert {**answer.json, "request_id": "…"} == {"request_id": "…", "profiles": 1, "kept_aside": 1, "ignored": 1}
    assert client.properties_of("u") == {"other": True}
    assert [row["name"] for row in client.get("properties").json["items"]] == ["other"]
    put(client, "u", n=True)
    seen = client.get("properties/n").json
    assert (seen["type"], seen["profiles"], seen["ignored"], seen["last_ignored"]) == ("boolean", 1, 0, None)
    assert client.get("properties/n/kept-aside").json["items"] == []
