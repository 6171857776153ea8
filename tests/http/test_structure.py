"""Faults of structure are a 400 that names the place, and nothing of the request is applied."""

from __future__ import annotations

import json
import uuid

import pytest

ENDPOINT_OF = {
    "$set": "set",
    "$once": "set-once",
    "$add": "numerical-add",
    "$append": "list-append",
    "$remove": "list-remove",
    "$unset": "unset",
}
NOT_ALLOWED = "{} has object/keys that is not allowed"
UNSET = "$unset channel should have atleast one item in array"
WITH_VALUES = [operation for operation in ENDPOINT_OF if operation != "$unset"]


def message_of(operation: str) -> str:
    return UNSET if operation == "$unset" else NOT_ALLOWED.format(operation)


def fresh_id() -> str:
    return uuid.uuid4().hex


def assert_refused(ada, endpoint, body, *, message=None, path=None, ids=()):
    answer = ada.post(endpoint, body)
    assert answer.status == 400, answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["status"] == "error"
    if message is not None:
        assert answer.json["_message"] == message
    if path is not None:
        assert path in [fault["path"] for fault in answer.json["errors"]]
        assert all(fault["message"] for fault in answer.json["errors"])
    for distinct_id in ids:
        assert ada.properties_of(distinct_id) is None


@pytest.mark.parametrize("operation", ENDPOINT_OF)
@pytest.mark.parametrize("payload", [None, 5, "x", True, {}, []])
def test_it_refuses_an_operation_that_is_empty_or_of_the_wrong_container(ada, operation, payload):
    me = fresh_id()
    body = {"distinct_id": me, operation: payload}
    assert_refused(ada, ENDPOINT_OF[operation], body, message=message_of(operation), path=operation, ids=[me])


@pytest.mark.parametrize("operation", WITH_VALUES)
@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("a", {}, ".a"),
        ("a", {"b": 1}, ".a"),
        ("", 1, "."),
        ("$a", 1, ".$a"),
        ("a\u0000b", 1, ".a\u0000b"),
        ("a\u007f", 1, ".a\u007f"),
        ("a\u0085", 1, ".a\u0085"),
        ("n" * 256, 1, "." + "n" * 79 + "…"),
    ],
)
def test_it_refuses_an_object_or_a_name_that_is_not_allowed(ada, operation, name, value, place):
    me = fresh_id()
    body = {"distinct_id": me, operation: {"fine": 1, name: value}}
    path = f"{operation}{place}"
    assert_refused(ada, ENDPOINT_OF[operation], body, message=message_of(operation), path=path, ids=[me])


@pytest.mark.parametrize("operation", ["$set", "$once"])
@pytest.mark.parametrize("inner", [[], {}, [1], {"a": 1}])
def test_it_refuses_an_array_or_object_inside_an_array(ada, operation, inner):
    me = fresh_id()
    body = {"distinct_id": me, operation: {"l": [1, inner]}}
    path = f"{operation}.l[1]"
    assert_refused(ada, ENDPOINT_OF[operation], body, message=message_of(operation), path=path, ids=[me])


@pytest.mark.parametrize("operation", ["$add", "$append", "$remove"])
@pytest.mark.parametrize("value", [[], [1]])
def test_it_refuses_an_array_where_one_value_belongs(ada, operation, value):
    me = fresh_id()
    body = {"distinct_id": me, operation: {"l": value}}
    path = f"{operation}.l"
    assert_refused(ada, ENDPOINT_OF[operation], body, message=message_of(operation), path=path, ids=[me])


@pytest.mark.parametrize("name", [1, None, True, ["a"], {"a": 1}, "", "$a", "a\n", "n" * 256])
def test_it_refuses_a_name_to_unset_that_is_none(ada, name):
    me = fresh_id()
    body = {"distinct_id": me, "$unset": ["fine", name]}
    assert_refused(ada, "unset", body, message=UNSET, path="$unset[1]", ids=[me])


@pytest.mark.parametrize("distinct_id", [None, 5, True, [], {}, ""])
def test_it_says_that_a_distinct_id_is_required(ada, distinct_id):
    message = "distinct_id is required!"
    assert_refused(ada, "set", {"distinct_id": distinct_id, "$set": {"a": 1}}, message=message, path="distinct_id")
    batch = {"batch": [{"distinct_id": distinct_id, "action": {"$set": {"a": 1}}}]}
    assert_refused(ada, "batch", batch, message=message, path="batch[0].distinct_id")


@pytest.mark.parametrize("distinct_id", ["x" * 256, "a\u0000", "a\nb", "\u0080"])
def test_it_refuses_a_distinct_id_that_is_too_long_or_has_control_characters(ada, distinct_id):
    assert_refused(ada, "set", {"distinct_id": distinct_id, "$set": {"a": 1}}, path="distinct_id")


