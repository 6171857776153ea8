"""`…/subscriptions`: the topics of an environment, and who may set them."""

from __future__ import annotations

import pytest

from support.strangers import STRANGERS

UNAUTHENTICATED = {"status": "error", "_message": "Invalid API details"}
SETTINGS = {
    "sections": [
        {
            "name": "Nachrichten ü😀",
            "description": None,
            "topics": [
                {
                    "subscription_id": "offers",
                    "name": "Offers",
                    "description": "Every week",
                    "channel_config": {"email": "on", "sms": "off", "voice": "required"},
                }
            ],
        },
        {"name": "Empty", "description": "none yet", "topics": []},
    ]
}


@pytest.fixture(scope="module")
def owner(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    return server.client(key, workspace_id)


def put(client, body, query=""):
    return client.call("PUT", f"{client.base}/subscriptions{query}", body)


def test_it_begins_with_no_topics(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    answer = server.client(key, workspace_id).get("subscriptions")
    assert (answer.status, answer.json) == (200, {"sections": []})


def test_it_replaces_the_topics_and_gives_them_back_as_they_are(owner):
    put(owner, {"sections": [{"name": "Before", "topics": []}]})
    answer = put(owner, SETTINGS)
    assert (answer.status, answer.json) == (200, SETTINGS)
    assert owner.get("subscriptions").json == owner.get("subscriptions/").json == SETTINGS
    assert put(owner, owner.get("subscriptions").json).json == SETTINGS


def test_it_names_every_fault_and_changes_nothing(owner):
    put(owner, SETTINGS)
    topic = {"subscription_id": "all", "name": "", "channel_config": {"fax": "on"}}
    answer = put(owner, {"sections": [{"name": "S", "topics": [topic]}]})
    assert answer.status == 400
    place = "sections[0].topics[0]"
    paths = [f"{place}.subscription_id", f"{place}.name", f"{place}.channel_config.fax"]
    assert [each["path"] for each in answer.json["errors"]] == paths
    assert owner.get("subscriptions").json == SETTINGS


def test_it_keeps_live_and_test_apart(server, owner):
    put(owner, SETTINGS)
    test = server.client(owner.key, owner.base.split("/")[2], "test")
    assert test.get("subscriptions").json == {"sections": []}
    put(test, {"sections": []})
    assert owner.get("subscriptions").json == SETTINGS


def test_it_refuses_bodies_that_are_none(owner):
    assert put(owner, b"{").status == 400
    assert put(owner, b" " * (10 * 1024 * 1024 + 1)).status == 413
    assert put(owner, b"{}", "?x=1").status == 400


# --- who may not ---


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PUT", SETTINGS), ("PUT", {})])
def test_it_is_closed_to(server, keys_of_strangers, who, method, body):
    client = server.client(keys_of_strangers[who], "north")
    answer = client.call(method, f"{client.base}/subscriptions", body)
    assert (answer.status, answer.json) == (401, UNAUTHENTICATED)


def test_it_lets_readers_read_and_only_owners_write(server, cast):
    before = server.client(cast.ada, "north").get("subscriptions").json
    statuses = {}
    for name, key in (("ada", cast.ada), ("bo", cast.bo), ("ian", cast.ian)):
        client = server.client(key, "north")
        statuses[name] = [client.get("subscriptions").status, put(client, before).status]
    assert statuses == {"ada": [200, 200], "bo": [200, 403], "ian": [403, 403]}


def test_it_answers_404_for_another_version(ada):
    assert ada.call("GET", "/v1/north/prod/subscriptions").status == 404
