"""What a crash may not do: lose an answered update, or apply one twice."""

from __future__ import annotations

import http.client
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from support.server import Client, Server, make_cast, serving
from support.waiting import until

KILLER = Path(__file__).parents[1] / "support" / "killer" / "sitecustomize.py"
ROUNDS = 12
CONNECTIONS = 8


class Sender(threading.Thread):
    """Sends `$add 1` to one property of its own, one after the other, until the connection breaks.

    Every update has an Idempotency-Key, so the one that was in flight can be sent again afterwards.
    """

    def __init__(self, client: Client, name: str, *, sent: int) -> None:
        super().__init__()
        self.client = client
        self.name_of_property = name
        self.answered = sent
        self.in_flight = False

    def send(self) -> int:
        number = self.answered
        body = {"distinct_id": f"p{number % 5}", "$add": {self.name_of_property: 1}}
        headers = {"Idempotency-Key": f"{self.name_of_property}-{number}"}
        return self.client.post("numerical-add", body, headers).status

    def run(self) -> None:
        try:
            while True:
                self.in_flight = True
                assert self.send() == 202
                self.in_flight = False
                self.answered += 1
        except (OSError, http.client.HTTPException):
            return


def wait_for_an_answer_to_each(senders: list[Sender]) -> None:
    before = [sender.answered for sender in senders]
    until(lambda: all(sender.answered > old for sender, old in zip(senders, before, strict=True)))


def total_of(client: Client, name: str) -> int:
    return sum((client.properties_of(f"p{number}") or {}).get(name, 0) for number in range(5))


def test_it_loses_no_answered_update_and_applies_none_twice_when_killed_under_load(tmp_path):
    data = tmp_path / "data"
    cast = make_cast(data)
    chance = random.Random(7)
    answered = dict.fromkeys((f"n{number}" for number in range(CONNECTIONS)), 0)
    crashed_in_flight = 0
    for _ in range(ROUNDS):
        server = Server(data)
        senders = [Sender(server.client(cast.ada, "north"), name, sent=sent) for name, sent in answered.items()]
        for sender in senders:
            sender.start()
        wait_for_an_answer_to_each(senders)
        time.sleep(chance.random())
        server.kill()
        for sender in senders:
            sender.join(30)
        with serving(data) as after:
            client = after.client(cast.ada, "north")
            for sender in senders:
                name = sender.name_of_property
                kept = total_of(client, name)
                # The one in flight may have become durable before the crash, or not: nothing else may differ.
                assert sender.answered <= kept <= sender.answered + sender.in_flight, name
                if sender.in_flight:
                    crashed_in_flight += 1
                    sender.client = client
                    assert sender.send() == 202  # the replay counts once, whether or not the first one did
                    assert total_of(client, name) == sender.answered + 1
                    sender.answered += 1
                answered[name] = sender.answered
    assert sum(answered.values()) >= ROUNDS * CONNECTIONS
    assert crashed_in_flight > 0


@pytest.mark.parametrize("times", [1, 3])
def test_it_answers_a_replay_after_a_crash_between_commit_and_answer_with_the_first_answer(tmp_path, times):
    """The crash is put exactly there: the server's writer kills its process when the commit has returned."""
    data = tmp_path / "data"
    cast = make_cast(data)
    body = {"distinct_id": "u", "$add": {"n": 5}}
    headers = {"Idempotency-Key": "pay-1"}
    server = Server(data, env={"PYTHONPATH": str(KILLER.parent), "TRAITBASE_TEST_DIE_AFTER_COMMIT": "1"})
    client = server.client(cast.ada, "north")
    with pytest.raises((OSError, http.client.HTTPException)):
        client.post("numerical-add", body, headers)
    assert server.wait() == -signal.SIGKILL
    for _ in range(times):
        with serving(data) as again:
            client = again.client(cast.ada, "north")
            first = client.post("numerical-add", body, headers)
            second = client.post("numerical-add", body, headers)
            assert (first.status, second.status) == (202, 202)
            assert first.json == second.json
            assert client.properties_of("u") == {"n": 5}
            assert client.receipt(first)["items"][0]["applied"] == [{"operation": "$add", "property": "n"}]


def test_it_answers_what_it_has_accepted_before_it_stops(tmp_path):
    data = tmp_path / "data"
    cast = make_cast(data)
    server = Server(data)
    senders = [Sender(server.client(cast.ada, "north"), f"n{number}", sent=0) for number in range(CONNECTIONS)]
    for sender in senders:
        sender.start()
    wait_for_an_answer_to_each(senders)
    assert server.stop() == 0
    for sender in senders:
        sender.join(30)
    with serving(data) as after:
        client = after.client(cast.ada, "north")
        for sender in senders:
            kept = total_of(client, sender.name_of_property)
            assert 0 < sender.answered <= kept <= sender.answered + sender.in_flight
