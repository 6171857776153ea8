"""Every test of the store port runs on every implementation of it."""

from __future__ import annotations

from contextlib import closing

import pytest

from store.backends import BACKENDS, fresh


@pytest.fixture(params=BACKENDS)
def backend(request):
    with fresh(request.param) as opened:
        yield opened


@pytest.fixture
def store(backend):
    return backend.store


@pytest.fixture
def session(store):
    with closing(store.open_session()) as opened:
        yield opened
