"""Faults that people met in other systems that do this job, each as a test named after its number in our list of them.

What other tests hold already (the first word is the number; a test checks that they exist):

    I-4   process/test_concurrency.py  test_it_counts_a_thousand_parallel_adds_over_two_processes_exactly
    I-5   process/test_concurrency.py  test_it_gives_every_new_profile_both_of_two_simultaneous_updates
    I-9   domain/test_merging.py       test_keeps_every_name_and_every_element_of_either
    I-9   http/test_merge_profiles.py  test_it_makes_one_profile_of_two
    I-13  http/test_update_profile.py  test_it_replaces_what_is_sent_and_leaves_the_rest
    I-14  http/test_update_profile.py  test_it_changes_nothing_when_a_profile_is_sent_back_as_it_was_read
    I-20  imports/test_import_csv.py   test_it_keeps_text_as_it_is_written
    I-28  imports/test_import_csv.py   test_it_keeps_numbers_exact
    I-36  http/test_query_profiles.py  test_it_shows_the_chosen_properties_in_the_order_of_the_columns
    I-36  http/test_history.py         test_it_names_properties_as_they_are_called
    I-38  domain/test_operation_limits.py  test_makes_the_five_thousandth_definition_and_no_more
    I-57  http/test_list_profiles.py   test_it_finds_what_begins_so
    I-58  imports/test_import_encodings.py  test_it_reads_unicode_in_any_form
    I-59  imports/test_import_encodings.py  test_it_names_its_guess_and_stores_nothing
    I-62  imports/test_import_csv.py   test_it_brings_any_text_in_byte_for_byte
    I-72  http/test_create_profile.py  test_it_refuses_a_zone_that_is_none

What is about cohorts, campaigns and the console comes with those.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from ingest.submitting import ingest_on, properties_in, run, sent
from store.backends import LIVE
from support.data import open_store
from support.people import create, fresh_id, history_of, merge, profile_of, read
from support.reports import ODD_NAMES, named_tests
from traitbase.domain.spaces import Workspace

MONTH_US = 31 * 86_400_000_000


def properties_of(client, me):
    return profile_of(client, me)["properties"]


def ignored_in(client, answer):
    return [
        (entry["property"], entry["reason"]) for item in client.receipt(answer)["items"] for entry in item["ignored"]
    ]


def definitions_of(client):
    return {row["name"]: row["type"] for row in client.get("properties?limit=5000").json["items"]}


def set_text(client, me, text):
    """Send an update whose `$set` is that very text."""
    return client.post("set", b'{"distinct_id":"%s","$set":%s}' % (me.encode(), text.encode()))


def test_finds_the_tests_that_hold_the_others():
    assert len(named_tests(__doc__)) == 16


def test_i_1_it_keeps_both_of_two_simultaneous_updates(server, cast, ada):
    ids = [fresh_id() for _ in range(20)]

    def send(part):
        client = server.client(cast.ada, "north")
        for me in ids:
            client.post("set", {"distinct_id": me, "$set": {f"i1_{part}": 1}})
        client.close()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(send, "ab"))
    for me in ids:
        assert properties_of(ada, me) == {"i1_a": 1, "i1_b": 1}
        found = ada.call("POST", f"{ada.base}/profiles/query", {"q": me, "columns": ["i1_a", "i1_b"]}).json["items"]
        assert [item["properties"] for item in found] == [{"i1_a": 1, "i1_b": 1}]


def test_i_8_it_keeps_the_first_value_of_the_known_when_an_unknown_is_merged_in(ada):
    known, unknown = fresh_id(), fresh_id()
    ada.post("set-once", {"distinct_id": known, "$once": {"i8_url": "x"}})
    ada.post("set-once", {"distinct_id": unknown, "$once": {"i8_url": "y", "i8_gap": "z"}})
    merge(ada, unknown, known)
    assert properties_of(ada, known) == {"i8_url": "x", "i8_gap": "z"}


@pytest.mark.parametrize("ways", [1, -1])
def test_i_9_it_loses_nothing_of_who_is_known_whichever_way_it_is_merged(ada, ways):
    a = create(ada, fresh_id(), name="Ann", channel={"email": "a@x.com"}, properties={"i9_vip": True})
    source, target = [a, create(ada, fresh_id())][::ways]
    merge(ada, source, target)
    made = profile_of(ada, source)
    assert (made["distinct_id"], made["name"], made["channel"]) == (target, "Ann", {"email": "a@x.com"})
    assert made["properties"] == {"i9_vip": True}
    assert read(ada, target).text == read(ada, source).text


def test_i_10_it_keeps_a_string_a_string_when_two_are_merged(ada):
    a, b = create(ada, fresh_id(), properties={"i10": "X"}), create(ada, fresh_id(), properties={"i10": "Y"})
    merge(ada, a, b)
    assert properties_of(ada, b) == {"i10": "Y"}
    assert definitions_of(ada)["i10"] == "string"


def test_i_11_it_stays_one_profile_from_month_to_month(tmp_path):
    with closing(open_store(tmp_path)) as store:
        store.add_workspace(Workspace(LIVE.workspace_id, "North", "UTC", 0))
        with closing(ingest_on(store)) as ingest:
            run(ingest, sent(("u", {"$set": {"a": 1}})))
            first = store.find_profiles(LIVE, ["u"])[0]
            run(ingest, sent(("u", {"$set": {"b": 2}}), at_us=first.created_at_us + MONTH_US))
        (row,) = store.find_profiles(LIVE, ["u"])
        assert (row.profile_id, row.created_at_us, row.updated_at_us) == (
            first.profile_id,
            first.created_at_us,
            first.created_at_us + MONTH_US,
        )
        assert properties_in(store) == {"a": 1, "b": 2}


def test_i_12_it_leaves_one_property_alone_when_another_is_set(ada):
    me = fresh_id()
    for name in ("i12_p", "i12_q"):
        ada.post("set", {"distinct_id": me, "$set": {name: 1}})
    assert properties_of(ada, me) == {"i12_p": 1, "i12_q": 1}


def test_i_13_it_has_a_partial_update(ada):
    me = create(ada, fresh_id(), channel={"email": "a@x.com", "push": [{"token": "t"}]}, properties={"i13": 1})
    before = profile_of(ada, me)
    ada.call("PUT", f"{ada.base}/profiles/{me}", {"timezone": "Asia/Calcutta"})
    after = profile_of(ada, me)
    assert (after["timezone"], after["channel"], after["properties"]) == (
        "Asia/Calcutta",
        before["channel"],
        before["properties"],
    )


def test_i_15_it_takes_the_second_value_of_a_key(ada):
    me = fresh_id()
    for value in ("v1", "v2"):
        ada.post("set", {"distinct_id": me, "$set": {"i15": value}})
    assert properties_of(ada, me) == {"i15": "v2"}
    ada.post("batch", {"batch": [{"distinct_id": me, "action": {"$set": {"i15": value}}} for value in ("v3", "v4")]})
    assert properties_of(ada, me) == {"i15": "v4"}
    assert [entry["i15"] for entry in history_of(ada, me)] == [["v3", "v4"], ["v2", "v3"], ["v1", "v2"], [None, "v1"]]


def test_i_16_it_is_not_burdened_by_names_that_were_unset(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    client = server.client(key, workspace_id)
    actions = [
        action for number in range(5_000) for action in ({"$set": {f"n{number}": 1}}, {"$unset": [f"n{number}"]})
    ]
    assert client.post("batch", {"batch": [{"distinct_id": "u", "action": action} for action in actions]}).status == 202
    assert properties_of(client, "u") == {}
    answer = client.post("set", {"distinct_id": "u", "$set": {f"n{number}": 2 for number in range(2_000)}})
    assert ignored_in(client, answer) == []
    assert len(properties_of(client, "u")) == 2_000


def told_by(server, workspace_id: str) -> list[dict[str, object]]:
    """Return what the log says of a workspace's names, once it says something: it is written beside the answers."""
    deadline = time.monotonic() + 20
    while True:
        text = Path(server.log.name).read_text()
        lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if "too_many" in line]
        told = [line for line in lines if line["workspace_id"] == workspace_id]
        if told or time.monotonic() >= deadline:
            return told
        time.sleep(0.05)


