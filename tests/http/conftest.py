"""One server for all tests of the wire, and a fresh workspace for whoever wants one."""

from __future__ import annotations

import itertools

import pytest

from support.raw import Line
from support.server import Cast, Client, Server, make_cast, run_json, serving
from support.strangers import make_strangers


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("http") / "data"


@pytest.fixture(scope="session")
def cast(data) -> Cast:
    return make_cast(data)


@pytest.fixture(scope="session")
def server(data, cast) -> Server:
    assert cast.ada  # made before the server starts
    with serving(data) as running:
        yield running


@pytest.fixture(scope="session")
def keys_of_strangers(data, cast):
    """By who has it (`support.strangers.STRANGERS`): keys that open nothing in North's live environment."""
    return make_strangers(data, cast)


_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def keys_of_fresh_workspaces(data):
    def make() -> tuple[str, str]:
        workspace_id = f"fresh{next(_numbers)}"
        run_json("workspace", "create", "Fresh", "--id", workspace_id, data=data)
        return workspace_id, run_json("keys", "create", "--workspace", workspace_id, data=data)["api_key"]

    return make


@pytest.fixture
def ada(server, cast) -> Client:
    client = server.client(cast.ada, "north")
    yield client
    client.close()


@pytest.fixture
def line(server):
    made = Line(server.port)
    yield made
    made.close()
