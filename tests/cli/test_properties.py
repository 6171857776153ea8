"""Properties on the command line: listed, retyped, archived."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from ingest.submitting import ingest_on, properties_in, run, sent
from support.data import open_store
from support.server import run_cli, run_json
from traitbase.domain.spaces import Space

SPACE = Space("shop", "live")
WHERE = ("--workspace", "shop")


@pytest.fixture
def store(data):
    with closing(open_store(data)) as opened, closing(ingest_on(opened)) as ingest:
        run(ingest, sent(("u", {"$set": {"code": 21546}}), ("w", {"$set": {"code": "spring", "n": 1}}), space=SPACE))
        yield opened


def test_it_lists_properties(data, store):
    assert store.get_definitions(SPACE)[0] == 1
    assert run_json("properties", "list", *WHERE, data=data)["items"] == [
        {"name": "code", "type": "number", "state": "active", "profiles": 1, "ignored": 1},
        {"name": "n", "type": "number", "state": "active", "profiles": 1, "ignored": 0},
    ]
    assert "code" in run_cli("properties", "list", *WHERE, data=data).stdout
    assert run_json("properties", "list", *WHERE, "--environment", "test", data=data) == {"items": []}


def test_it_retypes_and_replays(data, store):
    dry = run_cli("properties", "retype", "code", "string", *WHERE, "--dry-run", data=data)
    assert dry.stdout.splitlines() == [
        "Of 1 values 1 would be converted, 0 would be kept aside; 0 kept aside before would come back.",
        '  21546 → "21546", of u',
        "1 values that were ignored are kept; --replay tries them again.",
    ]
    assert properties_in(store, space=SPACE) == {"code": 21546}
    done = run_json("properties", "retype", "code", "string", *WHERE, "--replay", data=data)
    replayed = {"applied": 1, "superseded": 0, "still_ignored": {}, "remaining": 0}
    counts = {"profiles": 1, "converted": 1, "kept_aside": 0, "came_back": 0}
    assert done == {"dry_run": False, **counts, "replayable": 1, "replay": replayed}
    assert properties_in(store, "w", space=SPACE) == {"code": "spring", "n": 1}
    again = run_cli("properties", "retype", "code", "number", *WHERE, data=data)
    assert 'kept aside: "spring", of w' in again.stdout


def test_it_archives_and_takes_it_back(data, store):
    assert run_cli("properties", "archive", "code", *WHERE, data=data).stdout == "code is archived.\n"
    assert store.get_definitions(SPACE)[1][0].state == "archived"
    assert run_cli("properties", "archive", "code", *WHERE, "--undo", data=data).returncode == 0
    assert store.get_definitions(SPACE)[1][0].state == "active"


@pytest.mark.parametrize(
    "arguments", [("archive", "none", *WHERE), ("retype", "none", "string", *WHERE), ("list", "--workspace", "nowhere")]
)
def test_it_says_what_does_not_exist(data, arguments):
    done = run_cli("properties", *arguments, data=data)
    assert (done.returncode, json.dumps(done.stdout)) == (2, '""')
    assert "there is no" in done.stderr
