"""`PATCH …/profiles/{source}/merge/{target}`: one profile of two, and no value of either is lost unseen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from support.people import (
    assert_done,
    assert_refused,
    create,
    fresh_id,
    history_of,
    merge,
    path_of,
    profile_of,
    read,
    update,
)

MERGED = "1 Record(s) updated and 1 Records(s) deleted"
SAME = "a profile cannot be merged into itself, and these two ids are the same profile"


@pytest.fixture
def pair(ada):
    """Two profiles with values of their own, values of both, and gaps."""
    source = create(
        ada,
        fresh_id(),
        name="Source",
        timezone="UTC",
        status=0,
        channel={"email": "s@x.com", "push": [{"token": "a"}, {"token": "b", "status": 0}]},
        properties={"m_city": "X", "m_list": ["b", "a", 1], "m_source": 1.5},
    )
    target = create(
        ada,
        fresh_id(),
        name="Target",
        channel={"email": "t@x.com", "sms": "+15551234567", "push": [{"token": "b"}, {"token": "c"}]},
        properties={"m_city": "Y", "m_list": ["b", "c"], "m_target": True},
    )
    return source, target


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_it_makes_one_profile_of_two(ada, pair, method):
    source, target = pair
    old, before = profile_of(ada, source), profile_of(ada, target)
    assert_done(ada.call(method, path_of(ada, source, f"/merge/{target}")), MERGED)
    after = profile_of(ada, target)
    channel = {
        "email": "t@x.com",
        "sms": "+15551234567",
        "push": [{"token": token, "integration_id": None, "status": 1} for token in ("b", "c", "a")],
    }
    assert after == {
        **before,
        "timezone": "UTC",
        "timezone_offset": "+00:00",
        "channel": {**channel, "sms": "+1 555-123-4567"},
        "channel_raw": channel,
        "properties": {"m_city": "Y", "m_list": ["b", "c", "a", 1], "m_target": True, "m_source": 1.5},
        "id_list": [old["profile_id"]],
        "aliases": [source],
        "updated_at": after["updated_at"],
    }
    assert read(ada, source).text == read(ada, target).text


def test_it_writes_down_what_a_merge_changed(ada, pair):
    source, target = pair
    merge(ada, source, target)
    merged, *older = history_of(ada, target)
    assert merged["action"] == "merge"
    assert merged["m_list"] == [["b", "c"], ["b", "c", "a", 1]]
    assert merged["m_source"] == [None, 1.5]
    assert merged["$timezone"] == [None, "UTC"]
    assert merged["$aliases"] == [None, [source]]
    assert "m_city" not in merged
    assert sorted(entry["$name"][1] for entry in older) == ["Source", "Target"]


def test_it_says_so_in_the_receipt(ada, pair):
    source, target = pair
    (item,) = ada.receipt(merge(ada, source, target))["items"]
    assert item == {"distinct_id": target, "applied": [], "ignored": [], "action": "merge"}


def test_it_renames_where_the_target_is_missing(ada, pair):
    source, _ = pair
    new = fresh_id()
    before = profile_of(ada, source)
    assert_done(merge(ada, source, new), MERGED)
    after = profile_of(ada, new)
    assert after == {**before, "distinct_id": new, "aliases": [source], "updated_at": after["updated_at"]}


def test_it_refuses_a_source_that_does_not_exist_and_makes_no_target(ada):
    source, target = fresh_id(), fresh_id()
    assert_refused(merge(ada, source, target), "merge from id does not exist")
    assert read(ada, target).status == 400


def test_it_refuses_to_merge_a_profile_into_itself(ada, pair):
    source, target = pair
    assert_refused(merge(ada, source, source), SAME, "target")
    merge(ada, source, target)
    before = read(ada, target).text
    for ids in ((source, target), (target, source), (source, source)):  # by its old id
        assert_refused(merge(ada, *ids), SAME, "target")
    assert read(ada, target).text == before


def test_it_unites_everything_that_was_merged_before(ada):
    ids = [create(ada, fresh_id(), properties={f"m_{number}": number}) for number in range(4)]
    profile_ids = [profile_of(ada, each)["profile_id"] for each in ids]
    for source, target in ((0, 1), (2, 3), (1, 3)):
        assert_done(merge(ada, ids[source], ids[target]), MERGED)
    made = profile_of(ada, ids[3])
    assert made["properties"] == {f"m_{number}": number for number in range(4)}
    assert made["aliases"] == [ids[2], ids[1], ids[0]]
    assert made["id_list"] == [profile_ids[2], profile_ids[1], profile_ids[0]]
    assert len({read(ada, each).text for each in ids}) == 1


def test_it_takes_updates_by_the_id_that_was_merged(ada, pair):
    source, target = pair
    merge(ada, source, target)
    answer = ada.post("set", {"distinct_id": source, "$set": {"m_city": "Z"}})
    assert profile_of(ada, target)["properties"]["m_city"] == "Z"
    (item,) = ada.receipt(answer)["items"]
    assert (item["distinct_id"], item["applied"]) == (source, [{"operation": "$set", "property": "m_city"}])
    assert history_of(ada, target)[0] == {"action": "properties", "m_city": ["Y", "Z"]}


def test_it_takes_several_ids_of_one_person_in_one_batch_in_order(ada, pair):
    source, target = pair
    merge(ada, source, target)
    items = [{"distinct_id": me, "action": {"$append": {"m_order": number}}} for number, me in enumerate(pair * 3)]
    ada.post("batch", {"batch": items})
    assert profile_of(ada, target)["properties"]["m_order"] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("of_source", "of_target", "named"),
    [
        ({"properties": {"m_long": list(range(600))}}, {"properties": {"m_long": list(range(600, 1200))}}, "m_long"),
        (
            {"properties": {f"m_s{number}": 1 for number in range(1_100)}},
            {"properties": {f"m_t{number}": 1 for number in range(1_100)}},
            "2,000 properties",
        ),
        (
            {"properties": {f"m_b{number}": "x" * 255 for number in range(600)}},
            {"properties": {f"m_c{number}": "x" * 255 for number in range(600)}},
            "256 KB",
        ),
        (
            {"channel": {"push": [{"token": f"s{number}"} for number in range(60)]}},
            {"channel": {"push": [{"token": f"t{number}"} for number in range(60)]}},
            "100 tokens",
        ),
    ],
    ids=["list", "properties", "bytes", "tokens"],
)
def test_it_refuses_a_merge_that_would_be_too_large_and_changes_nothing(
    server, keys_of_fresh_workspaces, of_source, of_target, named
):
    workspace_id, key = keys_of_fresh_workspaces()
    client = server.client(key, workspace_id)
    source, target = create(client, "source", **of_source), create(client, "target", **of_target)
    before = read(client, source).text, read(client, target).text
    answer = merge(client, source, target)
    assert_refused(answer, answer.json["_message"], "merge")
    assert "cannot be merged" in answer.json["_message"]
    assert named in answer.json["_message"]
    assert (read(client, source).text, read(client, target).text) == before


@pytest.mark.parametrize("ids", [("a b/ü", "c%2F:d"), ("x/merge/y", "z/merge"), ("?a", "#b"), ("😀" * 200, "é" * 200)])
def test_it_tells_odd_ids_apart(ada, ids):
    source, target = (f"{each}{fresh_id()}" for each in ids)
    create(ada, source, name="S")
    create(ada, target)
    assert_done(merge(ada, source, target), MERGED)
    assert profile_of(ada, target)["name"] == "S"
    assert profile_of(ada, target)["aliases"] == [source]


@pytest.mark.parametrize(("source", "target", "path"), [("%00", "a", "source"), ("a", "%FF", "target")])
def test_it_refuses_ids_that_are_none(ada, source, target, path):
    answer = ada.call("PATCH", f"{ada.base}/profiles/{source}/merge/{target}")
    assert_refused(answer, "distinct_id must not contain control characters", path)


@pytest.mark.parametrize("body", [b"{garbage", b"\xff", b'{"a":1}'])
def test_it_does_not_ask_what_is_in_the_body(ada, pair, body):
    assert_done(ada.call("POST", path_of(ada, pair[0], f"/merge/{pair[1]}"), body), MERGED)


def test_it_gives_the_first_answer_again_for_the_same_key(ada, pair):
    source, target = pair
    token = {"Idempotency-Key": fresh_id()}
    first, again = (ada.call("PATCH", path_of(ada, source, f"/merge/{target}"), None, token) for _ in range(2))
    assert (first.status, first.text) == (again.status, again.text)
    assert first.status == 200
    assert ada.call("PATCH", path_of(ada, source, f"/merge/{fresh_id()}"), None, token).status == 409


def test_it_makes_one_person_of_two_merged_both_ways_at_once(server, cast, ada, pair):
    def ask(ids):
        client = server.client(cast.ada, "north")
        answer = merge(client, *ids)
        client.close()
        return answer.status

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(ask, [pair, pair[::-1]])) == [200, 400]
    assert read(ada, pair[0]).text == read(ada, pair[1]).text
    assert set(profile_of(ada, pair[0])["properties"]["m_list"]) == {"a", "b", "c", 1}


def test_it_loses_no_update_that_comes_while_two_are_merged(server, cast, ada):
    source, target = create(ada, fresh_id()), create(ada, fresh_id())

    def work(number):
        client = server.client(cast.ada, "north")
        if number == 8:
            assert merge(client, source, target).status == 200
        else:
            me = (source, target)[number % 2]
            assert client.post("list-append", {"distinct_id": me, "$append": {"m_seen": number}}).status == 202
        client.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(20)))
    assert sorted(profile_of(ada, target)["properties"]["m_seen"]) == [number for number in range(20) if number != 8]
    assert update(ada, source, {"name": "x"}).status == 200
