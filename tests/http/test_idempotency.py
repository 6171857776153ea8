"""`Idempotency-Key`: the same key and body count once; another body is a conflict."""

from __future__ import annotations

import uuid

import pytest


@pytest.fixture
def token():
    return {"Idempotency-Key": uuid.uuid4().hex}


def test_it_gives_the_first_answer_again_and_applies_nothing(ada, token):
    me = uuid.uuid4().hex
    body = {
        "batch": [{"distinct_id": me, "action": {"$add": {"n": 1}}}, {"distinct_id": me, "action": {"$set": {"a": 1}}}]
    }
    answers = [ada.post("batch", body, token) for _ in range(3)]
    assert [answer.status for answer in answers] == [202, 202, 202]
    assert answers[0].text == answers[1].text == answers[2].text
    assert ada.properties_of(me) == {"n": 1, "a": 1}


def test_it_answers_409_for_another_body_or_endpoint_and_applies_nothing(ada, token):
    me = uuid.uuid4().hex
    first = {"distinct_id": me, "$add": {"n": 1}, "$set": {"n": 5}}
    assert ada.post("numerical-add", first, token).status == 202
    conflict = ada.post("numerical-add", {"distinct_id": me, "$add": {"n": 2}}, token)
    assert conflict.status == 409
    assert "Idempotency-Key" in conflict.json["_message"]
    assert ada.post("set", first, token).status == 409
    assert ada.properties_of(me) == {"n": 1}


def test_it_tells_spaces_apart(server, cast, token):
    body = {"distinct_id": "idempotent", "$add": {"n": 1}}
    for workspace_id, key, environment in (
        ("north", cast.ada, "live"),
        ("north", cast.ada, "test"),
        ("south", cast.cy, "live"),
    ):
        client = server.client(key, workspace_id, environment)
        assert client.post("numerical-add", body, token).status == 202
        assert client.properties_of("idempotent")["n"] == 1
        ask_again = client.post("numerical-add", body, token)
        assert ask_again.status == 202


def test_it_remembers_no_request_that_was_refused(ada, token):
    me = uuid.uuid4().hex
    assert ada.post("set", {"distinct_id": me, "$set": {}}, token).status == 400
    assert ada.post("set", {"distinct_id": me, "$set": {"a": 1}}, token).status == 202


@pytest.mark.parametrize("value", ["", "x" * 256, "caf\xe9", "tab\there"])
def test_it_refuses_a_key_that_is_none(ada, value):
    answer = ada.post("set", {"distinct_id": "u", "$set": {"a": 1}}, {"Idempotency-Key": value})
    assert answer.status == 400
    assert answer.json["errors"][0]["path"] == "Idempotency-Key"


def test_it_takes_255_characters(ada):
    key = uuid.uuid4().hex + "~" * 223
    assert ada.post("set", {"distinct_id": "u", "$set": {"a": 1}}, {"Idempotency-Key": key}).status == 202


def test_it_counts_the_body_not_its_compression(ada, token):
    import gzip
    import json

    me = uuid.uuid4().hex
    body = json.dumps({"distinct_id": me, "$add": {"n": 1}}).encode()
    plain = ada.post("numerical-add", body, token)
    packed = ada.post("numerical-add", gzip.compress(body), {**token, "Content-Encoding": "gzip"})
    assert plain.text == packed.text
    assert ada.properties_of(me) == {"n": 1}
