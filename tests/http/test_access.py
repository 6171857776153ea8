"""Who may not: every endpoint is asked with every key that must not work."""

from __future__ import annotations

import json
import time

import pytest

from support.raw import Line
from support.server import run_cli, run_json
from support.strangers import STRANGERS
from traitbase.domain.keys import Scope

UNAUTHENTICATED = {"status": "error", "_message": "Invalid API details"}
SET = {"distinct_id": "u", "$set": {"a": 1}}
WRITES = ["set", "set-once", "numerical-add", "list-append", "list-remove", "unset", "batch"]
STEERING = ["launch", "test", "pause", "resume", "cancel", "skip", "unschedule"]
ANY, INGEST, READ, ADMIN = None, Scope.INGEST, Scope.READ, Scope.ADMIN
NEEDS = {
    **{f"POST profiles/properties/{endpoint}": INGEST for endpoint in WRITES},
    "GET profiles": READ,
    "POST profiles": INGEST,
    "POST profiles/query": READ,
    "POST profiles/delete": ADMIN,
    "GET profiles/{distinct_id}": READ,
    "PUT profiles/{distinct_id}": INGEST,
    "GET profiles/{distinct_id}/history": READ,
    "PATCH profiles/{distinct_id}/channel": INGEST,
    "POST profiles/{distinct_id}/channel/delete": INGEST,
    "PATCH profiles/{source}/merge/{target}": INGEST,
    "POST profiles/{source}/merge/{target}": INGEST,
    "GET properties": READ,
    "POST properties": ADMIN,
    "GET properties/{name}": READ,
    "PATCH properties/{name}": ADMIN,
    "DELETE properties/{name}": ADMIN,
    "GET properties/{name}/ignored": READ,
    "GET properties/{name}/kept-aside": READ,
    "POST properties/{name}/replay": ADMIN,
    "GET subscriptions": READ,
    "PUT subscriptions": ADMIN,
    "GET subscriptions/preference": READ,
    "PUT subscriptions/preference": INGEST,
    "POST subscriptions/list/{subscription_id}/user": INGEST,
    "GET /v1/{WSID}/suppressions": READ,
    "POST /v1/{WSID}/suppressions": INGEST,
    "DELETE /v1/{WSID}/suppressions": ADMIN,
    "GET cohorts": READ,
    "POST cohorts": ADMIN,
    "POST cohorts/preview": READ,
    "GET cohorts/{cohort_id}": READ,
    "PUT cohorts/{cohort_id}": ADMIN,
    "DELETE cohorts/{cohort_id}": ADMIN,
    "GET cohorts/{cohort_id}/count": READ,
    "GET cohorts/{cohort_id}/members": READ,
    "POST cohorts/{cohort_id}/members": INGEST,
    "GET cohorts/{cohort_id}/members/{distinct_id}": READ,
    "POST cohorts/{cohort_id}/freeze": ADMIN,
    "GET cohorts/{cohort_id}/export": READ,
    "GET properties/{name}/insight": READ,
    "GET requests/{request_id}": ANY,
    "GET integrations": READ,
    "POST integrations": ADMIN,
    "GET integrations/{integration_id}": READ,
    "PUT integrations/{integration_id}": ADMIN,
    "DELETE integrations/{integration_id}": ADMIN,
    "POST integrations/{integration_id}/test": ADMIN,
    "GET integrations/{integration_id}/messages": READ,
    "GET events": READ,
    "POST events": ADMIN,
    "POST events/preview": READ,
    "GET events/{event_id}": READ,
    "PUT events/{event_id}": ADMIN,
    "DELETE events/{event_id}": ADMIN,
    "POST events/{event_id}/preview": READ,
    "POST event": INGEST,
    "POST event/bulk": INGEST,
    "GET campaigns": READ,
    "POST campaigns": ADMIN,
    "POST audiences": ADMIN,
    "GET campaigns/{campaign_id}": READ,
    "PUT campaigns/{campaign_id}": ADMIN,
    "DELETE campaigns/{campaign_id}": ADMIN,
    **{f"POST campaigns/{{campaign_id}}/{word}": ADMIN for word in STEERING},
    "POST campaigns/{campaign_id}/audience/count": READ,
    "GET campaigns/{campaign_id}/runs": READ,
    "GET campaigns/{campaign_id}/report": READ,
    "GET campaigns/{campaign_id}/deliveries": READ,
    "GET campaigns/{campaign_id}/deliveries/export": READ,
    "GET deliveries": READ,
    "GET deliveries/{delivery_id}": READ,
    "POST deliveries/{delivery_id}/resolve": ADMIN,
}
"""Every endpoint of the API and the scope it needs; `admin` always does."""


def call_of(endpoint):
    method, path = endpoint.split(" ")
    path = path.replace("{WSID}", "north").replace("{request_id}", "00000000-0000-0000-0000-000000000000")
    for name in ("distinct_id", "source", "target", "name", "subscription_id", "cohort_id"):
        path = path.replace(f"{{{name}}}", f"access-{name}")
    for name in ("integration_id", "event_id", "campaign_id", "delivery_id"):
        path = path.replace(f"{{{name}}}", f"access-{name}")
    return method, path if path.startswith("/") else f"/v1/north/live/{path}"


