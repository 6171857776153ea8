"""One server and one pair of workspaces for the client's tests; a client of Ada's, and ways to make others."""

from __future__ import annotations

import uuid

import pytest

from support.clock import Clock
from support.receiver import Receiver, receiving
from support.server import Cast, Server, make_cast, serving
from traitbase import Client


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("client") / "data"


@pytest.fixture(scope="session")
def cast(data) -> Cast:
    return make_cast(data)


@pytest.fixture(scope="session")
def server(data, cast) -> Server:
    assert cast.ada  # made before the server starts
    with serving(data) as running:
        yield running


@pytest.fixture
def client(server, cast) -> Client:
    with Client(f"http://127.0.0.1:{server.port}", "north", cast.ada) as made:
        yield made


@pytest.fixture
def me() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receiver() -> Receiver:
    with receiving() as running:
        yield running


@pytest.fixture
def client_of(receiver, clock):
    """Make clients that call the receiver, by a clock that is moved instead of waited for."""
    made = []

    def make(**options) -> Client:
        options = {"surroundings": clock.surroundings, "batch_seconds": None, **options}
        client = Client(receiver.url, "north", "key", **options)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()
