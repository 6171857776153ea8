"""One writer: groups become durable as a whole, every submission has an outcome, receipts account for each value."""

from __future__ import annotations

import json
from contextlib import closing
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.strategies import items as generated_items
from ingest.submitting import DAY_US, NOW_US, exhaust, ignored_in, ingest_on, kinds_in, properties_in, run, sent
from store.backends import BACKENDS, LIVE, SOUTH_LIVE, TEST, fresh, plain
from traitbase.domain.errors import Conflict, NotFound, Refused
from traitbase.domain.operations import applied_in
from traitbase.domain.spaces import Space
from traitbase.domain.updates import Operation
from traitbase.services.ingest import Group
from traitbase.services.ports import ChangeRow, DefinitionRow, ProfileRow


def test_makes_a_profile_its_definitions_and_its_receipt(store, ingest):
    submission = sent(("u", {"$set": {"plan": "pro", "n": Decimal("0.10")}, "$unset": ["gone"]}))
    assert run(ingest, submission) == [submission.request_id]
    (profile,) = plain(store.find_profiles(LIVE, ["u"]))
    document, place = '{"n":0.1,"plan":"pro"}', f"{submission.request_id}/0"
    assert profile == ProfileRow(*LIVE, "u", profile.profile_id, 1, document, NOW_US, NOW_US, None, None, place)
    assert store.get_definitions(LIVE) == (
        1,
        [
            DefinitionRow("n", "number", "active", NOW_US, submission.request_id, profiles=1),
            DefinitionRow("plan", "string", "active", NOW_US, submission.request_id, profiles=1),
        ],
    )
    (change,) = store.find_changes(LIVE, submission.request_id)
    ignored = [
        {"operation": "$unset", "property": "gone", "reason": "absent", "message": "there was nothing to take away"}
    ]
    assert change == ChangeRow(
        *LIVE,
        submission.request_id,
        0,
        "u",
        NOW_US,
        1,
        "key_1",
        '{"$set":{"plan":"pro","n":0.10},"$unset":["gone"]}',
        change.ignored,
        None,
        "{}",
    )
    assert json.loads(change.ignored) == ignored
    assert [(item, entry._asdict()) for item, entry in submission.ignored] == [(0, ignored[0])]


def test_keeps_the_first_time_and_the_profile_id_and_counts_revisions(store, ingest):
    run(ingest, sent(("u", {"$set": {"a": 1}})))
    (first,) = store.find_profiles(LIVE, ["u"])
    second = sent(("u", {"$set": {"a": 2}}), at_us=NOW_US + 5)
    run(ingest, second)
    place = f"{second.request_id}/0"
    assert plain(store.find_profiles(LIVE, ["u"])) == [
        first._replace(revision=2, document='{"a":2}', updated_at_us=NOW_US + 5, last_change=place)
    ]


def test_applies_a_group_in_order_even_to_one_profile(store, ingest):
    group = [
        sent(("u", {"$set": {"k": "v1"}}), ("w", {"$add": {"n": 1}}), ("u", {"$set": {"k": "v2"}})),
        sent(("u", {"$append": {"l": "a"}})),
        sent(("u", {"$append": {"l": "b"}}), ("u", {"$remove": {"l": "a"}})),
    ]
    assert run(ingest, *group) == [submission.request_id for submission in group]
    assert (properties_in(store, "u"), properties_in(store, "w")) == ({"k": "v2", "l": ["b"]}, {"n": 1})
    assert [row.revision for row in store.find_profiles(LIVE, ["u"])] == [1]


def test_creates_nobody_by_taking_away(store, ingest):
    submission = sent(("ghost", {"$remove": {"l": 1}, "$unset": ["a"]}))
    assert run(ingest, submission) == [submission.request_id]
    assert (properties_in(store, "ghost"), kinds_in(store)) == (None, {})
    assert ignored_in(store, submission) == [(0, "$remove", "l", "absent"), (0, "$unset", "a", "absent")]
    assert [row.revision for row in store.find_changes(LIVE, submission.request_id)] == [0]


def test_creates_a_profile_all_of_whose_values_were_ignored(store, ingest):
    submission = sent(("u", {"$set": {"n": None}}))
    run(ingest, submission)
    assert (properties_in(store), kinds_in(store)) == ({}, {})
    assert ignored_in(store, submission) == [(0, "$set", "n", "null_value")]


def test_writes_no_profile_that_did_not_change(store, ingest):
    run(ingest, sent(("u", {"$set": {"a": 1}})))
    before = store.find_profiles(LIVE, ["u"])
    submission = sent(("u", {"$once": {"a": 2}}), at_us=NOW_US + 5)
    run(ingest, submission)
    assert store.find_profiles(LIVE, ["u"]) == before
    assert [row.revision for row in store.find_changes(LIVE, submission.request_id)] == [1]


