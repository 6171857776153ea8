"""`PUT …/profiles/{distinct_id}`: keys sent replace, keys absent stay, and the id in the body renames."""

from __future__ import annotations

import pytest

from support.people import (
    assert_done,
    assert_refused,
    create,
    fresh_id,
    history_of,
    merge,
    profile_of,
    read,
    update,
)

UPDATED = "1 Record(s) updated successfully"
NONE = "Unable to update the record since the record does not exist"
CHANNEL = {"email": "ann@example.com", "sms": "+91 (98790)-12345", "push": [{"token": "a"}]}


def taken(me):
    return f"Distinct ID '{me}' already exists in the 'live' version of your workspace"


@pytest.fixture
def ann(ada):
    return create(
        ada,
        fresh_id(),
        name="Ann",
        timezone="Asia/Calcutta",
        channel=CHANNEL,
        properties={"up_plan": "pro", "up_n": 1.5},
    )


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"name": "Bo"}, {"name": "Bo"}),
        ({"name": None}, {"name": None}),
        ({"status": 0}, {"status": 0}),
        ({"timezone": "UTC"}, {"timezone": "UTC", "timezone_offset": "+00:00"}),
        ({"timezone": None}, {"timezone": None, "timezone_offset": None}),
        ({"channel": {"slack": "s"}}, {"channel": {"slack": "s"}, "channel_raw": {"slack": "s"}, "country_code": None}),
        ({"channel": {}}, {"channel": {}, "channel_raw": {}, "country_code": None}),
        ({"channel": None}, {"channel": {}, "channel_raw": {}, "country_code": None}),
        ({"properties": {"up_n": 2}}, {"properties": {"up_plan": "pro", "up_n": 2}}),
    ],
)
def test_it_replaces_what_is_sent_and_leaves_the_rest(ada, ann, body, changed):
    before = profile_of(ada, ann)
    assert_done(update(ada, ann, body), UPDATED)
    after = profile_of(ada, ann)
    assert after == {**before, **changed, "updated_at": after["updated_at"]}
    assert after["updated_at"] > before["updated_at"]


@pytest.mark.parametrize("body", [{}, {"unknown": 1}, {"name": "Ann"}, {"properties": {}}, {"properties": None}])
def test_it_leaves_a_profile_untouched_where_nothing_is_new(ada, ann, body):
    before = read(ada, ann).text
    assert_done(update(ada, ann, body), UPDATED)
    assert read(ada, ann).text == before


def test_it_changes_nothing_when_a_profile_is_sent_back_as_it_was_read(ada, ann):
    ada.post("set", {"distinct_id": ann, "$set": {"up_day": "2026-11-25", "up_tags": ["a", 1, "2026-11-25T00:00:00Z"]}})
    before, history = read(ada, ann), history_of(ada, ann)
    assert_done(update(ada, ann, before.text), UPDATED)
    assert read(ada, ann).text == before.text
    assert history_of(ada, ann) == history


@pytest.mark.parametrize("sms", ["+91 98790 12345", "+919879012345", "+91-98790.12345"])
def test_it_keeps_a_phone_as_it_was_written_first(ada, ann, sms):
    update(ada, ann, {"channel": {**CHANNEL, "sms": sms}})
    assert profile_of(ada, ann)["channel_raw"]["sms"] == CHANNEL["sms"]


def test_it_says_that_there_is_no_such_profile_and_makes_none(ada):
    me, name = fresh_id(), f"p{fresh_id()}"
    assert_refused(update(ada, me, {"name": "x", "properties": {name: 1}}), NONE)
    assert read(ada, me).status == 400
    assert name not in [row["name"] for row in ada.get("properties?limit=5000").json["items"]]


