"""Listing many profiles: the first page and the last, in every order, and searches."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote

import msgspec

from bench import processes
from bench.population import fill
from bench.processes import Broken, Server
from bench.report import Line, Target
from bench.rounds import Rounds, tell
from bench.traffic import WORKSPACE_ID, distinct_id
from traitbase.api.cursors import cursor_of, place_in
from traitbase.services.ports import ProfileOrder

_ASKED = 20
_PAGE = 100


def figures(rounds: Rounds) -> Iterator[Line]:
    """Measure pages of 100 profiles as they are answered over HTTP."""
    with rounds.fresh_folder() as data:
        tell(f"listing: writing {rounds.rows:,} profiles")
        api_key = processes.make_workspace(data)
        fill(data, rounds.rows)
        with processes.traitbase(data, api_key=api_key) as server:
            for order in ProfileOrder:
                yield _line(f"first page by {order}", server, f"sort={order}")
                yield _line(f"last page by {order}", server, f"sort={order}&cursor={quote(_last(server, order))}")
            yield _line("search by id", server, f"q={distinct_id(rounds.rows // 2)[:-2]}")
            yield _line("search by name", server, f"q=customer%20{rounds.rows // 2}")
            yield _line("search for nobody", server, "q=nobody")


def _line(what: str, server: Server, query: str) -> Line:
    return Line("listing", what, "ms", [_milliseconds(server, query) for _ in range(_ASKED)], Target("<=", 50))


def _milliseconds(server: Server, query: str) -> float:
    began = time.perf_counter()
    _ask(server, query)
    return (time.perf_counter() - began) * 1_000


def _last(server: Server, order: ProfileOrder) -> str:
    """Return the cursor of the last page: the place before it is found from the other end."""
    backwards = order[1:] if order.startswith("-") else f"-{order}"
    page = _ask(server, f"sort={backwards}&limit={_PAGE + 1}")
    there = _ask(server, f"sort={backwards}&limit={_PAGE + 1}&cursor={quote(page['next_cursor'])}")
    if not there["items"]:
        raise Broken("there are too few profiles to have a last page")
    kind, *place = place_in(page["next_cursor"], tuple[str, int, str])
    if kind != backwards:
        raise Broken(f"the cursor is of another order: {kind}")
    return cursor_of([order, *place])


def _ask(server: Server, query: str) -> dict[str, object]:
    url = f"http://127.0.0.1:{server.address.port}/v1/{WORKSPACE_ID}/live/profiles?{query}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {server.address.api_key}"})
    with urllib.request.urlopen(request) as answer:
        return msgspec.json.decode(answer.read())
