"""Several servers on one PostgreSQL: they agree on everything, exactly."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter

import pytest

from support.data import once, open_store
from support.postgres import fresh_database
from support.server import Client, make_cast, serving
from traitbase import bootstrap
from traitbase.domain.keys import Scope

pytestmark = once

SERVERS = 4
CONNECTIONS = 8
SECONDS = 60
PROFILES = 100
NAMES = 20


class Hammer(threading.Thread):
    """Adds to profiles picked at random, and brings new properties: half of the hammers as text, half as numbers."""

    def __init__(self, port: int, key: str, number: int, until: float) -> None:
        super().__init__()
        self.added: Counter[tuple[str, str]] = Counter()
        self.failed: list[object] = []
        self._port, self._key, self._number, self._until = port, key, number, until

    def run(self) -> None:
        chance = random.Random(self._number)
        with contextlib.closing(Client(self._port, self._key, "north")) as client:
            while time.monotonic() < self._until:
                who, name = f"p{chance.randrange(PROFILES)}", f"n{chance.randrange(NAMES)}"
                answer = client.post("numerical-add", {"distinct_id": who, "$add": {name: 1, "total": 1}})
                if answer.status == 202:
                    self.added[who, name] += 1
                    self.added[who, "total"] += 1
                else:
                    self.failed.append(answer)
                value = self._number if self._number % 2 else str(self._number)
                answer = client.post("set", {"distinct_id": who, "$set": {f"m{chance.randrange(NAMES)}": value}})
                if answer.status != 202:
                    self.failed.append(answer)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    with fresh_database() as url:
        (folder / "traitbase.toml").write_text(f'database_url = "{url}"\n')
        yield folder


def test_four_servers_hammered_for_a_minute_count_exactly_and_define_each_property_once(data):
    key = make_cast(data).ada
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(serving(data)) for _ in range(SERVERS)]
        until = time.monotonic() + SECONDS
        hammers = [
            Hammer(server.port, key, at * CONNECTIONS + number, until)
            for at, server in enumerate(servers)
            for number in range(CONNECTIONS)
        ]
        for hammer in hammers:
            hammer.start()
        for hammer in hammers:
            hammer.join()
        assert [answer for hammer in hammers for answer in hammer.failed] == []
        added = sum((hammer.added for hammer in hammers), Counter())
        for server in servers:  # each has seen only a part of it
            client = server.client(key, "north")
            people = {f"p{number}": client.properties_of(f"p{number}") for number in range(PROFILES)}
            counted = {(who, name): people[who].get(name, 0) for who in people for name in (*names("n"), "total")}
            assert {place: count for place, count in counted.items() if count} == dict(added)
            kinds = {each["name"]: each["type"] for each in client.get("properties").json["items"]}
            assert sorted(kinds) == sorted([*names("n"), *names("m"), "total"])
            assert all(kinds[name] == "number" for name in (*names("n"), "total"))
            for name in names("m"):
                expected = {"number": int, "string": str}[kinds[name]]
                assert {type(each[name]) for each in people.values() if name in each} <= {expected}
            having = {each["name"]: each["profiles"] for each in client.get("properties").json["items"]}
            assert having == {name: sum(name in each for each in people.values()) for name in kinds}


def names(letter: str) -> list[str]:
    return [f"{letter}{number}" for number in range(NAMES)]


def test_a_revoked_key_is_refused_by_every_server_within_five_seconds(data):
    key = make_cast(data).ada
    with serving(data) as first, serving(data) as second, contextlib.closing(open_store(data)) as store:
        clients = [server.client(key, "north") for server in (first, second)]
        for client in clients:
            assert client.post("set", {"distinct_id": "u", "$set": {"a": 1}}).status == 202
        (key_id,) = [each.key_id for each, _ in store.list_api_keys("north") if each.scope is Scope.ADMIN]
        assert store.revoke_api_key(key_id, at_us=bootstrap.now_us())
        deadline = time.monotonic() + 5
        for client in clients:
            while client.post("set", {"distinct_id": "u", "$set": {"a": 1}}).status != 401:
                assert time.monotonic() < deadline
                time.sleep(0.05)
