"""A thousand `$set` a request: first writes and updates, beside what a bare SQLite table takes of the same rows."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bench import processes
from bench.ceiling import Ceiling
from bench.load import Plan
from bench.processes import Server
from bench.report import Line, Target, ratio
from bench.rounds import Rounds, tell

_PROFILES = 50_000
_WARM_UP_PROFILES = 4_000
_CONNECTIONS = (2, 4, 8)
_RATE = Target(">=", 25_000)
_SHARE = Target(">=", 0.3)


def rates(rounds: Rounds) -> Iterator[Line]:
    """Measure the rates, in turns, each time in fresh files."""
    connections = _best_connections(rounds)
    first, again, ceilings = [], [], []
    for number in rounds.named("batch"):
        seeds = (2 * number + 1, 2 * number + 2)
        ceilings.append(_ceiling(rounds, seeds))
        in_first, in_again = _ours(rounds, seeds, connections=connections)
        first.append(in_first)
        again.append(in_again)
    bare_first = [each.first for each in ceilings]
    bare_again = [each.again for each in ceilings]
    yield Line("batch", f"traitbase, new profiles ({connections} connections)", "items/s", first, _RATE)
    yield Line("batch", "SQLite, new rows", "rows/s", bare_first)
    yield ratio("batch", "traitbase / SQLite, new", first, bare_first, _SHARE)
    yield Line("batch", f"traitbase, known profiles ({connections} connections)", "items/s", again, _RATE)
    yield Line("batch", "SQLite, known rows", "rows/s", bare_again)
    yield ratio("batch", "traitbase / SQLite, known", again, bare_again, _SHARE)


def _best_connections(rounds: Rounds) -> int:
    """Return how many connections are fastest, by one round of each."""
    tell(f"batch: trying {', '.join(map(str, _CONNECTIONS))} connections")
    return max(_CONNECTIONS, key=lambda connections: sum(_ours(rounds, (1, 2), connections=connections)))


def _ours(rounds: Rounds, seeds: tuple[int, int], *, connections: int) -> tuple[float, float]:
    with rounds.fresh_folder() as data, processes.traitbase(data) as server:
        _send(server, profiles=_WARM_UP_PROFILES, seed=0, connections=connections, environment="test")
        first, again = (_send(server, profiles=_PROFILES, seed=seed, connections=connections) for seed in seeds)
    return first, again


def _send(server: Server, *, profiles: int, seed: int, connections: int, environment: str = "live") -> float:
    plan = Plan(
        address=msgspec.structs.replace(server.address, environment=environment),
        mode="once",
        endpoint="batch",
        connections=connections,
        profiles=profiles,
        seed=seed,
    )
    return profiles / server.load(plan).seconds


def _ceiling(rounds: Rounds, seeds: tuple[int, int]) -> Ceiling:
    with rounds.fresh_folder() as folder:
        file = str(folder / "ceiling.db")
        output = processes.run_module("bench.ceiling", file, str(_PROFILES), *map(str, seeds))
    return msgspec.json.decode(output, type=Ceiling)
