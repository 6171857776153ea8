"""`GET …/profiles`: pages in a stable order, and searches by how an id, a name or an address begins."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from support.people import create, erase, fresh_id, merge, profile_of, update

CURSOR = "cursor: expected the next_cursor of an answer to the same question, unchanged"


@pytest.fixture(scope="module")
def crowd(server, keys_of_fresh_workspaces):
    """A workspace with a dozen people of whom some things begin alike."""
    workspace_id, key = keys_of_fresh_workspaces()
    client = server.client(key, workspace_id)
    for number in range(8):
        create(client, f"user-{number}", name=f"Ann {number}", channel={"email": f"Ann{number}@example.com"})
    create(client, "ann", name="Zoë")
    create(client, "ANN", name="Straße")
    create(client, "50%_", channel={"email": "user-9@example.com"})
    create(client, "日本", name="日本 太郎")
    return client


def cursor(place):
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def ids_on_all_pages(client, query):
    """Follow the cursors to the end; return the ids and how many pages it took."""
    seen, pages, more = [], 0, ""
    while more is not None:
        answer = client.get(f"profiles?{query}{more and '&cursor=' + quote(more)}")
        assert answer.status == 200, answer
        seen += [item["distinct_id"] for item in answer.json["items"]]
        more = answer.json["next_cursor"]
        pages += 1
    return seen, pages


ALL = [*sorted(["ann", "ANN", "50%_", "日本", *(f"user-{number}" for number in range(8))])]
MADE = [*(f"user-{number}" for number in range(8)), "ann", "ANN", "50%_", "日本"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("", ALL),
        ("&sort=distinct_id", ALL),
        ("&sort=-distinct_id", ALL[::-1]),
        ("&sort=created_at", MADE),
        ("&sort=-created_at", MADE[::-1]),
    ],
)
@pytest.mark.parametrize(("limit", "pages"), [(1, 12), (5, 3), (12, 1), (1_000, 1)])
def test_it_shows_everybody_once_in_order(crowd, sort, expected, limit, pages):
    assert ids_on_all_pages(crowd, f"limit={limit}{sort}") == (expected, pages)


def test_it_shows_profiles_as_they_are_read(crowd):
    items = crowd.get("profiles/?limit=3&").json["items"]
    assert items == [profile_of(crowd, item["distinct_id"]) for item in items]


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("user-", [*(f"user-{number}" for number in range(8)), "50%_"]),
        ("ann", ["ann", *(f"user-{number}" for number in range(8))]),
        ("ANN", ["ANN", *(f"user-{number}" for number in range(8))]),
        ("aNN 3", ["user-3"]),
        ("ann3@EX", ["user-3"]),
        ("strasse", ["ANN"]),
        ("ZOË", ["ann"]),
        ("日", ["日本"]),
        ("50%", ["50%_"]),
        ("%", []),
        ("_", []),
        ("50%x", []),
        ("' OR 1=1 --", []),
        ("\0", []),
        ("\U0010ffff", []),
        ("\ud7ff", []),
        ("example", []),
    ],
)
def test_it_finds_what_begins_so(crowd, q, expected):
    for limit in (1, 3, 100):
        assert ids_on_all_pages(crowd, f"limit={limit}&q={quote(q)}")[0] == expected


def test_it_shows_each_once_while_others_come_and_go(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    client = server.client(key, workspace_id)
    for number in range(0, 20, 2):
        create(client, f"u{number:02}")
    seen, more = [], ""
    for step in range(20):
        answer = client.get(f"profiles?limit=3{more and '&cursor=' + more}").json
        seen += [item["distinct_id"] for item in answer["items"]]
        more = answer["next_cursor"]
        if more is None:
            break
        create(client, f"u{step * 4 + 1:02}")
        if step == 0:
            erase(client, "u04")  # where the cursor stands
    assert len(seen) == len(set(seen))
    assert {f"u{number:02}" for number in range(0, 20, 2)} <= set(seen)


def test_it_leaves_aliases_out(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    client = server.client(key, workspace_id)
    for each in "abc":
        create(client, each, name=each)
    merge(client, "a", "b")
    update(client, "c", {"distinct_id": "d"})
    assert ids_on_all_pages(client, "limit=1") == (["b", "d"], 2)
    assert ids_on_all_pages(client, "q=c")[0] == ["d"]  # by its name
    assert ids_on_all_pages(client, "q=a")[0] == []


def test_it_shows_nobody_of_a_workspace_without_people(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    assert server.client(key, workspace_id).get("profiles").json == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("query", ["limit=1000", "limit=1000&q=fat"])
def test_it_ends_a_page_early_where_profiles_are_large(server, keys_of_fresh_workspaces, query):
    workspace_id, key = keys_of_fresh_workspaces()
    client = server.client(key, workspace_id)
    properties = {f"p{number}": "x" * 255 for number in range(900)}
    ids = [f"fat{number:02}" for number in range(50)]
    for each in ids:
        create(client, each, properties=properties)
    assert len(client.get(f"profiles?{query}").text) < 10_000_000
    assert ids_on_all_pages(client, query) == (ids, 2)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        (f"limit={'9' * 5000}", "limit"),
        ("sort=name", "sort"),
        ("sort=distinct_id;DROP", "sort"),
        (f"q={'a' * 256}", "q"),
        ("q=a&sort=distinct_id", "sort"),
    ],
)
def test_it_names_the_parameter_at_fault(ada, query, path):
    answer = ada.get(f"profiles?{query}")
    assert answer.status == 400
    assert [fault["path"] for fault in answer.json["errors"]] == [path]
    assert answer.json["_message"].startswith(f"{path}: ")


@pytest.mark.parametrize(
    "sent",
    [
        "x",
        "",
        "%C3%BC",
        "%00",
        "a" * 5_000,
        base64.urlsafe_b64encode(b"[" * 3_000).decode(),
        base64.urlsafe_b64encode(b'["distinct_id",1,"\\ud800"]').decode(),
        cursor(["created_at", 1, "a"]),
        cursor(["distinct_id", 1]),
        cursor(["distinct_id", 2**63, "a"]),
        cursor(["distinct_id", -(2**63) - 1, "a"]),
        cursor(["distinct_id", 1.5, "a"]),
        cursor(["distinct_id", None, "a"]),
        cursor(["distinct_id", 1, "a", 1]),
        cursor(["ann", ["distinct_id", "a", "a"]]),
        cursor({"distinct_id": 1}),
    ],
)
def test_it_refuses_a_cursor_that_it_did_not_give(ada, sent):
    answer = ada.get(f"profiles?cursor={sent}")
    assert (answer.status, answer.json["_message"]) == (400, CURSOR)
    assert [fault["path"] for fault in answer.json["errors"]] == ["cursor"]


@pytest.mark.parametrize(
    "place",
    [
        ["other", ["name", "a", "a"]],
        ["ann", ["properties", "a", "a"]],
        ["ann", ["name", None, "a"]],
        ["ann", ["name", "a"]],
        ["distinct_id", 1, "a"],
    ],
)
def test_it_refuses_a_cursor_of_another_search(ada, place):
    answer = ada.get(f"profiles?q=ann&cursor={cursor(place)}")
    assert (answer.status, answer.json["_message"]) == (400, CURSOR)


def test_it_finds_a_person_by_what_they_are_called_now(ada):
    mark = fresh_id()
    me = create(ada, fresh_id(), name=f"{mark} before")
    update(ada, me, {"name": f"After {mark}"})
    assert ids_on_all_pages(ada, f"q={mark}")[0] == []
    assert ids_on_all_pages(ada, f"q=after%20{mark}")[0] == [me]
