"""Integrations, events, campaigns and their audiences' files in a relational database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.campaigns import CampaignState
from traitbase.domain.errors import Conflict
from traitbase.domain.spaces import Space
from traitbase.services.campaigns.ports import AudienceRow, CampaignRow, EventRow, IntegrationRow, SandboxRow
from traitbase.store.database import Database, within
from traitbase.store.statements import Statements
from traitbase.store.tables import audience_rows, campaigns, integrations, notification_events, sandbox_messages

_Row = TypeVar("_Row", IntegrationRow, EventRow)
_AUDIENCE_STEP = 2_000


class Noun(NamedTuple):
    """A table of things with a name, and what one of them is called."""

    table: sa.Table
    key: str
    word: str
    article: str = "a"


_INTEGRATIONS = Noun(integrations, "integration_id", "integration", "an")
CAMPAIGNS = Noun(campaigns, "campaign_id", "campaign")
_EVENTS = Noun(notification_events, "event_id", "event", "an")
CAMPAIGN_COLUMNS = [campaigns.c[name] for name in CampaignRow._fields]
_SANDBOX_COLUMNS = [sandbox_messages.c[name] for name in SandboxRow._fields]
_AUDIENCE_COLUMNS = [audience_rows.c[name] for name in AudienceRow._fields]


class CampaignQueries:
    """The part of the store port that deals with what campaigns are made of."""

    _database: Database
    _compiled: Statements

    def list_integrations(self, space: Space) -> list[IntegrationRow]:
        """Return the space's integrations in order of name."""
        return self._list(space, _INTEGRATIONS, IntegrationRow)

    def find_integration(self, space: Space, integration_id: str) -> IntegrationRow | None:
        """Return an integration, or None."""
        return self._find(space, _INTEGRATIONS, IntegrationRow, integrations.c.integration_id == integration_id)

    def find_integration_anywhere(self, integration_id: str) -> tuple[Space, IntegrationRow] | None:
        """Return an integration and its space; None if there is none, or several with that id."""
        columns = [integrations.c[name] for name in (*Space._fields, *IntegrationRow._fields)]
        query = sa.select(*columns).where(integrations.c.integration_id == integration_id).limit(2)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return (Space(*rows[0][:2]), IntegrationRow._make(rows[0][2:])) if len(rows) == 1 else None

    def save_integration(self, space: Space, row: IntegrationRow) -> None:
        """Store an integration. See the port for what it raises."""
        self._save(space, _INTEGRATIONS, row)

    def delete_integration(self, space: Space, integration_id: str) -> bool:
        """Delete an integration. False if there is none."""
        return self._delete(space, _INTEGRATIONS, integration_id)

    def list_events(self, space: Space) -> list[EventRow]:
        """Return the space's events in order of name."""
        return self._list(space, _EVENTS, EventRow)

    def find_event(self, space: Space, event_id: str) -> EventRow | None:
        """Return an event, or None."""
        return self._find(space, _EVENTS, EventRow, notification_events.c.event_id == event_id)

    def find_event_named(self, space: Space, name: str) -> EventRow | None:
        """Return the event of a name, or None."""
        return self._find(space, _EVENTS, EventRow, notification_events.c.name == name)

    def save_event(self, space: Space, row: EventRow) -> None:
        """Store an event. See the port for what it raises."""
        self._save(space, _EVENTS, row)

    def delete_event(self, space: Space, event_id: str) -> bool:
        """Delete an event. False if there is none."""
        return self._delete(space, _EVENTS, event_id)

    def list_campaigns(self, space: Space) -> list[CampaignRow]:
        """Return the space's campaigns, the newest first."""
        order = (campaigns.c.created_at_us.desc(), campaigns.c.campaign_id)
        query = sa.select(*CAMPAIGN_COLUMNS).where(within(campaigns, space)).order_by(*order)
        with self._database.reading() as connection:
            return [campaign_row(row) for row in connection.execute(query)]

    def find_campaign(self, space: Space, campaign_id: str) -> CampaignRow | None:
        """Return a campaign, or None."""
        query = sa.select(*CAMPAIGN_COLUMNS).where(within(campaigns, space), campaigns.c.campaign_id == campaign_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else campaign_row(row)

    def find_due_campaigns(self, *, now_us: int, limit: int) -> list[tuple[Space, CampaignRow]]:
        """Return campaigns whose next run is due and that nothing holds, the longest due first."""
        query = (
            sa.select(campaigns.c.workspace_id, campaigns.c.environment, *CAMPAIGN_COLUMNS)
            .where(
                campaigns.c.next_at_us <= now_us,
                campaigns.c.state == CampaignState.SCHEDULED.value,
                campaigns.c.held.is_(None),
            )
            .order_by(campaigns.c.next_at_us)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [(Space(*row[:2]), campaign_row(row[2:])) for row in connection.execute(query)]

    def add_audience(self, space: Space, file_id: str, rows: Sequence[AudienceRow]) -> list[str]:
        """Store rows of a file; return the ids of those that are there already, which are left out."""
        own = {**space._asdict(), "file_id": file_id}
        first = {row.distinct_id: row for row in reversed(rows)}
        is_one, pass_list = self._database.any_of(audience_rows.c.distinct_id)
        there = sa.select(audience_rows.c.distinct_id).where(_of_file(space, file_id), is_one)
        with self._database.writing() as connection:
            found = set(connection.execute(there, {"values": pass_list(list(first))}).scalars())
            new = [{**own, **row._asdict()} for row in first.values() if row.distinct_id not in found]
            if new:
                connection.execute(sa.insert(audience_rows), new)
        seen: set[str] = set(found)
        twice = []
        for row in rows:
            if row.distinct_id in seen:
                twice.append(row.distinct_id)
            seen.add(row.distinct_id)
        return twice

    def read_audience(self, space: Space, file_id: str) -> Iterator[Sequence[AudienceRow]]:
        """Yield the rows of a file in order of their ids, some thousand at a time. They do not change once stored."""
        after = ""
        while True:
            query = (
                sa.select(*_AUDIENCE_COLUMNS)
                .where(_of_file(space, file_id), audience_rows.c.distinct_id > after)
                .order_by(audience_rows.c.distinct_id)
                .limit(_AUDIENCE_STEP)
            )
            with self._database.reading() as connection:
                rows = [AudienceRow._make(row) for row in connection.execute(query)]
            if not rows:
                return
            yield rows
            after = rows[-1].distinct_id

    def count_audience(self, space: Space, file_id: str) -> int:
        """Return how many rows a file has."""
        query = sa.select(sa.func.count()).select_from(audience_rows).where(_of_file(space, file_id))
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()

    def forget_audience(self, space: Space, file_id: str) -> None:
        """Delete the rows of a file."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(audience_rows).where(_of_file(space, file_id)))

    def record_sandbox(self, space: Space, integration_id: str, rows: Sequence[SandboxRow]) -> None:
        """Record messages, each once."""
        own = {**space._asdict(), "integration_id": integration_id}
        with self._database.writing() as connection:
            insert = self._database.insert(sandbox_messages).on_conflict_do_nothing()
            connection.execute(insert, [{**own, **row._asdict()} for row in rows])

    def list_sandbox(self, space: Space, integration_id: str, *, limit: int) -> list[SandboxRow]:
        """Return the newest messages of a sandbox, the newest first."""
        order = (sandbox_messages.c.at_us.desc(), sandbox_messages.c.distinct_id, sandbox_messages.c.delivery_id)
        query = sa.select(*_SANDBOX_COLUMNS).where(_in_sandbox(space, integration_id)).order_by(*order).limit(limit)
        with self._database.reading() as connection:
            return [SandboxRow._make(row) for row in connection.execute(query)]

    def trim_sandbox(self, space: Space, integration_id: str, *, keep: int) -> None:
        """Delete the oldest messages of a sandbox but so many."""
        mine = _in_sandbox(space, integration_id)
        newest = sandbox_messages.c.at_us.desc()
        query = sa.select(sandbox_messages.c.at_us).where(mine).order_by(newest).offset(keep).limit(1)
        with self._database.reading() as connection:
            oldest = connection.execute(query).scalar_one_or_none()
        if oldest is not None:
            with self._database.writing() as connection:
                connection.execute(sa.delete(sandbox_messages).where(mine, sandbox_messages.c.at_us <= oldest))

    def _list(self, space: Space, noun: Noun, row_type: type[_Row]) -> list[_Row]:
        query = sa.select(*_columns(noun, row_type)).where(within(noun.table, space)).order_by(noun.table.c.name)
        with self._database.reading() as connection:
            return [row_type._make(row) for row in connection.execute(query)]

    def _find(self, space: Space, noun: Noun, row_type: type[_Row], which: sa.ColumnElement[bool]) -> _Row | None:
        query = sa.select(*_columns(noun, row_type)).where(within(noun.table, space), which)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else row_type._make(row)

    def _save(self, space: Space, noun: Noun, row: IntegrationRow | EventRow) -> None:
        with self._database.writing() as connection:
            self._database.pass_alone(connection, space)
            check_name(connection, space, noun, row.name, row[0])
            if row.revision == 1:
                connection.execute(sa.insert(noun.table).values({**space._asdict(), **row._asdict()}))
                return
            is_before = sa.and_(noun.table.c[noun.key] == row[0], noun.table.c.revision == row.revision - 1)
            changed = sa.update(noun.table).where(within(noun.table, space), is_before).values(row._asdict())
            if not connection.execute(changed).rowcount:
                raise Conflict(f"the {noun.word} was changed or deleted meanwhile: read it again", code="lost_race")

    def _delete(self, space: Space, noun: Noun, own_id: str) -> bool:
        deleted = sa.delete(noun.table).where(within(noun.table, space), noun.table.c[noun.key] == own_id)
        with self._database.writing() as connection:
            return bool(connection.execute(deleted).rowcount)


def check_name(connection: Connection, space: Space, noun: Noun, name: str, own_id: str) -> None:
    """Raise Conflict if a name is another's."""
    is_other = sa.and_(noun.table.c.name == name, noun.table.c[noun.key] != own_id)
    if connection.execute(sa.select(noun.table.c.name).where(within(noun.table, space), is_other)).first() is not None:
        message = f"there is {noun.article} {noun.word} named {name!r} already; choose another name"
        raise Conflict(message, code=f"{noun.word}_exists")


def campaign_row(row: Any) -> CampaignRow:
    """Return a row as it was stored."""
    found = CampaignRow._make(row)
    return found._replace(state=CampaignState(found.state))


def _columns(noun: Noun, row_type: type[IntegrationRow | EventRow]) -> list[sa.Column[Any]]:
    return [noun.table.c[name] for name in row_type._fields]


def _of_file(space: Space, file_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(within(audience_rows, space), audience_rows.c.file_id == file_id)


def _in_sandbox(space: Space, integration_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(within(sandbox_messages, space), sandbox_messages.c.integration_id == integration_id)
