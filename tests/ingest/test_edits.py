"""Edits beside updates in one group: what becomes of each request, and what is kept of it."""

from __future__ import annotations

import json

import pytest

from ingest.submitting import DAY_US, NOW_US, asked, ingest_on, properties_in, run, sent
from store.backends import LIVE, TEST
from traitbase.domain.attributes import Attributes, decode_attributes
from traitbase.domain.edits import Change, Create, Erase, Merge, PatchChannel
from traitbase.domain.errors import Conflict, InvalidInput, NotFound
from traitbase.domain.profile_bodies import AttributeChanges
from traitbase.domain.updates import set_update
from traitbase.services.history import read_history
from traitbase.services.ports import SearchField
from traitbase.services.profiles import find_profile

NOTHING = AttributeChanges()


def create(distinct_id="u", *, name=None, **properties):
    return Create(distinct_id, AttributeChanges(name=name), set_update("-", properties) if properties else None)


def attributes_of(store, distinct_id) -> Attributes:
    (row,) = store.find_profiles(LIVE, [distinct_id])
    return decode_attributes(row.attributes)


def ids_leading_to(store, *distinct_ids):
    return {each: profile and profile.distinct_id for each, profile in found_by(store, distinct_ids).items()}


def found_by(store, distinct_ids):
    return {each: find_profile(store, LIVE, each) for each in distinct_ids}


def history_of(store, distinct_id, *, limit=100):
    """Return action, id and effects of every change, newest first, read in pages of `limit`."""
    found, places = [], None
    while places is None or places:
        profile = find_profile(store, LIVE, distinct_id)
        page = read_history(store, LIVE, profile, since_us=0, places=places, limit=limit)
        found += [(entry.action, entry.distinct_id, entry.effects) for entry in page.entries]
        places = page.places
    return found


def test_a_created_profile_takes_its_properties_by_the_usual_rules(store, ingest):
    run(ingest, sent(("w", {"$set": {"n": 1}})))
    submission = asked(create(name="Ann", n="one", plan="pro"))
    assert run(ingest, submission) == [submission.request_id]
    assert properties_in(store) == {"plan": "pro"}
    assert attributes_of(store, "u") == Attributes(name="Ann")
    (change,) = store.find_changes(LIVE, submission.request_id)
    assert (change.action, change.revision, change.operations) == ("create", 1, '{"$set":{"n":"one","plan":"pro"}}')
    assert [entry["reason"] for entry in json.loads(change.ignored)] == ["type_mismatch"]


def test_of_two_creations_in_a_group_the_first_wins_and_the_second_says_so(store, ingest):
    first, second = run(ingest, asked(create(name="Ann")), asked(create(name="Bo")))
    assert isinstance(first, str)
    assert isinstance(second, InvalidInput)
    assert second.message == "Distinct ID 'u' already exists in the 'live' version of your workspace"
    assert attributes_of(store, "u").name == "Ann"


def test_an_edit_that_fails_leaves_no_trace_and_disturbs_nobody(store, ingest):
    failing = asked(Merge("nobody", "u"))
    first, failed, last = run(ingest, sent(("u", {"$add": {"n": 1}})), failing, sent(("u", {"$add": {"n": 1}})))
    assert (type(first), type(last)) == (str, str)
    assert isinstance(failed, NotFound)
    assert failed.message == "merge from id does not exist"
    assert store.find_changes(LIVE, failing.request_id) == []
    assert properties_in(store) == {"n": 2}


def test_a_failed_edit_is_no_answer_to_its_replay(store, ingest):
    (failed,) = run(ingest, asked(Merge("a", "b"), key="k"))
    assert isinstance(failed, NotFound)
    run(ingest, sent(("a", {"$set": {"n": 1}})))
    again = asked(Merge("a", "b"), key="k")
    assert run(ingest, again) == [again.request_id]
    assert ids_leading_to(store, "a") == {"a": "b"}


def test_a_replay_within_the_group_of_a_failed_edit_fails_with_it(ingest):
    first, replay = run(ingest, asked(Merge("a", "b"), key="k"), asked(Merge("a", "b"), key="k"))
    assert isinstance(first, NotFound)
    assert replay is first


def test_a_replayed_edit_is_answered_by_the_first_and_done_once(store, ingest):
    first, replay = asked(create(n=1), key="k"), asked(create(n=1), key="k")
    assert run(ingest, first) == [first.request_id]
    assert run(ingest, replay) == [first.request_id]
    late = asked(create(n=1), key="k", at_us=NOW_US + DAY_US + 1)
    assert isinstance(run(ingest, late)[0], InvalidInput)
    assert properties_in(store) == {"n": 1}


