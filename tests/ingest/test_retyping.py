"""Retyping and replaying on every store, beside writers that go on: nothing is lost, everything is accounted for."""

from __future__ import annotations

import itertools
import json
import random

import pytest

from ingest.submitting import NOW_US, exhaust, ignored_in, properties_in, run, sent
from store.backends import LIVE, TEST, plain
from traitbase.domain.definitions import State
from traitbase.domain.edits import Change, Erase, Merge
from traitbase.domain.errors import Conflict, NotFound
from traitbase.domain.profile_bodies import AttributeChanges
from traitbase.domain.values import Kind, decode_properties
from traitbase.services.ingest import Group, Submission
from traitbase.services.redefining import Redefinition, delete, redefine
from traitbase.services.replaying import VALUE_NOT_KEPT, Origin, Replayed, origin_of, replay
from traitbase.services.retyping import Asked, Retyped, Sample, values_of

STRING, NUMBER, BOOLEAN, DATE, LIST = Kind


def asked(request_id="request x", *, keeps_history=True):
    return Asked(request_id, NOW_US + 5, "key_9", keeps_history)


_numbers = itertools.count(1)


def retype(store, kind, *, name="p", dry_run=False, request_id=None, keeps_history=True):
    change = Redefinition(kind=kind)
    by = asked(request_id or f"retype {next(_numbers)}", keeps_history=keeps_history)
    return redefine(store, LIVE, name, change, asked=by, dry_run=dry_run).retyped


def archive(store, *, archived):
    redefine(store, LIVE, "p", Redefinition(archived=archived), asked=asked(), dry_run=False)


def put(ingest, distinct_id, value, **options):
    return run(ingest, sent((distinct_id, {"$set": {"p": value}}), **options))


def kept_in(store, name="p"):
    return {row.distinct_id: values_of(row) for row in store.find_kept_aside(LIVE, name, after="", limit=1_000)}


def definition_in(store, name="p"):
    return next(row for row in store.get_definitions(LIVE)[1] if row.name == name)


# --- retyping ---


def test_it_converts_what_can_be_converted_and_keeps_the_rest_aside(store, ingest):
    for distinct_id, value in (("a", "1"), ("b", "x"), ("c", "3.50")):
        put(ingest, distinct_id, value)
    run(ingest, sent(("d", {"$set": {"q": "1"}})))
    done = retype(store, NUMBER)
    assert [(each.distinct_id, each.before, str(each.after)) for each in done.converted_samples] == [
        ("a", "1", "1"),
        ("c", "3.50", "3.5"),
    ]
    assert done.kept_aside_samples == [Sample("b", "x", None)]
    assert (done.profiles, done.converted, done.kept_aside, done.came_back) == (3, 2, 1, 0)
    assert [str(properties_in(store, each)) for each in "abcd"] == [
        "{'p': 1}",
        "{}",
        "{'p': Decimal('3.5')}",
        "{'q': '1'}",
    ]
    assert kept_in(store) == {"b": ["x"]}
    assert (definition_in(store).kind, definition_in(store).profiles) == (NUMBER, 2)


def test_it_brings_back_what_was_kept_aside_when_a_type_fits_again(store, ingest):
    put(ingest, "a", "x")
    put(ingest, "b", "1")
    put(ingest, "c", "y")
    retype(store, NUMBER)
    put(ingest, "c", 7)
    done = retype(store, STRING)
    assert (done.profiles, done.converted, done.kept_aside, done.came_back) == (2, 2, 0, 1)
    assert [properties_in(store, each) for each in "abc"] == [{"p": "x"}, {"p": "1"}, {"p": "7"}]
    assert kept_in(store) == {"c": ["y"]}
    assert definition_in(store).profiles == 3


def test_it_keeps_every_value_that_was_set_aside_and_gives_back_the_newest_that_fits(store, ingest):
    put(ingest, "u", "x")
    retype(store, NUMBER)
    put(ingest, "u", 5)
    retype(store, BOOLEAN)
    assert (properties_in(store), kept_in(store)) == ({}, {"u": ["x", 5]})
    retype(store, STRING)
    assert (properties_in(store), kept_in(store)) == ({"p": "5"}, {"u": ["x"]})
    run(ingest, sent(("u", {"$unset": ["p"]})))
    assert retype(store, STRING) == Retyped(came_back=1)
    assert (properties_in(store), kept_in(store)) == ({"p": "x"}, {})