def test_carries_every_endpoint_of_the_api(ada):
    paths = ada.call("GET", "/openapi.json").json["paths"]
    described = {
        f"{method.upper()} {path.removeprefix('/v1/{WSID}/{version}/')}"
        for path, methods in paths.items()
        for method in methods
    }
    assert described == set(NEEDS), "every endpoint has a line in NEEDS"


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize("endpoint", NEEDS)
def test_it_tells_nothing_to(server, keys_of_strangers, who, endpoint):
    method, path = call_of(endpoint)
    headers = {
        "Idempotency-Key": "",
        "Content-Encoding": "br",
        "X-Forwarded-For": "10.0.0.1",
    }  # faults it must not name
    answer = server.client(keys_of_strangers[who], "north").call(method, path, b"{broken", headers)
    assert (answer.status, answer.json) == (401, UNAUTHENTICATED)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("endpoint", NEEDS)
def test_it_refuses_strangers_before_their_body_arrives(server, endpoint):
    method, path = call_of(endpoint)
    line = Line(server.port)
    line.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n".encode())
    status, headers, body = line.answer()
    assert (status, json.loads(body)) == (401, UNAUTHENTICATED)
    assert headers["connection"] == "close"
    line.close()


@pytest.mark.parametrize("path", ["profiles/u", "profiles?limit=0", "profiles/properties/set"])
def test_it_does_not_choose_between_two_keys(server, cast, path):
    line = Line(server.port)
    method = "POST" if path.endswith("set") else "GET"
    keys = "".join(f"Authorization: Bearer {key}\r\n" for key in (cast.ada, cast.cy))
    line.send(f"{method} /v1/north/live/{path} HTTP/1.1\r\nHost: x\r\n{keys}Content-Length: 2\r\n\r\n{{}}".encode())
    status, _, body = line.answer()
    message = "header Authorization: expected once, and it was sent several times"
    assert (status, json.loads(body)["_message"]) == (400, message)
    line.close()


@pytest.mark.parametrize("scope", [INGEST, READ])
@pytest.mark.parametrize("endpoint", [endpoint for endpoint, needed in NEEDS.items() if needed is not ANY])
def test_it_names_both_scopes_where_a_key_may_not(server, cast, endpoint, scope):
    needed = NEEDS[endpoint]
    method, path = call_of(endpoint)
    answer = server.client({INGEST: cast.ian, READ: cast.bo}[scope], "north").call(method, path, b"{broken")
    if scope is needed:
        assert answer.status not in (401, 403)
        return
    enough = "'admin'" if needed is ADMIN else f"'{needed}' or 'admin'"
    message = f"this API key has the scope '{scope}', and this call needs {enough}"
    assert (answer.status, answer.json) == (403, {"status": "error", "_message": message})


@pytest.mark.parametrize("endpoint", NEEDS)
def test_it_lets_an_admin_key_in_everywhere(server, cast, endpoint):
    method, path = call_of(endpoint)
    assert server.client(cast.ada, "north").call(method, path, b"{broken").status not in (401, 403, 500)


def test_it_does_not_find_the_profiles_of_others(server, cast):
    ada, cy = server.client(cast.ada, "north"), server.client(cast.cy, "south")
    test = server.client(cast.ada, "north", "test")
    ada.call("POST", f"{ada.base}/profiles", {"distinct_id": "access-mine", "name": "access-mine"})
    for other in (cy, test):
        base = f"{other.base}/profiles"
        assert other.get("profiles/access-mine").status == 400
        assert other.get("profiles/access-mine/history").status == 400
        assert other.get("profiles?q=access-mine").json["items"] == []
        assert other.call("PUT", f"{base}/access-mine", {"name": "x"}).status == 400
        assert other.call("PATCH", f"{base}/access-mine/channel", {"channel": {"slack": "x"}}).status == 400
        assert other.call("PATCH", f"{base}/access-mine/merge/access-other").status == 400
        assert other.call("POST", f"{base}/delete", {"distinct_id": ["access-mine"]}).status == 400
    assert ada.get("profiles/access-mine").json["name"] == "access-mine"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("profiles", "GET, POST"),
        ("profiles/u", "GET, PUT"),
        ("profiles/delete", "GET, POST, PUT"),  # also the profile of that name
        ("profiles/u/channel", "GET, PATCH, PUT"),
        ("profiles/a/merge/b", "GET, PATCH, POST, PUT"),
    ],
)
@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "HEAD", "TRACE"])
def test_it_names_every_method_that_is_allowed(ada, method, path, allowed):
    answer = ada.call(method, f"{ada.base}/{path}")
    assert (answer.status, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize("endpoint", WRITES)
def test_it_takes_no_update_from(server, keys_of_strangers, who, endpoint):
    answer = server.client(keys_of_strangers[who], "north").post(endpoint, SET)
    assert (answer.status, answer.json) == (401, UNAUTHENTICATED)


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


@pytest.mark.parametrize("who", [None, *STRANGERS])
@pytest.mark.parametrize("endpoint", [each for each in NEEDS if not each.startswith("POST profiles/properties/")])
def test_it_refuses_a_parameter_that_it_does_not_know_from_those_who_may_come_in(
    server, cast, keys_of_strangers, endpoint, who
):
    method, path = call_of(endpoint)
    key = cast.ada if who is None else keys_of_strangers[who]
    answer = server.client(key, "north").call(method, f"{path}?dryrun=true", b"{broken")
    if who is None:
        assert (answer.status, answer.json["errors"][0]["path"]) == (400, "dryrun")
        assert answer.json["_message"].startswith("dryrun: there is no such parameter; expected")
    else:
        assert (answer.status, answer.json) == (401, UNAUTHENTICATED)
