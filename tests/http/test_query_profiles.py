"""`POST …/profiles/query`: the same pages, with chosen properties."""

from __future__ import annotations

import pytest

from support.people import assert_refused, create, fresh_id, profile_of
from traitbase.api.profile_query import COLUMNS_MAX

ODD_NAMES = ["a-b", "a.b", "a b", "a'b", 'a"b', "a[0]", "日本", "a$x", "__proto__", "constructor", "😀", "' OR 1=1 --"]


def query(client, body):
    return client.call("POST", f"{client.base}/profiles/query", body)


@pytest.fixture(scope="module")
def pair(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    client = server.client(key, workspace_id)
    create(client, "a", name="Ann", properties={"plan": "pro", "n": 1.5, **dict.fromkeys(ODD_NAMES, "v")})
    create(client, "b", name="Bo", properties={"plan": "free"})
    return client


def test_it_answers_an_empty_question_with_everybody(pair):
    assert query(pair, {}).json == {"items": [profile_of(pair, "a"), profile_of(pair, "b")], "next_cursor": None}


@pytest.mark.parametrize(
    ("columns", "of_a", "of_b"),
    [
        ([], {}, {}),
        (["plan"], {"plan": "pro"}, {"plan": "free"}),
        (["n", "plan", "n", "missing"], {"n": 1.5, "plan": "pro"}, {"plan": "free"}),
        (ODD_NAMES, dict.fromkeys(ODD_NAMES, "v"), {}),
    ],
)
def test_it_shows_the_chosen_properties_in_the_order_of_the_columns(pair, columns, of_a, of_b):
    items = query(pair, {"columns": columns}).json["items"]
    assert [list(item["properties"].items()) for item in items] == [list(of_a.items()), list(of_b.items())]
    assert items[0] == {**profile_of(pair, "a"), "properties": of_a}


def test_it_goes_on_where_the_page_before_ended(pair):
    first = query(pair, {"sort": "-distinct_id", "limit": 1, "columns": []}).json
    second = query(pair, {"sort": "-distinct_id", "limit": 1, "columns": ["plan"], "cursor": first["next_cursor"]}).json
    assert [first["items"][0]["distinct_id"], second["items"][0]["distinct_id"]] == ["b", "a"]
    assert second["next_cursor"] is None


def test_it_takes_the_cursor_of_a_listing(pair):
    more = pair.get("profiles?limit=1").json["next_cursor"]
    assert [item["distinct_id"] for item in query(pair, {"cursor": more}).json["items"]] == ["b"]


def test_it_searches(pair):
    assert [item["distinct_id"] for item in query(pair, {"q": "AN", "sort": None}).json["items"]] == ["a"]


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({"sort": "name"}, ["sort"]),
        ({"limit": 0}, ["limit"]),
        ({"limit": True}, ["limit"]),
        ({"limit": 10**30}, ["limit"]),
        ({"limit": "5"}, ["limit"]),
        ({"q": 5}, ["q"]),
        ({"q": "x" * 256}, ["q"]),
        ({"q": "x", "sort": "created_at"}, ["sort"]),
        ({"cursor": 5}, ["cursor"]),
        ({"cursor": "x"}, ["cursor"]),
        ({"columns": "plan"}, ["columns"]),
        ({"columns": ["$a"]}, ["columns"]),
        ({"columns": [["a"]]}, ["columns"]),
        ({"columns": ["a"] * (COLUMNS_MAX + 1)}, ["columns"]),
        (
            {"zzz": 1, "q": 1, "sort": 2, "limit": -1, "cursor": [], "columns": 1},
            ["zzz", "q", "sort", "limit", "cursor", "columns"],
        ),
        ([], [""]),
    ],
)
def test_it_names_what_cannot_be_asked(pair, body, paths):
    answer = query(pair, body)
    assert_refused(answer, answer.json["_message"], *paths)


def test_it_names_the_first_twenty_of_very_many_faults(ada):
    answer = query(ada, {f"{fresh_id()}": 1 for _ in range(1_000)})
    assert answer.status == 400
    assert len(answer.json["errors"]) == 20
