"""Reading back: profiles, definitions, receipts, and what operators look at."""

from __future__ import annotations

import uuid

import pytest


@pytest.mark.parametrize(
    ("distinct_id", "path"),
    [
        ("a/b", "a%2Fb"),
        ("a:b@c", "a:b@c"),
        ("ü 日本", "%C3%BC%20%E6%97%A5%E6%9C%AC"),
        ("50%", "50%25"),
        ("?#", "%3F%23"),
        ("properties", "properties"),
        ("a/", "a%2F"),
        ("a//b", "a//b"),
        ("properties/set", "properties%2Fset"),
        ("properties/set", "properties%2fset"),
    ],
)
def test_it_finds_a_profile_by_any_id(ada, distinct_id, path):
    token = uuid.uuid4().hex
    ada.post("set", {"distinct_id": distinct_id, "$set": {"token": token}})
    assert ada.get(f"profiles/{path}").json["distinct_id"] == distinct_id
    assert ada.get(f"profiles/{path}/").json["properties"]["token"] == token


def test_it_shows_a_profile_with_its_times(ada):
    me = uuid.uuid4().hex
    ada.post("set", {"distinct_id": me, "$set": {"a": 1}})
    first = ada.get(f"profiles/{me}").json
    ada.post("set", {"distinct_id": me, "$set": {"a": 2}})
    second = ada.get(f"profiles/{me}").json
    assert {**first, "profile_id": "", "created_at": "", "updated_at": ""} == {
        "distinct_id": me,
        "profile_id": "",
        "version": "live",
        "name": None,
        "status": 1,
        "timezone": None,
        "timezone_offset": None,
        "country_code": None,
        "channel": {},
        "channel_raw": {},
        "properties": {"a": 1},
        "id_list": [],
        "aliases": [],
        "created_at": "",
        "updated_at": "",
    }
    assert first["created_at"] == first["updated_at"] == second["created_at"] < second["updated_at"]
    assert first["profile_id"] == second["profile_id"]
    assert len(first["profile_id"]) == 24
    assert first["version"] == "live"


def test_it_does_not_touch_a_profile_when_everything_was_ignored(ada):
    me = uuid.uuid4().hex
    ada.post("set", {"distinct_id": me, "$set": {"only_number": 1}})
    before = ada.get(f"profiles/{me}").text
    ada.post("set", {"distinct_id": me, "$set": {"only_number": "x"}})
    assert ada.get(f"profiles/{me}").text == before


def test_it_says_which_profile_does_not_exist_as_fyno_does(ada):
    answer = ada.get("profiles/nobody")
    assert answer.status == 400
    assert answer.json == {"status": "error", "_message": "incorrect/non existing distinct_id provided"}


def test_it_pages_through_definitions_each_once(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    client = server.client(key, workspace_id)
    names = [f"p{number:03d}" for number in range(100)] + ["日本", "a b", "Z"]
    client.post("set", {"distinct_id": "u", "$set": dict.fromkeys(names, 1)})
    seen, cursor = [], ""
    while cursor is not None:
        page = client.get(f"properties?limit=7{cursor and '&cursor=' + cursor}").json
        seen += [row["name"] for row in page["items"]]
        cursor = page["next_cursor"]
    assert seen == sorted(names)


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=5001", "cursor=%C3%BC", "cursor=x"])
def test_it_names_the_parameter_at_fault(ada, query):
    answer = ada.get(f"properties?{query}")
    assert answer.status == 400
    assert answer.json["errors"][0]["path"] == query.split("=")[0]


@pytest.mark.parametrize("path", ["properties?limit=x", "properties?limit=0"])
def test_it_does_not_talk_to_strangers_about_parameters(server, path):
    assert server.client("tb_wrong", "north").get(path).status == 401
    assert server.client(None, "north").get(path).status == 401


@pytest.mark.parametrize("path", ["properties", "requests/nothing", "profiles", "profiles/x/y"])
def test_it_takes_a_trailing_slash(ada, path):
    with_slash, without = ada.get(f"{path}/"), ada.get(path)
    assert (with_slash.status, without.status) in {(200, 200), (404, 404), (400, 400)}
    assert with_slash.json.keys() == without.json.keys()


def test_it_answers_404_for_a_receipt_that_is_not_there(ada):
    assert ada.get("requests/nothing").status == 404
    assert ada.get(f"requests/{uuid.uuid4()}").json["status"] == "error"


def test_it_is_alive_ready_and_counted(ada):
    assert ada.call("GET", "/healthz").json == {"status": "ok"}
    assert ada.call("GET", "/readyz").json["status"] == "ok"
    ada.post("set", {"distinct_id": "counted", "$set": {"a": None}})
    lines = ada.call("GET", "/metrics").text.decode().splitlines()
    counts = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(counts['traitbase_http_answers_total{endpoint="set",status="202"}']) >= 1
    assert float(counts['traitbase_values_ignored_total{reason="null_value"}']) >= 1
    assert float(counts['traitbase_http_answers_total{endpoint="readyz",status="200"}']) >= 1
    assert float(counts["traitbase_queue_waiting_updates"]) == 0
    assert float(counts["process_resident_memory_bytes"]) > 1e6


def test_it_serves_its_documentation_without_the_internet(ada):
    page = ada.call("GET", "/docs").text.decode()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    for path in ("/docs/assets/swagger-ui-bundle.js", "/docs/assets/swagger-ui.css"):
        assert path in page
        assert ada.call("GET", path).status == 200


def test_it_describes_the_hot_routes_too(ada):
    document = ada.call("GET", "/openapi.json").json
    hot = [path for path in document["paths"] if "/profiles/properties/" in path]
    assert [path.rsplit("/", 1)[1] for path in hot] == [
        "set",
        "set-once",
        "numerical-add",
        "list-append",
        "list-remove",
        "unset",
        "batch",
    ]
    for path in hot:
        assert list(document["paths"][path]["post"]["responses"]) == [
            "202", "400", "404", "409", "413", "415", "401", "403", "503",
        ]  # fmt: skip
