"""The store port on a relational database: every statement of the product, in SQLAlchemy Core, a module a noun."""

from __future__ import annotations

import sqlalchemy as sa

from traitbase.services.ports import Cleared, WriteSession
from traitbase.store.accounts import AccountQueries
from traitbase.store.campaigns import CampaignQueries
from traitbase.store.changes import ChangeQueries
from traitbase.store.cohorts import CohortQueries
from traitbase.store.database import Database
from traitbase.store.definitions import DefinitionQueries
from traitbase.store.ledger import LedgerQueries
from traitbase.store.profiles import ProfileQueries
from traitbase.store.rewriting import RewritingQueries
from traitbase.store.snapshots import SnapshotQueries
from traitbase.store.statements import Statements
from traitbase.store.subscriptions import SubscriptionQueries
from traitbase.store.suppressions import SuppressionQueries
from traitbase.store.workspaces import WorkspaceQueries
from traitbase.store.writing import SqlWriteSession


class SqlStore(
    WorkspaceQueries,
    ProfileQueries,
    DefinitionQueries,
    ChangeQueries,
    RewritingQueries,
    SnapshotQueries,
    SuppressionQueries,
    SubscriptionQueries,
    CohortQueries,
    CampaignQueries,
    LedgerQueries,
    AccountQueries,
):
    """The store port on one database. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._compiled = Statements(database)

    @property
    def answers_at_once(self) -> bool:
        """Whether a small question takes less time than handing it to a thread."""
        return self._database.answers_at_once

    @property
    def is_distributed(self) -> bool:
        """Whether the rows are spread over several servers."""
        return self._database.is_distributed

    def open_session(self) -> WriteSession:
        """Return a new session for one writer."""
        return SqlWriteSession(self._database, self._compiled)

    def tidy(self) -> None:
        """Do the storage's own housekeeping, in the caller's thread."""
        self._database.tidy()

    def clear_traces(self, *, wait_seconds: float) -> Cleared:
        """See to it that nothing that was deleted can be read from the database's files any more."""
        return self._database.clear_traces(wait_seconds=wait_seconds)

    def compact(self) -> None:
        """Write the database's files anew, without what deleted data left in them."""
        self._database.rewrite()

    def check(self) -> None:
        """Raise Refused if the storage cannot be read or written to at the moment."""
        with self._database.reading() as connection:
            connection.execute(sa.select(sa.literal(1))).one()
        self._database.check()

    def close(self) -> None:
        """Close all connections."""
        self._database.close()
