"""Who may not: every endpoint is asked with every key that must not work."""

from __future__ import annotations

import time

import pytest

from support.server import run_cli, run_json
from traitbase import bootstrap
from traitbase.domain.keys import Reach, Scope
from traitbase.services.workspaces import create_api_key

UNAUTHENTICATED = {"status": "error", "_message": "Invalid API details"}
SET = {"distinct_id": "u", "$set": {"a": 1}}
WRITES = ["set", "set-once", "numerical-add", "list-append", "list-remove", "unset", "batch"]
READS = [
    "profiles/u",
    "properties",
    "properties/a",
    "properties/a/ignored",
    "properties/a/kept-aside",
    "requests/00000000-0000-0000-0000-000000000000",
]
ADMINISTERS = [
    ("POST", "properties", {"name": "a", "type": "number"}),
    ("PATCH", "properties/a", {"archived": True}),
    ("PATCH", "properties/a?dry_run=true", {"type": "string"}),
    ("POST", "properties/a/replay", None),
    ("DELETE", "properties/a?confirm=a", None),
]


@pytest.fixture(scope="session")
def strangers(data, cast):
    """Keys that are none, or not for the live environment of North."""

    def key(*arguments: str) -> dict:
        return run_json("keys", "create", *arguments, data=data)

    revoked = key("--workspace", "north")
    run_json("keys", "revoke", revoked["key_id"], data=data)
    return {
        "none": None,
        "garbage": "tb_x",
        "not ascii": "é",
        "another workspace's": cast.cy,
        "another environment's": key("--workspace", "north", "--environment", "test")["api_key"],
        "revoked": revoked["api_key"],
        "expired": _expired_key(data),
        "from another address": key("--workspace", "north", "--allow", "10.0.0.0/8")["api_key"],
        "digest": "0" * 64,
    }


def _expired_key(data) -> str:
    store = bootstrap.open_store(data)
    options = {"workspace_id": "north", "reach": Reach.BOTH, "scope": Scope.ADMIN, "name": ""}
    made = create_api_key(store, **options, at_us=1, expires_at_us=2)
    store.close()
    return made.secret


STRANGERS = (
    "none",
    "garbage",
    "not ascii",
    "another workspace's",
    "another environment's",
    "revoked",
    "from another address",
    "digest",
)


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize("endpoint", WRITES)
def test_it_takes_no_update_from(server, strangers, who, endpoint):
    answer = server.client(strangers[who], "north").post(endpoint, SET)
    assert (answer.status, answer.json) == (401, UNAUTHENTICATED)


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize("path", READS)
def test_it_shows_nothing_to(server, strangers, who, path):
    answer = server.client(strangers[who], "north").get(path)
    assert (answer.status, answer.json) == (401, UNAUTHENTICATED)


@pytest.mark.parametrize("who", [*STRANGERS, "expired"])
@pytest.mark.parametrize("call", ADMINISTERS, ids=lambda call: f"{call[0]} {call[1]}")
def test_it_changes_no_definition_for(server, strangers, who, call):
    method, path, body = call
    client = server.client(strangers[who], "north")
    for sent in (body, b"{", None):  # who may not come in does not hear what is wrong with the body either
        answer = client.call(method, f"{client.base}/{path}", sent)
        assert (answer.status, answer.json) == (401, UNAUTHENTICATED)


@pytest.mark.parametrize("scope", ["read", "ingest"])
@pytest.mark.parametrize("call", ADMINISTERS, ids=lambda call: f"{call[0]} {call[1]}")
def test_it_changes_no_definition_for_a_key_that_may_only(server, cast, scope, call):
    method, path, body = call
    client = server.client({"read": cast.bo, "ingest": cast.ian}[scope], "north")
    answer = client.call(method, f"{client.base}/{path}", body)
    message = f"this API key has the scope '{scope}', and this call needs 'admin'"
    assert (answer.status, answer.json["_message"]) == (403, message)


def test_it_keeps_the_definitions_of_live_and_test_and_of_workspaces_apart(server, cast):
    live, test = server.client(cast.ada, "north"), server.client(cast.ada, "north", "test")
    south = server.client(cast.cy, "south")
    for client in (live, test, south):
        client.post("set", {"distinct_id": "u", "$set": {"own": "1"}})
    live.call("PATCH", f"{live.base}/properties/own", {"type": "number"})
    test.call("DELETE", f"{test.base}/properties/own?confirm=own")
    assert [client.properties_of("u").get("own") for client in (live, test, south)] == [1, None, "1"]