def test_what_was_decided_on_an_old_state_is_decided_again(backend, store, ingest):
    """Another process erases the profile: "already exists" must not be answered from memory."""
    run(ingest, asked(create()))
    other = ingest_on(backend.reopen())
    run(other, asked(Erase(("u",))))
    other.close()
    again = asked(create(name="new"))
    assert run(ingest, again) == [again.request_id]
    assert attributes_of(store, "u").name == "new"


def test_an_update_by_an_alias_reaches_the_profile_and_its_receipt_names_the_alias(store, ingest):
    run(ingest, sent(("a", {"$set": {"x": 1}}), ("b", {"$set": {"y": 2}})), asked(Merge("a", "b")))
    submission = sent(("a", {"$add": {"x": 1}}), ("b", {"$add": {"x": 1}}))
    run(ingest, submission)
    assert properties_in(store, "b") == {"x": 3, "y": 2}
    assert [row.distinct_id for row in store.find_changes(LIVE, submission.request_id)] == ["a", "b"]


def test_aliases_follow_through_merges_and_renames(store, ingest):
    run(ingest, *(sent((each, {"$set": {each: 1}})) for each in "abc"))
    run(ingest, asked(Merge("a", "b")))
    run(ingest, asked(Change("b", "b2", NOTHING, None)))
    run(ingest, asked(Merge("b2", "c")))
    assert ids_leading_to(store, "a", "b", "b2", "c") == dict.fromkeys(("a", "b", "b2", "c"), "c")
    assert properties_in(store, "c") == {"a": 1, "b": 1, "c": 1}
    rows = {row.distinct_id: row.alias_of for row in store.find_profiles(LIVE, ["a", "b", "b2", "c"])}
    assert rows == {"a": "c", "b": "c", "b2": "c", "c": None}


def test_a_profile_can_be_renamed_back(store, ingest):
    run(ingest, asked(create(n=1)))
    (before,) = store.find_profiles(LIVE, ["u"])
    for old_id, new_id in (("u", "v"), ("v", "w"), ("w", "u")):
        run(ingest, asked(Change(old_id, new_id, NOTHING, None)))
    assert ids_leading_to(store, "u", "v", "w") == {"u": "u", "v": "u", "w": "u"}
    (after,) = store.find_profiles(LIVE, ["u"])
    assert (after.profile_id, after.created_at_us) == (before.profile_id, before.created_at_us)
    assert set(attributes_of(store, "u").aliases) == {"v", "w"}


def test_a_body_that_repeats_the_alias_in_the_path_renames_nothing(store, ingest):
    """A client that knows only the old id sends it in both places."""
    run(ingest, asked(create(n=1)), asked(Change("u", "v", NOTHING, None)))
    run(ingest, asked(Change("u", "u", AttributeChanges(name="Ann"), None)))
    assert ids_leading_to(store, "u", "v") == {"u": "v", "v": "v"}
    assert attributes_of(store, "v").name == "Ann"


def test_a_merge_keeps_the_ids_of_both(store, ingest):
    run(ingest, sent(("a", {"$set": {"x": 1}}), ("b", {"$set": {"x": 2}})))
    (a,) = store.find_profiles(LIVE, ["a"])
    run(ingest, asked(Merge("a", "b")))
    assert attributes_of(store, "b") == Attributes(aliases=("a",), id_list=(a.profile_id,))


def test_history_tells_before_and_after_of_everything(store, ingest):
    run(ingest, asked(create("a", name="Ann", n=1)))
    run(ingest, sent(("a", {"$set": {"n": 2, "plan": "pro"}, "$append": {"tags": "x"}})))
    run(ingest, sent(("a", {"$set": {"n": 2}})))
    run(ingest, sent(("a", {"$unset": ["plan"]})))
    run(ingest, asked(PatchChannel("a", {"sms": "+919879012345"})))
    run(ingest, asked(Change("a", "b", AttributeChanges(status=0), None)))
    expected = [
        ("rename", "b", {"$status": [1, 0], "$aliases": [None, ["a"]]}),
        ("channel", "a", {"$channel.sms": [None, "+919879012345"]}),
        ("properties", "a", {"plan": ["pro", None]}),
        ("properties", "a", {"n": [1, 2], "plan": [None, "pro"], "tags": [None, ["x"]]}),
        ("create", "a", {"n": [None, 1], "$status": [None, 1], "$name": [None, "Ann"]}),
    ]
    assert history_of(store, "a") == history_of(store, "b") == expected
    assert history_of(store, "a", limit=1) == expected


