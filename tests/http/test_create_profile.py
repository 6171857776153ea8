"""`POST …/profiles`: a profile is made as a whole, or not at all and every reason is named."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.people import assert_done, assert_refused, create, fresh_id, profile_of, read
from traitbase.domain.updates import FAULTS_SHOWN_MAX

CREATED = "Profile created successfully"
ZONE = "timezone: expected an IANA time zone such as 'Asia/Kolkata' or 'Europe/Berlin', or null to clear it"
SET = "$set has object/keys that is not allowed"


def post(ada, body, headers=None, *, rest=""):
    return ada.call("POST", f"{ada.base}/profiles{rest}", body, headers)


def taken(me):
    return f"Distinct ID '{me}' already exists in the 'live' version of your workspace"


@pytest.mark.parametrize("rest", ["", "/"])
def test_it_makes_a_profile(ada, rest):
    me = fresh_id()
    body = {
        "distinct_id": me,
        "name": "Ann",
        "status": 0,
        "timezone": "Asia/Calcutta",
        "channel": {
            "sms": "+91 (98790)-123.45",
            "email": "Ann@EXAMPLE.com",
            "push": [{"token": "a", "integration_id": "fcm", "status": 0}, {"token": "b"}],
            "webpush": {"token": "c"},
        },
        "properties": {"create_plan": "pro", "create_ltv": 19.50, "create_tags": ["x", "x", 7]},
    }
    assert_done(post(ada, body, rest=rest), CREATED, status=201)
    made = profile_of(ada, me)
    assert made == {
        "distinct_id": me,
        "profile_id": made["profile_id"],
        "version": "live",
        "name": "Ann",
        "status": 0,
        "timezone": "Asia/Calcutta",
        "timezone_offset": "+05:30",
        "country_code": "IN",
        "channel": {
            "sms": "+91 98790 12345",
            "email": "Ann@EXAMPLE.com",
            "push": [
                {"token": "a", "integration_id": "fcm", "status": 0},
                {"token": "b", "integration_id": None, "status": 1},
            ],
            "webpush": [{"token": "c", "integration_id": None, "status": 1}],
        },
        "channel_raw": {**made["channel"], "sms": "+91 (98790)-123.45"},
        "properties": {"create_plan": "pro", "create_ltv": 19.5, "create_tags": ["x", 7]},
        "id_list": [],
        "aliases": [],
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    assert len(made["profile_id"]) == 24


def test_it_makes_a_profile_of_an_id_alone(ada):
    me = fresh_id()
    assert_done(post(ada, {"distinct_id": me, "unknown": {"keys": ["are", "skipped"]}}), CREATED, status=201)
    made = profile_of(ada, me)
    assert (made["name"], made["status"], made["timezone"], made["channel"], made["properties"]) == (
        None,
        1,
        None,
        {},
        {},
    )


def test_it_refuses_an_id_that_exists_and_changes_nothing(ada):
    me = create(ada, fresh_id(), name="Ann")
    before = read(ada, me).text
    assert_refused(post(ada, {"distinct_id": me, "name": "Bo"}), taken(me), "distinct_id")
    assert read(ada, me).text == before


def test_it_names_the_environment_of_an_id_that_exists(server, cast):
    client = server.client(cast.ada, "north", "test")
    me = create(client, fresh_id())
    message = f"Distinct ID '{me}' already exists in the 'test' version of your workspace"
    assert_refused(post(client, {"distinct_id": me}), message, "distinct_id")


def test_it_refuses_the_id_of_a_profile_that_came_with_an_update(ada):
    me = fresh_id()
    ada.post("set", {"distinct_id": me, "$set": {"a": 1}})
    assert_refused(post(ada, {"distinct_id": me}), taken(me), "distinct_id")


def test_it_names_every_fault_at_once_and_makes_nothing(ada):
    me = fresh_id()
    body = {
        "distinct_id": me,
        "name": 5,
        "status": 2,
        "timezone": "Mars/X",
        "channel": {"sms": "12", "fax": "x", "push": [{"token": ""}, 3], "email": "@"},
        "properties": {"$a": 1, "fine": 2, "o": {}, "l": [[]]},
        "custom_attributes": [],
    }
    assert_refused(
        post(ada, body),
        "name: expected a text of at most 255 characters, or null to clear it",
        "name",
        "status",
        "timezone",
        "channel.sms",
        "channel.fax",
        "channel.push[0].token",
        "channel.push[1]",
        "channel.email",
        "custom_attributes",
        "properties.$a",
        "properties.o",
        "properties.l[0]",
    )
    assert read(ada, me).status == 400


def test_it_names_the_first_twenty_faults_of_very_many(ada):
    answer = post(ada, {"distinct_id": fresh_id(), "channel": {f"x{number}": 1 for number in range(50_000)}})
    assert answer.status == 400
    assert len(answer.json["errors"]) == FAULTS_SHOWN_MAX


@pytest.mark.parametrize(
    ("distinct_id", "message"),
    [
        (None, "distinct_id is required!"),
        ("", "distinct_id is required!"),
        (7, "distinct_id is required!"),
        ([], "distinct_id is required!"),
        ("x" * 256, "distinct_id has at most 255 characters (code points), this one has 256"),
        ("a\0b", "distinct_id must not contain control characters"),
        ("a\x85b", "distinct_id must not contain control characters"),
    ],
)
def test_it_refuses_an_id_that_is_none(ada, distinct_id, message):
    assert_refused(post(ada, {"distinct_id": distinct_id}), message, "distinct_id")


@pytest.mark.parametrize(
    "distinct_id",
    [
        "a/b",
        "a:b@c",
        "ü 日本",
        "50%",
        "?#",
        "a//b",
        "😀" * 223,
        "delete",
        "query",
        "..",
        "a/merge/b",
        "a/channel",
        "é+;&",
    ],
)
def test_it_takes_any_text_for_an_id(ada, distinct_id):
    me = create(ada, distinct_id + fresh_id(), name="N")
    made = profile_of(ada, me)
    assert (made["distinct_id"], made["name"]) == (me, "N")


@pytest.mark.parametrize(
    "zone", ["Asia/Calcutta", "US/Pacific", "EST5EDT", "Etc/GMT+5", "UTC", "America/Argentina/Ushuaia"]
)
def test_it_takes_every_iana_zone_as_it_was_sent(ada, zone):
    assert profile_of(ada, create(ada, fresh_id(), timezone=zone))["timezone"] == zone


@pytest.mark.parametrize(
    "zone",
    [
        "",
        "Mars/X",
        "GMT+5",
        "europe/berlin",
        " UTC",
        "UTC\0",
        "Europe",
        "/etc/passwd",
        "../../etc/passwd",
        "a" * 5_000,
        "localtime",
        "posixrules",
        "posix/UTC",
        "right/UTC",
        5,
        ["UTC"],
        True,
    ],
)
def test_it_refuses_a_zone_that_is_none(ada, zone):
    me = fresh_id()
    assert_refused(post(ada, {"distinct_id": me, "timezone": zone}), ZONE, "timezone")
    assert read(ada, me).status == 400


@pytest.mark.parametrize("status", [2, -1, "1", None, True, 1.0, []])
def test_it_refuses_a_status_that_is_none(ada, status):
    message = "status: expected 1 (active) or 0 (receives nothing)"
    assert_refused(post(ada, {"distinct_id": fresh_id(), "status": status}), message, "status")


@pytest.mark.parametrize("name", ["😀" * 255, "é" * 255, "a" * 255])
def test_it_takes_a_name_of_255_characters(ada, name):
    assert profile_of(ada, create(ada, fresh_id(), name=name))["name"] == name


@pytest.mark.parametrize("name", ["😀" * 256, "a\0b", 5, [], {}])
def test_it_refuses_a_name_that_is_none(ada, name):
    message = "name: expected a text of at most 255 characters, or null to clear it"
    assert_refused(post(ada, {"distinct_id": fresh_id(), "name": name}), message, "name")


@pytest.mark.parametrize("name", [None, ""])
def test_it_takes_no_name_for_none(ada, name):
    assert profile_of(ada, create(ada, fresh_id(), name=name))["name"] is None


def test_it_says_what_was_ignored_of_the_properties(ada):
    me = fresh_id()
    ada.post("set", {"distinct_id": fresh_id(), "$set": {"create_number": 1}})
    answer = post(
        ada, {"distinct_id": me, "properties": {"create_number": "x", "create_text": "t", "create_null": None}}
    )
    assert_done(answer, CREATED, status=201)
    assert profile_of(ada, me)["properties"] == {"create_text": "t"}
    (item,) = ada.receipt(answer)["items"]
    assert (item["distinct_id"], item["action"]) == (me, "create")
    assert item["applied"] == [{"operation": "$set", "property": "create_text"}]
    assert [(each["property"], each["reason"]) for each in item["ignored"]] == [
        ("create_number", "type_mismatch"),
        ("create_null", "null_value"),
    ]


def test_it_takes_properties_under_the_name_of_fynos_clients_too(ada):
    me = create(ada, fresh_id(), custom_attributes={"create_a": 1, "create_b": 1}, properties={"create_b": 2})
    assert profile_of(ada, me)["properties"] == {"create_a": 1, "create_b": 2}


@pytest.mark.parametrize("key", ["properties", "custom_attributes"])
@pytest.mark.parametrize(
    ("properties", "path"), [({"a": {}}, ".a"), ({"": 1}, "."), ({"$a": 1}, ".$a"), ({"a\0": 1}, ".a\0")]
)
def test_it_makes_nothing_where_the_structure_of_properties_is_at_fault(ada, key, properties, path):
    me = fresh_id()
    assert_refused(post(ada, {"distinct_id": me, key: {"fine_name": 1, **properties}}), SET, f"{key}{path}")
    assert read(ada, me).status == 400


def test_it_defines_no_property_for_a_profile_that_was_not_made(ada):
    me, name = create(ada, fresh_id()), f"p{fresh_id()}"
    assert post(ada, {"distinct_id": me, "properties": {name: 1}}).status == 400
    assert name not in [row["name"] for row in ada.get("properties?limit=5000").json["items"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the body is not valid JSON: Input data was truncated"),
        (b"[]", "the body must be a JSON object, not list"),
        (b'"x"', "the body must be a JSON object, not string"),
        (b'{"distinct_id":"\xff"}', "the body is not valid JSON: it is not UTF-8 (at byte 16)"),
    ],
)
def test_it_refuses_a_body_that_is_none(ada, text, message):
    assert_refused(post(ada, text), message, "")


def test_it_takes_a_compressed_body(ada):
    me = fresh_id()
    packed = gzip.compress(json.dumps({"distinct_id": me, "name": "G"}).encode())
    assert_done(post(ada, packed, {"Content-Encoding": "gzip"}), CREATED, status=201)
    assert profile_of(ada, me)["name"] == "G"


def test_it_takes_ten_megabytes_and_refuses_more(ada):
    me = fresh_id()
    head, tail = b'{"distinct_id":"%s","pad":"' % me.encode(), b'"}'
    size = 10 * 1024 * 1024 - len(head) - len(tail)
    assert post(ada, head + b"x" * (size + 1) + tail).status == 413
    ada.close()
    assert read(ada, me).status == 400
    assert post(ada, head + b"x" * size + tail).status == 201


def test_it_gives_the_first_answer_again_for_the_same_key(ada):
    me, token = fresh_id(), {"Idempotency-Key": fresh_id()}
    body = {"distinct_id": me, "name": "Ann"}
    first, again = post(ada, body, token), post(ada, body, token)
    assert (first.status, again.status) == (201, 201)
    assert first.text == again.text
    assert post(ada, {**body, "name": "Bo"}, token).status == 409
    assert profile_of(ada, me)["name"] == "Ann"


def test_it_fails_again_for_the_same_key_of_a_request_that_failed(ada):
    me, token = create(ada, fresh_id()), {"Idempotency-Key": fresh_id()}
    for _ in range(2):
        assert_refused(post(ada, {"distinct_id": me}, token), taken(me), "distinct_id")


def test_it_makes_one_profile_where_many_ask_at_once(server, cast):
    me = fresh_id()

    def ask(number):
        client = server.client(cast.ada, "north")
        answer = post(client, {"distinct_id": me, "name": str(number)})
        client.close()
        return answer.status, number

    with ThreadPoolExecutor(8) as threads:
        answers = sorted(threads.map(ask, range(24)))
    assert [status for status, _ in answers] == [201] + [400] * 23
    assert profile_of(server.client(cast.ada, "north"), me)["name"] == str(answers[0][1])