def test_it_does_not_put_an_older_value_in_place_of_one_that_does_not_fit(store, ingest):
    put(ingest, "u", "true")
    retype(store, NUMBER)
    put(ingest, "u", 5)
    assert retype(store, BOOLEAN).came_back == 0
    assert (properties_in(store), kept_in(store)) == ({}, {"u": ["true", 5]})


def test_it_gives_nothing_back_to_a_profile_that_is_full(store, ingest):
    put(ingest, "u", "x" * 255)
    retype(store, NUMBER)
    for start in range(0, 1_100, 100):
        run(ingest, sent(("u", {"$set": {f"q{number}": "y" * 230 for number in range(start, start + 100)}})))
    assert retype(store, STRING).came_back == 0
    assert kept_in(store) == {"u": ["x" * 255]}


def test_it_takes_each_changed_profile_one_revision_further_and_leaves_the_others_alone(store, ingest):
    put(ingest, "a", "1")
    put(ingest, "b", "x")
    run(ingest, sent(("c", {"$set": {"q": 1}})))
    before = {row.distinct_id: row for row in store.find_profiles(LIVE, list("abc"))}
    retype(store, NUMBER, request_id="r")
    after = {row.distinct_id: row for row in plain(store.find_profiles(LIVE, list("abc")))}
    assert after["c"] == plain([before["c"]])[0]
    for item, (each, document) in enumerate((("a", '{"p":1}'), ("b", "{}"))):
        changed = {"revision": 2, "document": document, "updated_at_us": NOW_US + 5, "last_change": f"r/{item}"}
        assert after[each] == before[each]._replace(**changed)
        (change,) = store.find_changes_at(LIVE, [f"r/{item}"])
        assert change.previous == before[each].last_change


def test_what_is_kept_aside_follows_its_person_and_comes_back_there(store, ingest):
    put(ingest, "anonymous", "x", request_id="r1")
    put(ingest, "other", "y", request_id="r2")
    run(ingest, sent(("known", {"$set": {"q": 1}}), request_id="r3"))
    retype(store, NUMBER)
    merge(ingest, "anonymous", "known", "r4")
    assert kept_in(store) == {"known": ["x"], "other": ["y"]}
    merge(ingest, "other", "known", "r5")
    assert kept_in(store) == {"known": ["x"], "other": ["y"]}, "each keeps what cannot be under one id"
    assert retype(store, STRING).came_back == 1
    assert properties_in(store, "known") == {"q": 1, "p": "x"}


def test_a_profile_that_takes_the_id_of_its_alias_brings_along_what_is_kept_of_its_own(store, ingest):
    put(ingest, "known", "mine", request_id="r1")
    put(ingest, "other", "theirs", request_id="r2")
    retype(store, NUMBER)
    merge(ingest, "other", "known", "r3")
    rename = Change("known", "other", AttributeChanges(), None)
    ingest.run([Submission(LIVE, (), "r4", NOW_US, "key_1", edit=rename)], wait_seconds=10)
    assert kept_in(store) == {"other": ["mine"], "known": ["theirs"]}
    assert retype(store, STRING).came_back == 1
    assert properties_in(store, "other") == {"p": "mine"}


def test_an_erasure_finds_the_changes_of_a_retype(backend, store, ingest):
    put(ingest, "u", "1", request_id="r1")
    retype(store, NUMBER, request_id="r2")
    put(ingest, "u", 2, request_id="r3")
    assert backend.changes_naming(LIVE, ["u"]) == ["r1", "r2", "r3"]
    ingest.run([Submission(LIVE, (), "r4", NOW_US, "key_1", edit=Erase(("u",)))], wait_seconds=10)
    assert backend.changes_naming(LIVE, ["u"]) == []


def test_it_writes_no_profile_whose_value_is_the_same_in_both_types(store, ingest):
    put(ingest, "u", "2020-10-01T18:30:00+05:30")
    before = store.find_profiles(LIVE, ["u"])
    assert retype(store, STRING).converted == 1
    assert store.find_profiles(LIVE, ["u"]) == before
    assert definition_in(store).kind is STRING


