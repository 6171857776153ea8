"""Erasing in a relational database: every row in which a person can be recognised, in one transaction."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from traitbase.domain.deliveries import OPEN, DeliveryState
from traitbase.domain.effects import digests_in
from traitbase.domain.spaces import Environment
from traitbase.services.campaigns.ports import WITHOUT_ID
from traitbase.services.ports import ErasedPerson, Erasure
from traitbase.store.database import Database, within
from traitbase.store.feeding import Feeding
from traitbase.store.tables import (
    audience_rows,
    changes,
    cohort_members,
    deliveries,
    erasures,
    ignored_values,
    kept_aside,
    profiles,
    sandbox_messages,
    suppressions,
    unlinked_changes,
)

_OPEN = [state.value for state in OPEN]


def erase(database: Database, feeding: Feeding, connection: sa.Connection, erasure: Erasure) -> None:
    """Erase what is known of some ids (their profiles' rows are deleted by the caller), and write the receipt."""
    deleted, past = _erase_changes(database, connection, erasure)
    counts = {
        "profiles": len(erasure.people),
        "aliases": len(erasure.distinct_ids) - len(erasure.people),
        "changes": deleted,
        "ignored_values": _delete(database, connection, ignored_values, erasure),
        "kept_aside": _delete(database, connection, kept_aside, erasure),
        "cohort_members": _delete(database, connection, cohort_members, erasure),
        "suppressions": _erase_suppressions(database, connection, erasure, past),
    }
    counts.update(_erase_messages(database, connection, erasure))
    row = {
        "workspace_id": erasure.space.workspace_id,
        "environment": erasure.space.environment,
        "request_id": erasure.request_id,
        "erased_at_us": erasure.erased_at_us,
        "key_id": erasure.key_id,
        "counts": msgspec.json.encode(counts).decode(),
    }
    connection.execute(sa.insert(erasures).values(row))
    feeding.scrub(connection, erasure.space, erasure.distinct_ids)
    database.note_erasure(connection)


def _erase_messages(database: Database, connection: sa.Connection, erasure: Erasure) -> dict[str, int]:
    """Leave of what they were sent only that somebody was: a run's report still adds up to its audience.

    What was planned for them is not sent. Returns how much it was, of what there was any.
    """
    is_named, pass_list = database.any_of(deliveries.c.distinct_id)
    ids = {"values": pass_list(erasure.distinct_ids)}
    mine = sa.and_(within(deliveries, erasure.space), is_named)
    rows = [dict(row) for row in connection.execute(sa.select(deliveries).where(mine), ids).mappings()]
    connection.execute(sa.delete(deliveries).where(mine), ids)
    if rows:
        connection.execute(sa.insert(deliveries), [_nameless(row, erasure.erased_at_us) for row in rows])
    counts = {
        "deliveries": len(rows),
        "audience_rows": _delete(database, connection, audience_rows, erasure),
        "sandbox_messages": _delete(database, connection, sandbox_messages, erasure),
    }
    return {name: number for name, number in counts.items() if number}


def _nameless(row: dict[str, Any], at_us: int) -> dict[str, Any]:
    state, reason = row["state"], row["reason"]
    if state in _OPEN:
        was_handed = state == DeliveryState.SENDING.value or row["handed_at_us"] is not None
        state = (DeliveryState.UNCONFIRMED if was_handed else DeliveryState.SKIPPED).value
        reason = "erased"
    nothing = dict.fromkeys(("detail", "destination", "destinations", "data", "provider_id"))
    return {
        **row,
        **nothing,
        "distinct_id": f"{WITHOUT_ID}erased:{secrets.token_hex(12)}",
        "state": state,
        "reason": reason,
        "settled_at_us": row["settled_at_us"] or at_us,
    }


def _erase_changes(database: Database, connection: sa.Connection, erasure: Erasure) -> tuple[int, set[tuple[str, str]]]:
    """Delete all changes that a row of the ids leads to, and those that nothing leads to. The rows are still there.

    Returns how many, and the channels and digests of the destinations that they tell of.
    """
    is_named, pass_list = database.any_of(profiles.c.distinct_id)
    ids = {"values": pass_list(erasure.distinct_ids)}
    query = sa.select(profiles.c.last_change).where(within(profiles, erasure.space), is_named)
    places = [row[0] for row in connection.execute(query, ids) if row[0] is not None]
    is_named, _ = database.any_of(unlinked_changes.c.distinct_id)
    statement = sa.delete(unlinked_changes).where(within(unlinked_changes, erasure.space), is_named)
    unlinked = connection.execute(
        statement.returning(unlinked_changes.c.request_id, unlinked_changes.c.item), ids
    ).all()
    places += [f"{request_id}/{item}" for request_id, item in unlinked]
    deletion = (
        sa.delete(changes)
        .where(
            within(changes, erasure.space),
            changes.c.request_id == sa.bindparam("of_request"),
            changes.c.item == sa.bindparam("of_item"),
        )
        .returning(changes.c.previous, changes.c.effect)
    )
    deleted = 0
    told: set[tuple[str, str]] = set()
    while places:
        request_id, _, item = places.pop().rpartition("/")
        gone = connection.execute(deletion, {"of_request": request_id, "of_item": int(item)}).all()
        deleted += len(gone)
        for previous, effect in gone:
            told.update(digests_in(effect, erasure.space.workspace_id))
            if previous is not None:
                places.append(previous)
    return deleted, told


def _delete(database: Database, connection: sa.Connection, table: sa.Table, erasure: Erasure) -> int:
    is_named, pass_list = database.any_of(table.c.distinct_id)
    statement = sa.delete(table).where(within(table, erasure.space), is_named)
    return connection.execute(statement, {"values": pass_list(erasure.distinct_ids)}).rowcount


def _erase_suppressions(
    database: Database, connection: sa.Connection, erasure: Erasure, past: set[tuple[str, str]]
) -> int:
    """Take names, destinations and descriptions out of suppressions; what they protect, they protect on, by digest.

    Suppressions count in both environments. An id that is a profile in the other one, too, keeps its own; what they
    protect here is protected on beside them. `past`: destinations that they had, as their changes tell.
    """
    elsewhere = _ids_elsewhere(database, connection, erasure)
    digests = past.union(*(person.digests for person in erasure.people))
    changed = _take_out_destinations(connection, erasure.space.workspace_id, digests)
    for person in erasure.people:
        shared = person._replace(distinct_ids=tuple(each for each in person.distinct_ids if each in elsewhere))
        only_here = person._replace(distinct_ids=tuple(each for each in person.distinct_ids if each not in elsewhere))
        own = _OfPerson(database, connection, erasure.space.workspace_id, only_here)
        changed += own.take_out_ids()
        if shared.distinct_ids:
            changed += _OfPerson(database, connection, erasure.space.workspace_id, shared).copy_as_digests()
    return changed


def _take_out_destinations(connection: sa.Connection, workspace_id: str, digests: Iterable[tuple[str, str]]) -> int:
    """Leave suppressions by destination without it, and without what was said about them."""
    changed = 0
    for channel, digest in sorted(digests):
        by_destination = [
            suppressions.c.workspace_id == workspace_id,
            suppressions.c.channel == channel,
            suppressions.c.digest == digest,
            suppressions.c.destination.is_not(None),
        ]
        statement = sa.update(suppressions).where(*by_destination).values(destination=None, description=None)
        changed += connection.execute(statement).rowcount
    return changed


class _OfPerson:
    """The suppressions of one person."""

    def __init__(self, database: Database, connection: sa.Connection, workspace_id: str, person: ErasedPerson) -> None:
        self._database = database
        self._connection = connection
        self._digests = person.digests
        self._is_named, pass_list = database.any_of(suppressions.c.distinct_id)
        self._ids = {"values": pass_list(person.distinct_ids)}
        self._mine = suppressions.c.workspace_id == workspace_id

    def take_out_ids(self) -> int:
        """Turn those by id into digests of the profile's destinations; the others have nothing left to protect."""
        changed = 0
        for channel, digest in self._digests:
            by_id = sa.update(suppressions).where(self._mine, suppressions.c.channel == channel, self._is_named)
            nameless = by_id.values(distinct_id=None, digest=digest, description=None)
            changed += self._connection.execute(nameless, self._ids).rowcount
        left = sa.delete(suppressions).where(self._mine, self._is_named)
        return changed + self._connection.execute(left, self._ids).rowcount

    def copy_as_digests(self) -> int:
        """Leave those by id as they are, and protect the profile's destinations beside them."""
        copied = 0
        for channel, digest in self._digests:
            query = sa.select(suppressions).where(self._mine, suppressions.c.channel == channel, self._is_named)
            for row in self._connection.execute(query, self._ids).mappings().all():
                nameless = {"distinct_id": None, "digest": digest, "description": None}
                copy = {**row, **nameless, "suppression_id": copied_id(row["suppression_id"], digest)}
                insert = self._database.insert(suppressions).values(copy).on_conflict_do_nothing()
                copied += len(self._connection.execute(insert.returning(suppressions.c.suppression_id)).all())
        return copied


def copied_id(suppression_id: str, digest: str) -> str:
    """Return the id of a suppression's copy by digest: as old as the suppression, and always the same."""
    return suppression_id[:12] + hashlib.sha256(f"{suppression_id} {digest}".encode()).hexdigest()[:12]


def _ids_elsewhere(database: Database, connection: sa.Connection, erasure: Erasure) -> set[str]:
    other = Environment.TEST if erasure.space.environment == Environment.LIVE else Environment.LIVE
    is_named, pass_list = database.any_of(profiles.c.distinct_id)
    query = sa.select(profiles.c.distinct_id).where(
        profiles.c.workspace_id == erasure.space.workspace_id, profiles.c.environment == other.value, is_named
    )
    return {row[0] for row in connection.execute(query, {"values": pass_list(erasure.distinct_ids)})}
