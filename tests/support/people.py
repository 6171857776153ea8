"""The profile calls, as the tests of the wire make them."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from urllib.parse import quote

from support.server import Answer, Client

NOT_FOUND = "incorrect/non existing distinct_id provided"


def fresh_id() -> str:
    return uuid.uuid4().hex


def path_of(client: Client, distinct_id: str, rest: str = "") -> str:
    return f"{client.base}/profiles/{quote(distinct_id, safe='')}{rest}"


def create(client: Client, distinct_id: str, **body: object) -> str:
    """Create a profile and return its id."""
    answer = client.call("POST", f"{client.base}/profiles", {"distinct_id": distinct_id, **body})
    assert answer.status == 201, answer
    return distinct_id


def update(client: Client, distinct_id: str, body: object, headers: dict[str, str] | None = None) -> Answer:
    return client.call("PUT", path_of(client, distinct_id), body, headers)


def merge(client: Client, source: str, target: str) -> Answer:
    return client.call("PATCH", path_of(client, source, f"/merge/{quote(target, safe='')}"))


def patch_channel(client: Client, distinct_id: str, body: object) -> Answer:
    return client.call("PATCH", path_of(client, distinct_id, "/channel"), body)


def delete_channel(client: Client, distinct_id: str, body: object) -> Answer:
    return client.call("POST", path_of(client, distinct_id, "/channel/delete"), body)


def erase(client: Client, *distinct_ids: str) -> Answer:
    return client.call("POST", f"{client.base}/profiles/delete", {"distinct_id": list(distinct_ids)})


def read(client: Client, distinct_id: str) -> Answer:
    return client.call("GET", path_of(client, distinct_id))


def profile_of(client: Client, distinct_id: str) -> dict:
    """Return a profile as it is read, numbers exact."""
    answer = read(client, distinct_id)
    assert answer.status == 200, answer
    return json.loads(answer.text, parse_float=Decimal)


def history_of(client: Client, distinct_id: str) -> list[dict]:
    """Return what changed, newest first: the action, and by name what was before and after."""
    answer = client.call("GET", path_of(client, distinct_id, "/history"))
    assert answer.status == 200, answer
    return [
        {
            "action": entry["action"],
            **{
                change.get("property") or "$" + change["attribute"]: [change["before"], change["after"]]
                for change in entry["changes"]
            },
        }
        for entry in answer.json["items"]
    ]


def assert_done(answer: Answer, message: str, *, status: int = 200) -> None:
    """Compare the whole answer to a call that succeeded."""
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json"), answer
    body = answer.json
    assert body == {"status": "ok", "_message": message, "request_id": body["request_id"]}
    assert uuid.UUID(body["request_id"]).version == 7


def assert_refused(answer: Answer, message: str, *paths: str) -> None:
    """Compare the answer to a call with faults: its message, and which places it names, in order."""
    assert (answer.status, answer.json["_message"]) == (400, message), answer
    assert answer.json["status"] == "error"
    faults = answer.json.get("errors", [])
    assert [fault["path"] for fault in faults] == list(paths)
    assert all(fault["message"] for fault in faults)
    assert set(answer.json) == ({"status", "_message", "errors"} if paths else {"status", "_message"})
