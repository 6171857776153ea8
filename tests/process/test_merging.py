"""Merges while both profiles are being written from several connections: no value is lost, one profile is left."""

from __future__ import annotations

import itertools
import threading

import pytest

from process.test_concurrency import in_parallel
from support.server import make_cast, serving

CONNECTIONS = 4


@pytest.mark.slow
def test_it_loses_nothing_in_500_merges_under_fire(tmp_path):
    """Each connection counts what it was answered 202 for; the merged profiles must add up to exactly that.

    A number that both have is not added up by a merge (the target's wins), so every round and connection counts under a
    property of its own, and appends to one list that both have.
    """
    rounds = 500
    data = tmp_path / "data"
    cast = make_cast(data)
    with serving(data) as one, serving(data) as two:
        clients = [server.client(cast.ada, "north") for server in (one, two) for _ in range(CONNECTIONS // 2)]
        merger = one.client(cast.ada, "north")
        turn = threading.Barrier(CONNECTIONS + 1)
        accepted = [[0] * CONNECTIONS for _ in range(rounds)]
        merged = threading.Event()

        def update(number):
            client = clients[number]
            sides = itertools.cycle(("a", "b") if number % 2 else ("b", "a"))
            for round_number in range(rounds):
                turn.wait(60)
                for _ in range(3):
                    side = f"{next(sides)}{round_number}"
                    counter = f"{side[0]}_{number}"
                    action = {"$add": {counter: 1}, "$append": {"seen": f"{counter}/{accepted[round_number][number]}"}}
                    body = {"batch": [{"distinct_id": side, "action": action}]}
                    assert client.post("batch", body).status == 202
                    accepted[round_number][number] += 1

        def merge():
            for round_number in range(rounds):
                for side in "ab":
                    body = {"distinct_id": f"{side}{round_number}", "$set": {f"from_{side}": round_number}}
                    assert merger.post("set", body).status == 202
                turn.wait(60)
                answer = merger.call("PATCH", f"{merger.base}/profiles/a{round_number}/merge/b{round_number}")
                assert (answer.status, answer.json["_message"]) == (
                    200,
                    "1 Record(s) updated and 1 Records(s) deleted",
                )
            merged.set()

        in_parallel([merge, *(lambda number=number: update(number) for number in range(CONNECTIONS))])
        assert merged.is_set()
        for round_number in range(rounds):
            profile = merger.get(f"profiles/b{round_number}").json
            assert merger.get(f"profiles/a{round_number}").json == profile
            held = profile["properties"]
            assert (held["from_a"], held["from_b"]) == (round_number, round_number)
            assert profile["aliases"] == [f"a{round_number}"]
            assert len(held["seen"]) == sum(accepted[round_number]) == 3 * CONNECTIONS
            counted = [held.get(f"{side}_{number}", 0) for side in "ab" for number in range(CONNECTIONS)]
            assert sum(counted) == 3 * CONNECTIONS
