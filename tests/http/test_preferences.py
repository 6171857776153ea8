"""`…/subscriptions/preference` and `…/subscriptions/list/{id}/user`: what people chose, and who may say so."""

from __future__ import annotations

import re
import threading
import uuid

import pytest

from support.strangers import STRANGERS

UNAUTHENTICATED = {"status": "error", "_message": "Invalid API details"}
UNKNOWN = {"status": "error", "_message": "incorrect/non existing distinct_id provided"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SETTINGS = {
    "sections": [
        {
            "name": "News",
            "topics": [
                {
                    "subscription_id": "offers",
                    "name": "Offers",
                    "description": "Every week",
                    "channel_config": {"email": "on", "sms": "off", "voice": "required"},
                }
            ],
        },
        {
            "name": "Shop",
            "topics": [{"subscription_id": "stock", "name": "Back in stock", "channel_config": {"push": "on"}}],
        },
    ]
}
NOTHING_CHOSEN = {
    "meta": {"all": {"preference": {}, "updated_at": {}}},
    "result": {
        "News": [
            {
                "subscription_id": "offers",
                "name": "Offers",
                "description": "Every week",
                "channel_config": {"email": "on", "sms": "off", "voice": "required"},
                "is_global_opted_out": {"email": False, "sms": False, "voice": False},
                "preference": {"email": "opted-in", "sms": "opted-out", "voice": "opted-in"},
                "updated_at": {},
            }
        ],
        "Shop": [
            {
                "subscription_id": "stock",
                "name": "Back in stock",
                "description": None,
                "channel_config": {"push": "on"},
                "is_global_opted_out": {"push": False},
                "preference": {"push": "opted-in"},
                "updated_at": {},
            }
        ],
    },
}


@pytest.fixture(scope="module")
def owner(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    client = server.client(key, workspace_id)
    assert client.call("PUT", f"{client.base}/subscriptions", SETTINGS).status == 200
    return client


@pytest.fixture
def me(owner):
    distinct_id = uuid.uuid4().hex
    assert owner.post("set", {"distinct_id": distinct_id, "$set": {"a": 1}}).status == 202
    return distinct_id


def read(client, distinct_id):
    return client.get(f"subscriptions/preference?distinct_id={distinct_id}")


def choose(client, distinct_id, preferences):
    path = f"{client.base}/subscriptions/preference?distinct_id={distinct_id}"
    return client.call("PUT", path, {"user_preference": preferences})


def choose_one(client, topic_id, **body):
    return client.call("POST", f"{client.base}/subscriptions/list/{topic_id}/user", body)


def topic_in(answer, section="News"):
    return answer.json["result"][section][0]


# --- reading ---


def test_it_shows_what_holds_where_nothing_was_chosen(owner, me):
    answer = read(owner, me)
    assert (answer.status, answer.json) == (200, NOTHING_CHOSEN)


def test_it_shows_choices_with_their_times_and_the_global_opt_out(owner, me):
    choose(owner, me, {"offers": {"email": "opted-out", "sms": "opted-in"}, "all": {"sms": "opted-out"}})
    answer = read(owner, me)
    topic = topic_in(answer)
    assert topic["preference"] == {"email": "opted-out", "sms": "opted-in", "voice": "opted-in"}
    assert topic["is_global_opted_out"] == {"email": False, "sms": True, "voice": False}
    assert set(topic["updated_at"]) == {"email", "sms"}
    meta = answer.json["meta"]["all"]
    assert meta["preference"] == {"sms": "opted-out"}
    assert set(meta["updated_at"]) == {"sms"}
    assert all(TIME.fullmatch(each) for each in (*topic["updated_at"].values(), *meta["updated_at"].values()))


def test_it_does_not_call_what_is_required_opted_out(owner, me):
    choose(owner, me, {"all": {"voice": "opted-out"}})
    topic = topic_in(read(owner, me))
    assert (topic["is_global_opted_out"]["voice"], topic["preference"]["voice"]) == (False, "opted-in")


@pytest.mark.parametrize("query", ["", "?distinct_id=", "?distinct_id=a&distinct_id=b"])
@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PUT", {"user_preference": {}})])
def test_it_asks_for_the_distinct_id_as_fyno_does(owner, query, method, body):
    answer = owner.call(method, f"{owner.base}/subscriptions/preference{query}", body)
    assert (answer.status, answer.json["_message"]) == (400, "distinct_id is required to list preference!")


def test_it_says_which_profile_does_not_exist_as_fyno_does(owner):
    choice = {"offers": {"email": "opted-out"}}
    body = {"distinct_id": "nobody", "channel": "email", "status": "opted-out"}
    for answer in (read(owner, "nobody"), choose(owner, "nobody", choice), choose_one(owner, "offers", **body)):
        assert (answer.status, answer.json) == (400, UNKNOWN)


def test_it_keeps_choices_for_a_topic_that_is_away_for_a_while(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    client = server.client(key, workspace_id)
    path = f"{client.base}/subscriptions"
    client.call("PUT", path, SETTINGS)
    client.post("set", {"distinct_id": "u", "$set": {"a": 1}})
    choose(client, "u", {"offers": {"email": "opted-out"}})
    client.call("PUT", path, {"sections": []})
    assert read(client, "u").json["result"] == {}
    client.call("PUT", path, SETTINGS)
    assert topic_in(read(client, "u"))["preference"]["email"] == "opted-out"


# --- choosing ---


def test_it_answers_with_what_was_recorded(owner, me):
    sent = {
        "offers": {"email": "opted-out", "sms": "opted-in"},
        "stock": {"push": "opted-out"},
        "all": {"teams": "opted-in"},
    }
    answer = choose(owner, me, sent)
    assert (answer.status, answer.json) == (200, sent)


def test_it_keeps_what_is_not_named(owner, me):
    choose(owner, me, {"offers": {"email": "opted-out"}})
    choose(owner, me, {"offers": {"sms": "opted-in"}, "stock": {"push": "opted-out"}})
    answer = read(owner, me)
    assert topic_in(answer)["preference"] == {"email": "opted-out", "sms": "opted-in", "voice": "opted-in"}
    assert topic_in(answer, "Shop")["preference"] == {"push": "opted-out"}


@pytest.mark.parametrize(
    ("preferences", "path"),
    [
        ({"unknown": {"email": "opted-out"}}, "user_preference.unknown"),
        ({"offers": {"push": "opted-out"}}, "user_preference.offers.push"),
        ({"offers": {"voice": "opted-out"}}, "user_preference.offers.voice"),
        ({"offers": {"email": "no"}}, "user_preference.offers.email"),
        ({"all": {"fax": "opted-out"}}, "user_preference.all.fax"),
        ({}, "user_preference"),
    ],
)
def test_it_names_what_cannot_be_chosen_and_applies_nothing(owner, me, preferences, path):
    answer = choose(owner, me, {"stock": {"push": "opted-out"}, **preferences} if preferences else preferences)
    assert (answer.status, [each["path"] for each in answer.json["errors"]]) == (400, [path])
    assert path in answer.json["_message"]
    assert read(owner, me).json == NOTHING_CHOSEN


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"user_preference": 5}'])
def test_it_refuses_bodies_that_are_none(owner, me, body):
    for method, path in (("PUT", f"preference?distinct_id={me}"), ("POST", "list/offers/user")):
        assert owner.call(method, f"{owner.base}/subscriptions/{path}", body).status == 400


@pytest.mark.parametrize(("topic_id", "channel"), [("offers", "email"), ("all", "discord")])
def test_it_takes_fynos_body_and_ours_for_one_topic(owner, me, topic_id, channel):
    answer = choose_one(owner, topic_id, distinct_id=me, channel=channel, status="opted-out")
    assert (answer.status, answer.json) == (200, {topic_id: {channel: "opted-out"}})
    answer = choose_one(owner, topic_id, distinct_id=me, user_preference={topic_id: {channel: "opted-in"}})
    assert (answer.status, answer.json) == (200, {topic_id: {channel: "opted-in"}})


@pytest.mark.parametrize(
    ("topic_id", "body", "path"),
    [
        ("unknown", {"channel": "email", "status": "opted-out"}, "subscription_id"),
        ("offers", {"channel": "voice", "status": "opted-out"}, "channel"),
        ("offers", {"channel": "push", "status": "opted-out"}, "channel"),
        ("offers", {"channel": "email"}, "status"),
        ("offers", {"user_preference": {"stock": {"push": "opted-out"}}}, "user_preference.stock"),
        ("all", {"user_preference": {"all": {"fax": "opted-out"}}}, "user_preference.all.fax"),
    ],
)
def test_it_names_what_cannot_be_chosen_for_one_topic_and_applies_nothing(owner, me, topic_id, body, path):
    answer = choose_one(owner, topic_id, distinct_id=me, **body)
    assert (answer.status, answer.json["errors"][0]["path"]) == (400, path)
    assert read(owner, me).json == NOTHING_CHOSEN


def test_it_asks_whose_choice_for_one_topic_it_is(owner):
    answer = choose_one(owner, "offers", channel="email", status="opted-out")
    assert (answer.status, answer.json["_message"]) == (400, "distinct_id is required!")


def test_it_loses_no_choice_of_many_at_once(server, owner, me):
    channels = ["sms", "whatsapp", "voice", "email", "slack", "discord", "teams", "push", "inapp", "webpush"]
    workspace_id = owner.base.split("/")[2]

    def call(channel):
        client = server.client(owner.key, workspace_id)
        assert choose_one(client, "all", distinct_id=me, channel=channel, status="opted-out").status == 200

    threads = [threading.Thread(target=call, args=(channel,)) for channel in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(owner, me).json["meta"]["all"]["preference"] == dict.fromkeys(channels, "opted-out")


def test_it_keeps_live_and_test_apart(server, owner, me):
    choose(owner, me, {"all": {"sms": "opted-out"}})
    test = server.client(owner.key, owner.base.split("/")[2], "test")
    assert read(test, me).json == UNKNOWN
    test.post("set", {"distinct_id": me, "$set": {"a": 1}})
    assert read(test, me).json == {"meta": {"all": {"preference": {}, "updated_at": {}}}, "result": {}}
    assert choose(test, me, {"offers": {"email": "opted-out"}}).status == 400


# --- who may not ---

ONE = {"distinct_id": "u", "channel": "email", "status": "opted-out"}
CALLS = [
    ("GET", "preference?distinct_id=u", None),
    ("GET", "preference", None),
    ("PUT", "preference?distinct_id=u", {"user_preference": {"all": {"sms": "opted-out"}}}),
    ("PUT", "preference", {}),
    ("POST", "list/all/user", ONE),
    ("POST", "list/unknown/user", {}),
]


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_it_is_closed_to(server, keys_of_strangers, who, method, path, body):
    client = server.client(keys_of_strangers[who], "north")
    answer = client.call(method, f"{client.base}/subscriptions/{path}", body)
    assert (answer.status, answer.json) == (401, UNAUTHENTICATED)


def test_it_lets_readers_read_and_senders_choose(server, cast):
    me = uuid.uuid4().hex
    server.client(cast.ada, "north").post("set", {"distinct_id": me, "$set": {"a": 1}})
    statuses = {}
    for name, key in (("ada", cast.ada), ("bo", cast.bo), ("ian", cast.ian)):
        client = server.client(key, "north")
        statuses[name] = [
            read(client, me).status,
            choose(client, me, {"all": {"sms": "opted-out"}}).status,
            choose_one(client, "all", distinct_id=me, channel="sms", status="opted-in").status,
        ]
    assert statuses == {"ada": [200, 200, 200], "bo": [200, 403, 403], "ian": [403, 200, 200]}


# --- repetitions ---


@pytest.mark.parametrize("for_topic", [False, True])
def test_it_gives_the_first_answer_again_for_the_same_key(owner, me, for_topic):
    """What was chosen carries its time, which is another one for the repetition: that is no other request."""
    path = "list/offers/user" if for_topic else f"preference?distinct_id={me}"

    def send(status):
        body = {"user_preference": {"offers": {"email": status}}, **({"distinct_id": me} if for_topic else {})}
        key = {"Idempotency-Key": f"{me}-{for_topic}"}
        return owner.call("POST" if for_topic else "PUT", f"{owner.base}/subscriptions/{path}", body, key)

    first = send("opted-out")
    chosen_at = topic_in(read(owner, me))["updated_at"]
    again = send("opted-out")
    assert (first.status, first.text) == (again.status, again.text) == (200, first.text)
    assert topic_in(read(owner, me))["updated_at"] == chosen_at
    assert send("opted-in").status == 409


def test_the_same_key_for_another_person_is_a_conflict(owner, me):
    key = {"Idempotency-Key": me}
    body = {"user_preference": {"offers": {"email": "opted-out"}}}
    path = f"{owner.base}/subscriptions/preference?distinct_id="
    assert owner.call("PUT", f"{path}{me}", body, key).status == 200
    assert owner.call("PUT", f"{path}somebody-else", body, key).status == 409
