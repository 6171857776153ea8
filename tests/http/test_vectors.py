"""The published cases, through real HTTP against a real server process, each in a fresh environment."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from support.data import open_store
from support.server import serving
from traitbase import bootstrap
from traitbase.domain.keys import Reach, Scope
from traitbase.services.workspaces import create_api_key, create_workspace

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "properties.json").read_text(), parse_float=Decimal)
CASES = VECTORS["cases"]


@pytest.fixture(scope="module")
def spaces(tmp_path_factory):
    """A server with one workspace and key for each case, made in-process: the command line would take minutes."""
    data = tmp_path_factory.mktemp("vectors") / "data"
    store = open_store(data)
    keys = []
    for number in range(len(CASES)):
        now_us = bootstrap.now_us()
        create_workspace(store, name="Case", workspace_id=f"case{number}", timezone="UTC", at_us=now_us)
        made = create_api_key(
            store, workspace_id=f"case{number}", reach=Reach.LIVE, scope=Scope.ADMIN, name="", at_us=now_us
        )
        keys.append(made.secret)
    store.close()
    with serving(data) as server:
        yield server, keys


def _exact(text: bytes):
    return json.loads(text, parse_float=Decimal)


def _encode(body) -> bytes:
    return json.dumps(body, default=float).encode()


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case["name"] for case in CASES])
def test_it_answers_as_published(number, spaces):
    server, keys = spaces
    case = CASES[number]
    client = server.client(keys[number], f"case{number}")
    answer = None
    for step in case["steps"]:
        body = step["raw"].encode() if "raw" in step else _encode(step["body"])
        answer = client.post(step["path"], body)
        assert answer.status == step["status"], answer.text
        if "message" in step:
            assert answer.json["_message"] == step["message"]
            assert answer.json["status"] == "error"
    for distinct_id, properties in case.get("profiles", {}).items():
        assert _exact(client.get(f"profiles/{distinct_id}").text)["properties"] == properties
    for distinct_id in case.get("absent", ()):
        assert client.properties_of(distinct_id) is None
    if "definitions" in case:
        listed = client.get("properties").json["items"]
        assert {row["name"]: row["type"] for row in listed} == case["definitions"]
    if "ignored_in_last" in case:
        items = client.receipt(answer)["items"]
        ignored = [
            {"distinct_id": item["distinct_id"], **{key: entry[key] for key in ("operation", "property", "reason")}}
            for item in items
            for entry in item["ignored"]
        ]
        assert sorted(ignored, key=repr) == sorted(case["ignored_in_last"], key=repr)


def test_carries_all_cases():
    assert len(CASES) == 91
    assert len({case["name"] for case in CASES}) == 91