def test_it_records_what_became_of_each_value(store, ingest):
    put(ingest, "a", "1")
    put(ingest, "b", "x")
    retype(store, NUMBER, request_id="request x")
    rows = store.find_changes(LIVE, "request x")
    assert [(row.distinct_id, row.action, row.revision, json.loads(row.effect), row.key_id) for row in rows] == [
        ("a", "retype", 2, {"p": ["1", 1]}, "key_9"),
        ("b", "retype", 2, {"p": ["x", None]}, "key_9"),
    ]


def test_it_records_nothing_where_no_history_is_kept(store, ingest):
    put(ingest, "a", "1")
    retype(store, NUMBER, request_id="request x", keeps_history=False)
    assert (store.find_changes(LIVE, "request x"), properties_in(store, "a")) == ([], {"p": 1})


def test_it_tells_names_apart_that_look_alike_in_a_document(store, ingest):
    names = ["p", 'a"p', "P", "p ", "pp", 'p":', "\\p", "日p"]
    run(ingest, sent(("u", {"$set": dict.fromkeys(names, '"p":')}), ("w", {"$set": dict.fromkeys(names[1:], "1")})))
    assert retype(store, LIST).profiles == 1
    assert properties_in(store) == {**dict.fromkeys(names, '"p":'), "p": ['"p":']}
    assert retype(store, LIST, name='a"p').profiles == 2
    assert properties_in(store, "w") == {**dict.fromkeys(names[1:], "1"), 'a"p': ["1"]}


def test_it_stays_in_its_environment(store, ingest):
    put(ingest, "u", "1")
    run(ingest, sent(("u", {"$set": {"p": "1"}}), space=TEST))
    retype(store, NUMBER)
    assert (properties_in(store), properties_in(store, space=TEST)) == ({"p": 1}, {"p": "1"})


def test_it_changes_nothing_if_it_fails_in_the_middle(store, ingest):
    for number in range(600):
        put(ingest, f"u{number}", "1")
    before = (store.get_definitions(LIVE), sorted(store.find_profiles(LIVE, [f"u{each}" for each in range(600)])))
    with pytest.raises(RuntimeError):
        fail_half_way(store)
    assert (
        store.get_definitions(LIVE),
        sorted(store.find_profiles(LIVE, [f"u{each}" for each in range(600)])),
    ) == before


def test_it_says_in_a_rehearsal_what_it_then_does(store, ingest):
    chance = random.Random(3)
    updates = []
    for number in range(2_000):
        value = chance.choice([str(number), f"x{number}", f"0{number}", "true", "2020-10-01 "])
        updates.append((f"u{number}", {"$set": {"p": value}}))
    run(ingest, sent(*updates))
    for kind in (NUMBER, STRING, BOOLEAN, LIST, NUMBER, STRING):
        chosen = chance.sample(range(2_000), 100)
        run(ingest, sent(*((f"u{number}", {"$unset": ["p"]}) for number in chosen)))
        state = store.get_definitions(LIVE)
        rehearsed = retype(store, kind, dry_run=True)
        assert store.get_definitions(LIVE) == state
        assert retype(store, kind) == rehearsed
        rows = store.find_profiles(LIVE, [f"u{number}" for number in range(2_000)])
        assert definition_in(store).profiles == sum("p" in decode_properties(row.document) for row in rows)


def fail_half_way(store):
    with store.rewriting(LIVE, wait_seconds=5) as rewriting:
        rows = rewriting.profiles_having("p", after="", limit=300)
        rewriting.put_profiles([row._replace(revision=row.revision + 1, document="{}") for row in rows])
        rewriting.delete_definition("p")
        rewriting.move_definitions()
        raise RuntimeError


# --- beside a writer ---


def test_a_writer_that_decided_on_the_old_type_decides_again(backend, ingest):
    store = backend.store
    put(ingest, "u", "1")
    late = sent(("u", {"$set": {"p": "2"}}), ("u", {"$set": {"p": 3}}))
    group = Group([late])
    exhaust(ingest.prepare(group))
    retype(backend.reopen(), NUMBER)
    with pytest.raises(Conflict):
        ingest.write(group, wait_seconds=10)
    ingest.abandon(group)
    ingest.run([late], wait_seconds=10)
    assert properties_in(store) == {"p": 3}
    assert ignored_in(store, late) == [(0, "$set", "p", "type_mismatch")]


