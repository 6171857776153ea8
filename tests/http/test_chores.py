"""What the server does by itself now and then."""

from __future__ import annotations

from contextlib import closing

import pytest

from ingest.submitting import NOW_US, ingest_on, run, sent
from store.backends import BACKENDS, LIVE, fresh
from traitbase.api.app import AppParts, TraitbaseApp
from traitbase.segments.scanning import ScanningEngine
from traitbase.services.campaigns.sealing import Vault, new_key

DAY_US = 24 * 3600 * 1_000_000


@pytest.fixture(params=BACKENDS)
def store(request):
    with fresh(request.param) as opened:
        yield opened.store


def app_on(store, *, days_later, **settings):
    now_us = NOW_US + int(days_later * DAY_US)
    parts = AppParts(
        store, ScanningEngine(store), lambda: now_us, lambda: "r", lambda: "p", Vault([new_key()]), None, **settings
    )
    return TraitbaseApp(parts)


def kept_in(store):
    return len(store.find_ignored_values(LIVE, "n", before=None, limit=10_000))


@pytest.mark.parametrize(
    ("days_later", "settings", "left"),
    [
        (6.9, {}, 600),
        (7.1, {}, 0),
        (2, {"ignored_days": 1}, 0),
        (2, {"ignored_days": 30, "receipt_days": 1}, 0),
        (8, {"ignored_days": 30, "receipt_days": 30}, 600),
    ],
)
def test_it_forgets_ignored_values_in_time_and_not_later_than_receipts(store, days_later, settings, left):
    with closing(ingest_on(store)) as ingest:
        run(ingest, sent(("u", {"$set": {"n": 1}}), *[("u", {"$set": {"n": str(each)}}) for each in range(600)]))
    app_on(store, days_later=days_later, **settings)._forget_ignored_values()
    assert kept_in(store) == left
