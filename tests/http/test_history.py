"""`GET …/profiles/{distinct_id}/history`: what changed, newest first, by which request and key."""

from __future__ import annotations

import base64
import json

import pytest

from support.people import (
    NOT_FOUND,
    assert_refused,
    create,
    fresh_id,
    history_of,
    merge,
    patch_channel,
    path_of,
    update,
)


def test_it_tells_what_each_request_changed(ada):
    me = create(ada, fresh_id(), name="Ann", properties={"h_plan": "free"})
    sent = ada.post(
        "batch", {"batch": [{"distinct_id": me, "action": {"$set": {"h_plan": "pro"}, "$add": {"h_n": 0.1}}}]}
    )
    patch_channel(ada, me, {"channel": {"sms": "+15551234567"}})
    page = ada.get(f"profiles/{me}/history").json
    assert page["next_cursor"] is None
    (key_id,) = {entry["key_id"] for entry in page["items"]}
    assert key_id.startswith("key_")
    kept = [{**entry, "at": "", "key_id": "", "request_id": ""} for entry in page["items"]]
    usual = {"at": "", "key_id": "", "request_id": "", "distinct_id": me}
    assert kept == [
        {
            **usual,
            "action": "channel",
            "changes": [{"attribute": "channel.sms", "before": None, "after": "+15551234567"}],
        },
        {
            **usual,
            "action": "properties",
            "changes": [
                {"property": "h_plan", "before": "free", "after": "pro"},
                {"property": "h_n", "before": None, "after": 0.1},
            ],
        },
        {
            **usual,
            "action": "create",
            "changes": [
                {"property": "h_plan", "before": None, "after": "free"},
                {"attribute": "status", "before": None, "after": 1},
                {"attribute": "name", "before": None, "after": "Ann"},
            ],
        },
    ]
    assert page["items"][1]["request_id"] == sent.json["request_id"]
    assert [entry["at"] for entry in page["items"]] == sorted((entry["at"] for entry in page["items"]), reverse=True)


def test_it_says_nothing_of_requests_that_changed_nothing(ada):
    me = create(ada, fresh_id(), name="Ann", properties={"h_n": 1})
    before = history_of(ada, me)
    ada.post("set", {"distinct_id": me, "$set": {"h_n": 1}})
    ada.post("set", {"distinct_id": me, "$set": {"h_n": "ignored"}})
    ada.post("set-once", {"distinct_id": me, "$once": {"h_n": 2}})
    update(ada, me, {"name": "Ann", "properties": {"h_n": 1}})
    update(ada, me, {"status": 9})
    assert history_of(ada, me) == before


def test_it_shows_numbers_and_dates_as_they_are_read(ada):
    me = fresh_id()
    body = b'{"distinct_id":"%s","$set":{"h_big":9007199254740993,"h_day":"2026-11-25","h_x":0.10}}' % me.encode()
    ada.post("set", body)
    text = ada.call("GET", path_of(ada, me, "/history")).text
    assert b'"after":9007199254740993' in text
    assert b'"after":"2026-11-25"' in text
    assert b'"after":0.1}' in text


def test_it_shows_of_a_long_list_what_came_and_went(ada):
    me = fresh_id()
    ada.post("set", {"distinct_id": me, "$set": {"h_long": list(range(70))}})
    ada.post("list-append", {"distinct_id": me, "$append": {"h_long": "new"}})
    ada.post("list-remove", {"distinct_id": me, "$remove": {"h_long": 7}})
    entries = ada.get(f"profiles/{me}/history").json["items"]
    assert [entry["changes"] for entry in entries[:2]] == [
        [{"property": "h_long", "added": [], "removed": [7], "size": [71, 70]}],
        [{"property": "h_long", "added": ["new"], "removed": [], "size": [70, 71]}],
    ]


@pytest.mark.parametrize(
    "name", ["a-b", "a.b", "a b", "a'b", 'a"b', "a[0]", "日本", "a$x", "__proto__", "constructor", "😀"]
)
def test_it_names_properties_as_they_are_called(ada, name):
    me = fresh_id()
    ada.post("set", {"distinct_id": me, "$set": {name: "v"}})
    assert history_of(ada, me) == [{"action": "properties", name: [None, "v"]}]


def test_it_has_the_changes_of_whom_was_merged(ada):
    source, target = create(ada, fresh_id(), name="S"), create(ada, fresh_id(), name="T")
    ada.post("set", {"distinct_id": source, "$set": {"h_a": 1}})
    merge(ada, source, target)
    ada.post("set", {"distinct_id": source, "$set": {"h_b": 1}})
    entries = ada.get(f"profiles/{target}/history").json["items"]
    assert [(entry["action"], entry["distinct_id"]) for entry in entries] == [
        ("properties", source),
        ("merge", target),
        ("properties", source),
        ("create", target),
        ("create", source),
    ]
    assert ada.get(f"profiles/{source}/history").json["items"] == entries


@pytest.mark.parametrize("limit", [1, 2, 7, 1_000])
def test_it_pages_through_all_of_them_once(ada, limit):
    me = create(ada, fresh_id())
    items = [{"distinct_id": me, "action": {"$set": {"h_n": number}}} for number in range(6)]
    ada.post("batch", {"batch": items})
    seen, more = [], ""
    while more is not None:
        page = ada.get(f"profiles/{me}/history?limit={limit}{more and '&cursor=' + more}").json
        seen += [change["after"] for entry in page["items"] for change in entry["changes"]]
        more = page["next_cursor"]
    assert seen == [5, 4, 3, 2, 1, 0, 1]  # at the end the status of a profile that is made


def test_it_says_that_there_is_no_such_profile(ada):
    assert_refused(ada.call("GET", path_of(ada, fresh_id(), "/history")), NOT_FOUND)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x"])
def test_it_names_the_parameter_at_fault(ada, query):
    me = create(ada, fresh_id())
    answer = ada.get(f"profiles/{me}/history?{query}")
    assert (answer.status, answer.json["errors"][0]["path"]) == (400, "limit")


@pytest.mark.parametrize(
    "place",
    ["x", ["a"], ["a/x"], ["a/-1"], ["a/9999999999"], ["/0"], ["a/b/0"], [1], [None], {}, None, ["a/0"] * 2_001],
)
def test_it_refuses_a_cursor_that_it_did_not_give(ada, place):
    me = create(ada, fresh_id())
    sent = base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")
    answer = ada.get(f"profiles/{me}/history?cursor={sent}")
    message = "cursor: expected the next_cursor of an answer to the same question, unchanged"
    assert_refused(answer, message, "cursor")


def test_it_shows_nothing_of_others_for_a_cursor_of_theirs(ada):
    me, other = create(ada, fresh_id()), create(ada, fresh_id())
    update(ada, other, {"name": "secret"})
    theirs = ada.get(f"profiles/{other}/history?limit=1").json["next_cursor"]
    assert ada.get(f"profiles/{other}/history?cursor={theirs}").json["items"] != []
    assert ada.get(f"profiles/{me}/history?cursor={theirs}").json == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("distinct_id", ["a/b", "history", "a/history", "ü 日本"])
def test_it_reads_the_id_in_the_path(ada, distinct_id):
    me = create(ada, fresh_id() + distinct_id)
    assert [entry["action"] for entry in history_of(ada, me)] == ["create"]
