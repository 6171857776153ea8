"""`traitbase demo`: the main job on made-up people, through the real server and its HTTP API."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from traitbase import bootstrap
from traitbase.cli.accounts import people_of
from traitbase.cli.sink import MailSink
from traitbase.domain.errors import Refused
from traitbase.domain.keys import Reach, Scope
from traitbase.services.workspaces import create_api_key, create_workspace
from traitbase.settings import load_settings

_WORKSPACE = "demo"
_PEOPLE = 1_500
_BATCH = 500
_SEED = 42
_NOT_READY_AFTER_SECONDS = 20
_NOT_SENT_AFTER_SECONDS = 60

_NAMES = ("Ada", "Bo", "Cy", "Dana", "Emre", "Fatima", "Goran", "Hana", "Jia", "Kofi", "Lena", "Noor", "Olga", "Priya")
_CITIES = ("Pune", "Berlin", "São Paulo", "東京", "Nairobi", "Toronto")
_PLANS = ("free", "free", "free", "pro", "pro", "business")
_TAGS = ("newsletter", "beta", "referred", "student", "reseller")
_FIRST_DAY = date(2026, 1, 1)


@dataclass(frozen=True, slots=True)
class _Demo:
    client: httpx.Client
    console: Console


def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="End when all is shown, instead of serving on.")] = False,
    data: Annotated[Path, typer.Option(help="The folder for the demo's data; it is made anew.")] = Path(".demo"),
    port: Annotated[int, typer.Option(help="The port to serve on; 0 for any free one.")] = 0,
) -> None:
    """Send a few thousand updates of made-up people through the API, show what became of them, and serve."""
    console = Console(highlight=False)
    key = _fresh_workspace(data)
    server = subprocess.Popen(  # noqa: S603  # our own command, with a folder and a number
        [sys.executable, "-m", "traitbase", "serve", "--data", str(data), "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        # Always the default. The address is for links in messages, which nobody gets.
        env={**os.environ, "TRAITBASE_DATABASE_URL": "", "TRAITBASE_PUBLIC_URL": "https://demo.example"},
    )
    try:
        url = _url_of(server)
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"{url}/v1/{_WORKSPACE}/live", headers=headers, timeout=30) as client:
            _tell_the_story(_Demo(client, console))
        if exit_:
            return
        console.print(f"\nServing on [bold]{url}[/] until Ctrl-C; the API is described at {url}/docs")
        console.print(f"The console: {url}/console/link/{_first_link(data)} (works once)", soft_wrap=True)
        console.print(f'Try: curl {url}/v1/{_WORKSPACE}/live/profiles/user-7 -H "Authorization: Bearer {key}"')
        server.wait()
    except KeyboardInterrupt:
        console.print("Bye.")
    finally:
        server.terminate()
        server.wait()


def _fresh_workspace(data: Path) -> str:
    if data.exists():
        if any(data.iterdir()) and not (data / bootstrap.DATABASE_FILE).exists():
            message = f"{data} is not empty and holds no demo: choose another folder with --data"
            raise Refused(message, code="not_a_demo")
        shutil.rmtree(data)
    store = bootstrap.open_store(load_settings(data=data, database_url=""))
    now_us = bootstrap.now_us()
    create_workspace(store, name="Demo", workspace_id=_WORKSPACE, timezone="Europe/Berlin", at_us=now_us)
    made = create_api_key(
        store, workspace_id=_WORKSPACE, reach=Reach.BOTH, scope=Scope.ADMIN, name="demo", at_us=now_us
    )
    store.close()
    return made.secret


def _first_link(data: Path) -> str:
    with closing(bootstrap.open_store(load_settings(data=data, database_url=""))) as store:
        token = people_of(store).first_link()
    assert token is not None, "the demo's data was made anew"
    return token


def _url_of(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    words = server.stdout.readline().split()
    url = next((word for word in words if word.startswith("http://")), None)
    if url is None:
        raise Refused("the server did not start; see its message above", code="not_started")
    deadline = time.monotonic() + _NOT_READY_AFTER_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz").is_success:
                return url
        except httpx.TransportError:
            time.sleep(0.05)
    raise Refused(f"the server at {url} did not become ready", code="not_started")


def _tell_the_story(story: _Demo) -> None:
    console = story.console
    updates = list(_life_of(random.Random(_SEED)))  # noqa: S311  # made-up people, the same on every run
    console.rule("1 · updates")
    began = time.perf_counter()
    receipts = []
    for start in range(0, len(updates), _BATCH):
        answer = story.client.post("/profiles/properties/batch", json={"batch": updates[start : start + _BATCH]})
        answer.raise_for_status()
        receipts.append(answer.json()["request_id"])
    seconds = time.perf_counter() - began
    kinds = Counter(operation for update in updates for operation in update["action"])
    sent = ", ".join(f"{count:,} {operation}" for operation, count in kinds.most_common())
    console.print(f"{len(updates):,} updates of {_PEOPLE:,} people in {seconds:.2f} s, each durable when answered")
    console.print(f"  {sent}")
    _send_one(story)
    _show_definitions(story)
    _show_profiles(story)
    _show_ignored(story, receipts)
    _sign_up(story)
    _repair_a_type(story)
    cohort_id = _find_cohorts(story)
    _send_campaigns(story, cohort_id)


def _life_of(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Yield batch items: people sign up, buy, change their minds, and sometimes send nonsense."""
    for number in range(_PEOPLE):
        day = _FIRST_DAY + timedelta(days=chance.randrange(300))
        yield _update(
            number,
            **{
                "$set": {
                    "name": chance.choice(_NAMES),
                    "city": chance.choice(_CITIES),
                    "plan": chance.choice(_PLANS),
                    "zip": f"{chance.randrange(10_000):05d}",
                    "marketing": chance.random() < 0.7,
                },
                "$once": {
                    "signed_up": day.isoformat(),
                    "first_url": chance.choice(["/", "/pricing", "/blog/typed-data"]),
                },
            },
        )
    for _ in range(2 * _PEOPLE):
        number = min(int(chance.expovariate(3 / _PEOPLE)), _PEOPLE - 1)
        price = chance.choice(["4.90", "19.99", "49.00", "120.50"])
        day = _FIRST_DAY + timedelta(days=chance.randrange(300))
        order = f"A-{chance.randrange(100_000):05d}"
        yield _update(
            number,
            **{
                "$set": {"last_purchase": day.isoformat()},
                "$add": {"ltv": float(price), "orders": 1},
                "$append": {"order_ids": order},
            },
        )
    for number in chance.sample(range(_PEOPLE), 300):
        yield _update(number, **{"$append": {"tags": chance.choice(_TAGS)}})
    for number in chance.sample(range(_PEOPLE), 120):
        yield _update(number, **{"$remove": {"tags": "beta"}, "$unset": ["first_url"]})
    for number in chance.sample(range(_PEOPLE), 25):
        yield _update(number, **{"$add": {"ltv": "19.99"}, "$set": {"marketing": "yes", "plan": None}})


