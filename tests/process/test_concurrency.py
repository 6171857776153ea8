"""Many writers at once, over several connections and server processes: no update is lost, none counts twice."""

from __future__ import annotations

import threading
from collections.abc import Callable

from support.server import make_cast, serving


def in_parallel(jobs: list[Callable[[], None]]) -> None:
    faults: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as fault:  # noqa: BLE001  # handed to the test's own thread
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not faults, faults


def test_it_counts_a_thousand_parallel_adds_over_two_processes_exactly(tmp_path):
    data = tmp_path / "data"
    cast = make_cast(data)
    with serving(data) as one, serving(data) as two:
        clients = [server.client(cast.ada, "north") for server in (one, two) for _ in range(4)]

        def add(client):
            for _ in range(125):
                assert client.post("numerical-add", {"distinct_id": "u", "$add": {"n": 1}}).status == 202

        in_parallel([lambda client=client: add(client) for client in clients])
        assert [client.properties_of("u") for client in clients] == [{"n": 1000}] * 8


def test_it_makes_one_profile_of_fifty_parallel_first_writes(tmp_path):
    data = tmp_path / "data"
    cast = make_cast(data)
    with serving(data) as one, serving(data) as two:
        clients = [(one, two)[number % 2].client(cast.ada, "north") for number in range(50)]

        def write(number):
            body = {"distinct_id": "new", "$set": {f"p{number}": number}}
            assert clients[number].post("set", body).status == 202

        in_parallel([lambda number=number: write(number) for number in range(50)])
        assert clients[0].properties_of("new") == {f"p{number}": number for number in range(50)}
        assert clients[1].get("profiles/new").json["profile_id"] == clients[0].get("profiles/new").json["profile_id"]


def test_it_lets_one_of_two_first_types_win_everywhere(tmp_path):
    data = tmp_path / "data"
    cast = make_cast(data)
    with serving(data) as one, serving(data) as two:
        clients = [server.client(cast.ada, "north") for server in (one, two) for _ in range(4)]
        receipts = {}

        def write(number):
            for round_ in range(20):
                value = "text" if number % 2 else 5
                answer = clients[number].post("set", {"distinct_id": f"u{number}", "$set": {f"r{round_}": value}})
                receipts[number, round_] = clients[number].receipt(answer)["items"][0]

        in_parallel([lambda number=number: write(number) for number in range(8)])
        kinds = {row["name"]: row["type"] for row in clients[0].get("properties").json["items"]}
        assert kinds == {row["name"]: row["type"] for row in clients[7].get("properties").json["items"]}
        for (number, round_), item in receipts.items():
            fits = kinds[f"r{round_}"] == ("string" if number % 2 else "number")
            assert [entry["reason"] for entry in item["ignored"]] == ([] if fits else ["type_mismatch"])
            assert (f"r{round_}" in clients[0].properties_of(f"u{number}")) is fits


def test_it_gives_every_new_profile_both_of_two_simultaneous_updates(tmp_path):
    data = tmp_path / "data"
    cast = make_cast(data)
    with serving(data) as one, serving(data) as two:
        left, right = one.client(cast.ada, "north"), two.client(cast.ada, "north")

        def write(client, name):
            for number in range(300):
                assert client.post("set", {"distinct_id": f"u{number}", "$set": {name: number}}).status == 202

        in_parallel([lambda: write(left, "a"), lambda: write(right, "b")])
        for number in range(300):
            assert left.properties_of(f"u{number}") == {"a": number, "b": number}


def test_it_applies_an_idempotent_request_once_when_two_processes_get_it_at_once(tmp_path):
    data = tmp_path / "data"
    cast = make_cast(data)
    with serving(data) as one, serving(data) as two:
        clients = [server.client(cast.ada, "north") for server in (one, two) for _ in range(3)]
        answers = {}

        def add(number):
            for round_ in range(30):
                headers = {"Idempotency-Key": f"k{round_}"}
                body = {"distinct_id": "u", "$add": {"n": 1}}
                answers[number, round_] = clients[number].post("numerical-add", body, headers).json["request_id"]

        in_parallel([lambda number=number: add(number) for number in range(6)])
        assert clients[0].properties_of("u") == {"n": 30}
        assert len(set(answers.values())) == 30
