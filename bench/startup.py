"""Start-up with many profiles: how long until ready, and how much memory is held."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench import processes
from bench.report import Line, Target
from bench.rounds import Rounds, tell
from bench.traffic import WORKSPACE_ID, distinct_id, five_properties
from traitbase import bootstrap
from traitbase.domain.definitions import State
from traitbase.domain.spaces import Space
from traitbase.domain.values import Kind
from traitbase.services.ports import ChangeRow, DefinitionRow, ProfileRow, WriteSet

_SPACE = Space(WORKSPACE_ID, "live")
_KINDS = {
    "city": Kind.STRING,
    "plan": Kind.STRING,
    "last_seen_at": Kind.DATE,
    "logins": Kind.NUMBER,
    "total_spent": Kind.NUMBER,
}
_ROWS_A_TRANSACTION = 10_000
_SETTLED_SECONDS = 1.0


def figures(rounds: Rounds) -> Iterator[Line]:
    """Measure start after start on the same data."""
    ready, resident = [], []
    with rounds.fresh_folder() as data:
        tell(f"startup: writing {rounds.rows:,} profiles")
        api_key = processes.make_workspace(data)
        _fill(data, rounds.rows)
        for _ in rounds.named("startup"):
            with processes.traitbase(data, api_key=api_key) as server:
                ready.append(server.ready_seconds)
                time.sleep(_SETTLED_SECONDS)
                resident.append(server.resident_mb())
    with_profiles = f"with {rounds.rows:,} profiles"
    yield Line("startup", f"start to ready {with_profiles}", "s", ready, Target("<=", 3))
    yield Line("startup", f"resident memory {with_profiles}", "MB", resident, Target("<", 200))


def _fill(data: Path, rows: int) -> None:
    """Write profiles, their definitions and their changes as batches would have, only faster."""
    store = bootstrap.open_store(data)
    session = store.open_session()
    rng = random.Random(0)
    for start in range(0, rows, _ROWS_A_TRANSACTION):
        written = WriteSet(definitions_at={_SPACE: 1 if start else 0})
        now_us, request_id = bootstrap.now_us(), bootstrap.new_request_id()
        if not start:
            written.new_definitions[_SPACE] = [
                DefinitionRow(name, kind, State.ACTIVE, now_us, request_id) for name, kind in _KINDS.items()
            ]
        for item, number in enumerate(range(start, min(start + _ROWS_A_TRANSACTION, rows))):
            who, document = distinct_id(number), msgspec.json.encode(five_properties(rng)).decode()
            row = ProfileRow(*_SPACE, who, bootstrap.new_profile_id(), 1, document, now_us, now_us)
            written.profiles.append(row)
            operations = f'{{"$set":{document}}}'
            change = ChangeRow(*_SPACE, request_id, item, who, now_us, 1, "bench", operations, None)
            written.changes.append(change)
        session.write(written, wait_seconds=10)
        store.tidy()
    session.close()
    store.close()
