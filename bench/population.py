"""A population in a data folder: profiles with properties, names and addresses, and the changes that made them."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec

from bench.traffic import WORKSPACE_ID, distinct_id, five_properties
from traitbase import bootstrap
from traitbase.domain.attributes import Attributes, encode_attributes, search_keys
from traitbase.domain.definitions import State
from traitbase.domain.spaces import Space
from traitbase.domain.values import Kind
from traitbase.services.ports import ChangeRow, DefinitionRow, EditedRow, ProfileRow, WriteSet
from traitbase.settings import load_settings

_SPACE = Space(WORKSPACE_ID, "live")
_KINDS = {
    "city": Kind.STRING,
    "plan": Kind.STRING,
    "last_seen_at": Kind.DATE,
    "logins": Kind.NUMBER,
    "total_spent": Kind.NUMBER,
}
_ROWS_A_TRANSACTION = 10_000


def fill(data: Path, rows: int) -> None:
    """Write profiles, their definitions and their changes as batches would have, only faster."""
    store = bootstrap.open_store(load_settings(data=data))
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
            attributes = Attributes(name=f"Customer {number}", channel={"email": f"{who}@example.com"})
            stored = (document, now_us, now_us, encode_attributes(attributes))
            row = ProfileRow(*_SPACE, who, bootstrap.new_profile_id(), 1, *stored)
            written.edited.append(EditedRow(row, "", 0, *search_keys(attributes)))
            operations = f'{{"$set":{document}}}'
            change = ChangeRow(*_SPACE, request_id, item, who, now_us, 1, "bench", operations, None)
            written.changes.append(change)
        session.write(written, wait_seconds=10)
        store.tidy()
    session.close()
    store.close()
