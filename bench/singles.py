"""One `$set` a request: its peak rate beside an echo and a do-it-yourself service, and its latency at half of that."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from bench import processes
from bench.load import Plan, Result
from bench.processes import Server
from bench.report import Line, Target, ratio
from bench.rounds import Rounds, tell

CONNECTIONS = 64
_PROFILES = 20_000
_PEAK_ROUNDS = 3


def rates(rounds: Rounds) -> Iterator[Line]:
    """Measure the peak rates, in turns."""
    ours, echoed, diy = [], [], []
    with (
        rounds.fresh_folder() as folder,
        processes.echo() as echo,
        processes.traitbase(folder) as traitbase,
        processes.do_it_yourself(folder) as other,
    ):
        _introduce_everybody(traitbase)
        for server in (echo, traitbase, other):
            _peak(server, rounds, seed=0)
        for number in rounds.named("set"):
            for server, results in ((echo, echoed), (traitbase, ours), (other, diy)):
                results.append(_peak(server, rounds, seed=number + 1))
    yield Line("set", "raw ASGI echo", "requests/s", _rates(echoed))
    yield Line("set", "traitbase", "requests/s", _rates(ours))
    yield Line("set", "FastAPI + SQLAlchemy", "requests/s", _rates(diy))
    yield ratio("set", "traitbase / echo", _rates(ours), _rates(echoed), Target(">=", 0.35))
    yield ratio("set", "traitbase / FastAPI + SQLAlchemy", _rates(ours), _rates(diy), Target(">=", 5))
    share = max(result.processor_share for result in echoed)
    if share > 0.9:
        tell(f"set: the load generator was busy for {share:.0%} of the echo's time; the echo may be faster than shown")


def latencies(rounds: Rounds, *, peak: float | None) -> Iterator[Line]:
    """Measure how long requests take at half the peak rate, from the moment each was due."""
    results = []
    with rounds.fresh_folder() as data, processes.traitbase(data) as server:
        _introduce_everybody(server)
        _peak(server, rounds, seed=0)
        if peak is None:
            tell("latency: finding the peak rate first")
            peak = median(_peak(server, rounds, seed=seed).rate for seed in range(1, _PEAK_ROUNDS + 1))
        rate = peak / 2
        for number in rounds.named("latency"):
            plan = _plan(server, mode="open", seed=100 + number)
            plan.rate, plan.seconds = rate, rounds.latency_seconds
            results.append(server.load(plan))
    at = f"at {rate:,.0f} requests/s"
    yield Line("latency", f"50th percentile {at}", "ms", [result.p50_ms for result in results])
    yield Line("latency", f"99th percentile {at}", "ms", [result.p99_ms for result in results], Target("<=", 20))


def _introduce_everybody(server: Server) -> None:
    """Send one update for every profile: a running system knows most of the people it hears of."""
    plan = _plan(server, mode="once", seed=0)
    plan.endpoint, plan.connections = "batch", 4
    server.load(plan)


def _peak(server: Server, rounds: Rounds, *, seed: int) -> Result:
    plan = _plan(server, mode="closed", seed=seed)
    plan.seconds = rounds.seconds
    return server.load(plan)


def _plan(server: Server, *, mode: str, seed: int) -> Plan:
    return Plan(
        address=server.address,
        mode=mode,
        endpoint="set",
        connections=CONNECTIONS,
        profiles=_PROFILES,
        seed=seed,
    )


def _rates(results: list[Result]) -> list[float]:
    return [result.rate for result in results]
