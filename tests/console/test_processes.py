"""The console on several processes, apart from the API, and after its server was killed."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from console.conftest import PASSWORD, Visitor
from support.data import open_store
from support.server import serving
from traitbase import bootstrap
from traitbase.cli.accounts import people_of
from traitbase.domain.accounts import Role
from traitbase.domain.spaces import Space
from traitbase.services.accounts.people import Newcomer
from traitbase.services.accounts.ports import JobState
from traitbase.services.workspaces import create_workspace

SPACE = Space("north", "live")


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    with closing(open_store(folder)) as store:
        create_workspace(store, name="North", workspace_id="north", timezone="UTC", at_us=bootstrap.now_us())
        people_of(store).add("north", Newcomer("ada@example.com", "Ada", PASSWORD), Role.ADMIN)
    return folder


def upload(visitor, lines):
    content = "\n".join(["distinct_id,n", *(f"u-{number},{number}" for number in range(lines))])
    answer = visitor.do("imports/upload", files={"file": ("many.csv", content.encode(), "text/csv")})
    return answer.headers["location"].partition("id=")[2]


def test_any_process_goes_on_with_what_another_one_began(data):
    with serving(data, "--workers", "2") as server, Visitor(server) as visitor:
        assert visitor.sign_in("ada@example.com").status_code == 303
        cookies = dict(visitor.cookies)
        job = upload(visitor, 2_000)
        rule = {
            "r.kind": "group",
            "r.n": "1",
            "r-0.kind": "rule",
            "r-0.field": "$distinct_id",
            "r-0.operator": "notNull",
        }
        for number in range(12):
            with Visitor(server) as anew:  # a connection of its own: the kernel says which process gets it
                anew.cookies.update(cookies)
                assert anew.see("imports/plan", id=job).status_code == 200
                assert anew.do("cohorts/build", **rule, act="add-rule r").text.count('aria-label="Rule"') == 2
                if number == 5:
                    started = anew.do("imports/start", id=job, do="import")
                    assert started.status_code == 303
                    break
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with Visitor(server) as anew:
                anew.cookies.update(cookies)
                page = anew.see("job", id=job).text
            if "2,000 lines read" in page:
                return
        raise AssertionError("no process knows that it is done")


def test_the_console_is_shown_apart_and_the_api_does_without(data):
    with serving(data, "--role", "console") as server, Visitor(server) as visitor:
        assert visitor.sign_in("ada@example.com").status_code == 303
        made = visitor.post("/console/w/north/live/profiles/create", data={"distinct_id": "x", "environment": "live"})
        assert (made.status_code, visitor.see("profile", id="x").status_code) == (303, 200)
        answer = visitor.get("/v1/north/live/profiles")
        assert (answer.status_code, "this server shows the console" in answer.text) == (404, True)
        assert visitor.get("/readyz").json()["cohorts"]["state"] == "ready"
    with serving(data, "--role", "api") as server, Visitor(server) as visitor:
        assert visitor.get("/console").status_code == 404
        assert visitor.get("/v1/north/live/profiles").status_code == 401


def test_work_whose_server_was_killed_is_told_to_be_dead_and_can_be_done_again(data):
    with serving(data) as server, Visitor(server) as visitor:
        visitor.sign_in("ada@example.com")
        job = upload(visitor, 200_000)
        started = visitor.do("imports/start", id=job, do="import")
        assert started.status_code == 303
        server.kill()
    with closing(open_store(data)) as store:
        row = store.find_job(SPACE, job)
        assert row.state is JobState.RUNNING, "it was killed before it was done"
        store.put_job(SPACE, row._replace(updated_at_us=row.updated_at_us - 60_000_000))
    with serving(data) as server, Visitor(server) as visitor:
        visitor.sign_in("ada@example.com")
        assert "has not been heard of" in visitor.see("job", id=job).text
        again = upload(visitor, 5_000)
        page = visitor.get(visitor.do("imports/start", id=again, do="import").headers["location"]).text
        deadline = time.monotonic() + 60
        while "5,000 lines read" not in page and time.monotonic() < deadline:
            time.sleep(0.2)
            page = visitor.see("job", id=again).text
        assert "5,000" in page
        assert "0</b>refused" in page
        assert visitor.see("profile", id="u-4999").status_code == 200


def test_a_session_outlives_the_server(data):
    with serving(data) as server, Visitor(server) as visitor:
        visitor.sign_in("ada@example.com")
        cookies = dict(visitor.cookies)
    with serving(data) as server, Visitor(server) as visitor:
        visitor.cookies.update(cookies)
        assert visitor.see("profiles").status_code == 200
