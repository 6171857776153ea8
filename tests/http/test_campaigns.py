"""Integrations, events, campaigns and what comes back, over HTTP: as an engineer, a recipient and a provider see it."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time

import pytest

from support.server import Client
from support.waiting import until

EMAIL = {
    "integration_id": "sandbox",
    "subject": "Hi {{ properties.first_name | default: 'there' }}",
    "html": "<p>Hi</p>",
}


ID_OF = {"integrations": "integration_id", "events": "event_id", "campaigns": "campaign_id"}


@pytest.fixture
def client(server, fresh_workspace) -> Client:
    workspace_id, key = fresh_workspace
    return server.client(key, workspace_id)


@pytest.fixture
def fresh_workspace(keys_of_fresh_workspaces) -> tuple[str, str]:
    return keys_of_fresh_workspaces()


def call(client: Client, method: str, path: str, body: object = None, **headers: str):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.call(method, path if path.startswith("/") else f"{client.base}/{path}", body, named)


def made(client: Client, path: str, body: object) -> dict:
    answer = call(client, "POST", path, body)
    assert answer.status in (200, 201, 202), answer
    return answer.json


def faults(answer) -> dict[str, str]:
    assert answer.status == 400, answer
    return {each["path"]: each["message"] for each in answer.json["errors"]}


def event(client: Client, name: str = "news", **changes: object) -> dict:
    return made(client, "events", {"name": name, "type": "marketing", "channels": {"email": EMAIL}, **changes})


def person(client: Client, distinct_id: str, **channel: str) -> None:
    body = {"distinct_id": distinct_id, "channel": {"email": f"{distinct_id}@x.test", **channel}}
    assert call(client, "POST", "profiles", body).status in (200, 201)


def file_of(client: Client) -> str:
    """Return the id of a file with one recipient."""
    answer = call(client, "POST", "audiences", b"email\na@x.test\n", Content_Type="text/csv")
    assert answer.status == 201, answer
    return answer.json["file_id"]


def messages(client: Client) -> list[dict]:
    return call(client, "GET", "integrations/sandbox/messages?limit=1000").json["items"]


def sent(client: Client, *, to: str, **changes: object) -> dict:
    """Fire an event for somebody and return the message that the sandbox recorded."""
    event(client, **changes)
    fired = made(client, "event", {"event": changes.get("name", "news"), "distinct_id": to})
    wanted = fired["response"]["email"]["msg_id"]
    until(lambda: any(each["delivery_id"] == wanted for each in messages(client)))
    return next(each for each in messages(client) if each["delivery_id"] == wanted)


class TestIntegrations:
    def test_a_new_workspace_has_a_sandbox(self, client):
        (found,) = call(client, "GET", "integrations").json["items"]
        assert (found["integration_id"], found["kind"]) == ("sandbox", "sandbox")

    def test_secrets_go_in_and_never_come_out(self, client):
        settings = {"host": "smtp.x.test", "username": "me", "from_address": "me@x.test"}
        body = {"name": "relay", "kind": "smtp", "settings": settings, "secrets": {"password": "hunter2"}}
        answer = made(client, "integrations", body)
        assert answer["secrets"] == ["password", "signing_secret"]
        assert answer["signing_secret"].startswith("whsec_")
        path = f"integrations/{answer['integration_id']}"
        shown = call(client, "GET", path)
        assert b"hunter2" not in shown.text
        assert answer["signing_secret"].encode() not in shown.text
        replaced = call(client, "PUT", path, {**body, "secrets": {}, "name": "other"}).json
        assert (replaced["name"], replaced["secrets"]) == ("other", ["password", "signing_secret"])

    def test_a_fault_is_named(self, client):
        body = {
            "name": " ",
            "kind": "smtp",
            "rate": -1,
            "settings": {"host": "a b", "port": 0, "from": "x"},
            "extra": 1,
        }
        assert faults(call(client, "POST", "integrations", body)).keys() == {
            "name",
            "rate",
            "extra",
            "settings.host",
            "settings.port",
            "settings.from",
            "settings.from_address",
        }

    def test_a_test_says_what_the_provider_said(self, client):
        call(client, "GET", "integrations")
        body = {"destination": "me@x.test"}
        answer = made(client, "integrations/sandbox/test", body)
        assert answer == {"outcome": "sent", "detail": "recorded by the sandbox, sent to nobody"}
        assert messages(client)[0]["message"]["destinations"] == ["me@x.test"]
        assert "destination" in faults(call(client, "POST", "integrations/sandbox/test", {"destination": "nobody"}))

    def test_one_in_use_is_not_deleted(self, client):
        event(client)
        answer = call(client, "DELETE", "integrations/sandbox")
        assert (answer.status, "“news”" in answer.json["_message"]) == (409, True)


class TestEvents:
    def test_faults_of_templates_are_named_with_their_line(self, client):
        template = {**EMAIL, "html": "<p>\n{% if %}", "text": "{{ secrets.x }}"}
        answer = call(client, "POST", "events", {"name": "e", "type": "marketing", "channels": {"email": template}})
        found = faults(answer)
        assert "line 2" in found["channels.email.html"]
        assert "there is no 'secrets.x'" in found["channels.email.text"]

    def test_what_is_not_there_is_named(self, client):
        template = {**EMAIL, "integration_id": "in_none"}
        body = {"name": "e", "type": "marketing", "channels": {"email": template, "fax": {}}, "subscription_id": "no"}
        assert "channels.fax" in faults(call(client, "POST", "events", body))
        del body["channels"]["fax"]
        assert "no such integration" in faults(call(client, "POST", "events", body))["channels.email.integration_id"]

    def test_a_preview_lists_what_is_unknown_and_sends_nothing(self, client):
        person(client, "ann")
        channels = {"email": {**EMAIL, "html": "{{ properties.plan }} {{ properties['first.name'] }} {{ data.n }}"}}
        event_id = event(client, channels=channels)["event_id"]
        (preview,) = made(client, f"events/{event_id}/preview", {"distinct_id": "ann", "data": {"n": 1.50}})["items"]
        assert preview["unknown"] == ["properties.plan", "properties['first.name']"]
        assert preview["message"]["subject"] == "Hi there"
        assert "1.5" in preview["message"]["html"]
        assert messages(client) == []
        answer = call(client, "POST", f"events/{event_id}/preview", {"distinct_id": "nobody"})
        assert answer.status == 400

    def test_a_draft_is_previewed_too(self, client):
        call(client, "GET", "integrations")
        draft = {"name": "draft", "type": "transactional", "channels": {"email": EMAIL}}
        (preview,) = made(client, "events/preview", {"event": draft})["items"]
        assert (preview["has_destination"], preview["error"]) == (False, None)


class TestRevisions:
    """Who says which revision they have read overwrites nothing unseen; who does not is not asked."""

    @pytest.fixture(params=["integrations", "events", "campaigns"])
    def kept(self, request, client) -> tuple[str, dict]:
        """The path of something that is there, and a body that replaces it."""
        channels = {"email": EMAIL}
        news = event(client)["event_id"]
        uploaded = file_of(client)
        bodies = {
            "integrations": {"name": "a", "kind": "sandbox", "settings": {}},
            "events": {"name": "a", "type": "marketing", "channels": channels},
            "campaigns": {"name": "a", "event_id": news, "audience": {"file_id": uploaded}},
        }
        body = bodies[request.param]
        found = made(client, request.param, body)
        assert found["revision"] == 1
        return f"{request.param}/{found[ID_OF[request.param]]}", body

    def test_only_the_one_that_was_read_is_replaced(self, client, kept):
        path, body = kept
        second = call(client, "PUT", path, {**body, "name": "b", "revision": 1})
        assert (second.status, second.json["revision"]) == (200, 2)
        refused = call(client, "PUT", path, {**body, "name": "c", "revision": 1})
        assert refused.status == 409
        assert "was changed meanwhile (it is at revision 2, not 1): read it again" in refused.json["_message"]
        found = call(client, "GET", path).json
        assert (found["name"], found["revision"]) == ("b", 2)
        for whichever in ({}, {"revision": None}):
            assert call(client, "PUT", path, {**body, "name": "d", **whichever}).status == 200
        assert call(client, "GET", path).json["revision"] == 4

    def test_what_is_none_is_named_with_everything_else(self, client, kept):
        path, body = kept
        for wrong in (-1, 1.5, "1", True, []):
            found = faults(call(client, "PUT", path, {**body, "name": "", "revision": wrong}))
            assert found.keys() == {"name", "revision"}, wrong
        assert call(client, "GET", path).json["revision"] == 1

    def test_what_is_new_has_none(self, client, kept):
        path, body = kept
        assert faults(call(client, "POST", path.partition("/")[0], {**body, "revision": 1})).keys() == {"revision"}

    def test_a_campaign_is_launched_only_as_it_was_looked_at(self, client):
        news = event(client)
        body = {"name": "a", "event_id": news["event_id"], "audience": {"file_id": file_of(client)}}
        campaign = made(client, "campaigns", body)
        path, event_path = f"campaigns/{campaign['campaign_id']}", f"events/{news['event_id']}"
        other = {"name": "news", "type": "marketing", "channels": {"email": {**EMAIL, "subject": "Something else"}}}
        assert call(client, "PUT", event_path, other).status == 200
        assert call(client, "PUT", path, {**body, "options": {"rate": 5}}).status == 200
        for revision, event_revision, what in ((1, 2, "the campaign"), (2, 1, "the event"), (1, 1, "the campaign")):
            sent = {"revision": revision, "event_revision": event_revision}
            refused = call(client, "POST", f"{path}/launch", sent)
            assert refused.status == 409
            assert refused.json["_message"].startswith(f"{what} was changed meanwhile")
        found = call(client, "GET", path).json
        assert (found["state"], found["revision"]) == ("draft", 2)
        launched = call(client, "POST", f"{path}/launch", {"revision": 2, "event_revision": 2})
        assert (launched.status, launched.json["state"]) == (200, "scheduled")
        again = call(client, "POST", f"{path}/launch", {"revision": 2, "event_revision": 2})
        assert (again.status, "only a draft can be launched" in again.json["_message"]) == (409, True)


class TestCalls:
    def test_one_is_answered_as_fynos_callers_expect(self, client):
        event(client, type="transactional")
        fired = made(client, "event", {"event": "news", "to": {"email": "a@x.com"}, "data": {"p": 1}})
        assert fired.keys() == {"event", "received_time", "request_id", "response"}
        entry = fired["response"]["email"]
        assert entry == {"destination": "a@x.com", "msg_id": f"{fired['request_id']}-0", "status": "ok"}
        until(lambda: call(client, "GET", f"deliveries/{entry['msg_id']}").json["state"] == "sent")
        assert [each["delivery_id"] for each in messages(client)] == [entry["msg_id"]]
        delivery = call(client, "GET", f"deliveries/{entry['msg_id']}").json
        assert (delivery["state"], delivery["distinct_id"], delivery["destination"]) == ("sent", None, "a@x.com")

    def test_many_are_answered_in_their_order(self, client):
        person(client, "ann")
        event(client, type="transactional")
        batch = [{"to": {"email": "z@x.com"}}, {"distinct_id": "ann"}, {"distinct_id": "ann", "data": {"again": True}}]
        fired = made(client, "event/bulk", {"event": "news", "batch": [*batch, {"distinct_id": "nobody"}]})
        entries = fired["response"]
        assert [entry["seq"] for entry in entries] == [1, 2, 3, 4]
        assert [entry["email"]["status"] for entry in entries] == ["ok", "ok", "ok", "error"]
        assert len({entry["email"]["msg_id"] for entry in entries}) == 4
        until(lambda: len(messages(client)) == 3)

    def test_to_wins_over_the_profiles_own(self, client):
        person(client, "ann")
        event(client, type="transactional")
        fired = made(client, "event", {"event": "news", "distinct_id": "ann", "to": {"email": "b@x.com"}})
        assert fired["response"]["email"]["destination"] == "b@x.com"

    def test_an_unknown_event_is_told_as_fyno_tells_it(self, client):
        answer = call(client, "POST", "event", {"event": "nope", "to": {"email": "a@x.com"}})
        message = "The notification event name 'nope' is invalid or does not exists on prod"
        assert (answer.status, answer.json["_message"]) == (400, message)

    def test_a_key_answers_the_same_again_and_sends_once(self, client):
        event(client, type="transactional")
        body = {"event": "news", "to": {"email": "a@x.com"}}
        first = call(client, "POST", "event", body, Idempotency_Key="k-1")
        again = call(client, "POST", "event", body, Idempotency_Key="k-1")
        assert (first.status, first.json) == (again.status, again.json)
        other = call(client, "POST", "event", {**body, "data": {"a": 1}}, Idempotency_Key="k-1")
        assert other.status == 409
        until(lambda: messages(client))
        time.sleep(0.5)
        assert len(messages(client)) == 1

    def test_faults_are_named_with_their_place(self, client):
        body = {"event": "news", "batch": [{"to": {"email": "no"}}, {}, {"distinct_id": 5, "data": []}]}
        found = faults(call(client, "POST", "event/bulk", body))
        assert {"batch[0].to.email", "batch[2].distinct_id", "batch[2].data"} <= found.keys()


class TestUnsubscribing:
    def link(self, client: Client) -> tuple[str, dict]:
        person(client, "ann")
        found = sent(client, to="ann")
        url = found["message"]["headers"]["List-Unsubscribe"].strip("<>")
        assert found["message"]["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert url in found["message"]["html"]
        assert url in found["message"]["text"]
        return re.sub(r"^https?://[^/]+", "", url), found

    def chosen(self, client: Client) -> dict:
        return call(client, "GET", "subscriptions/preference?distinct_id=ann").json["meta"]["all"]["preference"]

    def test_get_changes_nothing_and_post_unsubscribes(self, client):
        path, found = self.link(client)
        for _ in range(3):
            answer = call(client, "GET", path)
            assert (answer.status, b'method="post"' in answer.text) == (200, True)
        assert self.chosen(client) == {}
        for _ in range(2):
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            assert client.call("POST", path, b"List-Unsubscribe=One-Click", form).status == 200
        assert self.chosen(client) == {"email": "opted-out"}
        delivery = call(client, "GET", f"deliveries/{found['delivery_id']}").json
        assert delivery["unsubscribed_at"] is not None
        fired = made(client, "event", {"event": "news", "distinct_id": "ann"})
        path = f"deliveries/{fired['response']['email']['msg_id']}"
        until(lambda: call(client, "GET", path).json["state"] == "opted_out")

    def test_a_link_that_was_changed_does_nothing(self, client):
        path, _ = self.link(client)
        for wrong in (path[:-2] + ("AA" if path[-2:] != "AA" else "BB"), f"{path}x", "/u/", "/u/%00", "/u/abc"):
            assert call(client, "POST", wrong).status in (404, 405)
        assert self.chosen(client) == {}

    def test_an_address_without_a_profile_is_suppressed(self, client):
        event(client)
        fired = made(client, "event", {"event": "news", "to": {"email": "stranger@x.com"}})
        until(lambda: messages(client))
        url = messages(client)[0]["message"]["headers"]["List-Unsubscribe"].strip("<>")
        assert client.call("POST", re.sub(r"^https?://[^/]+", "", url), b"").status == 200
        found = call(client, "GET", f"/v1/{client.base.split('/')[2]}/suppressions").json
        assert "stranger@x.com" in json.dumps(found)
        assert fired["response"]["email"]["status"] == "ok"


def test_opens_and_clicks_are_seen_and_lead_only_where_the_template_leads(client):
    person(client, "ann")
    call(client, "PUT", "profiles/ann", {"distinct_id": "ann", "properties": {"site": "https://evil.test/x"}})
    page = '<a href="https://shop.test/a?u={{ profile.distinct_id }}">a</a> <a href="{{ properties.site }}">b</a>'
    channels = {"email": {**EMAIL, "html": page}}
    found = sent(client, to="ann", channels=channels, track_opens=True, track_clicks=True)
    html = found["message"]["html"]
    (click,) = re.findall(r'href="(http://[^"]+/t/c/[^"]+)"', html)
    assert 'href="https://evil.test/x"' in html
    (pixel,) = re.findall(r'src="(http://[^"]+/t/o/[^"]+)"', html)
    answer = client.call("GET", re.sub(r"^http://[^/]+", "", pixel))
    assert (answer.status, answer.headers["content-type"]) == (200, "image/gif")
    answer = client.call("GET", re.sub(r"^http://[^/]+", "", click))
    assert (answer.status, answer.headers["location"]) == (302, "https://shop.test/a?u=ann")
    assert client.call("GET", re.sub(r"^http://[^/]+", "", click)[:-3] + "xyz").status == 404
    delivery = call(client, "GET", f"deliveries/{found['delivery_id']}").json
    assert None not in (delivery["opened_at"], delivery["clicked_at"])


class TestProviders:
    def hook(self, client: Client, integration: dict, body: object, *, at: float | None = None, secret: str = ""):
        text = json.dumps(body).encode()
        timestamp = str(int(time.time() if at is None else at))
        key = (secret or integration["signing_secret"]).encode()
        signature = hmac.new(key, timestamp.encode() + b"." + text, hashlib.sha256).hexdigest()
        headers = {"Traitbase-Timestamp": timestamp, "Traitbase-Signature": f"v1={signature}"}
        stranger = Client(client.connection.port, None, "x")
        try:
            return stranger.call("POST", integration["hook"], text, headers)
        finally:
            stranger.close()

    def delivered(self, client: Client) -> tuple[dict, str]:
        integration = made(client, "integrations", {"name": "mine", "kind": "sandbox", "settings": {}})
        person(client, "ann")
        template = {**EMAIL, "integration_id": integration["integration_id"]}
        event(client, channels={"email": template})
        msg_id = made(client, "event", {"event": "news", "distinct_id": "ann"})["response"]["email"]["msg_id"]
        until(lambda: call(client, "GET", f"deliveries/{msg_id}").json["state"] == "sent")
        return integration, msg_id

    def test_what_they_tell_counts_in_any_order_and_once(self, client):
        integration, msg_id = self.delivered(client)
        for status, state in (("delivered", "delivered"), ("bounced", "bounced"), ("delivered", "bounced")):
            for _ in range(2):
                answer = self.hook(client, integration, [{"delivery_id": msg_id, "status": status}])
                assert (answer.status, answer.json) == (200, {"taken": 1, "unknown": []})
            assert call(client, "GET", f"deliveries/{msg_id}").json["state"] == state
        found = call(client, "GET", f"/v1/{client.base.split('/')[2]}/suppressions").json
        assert len([each for each in found if each["destination"] == "ann@x.test"]) == 1

    def test_a_complaint_suppresses(self, client):
        integration, msg_id = self.delivered(client)
        self.hook(client, integration, {"delivery_id": msg_id, "status": "complained"})
        fired = made(client, "event", {"event": "news", "distinct_id": "ann"})["response"]["email"]["msg_id"]
        until(lambda: call(client, "GET", f"deliveries/{fired}").json["state"] == "suppressed")

    def test_strangers_tell_nothing(self, client):
        integration, msg_id = self.delivered(client)
        notice = {"delivery_id": msg_id, "status": "bounced"}
        assert self.hook(client, integration, notice, secret="wrong").status == 401
        assert self.hook(client, integration, notice, at=time.time() - 3_600).status == 401
        assert self.hook(client, {**integration, "hook": "/v1/hooks/in_none"}, notice).status == 401
        other = made(client, "integrations", {"name": "other", "kind": "sandbox", "settings": {}})
        answer = self.hook(client, other, notice)
        assert answer.json == {"taken": 0, "unknown": [msg_id]}, "it is not what carried it"
        assert call(client, "GET", f"deliveries/{msg_id}").json["state"] == "sent"


class TestCampaigns:
    def test_a_file_is_accounted_for_line_by_line(self, client):
        rows = "distinct_id;email;city\nann;ann@x.test;Köln\n;bob@x.test;=1+1\n;no address;\nann;ann2@x.test;\n;;x\n"
        answer = call(client, "POST", "audiences", rows.encode(), Content_Type="text/csv")
        found = answer.json
        assert (answer.status, found["processed"], found["ready"]) == (201, 5, 2)
        assert (found["duplicates"], found["not_valid"]) == (1, 2)
        assert [each["line"] for each in found["not_valid_rows"]] == [4, 6]
        event_id = event(client, type="transactional", channels={"email": {**EMAIL, "text": "{{ data.city }}"}})[
            "event_id"
        ]
        body = {"name": "c", "event_id": event_id, "audience": {"file_id": found["file_id"]}}
        campaign_id = made(client, "campaigns", body)["campaign_id"]
        assert made(client, f"campaigns/{campaign_id}/audience/count", None)["members"] == 2
        made(client, f"campaigns/{campaign_id}/launch", {})
        until(lambda: call(client, "GET", f"campaigns/{campaign_id}").json["state"] == "finished")
        texts = {each["message"]["destinations"][0]: each["message"]["text"] for each in messages(client)}
        assert texts == {"ann@x.test": "Köln", "bob@x.test": "=1+1"}
        exported = call(client, "GET", f"campaigns/{campaign_id}/deliveries/export?format=csv")
        assert exported.text.count(b"\r\n") == 3

    def test_other_formats_are_files_too(self, client, tmp_path):
        import duckdb

        rows = '{"distinct_id": "a", "n": 1}\n\n{"email": "b@x.test"}\n[1]\nnope\n'
        found = call(client, "POST", "audiences", rows.encode(), Content_Type="application/x-ndjson")
        assert found.status == 201, found
        found = found.json
        assert (found["processed"], found["ready"], found["not_valid"]) == (4, 2, 2)
        path = tmp_path / "a.parquet"
        duckdb.sql(f"COPY (SELECT 'u' || i AS distinct_id, i AS n FROM range(5) t(i)) TO '{path}' (FORMAT parquet)")
        media_type = "application/vnd.apache.parquet"
        found = call(client, "POST", "audiences", path.read_bytes(), Content_Type=media_type).json
        assert (found["processed"], found["ready"]) == (5, 5)
        answer = call(client, "POST", "audiences", b"nothing", Content_Type=media_type)
        assert (answer.status, "Parquet" in answer.json["_message"]) == (400, True)
        answer = call(client, "POST", "audiences", b"a,b\n1,2\n", Content_Type="text/csv")
        assert (answer.status, "distinct_id" in answer.json["_message"]) == (400, True)

    def test_faults_are_named(self, client):
        body = {
            "name": "",
            "event_id": "ev_none",
            "audience": {"cohort_id": "a", "file_id": "b"},
            "schedule": {"kind": "recurring", "rule": "FREQ=SECONDLY", "local": "2026-01-01T10:00", "zone": "Mars/X"},
            "options": {"rate": 0, "quiet_hours": {"from": "25:00", "to": "08:00"}, "cap": {"messages": 3}, "x": 1},
        }
        assert faults(call(client, "POST", "campaigns", body)).keys() >= {
            "name",
            "audience",
            "schedule.zone",
            "options.rate",
            "options.quiet_hours.from",
            "options.cap.days",
            "options.x",
        }
        body = {"name": "c", "event_id": "ev_none", "audience": {"cohort_id": "co_none"}}
        assert faults(call(client, "POST", "campaigns", body)).keys() == {"event_id", "audience.cohort_id"}

    def test_a_test_goes_to_a_few_and_leaves_the_campaign_a_draft(self, client):
        person(client, "ann")
        cohort = made(client, "cohorts", {"name": "all", "kind": "static", "members": ["ann"]})["cohort_id"]
        body = {"name": "c", "event_id": event(client)["event_id"], "audience": {"cohort_id": cohort}}
        campaign_id = made(client, "campaigns", body)["campaign_id"]
        run = made(client, f"campaigns/{campaign_id}/test", {"distinct_ids": ["ann"]})
        until(lambda: messages(client))
        assert call(client, "GET", f"campaigns/{campaign_id}").json["state"] == "draft"
        report = call(client, "GET", f"campaigns/{campaign_id}/report?run_id={run['run_id']}").json
        assert (report["run"]["kind"], report["total"]["sent"]) == ("test", 1)

    def test_emoji_and_strange_names_are_fine(self, client):
        person(client, "ann")
        call(client, "PUT", "profiles/ann", {"distinct_id": "ann", "properties": {"a-b.c d": "🎉", "日本": 3}})
        channels = {"email": {**EMAIL, "subject": "🎉 {{ properties['a-b.c d'] }}{{ properties['日本'] }}"}}
        found = sent(client, to="ann", name="Größe 🎉", channels=channels)
        assert found["message"]["subject"] == "🎉 🎉3"