def test_a_writer_that_did_not_touch_the_property_keeps_what_the_retype_made(backend, ingest):
    store = backend.store
    put(ingest, "u", "1")
    late = sent(("u", {"$set": {"q": True}}))
    group = Group([late])
    exhaust(ingest.prepare(group))
    retype(backend.reopen(), NUMBER)
    with pytest.raises(Conflict):
        ingest.write(group, wait_seconds=10)
    ingest.abandon(group)
    ingest.run([late], wait_seconds=10)
    assert properties_in(store) == {"p": 1, "q": True}


def test_a_writer_with_old_profiles_in_its_cache_finds_out(backend, ingest):
    store = backend.store
    put(ingest, "u", "1")
    retype(backend.reopen(), NUMBER)
    run(ingest, sent(("u", {"$add": {"p": 2}})))
    assert properties_in(store) == {"p": 3}


# --- replaying ---


def test_it_repairs_a_text_that_began_with_a_number(store, ingest):
    put(ingest, "u", 21546, request_id="r1")
    put(ingest, "u", "spring", request_id="r2")
    put(ingest, "w", "summer", request_id="r3")
    retype(store, STRING)
    assert properties_in(store) == {"p": "21546"}
    assert replay(store, LIVE, "p", asked("s1")) == Replayed(applied=2)
    assert (properties_in(store), properties_in(store, "w")) == ({"p": "spring"}, {"p": "summer"})
    row = definition_in(store)
    assert (row.profiles, row.ignored) == (2, 0)
    assert store.find_ignored_values(LIVE, "p", before=None, limit=10) == []


def test_it_leaves_out_what_was_written_over_later(store, ingest):
    put(ingest, "u", 1, request_id="r1")
    put(ingest, "u", "old", request_id="r2")
    put(ingest, "u", 2, request_id="r3")
    retype(store, STRING)
    assert replay(store, LIVE, "p", asked("s1")) == Replayed(superseded=1, remaining=1)
    assert properties_in(store) == {"p": "2"}


def test_it_leaves_out_what_was_unset_later(store, ingest):
    put(ingest, "u", 1, request_id="r1")
    put(ingest, "u", "old", request_id="r2")
    run(ingest, sent(("u", {"$unset": ["p"]}), request_id="r3"))
    retype(store, STRING)
    assert replay(store, LIVE, "p", asked("s1")).superseded == 1
    assert properties_in(store) == {}


def test_it_goes_by_the_order_within_a_request(store, ingest):
    put(ingest, "u", ["x"], request_id="r1")
    run(ingest, sent(("u", {"$set": {"p": "lost"}, "$append": {"p": "kept"}}), request_id="r2"))
    archive(store, archived=True)
    run(
        ingest,
        sent(("w", {"$set": {"p": [1]}}), ("w", {"$set": {"p": [2]}, "$append": {"p": 3}}), request_id="r3"),
    )
    archive(store, archived=False)
    done = replay(store, LIVE, "p", asked("s1"))
    assert (done.applied, done.superseded, done.remaining) == (3, 1, 1)
    assert (properties_in(store), properties_in(store, "w")) == ({"p": ["x", "kept"]}, {"p": [2, 3]})


def test_it_adds_to_what_others_have_added_since(store, ingest):
    put(ingest, "u", "5", request_id="r1")
    run(ingest, sent(("u", {"$add": {"p": 10}}), request_id="r2"))
    retype(store, NUMBER)
    run(ingest, sent(("u", {"$add": {"p": 100}}), request_id="r3"))
    assert replay(store, LIVE, "p", asked("s1")).applied == 1
    assert properties_in(store) == {"p": 115}


def test_it_applies_nothing_twice(store, ingest):
    archive_after = sent(("u", {"$add": {"p": 1}}), request_id="r1")
    run(ingest, archive_after)
    archive(store, archived=True)
    run(ingest, sent(("u", {"$add": {"p": 10}}), request_id="r2"))
    assert replay(store, LIVE, "p", asked("s1")).still_ignored == {"property_archived": 1}
    archive(store, archived=False)
    assert replay(store, LIVE, "p", asked("s2")) == Replayed(applied=1)
    assert replay(store, LIVE, "p", asked("s3")) == Replayed()
    assert properties_in(store) == {"p": 11}


