"""Property definitions in a relational database."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa

from traitbase.domain.definitions import State
from traitbase.domain.spaces import Space
from traitbase.domain.values import Kind
from traitbase.services.ports import DefinitionRow
from traitbase.store.database import Database, within, within_bound
from traitbase.store.tables import definition_revisions, property_definitions, property_usage

_COLUMNS = [property_definitions.c[name] for name in DefinitionRow._fields]
_ALL = sa.select(*_COLUMNS).where(within_bound(property_definitions)).order_by(property_definitions.c.name)
_COUNTED = [property_usage.c[name] for name in ("name", "profiles", "ignored")]
_USAGE = sa.select(*_COUNTED).where(within_bound(property_usage))


class DefinitionQueries:
    """The part of the store port that reads property definitions."""

    _database: Database

    def get_definitions(self, space: Space) -> tuple[int, list[DefinitionRow]]:
        """Return the revision of the space's definitions (0: none yet) and the definitions in order of name."""
        with self._database.snapshot() as connection:  # one state for both
            query = sa.select(definition_revisions.c.revision).where(within(definition_revisions, space))
            revision = connection.execute(query).scalar_one_or_none() or 0
            return revision, read_definitions(connection, space)


def read_definitions(connection: sa.Connection, space: Space) -> list[DefinitionRow]:
    """Return the definitions in order of name, in a transaction that is open."""
    profiles: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
    for name, more_profiles, more_ignored in connection.execute(_USAGE, space._asdict()):
        profiles[name] += more_profiles
        ignored[name] += more_ignored
    rows = connection.execute(_ALL, space._asdict()).all()
    stored = (DefinitionRow(row[0], Kind(row[1]), State(row[2]), *row[3:]) for row in rows)
    return [
        row._replace(profiles=row.profiles + profiles[row.name], ignored=row.ignored + ignored[row.name])
        for row in stored
    ]