def test_history_of_a_merged_profile_is_that_of_both_in_order_of_time(store, ingest):
    for _ in range(3):
        run(ingest, sent(("a", {"$add": {"x": 1}})), sent(("b", {"$add": {"y": 1}})))
    run(ingest, asked(Merge("a", "b")), sent(("a", {"$add": {"x": 1}})))
    expected = [
        ("properties", "a", {"x": [3, 4]}),
        ("merge", "b", {"x": [None, 3], "$aliases": [None, ["a"]]}),
        ("properties", "b", {"y": [2, 3]}),
        ("properties", "a", {"x": [2, 3]}),
        ("properties", "b", {"y": [1, 2]}),
        ("properties", "a", {"x": [1, 2]}),
        ("properties", "b", {"y": [None, 1]}),
        ("properties", "a", {"x": [None, 1]}),
    ]
    assert history_of(store, "b") == expected
    assert history_of(store, "b", limit=1) == expected
    assert history_of(store, "b", limit=3) == expected


def test_history_of_a_long_list_tells_what_came_and_went(store, ingest):
    elements = [f"e{number}" for number in range(100)]
    run(ingest, sent(("u", {"$set": {"tags": elements}})))
    run(ingest, sent(("u", {"$append": {"tags": "new"}, "$remove": {"tags": "e5"}})))
    run(ingest, sent(("u", {"$append": {"tags": "new"}})))
    assert history_of(store, "u") == [
        ("properties", "u", {"tags": {"added": ["new"], "removed": ["e5"], "size": [100, 100]}}),
        ("properties", "u", {"tags": [None, elements]}),
    ]


def test_history_goes_back_as_far_as_it_is_kept(store, ingest):
    run(ingest, *(sent(("u", {"$set": {"n": number}}), at_us=number) for number in range(1, 6)))
    profile = find_profile(store, LIVE, "u")
    page = read_history(store, LIVE, profile, since_us=3, places=None, limit=100)
    assert [entry.effects for entry in page.entries] == [{"n": [4, 5]}, {"n": [3, 4]}, {"n": [2, 3]}]
    store.forget_requests(received_before_us=5, at_most=100)
    assert history_of(store, "u") == [("properties", "u", {"n": [4, 5]})]


def test_no_history_is_kept_where_none_is_wanted(store):
    ingest = ingest_on(store, keeps_history=False)
    run(ingest, asked(create(n=1)), sent(("u", {"$set": {"n": 2}})), asked(Change("u", "v", NOTHING, None)))
    ingest.close()
    assert history_of(store, "v") == []


def test_searches_find_the_name_as_it_is_now(store, ingest):
    run(ingest, asked(create(name="ÄNN")), asked(PatchChannel("u", {"email": "Ann@Example.com"})))
    run(ingest, asked(Change("u", None, AttributeChanges(name="Bo"), None)))

    def found(field, prefix):
        return [value for value, _ in store.search_profiles(LIVE, field, prefix, after=None, limit=10)]

    assert found(SearchField.NAME, "änn") == []
    assert found(SearchField.NAME, "b") == ["bo"]
    assert found(SearchField.EMAIL, "ann@ex") == ["ann@example.com"]
    run(ingest, asked(Change("u", "v", NOTHING, None)))
    assert [row.distinct_id for _, row in store.search_profiles(LIVE, SearchField.NAME, "bo", after=None, limit=9)] == [
        "v"
    ]


def test_ignored_values_are_kept_with_their_reason_and_counted(store, ingest):
    run(ingest, sent(("u", {"$set": {"n": 1}})))
    submission = sent(("u", {"$set": {"n": "two", "m": None}, "$once": {"n": 7}}), ("w", {"$append": {"n": "x"}}))
    run(ingest, submission)
    rows = store.find_ignored_values(LIVE, "n", before=None, limit=10)
    assert [(row.distinct_id, row.operation, row.reason, row.value) for row in rows] == [
        ("w", "$append", "type_mismatch", '"x"'),
        ("u", "$set", "type_mismatch", '"two"'),
    ]
    assert {row.name: (row.profiles, row.ignored) for row in store.get_definitions(LIVE)[1]} == {"n": (1, 2)}


