"""Retyping over the wire: what it says, what it does, and that it loses nothing beside busy writers."""

from __future__ import annotations

import itertools
import threading
from urllib.parse import quote

import pytest


@pytest.fixture
def client(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    return server.client(key, workspace_id)


def change(client, name, body, *, dry_run=False):
    path = f"{client.base}/properties/{quote(name, safe='')}"
    answer = client.call("PATCH", path + ("?dry_run=true" if dry_run else ""), body)
    assert answer.status == 200, answer
    return answer.json


def put(client, distinct_id, value):
    assert client.post("set", {"distinct_id": distinct_id, "$set": {"p": value}}).status == 202


def test_it_says_what_it_would_do_and_then_does_it(client):
    for distinct_id, value in (("a", "1.50"), ("b", "01"), ("c", "7")):
        put(client, distinct_id, value)
    would = change(client, "p", {"type": "number"}, dry_run=True)
    assert client.properties_of("a") == {"p": "1.50"}
    does = change(client, "p", {"type": "number"})
    assert (
        does["retype"]
        == would["retype"]
        == {
            "to": "number",
            "profiles": 3,
            "converted": 2,
            "kept_aside": 1,
            "came_back": 0,
            "samples": {
                "converted": [
                    {"distinct_id": "a", "before": "1.50", "after": 1.5},
                    {"distinct_id": "c", "before": "7", "after": 7},
                ],
                "kept_aside": [{"distinct_id": "b", "before": "01", "after": None}],
            },
        }
    )
    assert does["property"] == would["property"] == client.get("properties/p").json
    assert [client.properties_of(each) for each in "abc"] == [{"p": 1.5}, {}, {"p": 7}]


def test_it_repairs_a_text_that_began_with_a_number(client):
    put(client, "u", 21546)
    put(client, "w", "spring")
    put(client, "u", "summer")
    assert client.get("properties/p").json["ignored"] == 2
    done = change(client, "p", {"type": "string", "replay": True})
    assert done["replayable"] == 2
    request_id = done["replay"].pop("request_id")
    assert done["replay"] == {"applied": 2, "superseded": 0, "still_ignored": {}, "remaining": 0}
    assert (client.properties_of("u"), client.properties_of("w")) == ({"p": "summer"}, {"p": "spring"})
    assert [item["applied"] for item in client.get(f"requests/{request_id}").json["items"]] == [
        [{"operation": "$set", "property": "p"}],
        [{"operation": "$set", "property": "p"}],
    ]
    seen = client.get("properties/p").json
    assert (seen["profiles"], seen["ignored"], seen["last_ignored"]) == (2, 0, None)
    again = client.call("POST", f"{client.base}/properties/p/replay").json
    assert again == {**again, "applied": 0, "superseded": 0, "still_ignored": {}, "remaining": 0}


def test_it_makes_a_text_of_a_date_that_came_first(client):
    put(client, "u", "2020-10-01")
    put(client, "w", "soon")
    change(client, "p", {"type": "string"})
    answer = client.call("POST", f"{client.base}/properties/p/replay").json
    assert answer["applied"] == 1
    assert (client.properties_of("u"), client.properties_of("w")) == ({"p": "2020-10-01"}, {"p": "soon"})


class Writer(threading.Thread):
    """Writes the property of profiles of its own, as a number and as a text in turn, until it is told to stop."""

    def __init__(self, client, number):
        super().__init__()
        self.client = client
        self.number = number
        self.sent = {}
        self.stopping = threading.Event()

    def run(self):
        position = 0
        while not self.stopping.is_set():
            distinct_id = f"w{self.number}-{position % 7}"
            value = position if position % 2 else f"{position}"
            answer = self.client.post("set", {"distinct_id": distinct_id, "$set": {"p": value}})
            assert answer.status == 202
            self.sent.setdefault(distinct_id, []).append((value, answer.json["request_id"]))
            position += 1


def test_it_loses_nothing_of_what_four_connections_write_meanwhile(server, client):
    workspace_id = client.base.split("/")[2]
    put(client, "u", "1")
    writers = [Writer(server.client(client.key, workspace_id), number) for number in range(4)]
    for writer in writers:
        writer.start()
    kinds = itertools.cycle(["number", "string", "number", "list", "string"])
    while sum(len(values) for writer in writers for values in list(writer.sent.values())) < 200:
        kind = next(kinds)
        change(client, "p", {"type": kind, "replay": kind == "list"})
    for writer in writers:
        writer.stopping.set()
        writer.join(60)
    reader = server.client(client.key, workspace_id)
    change(client, "p", {"type": "string"})
    total = 0
    for writer in writers:
        assert len(writer.sent) == 7
        for distinct_id, values in writer.sent.items():
            kept = reader.properties_of(distinct_id).get("p")
            last = None
            for value, request_id in values:
                (item,) = reader.get(f"requests/{request_id}").json["items"]
                reasons = [entry["reason"] for entry in item["ignored"]]
                assert (len(item["applied"]), reasons) in [(1, []), (0, ["type_mismatch"])]
                last = str(value) if item["applied"] else last
                total += 1
            # Every value here becomes any of the types, so only a replayed one can have come after the last applied.
            assert kept is None or kept in {str(value) for value, _ in values}
            assert (kept is None) <= (last is None)
    assert total >= 200
    seen = reader.get("properties/p").json
    ids = [distinct_id for writer in writers for distinct_id in writer.sent]
    assert seen["profiles"] == 1 + sum("p" in reader.properties_of(each) for each in ids)


def test_it_keeps_the_last_word_of_each_profile_while_connections_write_only_what_fits(server, client):
    workspace_id = client.base.split("/")[2]
    put(client, "u", "1")
    additions = 200

    def add(number):
        own = server.client(client.key, workspace_id)
        for _ in range(additions):
            assert own.post("numerical-add", {"distinct_id": f"n{number}", "$add": {"p": 1}}).status == 202

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for kind in ("number", "string", "number"):
        change(client, "p", {"type": kind})
    for thread in threads:
        thread.join(60)
    done = client.call("POST", f"{client.base}/properties/p/replay").json
    assert (done["superseded"], done["remaining"]) == (0, 0)
    assert [client.properties_of(f"n{number}") for number in range(4)] == [{"p": additions}] * 4
