"""Reading requests: refused as a whole exactly when a rule of structure is broken, with the place and the words."""

from __future__ import annotations

import copy
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.strategies import actions, allowed_names, items, json_values
from traitbase.domain import updates
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.updates import Operation, Update

WORDS = ("$set", "$once", "$add", "$append", "$remove", "$unset")
MESSAGES = {
    "$set": "$set has object/keys that is not allowed",
    "$once": "$once has object/keys that is not allowed",
    "$add": "$add has object/keys that is not allowed",
    "$append": "$append has object/keys that is not allowed",
    "$remove": "$remove has object/keys that is not allowed",
    "$unset": "$unset channel should have atleast one item in array",
}


# --- the rules of structure once more, from the specification ---


def names_a_property(name):
    return type(name) is str and 1 <= len(name) <= 255 and not name.startswith("$") and not has_control(name)


def has_control(text):
    return any(unicodedata.category(character) == "Cc" for character in text)


def identifies(distinct_id):
    return type(distinct_id) is str and 1 <= len(distinct_id) <= 255 and not has_control(distinct_id)


def is_operation(word, payload):
    if word not in WORDS:
        return False
    if word == "$unset":
        return type(payload) is list and bool(payload) and all(names_a_property(name) for name in payload)
    if type(payload) is not dict or not payload:
        return False
    return all(names_a_property(name) and may_be_sent(word, value) for name, value in payload.items())


def may_be_sent(word, value):
    if type(value) is dict:
        return False
    if type(value) is list:
        return word in ("$set", "$once") and not any(type(element) in (dict, list) for element in value)
    return True


def is_item(item):
    if type(item) is not dict or not identifies(item.get("distinct_id")):
        return False
    action = item.get("action")
    return type(action) is dict and bool(action) and all(is_operation(word, action[word]) for word in action)


def is_batch(body):
    return (
        type(body) is dict
        and type(body.get("batch")) is list
        and 1 <= len(body["batch"]) <= 10_000
        and all(is_item(item) for item in body["batch"])
    )


# --- nearly right bodies, so that every rule is met and broken ---

any_names = st.one_of(
    allowed_names,
    st.sampled_from(
        ["", "$x", "$", "a$", " ", "a\0", "a\n", "\x7f", "\x9f", "\u200b", "\xa0", "n" * 255, "n" * 256, "😀" * 255]
    ),
)
any_ids = st.one_of(
    st.sampled_from(
        ["u", "", " ", "i" * 255, "i" * 256, "😀" * 255, "😀" * 256, "a\tb", "a\x85b", "\u2028", "ü", None, 5]
    ),
    json_values,
)
any_payloads = st.one_of(
    json_values,
    st.dictionaries(any_names, json_values, max_size=3),
    st.lists(st.one_of(any_names, json_values), max_size=3),
)
any_actions = st.one_of(
    actions(any_names),
    st.dictionaries(
        st.one_of(st.sampled_from([*WORDS, "$push", "set", ""]), st.text(max_size=3)), any_payloads, max_size=4
    ),
    json_values,
)
any_items = st.one_of(
    items,
    st.fixed_dictionaries(
        {}, optional={"distinct_id": any_ids, "action": any_actions, "$set": json_values, "more": json_values}
    ),
    json_values,
)
any_bodies = st.one_of(
    st.fixed_dictionaries(
        {}, optional={"batch": st.one_of(st.lists(any_items, max_size=3), json_values), "more": json_values}
    ),
    json_values,
)


def refusal_of(parse, *arguments):
    """Return the refusal, or None if what was sent is accepted; anything else that is raised fails the test."""
    try:
        parse(*arguments)
    except InvalidInput as error:
        return error
    return None


def holds_together(refusal):
    return (
        bool(refusal.message)
        and refusal.code == "invalid_input"
        and 1 <= len(refusal.faults) <= 20
        and all(type(fault) is Fault and fault.message for fault in refusal.faults)
    )


@given(any_bodies)
def test_refuses_a_batch_exactly_when_a_rule_is_broken(body):
    refusal = refusal_of(updates.parse_batch, body)
    assert (refusal is None) == is_batch(body)
    assert refusal is None or holds_together(refusal)


@given(any_items)
def test_refuses_an_item_exactly_when_a_rule_is_broken(item):
    refusal = refusal_of(updates.parse_item, item)
    assert (refusal is None) == is_item(item)
    assert refusal is None or holds_together(refusal)


@given(st.sampled_from(Operation), any_ids, any_payloads, st.dictionaries(st.text(max_size=4), json_values, max_size=2))
def test_refuses_a_single_operation_exactly_when_a_rule_is_broken(operation, distinct_id, payload, more):
    body = {**more, "distinct_id": distinct_id, operation.value: payload}
    refusal = refusal_of(updates.parse_single, body, operation)
    assert (refusal is None) == (identifies(distinct_id) and is_operation(operation.value, payload))
    assert refusal is None or holds_together(refusal)


