"""Runs and the ledger of deliveries in a relational database.

A worker owns a page of a run's deliveries while it is at it. Whether it still does is asked in the transaction that
writes, so that whoever was taken for dead can do no harm: its page is another's, and its writing is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.campaigns import CampaignState, RunKind, RunState
from traitbase.domain.deliveries import DeliveryState
from traitbase.domain.spaces import Space
from traitbase.services.campaigns.ports import (
    CampaignRow,
    Claimed,
    DeliveryChange,
    DeliveryFilter,
    DeliveryPlace,
    DeliveryRow,
    PageRow,
    RunRow,
    Slots,
    Tally,
    WorkerRow,
)
from traitbase.services.ports import IdempotencyRow
from traitbase.store.campaigns import CAMPAIGN_COLUMNS, CAMPAIGNS, campaign_row, check_name
from traitbase.store.database import Database, within
from traitbase.store.running import run
from traitbase.store.statements import CHANGED, KEY, Statements
from traitbase.store.tables import (
    campaigns,
    deliveries,
    delivery_pages,
    idempotency_keys,
    runs,
    sending_epochs,
    sending_slots,
    sending_workers,
)

_RUN_COLUMNS = [runs.c[name] for name in RunRow._fields]
_PAGE_COLUMNS = [delivery_pages.c[name] for name in PageRow._fields]
_COLUMNS = [deliveries.c[name] for name in DeliveryRow._fields]
_SECOND_US = 1_000_000
_HOUR_US = 3_600 * _SECOND_US
_SPACE = list(Space._fields)


class SqlTurn:
    """A transaction that is open. See the port for what each method promises."""

    def __init__(self, database: Database, statements: Statements, connection: Connection) -> None:
        self._database = database
        self._connection = connection
        self._statements = statements

    def campaign(self, space: Space, campaign_id: str) -> CampaignRow | None:
        """Return a campaign, and let nobody else change it until the end."""
        query = sa.select(*CAMPAIGN_COLUMNS).where(_is_campaign(space, campaign_id)).with_for_update()
        row = self._connection.execute(query).one_or_none()
        return None if row is None else campaign_row(row)

    def put_campaign(self, space: Space, row: CampaignRow) -> None:
        """Store a campaign in the place of what there is. Raises Conflict if its name is taken."""
        check_name(self._connection, space, CAMPAIGNS, row.name, row.campaign_id)
        changed = sa.update(campaigns).where(_is_campaign(space, row.campaign_id)).values(_campaign_values(row))
        self._connection.execute(changed)

    def add_campaign(self, space: Space, row: CampaignRow) -> None:
        """Store a new campaign. Raises Conflict if its name is taken."""
        self._database.pass_alone(self._connection, space)
        check_name(self._connection, space, CAMPAIGNS, row.name, row.campaign_id)
        self._connection.execute(sa.insert(campaigns).values({**space._asdict(), **_campaign_values(row)}))

    def delete_campaign(self, space: Space, campaign_id: str) -> None:
        """Delete a campaign."""
        self._connection.execute(sa.delete(campaigns).where(_is_campaign(space, campaign_id)))

    def run(self, space: Space, run_id: str, *, to_change: bool = True) -> RunRow | None:
        """Return a run, and let nobody else change it until the end."""
        query = sa.select(*_RUN_COLUMNS).where(_is_run(space, run_id)).with_for_update(read=not to_change)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else _run_row(row)

    def add_run(self, space: Space, row: RunRow) -> bool:
        """Store a new run. False if its campaign has one for that time already."""
        values = {**space._asdict(), **_run_values(row)}
        statement = self._database.insert(runs).values(values).on_conflict_do_nothing()
        return bool(self._connection.execute(statement.returning(runs.c.run_id)).all())

    def put_run(self, space: Space, row: RunRow) -> None:
        """Store a run in the place of what there is."""
        self._connection.execute(sa.update(runs).where(_is_run(space, row.run_id)).values(_run_values(row)))

    def epoch(self) -> int:
        """Return the epoch of the database."""
        return _epoch(self._connection)

    def raise_epoch(self, *, reason: str, at_us: int) -> int:
        """Begin another epoch. Returns it."""
        epoch = self.epoch() + 1
        values = {"epoch": epoch, "began_at_us": at_us, "reason": reason}
        self._connection.execute(sa.insert(sending_epochs).values(values))
        return epoch

    def pause_everything(self, *, reason: str, at_us: int) -> int:
        """Pause every run that is going on, and its campaign, whatever its space. Returns how many runs."""
        goes_on = campaigns.c.state == CampaignState.RUNNING.value
        of_campaigns = {"state": CampaignState.PAUSED.value, "held": reason, "updated_at_us": at_us}
        self._connection.execute(sa.update(campaigns).where(goes_on).values(of_campaigns))
        waits = campaigns.c.state == CampaignState.SCHEDULED.value
        self._connection.execute(sa.update(campaigns).where(waits).values(held=reason, updated_at_us=at_us))
        are_going_on = runs.c.state.in_([RunState.PREPARING.value, RunState.RUNNING.value])
        stopped = {"state": RunState.PAUSED.value, "reason": reason, "active_at_us": at_us}
        return self._connection.execute(sa.update(runs).where(are_going_on).values(stopped)).rowcount

    def runs_of_calls(self, *, limit: int) -> list[tuple[Space, RunRow]]:
        """Return runs of calls that are paused, locked."""
        query = (
            sa.select(*(runs.c[name] for name in _SPACE), *_RUN_COLUMNS)
            .where(runs.c.state == RunState.PAUSED.value, runs.c.kind == RunKind.CALL.value)
            .order_by(runs.c.planned_at_us)
            .limit(limit)
            .with_for_update()
        )
        return [(Space(*row[:2]), _run_row(row[2:])) for row in self._connection.execute(query)]

    def add_deliveries(self, space: Space, rows: Sequence[DeliveryRow]) -> None:
        """Store new deliveries, whose keys are not there yet."""
        values = [(*space, *row[:4], row.state.value, *row[5:]) for row in rows]
        self._statements.inserting_deliveries.execute(self._connection, values)

    def forget_deliveries(self, space: Space, run_id: str) -> None:
        """Delete the deliveries and pages of a run that was never begun."""
        for table in (deliveries, delivery_pages):
            self._connection.execute(sa.delete(table).where(within(table, space), table.c.run_id == run_id))

    def add_pages(self, space: Space, rows: Sequence[PageRow]) -> None:
        """Store pages."""
        if rows:
            self._connection.execute(sa.insert(delivery_pages), [{**space._asdict(), **row._asdict()} for row in rows])

    def wake_pages(self, space: Space, run_id: str, *, at_us: int) -> None:
        """Let all pages of a run be looked at, from that time on."""
        of_run = sa.and_(within(delivery_pages, space), delivery_pages.c.run_id == run_id)
        self._connection.execute(sa.update(delivery_pages).where(of_run).values(due_at_us=at_us))

    def claim_page(self, worker_id: str, *, now_us: int, epoch: int) -> Claimed | None:
        """Take a page with something to do of a run that is running, the most urgent first; None if there is none."""
        of_run = sa.and_(
            delivery_pages.c.workspace_id == runs.c.workspace_id,
            delivery_pages.c.environment == runs.c.environment,
            delivery_pages.c.run_id == runs.c.run_id,
        )
        query = (
            sa.select(*(delivery_pages.c[name] for name in _SPACE), *_PAGE_COLUMNS, *_RUN_COLUMNS)
            .join(runs, of_run)
            .where(
                delivery_pages.c.due_at_us <= now_us,
                delivery_pages.c.owner.is_(None),
                runs.c.state == RunState.RUNNING.value,
                runs.c.epoch == epoch,
            )
            .order_by(delivery_pages.c.urgency, delivery_pages.c.due_at_us)
            .limit(1)
            .with_for_update(of=delivery_pages, skip_locked=True)
        )
        row = self._connection.execute(query).one_or_none()
        if row is None:
            return None
        space, page = Space(*row[:2]), PageRow._make(row[2:9])._replace(owner=worker_id)
        self._connection.execute(sa.update(delivery_pages).where(_is_page(space, page)).values(owner=worker_id))
        return Claimed(space, page, _run_row(row[9:]))

    def holds_page(self, space: Space, page: PageRow) -> bool:
        """Tell whether a page is still that worker's, and let nobody take it until the end."""
        query = sa.select(delivery_pages.c.owner).where(_is_page(space, page)).with_for_update()
        return self._connection.execute(query).scalar_one_or_none() == page.owner

    def release_page(self, space: Space, page: PageRow, *, due_at_us: int | None) -> None:
        """Give a page back."""
        mine = sa.and_(_is_page(space, page), delivery_pages.c.owner == page.owner)
        self._connection.execute(sa.update(delivery_pages).where(mine).values(owner=None, due_at_us=due_at_us))

    def next_due(self, space: Space, page: PageRow) -> int | None:
        """Return when the first of a page's planned deliveries is due; None if there is none."""
        is_planned = deliveries.c.state == DeliveryState.PLANNED.value
        query = sa.select(sa.func.min(deliveries.c.due_at_us)).where(_on_page(space, page), is_planned)
        due_at_us: int | None = self._connection.execute(query).scalar_one()
        return due_at_us

    def has_open_pages(self, space: Space, run_id: str) -> bool:
        """Tell whether there is something to do in a run, or somebody at it."""
        is_open = sa.or_(delivery_pages.c.due_at_us.is_not(None), delivery_pages.c.owner.is_not(None))
        of_run = sa.and_(within(delivery_pages, space), delivery_pages.c.run_id == run_id)
        query = sa.select(delivery_pages.c.page).where(of_run, is_open).limit(1)
        return self._connection.execute(query).first() is not None

    def change_deliveries(self, space: Space, changes: Sequence[DeliveryChange]) -> list[bool]:
        """Change deliveries that are still as they are believed to be. Returns for each whether it was."""
        done = []
        for change in changes:
            before = [state.value for state in change.before]
            values = [
                change.row.state.value,
                *(getattr(change.row, name) for name in CHANGED[1:]),
                *space,
                *(getattr(change.row, name) for name in KEY),
                before[0],
                before[-1],
                change.attempts,
            ]
            done.append(bool(run(self._connection, self._statements.change_delivery, tuple(values)).rowcount))
        return done

    def cancel_planned(self, space: Space, run_id: str, *, reason: str, at_us: int) -> None:
        """Cancel all deliveries of a run that are planned."""
        are_planned = sa.and_(
            within(deliveries, space),
            deliveries.c.run_id == run_id,
            deliveries.c.state == DeliveryState.PLANNED.value,
        )
        # What may have been taken before it was planned again was not simply never sent.
        may_be_sent = {"state": DeliveryState.UNCONFIRMED.value, "reason": "no_answer", "settled_at_us": at_us}
        was_handed = deliveries.c.handed_at_us.is_not(None)
        self._connection.execute(sa.update(deliveries).where(are_planned, was_handed).values(may_be_sent))
        values = {"state": DeliveryState.CANCELLED.value, "reason": reason, "settled_at_us": at_us}
        self._connection.execute(sa.update(deliveries).where(are_planned).values(values))

    def recover_page(self, space: Space, page: PageRow, *, state: DeliveryState, at_us: int) -> int:
        """Change those of a page that were being sent when their worker ended. Returns how many."""
        was_sending = deliveries.c.state == DeliveryState.SENDING.value
        values: dict[str, Any] = {"state": state.value, "reason": "worker_ended", "due_at_us": at_us}
        if state is not DeliveryState.PLANNED:
            values["settled_at_us"] = at_us
        changed = sa.update(deliveries).where(_on_page(space, page), was_sending).values(values)
        return self._connection.execute(changed).rowcount

    def pages_of(self, worker_id: str) -> list[tuple[Space, PageRow]]:
        """Return what a worker has claimed."""
        query = sa.select(*(delivery_pages.c[name] for name in _SPACE), *_PAGE_COLUMNS).where(
            delivery_pages.c.owner == worker_id
        )
        order = [delivery_pages.c[name] for name in (*_SPACE, "run_id", "page")]
        rows = self._connection.execute(query.order_by(*order))
        return [(Space(*row[:2]), PageRow._make(row[2:])) for row in rows]

    def drop_worker(self, worker_id: str) -> None:
        """Forget a worker, and what audience it was resolving."""
        self._connection.execute(sa.update(runs).where(runs.c.owner == worker_id).values(owner=None))
        self._connection.execute(sa.delete(sending_workers).where(sending_workers.c.worker_id == worker_id))

    def take_slots(self, space: Space, of_id: str, *, wanted: int, rate: float, now_us: int) -> Slots:
        """Take up to that many of the moments at which a rate allows one, within a second."""
        key = {**space._asdict(), "of_id": of_id}
        first = self._database.insert(sending_slots).values({**key, "next_us": now_us}).on_conflict_do_nothing()
        self._connection.execute(first)
        is_it = sa.and_(within(sending_slots, space), sending_slots.c.of_id == of_id)
        query = sa.select(sending_slots.c.next_us).where(is_it).with_for_update()
        at_us = max(self._connection.execute(query).scalar_one(), now_us)
        until_us = now_us + _SECOND_US
        messages = 0 if at_us >= until_us else min(wanted, int((until_us - at_us) * rate / _SECOND_US) + 1)
        if messages:
            next_us = at_us + int(messages * _SECOND_US / rate)
            self._connection.execute(sa.update(sending_slots).where(is_it).values(next_us=next_us))
        return Slots(messages, at_us)

    def count_marketing(self, space: Space, distinct_ids: Sequence[str], *, since_us: int) -> Mapping[str, int]:
        """Return how many marketing messages were handed over for ids since a time. See the port."""
        self._database.hold_people(self._connection, space, distinct_ids)
        is_one, pass_list = self._database.any_of(deliveries.c.distinct_id)
        counted = sa.and_(
            deliveries.c.is_marketing == 1,
            deliveries.c.handed_at_us >= since_us,
            deliveries.c.state.in_([state.value for state in _HANDED]),
        )
        query = (
            sa.select(deliveries.c.distinct_id, sa.func.count())
            .where(within(deliveries, space), is_one, counted)
            .group_by(deliveries.c.distinct_id)
        )
        found = self._connection.execute(query, {"values": pass_list(distinct_ids)})
        return {row[0]: row[1] for row in found}

    def use_key(self, row: IdempotencyRow, *, expired_before_us: int) -> IdempotencyRow | None:
        """Store an idempotency key; or return the row that is there and not expired."""
        insert = self._database.insert(idempotency_keys).values(row._asdict())
        key = [idempotency_keys.c[name] for name in (*_SPACE, "idempotency_key")]
        taken = insert.on_conflict_do_update(
            index_elements=[column.name for column in key],
            set_={name: insert.excluded[name] for name in ("digest", "request_id", "created_at_us")},
            where=idempotency_keys.c.created_at_us < expired_before_us,
        )
        if self._connection.execute(taken.returning(idempotency_keys.c.request_id)).all():
            return None
        is_it = sa.tuple_(*key) == sa.tuple_(row.workspace_id, row.environment, row.idempotency_key)
        found = self._connection.execute(sa.select(*idempotency_keys.c).where(is_it)).mappings().one()
        return IdempotencyRow(**found)