def test_never_mixes_spaces(store, ingest):
    run(
        ingest,
        sent(("u", {"$set": {"p": 1}})),
        sent(("u", {"$set": {"p": "text"}}), space=TEST),
        sent(("u", {"$set": {"p": True}}), space=SOUTH_LIVE),
    )
    found = [(properties_in(store, space=space), kinds_in(store, space=space)) for space in (LIVE, TEST, SOUTH_LIVE)]
    assert found == [({"p": 1}, {"p": "number"}), ({"p": "text"}, {"p": "string"}), ({"p": True}, {"p": "boolean"})]


def test_reads_dates_in_the_zone_of_the_workspace(store, ingest):
    dates = ["2024-06-01", "2024-05-31T22:00:00Z", "2024-06-01T07:00:00Z"]
    run(ingest, sent(("u", {"$set": {"l": dates}})), sent(("u", {"$set": {"l": dates}}), space=SOUTH_LIVE))
    assert properties_in(store) == {"l": [dates[0], dates[2]]}  # Berlin
    assert properties_in(store, space=SOUTH_LIVE) == {"l": dates[:2]}  # Pacific


def test_refuses_a_workspace_that_does_not_exist_and_goes_on(store, ingest):
    with pytest.raises(NotFound):
        run(ingest, sent(("u", {"$set": {"a": 1}})), sent(("u", {"$set": {"a": 1}}), space=Space("nowhere", "live")))
    assert properties_in(store) is None
    run(ingest, sent(("u", {"$set": {"a": 1}})))
    assert properties_in(store) == {"a": 1}


def test_lets_others_in_every_few_hundred_updates(store, ingest):
    group = Group([sent(*((f"u{position}", {"$add": {"n": 1}}) for position in range(2_000)))])
    steps = sum(1 for _ in ingest.prepare(group))
    ingest.write(group, wait_seconds=10)
    ingest.settle(group)
    assert steps >= 2_000 // 256 * 3  # loading, applying, collecting
    assert len(store.find_profiles(LIVE, [f"u{position}" for position in range(2_000)])) == 2_000


def test_builds_a_group_on_one_that_is_still_being_written(store, ingest):
    first, second = (
        Group([sent(("u", {"$add": {"n": 1}}))]),
        Group([sent(("u", {"$add": {"n": 2}, "$set": {"s": "x"}}))]),
    )
    exhaust(ingest.prepare(first))
    exhaust(ingest.prepare(second))
    for group in (first, second):
        ingest.write(group, wait_seconds=10)
        ingest.settle(group)
    assert properties_in(store) == {"n": 3, "s": "x"}
    assert [row.revision for row in store.find_profiles(LIVE, ["u"])] == [2]


def test_takes_both_groups_back_when_the_first_could_not_be_written(backend, store, ingest):
    first, second = Group([sent(("u", {"$add": {"n": 1}}))]), Group([sent(("u", {"$add": {"n": 2}}))])
    exhaust(ingest.prepare(first))
    exhaust(ingest.prepare(second))
    with backend.held(), pytest.raises(Refused):
        ingest.write(first, wait_seconds=0.01)
    ingest.abandon(first)
    ingest.abandon(second)
    run(ingest, *second.submissions)
    assert (properties_in(store), kinds_in(store)) == ({"n": 2}, {"n": "number"})


class RefusingOnce:
    """A store whose sessions cannot write the first time after `refuse` was set, and can again afterwards."""

    def __init__(self, store):
        self.store = store
        self.refuse = False

    def __getattr__(self, name):
        return getattr(self.store, name)

    def open_session(self):
        return RefusingSession(self, self.store.open_session())


class RefusingSession:
    def __init__(self, owner, session):
        self.owner = owner
        self.session = session
        self.close = session.close

    def write(self, rows, *, wait_seconds):
        if self.owner.refuse:
            self.owner.refuse = False
            raise Refused("the disk is full", code="store_unavailable")
        self.session.write(rows, wait_seconds=wait_seconds)


def test_keeps_nothing_of_a_failed_write_and_applies_the_next_attempt_once(store):
    refusing = RefusingOnce(store)
    ingest = ingest_on(refusing)
    run(ingest, sent(("u", {"$add": {"n": 1}})))
    refusing.refuse = True
    again = [sent(("u", {"$add": {"n": 10, "new": 1}}), key="k1"), sent(("w", {"$append": {"l": "a"}}))]
    with pytest.raises(Refused):
        run(ingest, *again)
    assert [submission.outcome for submission in again] == [None, None]
    assert (properties_in(store), properties_in(store, "w"), kinds_in(store)) == ({"n": 1}, None, {"n": "number"})
    assert [store.find_changes(LIVE, submission.request_id) for submission in again] == [[], []]
    assert store.find_idempotency(LIVE, ["k1"], since_us=0) == []
    assert run(ingest, *again) == [submission.request_id for submission in again]
    assert (properties_in(store), properties_in(store, "w")) == ({"n": 11, "new": 1}, {"l": ["a"]})
    assert [len(store.find_changes(LIVE, submission.request_id)) for submission in again] == [1, 1]
    ingest.close()