def test_a_huge_ignored_value_is_counted_and_not_kept(store, ingest):
    run(ingest, sent(("u", {"$set": {"n": 1}})))
    run(ingest, sent(("u", {"$set": {"n": ["x" * 200] * 1_000}})))
    (row,) = store.find_ignored_values(LIVE, "n", before=None, limit=10)
    assert (row.reason, row.value) == ("type_mismatch", None)


def test_an_erasure_takes_everything_and_counts_it(backend, store, ingest):
    run(ingest, sent(("a", {"$set": {"n": 1}}), ("b", {"$set": {"n": 2}}), ("other", {"$set": {"n": 3}})))
    run(ingest, sent(("a", {"$set": {"n": "x"}})), sent(("a", {"$unset": ["n"]})), asked(Merge("a", "b")))
    erasure = asked(Erase(("a", "nobody")))
    assert run(ingest, erasure) == [erasure.request_id]
    assert found_by(store, ["a", "b"]) == {"a": None, "b": None}
    assert store.find_profiles(LIVE, ["a", "b"]) == []
    assert backend.changes_naming(LIVE, ["a", "b"]) == []
    assert store.find_ignored_values(LIVE, "n", before=None, limit=10) == []
    receipt = store.find_erasure(LIVE, erasure.request_id)
    assert receipt.counts == {
        "profiles": 1,
        "aliases": 1,
        "changes": 5,
        "ignored_values": 1,
        "kept_aside": 0,
        "cohort_members": 0,
        "suppressions": 0,
    }
    assert {row.name: row.profiles for row in store.get_definitions(LIVE)[1]} == {"n": 1}
    assert properties_in(store, "other") == {"n": 3}


def test_an_edit_that_changes_nothing_writes_nothing_and_is_erased_all_the_same(backend, store, ingest):
    run(ingest, asked(create(name="Ann")))
    (before,) = store.find_profiles(LIVE, ["u"])
    idle = asked(Change("u", None, AttributeChanges(name="Ann"), None), at_us=NOW_US + 5)
    assert run(ingest, idle) == [idle.request_id]
    assert store.find_profiles(LIVE, ["u"]) == [before]
    (change,) = store.find_changes(LIVE, idle.request_id)
    assert (change.revision, change.effect, change.previous) == (1, None, None)
    run(ingest, asked(Change("u", None, AttributeChanges(name="Bo"), None)))
    run(ingest, asked(Erase(("u",))))
    assert backend.changes_naming(LIVE, ["u"]) == []


def test_an_erasure_also_takes_what_its_own_group_was_about_to_write(store, ingest):
    before, after = sent(("u", {"$set": {"n": 1}})), sent(("u", {"$set": {"n": 2}}))
    run(ingest, before, asked(Erase(("u",))), after)
    assert store.find_changes(LIVE, before.request_id) == []
    assert [row.request_id for row in store.find_changes(LIVE, after.request_id)] == [after.request_id]
    assert properties_in(store) == {"n": 2}


def test_an_erasure_keeps_to_its_environment(store, ingest):
    run(ingest, sent(("u", {"$set": {"n": 1}})), sent(("u", {"$set": {"n": 1}}), space=TEST))
    run(ingest, asked(Erase(("u",)), space=TEST))
    assert properties_in(store) == {"n": 1}
    assert properties_in(store, space=TEST) is None


def test_erasing_nobody_is_refused(ingest):
    (outcome,) = run(ingest, asked(Erase(("u", "w"))))
    assert isinstance(outcome, NotFound)
    assert outcome.message == "Cannot delete non existing user"


def test_a_stale_writer_does_not_bring_the_erased_back(backend, store, ingest):
    run(ingest, sent(("u", {"$set": {"secret": 1}})))
    other = ingest_on(backend.reopen())
    run(other, asked(Erase(("u",))))
    other.close()
    run(ingest, sent(("u", {"$set": {"n": 1}})))
    assert properties_in(store) == {"n": 1}


def test_a_key_reused_for_another_edit_is_refused(ingest):
    run(ingest, asked(create("a"), key="k", digest="one"))
    (outcome,) = run(ingest, asked(create("b"), key="k", digest="two"))
    assert isinstance(outcome, Conflict)


@pytest.mark.parametrize("count", [1, 300])
def test_many_edits_in_one_group_are_each_done(store, ingest, count):
    outcomes = run(ingest, *(asked(create(f"p{number}", n=number)) for number in range(count)))
    assert all(isinstance(outcome, str) for outcome in outcomes)
    assert {row.name: row.profiles for row in store.get_definitions(LIVE)[1]} == {"n": count}
