"""`python -m bench`: measures the parts asked for and prints one table. A target that is missed is no failure."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import batches, campaigns, cohorts, console, importing, listing, postgres, singles, startup
from bench.processes import Broken
from bench.report import Line, table
from bench.rounds import Rounds

_PARTS = (
    "set",
    "batch",
    "latency",
    "startup",
    "import",
    "listing",
    "cohorts",
    "console",
    "campaigns",
    "postgres",
    "pushdown",
)


def main() -> int:
    options = _parse()
    busy_with = f"load average before: {os.getloadavg()[0]:.1f}"
    with tempfile.TemporaryDirectory(prefix="traitbase-bench-", dir=options.dir) as folder:
        rounds = Rounds(
            folder=Path(folder),
            count=1 if options.quick else options.rounds,
            seconds=1.5 if options.quick else 3.0,
            latency_seconds=10.0,
            rows=options.rows,
        )
        lines: list[Line] = []
        broken = None
        try:
            lines.extend(_measure(options.only, rounds))  # what came before a failure stays
        except Broken as error:
            broken = error
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors, medians of {rounds.count}; {busy_with}")
    print(table(lines))
    if broken is not None:
        print(f"error: {broken}", file=sys.stderr)
        return 1
    return 0


def _measure(parts: list[str], rounds: Rounds) -> Iterator[Line]:
    peak = None
    if "set" in parts:
        lines = list(singles.rates(rounds))
        peak = next(line.median for line in lines if line.what == "traitbase")
        yield from lines
    if "batch" in parts:
        yield from batches.rates(rounds)
    if "latency" in parts:
        yield from singles.latencies(rounds, peak=peak)
    for part, figures in _OTHERS.items():
        if part in parts:
            yield from figures(rounds)


_OTHERS = {
    "startup": startup.figures,
    "import": importing.figures,
    "listing": listing.figures,
    "cohorts": cohorts.figures,
    "console": console.figures,
    "campaigns": campaigns.figures,
    "postgres": postgres.rates,
    "pushdown": postgres.counts,
}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", type=_parts, default=list(_PARTS), help=f"parts, with commas: {','.join(_PARTS)}")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (default: 5)")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument(
        "--rows",
        type=int,
        default=1_000_000,
        help="profiles for start-up, import, listing and cohorts (default: 1000000)",
    )
    parser.add_argument("--dir", help="a folder on the disk to measure; default: that of temporary files")
    return parser.parse_args()


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    unknown = set(parts) - set(_PARTS)
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    return parts


if __name__ == "__main__":
    sys.exit(main())