def test_i_38_it_says_in_its_log_whose_key_floods_it_with_names(server, keys_of_fresh_workspaces):
    workspace_id, key = keys_of_fresh_workspaces()
    client = server.client(key, workspace_id)
    for start in (0, 2_000, 4_000):
        names = {f"n{number}": 1 for number in range(start, start + 2_000)}
        assert client.post("set", {"distinct_id": f"u{start}", "$set": names}).status == 202
    told = told_by(server, workspace_id)
    assert [(line["event"], line["level"], line["environment"]) for line in told] == [
        ("too_many_properties", "warning", "live")
    ]
    with closing(open_store(server.data)) as store:
        assert [key.key_id for key, _ in store.list_api_keys(workspace_id)] == [told[0]["key_id"]]


def test_i_20_it_keeps_digits_in_quotes_text(ada):
    one, other = fresh_id(), fresh_id()
    ada.post("set", {"distinct_id": one, "$set": {"i20": "21546"}})
    ada.post("set", {"distinct_id": other, "$set": {"i20": "spring"}})
    assert (properties_of(ada, one), properties_of(ada, other)) == ({"i20": "21546"}, {"i20": "spring"})
    assert definitions_of(ada)["i20"] == "string"


@pytest.mark.parametrize("literal", ["123456789012345678901234567890", "-1e300", "1e99999", "9" * 6_000])
def test_i_27_it_ignores_visibly_what_no_number_can_hold(ada, literal):
    me = fresh_id()
    answer = set_text(ada, me, f'{{"i27_n":{literal},"i27_t":"x"}}')
    assert (answer.status, ignored_in(ada, answer)) == (202, [("i27_n", "number_out_of_range")])
    assert properties_of(ada, me) == {"i27_t": "x"}
    assert "i27_n" not in definitions_of(ada)
    assert read(ada, me).status == ada.get(f"profiles/{me}/history").status == 200


