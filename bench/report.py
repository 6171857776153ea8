"""The table: medians with their spread, and beside each figure that has a target whether it is reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal


@dataclass(frozen=True, slots=True)
class Target:
    """What a median should be."""

    sign: Literal[">=", "<=", "<"]
    limit: float

    def is_reached(self, value: float) -> bool:
        """Tell whether the value is as it should be."""
        match self.sign:
            case ">=":
                return value >= self.limit
            case "<=":
                return value <= self.limit
            case "<":
                return value < self.limit

    def __str__(self) -> str:
        return f"{self.sign} {_figure(self.limit)}"


@dataclass(frozen=True, slots=True)
class Line:
    """One figure, measured several times."""

    part: str
    what: str
    unit: str
    values: Sequence[float]
    target: Target | None = None

    @property
    def median(self) -> float:
        """The middle of the values."""
        return median(self.values)


def ratio(part: str, what: str, values: Sequence[float], of: Sequence[float], target: Target) -> Line:
    """Return the line of the ratios, run by run: what disturbed one run disturbed both sides of it."""
    return Line(part, what, "x", [value / base for value, base in zip(values, of, strict=True)], target)


def table(lines: Sequence[Line]) -> str:
    """Return the table as text."""
    rows = [("part", "what", "median", "unit", "spread", "target", "reached")]
    for line in lines:
        spread = f"{_figure(min(line.values))}..{_figure(max(line.values))}" if len(line.values) > 1 else ""
        target = reached = ""
        if line.target is not None:
            target, reached = str(line.target), "yes" if line.target.is_reached(line.median) else "NO"
        rows.append((line.part, line.what, _figure(line.median), line.unit, spread, target, reached))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(_justified(row, widths) for row in rows)


def _justified(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        text.rjust(width) if column == 2 else text.ljust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _figure(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
