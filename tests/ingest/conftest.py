"""Every test of the ingest runs on every implementation of the store."""

from __future__ import annotations

from contextlib import closing

import pytest

from ingest.submitting import ingest_on
from store.backends import BACKENDS, fresh


@pytest.fixture(params=BACKENDS)
def backend(request):
    with fresh(request.param) as opened:
        yield opened


@pytest.fixture
def store(backend):
    return backend.store


@pytest.fixture
def ingest(store):
    with closing(ingest_on(store)) as opened:
        yield opened
