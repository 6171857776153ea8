"""Requests of megabytes: read in pieces and applied beside everybody else's, with the same answers as small ones."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import uuid


def fresh_id() -> str:
    return uuid.uuid4().hex


def test_it_tells_of_each_of_many_names_that_there_was_no_room_for(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    client = server.client(key, workspace_id)
    sent = {f"n{number}": number for number in range(40_000)}
    body = {"distinct_id": "u", "$set": sent}
    answer = client.post("set", body, headers={"Idempotency-Key": "k"})
    assert answer.status == 202
    assert client.post("set", body, headers={"Idempotency-Key": "k"}).json == answer.json
    assert client.properties_of("u") == {f"n{number}": number for number in range(2_000)}
    message = "a profile has at most 2,000 properties and 256 KB; $unset some first"
    assert client.receipt(answer)["items"] == [
        {
            "distinct_id": "u",
            "applied": [{"operation": "$set", "property": f"n{number}"} for number in range(2_000)],
            "ignored": [
                {"operation": "$set", "property": f"n{number}", "reason": "profile_full", "message": message}
                for number in range(2_000, 40_000)
            ],
        }
    ]


def test_it_answers_a_large_batch_and_tells_of_each_item(ada):
    ids = [fresh_id() for _ in range(3_000)]
    batch = [{"distinct_id": each, "action": {"$set": {"a": 1}, "$append": {"l": "x" * 80}}} for each in ids]
    answer = ada.post("batch", {"batch": batch})
    assert (answer.status, answer.json["batch"]) == (202, [{"$set": "ok", "$append": "ok"}] * 3_000)
    applied = [{"operation": "$set", "property": "a"}, {"operation": "$append", "property": "l"}]
    items = [{"distinct_id": each, "applied": applied, "ignored": []} for each in ids]
    assert ada.receipt(answer)["items"] == items
    assert ada.properties_of(ids[-1]) == {"a": 1, "l": ["x" * 80]}


def test_it_names_the_fault_in_a_large_body(ada):
    item = {"distinct_id": "u", "action": {"$set": {"text": "x" * 200}}}
    answer = ada.post("batch", {"batch": [*[item] * 2_000, {"distinct_id": "u", "action": {"$push": {}}}]})
    assert (answer.status, answer.json["errors"][0]["path"]) == (400, "batch[2000].action.$push")
    text = json.dumps({"batch": [item] * 2_000}).encode()
    assert "not valid JSON" in ada.post("batch", text[:-1]).json["_message"]


def test_it_bounds_what_unfinished_bodies_hold_together(server, cast, ada):
    """Each stops before its end. Those that there is no room for are answered at once, and the room comes back."""
    size = 9_900_000
    head = (
        "POST /v1/north/live/profiles/properties/set HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {cast.ada}\r\nContent-Length: {size}\r\n\r\n"
    )
    lines = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(20)]
    refused = 0
    for line in lines:
        line.sendall(head.encode())
        with contextlib.suppress(ConnectionError):
            line.sendall(b"x" * (size - 1))
    for line in lines:
        line.settimeout(0.2)
        with contextlib.suppress(TimeoutError, ConnectionError):
            refused += b" 503 " in line.recv(100)
    assert 1 <= refused <= 10
    for line in lines:
        line.close()
    me = fresh_id()
    answer = ada.post("set", {"distinct_id": me, "$set": {"a": 1}, "filling": "x" * 9_000_000})
    assert answer.status in (202, 503)
    deadline = time.monotonic() + 20
    while ada.post("set", {"distinct_id": me, "$set": {"a": 1}, "filling": "x" * 9_000_000}).status != 202:
        assert time.monotonic() < deadline