@pytest.mark.parametrize("number", [10**30, 10**400, -(10**4_000), Decimal("1E+999999"), Decimal("-1E-999999")])
def test_writes_a_receipt_for_a_number_of_any_size(store, ingest, number):
    submission = sent(("u", {"$set": {"n": number, "ok": 1}, "$add": {"m": number}, "$append": {"l": number}}))
    assert run(ingest, submission) == [submission.request_id]
    assert properties_in(store)["ok"] == 1
    assert len(store.find_changes(LIVE, submission.request_id)) == 1


# --- idempotency ---


def test_replays_a_request_of_an_earlier_group(store, ingest):
    first = sent(("u", {"$add": {"n": 1}}), key="k1")
    again = sent(("u", {"$add": {"n": 1}}), key="k1", at_us=NOW_US + DAY_US)
    assert run(ingest, first) == [first.request_id]
    assert run(ingest, again) == [first.request_id]
    assert properties_in(store) == {"n": 1}
    assert store.find_changes(LIVE, again.request_id) == []


def test_replays_a_request_of_the_same_group(store, ingest):
    first, again, other = (sent(("u", {"$add": {"n": 1}}), key=key) for key in ("k1", "k1", "k2"))
    assert run(ingest, first, again, other) == [first.request_id, first.request_id, other.request_id]
    assert properties_in(store) == {"n": 2}


def test_replays_after_a_restart(backend, store, ingest):
    first, again = (sent(("u", {"$add": {"n": 1}}), key="k1") for _ in range(2))
    run(ingest, first)
    with closing(ingest_on(backend.reopen())) as restarted:
        assert run(restarted, again) == [first.request_id]
    assert properties_in(store) == {"n": 1}


@pytest.mark.parametrize("together", [True, False])
def test_refuses_a_key_that_came_with_another_request(store, ingest, together):
    first = sent(("u", {"$add": {"n": 1}}), key="k1", digest="d1")
    other = sent(("u", {"$add": {"n": 5}}), key="k1", digest="d2")
    beside = sent(("u", {"$add": {"n": 100}}))
    for group in [(first, other, beside)] if together else [(first,), (other, beside)]:
        run(ingest, *group)
    assert (first.outcome, beside.outcome) == (first.request_id, beside.request_id)
    assert type(other.outcome) is Conflict
    assert other.outcome.code == "idempotency_key_reused"
    assert properties_in(store) == {"n": 101}


def test_takes_a_key_anew_after_a_day(store, ingest):
    first = sent(("u", {"$add": {"n": 1}}), key="k1", digest="d1")
    later = sent(("u", {"$add": {"n": 5}}), key="k1", digest="d2", at_us=NOW_US + DAY_US + 1)
    again = sent(("u", {"$add": {"n": 5}}), key="k1", digest="d2", at_us=NOW_US + DAY_US + 2)
    assert [run(ingest, each)[0] for each in (first, later, again)] == [
        first.request_id,
        later.request_id,
        later.request_id,
    ]
    assert properties_in(store) == {"n": 6}


def test_keeps_the_keys_of_each_space_apart(store, ingest):
    group = [
        sent(("u", {"$add": {"n": 1}}), key="k1", space=space, digest=space.workspace_id)
        for space in (LIVE, TEST, SOUTH_LIVE)
    ]
    assert run(ingest, *group) == [submission.request_id for submission in group]
    assert [properties_in(store, space=space) for space in (LIVE, TEST, SOUTH_LIVE)] == [{"n": 1}] * 3


def test_replays_across_two_groups_prepared_one_after_the_other(store, ingest):
    first, again = (Group([sent(("u", {"$add": {"n": 1}}), key="k1")]) for _ in range(2))
    exhaust(ingest.prepare(first))
    exhaust(ingest.prepare(again))
    ingest.write(first, wait_seconds=10)
    ingest.settle(first)
    with pytest.raises(Conflict):
        ingest.write(again, wait_seconds=10)
    ingest.abandon(again)
    assert run(ingest, *again.submissions) == [first.submissions[0].request_id]
    assert properties_in(store) == {"n": 1}


# --- receipts ---


@pytest.mark.parametrize("name", BACKENDS)
@settings(max_examples=20)
@given(requests=st.lists(st.lists(generated_items, min_size=1, max_size=3), min_size=1, max_size=3))
def test_accounts_in_its_receipts_for_everything_that_was_sent(name, requests):
    with fresh(name) as backend, closing(ingest_on(backend.store)) as ingest:
        submissions = [sent(*((item["distinct_id"], item["action"]) for item in request)) for request in requests]
        run(ingest, *submissions)
        for submission in submissions:
            rows = backend.store.find_changes(LIVE, submission.request_id)
            assert [(row.item, row.distinct_id) for row in rows] == [
                (item, update.distinct_id) for item, update in enumerate(submission.updates)
            ]
            for row, update in zip(rows, submission.updates, strict=True):
                ignored = [(entry["operation"], entry["property"]) for entry in json.loads(row.ignored or "[]")]
                assert json.loads(row.operations).keys() == {operation.value for operation, _ in update.operations}
                applied = applied_in(update, tuple((Operation(operation), name) for operation, name in ignored))
                entries = [(operation.value, name) for operation, payload in update.operations for name in payload]
                assert sorted([*((operation.value, name) for operation, name in applied), *ignored]) == sorted(entries)
