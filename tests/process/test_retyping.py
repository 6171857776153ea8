"""Retyping a hundred thousand profiles: what it says before, what it costs, and a crash anywhere in the middle."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time

import pytest

from support.data import open_store
from support.server import Server, make_cast, serving
from traitbase import bootstrap
from traitbase.domain.spaces import Space
from traitbase.domain.updates import set_update
from traitbase.domain.values import Kind, decode_properties
from traitbase.services.ingest import Ingest, Submission
from traitbase.services.ports import ProfileOrder
from traitbase.services.redefining import Redefinition, redefine
from traitbase.services.retyping import Asked, values_of

LIVE = Space("north", "live")
PEOPLE = 100_000
KILLS = 6


def text_of(number):
    return str(number) if number % 50 else f"x{number}"


def fill(data):
    store = open_store(data)
    ingest = Ingest(store, new_profile_id=bootstrap.new_profile_id)
    for start in range(0, PEOPLE, 5_000):
        numbers = range(start, start + 5_000)
        updates = [set_update(f"u{each:06}", {"code": text_of(each), "plan": "free"}) for each in numbers]
        submission = Submission(LIVE, updates, bootstrap.new_request_id(), bootstrap.now_us(), "key_1")
        ingest.run([submission], wait_seconds=10)
    ingest.close()
    store.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    data = tmp_path_factory.mktemp("retyping") / "data"
    cast = make_cast(data)
    fill(data)
    return data, cast


def account(data):
    """Return the property's type, its number of profiles, and all its values: of profiles, and kept aside."""
    store = open_store(data)
    values, aside = {}, {}
    after = None
    while rows := store.list_profiles(LIVE, ProfileOrder.DISTINCT_ID, after=after, limit=5_000):
        for row in rows:
            properties = decode_properties(row.document)
            assert properties.pop("plan") == "free"
            values[row.distinct_id] = properties.get("code")
        after = (0, rows[-1].distinct_id)
    place = ""
    while kept := store.find_kept_aside(LIVE, "code", after=place, limit=5_000):
        aside.update({row.distinct_id: values_of(row) for row in kept})
        place = kept[-1].distinct_id
    definition = next(row for row in store.get_definitions(LIVE)[1] if row.name == "code")
    store.close()
    return definition.kind, definition.profiles, values, aside


AS_TEXT = (Kind.STRING, PEOPLE, {f"u{each:06}": text_of(each) for each in range(PEOPLE)}, {})
AS_NUMBERS = (
    Kind.NUMBER,
    PEOPLE * 49 // 50,
    {f"u{each:06}": each if each % 50 else None for each in range(PEOPLE)},
    {f"u{each:06}": [f"x{each}"] for each in range(0, PEOPLE, 50)},
)


@pytest.mark.slow
def test_it_says_of_a_hundred_thousand_profiles_what_it_then_does(filled):
    data, _ = filled
    store = open_store(data)

    def change(kind, *, dry_run):
        asked = Asked(bootstrap.new_request_id(), bootstrap.now_us(), "key_1")
        return redefine(store, LIVE, "code", Redefinition(kind=kind), asked=asked, dry_run=dry_run)

    for kind, expected in ((Kind.NUMBER, AS_NUMBERS), (Kind.STRING, AS_TEXT)):
        would = change(kind, dry_run=True)
        assert change(kind, dry_run=False) == would
        assert account(data) == expected
    store.close()


@pytest.mark.slow
def test_it_is_done_or_not_when_killed_in_the_middle_and_never_half(filled):
    data, cast = filled
    chance = random.Random(11)
    kind, seen = Kind.STRING, set()
    states = {Kind.STRING: AS_TEXT, Kind.NUMBER: AS_NUMBERS}
    seconds = 3.0
    for _ in range(KILLS):
        server = Server(data)
        client = server.client(cast.ada, "north")
        other = Kind.NUMBER if kind is Kind.STRING else Kind.STRING
        answered = []

        def retype(client=client, kind=other, answered=answered):
            began = time.monotonic()
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = client.call("PATCH", f"{client.base}/properties/code", {"type": kind.value})
                answered.append((answer.status, time.monotonic() - began))

        thread = threading.Thread(target=retype)
        thread.start()
        thread.join(chance.uniform(0.05, 1.2 * seconds))
        server.kill()
        thread.join(60)
        found = account(data)
        assert found == states[found[0]]
        if answered:
            assert (answered[0][0], found[0]) == (200, other)
            seconds = answered[0][1]
        seen.add(found[0] is other)
        kind = found[0]
    assert False in seen


@pytest.mark.slow
def test_it_lets_writers_wait_and_not_fail(filled):
    data, cast = filled
    with serving(data) as server:
        client, writer = server.client(cast.ada, "north"), server.client(cast.ada, "north")
        statuses = []
        done = threading.Event()

        def write():
            while not done.is_set():
                statuses.append(writer.post("numerical-add", {"distinct_id": "beside", "$add": {"n": 1}}).status)

        thread = threading.Thread(target=write)
        thread.start()
        for kind in ("string", "list", "string"):
            assert client.call("PATCH", f"{client.base}/properties/code", {"type": kind}).status == 200
        done.set()
        thread.join(60)
        assert set(statuses) == {202}
        assert client.properties_of("beside") == {"n": len(statuses)}