def test_it_gives_away_no_workspace(server, cast):
    unknown = server.client(cast.ada, "nowhere").post("set", SET)
    foreign = server.client(cast.ada, "south").post("set", SET)
    assert unknown.status == foreign.status == 401
    assert unknown.text == foreign.text


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic {key}", "{key}", "bearer{key}"])
def test_it_takes_keys_only_as_bearer_tokens(server, cast, header):
    client = server.client(None, "north")
    value = header.replace("{key}", cast.ada)
    assert client.call("GET", f"{client.base}/properties", headers={"Authorization": value}).status == 401


def test_it_takes_the_scheme_in_any_case(server, cast):
    client = server.client(None, "north")
    headers = {"Authorization": f"bearer {cast.ada}"}
    assert client.call("GET", f"{client.base}/properties", headers=headers).status == 200


@pytest.mark.parametrize("endpoint", WRITES)
def test_it_takes_no_update_from_a_key_that_may_only_read(server, cast, endpoint):
    answer = server.client(cast.bo, "north").post(endpoint, SET)
    assert answer.status == 403
    assert answer.json["_message"] == "this API key has the scope 'read', and this call needs 'ingest' or 'admin'"


@pytest.mark.parametrize("path", READS[:-1])
def test_it_shows_no_data_to_a_key_that_may_only_ingest(server, cast, path):
    assert server.client(cast.ian, "north").get(path).status == 403


def test_it_shows_receipts_to_their_sender_and_to_readers_only(server, cast):
    ian = server.client(cast.ian, "north")
    ada = server.client(cast.ada, "north")
    of_ian, of_ada = ian.post("set", SET), ada.post("set", SET)
    bo, cy = server.client(cast.bo, "north"), server.client(cast.cy, "south")
    path = f"requests/{of_ian.json['request_id']}"
    assert [client.get(path).status for client in (ian, ada, bo)] == [200, 200, 200]
    assert cy.get(path).status == 404
    assert server.client(cast.ada, "north", "test").get(path).status == 404
    assert ian.get(f"requests/{of_ada.json['request_id']}").status == 404


def test_it_keeps_live_and_test_apart(server, cast):
    live, test = server.client(cast.ada, "north"), server.client(cast.ada, "north", "test")
    live.post("set", {"distinct_id": "apart", "$set": {"apart_kind": "text"}})
    test.post("set", {"distinct_id": "apart", "$set": {"apart_kind": 5}})
    assert live.properties_of("apart") == {"apart_kind": "text"}
    assert test.properties_of("apart") == {"apart_kind": 5}


def test_it_refuses_a_key_within_seconds_of_its_revocation(server, data):
    made = run_json("keys", "create", "--workspace", "north", data=data)
    client = server.client(made["api_key"], "north")
    assert client.post("set", SET).status == 202
    assert run_cli("keys", "revoke", made["key_id"], data=data).returncode == 0
    deadline = time.monotonic() + 5
    while server.client(made["api_key"], "north").post("set", SET).status == 202:
        assert time.monotonic() < deadline, "the key still works after 5 seconds"


@pytest.mark.parametrize(
    "path",
    ["/v1/north/prod/properties", "/v1/north/prod/profiles/properties/set", "/v2/x", "/v1/", "/v1/north/live/nothing"],
)
def test_it_answers_404_for_unknown_paths_and_versions(server, path):
    answer = server.client(None, "north").call("POST" if path.endswith("set") else "GET", path)
    assert answer.status == 404
    assert answer.json["status"] == "error"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("endpoint", WRITES)
def test_it_answers_405_for_wrong_methods(server, cast, method, endpoint):
    client = server.client(cast.ada, "north")
    answer = client.call(method, f"{client.base}/profiles/properties/{endpoint}")
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


def test_it_answers_405_for_wrong_methods_of_reading_routes(server, cast):
    client = server.client(cast.ada, "north")
    answer = client.call("POST", f"{client.base}/requests/x", {})
    assert (answer.status, answer.headers["allow"], answer.json["status"]) == (405, "GET", "error")
