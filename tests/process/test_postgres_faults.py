"""What may not happen on PostgreSQL whatever breaks: an answered update that is lost, or one that is applied twice.

The server under test writes to a PostgreSQL server of its own, which is ended as by a power cut, or is behind a proxy
that cuts the connections.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time

import pytest

from support.data import once
from support.postgres import OwnServer, url_of_server
from support.proxy import proxied
from support.server import Client, Server, make_cast, serving

pytestmark = once

SENDERS = 6
ROUNDS = 4


class Sender(threading.Thread):
    """Sends `$add 1` to a property of its own, one after the other, and counts what it was told.

    It has no Idempotency-Key: what was answered with an error is counted as not applied, as the answer says; only if
    that says that nobody knows, or if there is no answer, it may be either.
    """

    def __init__(self, port: int, key: str, name: str) -> None:
        super().__init__()
        self.applied = self.unknown = self.refused = 0
        self.strange: list[object] = []
        self.property_name = name
        self._port, self._key = port, key
        self._ends = threading.Event()

    def run(self) -> None:
        number = 0
        client = Client(self._port, self._key, "north")
        while not self._ends.is_set():
            number += 1
            body = {"distinct_id": f"p{number % 5}", "$add": {self.property_name: 1}}
            try:
                answer = client.post("numerical-add", body)
            except (OSError, http.client.HTTPException):
                self.unknown += 1
                client.close()
                time.sleep(0.05)
                continue
            if answer.status == 202:
                self.applied += 1
            elif answer.status == 503 and b"it cannot be found out" in answer.text:
                self.unknown += 1
            elif answer.status == 503:
                self.refused += 1
                time.sleep(0.02)
            else:
                self.strange.append(answer)
        client.close()

    def end(self) -> None:
        self._ends.set()
        self.join(60)


@contextlib.contextmanager
def sending(server: Server, key: str):
    senders = [Sender(server.port, key, f"n{number}") for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        yield senders
    finally:
        for sender in senders:
            sender.end()


def wait_for_answers(senders, more: int = 20) -> None:
    """Wait until every sender was answered so many times more."""
    before = [sender.applied for sender in senders]
    deadline = time.monotonic() + 60
    while any(sender.applied < old + more for sender, old in zip(senders, before, strict=True)):
        assert time.monotonic() < deadline, [(each.applied, each.refused, each.unknown) for each in senders]
        time.sleep(0.02)


def check(server: Server, key: str, senders) -> None:
    client = server.client(key, "north")
    people = [client.properties_of(f"p{number}") or {} for number in range(5)]
    for sender in senders:
        assert sender.strange == []
        total = sum(each.get(sender.property_name, 0) for each in people)
        assert sender.applied <= total <= sender.applied + sender.unknown, (sender.applied, sender.unknown, total)
    counted = {each["name"]: each["profiles"] for each in client.get("properties").json["items"]}
    for sender in senders:
        assert counted[sender.property_name] == sum(sender.property_name in each for each in people)


@pytest.fixture
def database():
    server = OwnServer(settings=("autovacuum = off",))
    yield server
    server.stop()


def data_on(folder, url: str):
    folder.mkdir()
    (folder / "traitbase.toml").write_text(f'database_url = "{url}"\n')
    return folder, make_cast(folder).ada


def test_an_answer_survives_that_the_database_stops_as_by_a_power_cut(tmp_path, database):
    data, key = data_on(tmp_path / "data", database.url)
    chance = random.Random(5)
    with serving(data) as server, sending(server, key) as senders:
        for _ in range(ROUNDS):
            wait_for_answers(senders)
            time.sleep(chance.random() / 10)
            database.crash()
            time.sleep(0.3)
            with contextlib.closing(server.client(key, "north")) as client:
                assert client.call("GET", "/healthz").status == 200
                assert client.call("GET", "/readyz").status == 503
            database.start()
        wait_for_answers(senders)
        for sender in senders:
            sender.end()
        check(server, key, senders)
        assert sum(sender.unknown for sender in senders) == 0  # what became of each commit was found out


def test_an_answer_survives_that_the_api_is_killed(tmp_path, database):
    data, key = data_on(tmp_path / "data", database.url)
    chance = random.Random(6)
    totals: dict[str, list[int]] = {}
    for _ in range(ROUNDS):
        with serving(data) as server:
            with sending(server, key) as senders:
                wait_for_answers(senders)
                time.sleep(chance.random() / 10)
                server.kill()
            for sender in senders:
                applied, unknown = totals.setdefault(sender.property_name, [0, 0])
                totals[sender.property_name] = [applied + sender.applied, unknown + min(sender.unknown, 1)]
    with serving(data) as server:
        client = server.client(key, "north")
        people = [client.properties_of(f"p{number}") or {} for number in range(5)]
        for name, (applied, unknown) in totals.items():  # the one under way may have been applied, no other
            assert applied <= sum(each.get(name, 0) for each in people) <= applied + unknown


@pytest.mark.parametrize("far_is_told", [True, False], ids=["both-ends", "the-api's-end"])
def test_an_answer_survives_that_the_network_between_them_is_cut(tmp_path, database, far_is_told):
    with proxied(database.socket) as proxy:
        data, key = data_on(tmp_path / "data", url_of_server(port=proxy.port))
        chance = random.Random(7)
        with serving(data) as server, sending(server, key) as senders:
            for _ in range(ROUNDS):
                wait_for_answers(senders)
                time.sleep(chance.random() / 10)
                proxy.cut(far_is_told=far_is_told)
                time.sleep(0.3)
                proxy.mend()
            wait_for_answers(senders)
            for sender in senders:
                sender.end()
            check(server, key, senders)
