"""Import of a Parquet file: how long it takes, and that memory does not grow with the file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb

from bench import processes
from bench.processes import Broken
from bench.report import Line, Target
from bench.rounds import Rounds, tell
from bench.traffic import WORKSPACE_ID

_ROUNDS_MAX = 3
_SAMPLE_SECONDS = 0.1
_SECONDS_MAX = 900.0
_COLUMNS = 10

# One id and nine properties: texts, whole numbers, amounts, days, instants, yes and no; some of them missing.
_ROWS = """
    SELECT
        printf('customer-%08d', i) AS distinct_id,
        ['Berlin', 'Pune', 'São Paulo', 'Osaka', 'Nairobi'][1 + i % 5] AS city,
        ['free', 'starter', 'pro', 'enterprise'][1 + i % 4] AS plan,
        printf('customer%d@example.com', i) AS email,
        (i * 7919) % 5000 AS logins,
        CAST((i * 104729) % 10000000 AS DECIMAL(12, 2)) / 100 AS total_spent,
        DATE '2020-01-01' + CAST(i % 2000 AS INTEGER) AS signed_up_on,
        TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_seconds(i % 20000000) AS last_seen_at,
        i % 3 = 0 AS newsletter,
        CASE WHEN i % 4 = 0 THEN NULL ELSE i % 101 END AS score
    FROM range({rows}) AS numbers(i)"""


class _Run(NamedTuple):
    seconds: float
    quarter_mb: float
    end_mb: float
    peak_mb: float


def figures(rounds: Rounds) -> Iterator[Line]:
    """Measure imports of one file into fresh data folders; nothing if this Traitbase cannot import yet."""
    if not processes.traitbase_has("import"):
        tell("import: skipped, there is no `traitbase import` yet")
        return
    file = rounds.folder / "people.parquet"
    _make_file(file, rounds.rows)
    runs = []
    for _ in rounds.named("import", min(rounds.count, _ROUNDS_MAX)):
        with rounds.fresh_folder() as data:
            runs.append(_import(file, data))
    what = f"{rounds.rows:,} rows of {_COLUMNS} columns"
    yield Line("import", what, "s", [run.seconds for run in runs], Target("<=", 60))
    yield Line("import", "rows", "rows/s", [rounds.rows / run.seconds for run in runs])
    yield Line("import", "peak resident memory", "MB", [run.peak_mb for run in runs])
    yield Line("import", "resident memory at 25 % of the time", "MB", [run.quarter_mb for run in runs])
    yield Line("import", "resident memory at the end", "MB", [run.end_mb for run in runs])


def _make_file(file: Path, rows: int) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY ({_ROWS.format(rows=rows)}) TO '{file}' (FORMAT parquet)")


def _import(file: Path, data: Path) -> _Run:
    processes.make_workspace(data)
    arguments = ("--workspace", WORKSPACE_ID, "--environment", "live", "--data", str(data), "--yes")
    samples = []
    peak = 0.0
    began = time.perf_counter()
    with processes.traitbase_command("import", str(file), *arguments) as process:
        while process.poll() is None:
            resident = processes.resident_mb(process.pid)
            if resident:
                samples.append(resident)
                peak = max(peak, processes.resident_mb(process.pid, peak=True))
            if time.perf_counter() - began > _SECONDS_MAX:
                raise Broken(f"the import took more than {_SECONDS_MAX:g} s")
            time.sleep(_SAMPLE_SECONDS)
        seconds = time.perf_counter() - began
    if process.returncode:
        raise Broken(f"traitbase import failed with status {process.returncode}")
    return _Run(seconds, samples[len(samples) // 4], samples[-1], peak)
