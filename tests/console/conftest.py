"""A server with a cast of people: Ada runs workspace North, Ed edits there, Vi looks; Cy runs South."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from types import SimpleNamespace

import httpx
import pytest

from support.data import open_store
from support.server import Server, serving
from traitbase import bootstrap
from traitbase.cli.accounts import people_of
from traitbase.domain.accounts import Role
from traitbase.domain.keys import Reach, Scope
from traitbase.services.accounts.people import Newcomer
from traitbase.services.workspaces import create_api_key, create_workspace

PASSWORD = "a few words to keep"


class Visitor(httpx.Client):
    """A browser without a window: keeps cookies, and says where its forms come from."""

    def __init__(self, server: Server) -> None:
        url = f"http://127.0.0.1:{server.port}"
        super().__init__(base_url=url, headers={"sec-fetch-site": "same-origin"}, timeout=60)

    def sign_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        return self.post("/console/sign-in", data={"email": email, "password": password})

    def see(self, place: str = "", *, workspace: str = "north", environment: str = "live", **query) -> httpx.Response:
        path = f"/console/w/{workspace}/{environment}" + (f"/{place}" if place else "")
        return self.get(path, params=query)

    def do(
        self, place: str, *, workspace: str = "north", environment: str = "live", files=None, **fields
    ) -> httpx.Response:
        return self.post(f"/console/w/{workspace}/{environment}/{place}", data=fields, files=files)


@dataclass(frozen=True)
class People:
    """Who can sign in, signed in already, and an API key of North with which tests bring data."""

    ada: Visitor
    ed: Visitor
    vi: Visitor
    cy: Visitor
    key: str
    ids: SimpleNamespace


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("console") / "data"


@pytest.fixture(scope="session")
def made(data):
    """The workspaces, the people and a key."""
    cast = {"ada": ("north", Role.ADMIN), "ed": ("north", Role.EDITOR), "vi": ("north", Role.VIEWER)}
    with closing(open_store(data)) as store:
        for name, zone in (("North", "Europe/Berlin"), ("South", "UTC")):
            at_us = bootstrap.now_us()
            create_workspace(store, name=name, workspace_id=name.lower(), timezone=zone, at_us=at_us)
        people = people_of(store)
        ids = {}
        for name, (workspace, role) in {**cast, "cy": ("south", Role.ADMIN)}.items():
            newcomer = Newcomer(f"{name}@example.com", name.title(), PASSWORD)
            ids[name] = people.add(workspace, newcomer, role).account_id
        key = create_api_key(
            store, workspace_id="north", reach=Reach.BOTH, scope=Scope.ADMIN, name="tests", at_us=bootstrap.now_us()
        )
    return ids, key.secret


@pytest.fixture(scope="session")
def server(data, made) -> Server:
    assert made
    with serving(data, env={"TRAITBASE_PUBLIC_URL": "https://mail.example"}) as running:
        yield running


@pytest.fixture(scope="session")
def people(server, made) -> People:
    ids, key = made
    visitors = {}
    for name in ("ada", "ed", "vi", "cy"):
        visitors[name] = Visitor(server)
        assert visitors[name].sign_in(f"{name}@example.com").status_code == 303
    yield People(**visitors, key=key, ids=SimpleNamespace(**ids))
    for each in visitors.values():
        each.close()


@pytest.fixture
def nobody(server) -> Visitor:
    with Visitor(server) as visitor:
        yield visitor


@pytest.fixture
def api(server, people):
    """The API of North's live environment."""
    client = server.client(people.key, "north")
    yield client
    client.close()


@pytest.fixture
def api_test(server, people):
    """The API of North's test environment."""
    client = server.client(people.key, "north", "test")
    yield client
    client.close()