@given(st.sampled_from(Operation), json_values)
def test_refuses_any_other_body_of_a_single_operation(operation, body):
    fits = (
        type(body) is dict
        and identifies(body.get("distinct_id"))
        and is_operation(operation.value, body.get(operation.value))
    )
    assert (refusal_of(updates.parse_single, body, operation) is None) == fits


@given(any_bodies)
def test_leaves_what_it_reads_as_it_is(body):
    before = copy.deepcopy(body)
    refusal_of(updates.parse_batch, body)
    assert repr(body) == repr(before)


@given(items)
def test_runs_operations_in_the_fixed_order_whatever_the_order_of_keys(item):
    backwards = {"distinct_id": item["distinct_id"], "action": dict(reversed(item["action"].items()))}
    update = updates.parse_item(item)
    assert repr(update) == repr(updates.parse_item(backwards))
    assert [operation for operation, _ in update.operations] == [word for word in WORDS if word in item["action"]]


@given(items)
def test_keeps_every_value_as_it_was_sent(item):
    update = updates.parse_item(item)
    sent = dict(item["action"])
    if "$unset" in sent:
        sent["$unset"] = list(dict.fromkeys(sent["$unset"]))
    assert update.distinct_id == item["distinct_id"]
    assert {operation.value: repr(payload) for operation, payload in update.operations} == {
        word: repr(payload) for word, payload in sent.items()
    }


@given(st.lists(items, min_size=1, max_size=5))
def test_reads_a_batch_as_its_items_in_order(batch):
    assert repr(updates.parse_batch({"batch": batch})) == repr([updates.parse_item(item) for item in batch])


@given(items)
def test_reads_a_single_operation_as_an_item_with_that_one(item):
    for word, payload in item["action"].items():
        body = {"distinct_id": item["distinct_id"], word: payload}
        single = updates.parse_single(body, Operation(word))
        assert repr(single) == repr(updates.parse_item({"distinct_id": item["distinct_id"], "action": {word: payload}}))


@given(items)
def test_creates_a_profile_unless_it_only_takes_away(item):
    assert updates.parse_item(item).creates == bool(set(item["action"]) - {"$remove", "$unset"})


def test_sets_properties_in_one_word():
    assert updates.set_update("u", {"a": 1}) == updates.parse_item({"distinct_id": "u", "action": {"$set": {"a": 1}}})


def test_names_each_property_to_unset_once():
    update = updates.parse_single({"distinct_id": "u", "$unset": ["a", "b", "a"]}, Operation.UNSET)
    assert (type(update), update.operations) == (Update, ((Operation.UNSET, ["a", "b"]),))


def test_ignores_keys_beside_the_documented_ones():
    body = {"distinct_id": "u", "$set": {"a": 1}, "$add": "nonsense", "sent_at": None}
    assert updates.parse_single(body, Operation.SET).operations == ((Operation.SET, {"a": 1}),)


# --- messages and places, word for word ---


def refused(parse, *arguments):
    with pytest.raises(InvalidInput) as caught:
        parse(*arguments)
    return caught.value.message, caught.value.faults


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("payload", [None, {}, [], "x", 5, True])
def test_answers_an_empty_or_wrong_container_with_the_message_of_the_operation(word, payload):
    expected = (
        "expected an array of property names with at least one item"
        if word == "$unset"
        else "expected an object of property names and values with at least one entry"
    )
    body = {"distinct_id": "u", word: payload}
    assert refused(updates.parse_single, body, Operation(word)) == (MESSAGES[word], (Fault(word, expected),))
    assert refused(updates.parse_single, {"distinct_id": "u"}, Operation(word)) == (
        MESSAGES[word],
        (Fault(word, expected),),
    )


@pytest.mark.parametrize(
    "body", [{}, {"distinct_id": None}, {"distinct_id": ""}, {"distinct_id": 5}, {"distinct_id": ["u"]}]
)
def test_says_that_a_distinct_id_is_required(body):
    message, faults = refused(updates.parse_single, {**body, "$set": {"a": 1}}, Operation.SET)
    assert (message, faults) == ("distinct_id is required!", (Fault("distinct_id", "distinct_id is required!"),))


