"""Campaigns: how quickly an audience is resolved, and how quickly it is sent to a mail server on this machine."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from bench import processes
from bench.population import fill
from bench.processes import Broken, Server
from bench.report import Line, Target
from bench.rounds import Rounds, tell
from bench.traffic import WORKSPACE_ID

_EMAILS = 20_000
_SECONDS_MAX = 900.0


def figures(rounds: Rounds) -> Iterator[Line]:
    """Measure an audience of all profiles, and emails over SMTP with templates, checks and the ledger."""
    with rounds.fresh_folder() as data, _sink() as port:
        tell(f"campaigns: writing {rounds.rows:,} profiles")
        api_key = processes.make_workspace(data)
        fill(data, rounds.rows)
        with processes.traitbase(data, api_key=api_key) as server:
            yield _audience(server, rounds)
            yield _emails(server, rounds, port)


def _audience(server: Server, rounds: Rounds) -> Line:
    rule = {"field": "$bucket", "operator": ">=", "value": 0}
    cohort = _ask(server, "POST", "cohorts", {"name": "all", "filter": {"rules": [rule]}})
    event_id = _event(server, "audience", "sandbox")
    seconds = []
    for number in rounds.named("audience", 1):
        body = {
            "name": f"audience {number}",
            "event_id": event_id,
            "audience": {"cohort_id": cohort["cohort_id"]},
            "options": {"rate": 0.001},
        }
        campaign_id = _ask(server, "POST", "campaigns", body)["campaign_id"]
        run = _launched(server, campaign_id, until=("running", "finished"), wants_start=True)
        seconds.append(_between(run["planned_at"], run["started_at"]))
        _ask(server, "POST", f"campaigns/{campaign_id}/cancel")
    return Line(
        "campaigns", f"audience of {rounds.rows:,} resolved", "s", seconds, Target("<=", 60 * rounds.rows / 1e6)
    )


def _emails(server: Server, rounds: Rounds, port: int) -> Line:
    settings = {"host": "127.0.0.1", "port": port, "security": "none", "from_address": "a@x.test"}
    relay = _ask(server, "POST", "integrations", {"name": "sink", "kind": "smtp", "settings": settings})
    event_id = _event(server, "emails", relay["integration_id"])
    rates = []
    for number in rounds.named("emails"):
        rows = "".join(f"r{number}-{each}@x.test,{each}\n" for each in range(_EMAILS))
        uploaded = _ask(server, "POST", "audiences", f"email,n\n{rows}".encode(), "text/csv")
        body = {"name": f"emails {number}", "event_id": event_id, "audience": {"file_id": uploaded["file_id"]}}
        campaign_id = _ask(server, "POST", "campaigns", body)["campaign_id"]
        run = _launched(server, campaign_id, until=("finished",))
        rates.append(_EMAILS / _between(run["started_at"], run["finished_at"]))
    return Line("campaigns", "emails to a local server", "1/s", rates, Target(">=", 1_000))


def _event(server: Server, name: str, integration_id: str) -> str:
    email = {
        "integration_id": integration_id,
        "subject": "News {{ data.n }}",
        "html": "<p>Hello {{ properties.first_name | default: 'there' }}, it is number {{ data.n }}.</p>",
        "text": "Hello {{ properties.first_name | default: 'there' }}, it is number {{ data.n }}.",
    }
    event = _ask(server, "POST", "events", {"name": name, "type": "transactional", "channels": {"email": email}})
    return str(event["event_id"])


def _launched(server: Server, campaign_id: str, *, until: tuple[str, ...], wants_start: bool = False) -> dict[str, Any]:
    _ask(server, "POST", f"campaigns/{campaign_id}/launch", {})
    deadline = time.monotonic() + _SECONDS_MAX
    while time.monotonic() < deadline:
        runs: list[dict[str, Any]] = _ask(server, "GET", f"campaigns/{campaign_id}/runs")["items"]
        if runs and runs[0]["state"] in until and (runs[0]["started_at"] is not None or not wants_start):
            return runs[0]
        time.sleep(0.2)
    raise Broken("the campaign did not come to its end")


def _between(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def _ask(
    server: Server, method: str, path: str, body: Any = None, content_type: str = "application/json"
) -> dict[str, Any]:
    url = f"http://127.0.0.1:{server.address.port}/v1/{WORKSPACE_ID}/live/{path}"
    sent = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
    headers = {"Authorization": f"Bearer {server.address.api_key}", "Content-Type": content_type}
    request = urllib.request.Request(url, sent, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            found: dict[str, Any] = msgspec.json.decode(answer.read())
            return found
    except urllib.error.HTTPError as error:
        raise Broken(f"{method} {path}: {error.read().decode()}") from error


@contextlib.contextmanager
def _sink() -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.mail_sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()
