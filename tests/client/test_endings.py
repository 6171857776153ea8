"""The end of a program, and its forks: gathered updates are sent once, and nobody waits for ever."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest

BEGIN = """
import os, sys
from traitbase import Client
client = Client(sys.argv[1], "north", "key", batch_seconds=None)
batch = client.batch()
"""


def run(program: str, url: str) -> subprocess.CompletedProcess[str]:
    # Python 3.12 and later warn of every fork beside a thread, which is what is tried here.
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", BEGIN + program, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def values_in(receiver) -> list[int]:
    bodies = [request.json for request in receiver.requests]
    items = [item.get("action", item) for body in bodies for item in body.get("batch", [body])]
    return [item["$set"]["n"] for item in items]


def test_a_batch_that_was_never_closed_is_sent_at_the_end_of_the_program(receiver):
    done = run("batch.set('u', {'n': 1})", receiver.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert values_in(receiver) == [1]


@pytest.mark.slow
def test_the_end_of_the_program_does_not_wait_for_a_silent_server_and_says_what_is_lost():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        done = run("batch.set('u', {'n': 1}); batch.add('u', {'n': 1})", f"http://127.0.0.1:{silent.getsockname()[1]}")
        seconds = time.monotonic() - began
    assert seconds < 25
    assert done.returncode == 0
    assert "2 updates of a batch that was never closed were not sent" in done.stderr


def test_a_forked_child_sends_its_own_updates_and_not_its_parents(receiver):
    program = """
client.set("u", {"n": 0})
batch.set("u", {"n": 1})
child = os.fork()
if child == 0:
    client.set("u", {"n": 2})
    batch.set("u", {"n": 3})
    batch.close()
    os._exit(0)
os.waitpid(child, 0)
client.set("u", {"n": 4})
batch.close()
"""
    done = run(program, receiver.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert values_in(receiver) == [0, 2, 3, 4, 1]
    parents, childs = (
        {request.peer for position, request in enumerate(receiver.requests) if (position in (1, 2)) is child}
        for child in (False, True)
    )
    assert parents.isdisjoint(childs)


def test_a_forked_child_that_ends_normally_sends_its_own_updates_and_not_its_parents(receiver):
    program = """
batch.set("u", {"n": 1})
child = os.fork()
if child == 0:
    batch.set("u", {"n": 2})
    sys.exit()
os.waitpid(child, 0)
"""
    done = run(program, receiver.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert values_in(receiver) == [2, 1]


def test_a_client_that_was_closed_stays_closed_in_a_forked_child(receiver):
    program = """
client.close()
child = os.fork()
if child == 0:
    try:
        client.set("u", {"n": 1})
    except Exception as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    assert "this client is closed" in run(program, receiver.url).stdout
    assert receiver.requests == []