@pytest.mark.parametrize(
    ("body", "message", "paths"),
    [
        ({"channel": {"sms": "12"}}, "Invalid destination for channel sms", ["channel.sms"]),
        ({"status": 7}, "status: expected 1 (active) or 0 (receives nothing)", ["status"]),
        ({"properties": {"o": {}}}, "$set has object/keys that is not allowed", ["properties.o"]),
        ({"distinct_id": ""}, "distinct_id is required!", ["distinct_id"]),
        ({"distinct_id": 5, "properties": 5}, "distinct_id is required!", ["distinct_id", "properties"]),
        ({"channel": 5}, "channel: expected an object of channels and destinations, not number", ["channel"]),
    ],
)
def test_it_applies_nothing_of_a_body_with_a_fault(ada, ann, body, message, paths):
    before = read(ada, ann).text
    assert_refused(update(ada, ann, {"name": "Good", **body}), message, *paths)
    assert read(ada, ann).text == before


def test_it_says_what_was_ignored_of_the_properties(ada, ann):
    answer = update(ada, ann, {"name": "Bo", "properties": {"up_n": "x", "up_plan": "free"}})
    assert_done(answer, UPDATED)
    (item,) = ada.receipt(answer)["items"]
    assert (item["distinct_id"], item["action"]) == (ann, "update")
    assert item["applied"] == [{"operation": "$set", "property": "up_plan"}]
    assert [(each["property"], each["reason"]) for each in item["ignored"]] == [("up_n", "type_mismatch")]
    after = profile_of(ada, ann)
    assert (after["name"], after["properties"]) == ("Bo", {"up_plan": "free", "up_n": 1.5})


# --- renaming ---


def test_it_renames_and_is_found_by_both_ids(ada, ann):
    new = fresh_id()
    before = profile_of(ada, ann)
    assert_done(update(ada, ann, {"distinct_id": new, "name": "Bo"}), UPDATED)
    after = profile_of(ada, new)
    assert after == {**before, "distinct_id": new, "name": "Bo", "aliases": [ann], "updated_at": after["updated_at"]}
    assert read(ada, ann).text == read(ada, new).text


def test_it_follows_a_chain_of_names_back_to_the_first(ada):
    first, second, third = (fresh_id() for _ in range(3))
    create(ada, first, name="N", properties={"up_a": 1})
    profile_id = profile_of(ada, first)["profile_id"]
    for old, new, aliases in (
        (first, second, [first]),
        (second, third, [second, first]),
        (third, first, [third, second]),
    ):
        assert_done(update(ada, old, {"distinct_id": new}), UPDATED)
        made = profile_of(ada, new)
        assert (made["distinct_id"], made["aliases"], made["profile_id"]) == (new, aliases, profile_id)
        assert made["properties"] == {"up_a": 1}
    assert len({read(ada, each).text for each in (first, second, third)}) == 1
    assert [entry["action"] for entry in history_of(ada, second)] == ["rename", "rename", "rename", "create"]


def test_it_reaches_the_profile_by_an_old_id_and_does_not_rename_it_back(ada, ann):
    new = fresh_id()
    update(ada, ann, {"distinct_id": new})
    assert_done(update(ada, ann, {"distinct_id": ann, "name": "As clients send it"}), UPDATED)
    made = profile_of(ada, new)
    assert (made["distinct_id"], made["name"]) == (new, "As clients send it")


@pytest.mark.parametrize("by_alias", [False, True])
def test_it_refuses_the_id_of_another_profile(ada, ann, by_alias):
    other = create(ada, fresh_id())
    sought = other
    if by_alias:
        other = fresh_id()
        update(ada, sought, {"distinct_id": other})
    before = read(ada, ann).text, read(ada, other).text
    assert_refused(update(ada, ann, {"distinct_id": sought, "name": "x"}), taken(sought), "distinct_id")
    assert (read(ada, ann).text, read(ada, other).text) == before


def test_it_gives_an_old_id_to_nobody_else(ada, ann):
    update(ada, ann, {"distinct_id": fresh_id()})
    answer = ada.call("POST", f"{ada.base}/profiles", {"distinct_id": ann})
    assert_refused(answer, taken(ann), "distinct_id")


