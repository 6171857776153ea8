"""Start-up with many profiles: how long until ready, and how much memory is held."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench import processes
from bench.population import fill
from bench.report import Line, Target
from bench.rounds import Rounds, tell

_SETTLED_SECONDS = 1.0


def figures(rounds: Rounds) -> Iterator[Line]:
    """Measure start after start on the same data."""
    ready, resident = [], []
    with rounds.fresh_folder() as data:
        tell(f"startup: writing {rounds.rows:,} profiles")
        api_key = processes.make_workspace(data)
        fill(data, rounds.rows)
        with processes.traitbase(data, api_key=api_key) as server:
            tell("startup: waiting for the first copy for cohorts")
            server.until_cohorts_ready()  # it is made once; the starts that are measured find it
        for _ in rounds.named("startup"):
            with processes.traitbase(data, api_key=api_key) as server:
                ready.append(server.ready_seconds)
                time.sleep(_SETTLED_SECONDS)
                resident.append(server.resident_mb())
    with_profiles = f"with {rounds.rows:,} profiles"
    yield Line("startup", f"start to ready {with_profiles}", "s", ready, Target("<=", 3))
    yield Line("startup", f"resident memory {with_profiles}", "MB", resident, Target("<", 200))
