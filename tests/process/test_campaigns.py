"""Campaigns with real servers, real workers and a real mail server; processes are killed at any moment."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from support.data import ON_POSTGRES
from support.mail import Mailbox, Sink
from support.server import Answer, Client, Server, make_cast, serving
from support.waiting import until

ENV = {"TRAITBASE_LEASE_SECONDS": "2", "TRAITBASE_PUBLIC_URL": "https://mail.test"}
RECIPIENTS = 5_000 if ON_POSTGRES else 20_000
KILLS = 10 if ON_POSTGRES else 50
OVER = ("finished", "cancelled", "failed")


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def ada(data):
    return make_cast(data).ada


def call(client: Client, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
    client.connection.close()  # the server does not keep it for as long as some of this takes
    return client.call(method, f"{client.base}/{path}", body, headers)


def made(client: Client, path: str, body: object, headers: dict[str, str] | None = None) -> dict:
    answer = call(client, "POST", path, body, headers)
    assert answer.status in (200, 201, 202), answer
    return answer.json


def integration(client: Client, port: int, **changes: object) -> str:
    settings = {"host": "127.0.0.1", "port": port, "security": "none", "from_address": "news@shop.test"}
    body = {"name": "relay", "kind": "smtp", "settings": settings, **changes}
    return made(client, "integrations", body)["integration_id"]


def event(client: Client, integration_id: str, **changes: object) -> str:
    email = {"integration_id": integration_id, "subject": "News", "html": "<p>Hello {{ data.n }}</p>"}
    body = {"name": "news", "type": "marketing", "channels": {"email": email}, **changes}
    return made(client, "events", body)["event_id"]


def file_of(client: Client, recipients: int) -> dict:
    rows = "".join(f"r{number:06}@x.test,{number}\n" for number in range(recipients))
    return made(client, "audiences", f"email,n\n{rows}".encode(), {"Content-Type": "text/csv"})


def campaign(client: Client, event_id: str, file_id: str, **options: object) -> str:
    body = {"name": "News", "event_id": event_id, "audience": {"file_id": file_id}, "options": options}
    return made(client, "campaigns", body)["campaign_id"]


def state_of(client: Client, campaign_id: str) -> str:
    return call(client, "GET", f"campaigns/{campaign_id}").json["state"]


def deliveries(client: Client, campaign_id: str) -> list[dict]:
    items, cursor = [], ""
    while cursor is not None:
        page = call(
            client, "GET", f"campaigns/{campaign_id}/deliveries?limit=1000{cursor and f'&cursor={cursor}'}"
        ).json
        items += page["items"]
        cursor = page["next_cursor"]
    return items


def test_nobody_is_sent_to_twice_and_nobody_is_skipped_whatever_is_killed(data, ada):
    mailbox = Mailbox()
    chance = random.Random(6)
    with Sink(mailbox) as sink, serving(data, "--role", "api", env=ENV) as server:
        client = server.client(ada, "north")
        event_id = event(client, integration(client, sink.port))
        uploaded = file_of(client, RECIPIENTS)
        assert (uploaded["ready"], uploaded["not_valid"], uploaded["duplicates"]) == (RECIPIENTS, 0, 0)
        # Messages go between a pause's end and the next kill only, at a rate at which there is much left in the end.
        campaign_id = campaign(client, event_id, uploaded["file_id"], rate=400)
        made(client, f"campaigns/{campaign_id}/launch", {"expected_count": RECIPIENTS, "tolerance": 0})
        workers = [Server(data, "--role", "worker", env=ENV) for _ in range(2)]
        try:
            until(lambda: call(client, "GET", f"campaigns/{campaign_id}").json["state"] == "running")
            until(lambda: call(client, "GET", f"campaigns/{campaign_id}/runs").json["items"][0]["started_at"])
            for _ in range(KILLS):
                time.sleep(chance.random())
                which = chance.randrange(2)
                workers[which].kill()
                assert call(client, "POST", f"campaigns/{campaign_id}/pause").status == 200
                workers[which] = Server(data, "--role", "worker", env=ENV)
                assert call(client, "POST", f"campaigns/{campaign_id}/resume").status == 200
            assert state_of(client, campaign_id) == "running", "it was still being sent"
            until(lambda: state_of(client, campaign_id) in OVER, seconds=240)
        finally:
            for worker in workers:
                worker.stop()
        assert state_of(client, campaign_id) == "finished"
        assert max(mailbox.recipients.values()) == 1, "nobody got two"
        rows = deliveries(client, campaign_id)
        counted = Counter(row["state"] for row in rows)
        assert len(rows) == RECIPIENTS
        assert set(counted) <= {"sent", "unconfirmed"}
        sent = {row["destination"] for row in rows if row["state"] == "sent"}
        assert sent <= mailbox.recipients.keys(), "what is said to be sent was"
        unconfirmed = {row["destination"] for row in rows if row["state"] == "unconfirmed"}
        assert mailbox.recipients.keys() <= sent | unconfirmed, "what was sent is known, or listed"
        report = call(client, "GET", f"campaigns/{campaign_id}/report").json
        assert report["total"]["planned"] == report["run"]["members"] == RECIPIENTS
        assert report["total"]["states"] == dict(counted)
        assert counted["unconfirmed"] <= KILLS * 50
