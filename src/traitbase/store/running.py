"""Running statements on the driver's own cursor, each compiled once: for what every group of the writer does.

Compiling a statement and processing its parameters each time took longer than the database did; SQLAlchemy's own cursor
takes 30 µs more, for each of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.store.database import Database


class Preparing:
    """Compiles statements for a database's dialect. Values are passed in the order in which their places stand."""

    def __init__(self, database: Database) -> None:
        self._dialect = database.engine.dialect
        self._number = database.number

    def compile(self, statement: Any) -> str:  # selects and inserts of any dialect
        """Return the text of a statement whose values are `bindparam`s."""
        return self._number(str(statement.compile(dialect=self._dialect)))

    def compile_insert(self, statement: Any, names: Iterable[str]) -> str:
        """Return the text of an INSERT of these columns."""
        return self._number(str(statement.compile(dialect=self._dialect, column_keys=list(names))))

    def many_rows(self, insert: str) -> ManyRows:
        """Return a compiled INSERT of one row as one of many."""
        return ManyRows(insert, number=self._number)

    def many_rows_of(self, statement: sa.Insert, names: Iterable[str]) -> ManyRows:
        """Return an INSERT of these columns, for many rows at a time."""
        return self.many_rows(self.compile_insert(statement, names))


class Inserting(Protocol):
    """Inserts rows."""

    def execute(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert all rows and return how many. A row that is there already is left out, or a lost race."""


class ManyRows:
    """A statement with one row of VALUES, executed for many rows at a time.

    A driver's `executemany` comes back to Python after every row. In a thread beside a busy event loop that means
    waiting for the interpreter a thousand times for a thousand rows (measured: 1.4 s); one statement with a thousand
    rows waits once (18 ms). The sizes are few, so that each is compiled by the database once.
    """

    _SMALL = 64
    _SIZES = (1024, 512, 256, 128, _SMALL)

    def __init__(self, statement: str, *, number: Callable[[str], str]) -> None:
        start = statement.index("VALUES (") + len("VALUES ")
        end = statement.index(")", start) + 1
        self._before, self._row, self._after = statement[:start], statement[start:end], statement[end:]
        self._number = number
        self._texts: dict[int, str] = {}

    def execute(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Execute for all rows and return how many rows of the table it changed."""
        return sum(cursor.rowcount for cursor in self._cursors(connection, rows))

    def fetch(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Execute for all rows and return what the statement is RETURNING."""
        return [row for cursor in self._cursors(connection, rows) for row in cursor.fetchall()]

    def _cursors(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> Iterable[Any]:
        done = 0
        while done < len(rows):
            left = len(rows) - done
            size = left if left <= self._SMALL else next(size for size in self._SIZES if size <= left)
            yield run(connection, self._text(size), tuple(itertools.chain.from_iterable(rows[done : done + size])))
            done += size

    def _text(self, size: int) -> str:
        text = self._texts.get(size)
        if text is None:
            text = self._number(self._before + ", ".join([self._row] * size) + self._after)
            self._texts[size] = text
        return text


def run(connection: Connection, statement: str, values: tuple[Any, ...]) -> Any:
    """Execute a compiled statement and return the driver's cursor."""
    cursor = connection.connection.cursor()
    cursor.execute(statement, values)
    return cursor


def run_each(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Execute a compiled statement for each of the rows and return how many rows of the table all of that changed."""
    if not rows:
        return 0
    cursor = connection.connection.cursor()
    cursor.executemany(statement, rows)
    return int(cursor.rowcount)
