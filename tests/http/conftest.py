"""One server for all tests of the wire, and a fresh workspace for whoever wants one."""

from __future__ import annotations

import itertools

import pytest

from support.cohorts import encode
from support.data import open_store
from support.raw import Line
from support.server import Cast, Client, Server, make_cast, serving
from support.strangers import make_strangers
from traitbase import bootstrap
from traitbase.domain.keys import Reach, Scope
from traitbase.services.workspaces import create_api_key, create_workspace


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
def keys_of_fresh_workspaces(server):
    """Makes workspaces beside the running server, as the command line does, but without starting a process for each."""
    store = open_store(server.data)

    def make() -> tuple[str, str]:
        workspace_id, at_us = f"fresh{next(_numbers)}", bootstrap.now_us()
        create_workspace(store, name="Fresh", workspace_id=workspace_id, timezone="UTC", at_us=at_us)
        made = create_api_key(
            store, workspace_id=workspace_id, reach=Reach.BOTH, scope=Scope.ADMIN, name="", at_us=at_us
        )
        return workspace_id, made.secret

    yield make
    store.close()


@pytest.fixture(scope="module")
def make_client(server, keys_of_fresh_workspaces):
    """Makes workspaces in which there are these profiles, by id, with these properties."""

    def make(people: dict[str, dict[str, object]]) -> Client:
        workspace_id, key = keys_of_fresh_workspaces()
        client = server.client(key, workspace_id)
        for distinct_id, properties in people.items():
            if properties:
                answer = client.post("set", encode({"distinct_id": distinct_id, "$set": properties}))
                assert answer.status == 202, answer
            else:
                answer = client.call("POST", f"{client.base}/profiles", {"distinct_id": distinct_id})
                assert answer.status == 201, answer
        return client

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
