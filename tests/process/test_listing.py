"""Listing while profiles are being inserted: everyone who was there is on exactly one page."""

from __future__ import annotations

import threading
from collections import Counter
from urllib.parse import quote

import pytest

from process.test_concurrency import in_parallel
from support.server import make_cast, serving

THERE_BEFORE = 3_000
INSERTED = 10_000


def insert(client, ids):
    items = [{"distinct_id": each, "action": {"$set": {"n": 1}}} for each in ids]
    assert client.post("batch", {"batch": items}).status == 202


def pages_of(client, query, limit=100):
    cursor = None
    while True:
        more = "" if cursor is None else f"&cursor={quote(cursor)}"
        answer = client.get(f"profiles?limit={limit}&{query}{more}")
        assert answer.status == 200, answer
        yield [item["distinct_id"] for item in answer.json["items"]]
        cursor = answer.json["next_cursor"]
        if cursor is None:
            return


@pytest.mark.slow
@pytest.mark.parametrize(
    "query", ["sort=distinct_id", "sort=-distinct_id", "sort=created_at", "sort=-created_at", "q=p"]
)
def test_it_shows_everyone_once_while_10_000_are_inserted(tmp_path, query):
    data = tmp_path / "data"
    cast = make_cast(data)
    with serving(data) as server:
        reader, writer = (server.client(cast.ada, "north") for _ in range(2))
        there = [f"p{number * 5:06}" for number in range(THERE_BEFORE)]
        insert(writer, there)
        inserted = threading.Event()
        seen: Counter[str] = Counter()

        def write():
            for start in range(0, INSERTED, 100):
                insert(
                    writer,
                    [f"p{number * 5 % 60_000 + 1 + number // 12_000:06}" for number in range(start, start + 100)],
                )
            inserted.set()

        def read():
            for page in pages_of(reader, query):
                seen.update(page)

        in_parallel([write, read])
        assert inserted.is_set()
        assert [each for each, times in seen.items() if times != 1] == []
        assert set(there) <= seen.keys()
        assert sum(len(page) for page in pages_of(reader, query, limit=1_000)) == THERE_BEFORE + INSERTED