def _update(number: int, **action: Any) -> dict[str, Any]:
    return {"distinct_id": f"user-{number}", "action": action}


def _send_one(story: _Demo) -> None:
    body = {"distinct_id": "user-7", "$set": {"city": "Reykjavík", "plan": 5}}
    answer = story.client.post("/profiles/properties/set", json=body)
    request_id = answer.json()["request_id"]
    receipt = story.client.get(f"/requests/{request_id}").json()["items"][0]
    story.console.print(f"One more by itself: set {body['$set']} → {answer.status_code}, and its receipt says")
    for entry in receipt["applied"]:
        story.console.print(f"  [green]applied[/] {entry['operation']} {entry['property']}")
    for entry in receipt["ignored"]:
        story.console.print(f"  [yellow]ignored[/] {entry['operation']} {entry['property']}: {entry['message']}")


def _show_definitions(story: _Demo) -> None:
    story.console.rule("2 · property definitions, inferred from the first values")
    items = story.client.get("/properties").json()["items"]
    story.console.print(", ".join(f"{item['name']}: [bold]{item['type']}[/]" for item in items))


def _show_profiles(story: _Demo) -> None:
    story.console.rule("3 · profiles")
    table = Table("distinct_id", "name", "city", "plan", "zip", "ltv", "orders", "tags")
    for number in (0, 1, 2, 7, 42):
        profile = story.client.get(f"/profiles/user-{number}").json()
        values = profile["properties"]
        names = ("name", "city", "plan", "zip", "ltv", "orders")
        cells = [str(values.get(name, "–")) for name in names]
        table.add_row(profile["distinct_id"], *cells, ", ".join(values.get("tags", ())) or "–")
    story.console.print(table)