@pytest.mark.parametrize("number", [9007199254740993, 987654321012345678, -(2**63) - 1, 10**20 - 2])
def test_i_28_it_keeps_whole_numbers_exact(ada, number):
    me = fresh_id()
    set_text(ada, me, f'{{"i28":{number},"i28_l":[{number}]}}')
    ada.post("numerical-add", {"distinct_id": me, "$add": {"i28": 1}})
    assert properties_of(ada, me) == {"i28": number + 1, "i28_l": [number]}
    assert history_of(ada, me)[0]["i28"] == [number, number + 1]
    found = ada.call("POST", f"{ada.base}/profiles/query", {"q": me, "columns": ["i28"]})
    assert found.json["items"][0]["properties"] == {"i28": number + 1}


def test_i_29_it_adds_decimals_without_drift(ada):
    me = fresh_id()
    for _ in range(10):
        ada.post("numerical-add", {"distinct_id": me, "$add": {"i29": 0.1}})
    assert b'"i29":1}' in read(ada, me).text
    exact = [
        entry["changes"][0]["after"]
        for entry in json.loads(ada.get(f"profiles/{me}/history").text, parse_float=Decimal)["items"]
    ]
    assert exact == [1, *(Decimal(number) / 10 for number in range(9, 0, -1))]


def test_i_30_it_takes_dates_with_and_without_an_offset_as_they_are_sent(ada):
    me, days = fresh_id(), ["2026-11-25T18:30:00+05:30", "2026-11-25T18:30:00", "2026-11-25"]
    answer = ada.post("set", {"distinct_id": me, "$set": {f"i30_{number}": day for number, day in enumerate(days)}})
    assert ignored_in(ada, answer) == []
    assert list(properties_of(ada, me).values()) == days
    assert {definitions_of(ada)[f"i30_{number}"] for number in range(3)} == {"date"}


@pytest.mark.parametrize("number", [1481222640000, 1481222640])
def test_i_32_it_takes_no_number_for_a_date(ada, number):
    me = fresh_id()
    ada.post("set", {"distinct_id": me, "$set": {"i32": "2016-12-08"}})
    answer = ada.post("set", {"distinct_id": me, "$set": {"i32": number}})
    assert ignored_in(ada, answer) == [("i32", "type_mismatch")]
    assert properties_of(ada, me) == {"i32": "2016-12-08"}


@pytest.mark.parametrize("character", ["é", "😀", "e", "日"])
def test_i_33_it_takes_255_code_points_and_no_more(ada, character):
    me = fresh_id()
    values = {"i33_fits": character * 255, "i33_long": character * 256, "i33_pair": "e\u0301" * 127 + "e"}
    answer = ada.post("set", {"distinct_id": me, "$set": values})
    assert ignored_in(ada, answer) == [("i33_long", "string_too_long")]
    assert properties_of(ada, me) == {"i33_fits": values["i33_fits"], "i33_pair": values["i33_pair"]}
    named = create(ada, character * 223 + fresh_id(), name=character * 255, properties={character * 255: 1})
    assert profile_of(ada, named)["name"] == character * 255


def test_i_34_it_ignores_a_nul_and_keeps_its_neighbours(ada):
    me = fresh_id()
    answer = ada.post(
        "set", {"distinct_id": me, "$set": {"i34_email": "\0", "i34_name": "T", "i34_list": ["a\0", "b"]}}
    )
    assert answer.status == 202
    assert ignored_in(ada, answer) == [("i34_email", "nul_character"), ("i34_list", "nul_character")]
    assert properties_of(ada, me) == {"i34_name": "T"}


