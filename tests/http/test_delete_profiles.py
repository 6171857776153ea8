"""`POST …/profiles/delete`: a person is erased with everything by which they can be recognised."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from urllib.parse import quote

import pytest

from support.data import ON_POSTGRES, sqlite_only
from support.people import assert_refused, create, erase, fresh_id, history_of, merge, profile_of, read, update
from traitbase.bootstrap import DATABASE_FILE

NONE = "Cannot delete non existing user"


def assert_erased(answer, profiles, aliases):
    assert answer.status == 200, answer
    body = answer.json
    assert body == {
        "status": "ok",
        "_message": f"{profiles} User(s) deleted successfully",
        "request_id": body["request_id"],
        "erased": {**body["erased"], "profiles": profiles, "aliases": aliases},
        "log_cleared": not ON_POSTGRES,
        "cohorts_cleared": True,
        "file_rewritten": body["file_rewritten"],  # not each time, if one comes after the other
    }
    assert set(body["erased"]) == {
        *("profiles", "aliases", "changes", "ignored_values", "kept_aside", "cohort_members", "suppressions")
    }


def test_it_erases_those_that_exist_and_counts_them(ada):
    ids = [create(ada, fresh_id()) for _ in range(3)]
    answer = erase(ada, ids[0], fresh_id(), ids[1], ids[0])
    assert_erased(answer, 2, 0)
    assert [read(ada, each).status for each in ids] == [400, 400, 200]


def test_it_says_that_none_exists(ada):
    assert_refused(erase(ada, fresh_id(), fresh_id()), NONE)


def test_it_erases_the_person_an_alias_leads_to_with_all_their_ids(ada):
    first, second, third = (create(ada, fresh_id(), properties={"d_a": number}) for number in range(3))
    renamed = fresh_id()
    merge(ada, first, second)
    merge(ada, third, second)
    update(ada, second, {"distinct_id": renamed})
    assert_erased(erase(ada, first, third), 1, 3)
    assert [read(ada, each).status for each in (first, second, third, renamed)] == [400] * 4


def test_it_leaves_no_history_to_whoever_gets_the_id_next(ada):
    me = create(ada, fresh_id(), name="Before")
    profile_id = profile_of(ada, me)["profile_id"]
    erase(ada, me)
    create(ada, me, name="After")
    assert history_of(ada, me) == [{"action": "create", "$status": [None, 1], "$name": [None, "After"]}]
    assert profile_of(ada, me)["profile_id"] != profile_id


def test_it_leaves_no_receipt_of_the_persons_updates_and_one_of_the_erasure(ada):
    me = fresh_id()
    sent = ada.post("set", {"distinct_id": me, "$set": {"d_number": 1}})
    erased = erase(ada, me)
    assert ada.get(f"requests/{sent.json['request_id']}").status == 404
    receipt = ada.receipt(erased)
    assert receipt == {
        "request_id": erased.json["request_id"],
        "received_at": receipt["received_at"],
        "items": [],
        "erased": erased.json["erased"],
    }
    assert me not in json.dumps(receipt)


@sqlite_only
def test_it_leaves_no_trace_in_the_files(ada, data):
    mark = fresh_id()
    me, alias = create(ada, f"me-{mark}", name=f"name-{mark}", channel={"email": f"{mark}@x.com"}), f"alias-{mark}"
    create(ada, alias, properties={"d_mark": f"value-{mark}"})
    merge(ada, alias, me)
    ada.post("set", {"distinct_id": me, "$set": {"d_number": 1}})
    ada.post("set", {"distinct_id": me, "$set": {"d_number": f"ignored-{mark}"}})
    files = [file for file in data.iterdir() if file.name.startswith(DATABASE_FILE)]
    assert any(mark.encode() in file.read_bytes() for file in files)
    erased = erase(ada, me)
    assert_erased(erased, 1, 1)
    # The free space of the database file is cleared at once, or soon if another erasure's was just before.
    deadline = time.monotonic() + (0 if erased.json["file_rewritten"] else 120)
    while found := [file.name for file in data.iterdir() if mark.encode() in file.read_bytes()]:
        assert time.monotonic() < deadline, (found, erased.json)
        time.sleep(0.2)
    database = sqlite3.connect(data / DATABASE_FILE)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_it_keeps_the_environments_apart(server, cast, ada):
    me = create(ada, fresh_id())
    test = server.client(cast.ada, "north", "test")
    create(test, me)
    assert_erased(erase(ada, me), 1, 0)
    assert read(test, me).status == 200


def test_it_takes_a_thousand_ids_and_refuses_one_more(ada):
    me = fresh_id()
    items = [{"distinct_id": f"{me}-{number}", "action": {"$set": {"d_a": 1}}} for number in range(1_000)]
    ada.post("batch", {"batch": items})
    ids = [item["distinct_id"] for item in items]
    message = "distinct_id: at most 1,000 profiles at once: send it in parts"
    assert_refused(erase(ada, *ids, me), message, "distinct_id")
    assert read(ada, ids[0]).status == 200
    assert_erased(erase(ada, *ids), 1_000, 0)
    assert read(ada, ids[999]).status == 400


@pytest.mark.parametrize("sent", [None, "a", 5, {}, []])
def test_it_refuses_what_is_no_array_of_ids(ada, sent):
    answer = ada.call("POST", f"{ada.base}/profiles/delete", {"distinct_id": sent})
    assert_refused(answer, "distinct_id: expected an array of distinct_ids with at least one item", "distinct_id")


def test_it_names_every_id_that_is_none_and_erases_nothing(ada):
    me = create(ada, fresh_id())
    answer = ada.call("POST", f"{ada.base}/profiles/delete/", {"distinct_id": [me, 1, "", None, "b\0"]})
    paths = [f"distinct_id[{position}]" for position in range(1, 5)]
    assert_refused(answer, "distinct_id is required!", *paths)
    assert read(ada, me).status == 200


@pytest.mark.parametrize("distinct_id", ["a/b", "50%", "ü 日本", "😀" * 220, "delete", "'; DROP TABLE profiles --"])
def test_it_erases_by_any_id(ada, distinct_id):
    me = create(ada, distinct_id + fresh_id())
    assert_erased(erase(ada, me), 1, 0)
    assert read(ada, me).status == 400


def test_it_gives_the_first_answer_again_for_the_same_key_and_erases_nobody_new(ada):
    me, token = create(ada, fresh_id()), {"Idempotency-Key": fresh_id()}
    body = {"distinct_id": [me]}
    first = ada.call("POST", f"{ada.base}/profiles/delete", body, token)
    create(ada, me)
    again = ada.call("POST", f"{ada.base}/profiles/delete", body, token)
    # Whether the file was rewritten is that of the moment: one that comes soon after another waits.
    assert (first.status, first.json) == (again.status, {**again.json, "file_rewritten": first.json["file_rewritten"]})
    assert read(ada, me).status == 200


def test_it_takes_the_place_of_what_waits_before_it(server, cast, ada):
    from concurrent.futures import ThreadPoolExecutor

    me = create(ada, fresh_id())

    def work(number):
        client = server.client(cast.ada, "north")
        answer = erase(client, me) if number == 5 else update(client, me, {"name": str(number)})
        client.close()
        return number, answer.status

    with ThreadPoolExecutor(8) as threads:
        answers = dict(threads.map(work, range(12)))
    assert answers.pop(5) == 200
    assert set(answers.values()) <= {200, 400}
    assert read(ada, me).status == 400


@pytest.mark.parametrize("way", ["merged away", "replaced"])
def test_a_destination_that_they_had_before_is_taken_out_of_suppressions_too(ada, way):
    """The profile does not lead to it any more; its changes do."""
    number = f"+1555{uuid.uuid4().int % 10**7:07}"
    me = create(ada, fresh_id(), channel={"sms": number})
    suppressions = f"{ada.base.rpartition('/')[0]}/suppressions"
    sent = {"destination": number, "channel": "sms", "description": f"{me} called"}
    assert ada.call("POST", suppressions, sent).status == 200
    if way == "merged away":
        other = create(ada, fresh_id(), channel={"sms": "+15550001111"})
        merge(ada, me, other)
    else:
        update(ada, me, {"channel": {"sms": "+15550001111"}})
    assert erase(ada, me).json["erased"]["suppressions"] == 1
    (row,) = ada.call("GET", f"{suppressions}?destination={quote(number)}").json
    assert (row["destination"], row["description"]) == (None, None)
