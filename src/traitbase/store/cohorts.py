"""Cohorts in a relational database: what they are, and who is in the static ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.cohorts import CohortKind, MemberMode
from traitbase.domain.errors import Conflict, InvalidInput, NotFound
from traitbase.domain.spaces import Space
from traitbase.services.ports import CohortCheck, CohortRow, MembersChanged
from traitbase.store.database import Database, within, within_bound
from traitbase.store.statements import Statements
from traitbase.store.tables import cohort_members, cohorts, profiles

_COLUMNS = [cohorts.c[name] for name in CohortRow._fields]
_ALL = sa.select(*_COLUMNS).where(within_bound(cohorts)).order_by(cohorts.c.name)
_UNKNOWN_SHOWN = 100


class CohortQueries:
    """The part of the store port that deals with cohorts, and with the feed's length."""

    _database: Database
    _compiled: Statements

    def add_cohort(
        self, space: Space, row: CohortRow, *, check: CohortCheck, members: Sequence[str] = ()
    ) -> MembersChanged | None:
        """Store a new cohort, a static one with its members. See the port for what it returns and raises."""
        with self._database.writing() as connection:
            self._database.pass_alone(connection, space)
            every = read_cohorts(connection, space)
            _check_name(every, row)
            check(every)
            connection.execute(sa.insert(cohorts).values(**space._asdict(), **_values(row)))
            if not members:
                return None
            return self._change_members(connection, space, row.cohort_id, MemberMode.ADD, members)

    def find_cohort(self, space: Space, cohort_id: str) -> CohortRow | None:
        """Return the cohort, or None."""
        with self._database.reading() as connection:
            return _find(connection, space, cohort_id)

    def list_cohorts(self, space: Space) -> list[CohortRow]:
        """Return the space's cohorts in order of name."""
        with self._database.reading() as connection:
            return read_cohorts(connection, space)

    def put_cohort(self, space: Space, row: CohortRow, *, check: CohortCheck) -> None:
        """Replace a cohort by its next revision. See the port for what it raises."""
        with self._database.writing() as connection:
            self._database.pass_alone(connection, space)
            every = read_cohorts(connection, space)
            stored = next((each for each in every if each.cohort_id == row.cohort_id), None)
            if stored is None:
                raise _gone(row.cohort_id)
            if stored.revision != row.revision - 1:
                raise Conflict("the cohort was changed meanwhile: read it again", code="lost_race")
            _check_name(every, row)
            check(every)
            connection.execute(sa.update(cohorts).where(_is(space, row.cohort_id)).values(_values(row)))

    def delete_cohort(self, space: Space, cohort_id: str, *, check: CohortCheck) -> bool:
        """Delete a cohort and its list of members. False if there is none."""
        with self._database.writing() as connection:
            self._database.pass_alone(connection, space)
            every = read_cohorts(connection, space)
            if all(each.cohort_id != cohort_id for each in every):
                return False
            check(every)
            connection.execute(sa.delete(cohorts).where(_is(space, cohort_id)))
            connection.execute(sa.delete(cohort_members).where(_are_of(space, cohort_id)))
            self._compiled.feeding.feed(connection, space, (), cohort_id=cohort_id)
            return True

    def note_count(self, space: Space, cohort_id: str, *, count: int, at_us: int) -> None:
        """Record how many were in a cohort."""
        counted = sa.update(cohorts).where(_is(space, cohort_id)).values(last_count=count, last_counted_at_us=at_us)
        with self._database.writing() as connection:
            connection.execute(counted)

    def change_members(
        self, space: Space, cohort_id: str, mode: MemberMode, distinct_ids: Sequence[str]
    ) -> MembersChanged:
        """Change the members of a static cohort, all at once. See the port for what it raises."""
        with self._database.writing() as connection:
            self._database.make_roomy(connection)
            try:
                self._database.pass_alone(connection, space)
                return self._change_members(connection, space, cohort_id, mode, distinct_ids)
            finally:
                self._database.make_small(connection)

    def list_members(self, space: Space, cohort_id: str, *, after: str, limit: int) -> list[str]:
        """Return up to `limit` members of a static cohort behind the id `after`, in order of distinct_id."""
        is_behind = cohort_members.c.distinct_id > after
        query = sa.select(cohort_members.c.distinct_id).where(_are_of(space, cohort_id), is_behind)
        with self._database.reading() as connection:
            found = connection.execute(query.order_by(cohort_members.c.distinct_id).limit(limit))
            return list(found.scalars())

    def count_members(self, space: Space, cohort_id: str) -> int:
        """Return how many members a static cohort has."""
        with self._database.reading() as connection:
            return _count(connection, space, cohort_id)

    def trim_feed(self, *, keep: int) -> int:
        """Delete rows of the feed that are more than that many ids behind its end. Returns how many rows."""
        return self._compiled.feeding.trim(self._database, keep=keep)

    def _change_members(
        self, connection: Connection, space: Space, cohort_id: str, mode: MemberMode, distinct_ids: Sequence[str]
    ) -> MembersChanged:
        row = _find(connection, space, cohort_id)
        if row is None:
            raise _gone(cohort_id)
        if row.kind is not CohortKind.STATIC:
            message = f"the cohort {row.name!r} goes by its rule: freeze it into a static one to change its members"
            raise InvalidInput(message, code="cohort_is_dynamic")
        known = self._resolve(connection, space, list(dict.fromkeys(distinct_ids)))
        unknown = [each for each in dict.fromkeys(distinct_ids) if each not in known]
        meant = set(known.values())
        before = self._members_among(connection, space, cohort_id, None if mode is MemberMode.REPLACE else meant)
        added = [] if mode is MemberMode.REMOVE else sorted(meant - before)
        removed = sorted({MemberMode.ADD: set(), MemberMode.REPLACE: before - meant, MemberMode.REMOVE: before}[mode])
        if removed:
            is_named, pass_list = self._database.any_of(cohort_members.c.distinct_id)
            statement = sa.delete(cohort_members).where(_are_of(space, cohort_id), is_named)
            connection.execute(statement, {"values": pass_list(removed)})
        self._compiled.add_members(connection, [(*space, cohort_id, each) for each in added])
        if added or removed:
            self._compiled.feeding.feed(connection, space, [*removed, *added], cohort_id=cohort_id)
        count = _count(connection, space, cohort_id)
        return MembersChanged(len(added), len(removed), tuple(unknown[:_UNKNOWN_SHOWN]), len(unknown), count)

    def _resolve(self, connection: Connection, space: Space, distinct_ids: Sequence[str]) -> dict[str, str]:
        """Return for each id that is a profile or leads to one the profile's."""
        is_named, pass_list = self._database.any_of(profiles.c.distinct_id)
        query = sa.select(profiles.c.distinct_id, profiles.c.alias_of).where(within(profiles, space), is_named)
        found = connection.execute(query, {"values": pass_list(distinct_ids)})
        return {distinct_id: distinct_id if alias_of is None else alias_of for distinct_id, alias_of in found}

    def _members_among(
        self, connection: Connection, space: Space, cohort_id: str, distinct_ids: set[str] | None
    ) -> set[str]:
        query = sa.select(cohort_members.c.distinct_id).where(_are_of(space, cohort_id))
        if distinct_ids is None:
            return set(connection.execute(query).scalars())
        is_named, pass_list = self._database.any_of(cohort_members.c.distinct_id)
        return set(connection.execute(query.where(is_named), {"values": pass_list(sorted(distinct_ids))}).scalars())


