"""The console's pages over many profiles: each is asked for as a browser would, without its assets."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import httpx

from bench import processes
from bench.population import fill
from bench.processes import Broken
from bench.report import Line, Target
from bench.rounds import Rounds, tell
from bench.traffic import WORKSPACE_ID, distinct_id
from traitbase import bootstrap
from traitbase.cli.accounts import people_of
from traitbase.domain.accounts import Role
from traitbase.services.accounts.people import Newcomer
from traitbase.settings import load_settings

_ASKED = 7
_TARGET = Target("<=", 1_000)
_PASSWORD = "a few words to keep"
_PLACES = (
    " profiles profiles?q={begin} profile?id={somebody} profile/cohorts?id={somebody} properties property?name=plan "
    "property?name=total_spent cohorts cohort?{cohort} cohort/edit?{cohort} campaigns audit"
)
"""What is asked for, beginning with the overview, which has no name."""

_RULE = {
    "r.kind": "group", "r.n": "2",
    "r-0.kind": "rule", "r-0.field": "plan", "r-0.operator": "=", "r-0.value": "pro",
    "r-1.kind": "rule", "r-1.field": "logins", "r-1.operator": ">=", "r-1.value": "10",
}  # fmt: skip


def figures(rounds: Rounds) -> Iterator[Line]:
    """Measure the pages that read many profiles, and the live count of the rule builder."""
    with rounds.fresh_folder() as data:
        tell(f"console: writing {rounds.rows:,} profiles")
        api_key = processes.make_workspace(data)
        fill(data, rounds.rows)
        with closing(bootstrap.open_store(load_settings(data=data))) as store:
            people_of(store).add(WORKSPACE_ID, Newcomer("bench@example.com", "Bench", _PASSWORD), Role.ADMIN)
        with processes.traitbase(data, api_key=api_key) as server, _visitor(server.address.port) as visitor:
            _wait_for_cohorts(visitor)
            yield from _pages(visitor, distinct_id(rounds.rows // 2))


@contextmanager
def _visitor(port: int) -> Iterator[httpx.Client]:
    base = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=base, headers={"sec-fetch-site": "same-origin"}, timeout=120) as visitor:
        answer = visitor.post("/console/sign-in", data={"email": "bench@example.com", "password": _PASSWORD})
        if answer.status_code != httpx.codes.SEE_OTHER:
            raise Broken(f"signing in was answered with {answer.status_code}")
        yield visitor


def _wait_for_cohorts(visitor: httpx.Client) -> None:
    deadline = time.monotonic() + 300
    while visitor.get("/readyz").json()["cohorts"]["state"] != "ready":
        if time.monotonic() > deadline:
            raise Broken("the cohort engine did not become ready")
        time.sleep(0.2)


def _pages(visitor: httpx.Client, somebody: str) -> Iterator[Line]:
    base = f"/console/w/{WORKSPACE_ID}/live"
    saved = visitor.post(f"{base}/cohorts/save", data={**_RULE, "name": "Bench"})
    found = re.search(r"id=(co_\w+)", saved.headers.get("location", ""))
    if found is None:
        raise Broken(f"saving a cohort was answered with {saved.status_code}")
    cohort = f"id={found[1]}"
    for page in _PLACES.format(somebody=somebody, begin=somebody[:-2], cohort=cohort).split(" "):
        url = f"{base}/{page}" if page else base
        what = page.partition("?")[0] or "overview"
        yield Line("console", what, "ms", _times(functools.partial(visitor.get, url)), _TARGET)
    count = f"{base}/cohorts/count"
    form = {**_RULE, "cohort_id": found[1]}
    yield Line("console", "live count of an edit", "ms", _times(lambda: visitor.post(count, data=form)), _TARGET)


def _times(ask: Callable[[], httpx.Response]) -> list[float]:
    found = []
    for _ in range(_ASKED):
        began = time.perf_counter()
        answer = ask()
        found.append((time.perf_counter() - began) * 1_000)
        if answer.status_code != httpx.codes.OK:
            raise Broken(f"{answer.url} was answered with {answer.status_code}")
    return found
