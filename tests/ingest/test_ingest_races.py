"""Two writers, as two server processes, over one store: nothing is lost, whatever comes between their steps."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from ingest.submitting import exhaust, ignored_in, ingest_on, kinds_in, properties_in, run, sent
from store.backends import LIVE, plain
from traitbase.domain.errors import Conflict
from traitbase.services.ingest import Group


@pytest.fixture
def other(backend):
    with closing(ingest_on(backend.reopen())) as opened:
        yield opened


def run_with_another_between(ingest, submissions, interrupt):
    """Prepare, let the other do its work, write; and if that came too late, do it again as `Ingest.run` does."""
    group = Group(submissions)
    exhaust(ingest.prepare(group))
    interrupt()
    try:
        ingest.write(group, wait_seconds=10)
    except Conflict:
        ingest.abandon(group)
        ingest.run(submissions, wait_seconds=10)
    else:
        ingest.settle(group)


# --- another writer between preparing and writing ---


def test_loses_no_addition_to_a_profile_that_both_change(store, ingest, other):
    run(ingest, sent(("u", {"$add": {"n": 1}})))
    late, early = sent(("u", {"$add": {"n": 10}})), sent(("u", {"$add": {"n": 100}}))
    run_with_another_between(ingest, [late], lambda: run(other, early))
    assert (properties_in(store), late.outcome, early.outcome) == ({"n": 111}, late.request_id, early.request_id)


def test_loses_nothing_of_a_profile_that_both_create(store, ingest, other):
    run_with_another_between(
        ingest, [sent(("u", {"$set": {"a": 1}}))], lambda: run(other, sent(("u", {"$set": {"b": 2}})))
    )
    assert (properties_in(store), kinds_in(store)) == ({"a": 1, "b": 2}, {"a": "number", "b": "number"})


def test_writes_the_receipt_of_a_second_attempt_once(store, ingest, other):
    late = sent(("u", {"$set": {"a": 1}}), ("w", {"$set": {"a": None}}))
    run_with_another_between(ingest, [late], lambda: run(other, sent(("u", {"$set": {"b": 2}}))))
    assert ignored_in(store, late) == [(1, "$set", "a", "null_value")]
    assert [entry.property for _, entry in late.ignored] == ["a"]
    assert [row.revision for row in store.find_changes(LIVE, late.request_id)] == [2, 1]


def test_ignores_the_value_of_the_one_that_lost_the_race_for_a_definition(store, ingest, other):
    late, early = sent(("u", {"$set": {"p": "text", "q": 1}})), sent(("w", {"$set": {"p": 5}}))
    run_with_another_between(ingest, [late], lambda: run(other, early))
    assert (properties_in(store, "w"), properties_in(store, "u")) == ({"p": 5}, {"q": 1})
    assert (ignored_in(store, early), ignored_in(store, late)) == ([], [(0, "$set", "p", "type_mismatch")])
    assert kinds_in(store) == {"p": "number", "q": "number"}


def test_makes_a_definition_once_when_both_bring_the_same(store, ingest, other):
    late, early = sent(("u", {"$set": {"p": 1}})), sent(("w", {"$set": {"p": 5}}))
    run_with_another_between(ingest, [late], lambda: run(other, early))
    assert [(row.name, row.first_seen_in) for row in store.get_definitions(LIVE)[1]] == [("p", early.request_id)]
    assert properties_in(store) == {"p": 1}


def test_answers_one_of_two_requests_with_one_idempotency_key_by_the_other(store, ingest, other):
    late, early = (sent(("u", {"$add": {"n": 1}}), key="k1") for _ in range(2))
    run_with_another_between(ingest, [late], lambda: run(other, early))
    assert (late.outcome, early.outcome, properties_in(store)) == (early.request_id, early.request_id, {"n": 1})


def test_makes_a_profile_anew_that_was_erased_meanwhile(backend, store, ingest):
    run(ingest, sent(("u", {"$set": {"a": 1, "b": 1}})))
    (before,) = store.find_profiles(LIVE, ["u"])
    backend.erase_profile(LIVE, "u")
    run(ingest, sent(("u", {"$set": {"b": 2}})))
    (after,) = plain(store.find_profiles(LIVE, ["u"]))
    assert (after.document, after.revision, after.profile_id != before.profile_id) == ('{"b":2}', 1, True)


# --- what this writer remembers is no longer so, because another wrote meanwhile ---


def test_builds_on_what_another_wrote_since(store, ingest, other):
    run(ingest, sent(("u", {"$add": {"n": 1}})))
    run(other, sent(("u", {"$add": {"n": 10}, "$set": {"s": "x"}})))
    run(ingest, sent(("u", {"$add": {"n": 100}})))
    assert properties_in(store) == {"n": 111, "s": "x"}


@pytest.mark.parametrize(
    ("first", "theirs", "ours", "expected"),
    [
        ({"$set": {"a": 1}}, {"$unset": ["a"]}, {"$once": {"a": 2}}, {"a": 2}),
        ({"$set": {"l": ["x"]}}, {"$remove": {"l": "x"}}, {"$append": {"l": "x"}}, {"l": ["x"]}),
        ({"$set": {"l": ["x"]}}, {"$append": {"l": "y"}}, {"$remove": {"l": "y"}}, {"l": ["x"]}),
        ({"$set": {"a": 1, "b": 1}, "$unset": ["b"]}, {"$set": {"b": 2}}, {"$unset": ["b"]}, {"a": 1}),
    ],
    ids=["once", "append", "remove", "unset"],
)
def test_ignores_a_value_only_for_what_is_so_now(store, ingest, other, first, theirs, ours, expected):
    run(ingest, sent(("u", first)))
    run(other, sent(("u", theirs)))
    late = sent(("u", ours))
    run(ingest, late)
    assert (properties_in(store), ignored_in(store, late)) == (expected, [])


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ({"$set": {"l": ["x"]}}, {"$remove": {"l": "x"}}, {"l": []}),
        ({"$set": {"a": 1}}, {"$unset": ["a"]}, {}),
    ],
    ids=["remove", "unset"],
)
def test_takes_away_what_another_answered_for_before_it_did(store, ingest, other, theirs, ours, expected):
    run(ingest, sent(("w", theirs)))  # the property is known to both, the profile to neither
    late = sent(("u", ours))
    run_with_another_between(ingest, [late], lambda: run(other, sent(("u", theirs))))
    assert (properties_in(store), ignored_in(store, late)) == (expected, [])


@pytest.mark.parametrize(
    ("theirs", "ours", "ignored"),
    [
        ({"$set": {"p": "text"}}, {"$add": {"p": 1}}, [(0, "$add", "p", "type_mismatch")]),
        ({"$set": {"p": ["a"]}}, {"$add": {"p": 1}}, [(0, "$add", "p", "type_mismatch")]),
        ({"$set": {"p": 5}}, {"$append": {"p": 1}}, [(0, "$append", "p", "type_mismatch")]),
        ({"$set": {"p": "text"}}, {"$append": {"p": 1}}, [(0, "$append", "p", "type_mismatch")]),
        ({"$set": {"p": "text"}}, {"$append": {"p": "t"}}, [(0, "$append", "p", "type_mismatch")]),
        ({"$set": {"p": True}}, {"$add": {"p": 1}}, [(0, "$add", "p", "type_mismatch")]),
    ],
)
def test_learns_of_a_definition_together_with_the_first_value_of_it(store, ingest, other, theirs, ours, ignored):
    run(ingest, sent(("w", {"$set": {"known": 1}})))  # from here on it remembers the definitions
    run(other, sent(("u", theirs)))
    late = sent(("u", ours))
    run(ingest, late)
    assert (properties_in(store), ignored_in(store, late)) == (theirs["$set"], ignored)


# --- threads ---


def test_loses_nothing_when_several_writers_run_at_once(backend, store):
    writers, rounds = 3, 40
    failures = []

    def work(writer):
        try:
            with closing(ingest_on(backend.reopen())) as ingest:
                for each in range(rounds):
                    update = {"$add": {"n": 1, f"of {writer}": 1}, "$append": {"l": f"{writer}.{each}"}}
                    run(
                        ingest,
                        sent(("u", update), (f"own {writer}.{each % 5}", update)),
                        sent(("w", {"$add": {f"new {each}": 1}})),
                    )
        except BaseException as error:  # noqa: BLE001  # shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    found = properties_in(store)
    assert {name: value for name, value in found.items() if name != "l"} == {
        "n": writers * rounds,
        **{f"of {writer}": rounds for writer in range(writers)},
    }
    assert sorted(found["l"]) == sorted(f"{writer}.{each}" for writer in range(writers) for each in range(rounds))
    assert properties_in(store, "w") == {f"new {each}": writers for each in range(rounds)}
    assert set(kinds_in(store)) == {
        "n",
        "l",
        *(f"of {each}" for each in range(writers)),
        *(f"new {each}" for each in range(rounds)),
    }