def read_cohorts(connection: Connection, space: Space) -> list[CohortRow]:
    """Return a space's cohorts in order of name."""
    return [_row(row) for row in connection.execute(_ALL, space._asdict())]


def _find(connection: Connection, space: Space, cohort_id: str) -> CohortRow | None:
    row = connection.execute(sa.select(*_COLUMNS).where(_is(space, cohort_id))).one_or_none()
    return None if row is None else _row(row)


def _row(row: Any) -> CohortRow:
    found = CohortRow(*row)
    return found._replace(kind=CohortKind(found.kind))


def _values(row: CohortRow) -> dict[str, Any]:
    return {**row._asdict(), "kind": row.kind.value}


def _is(space: Space, cohort_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(within(cohorts, space), cohorts.c.cohort_id == cohort_id)


def _are_of(space: Space, cohort_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(within(cohort_members, space), cohort_members.c.cohort_id == cohort_id)


def _count(connection: Connection, space: Space, cohort_id: str) -> int:
    query = sa.select(sa.func.count()).select_from(cohort_members).where(_are_of(space, cohort_id))
    return connection.execute(query).scalar_one()


def _check_name(every: Sequence[CohortRow], row: CohortRow) -> None:
    if any(each.name == row.name and each.cohort_id != row.cohort_id for each in every):
        message = f"there is a cohort named {row.name!r} already; choose another name"
        raise Conflict(message, code="cohort_exists")


def _gone(cohort_id: str) -> NotFound:
    return NotFound(f"there is no cohort {cohort_id!r} here", code="cohort_not_found")
