"""Short words for the tests of ingest: what is sent, and what came of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

from store.backends import LIVE
from traitbase.domain.edits import Edit
from traitbase.domain.spaces import Space
from traitbase.domain.updates import parse_item
from traitbase.domain.values import decode_properties
from traitbase.services.ingest import IDEMPOTENCY_US, IdempotencyKey, Ingest, Submission
from traitbase.services.ports import Store

NOW_US = 1_700_000_000_000_000
DAY_US = IDEMPOTENCY_US

_request_numbers = itertools.count(1)
_profile_numbers = itertools.count(1)


def new_profile_id() -> str:
    return f"profile {next(_profile_numbers)}"


def ingest_on(store: Store, *, keeps_history: bool = True) -> Ingest:
    return Ingest(store, new_profile_id=new_profile_id, keeps_history=keeps_history)


def sent(
    *items: tuple[str, dict[str, Any]],
    space: Space = LIVE,
    at_us: int = NOW_US,
    key: str | None = None,
    digest: str = "digest",
    request_id: str | None = None,
) -> Submission:
    """Return a submission of `(distinct_id, action)` pairs."""
    return Submission(
        space=space,
        updates=[parse_item({"distinct_id": distinct_id, "action": action}) for distinct_id, action in items],
        request_id=request_id or f"request {next(_request_numbers):06}",
        received_at_us=at_us,
        key_id="key_1",
        idempotency=None if key is None else IdempotencyKey(key, digest),
    )


def asked(
    edit: Edit,
    *,
    space: Space = LIVE,
    at_us: int = NOW_US,
    key: str | None = None,
    digest: str = "digest",
) -> Submission:
    """Return a submission of an edit."""
    return Submission(
        space=space,
        updates=(),
        request_id=f"request {next(_request_numbers):06}",
        received_at_us=at_us,
        key_id="key_1",
        idempotency=None if key is None else IdempotencyKey(key, digest),
        edit=edit,
    )


def run(ingest: Ingest, *submissions: Submission) -> list[str | Exception | None]:
    ingest.run(submissions, wait_seconds=10)
    return [submission.outcome for submission in submissions]


def exhaust(steps: Any) -> None:
    for _ in steps:
        pass


def properties_in(store: Store, distinct_id: str = "u", *, space: Space = LIVE) -> dict[str, Any] | None:
    rows = store.find_profiles(space, [distinct_id])
    return decode_properties(rows[0].document) if rows else None


def kinds_in(store: Store, *, space: Space = LIVE) -> dict[str, str]:
    return {row.name: row.kind.value for row in store.get_definitions(space)[1]}


def ignored_in(store: Store, submission: Submission) -> list[tuple[int, str, str, str]]:
    """Return `(item, operation, property, reason)` of everything that the stored receipt calls ignored."""
    return [
        (row.item, entry["operation"], entry["property"], entry["reason"])
        for row in store.find_changes(submission.space, submission.request_id)
        for entry in json.loads(row.ignored or "[]")
    ]


Interruption = Callable[[], None]