def test_it_takes_a_distinct_id_and_a_name_of_255_code_points(ada):
    me = "😀" * 223 + fresh_id()
    name = "é" * 255
    assert ada.post("set", {"distinct_id": me, "$set": {name: 1}}).status == 202


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"nul",
        b"[1,]",
        b'{"distinct_id":"u","$set":{"a":NaN}}',
        b'{"distinct_id":"u","$set":{"a":Infinity}}',
        b'{"distinct_id":"u","$set":{"a":01}}',
        b'{"distinct_id":"u","$set":{"a":1}} x',
        b"{'distinct_id':'u'}",
        b'{"distinct_id":"u","$set":{"a":"\xff"}}',
        b'{"distinct_id":"u","$set":{"a":"\xed\xa0\x80"}}',
        b'{"distinct_id":"u","$set":{"a":"\\ud800"}}',
        b'{"distinct_id":"u\\udfff","$set":{"a":1}}',
        b'{"distinct_id":"u","$set":{"\\ud83d":1}}',
        b'{"distinct_id":"u","$set":{"a":' + b"9" * 5000 + b',"b":"\\ud800"}}',
        b'{"distinct_id":"u","$set":{"a":' + b"9" * 5000 + b',"b":NaN}}',
        b'{"distinct_id":"u","$set":{"a":"tab\there"}}',
        '{"distinct_id":"u","$set":{"a":1}}'.encode("utf-16"),
    ],
)
def test_it_refuses_what_is_no_json(ada, text):
    assert_refused(ada, "set", text)
    assert "not valid JSON" in ada.post("batch", text).json["_message"]


@pytest.mark.parametrize("text", [b"[]", b'"x"', b"5", b"null", b"true"])
def test_it_refuses_a_body_that_is_no_object(ada, text):
    assert_refused(ada, "set", text, path="")
    assert_refused(ada, "batch", text, path="")


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_it_refuses_endless_nesting_without_falling_over(ada, opening):
    closing = b"]" if opening == b"[" else b"}"
    deep = opening * 100_000 + b"1" + closing * 100_000
    assert_refused(ada, "set", deep)
    me = fresh_id()
    body = b'{"distinct_id":"%s","$set":{"a":%s}}' % (me.encode(), deep)
    assert_refused(ada, "set", body, ids=[me])
    assert "nested too deep" in ada.post("set", body).json["_message"]


def test_it_ignores_other_top_level_keys(ada):
    me = fresh_id()
    body = {"distinct_id": me, "$set": {"a": 1}, "context": {"deep": [[[{}]]]}, "timestamp": 5, "$push": {}}
    assert ada.post("set", body).status == 202
    assert ada.properties_of(me) == {"a": 1}


@pytest.mark.parametrize("filling", ["", "x" * 300_000])
def test_it_ignores_nothing_that_nests_deeper_than_a_body_may(ada, filling):
    me = fresh_id()
    single = {"distinct_id": me, "$set": {"a": 1}, "filling": filling}
    item = {"distinct_id": me, "action": {"$set": {"a": 1}}}
    for endpoint, body in (
        ("set", {**single, "context": {"deep": [[[{"a": []}]]]}}),
        ("batch", {"batch": [item], "filling": filling, "context": [[[[[[]]]]]]}),
        ("batch", {"batch": [item, {**item, "context": [[[[]]]]}], "filling": filling}),
    ):
        assert_refused(ada, endpoint, body, path="", ids=[me])
        assert "nested too deep" in ada.post(endpoint, body).json["_message"]
        assert "at most 6 levels" in ada.post(endpoint, body).json["_message"]


@pytest.mark.parametrize("filling", ["", "x" * 300_000])
def test_it_takes_what_nests_as_deep_as_a_body_may(ada, filling):
    me = fresh_id()
    item = {"distinct_id": me, "action": {"$set": {"l": ["x"]}}, "context": [[[]]]}
    assert ada.post("batch", {"batch": [item], "filling": filling, "context": [[[[[]]]]]}).status == 202
    assert ada.properties_of(me) == {"l": ["x"]}


@pytest.mark.parametrize("items", [None, [], {}, "x", 5])
def test_it_refuses_a_batch_that_is_none(ada, items):
    assert_refused(ada, "batch", {"batch": items}, path="batch")


@pytest.mark.parametrize(
    ("item", "path", "message"),
    [
        (5, "batch[1]", None),
        ([], "batch[1]", None),
        ({"distinct_id": "w"}, "batch[1].action", None),
        ({"distinct_id": "w", "action": {}}, "batch[1].action", None),
        ({"distinct_id": "w", "action": []}, "batch[1].action", None),
        ({"distinct_id": "w", "action": {"$push": {"a": 1}}}, "batch[1].action.$push", None),
        ({"distinct_id": "w", "action": {"set": {"a": 1}}}, "batch[1].action.set", None),
        ({"distinct_id": "w", "action": {"$set": {"a": {}}}}, "batch[1].action.$set.a", NOT_ALLOWED.format("$set")),
        ({"distinct_id": "w", "action": {"$unset": []}}, "batch[1].action.$unset", UNSET),
        ({"action": {"$set": {"a": 1}}}, "batch[1].distinct_id", "distinct_id is required!"),
    ],
)
def test_it_refuses_a_whole_batch_for_one_bad_item(ada, item, path, message):
    me = fresh_id()
    good = {"distinct_id": me, "action": {"$set": {"a": 1}}}
    assert_refused(ada, "batch", {"batch": [good, item, good]}, path=path, message=message, ids=[me])