@pytest.mark.parametrize("first_fits", [True, False])
def test_it_keeps_the_order_over_several_replays(store, ingest, first_fits):
    """What a replay applied counts as what it was, not as something new: the last word stays the last."""
    put(ingest, "u", True, request_id="r1")
    put(ingest, "u", 2 if first_fits else "x", request_id="r2")
    put(ingest, "u", "x" if first_fits else 2, request_id="r3")
    run(ingest, sent(("u", {"$unset": ["p"]}), request_id="r0"))
    retype(store, NUMBER, request_id="s1")
    assert replay(store, LIVE, "p", asked("s2")).applied == 1
    assert properties_in(store) == {"p": 2}
    retype(store, STRING, request_id="s3")
    done = replay(store, LIVE, "p", asked("s4"))
    assert (done.applied, done.superseded) == ((1, 0) if first_fits else (0, 1))
    assert properties_in(store) == {"p": "x" if first_fits else "2"}


def merge(ingest, source, target, request_id):
    edit = Merge(source, target)
    submission = Submission(LIVE, (), request_id, NOW_US, "key_1", edit=edit)
    ingest.run([submission], wait_seconds=10)
    assert submission.outcome == request_id


def test_it_applies_to_whom_an_id_leads_by_now(store, ingest):
    put(ingest, "w", True, request_id="r1")
    put(ingest, "anonymous", "x", request_id="r2")
    run(ingest, sent(("known", {"$set": {"q": 1}}), request_id="r3"))
    merge(ingest, "anonymous", "known", "r4")
    retype(store, STRING)
    assert replay(store, LIVE, "p", asked("s1")).applied == 1
    assert properties_in(store, "known") == {"q": 1, "p": "x"}
    assert definition_in(store).profiles == 2


@pytest.mark.parametrize("later", ["known", "anonymous"])
def test_it_sees_what_was_written_later_under_any_id_of_a_person(store, ingest, later):
    put(ingest, "w", 1, request_id="r1")
    put(ingest, "anonymous", "x", request_id="r2")
    put(ingest, later, 5, request_id="r3")
    run(ingest, sent(("known", {"$set": {"q": 1}}), request_id="r4"))
    merge(ingest, "anonymous", "known", "r5")
    retype(store, STRING)
    assert replay(store, LIVE, "p", asked("s1")).superseded == 1
    assert properties_in(store, "known") == {"p": "5", "q": 1}


def test_it_brings_nobody_back_who_was_erased(store, ingest):
    put(ingest, "w", 1, request_id="r1")
    put(ingest, "u", "x", request_id="r2")
    submission = Submission(LIVE, (), "r3", NOW_US, "key_1", edit=Erase(("u",)))
    ingest.run([submission], wait_seconds=10)
    retype(store, STRING)
    assert replay(store, LIVE, "p", asked("s1")) == Replayed()
    assert properties_in(store) is None


def test_it_says_whose_operation_it_applied(store, ingest):
    put(ingest, "u", 1, request_id="r 1")
    put(ingest, "u", "x", request_id="r 2")
    retype(store, STRING, request_id="request x")
    replay(store, LIVE, "p", asked("s1"))
    (row,) = store.find_changes(LIVE, "s1")
    assert (json.loads(row.operations), json.loads(row.effect)) == ({"$set": {"p": "x"}}, {"p": ["1", "x"]})
    assert (origin_of(row), row.distinct_id, row.revision, row.key_id) == (Origin("r 2", 0), "u", 3, "key_9")
    assert [origin_of(each) for each in store.find_changes(LIVE, "request x")] == [None]


def test_it_does_not_replay_what_is_wrong_in_itself(store, ingest):
    put(ingest, "u", "x", request_id="r1")
    put(ingest, "u", None, request_id="r2")
    put(ingest, "u", "x" * 256, request_id="r3")
    assert replay(store, LIVE, "p", asked("s1")) == Replayed()
    assert len(store.find_ignored_values(LIVE, "p", before=None, limit=10)) == 2


