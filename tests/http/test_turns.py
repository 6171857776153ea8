"""However many wait to write or go through all profiles: others find a thread and a connection."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from support.data import sqlite_only
from support.server import Client, make_cast, serving
from traitbase.api.turns import Turns
from traitbase.bootstrap import DATABASE_FILE
from traitbase.domain.errors import Refused


def test_it_refuses_who_comes_beyond_and_lets_in_who_comes_later():
    turns = Turns(2, "at work")
    with turns.take():
        with turns.take(), pytest.raises(Refused, match="2 others are at work"), turns.take():
            pass
        with turns.take():
            pass
    with pytest.raises(ZeroDivisionError), turns.take():
        raise ZeroDivisionError
    with turns.take(), turns.take():
        pass


@sqlite_only
def test_readers_are_answered_while_many_wait_to_write(tmp_path):
    data = tmp_path / "data"
    cast = make_cast(data)
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        client.post("set", {"distinct_id": "u", "$set": {"a": 1}})
        answers: Counter[int] = Counter()

        def suppress(number: int) -> None:
            with closing(Client(server.port, cast.ada, "north")) as mine:
                body = {"distinct_id": f"u{number}", "channel": "sms"}
                answers[mine.call("POST", "/v1/north/suppressions", body).status] += 1

        with closing(sqlite3.connect(data / DATABASE_FILE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with ThreadPoolExecutor(60) as threads:
                everyone = threads.map(suppress, range(60))
                deadline = time.monotonic() + 10
                while answers[503] < 44 and time.monotonic() < deadline:
                    threading.Event().wait(0.05)
                assert answers == {503: 44}  # sixteen wait
                assert client.get("profiles/u").status == 200
                assert client.call("GET", "/healthz").status == 200
                other.execute("ROLLBACK")
                list(everyone)
        assert answers == {503: 44, 200: 16}