def test_it_takes_updates_by_an_old_id(ada, ann):
    new = fresh_id()
    update(ada, ann, {"distinct_id": new})
    single = ada.post("set", {"distinct_id": ann, "$set": {"up_n": "x", "up_late": 1}})
    batch = ada.post("batch", {"batch": [{"distinct_id": me, "action": {"$add": {"up_n": 1}}} for me in (ann, new)]})
    assert profile_of(ada, new)["properties"] == {"up_plan": "pro", "up_n": 3.5, "up_late": 1}
    (item,) = ada.receipt(single)["items"]
    assert (item["distinct_id"], [entry["property"] for entry in item["applied"]]) == (ann, ["up_late"])
    assert [entry["reason"] for entry in item["ignored"]] == ["type_mismatch"]
    assert [each["distinct_id"] for each in ada.receipt(batch)["items"]] == [ann, new]
    assert len(history_of(ada, ann)) == len(history_of(ada, new)) == 5


@pytest.mark.slow
def test_it_keeps_no_more_than_a_thousand_other_ids(ada):
    me = create(ada, fresh_id())
    for number in range(1_000):
        assert update(ada, me, {"distinct_id": f"{me}-{number}"}).status == 200
    answer = update(ada, me, {"distinct_id": f"{me}-more"})
    assert_refused(answer, "the profile has its 1,000 other ids already", "distinct_id")
    assert merge(ada, me, f"{me}-more").status == 400
    assert_done(update(ada, me, {"distinct_id": me}), UPDATED)  # of its own it may have any


# --- paths and requests ---


@pytest.mark.parametrize(
    ("distinct_id", "path"),
    [
        ("a/b c@d", "a/b%20c@d"),
        ("a/b c@e", "a%2fb%20c%40e"),
        ("a:b", "a:b"),
        ("50%2F", "50%252F"),
        ("+&;=", "+&;="),
        ("x/", "x%2F/"),
        ("a/channel", "a%2Fchannel"),
    ],
)
def test_it_reads_the_id_in_the_path(ada, distinct_id, path):
    ada.call("POST", f"{ada.base}/profiles", {"distinct_id": distinct_id})
    name = fresh_id()
    assert_done(ada.call("PUT", f"{ada.base}/profiles/{path}", {"distinct_id": distinct_id, "name": name}), UPDATED)
    assert profile_of(ada, distinct_id)["name"] == name


@pytest.mark.parametrize("path", ["a%00b", "%01", "a%0Ab", "a%0A", "a%0a", "a%C2%85b", "a%FFb", "%C3", "%ED%A0%80"])
def test_it_refuses_a_path_that_is_no_id(ada, path):
    ada.call("POST", f"{ada.base}/profiles", {"distinct_id": "a"})
    answer = ada.call("PUT", f"{ada.base}/profiles/{path}", {"name": "x"})
    assert_refused(answer, "distinct_id must not contain control characters", "distinct_id")


def test_it_refuses_a_path_that_is_too_long(ada):
    answer = ada.call("PUT", f"{ada.base}/profiles/{'x' * 256}", {"name": "x"})
    assert_refused(answer, "distinct_id has at most 255 characters (code points), this one has 256", "distinct_id")


def test_it_gives_the_first_answer_again_for_the_same_key(ada, ann):
    token = {"Idempotency-Key": fresh_id()}
    first = update(ada, ann, {"name": "First"}, token)
    update(ada, ann, {"name": "Second"})
    again = update(ada, ann, {"name": "First"}, token)
    assert (first.status, first.text) == (again.status, again.text)
    assert profile_of(ada, ann)["name"] == "Second"
    assert update(ada, ann, {"name": "Third"}, token).status == 409
    other = create(ada, fresh_id())
    assert update(ada, other, {"name": "First"}, token).status == 409


def test_it_stays_one_profile_when_two_names_are_asked_for_at_once(server, cast, ada):
    from concurrent.futures import ThreadPoolExecutor

    me, wanted = create(ada, fresh_id(), properties={"up_a": 1}), [fresh_id() for _ in range(8)]

    def rename(new):
        client = server.client(cast.ada, "north")
        answer = update(client, me, {"distinct_id": new})
        client.close()
        return answer.status

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(rename, wanted)) == {200}
    assert len({read(ada, each).text for each in (me, *wanted)}) == 1
    assert sorted([*profile_of(ada, me)["aliases"], profile_of(ada, me)["distinct_id"]]) == sorted([me, *wanted])
