"""An erased person is in no file any more when the erasure is answered, and does not come back."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time

import pytest

from support.data import sqlite_only
from support.server import Client, Server, make_cast, serving

# Each stands for one place in which a person can be recognised.
SECRETS = [
    "erased-id",
    "erased-alias",
    "erased-name",
    "erased@example.com",
    "15550001111",
    "erased-token",
    "erased-value",
    "erased-element",
    "erased-before",
    "erased-ignored",
    "erased-key",
]


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def cast(data):
    return make_cast(data)


def fill(client: Client) -> None:
    """Bring the person, and others around, into every table."""
    client.post("set", {"distinct_id": "other", "$set": {"text": "kept", "number": 1, "tags": ["kept-element"]}})
    body = {
        "distinct_id": "erased-id",
        "name": "erased-name",
        "channel": {"email": "erased@example.com", "sms": "+15550001111", "push": [{"token": "erased-token"}]},
        "properties": {"text": "erased-before", "number": 1},
    }
    assert client.call("POST", f"{client.base}/profiles", body).status == 201
    client.post("set", {"distinct_id": "erased-id", "$set": {"text": "erased-value", "number": "erased-ignored"}})
    client.post(
        "list-append",
        {"distinct_id": "erased-alias", "$append": {"tags": "erased-element"}},
        {"Idempotency-Key": "erased-key"},
    )
    assert client.call("PATCH", f"{client.base}/profiles/erased-alias/merge/erased-id").status == 200
    body = {"name": "List", "kind": "static", "members": ["erased-id", "other"]}
    assert client.call("POST", f"{client.base}/cohorts", body).status == 201
    body = {"filter": {"rules": [{"field": "$name", "operator": "notNull"}]}}
    assert client.call("POST", f"{client.base}/cohorts/preview", body).json["count"] == 1


def traces(data) -> list[str]:
    found = []
    for file in sorted(data.iterdir()):
        content = file.read_bytes()
        found += [f"{secret} in {file.name}" for secret in SECRETS if secret.encode() in content]
    return found


def erase(client: Client, *distinct_ids: str):
    return client.call("POST", f"{client.base}/profiles/delete", {"distinct_id": list(distinct_ids)})


@sqlite_only
def test_it_leaves_no_trace_in_any_file_once_it_is_answered(data, cast):
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        fill(client)
        assert {trace.split(" in ")[0] for trace in traces(data)} == set(SECRETS) - {"erased-key"}
        answer = erase(client, "erased-alias")
        assert (answer.status, answer.json["_message"]) == (200, "1 User(s) deleted successfully")
        assert answer.json["log_cleared"] is answer.json["cohorts_cleared"] is True
        assert traces(data) == []
        assert client.get("profiles/erased-id").status == client.get("profiles/erased-alias").status == 400
        assert client.properties_of("other") == {"text": "kept", "number": 1, "tags": ["kept-element"]}
        receipt = client.get(f"requests/{answer.json['request_id']}").json
        assert receipt["items"] == []
        assert receipt["erased"] == answer.json["erased"]
        assert answer.json["erased"] == {
            "profiles": 1,
            "aliases": 1,
            "changes": 4,
            "ignored_values": 1,
            "kept_aside": 0,
            "cohort_members": 1,
            "suppressions": 0,
        }


@sqlite_only
def test_it_leaves_no_trace_after_a_power_cut(data, cast):
    server = Server(data)
    client = server.client(cast.ada, "north")
    fill(client)
    assert erase(client, "erased-id").status == 200
    server.kill()
    assert traces(data) == []
    with serving(data) as again:
        assert again.client(cast.ada, "north").get("profiles/erased-id").status == 400


@sqlite_only
def test_it_leaves_no_trace_of_a_thousand_among_ten_thousand(data, cast):
    """Rows that fill pages, overflow them, and divide the trees."""
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        for start in range(0, 10_000, 1_000):
            items = [
                {
                    "distinct_id": f"{'erased-id' if number % 10 == 0 else 'kept'}-{number}",
                    "action": {
                        "$set": {"text": "erased-value" if number % 10 == 0 else "kept", "long": ["x" * 200] * 3},
                        "$append": {"tags": "erased-element" if number % 10 == 0 else "kept"},
                    },
                }
                for number in range(start, start + 1_000)
            ]
            assert client.post("batch", {"batch": items}).status == 202
        answer = erase(client, *(f"erased-id-{number}" for number in range(0, 10_000, 10)))
        assert (answer.status, answer.json["erased"]["profiles"]) == (200, 1_000)
        assert traces(data) == []
        assert client.get("profiles/kept-9999").status == 200


@sqlite_only
def test_it_says_when_a_reader_keeps_the_log_and_clears_it_as_soon_as_that_is_done(data, cast):
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        fill(client)
        with contextlib.closing(sqlite3.connect(data / "traitbase.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM profiles").fetchone()
            answer = erase(client, "erased-id")
            assert (answer.status, answer.json["log_cleared"]) == (200, False)
            assert client.get("profiles/erased-id").status == 400
            assert client.post("set", {"distinct_id": "other", "$set": {"number": 2}}).status == 202
            reader.execute("ROLLBACK")
        deadline = time.monotonic() + 30
        while traces(data) and time.monotonic() < deadline:
            client.get("profiles/other")
        assert traces(data) == []


def test_a_retry_of_an_old_update_does_not_bring_the_person_back(data, cast):
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        body, key = {"distinct_id": "erased-id", "$set": {"text": "erased-value"}}, {"Idempotency-Key": "k"}
        first = client.post("set", body, key)
        erase(client, "erased-id")
        again = client.post("set", body, key)
        assert (again.status, again.json) == (202, first.json)
        assert client.get("profiles/erased-id").status == 400
        assert traces(data) == []


@sqlite_only
def test_it_leaves_no_trace_of_rows_that_have_moved(data, cast):
    """Rows that grow and shrink divide and join pages; SQLite leaves copies of what it moves in their free space."""
    choose = random.Random(1)
    erased = [f"erased-id-{number}" for number in range(300)]
    everybody = erased + [f"kept-{number}" for number in range(150)]
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        for _ in range(5):
            items = [
                {"distinct_id": each, "action": {"$set": {"text": f"erased-value{'v' * choose.randrange(300)}"}}}
                for each in choose.sample(everybody, len(everybody))
                if each in erased or choose.random() < 0.5
            ]
            for start in range(0, len(items), 7):
                assert client.post("batch", {"batch": items[start : start + 7]}).status == 202
        for start in range(0, 300, 3):
            answer = erase(client, *erased[start : start + 3])
            assert (answer.status, answer.json["log_cleared"]) == (200, True)
            if answer.json["file_rewritten"]:
                assert not any(f'{each}"'.encode() in read(data) for each in erased[: start + 3])
        assert client.get("profiles?limit=1000").json["items"] != []
        deadline = time.monotonic() + 30  # one rewriting soon after the other waits for housekeeping
        while b"erased-id" in read(data) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert b"erased-id" not in read(data)


@sqlite_only
def test_a_server_finds_what_one_before_it_has_left(data, cast):
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        fill(client)
    with contextlib.closing(sqlite3.connect(data / "traitbase.db", isolation_level=None)) as driver:
        driver.execute("PRAGMA user_version = 2")
    with serving(data) as server:
        deadline = time.monotonic() + 30
        while erasures_in(data) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert erasures_in(data) == 0
        assert server.client(cast.ada, "north").get("profiles/erased-id").status == 200


def read(data) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(data.iterdir()))


def erasures_in(data) -> int:
    with contextlib.closing(sqlite3.connect(data / "traitbase.db")) as driver:
        return driver.execute("PRAGMA user_version").fetchone()[0]