def _show_ignored(story: _Demo, receipts: list[str]) -> None:
    story.console.rule("4 · receipts: what was ignored, and why")
    ignored: dict[tuple[str, str, str], list[str]] = {}
    for request_id in receipts:
        for item in story.client.get(f"/requests/{request_id}").json()["items"]:
            for entry in item["ignored"]:
                kind = (entry["operation"], entry["property"], entry["reason"])
                ignored.setdefault(kind, []).append(entry["message"])
    table = Table("operation", "property", "reason", "times", "message")
    for kind, messages in sorted(ignored.items()):
        table.add_row(*kind, f"{len(messages):,}", messages[0])
    story.console.print(table)


def _sign_up(story: _Demo) -> None:
    console, client = story.console, story.client
    console.rule("5 · a visitor signs up: two profiles become one")
    _send(story, "set", {"distinct_id": "visitor-1", "$set": {"first_url": "/pricing", "city": "Lisboa"}})
    body = {
        "distinct_id": "user-new",
        "name": "Inês",
        "timezone": "Europe/Lisbon",
        "channel": {"email": "ines@example.com", "sms": "+351 912 345 678"},
        "properties": {"plan": "free"},
    }
    console.print(f"create user-new → {_done(client.post('/profiles', json=body))}")
    merged = _done(client.request("PATCH", "/profiles/visitor-1/merge/user-new"))
    console.print(f"merge visitor-1 into user-new → {merged}")
    _send(story, "numerical-add", {"distinct_id": "visitor-1", "$add": {"orders": 1}})
    profile = client.get("/profiles/visitor-1").json()
    console.print(f"visitor-1 is {profile['distinct_id']} now: {profile['name']}, {profile['channel']['sms']}")
    console.print(f"  {profile['properties']}", markup=False)
    table = Table("when", "what", "by the id", "property or attribute", "before", "after")
    for entry in client.get("/profiles/user-new/history").json()["items"][:3]:
        for change in entry["changes"]:
            name = change.get("property") or change["attribute"]
            cells = [_shown(change["before"]), _shown(change["after"])]
            table.add_row(entry["at"][11:19], entry["action"], entry["distinct_id"], name, *cells)
    console.print(table)


def _repair_a_type(story: _Demo) -> None:
    console, client = story.console, story.client
    console.rule("6 · a wrong first type, repaired")
    _send(story, "set", {"distinct_id": "user-1", "$set": {"floor": "3"}})
    for number in (2, 3, 4):
        _send(story, "set", {"distinct_id": f"user-{number}", "$set": {"floor": number}})
    before = client.get("/properties/floor").json()
    console.print(f"floor came first as text, so it is {before['type']}: {before['ignored']} numbers were ignored")
    change = {"type": "number", "replay": True}
    rehearsed = client.patch("/properties/floor?dry_run=true", json=change).json()["retype"]
    console.print(f"dry run: {rehearsed['converted']} would convert, {rehearsed['kept_aside']} would be kept aside")
    done = client.patch("/properties/floor", json=change).json()
    console.print(f"retyped: {done['retype']['converted']} converted, {done['replay']['applied']} ignored ones applied")
    floors = {number: client.get(f"/profiles/user-{number}").json()["properties"]["floor"] for number in (1, 2, 3, 4)}
    console.print("  " + ", ".join(f"user-{number}: {floor}" for number, floor in floors.items()))


def _find_cohorts(story: _Demo) -> str:
    """Show two cohorts; return the id of the second one."""
    console, client = story.console, story.client
    console.rule("7 · cohorts: who is in, by rules")
    paying = {"field": "plan", "operator": "in", "value": ["pro", "business"]}
    good = {"field": "ltv", "operator": ">=", "value": 50}
    newsletter = {"field": "tags", "operator": "contains", "value": "newsletter"}
    quiet = {"field": "last_purchase", "operator": "notInLast", "value": {"amount": 90, "unit": "day"}}
    either = {"combinator": "or", "rules": [good, newsletter]}
    for name, rules in (("Paying and engaged", [paying, either]), ("Paying, but quiet", [paying, quiet])):
        body = {"name": name, "filter": {"combinator": "and", "rules": rules}}
        made = client.post("/cohorts", json=body)
        made.raise_for_status()
        cohort = made.json()
        counted = client.get(f"/cohorts/{cohort['cohort_id']}/count").json()
        members = client.get(f"/cohorts/{cohort['cohort_id']}/members?limit=5&columns=plan,ltv").json()["items"]
        console.print(f"[bold]{name}[/]: {counted['count']:,} of {counted['total']:,} in {counted['took_ms']} ms")
        console.print(f"  {cohort['sentence']}", markup=False)
        shown = (f"{each['distinct_id']} {each['properties']}" for each in members[:3])
        console.print(f"  such as {', '.join(shown)}", markup=False)
    why = client.get(f"/cohorts/{cohort['cohort_id']}/members/user-7").json()
    console.print(f"user-7 is {'in' if why['member'] else 'not in'} “{name}”, because")
    for rule in why["reason"]["rules"]:
        console.print(f"  {rule['field']} is {_shown(rule['seen'])}: {'holds' if rule['holds'] else 'does not hold'}")
    cohort_id: str = cohort["cohort_id"]
    return cohort_id


