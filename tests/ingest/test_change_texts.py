"""What a change says as text: the same whether it is short or long, and read again as it was written."""

from __future__ import annotations

import json

import pytest

from traitbase.domain.operations import Ignored, Reason
from traitbase.domain.updates import Operation, parse_item
from traitbase.services import change_texts
from traitbase.services.change_texts import ignored_text, operations_text, read_ignored, read_names


def ignored_of(count):
    reasons = (Reason.PROFILE_FULL, Reason.NULL_VALUE)
    return [
        Ignored(Operation.SET, f'n"{number}', reasons[number % 2], f"message {number % 2}") for number in range(count)
    ]


@pytest.mark.parametrize(
    "action",
    [
        {"$set": {"a": 1}},
        {"$set": {f"n{number}": [number, "é"] if number % 3 else "x" for number in range(5_000)}},
        {"$set": {"a": 1, "l": list(range(10_000)), "b": True}, "$unset": [f"u{number}" for number in range(3_000)]},
    ],
)
def test_writes_operations_as_one_json_object_in_order(action):
    text = operations_text(parse_item({"distinct_id": "u", "action": action}))
    assert text == json.dumps(action, separators=(",", ":"), ensure_ascii=False)
    assert read_names(text) == tuple((Operation(word), list(payload)) for word, payload in action.items())


def test_encodes_a_large_update_in_bounded_pieces(monkeypatch):
    lengths = []

    def noting(value):
        lengths.append(len(value) if isinstance(value, list | dict) else 1)
        return encode(value)

    encode = change_texts._encode
    monkeypatch.setattr(change_texts, "_encode", noting)
    action = {"$set": {f"n{number}": list(range(100)) for number in range(3_000)} | {"l": list(range(50_000))}}
    operations_text(parse_item({"distinct_id": "u", "action": action}))
    ignored_text(ignored_of(50_000))
    assert max(lengths) <= 1_024


@pytest.mark.parametrize("count", [0, 1, 1_000, 1_001, 40_000])
def test_reads_what_was_ignored_as_it_was_written(count):
    ignored = ignored_of(count)
    read = [
        (entry.operation, entry.property, entry.reason, entry.message) for entry in read_ignored(ignored_text(ignored))
    ]
    assert sorted(read) == sorted(map(tuple, ignored))
    assert count > 1_000 or read == list(map(tuple, ignored))


def test_names_that_share_a_reason_share_its_message():
    ignored = ignored_of(100_000)
    assert len(ignored_text(ignored)) < 2 * sum(len(entry.property) for entry in ignored)