def test_it_settles_what_is_as_its_sender_wanted_it(store, ingest):
    put(ingest, "u", "x", request_id="r1")
    run(ingest, sent(("u", {"$once": {"p": 5}}), request_id="r2"))
    retype(store, LIST)
    retype(store, NUMBER)
    retype(store, STRING)
    retype(store, NUMBER)
    assert replay(store, LIVE, "p", asked("s1")).applied == 1  # "x" is kept aside: there is no value
    assert properties_in(store) == {"p": 5}
    run(ingest, sent(("u", {"$set": {"p": 6}}), request_id="r3"))
    assert replay(store, LIVE, "p", asked("s2")) == Replayed()


def test_it_keeps_a_value_that_was_too_large_to_keep_out_of_it(store, ingest):
    put(ingest, "u", "x", request_id="r1")
    put(ingest, "u", ["y" * 250 + str(number) for number in range(900)], request_id="r2")
    retype(store, LIST)
    done = replay(store, LIVE, "p", asked("s1"))
    assert (done.still_ignored, done.remaining) == ({VALUE_NOT_KEPT: 1}, 1)


def test_it_replays_more_than_fit_into_one_transaction_in_order(store, ingest):
    put(ingest, "u", 1, request_id="r0000")
    for number in range(700):
        put(ingest, f"u{number % 50}", f"x{number}", request_id=f"r{number + 1:04}")
    retype(store, STRING, request_id="s1")
    done = replay(store, LIVE, "p", asked("s2"))
    assert (done.applied, done.superseded, done.remaining) == (700, 0, 0)
    assert [properties_in(store, f"u{each}") for each in range(50)] == [{"p": f"x{650 + each}"} for each in range(50)]
    assert (definition_in(store).profiles, definition_in(store).ignored) == (51, 0)


def test_it_goes_on_where_a_replay_was_interrupted(store, ingest):
    put(ingest, "u", 1, request_id="r0000")
    for number in range(400):
        run(ingest, sent(("u", {"$append": {"p": number}}), request_id=f"r{number + 1:04}"))
    retype(store, LIST, request_id="s1")

    class Breaks(Exception):
        pass

    opened = store.rewriting
    calls = []

    def rewriting(space, *, wait_seconds):
        calls.append(1)
        if len(calls) == 2:
            raise Breaks
        return opened(space, wait_seconds=wait_seconds)

    store.rewriting = rewriting
    with pytest.raises(Breaks):
        replay(store, LIVE, "p", asked("s2"))
    assert 0 < len(properties_in(store)["p"]) < 401
    replay(store, LIVE, "p", asked("s3"))
    assert properties_in(store) == {"p": [1, *(number for number in range(400) if number != 1)]}


def test_it_replays_nothing_for_a_property_that_is_not_defined(store):
    with pytest.raises(NotFound):
        replay(store, LIVE, "p", asked())


# --- deleting ---


def test_it_deletes_values_of_all_profiles_and_says_so_in_their_history(store, ingest):
    put(ingest, "a", "1")
    run(ingest, sent(("b", {"$set": {"p": "2", "q": 1}})))
    put(ingest, "b", 7)
    done = delete(store, LIVE, "p", asked=asked("s1"))
    assert tuple(done) == (2, 0, 1)
    assert (properties_in(store, "a"), properties_in(store, "b")) == ({}, {"q": 1})
    rows = store.find_changes(LIVE, "s1")
    assert [(row.item, row.distinct_id, row.action, json.loads(row.effect)) for row in rows] == [
        (0, "a", "delete_property", {"p": ["1", None]}),
        (1, "b", "delete_property", {"p": ["2", None]}),
    ]
    assert [row.name for row in store.get_definitions(LIVE)[1]] == ["q"]


def test_it_deletes_nothing_that_is_in_use(store, ingest):
    put(ingest, "a", "1")
    finders = [lambda _space, _name: [], lambda space, name: [f"cohort {name} of {space.environment}"]]
    with pytest.raises(Conflict) as caught:
        delete(store, LIVE, "p", asked=asked(), find_uses=finders)
    assert caught.value.code == "property_in_use"
    assert "cohort p of live" in caught.value.message
    assert properties_in(store, "a") == {"p": "1"}


def test_an_archived_property_stays_archived_when_it_is_retyped(store, ingest):
    put(ingest, "a", "1")
    archive(store, archived=True)
    retype(store, NUMBER)
    assert (definition_in(store).state, properties_in(store, "a")) == (State.ARCHIVED, {"p": 1})