def test_it_takes_ten_thousand_items_and_refuses_one_more(ada):
    item = {"distinct_id": fresh_id(), "action": {"$add": {"n": 1}}}
    assert ada.post("batch", {"batch": [item] * 10_000}).status == 202
    assert ada.properties_of(item["distinct_id"]) == {"n": 10_000}
    assert_refused(ada, "batch", {"batch": [item] * 10_001}, path="batch")
    assert ada.properties_of(item["distinct_id"]) == {"n": 10_000}


def test_it_lists_the_first_twenty_faults_of_many(ada):
    body = {"distinct_id": fresh_id(), "$set": {f"p{number}": {} for number in range(50)}}
    faults = ada.post("set", body).json["errors"]
    assert [fault["path"] for fault in faults] == [f"$set.p{number}" for number in range(20)]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "null_value"),
        ("x" * 256, "string_too_long"),
        ("a\u0000", "nul_character"),
        ([1, True], "list_element_type"),
        ([None], "list_element_type"),
        (list(range(1001)), "list_too_long"),
        (["x" * 256], "string_too_long"),
        (10**20, "number_out_of_range"),
        (-(10**20), "number_out_of_range"),
    ],
)
def test_it_ignores_only_the_value_at_fault_and_says_so(ada, value, reason):
    me, name = fresh_id(), f"p{fresh_id()}"
    answer = ada.post("set", {"distinct_id": me, "$set": {name: value, "fine": 1}})
    assert answer.status == 202
    assert ada.properties_of(me) == {"fine": 1}
    (item,) = ada.receipt(answer)["items"]
    assert item["applied"] == [{"operation": "$set", "property": "fine"}]
    assert [(entry["property"], entry["reason"]) for entry in item["ignored"]] == [(name, reason)]
    assert item["ignored"][0]["message"]
    assert name not in [row["name"] for row in ada.get("properties?limit=5000").json["items"]]


@pytest.mark.parametrize(
    "literal", ["9" * 5000, "-" + "9" * 5000, "1e400", "-1e99999999999999999999", "1" + "0" * 20 + ".5"]
)
def test_it_ignores_numbers_of_any_size_that_do_not_fit(ada, literal):
    me = fresh_id()
    answer = ada.post("set", b'{"distinct_id":"%s","$set":{"n":%s,"fine":1}}' % (me.encode(), literal.encode()))
    assert answer.status == 202, answer
    assert ada.properties_of(me) == {"fine": 1}
    assert ada.receipt(answer)["items"][0]["ignored"][0]["reason"] == "number_out_of_range"


@pytest.mark.parametrize(
    ("literal", "shown"),
    [
        ("1e1", "10"),
        ("10.0", "10"),
        ("-0.0", "0"),
        ("1e-7", "0.0000001"),
        ("0.1234567890123456785", "0.123456789012345678"),
        ("1e-99999999999999999999", "0"),
        ("0e99999999999999999999", "0"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
        ("9007199254740993", "9007199254740993"),
    ],
)
def test_it_returns_numbers_exactly_and_without_exponents(ada, literal, shown):
    me = fresh_id()
    ada.post("set", b'{"distinct_id":"%s","$set":{"shown_number":%s}}' % (me.encode(), literal.encode()))
    assert f'"shown_number":{shown}}}'.encode() in ada.get(f"profiles/{me}").text


def test_it_keeps_what_was_sent_in_the_receipt_of_every_operation(ada):
    me = fresh_id()
    action = {
        "$set": {"a": 1},
        "$once": {"a": 2, "b": 1},
        "$add": {"a": 1},
        "$append": {"l": 1},
        "$unset": ["zz", "b", "b"],
    }
    answer = ada.post(
        "batch", {"batch": [{"distinct_id": me, "action": action}, {"distinct_id": me, "action": action}]}
    )
    assert answer.json["batch"] == [dict.fromkeys(action, "ok")] * 2
    first, second = ada.receipt(answer)["items"]
    told = json.dumps(first)
    assert [(entry["operation"], entry["property"]) for entry in first["applied"]] == [
        ("$set", "a"),
        ("$once", "b"),
        ("$add", "a"),
        ("$append", "l"),
        ("$unset", "b"),
    ], told
    assert [(entry["operation"], entry["property"], entry["reason"]) for entry in first["ignored"]] == [
        ("$once", "a", "already_set"),
        ("$unset", "zz", "absent"),
    ]
    assert [(entry["operation"], entry["property"], entry["reason"]) for entry in second["ignored"]] == [
        ("$once", "a", "already_set"),
        ("$append", "l", "already_in_list"),
        ("$unset", "zz", "absent"),
    ]
