"""Copying everything from one relational database into another, so that outgrowing the default is one command.

Table by table, in order of their keys, in steps that are committed one by one. Each step is compared with what is there
already: what was copied before is left alone, and what is not as in the source is replaced. So a copy that was
interrupted goes on where it was, and one that is run again over a source that changed brings what changed. The last
round is done while nobody writes to the source: in it, the rows of both sides are counted and their checksums compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.errors import Refused
from traitbase.domain.values import decode_properties, written
from traitbase.store.database import Database
from traitbase.store.postgres import PostgresDatabase, Unfinished
from traitbase.store.tables import ONLY_ON, metadata, profiles

_ROWS_A_STEP = 5_000
_PATIENCE_SECONDS = 60.0
_encode = msgspec.json.Encoder(order="sorted").encode

COPIED_TABLES = [table for table in metadata.sorted_tables if table.name not in ONLY_ON]
"""What is copied: all but the feed, which begins anew."""

OnStep = Callable[[str, int], None]
"""Is told how many more rows of a table are as they should be."""


@dataclass(slots=True)
class TableCopied:
    """What became of a table: its rows, the checksum over them, and how many had to be written in this run."""

    name: str
    rows: int = 0
    copied: int = 0
    checksum: str = ""


@dataclass(slots=True)
class _Side:
    rows: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, lines: Sequence[bytes]) -> None:
        self.rows += len(lines)
        for line in lines:
            self.digest.update(line)


def count_rows(source: Database) -> int:
    """Return how many rows there are to copy."""
    with source.snapshot() as connection:
        return sum(connection.execute(sa.select(sa.func.count()).select_from(each)).scalar_one() for each in _tables())


def copy_everything(source: Database, target: PostgresDatabase, *, on_step: OnStep) -> list[TableCopied]:
    """Copy all tables, and verify them. `on_step` is told of every row twice: copied, then verified.

    Raises Refused if the target holds other data, or if both sides are not the same in the end.
    """
    _claim(target)
    copied: dict[str, int] = {}
    with source.snapshot() as reading:
        for table in _tables():
            copied[table.name] = _bring(reading, target, table, on_step).copied
    done = []
    with source.writing(wait_seconds=_PATIENCE_SECONDS) as reading:
        for table in _tables():
            result = _bring(reading, target, table, on_step)
            result.copied += copied[table.name]
            done.append(result)
    target.mark(None)
    return done


def _tables() -> list[sa.Table]:
    return COPIED_TABLES


def _claim(target: PostgresDatabase) -> None:
    """Raise Refused if there is something in the target that this is not to be mixed with."""
    what = target.unfinished()
    if what is Unfinished.COPY:
        return
    if what is not None:
        raise what.refusal(target.place)
    with target.reading() as connection:
        for table in _tables():
            if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
                message = (
                    f"{target.place} holds data already (in {table.name}): copy into an empty database; to begin a "
                    "copy anew that was finished, make the database anew"
                )
                raise Refused(message, code="target_not_empty")
    target.mark(Unfinished.COPY)


def _bring(reading: Connection, target: PostgresDatabase, table: sa.Table, on_step: OnStep) -> TableCopied:
    """Make a table of the target as it is in the source."""
    here, there = _Side(), _Side()
    copied = 0
    behind: tuple[Any, ...] | None = None
    for rows in _steps(reading, table):
        lines = [_line(table, row) for row in rows]
        last = _key(table, rows[-1])
        is_in_step = _between(table, behind, last)
        with target.writing() as connection:
            found = [_line(table, row) for row in connection.execute(_in_order(table).where(is_in_step))]
            if found != lines:
                connection.execute(sa.delete(table).where(is_in_step))
                _put(connection, table, rows)
                copied += len(rows)
                found = [_line(table, row) for row in connection.execute(_in_order(table).where(is_in_step))]
        here.add(lines)
        there.add(found)
        behind = last
        on_step(table.name, len(rows))
    with target.writing() as connection:
        connection.execute(sa.delete(table).where(_between(table, behind, None)))
        in_all = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    if (here.rows, here.digest.digest()) != (there.rows, there.digest.digest()) or in_all != here.rows:
        message = (
            f"{table.name} is not the same on both sides ({here.rows:,} rows in the source, {in_all:,} in "
            f"{target.place}): is a server writing to the new database already? Stop it, and run this again"
        )
        raise Refused(message, code="copies_differ")
    return TableCopied(str(table.name), here.rows, copied, here.digest.hexdigest()[:16])


def _steps(reading: Connection, table: sa.Table) -> Iterator[Sequence[sa.Row[Any]]]:
    found = reading.execution_options(yield_per=_ROWS_A_STEP).execute(_in_order(table))
    try:
        yield from found.partitions()
    finally:
        found.close()


def _in_order(table: sa.Table) -> sa.Select[Any]:
    return sa.select(*table.columns).order_by(*table.primary_key.columns)


def _between(table: sa.Table, behind: tuple[Any, ...] | None, last: tuple[Any, ...] | None) -> sa.ColumnElement[bool]:
    """Return the condition that a row's key is greater than one and not greater than another. None: no bound."""
    key = sa.tuple_(*table.primary_key.columns)
    conditions: list[sa.ColumnElement[bool]] = [sa.true()]
    if behind is not None:
        conditions.append(key > sa.tuple_(*map(sa.literal, behind)))
    if last is not None:
        conditions.append(key <= sa.tuple_(*map(sa.literal, last)))
    return sa.and_(*conditions)


def _key(table: sa.Table, row: sa.Row[Any]) -> tuple[Any, ...]:
    return tuple(row._mapping[column] for column in table.primary_key.columns)  # noqa: SLF001  # the documented accessor


def _put(connection: Connection, table: sa.Table, rows: Sequence[sa.Row[Any]]) -> None:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    cursor = connection.connection.cursor()
    with cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row(tuple(row))


def _line(table: sa.Table, row: sa.Row[Any]) -> bytes:
    """Return a row as it is compared: databases write the same JSON in different ways."""
    values = list(row)
    if table is profiles:
        at = list(profiles.c).index(profiles.c.document)
        values[at] = {name: _plain(value) for name, value in decode_properties(values[at]).items()}
    return _encode(values)


def _plain(value: Any) -> Any:  # a value of a property
    """Return a value so that equal ones are written alike: 1E-7 and 0.0000001, 10 and 1E+1."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    return written(value)