@pytest.mark.parametrize(
    ("distinct_id", "message"),
    [
        ("i" * 256, "distinct_id has at most 255 characters (code points), this one has 256"),
        ("a\nb", "distinct_id must not contain control characters"),
        ("a\x85b", "distinct_id must not contain control characters"),
    ],
)
def test_says_what_is_wrong_with_a_distinct_id(distinct_id, message):
    body = {"distinct_id": distinct_id, "$set": {"a": 1}}
    assert refused(updates.parse_single, body, Operation.SET) == (message, (Fault("distinct_id", message),))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "a property name must not be empty"),
        ("$email", "a property name must not start with '$'"),
        ("n" * 256, "a property name has at most 255 characters (code points), this one 256"),
        ("a\0b", "a property name must not contain control characters"),
    ],
)
def test_says_what_is_wrong_with_a_name(name, message):
    shown = name if len(name) <= 80 else name[:79] + "…"
    in_set = refused(updates.parse_single, {"distinct_id": "u", "$set": {"ok": 1, name: 1}}, Operation.SET)
    in_unset = refused(updates.parse_single, {"distinct_id": "u", "$unset": ["ok", name]}, Operation.UNSET)
    assert in_set == (MESSAGES["$set"], (Fault(f"$set.{shown}", message),))
    assert in_unset == (MESSAGES["$unset"], (Fault("$unset[1]", message),))


@pytest.mark.parametrize(
    ("action", "word", "fault"),
    [
        (
            {"$set": {"address": {"city": "X"}}},
            "$set",
            Fault("batch[1].action.$set.address", "a value must not be an object: flatten it into several properties"),
        ),
        (
            {"$once": {"l": ["a", ["b"]]}},
            "$once",
            Fault("batch[1].action.$once.l[1]", "a list holds single values, not a list"),
        ),
        (
            {"$set": {"l": [{}]}},
            "$set",
            Fault("batch[1].action.$set.l[0]", "a list holds single values, not an object"),
        ),
        (
            {"$append": {"l": [1]}},
            "$append",
            Fault("batch[1].action.$append.l", "$append takes one value, not an array: send one update for each value"),
        ),
        (
            {"$remove": {"l": []}},
            "$remove",
            Fault("batch[1].action.$remove.l", "$remove takes one value, not an array: send one update for each value"),
        ),
        (
            {"$add": {"n": [1]}},
            "$add",
            Fault("batch[1].action.$add.n", "$add takes one value, not an array: send one update for each value"),
        ),
        (
            {"$unset": ["a", 1]},
            "$unset",
            Fault("batch[1].action.$unset[1]", "a property name must be a string, not a number"),
        ),
    ],
)
def test_points_at_the_place_in_the_batch(action, word, fault):
    body = {"batch": [{"distinct_id": "u", "action": {"$set": {"ok": 1}}}, {"distinct_id": "w", "action": action}]}
    assert refused(updates.parse_batch, body) == (MESSAGES[word], (fault,))


def test_answers_with_the_message_of_the_first_fault_and_shows_twenty():
    bad = {"distinct_id": "u", "action": {"$unset": [], "$set": {f"${position}": 1 for position in range(30)}}}
    message, faults = refused(updates.parse_batch, {"batch": [bad]})
    assert message == MESSAGES["$unset"]
    assert [fault.path for fault in faults] == [
        "batch[0].action.$unset",
        *(f"batch[0].action.$set.${position}" for position in range(19)),
    ]


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        (None, "", "the body must be a JSON object, not null"),
        ([], "", "the body must be a JSON object, not a list"),
        ({}, "batch", "batch must be an array with at least one item"),
        ({"batch": []}, "batch", "batch must be an array with at least one item"),
        ({"batch": {}}, "batch", "batch must be an array with at least one item"),
        ({"batch": "x"}, "batch", "batch must be an array with at least one item"),
        (
            {"batch": [{}] * 10_001},
            "batch",
            "a batch has at most 10,000 items, this one 10,001: send it in parts",
        ),
        ({"batch": [5]}, "batch[0]", "an item must be an object with distinct_id and action, not a number"),
        (
            {"batch": [{"distinct_id": "u", "action": {}}]},
            "batch[0].action",
            "action must be an object with at least one of $set, $once, $add, $append, $remove, $unset",
        ),
        (
            {"batch": [{"distinct_id": "u"}]},
            "batch[0].action",
            "action must be an object with at least one of $set, $once, $add, $append, $remove, $unset",
        ),
        (
            {"batch": [{"distinct_id": "u", "action": {"$set": {"a": 1}, "$push": {"b": 1}}}]},
            "batch[0].action.$push",
            "$push is no operation; expected one of $set, $once, $add, $append, $remove, $unset",
        ),
    ],
)
def test_says_what_is_wrong_with_a_batch(body, path, message):
    assert refused(updates.parse_batch, body) == (message, (Fault(path, message),))


def test_takes_ten_thousand_items():
    item = {"distinct_id": "u", "action": {"$set": {"a": 1}}}
    assert updates.parse_batch({"batch": [item] * 10_000}) == [updates.parse_item(item)] * 10_000


@pytest.mark.parametrize(
    "name", ["a-b", "a.b", "a b", "a'b", 'a"b', "a[0]", "日本", "__proto__", "constructor", "a\\b", "%", "😀", "a$"]
)
def test_takes_odd_names_as_plain_ones(name):
    assert updates.set_update("u", {name: 1}).operations == ((Operation.SET, {name: 1}),)