class LedgerQueries:
    """The part of the store port that deals with runs and deliveries."""

    _database: Database
    _compiled: Statements

    @contextmanager
    def turn(self) -> Iterator[SqlTurn]:
        """Open a transaction on campaigns and their ledger."""
        with self._database.writing() as connection:
            yield SqlTurn(self._database, self._compiled, connection)

    def list_runs(self, space: Space, campaign_id: str, *, limit: int) -> list[RunRow]:
        """Return the newest runs of a campaign, the newest first."""
        order = (runs.c.planned_at_us.desc(), runs.c.run_id)
        of_campaign = sa.and_(within(runs, space), runs.c.campaign_id == campaign_id)
        query = sa.select(*_RUN_COLUMNS).where(of_campaign).order_by(*order).limit(limit)
        with self._database.reading() as connection:
            return [_run_row(row) for row in connection.execute(query)]

    def find_run(self, space: Space, run_id: str) -> RunRow | None:
        """Return a run, or None."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(*_RUN_COLUMNS).where(_is_run(space, run_id))).one_or_none()
        return None if row is None else _run_row(row)

    def find_unprepared(self, *, limit: int) -> list[tuple[Space, RunRow]]:
        """Return runs whose audience is to be resolved and that no worker is at."""
        nobody = runs.c.owner.is_(None)
        return self._runs(RunState.PREPARING, nobody, runs.c.finished_at_us.is_(None), limit=limit)

    def find_stale(self, *, before_us: int) -> list[tuple[Space, RunRow]]:
        """Return campaigns' runs that are running, have had something to do since before then, and did nothing."""
        waits = (
            sa.select(sa.literal(1))
            .where(
                *(delivery_pages.c[name] == runs.c[name] for name in (*_SPACE, "run_id")),
                delivery_pages.c.due_at_us < before_us,
                delivery_pages.c.owner.is_(None),
            )
            .exists()
        )
        of_campaign = runs.c.kind == RunKind.CAMPAIGN.value
        return self._runs(RunState.RUNNING, of_campaign, runs.c.active_at_us < before_us, waits, limit=100)

    def read_page(self, space: Space, page: PageRow, *, due_by_us: int) -> list[DeliveryRow]:
        """Return the planned deliveries of a page that are due, in order of their keys."""
        is_due = sa.and_(deliveries.c.state == DeliveryState.PLANNED.value, deliveries.c.due_at_us <= due_by_us)
        order = (deliveries.c.distinct_id, deliveries.c.channel)
        return self._deliveries(sa.select(*_COLUMNS).where(_on_page(space, page), is_due).order_by(*order))

    def find_delivery(self, space: Space, run_id: str, number: int) -> DeliveryRow | None:
        """Return a delivery by its number in a run, or None."""
        of_run = sa.and_(within(deliveries, space), deliveries.c.run_id == run_id)
        found = self._deliveries(sa.select(*_COLUMNS).where(of_run, deliveries.c.number == number))
        return found[0] if found else None

    def list_deliveries(
        self, space: Space, which: DeliveryFilter, *, after: DeliveryPlace | None, limit: int
    ) -> list[DeliveryRow]:
        """Return up to `limit` deliveries in order of their keys."""
        query = sa.select(*_COLUMNS).where(within(deliveries, space))
        if which.run_id is not None:
            query = query.where(deliveries.c.run_id == which.run_id)
        if which.distinct_ids is not None:
            query = query.where(deliveries.c.distinct_id.in_(which.distinct_ids))
        if which.states is not None:
            query = query.where(deliveries.c.state.in_([state.value for state in which.states]))
        key = [deliveries.c[name] for name in KEY]
        if after is not None:
            query = query.where(sa.tuple_(*key) > sa.tuple_(*(sa.literal(each) for each in after)))
        return self._deliveries(query.order_by(*key).limit(limit))

    def tally(self, space: Space, run_id: str) -> list[Tally]:
        """Count the deliveries of a run."""
        channel = sa.func.coalesce(deliveries.c.via, deliveries.c.channel)
        alike = (channel, deliveries.c.state, deliveries.c.reason)
        known = ("opened_at_us", "clicked_at_us", "unsubscribed_at_us", "complained_at_us")
        query = (
            sa.select(*alike, sa.func.count(), *(sa.func.count(deliveries.c[name]) for name in known))
            .where(within(deliveries, space), deliveries.c.run_id == run_id)
            .group_by(*alike)
        )
        with self._database.reading() as connection:
            found = [Tally._make(row) for row in connection.execute(query)]
        found = [each._replace(state=DeliveryState(each.state)) for each in found]
        return sorted(found, key=lambda each: (each.channel, each.state, each.reason or ""))

    def tally_by_hour(self, space: Space, run_id: str) -> list[tuple[int, DeliveryState, int]]:
        """Count a run's settled deliveries by the hour (its first microsecond) and state."""
        hour = deliveries.c.settled_at_us - deliveries.c.settled_at_us % sa.literal(_HOUR_US, sa.BigInteger)
        query = (
            sa.select(hour, deliveries.c.state, sa.func.count())
            .where(within(deliveries, space), deliveries.c.run_id == run_id, deliveries.c.settled_at_us.is_not(None))
            .group_by(sa.text("1"), deliveries.c.state)
        )
        with self._database.reading() as connection:
            return sorted((at_us, DeliveryState(state), count) for at_us, state, count in connection.execute(query))

    def note_delivery(self, space: Space, row: DeliveryRow) -> None:
        """Store when a delivery was opened, clicked or unsubscribed from, whichever `row` has."""
        names = ("opened_at_us", "clicked_at_us", "unsubscribed_at_us", "complained_at_us")
        # The first time counts, in whatever order they are told.
        values = {
            name: sa.func.coalesce(deliveries.c[name], getattr(row, name))
            for name in names
            if getattr(row, name) is not None
        }
        if not values:
            return
        is_it = [deliveries.c[name] == getattr(row, name) for name in KEY]
        with self._database.writing() as connection:
            connection.execute(sa.update(deliveries).where(within(deliveries, space), *is_it).values(values))

    def keep_worker(self, row: WorkerRow) -> None:
        """Store or prolong a worker's lease."""
        insert = self._database.insert(sending_workers).values(row._asdict())
        prolonged = insert.on_conflict_do_update(
            index_elements=["worker_id"], set_={"lease_until_us": row.lease_until_us}
        )
        with self._database.writing() as connection:
            connection.execute(prolonged)

    def list_workers(self) -> list[WorkerRow]:
        """Return all workers."""
        query = sa.select(*(sending_workers.c[name] for name in WorkerRow._fields)).order_by(
            sending_workers.c.worker_id
        )
        with self._database.reading() as connection:
            return [WorkerRow._make(row) for row in connection.execute(query)]

    def _runs(self, state: RunState, *conditions: sa.ColumnElement[bool], limit: int) -> list[tuple[Space, RunRow]]:
        query = (
            sa.select(*(runs.c[name] for name in _SPACE), *_RUN_COLUMNS)
            .where(runs.c.state == state.value, *conditions)
            .order_by(runs.c.planned_at_us)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [(Space(*row[:2]), _run_row(row[2:])) for row in connection.execute(query)]

    def _deliveries(self, query: sa.Select[Any]) -> list[DeliveryRow]:
        with self._database.reading() as connection:
            return [delivery_row(row) for row in connection.execute(query)]


_HANDED = (
    DeliveryState.SENDING,
    DeliveryState.UNCONFIRMED,
    DeliveryState.SENT,
    DeliveryState.DELIVERED,
    DeliveryState.BOUNCED,
)


def delivery_row(row: Any) -> DeliveryRow:
    """Return a row as it was stored."""
    found = DeliveryRow._make(row)
    return found._replace(state=DeliveryState(found.state))


def _epoch(connection: Connection) -> int:
    return connection.execute(sa.select(sa.func.max(sending_epochs.c.epoch))).scalar_one() or 0


def _run_row(row: Any) -> RunRow:
    found = RunRow._make(row)
    return found._replace(kind=RunKind(found.kind), state=RunState(found.state))


def _run_values(row: RunRow) -> dict[str, Any]:
    return {**row._asdict(), "kind": row.kind.value, "state": row.state.value}


def _campaign_values(row: CampaignRow) -> dict[str, Any]:
    return {**row._asdict(), "state": row.state.value}


def _is_campaign(space: Space, campaign_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(within(campaigns, space), campaigns.c.campaign_id == campaign_id)


def _is_run(space: Space, run_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(within(runs, space), runs.c.run_id == run_id)


def _is_page(space: Space, page: PageRow) -> sa.ColumnElement[bool]:
    return sa.and_(
        within(delivery_pages, space), delivery_pages.c.run_id == page.run_id, delivery_pages.c.page == page.page
    )


def _on_page(space: Space, page: PageRow) -> sa.ColumnElement[bool]:
    return sa.and_(
        within(deliveries, space),
        deliveries.c.run_id == page.run_id,
        deliveries.c.distinct_id >= page.first_id,
        deliveries.c.distinct_id <= page.last_id,
    )