def test_i_34_it_ignores_one_bad_value_among_a_thousand(ada):
    mark = fresh_id()
    items = [
        {"distinct_id": f"{mark}-{number}", "action": {"$set": {"i34_v": "\0" if number == 500 else "x"}}}
        for number in range(1_000)
    ]
    answer = ada.post("batch", {"batch": items})
    assert (answer.status, ignored_in(ada, answer)) == (202, [("i34_v", "nul_character")])
    assert properties_of(ada, f"{mark}-499") == properties_of(ada, f"{mark}-501") == {"i34_v": "x"}
    assert properties_of(ada, f"{mark}-500") == {}


@pytest.mark.parametrize("text", ['"\\ud800"', '"a\\udfffb"', '"\\ud83dx"'])
def test_i_34_it_refuses_half_a_character_and_applies_nothing(ada, text):
    me = fresh_id()
    answer = set_text(ada, me, f'{{"i34_half":{text},"i34_name":"T"}}')
    assert answer.status == 400
    assert "surrogate" in answer.json["_message"]
    assert read(ada, me).status == 400


def test_i_35_it_keeps_emoji_everywhere(ada):
    me = create(
        ada,
        f"😀{fresh_id()}",
        name="Ann 😀",
        channel={"slack": "#😀"},
        properties={"i35 😀": "😀 café", "i35_l": ["😀"]},
    )
    made = profile_of(ada, me)
    assert (made["distinct_id"], made["name"], made["channel"], made["properties"]) == (
        me,
        "Ann 😀",
        {"slack": "#😀"},
        {"i35 😀": "😀 café", "i35_l": ["😀"]},
    )
    assert [
        item["distinct_id"] for item in ada.call("POST", f"{ada.base}/profiles/query", {"q": me}).json["items"]
    ] == [me]


@pytest.fixture(scope="module")
def own(server, keys_of_fresh_workspaces):
    """A workspace in which no other test has given these names a type."""
    workspace_id, key = keys_of_fresh_workspaces()
    return server.client(key, workspace_id)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_i_36_it_takes_an_odd_name_for_a_plain_one_everywhere(own, name):
    me = create(own, fresh_id(), properties={name: 1, "i36": 1})
    own.post("numerical-add", {"distinct_id": me, "$add": {name: 1}})
    assert properties_of(own, me) == {name: 2, "i36": 1}
    assert definitions_of(own)[name] == "number"
    found = own.call("POST", f"{own.base}/profiles/query", {"q": me, "columns": [name]}).json["items"]
    assert [item["properties"] for item in found] == [{name: 2}]
    assert history_of(own, me)[0] == {"action": "properties", name: [1, 2]}
    answer = own.post("unset", {"distinct_id": me, "$unset": [name]})
    assert own.receipt(answer)["items"][0]["applied"] == [{"operation": "$unset", "property": name}]
    assert properties_of(own, me) == {"i36": 1}


@pytest.mark.parametrize("name", ["$x", "", "a\0", "a\n", "n" * 256])
def test_i_36_it_refuses_a_name_that_is_none_by_one_clear_answer(ada, name):
    answer = ada.post("set", {"distinct_id": fresh_id(), "$set": {name: 1}})
    assert (answer.status, answer.json["_message"]) == (400, "$set has object/keys that is not allowed")
    query = ada.call("POST", f"{ada.base}/profiles/query", {"columns": [name]})
    assert (query.status, query.json["errors"][0]["path"]) == (400, "columns")


def test_i_37_it_ignores_null_and_clears_by_unset_only(ada):
    me, unknown = fresh_id(), f"p{fresh_id()}"
    ada.post("set", {"distinct_id": me, "$set": {"i37": "x"}})
    answer = ada.post("set", {"distinct_id": me, "$set": {"i37": None, unknown: None}})
    assert ignored_in(ada, answer) == [("i37", "null_value"), (unknown, "null_value")]
    assert properties_of(ada, me) == {"i37": "x"}
    assert unknown not in definitions_of(ada)
    ada.post("unset", {"distinct_id": me, "$unset": ["i37"]})
    assert properties_of(ada, me) == {}


def test_i_38_it_says_when_there_are_too_many_names_and_serves_the_others(server, keys_of_fresh_workspaces, ada):
    workspace_id, key = keys_of_fresh_workspaces()
    client = server.client(key, workspace_id)
    items = [{"distinct_id": f"u{number}", "action": {"$set": {f"n{number}": 1}}} for number in range(6_000)]
    answer = client.post("batch", {"batch": items})
    reasons = ignored_in(client, answer)
    assert reasons == [(f"n{number}", "too_many_properties") for number in range(5_000, 6_000)]
    assert (
        'traitbase_values_ignored_total{reason="too_many_properties"}' in client.call("GET", "/metrics").text.decode()
    )
    assert ada.post("set", {"distinct_id": fresh_id(), "$set": {f"i38{fresh_id()}": 1}}).status == 202
