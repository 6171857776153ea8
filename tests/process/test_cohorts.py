"""Cohorts of real servers: two on one folder, killed ones, and many who write and ask at once."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

import pytest

from support.data import sqlite_only
from support.server import Client, Server, make_cast, serving

ROUNDS = 15


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def cast(data):
    return make_cast(data)


def rule(field: str, operator: str, value: object) -> dict[str, object]:
    return {"field": field, "operator": operator, "value": value}


def count(client: Client, *rules: dict[str, object]) -> int:
    body = {"filter": {"combinator": "and", "rules": list(rules)}, "sample": 0}
    answer = client.call("POST", f"{client.base}/cohorts/preview", body)
    assert answer.status == 200, answer
    return answer.json["count"]


def set_(client: Client, distinct_id: str, **values: object) -> None:
    assert client.post("set", {"distinct_id": distinct_id, "$set": values}).status == 202


def test_either_of_two_servers_counts_what_the_other_has_answered(data, cast):
    with serving(data) as first, serving(data) as second:
        clients = [server.client(cast.ada, "north") for server in (first, second)]
        for number in range(ROUNDS):
            writer, reader = clients[number % 2], clients[(number + 1) % 2]
            set_(writer, f"u{number}", n=number)
            assert count(reader, rule("n", ">=", 0)) == number + 1
            assert count(writer, rule("n", "=", number)) == 1


def test_a_cohort_and_a_profile_never_disagree(data, cast):  # I-1
    with serving(data) as server:
        main = server.client(cast.ada, "north")
        for number in range(ROUNDS):
            both = [
                threading.Thread(target=set_, args=(server.client(cast.ada, "north"), f"u{number}"), kwargs=values)
                for values in ({"a": 1}, {"b": 2})
            ]
            for thread in both:
                thread.start()
            for thread in both:
                thread.join(30)
            assert main.properties_of(f"u{number}") == {"a": 1, "b": 2}
            assert count(main, rule("a", "=", 1), rule("b", "=", 2)) == number + 1


@pytest.mark.parametrize("damage", ["cut", "scribbled", "gone"])
def test_a_negative_rule_matches_nobody_wrongly_at_a_cold_start(data, cast, damage):  # I-41
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        items = [
            {"distinct_id": f"u{number}", "action": {"$set": {"plan": "pro" if number % 3 else "free"}}}
            for number in range(900)
        ]
        assert client.post("batch", {"batch": items}).status == 202
        assert count(client, rule("plan", "!=", "pro")) == 300
    for file in data.glob("cohorts.*.duckdb*"):
        content = file.read_bytes()
        if damage == "cut":
            file.write_bytes(content[: len(content) // 2])
        elif damage == "scribbled":
            file.write_bytes(content[:100] + bytes(200) + content[300:4_096] + b"x" * max(len(content) - 4_096, 0))
        else:
            file.unlink()
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        for _ in range(3):
            assert count(client, rule("plan", "!=", "pro")) == 300
            assert count(client, rule("plan", "=", "pro")) == 600


@sqlite_only
@pytest.mark.parametrize("written_since", [0, 1, 3])
def test_a_restored_backup_is_counted_and_not_what_came_after_it(data, cast, tmp_path, written_since):
    """The copy is of a past that is gone, also if as much was written since as had been then."""
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        set_(client, "before", n=1)
        assert count(client, rule("n", "=", 1)) == 1
    shutil.copy(data / "traitbase.db", tmp_path / "backup")
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        for number in range(3):
            set_(client, f"lost {number}", n=1)
        assert count(client, rule("n", "=", 1)) == 4
    shutil.copy(tmp_path / "backup", data / "traitbase.db")
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        for number in range(written_since):
            set_(client, f"after {number}", n=1)
        assert count(client, rule("n", "=", 1)) == 1 + written_since
        assert count(client, rule("$distinct_id", "beginsWith", "lost")) == 0


@sqlite_only
def test_making_the_copy_is_told_to_operators_and_what_is_asked_waits_for_it(data, cast):
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        for start in range(0, 30_000, 1_000):
            items = [
                {"distinct_id": f"u{number}", "action": {"$set": {"n": number, "even": number % 2 == 0}}}
                for number in range(start, start + 1_000)
            ]
            assert client.post("batch", {"batch": items}).status == 202
    for file in data.glob("cohorts.*.duckdb*"):
        file.unlink()
    seen, answered = [], []
    with serving(data) as server:
        client, operator = server.client(cast.ada, "north"), server.client(None, "north")
        asking = threading.Thread(target=lambda: answered.append(count(client, rule("even", "=", True))))
        asking.start()
        deadline = time.monotonic() + 60
        while not seen or seen[-1] != {"state": "ready"}:
            answer = operator.call("GET", "/readyz")
            assert (answer.status, time.monotonic() < deadline) == (200, True), seen
            seen.append(answer.json["cohorts"])
        asking.join(60)
    building = [each for each in seen if each["state"] == "building"]
    assert {each["of"] for each in building} == {30_000}, seen
    done = [each["profiles"] for each in building]
    assert done == sorted(done), "it goes back"
    assert len(set(done)) > 1, "it does not move"
    assert all(each["seconds_left"] is None or each["seconds_left"] >= 0 for each in building)
    assert answered == [15_000]
    told = [json.loads(line) for line in Path(server.log.name).read_text().splitlines() if "cohorts_ready" in line]
    assert (told[-1]["after"], told[-1]["profiles"]) == ("building", 30_000)


def test_a_killed_server_counts_right_when_it_is_back(data, cast):
    expected = 0
    for turn in range(6):
        server = Server(data)
        client = server.client(cast.ada, "north")
        assert count(client, rule("n", ">=", 0)) == expected
        items = [{"distinct_id": f"u{turn} {n}", "action": {"$set": {"n": n}}} for n in range(500)]
        assert client.post("batch", {"batch": items}).status == 202
        expected += 500
        if turn % 2:
            assert count(client, rule("n", ">=", 0)) == expected
        else:
            time.sleep(turn * 0.3)  # somewhere in the middle of what is done in the background
        server.kill()


def test_every_count_is_of_one_moment_while_batches_arrive(data, cast):
    """Each batch moves a hundred profiles from one value to the next, at once: no count sees part of one."""
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        done = threading.Event()

        def write() -> None:
            sending = server.client(cast.ada, "north")
            number = 0
            while not done.is_set():
                number += 1
                items = [{"distinct_id": f"u{each}", "action": {"$set": {"n": number}}} for each in range(100)]
                assert sending.post("batch", {"batch": items}).status == 202

        set_(client, "other", n=0)
        writer = threading.Thread(target=write)
        writer.start()
        try:
            seen = [client.get("properties/n/insight?top=3").json for _ in range(60)]
        finally:
            done.set()
            writer.join(60)
        for insight in seen:
            assert [each["profiles"] for each in insight["top"]] in ([1], [100, 1])
        assert len({insight["max"] for insight in seen}) > 5, "nothing moved meanwhile"
