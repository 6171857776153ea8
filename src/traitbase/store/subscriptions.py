"""Subscription settings in a relational database."""

from __future__ import annotations

import sqlalchemy as sa

from traitbase.domain.spaces import Space
from traitbase.store.database import Database, within
from traitbase.store.tables import subscription_settings


class SubscriptionQueries:
    """The part of the store port that deals with subscription settings."""

    _database: Database

    def find_subscription_settings(self, space: Space) -> str | None:
        """Return the JSON object of the space's sections and topics, None if there never was one."""
        query = sa.select(subscription_settings.c.document).where(within(subscription_settings, space))
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one_or_none()

    def put_subscription_settings(self, space: Space, document: str, *, at_us: int) -> None:
        """Replace it."""
        what = {"document": document, "updated_at_us": at_us}
        statement = self._database.insert(subscription_settings).values({**space._asdict(), **what})
        statement = statement.on_conflict_do_update(index_elements=list(Space._fields), set_=what)
        with self._database.writing() as connection:
            connection.execute(statement)