def _send_campaigns(story: _Demo, cohort_id: str) -> None:
    """Send a campaign to a cohort: into the sandbox, which is there from the beginning, and through a mail server."""
    console, client = story.console, story.client
    console.rule("8 · campaigns: to a cohort, never twice, never skipped")
    members = client.get(f"/cohorts/{cohort_id}/members?limit=1000&columns=plan").json()["items"]
    for each in members[:-3]:  # three have no address
        body = {"channel": {"email": f"{each['distinct_id']}@example.com"}}
        client.patch(f"/profiles/{each['distinct_id']}/channel", json=body).raise_for_status()
    with MailSink() as sink:
        settings = {
            "host": "127.0.0.1", "port": sink.port, "security": "none", "from_address": "shop@example.com",
            "from_name": "The Shop",
        }  # fmt: skip
        relay = _made(client, "/integrations", {"name": "Mail server", "kind": "smtp", "settings": settings})
        for name, integration_id in (("Sandbox", "sandbox"), ("Mail server", relay["integration_id"])):
            _send_campaign(story, cohort_id, name, integration_id)
        console.print(f"The mail server was sent {len(sink.messages):,} emails. The first one:")
        for header in ("To", "Subject", "Message-ID", "List-Unsubscribe-Post"):
            console.print(f"  {header}: {sink.messages[0][header]}", markup=False)
        text = sink.messages[0].get_body(("plain",))
        assert text is not None, "every email has a text"
        console.print(f"  {text.get_content().splitlines()[0]}", markup=False)


def _send_campaign(story: _Demo, cohort_id: str, name: str, integration_id: str) -> None:
    client, console = story.client, story.console
    email = {
        "integration_id": integration_id,
        "subject": "{{ properties.name | default: 'Hello' }}, we miss you",
        "html": "<p>Hi {{ properties.name | default: 'there' }}, your {{ properties.plan }} plan misses you.</p>",
    }
    event = _made(
        client, "/events", {"name": f"we miss you ({name})", "type": "marketing", "channels": {"email": email}}
    )
    body = {"name": f"We miss you ({name})", "event_id": event["event_id"], "audience": {"cohort_id": cohort_id}}
    campaign_id = _made(client, "/campaigns", body)["campaign_id"]
    count = client.post(f"/campaigns/{campaign_id}/audience/count").json()["members"]
    client.post(f"/campaigns/{campaign_id}/launch", json={"expected_count": count}).raise_for_status()
    deadline = time.monotonic() + _NOT_SENT_AFTER_SECONDS
    while client.get(f"/campaigns/{campaign_id}").json()["state"] != "finished":
        if time.monotonic() > deadline:
            raise Refused(f"the campaign “{name}” did not finish", code="not_sent")
        time.sleep(0.1)
    report = client.get(f"/campaigns/{campaign_id}/report").json()
    total = report["total"]
    why = ", ".join(f"{number} {reason}" for reason, number in total["not_sent"].items()) or "none"
    console.print(
        f"[bold]{name}[/]: audience {report['run']['members']:,}, sent {total['sent']:,}, not sent: {why}, "
        f"in {_seconds(report['run'])} s"
    )


def _seconds(run: dict[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(run[name]) for name in ("started_at", "finished_at"))
    return round((ended - began).total_seconds(), 2)


def _made(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    answer.raise_for_status()
    made: dict[str, Any] = answer.json()
    return made


def _send(story: _Demo, endpoint: str, body: dict[str, Any]) -> None:
    story.client.post(f"/profiles/properties/{endpoint}", json=body).raise_for_status()


def _done(answer: httpx.Response) -> str:
    answer.raise_for_status()
    message: str = answer.json()["_message"]
    return f"{answer.status_code} {message}"


def _shown(value: object) -> str:
    return "–" if value is None else escape(str(value))
