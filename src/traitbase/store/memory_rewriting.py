"""Rewriting in memory: what is written is gathered, and done at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from traitbase.domain.spaces import Space
from traitbase.domain.values import decode_properties
from traitbase.services.ports import ChangeRow, DefinitionRow, IgnoredRow, KeptAsideRow, ProfileRow

if TYPE_CHECKING:
    from traitbase.store.memory import Tables


class MemoryRewriting:
    """See the port for what each method promises. Its maker holds other writers off, and calls `keep` or not."""

    def __init__(self, tables: Tables, space: Space) -> None:
        self._tables = tables
        self._space = space
        self._pending: list[Callable[[], object]] = []

    def keep(self) -> None:
        """Do all that was asked for."""
        for do in self._pending:
            do()

    def get_definitions(self) -> list[DefinitionRow]:
        return sorted(row for (owner, _), row in self._tables.definitions.items() if owner == self._space)

    def find_profiles(self, distinct_ids: Sequence[str]) -> list[ProfileRow]:
        found = (self._tables.profiles.get((*self._space, distinct_id)) for distinct_id in dict.fromkeys(distinct_ids))
        return [row for row in found if row is not None]

    def profiles_having(self, name: str, *, after: str, limit: int) -> list[ProfileRow]:
        mine = [row for row in self._tables.profiles.values() if row[:2] == self._space and row.alias_of is None]
        found = [row for row in mine if row.distinct_id > after and name in decode_properties(row.document)]
        return sorted(found, key=lambda row: row.distinct_id)[:limit]

    def kept_aside(self, name: str, *, after: str, limit: int) -> list[KeptAsideRow]:
        mine = [row for key, row in self._tables.kept_aside.items() if key[:3] == (*self._space, name)]
        return sorted((row for row in mine if row.distinct_id > after), key=lambda row: row.distinct_id)[:limit]

    def ignored_values(
        self, name: str, *, reasons: Sequence[str], after: tuple[str, int], limit: int
    ) -> list[IgnoredRow]:
        found = [row for row in self._ignored_of(name) if row.reason in reasons and row[3:5] > after]
        return sorted(found, key=lambda row: row[3:6])[:limit]

    def changes_since(self, name: str, distinct_ids: Sequence[str], request_id: str) -> Iterator[ChangeRow]:
        del name  # all of them may have written it
        for (space, _), rows in self._tables.changes.items():
            if space == self._space:
                yield from (row for row in rows if row.distinct_id in distinct_ids and row.request_id >= request_id)

    def put_profiles(self, rows: Sequence[ProfileRow]) -> None:
        for row in rows:
            assert self._tables.profiles[row[:3]].revision == row.revision - 1, "one revision above the stored one"
        self._pending.append(lambda: self._tables.profiles.update({row[:3]: row for row in rows}))
        self.touch([row.distinct_id for row in rows])

    def touch(self, distinct_ids: Sequence[str]) -> None:
        if distinct_ids:
            self._pending.append(lambda: self._tables.cohorts.fed(self._space, distinct_ids))

    def put_definition(self, row: DefinitionRow) -> None:
        self._pending.append(lambda: self._tables.definitions.update({(self._space, row.name): row}))

    def delete_definition(self, name: str) -> None:
        self._pending.append(lambda: self._tables.definitions.pop((self._space, name), None))

    def move_definitions(self) -> None:
        def move() -> None:
            self._tables.revisions[self._space] = self._tables.revisions.get(self._space, 0) + 1

        self._pending.append(move)

    def put_kept_aside(self, rows: Sequence[KeptAsideRow]) -> None:
        self._pending.append(lambda: self._tables.kept_aside.update({row[:4]: row for row in rows}))

    def delete_kept_aside(self, name: str, distinct_ids: Sequence[str] | None = None) -> int:
        rows = self._tables.kept_aside
        mine = [key for key in rows if key[:3] == (*self._space, name)]
        gone = [key for key in mine if distinct_ids is None or key[3] in distinct_ids]
        self._pending.append(lambda: [rows.pop(key, None) for key in gone])
        return len(gone)

    def delete_ignored_values(self, name: str, rows: Sequence[IgnoredRow] | None = None) -> int:
        gone = set(self._ignored_of(name) if rows is None else rows)

        def delete() -> None:
            self._tables.ignored_values = [row for row in self._tables.ignored_values if row not in gone]

        self._pending.append(delete)
        return len(gone)

    def count_ignored_values(self, name: str, *, reasons: Sequence[str]) -> int:
        return sum(row.reason in reasons for row in self._ignored_of(name))

    def add_changes(self, rows: Sequence[ChangeRow]) -> None:
        def add() -> None:
            for row in rows:
                self._tables.changes.setdefault((self._space, row.request_id), []).append(row)

        self._pending.append(add)

    def _ignored_of(self, name: str) -> list[IgnoredRow]:
        return [row for row in self._tables.ignored_values if row[:3] == (*self._space, name)]
