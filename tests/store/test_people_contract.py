"""What every store promises about profiles as more than properties: aliases, order, search, history, erasure."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.backends import BACKENDS, LIVE, SOUTH_LIVE, TEST, fresh
from traitbase.domain.definitions import State
from traitbase.domain.errors import Conflict
from traitbase.domain.values import Kind
from traitbase.services.ports import (
    AliasRow,
    ChangeRow,
    DefinitionRow,
    EditedRow,
    ErasedPerson,
    Erasure,
    IgnoredRow,
    ProfileOrder,
    ProfileRow,
    SearchField,
    SeenRow,
    UnlinkedRow,
    WriteSet,
)


def edited(
    distinct_id,
    *,
    space=LIVE,
    profile_id="p1",
    revision=1,
    at_us=5,
    alias_of=None,
    attributes=None,
    name=None,
    email=None,
):
    row = ProfileRow(*space, distinct_id, profile_id, revision, "{}", at_us, at_us, attributes, alias_of)
    stored = ("", 0) if revision == 1 else (profile_id, revision - 1)
    return EditedRow(row, *stored, name, email)


def change(request_id, distinct_id, *, space=LIVE, item=0, effect='{"n":[null,1]}', at_us=5):
    return ChangeRow(*space, request_id, item, distinct_id, at_us, 1, "key_1", "{}", None, None, effect)


def ignored(request_id, name="n", *, space=LIVE, distinct_id="u", at_us=5):
    return IgnoredRow(*space, name, request_id, 0, "$set", distinct_id, "type_mismatch", '"x"', at_us)


def write(session, **rows):
    session.write(WriteSet(**rows), wait_seconds=10)


def row_of(store, distinct_id, *, space=LIVE):
    rows = store.find_profiles(space, [distinct_id])
    return rows[0] if rows else None


# --- rows written as a whole ---


def test_an_edited_row_is_written_as_a_whole(store, session):
    first = edited("u", attributes='{"name":"Ann"}')
    write(session, edited=[first])
    assert row_of(store, "u") == first.row
    second = edited("u", revision=2, at_us=9, alias_of="w")
    write(session, edited=[second])
    assert row_of(store, "u") == second.row


@pytest.mark.parametrize(
    "row",
    [edited("u"), edited("u", revision=3), edited("u", revision=2, profile_id="another"), edited("w", revision=2)],
)
def test_an_edited_row_that_is_not_as_it_was_is_a_lost_race(store, session, row):
    write(session, edited=[edited("u")])
    before = row_of(store, "u")
    with pytest.raises(Conflict):
        write(session, edited=[row])
    assert (row_of(store, "u"), row_of(store, "w")) == (before, None)


def test_an_alias_can_be_led_elsewhere_and_a_profile_cannot(store, session):
    write(session, edited=[edited("a", alias_of="b"), edited("p", profile_id="p2")])
    write(session, repointed=[AliasRow(*LIVE, "a", "c"), AliasRow(*LIVE, "nobody", "c")])
    assert row_of(store, "a").alias_of == "c"
    assert row_of(store, "nobody") is None


def test_a_row_can_be_deleted_and_made_anew_in_one(store, session):
    write(session, edited=[edited("u", attributes='{"name":"old"}')])
    new = ProfileRow(*LIVE, "u", "p2", 1, "{}", 9, 9)
    gone = SeenRow(*LIVE, "u", "p1", 1)
    write(session, deleted=[gone], seen=[SeenRow(*LIVE, "w", "", 0)], profiles=[new])
    assert row_of(store, "u") == new


@pytest.mark.parametrize("gone", [("u", "p1", 2), ("u", "p2", 1), ("w", "p1", 1)])
def test_a_deletion_of_what_is_not_so_is_a_lost_race(store, session, gone):
    write(session, edited=[edited("u")])
    with pytest.raises(Conflict):
        write(session, deleted=[SeenRow(*LIVE, *gone)])
    assert row_of(store, "u") is not None


def test_only_aliases_are_deleted_unseen(store, session):
    write(session, edited=[edited("a", alias_of="u"), edited("u", profile_id="p2")])
    write(session, deleted_aliases=[(*LIVE, "a"), (*LIVE, "u")], must_hold=True)
    assert (row_of(store, "a"), row_of(store, "u") is None) == (None, False)


# --- order and search ---


def fill(session):
    rows = [
        edited("b", profile_id="1", at_us=3, name="ann", email="ann@x.com"),
        edited("a", profile_id="2", at_us=7, name="anna"),
        edited("ab", profile_id="3", at_us=3, email="a@y.com"),
        edited("alias", profile_id="4", alias_of="a"),
        edited("z", profile_id="5", at_us=1, space=TEST, name="ann"),
        edited("z", profile_id="6", at_us=1, space=SOUTH_LIVE, name="ann"),
    ]
    write(session, edited=rows)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (ProfileOrder.DISTINCT_ID, ["a", "ab", "b"]),
        (ProfileOrder.DISTINCT_ID_DESCENDING, ["b", "ab", "a"]),
        (ProfileOrder.CREATED_AT, ["ab", "b", "a"]),
        (ProfileOrder.NEWEST_FIRST, ["a", "b", "ab"]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 5])
def test_profiles_come_in_order_page_by_page(store, session, order, expected, limit):
    fill(session)
    found, after = [], None
    while True:
        rows = store.list_profiles(LIVE, order, after=after, limit=limit)
        found += [row.distinct_id for row in rows]
        if not rows:
            break
        after = (rows[-1].created_at_us, rows[-1].distinct_id)
    assert found == expected


@pytest.mark.parametrize(
    ("field", "prefix", "expected"),
    [
        (SearchField.DISTINCT_ID, "a", [("a", "a"), ("ab", "ab")]),
        (SearchField.DISTINCT_ID, "alias", []),
        (SearchField.NAME, "ann", [("ann", "b"), ("anna", "a")]),
        (SearchField.NAME, "", [("ann", "b"), ("anna", "a")]),
        (SearchField.EMAIL, "a", [("a@y.com", "ab"), ("ann@x.com", "b")]),
        (SearchField.EMAIL, "a@", [("a@y.com", "ab")]),
        (SearchField.EMAIL, "x", []),
    ],
)
def test_a_search_goes_by_how_a_field_begins(store, session, field, prefix, expected):
    fill(session)
    rows = store.search_profiles(LIVE, field, prefix, after=None, limit=9)
    assert [(value, row.distinct_id) for value, row in rows] == expected
    for place, entry in enumerate(expected):
        rest = store.search_profiles(LIVE, field, prefix, after=entry, limit=9)
        assert [(value, row.distinct_id) for value, row in rest] == expected[place + 1 :]


texts = st.text(st.sampled_from("a%_\\é\ud7ff\ue000\uffff😀\U0010ffff"), max_size=3)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_prefix_is_plain_text_whatever_it_holds(name):
    @given(ids=st.lists(texts.filter(bool), max_size=6, unique=True), prefix=texts)
    @settings(max_examples=60)
    def ask(ids, prefix):
        with fresh(name) as backend, closing(backend.store.open_session()) as session:
            rows = [edited(each, profile_id=each) for each in ids]
            session.write(WriteSet(edited=rows), wait_seconds=10)
            found = backend.store.search_profiles(LIVE, SearchField.DISTINCT_ID, prefix, after=None, limit=9)
            assert [row.distinct_id for _, row in found] == sorted(each for each in ids if each.startswith(prefix))

    ask()


# --- history, ignored values, usage ---


def test_changes_are_found_where_they_are(store, session):
    rows = [change("r1", "u"), change("r1", "w", item=1), change("r/2", "u"), change("r1", "u", space=TEST)]
    write(session, changes=rows)
    assert store.find_changes_at(LIVE, ["r/2/0", "r1/1", "r9/0", "r1/7"]) == [rows[2], rows[1]]
    assert store.find_changes_at(LIVE, []) == []


def test_ignored_values_come_newest_first(store, session):
    rows = [ignored("r1"), ignored("r2", "m"), ignored("r3"), ignored("r4", space=TEST)]
    write(session, ignored_values=rows, changes=[change("r1", "u")])
    assert store.find_ignored_values(LIVE, "n", before=None, limit=9) == [rows[2], rows[0]]
    assert store.find_ignored_values(LIVE, "n", before=("r3", 0, "$set"), limit=9) == [rows[0]]


def test_ignored_values_are_forgotten_when_they_are_old_or_too_many(store, session):
    rows = [ignored(f"r{number}", at_us=number) for number in range(9)] + [ignored("r9", "m", at_us=9)]
    write(session, ignored_values=rows, changes=[change("r1", "u")])
    assert store.forget_ignored_values(received_before_us=3, kept_a_property=4, at_most=100) == 5
    left = store.find_ignored_values(LIVE, "n", before=None, limit=99)
    assert [row.request_id for row in left] == ["r8", "r7", "r6", "r5"]
    assert len(store.find_ignored_values(LIVE, "m", before=None, limit=9)) == 1
    assert store.forget_ignored_values(received_before_us=3, kept_a_property=4, at_most=100) == 0


def test_usage_adds_up(store, session):
    row = DefinitionRow("n", Kind.NUMBER, State.ACTIVE, 5, "r1")
    write(session, definitions_at={LIVE: 0}, new_definitions={LIVE: [row]}, having={LIVE: Counter(n=3)}, must_hold=True)
    counts = {"having": {LIVE: Counter(n=-1)}, "ignored_counts": {LIVE: Counter(n=2, unknown=7)}}
    write(session, definitions_at={LIVE: 1}, **counts, must_hold=True)
    assert store.get_definitions(LIVE) == (1, [row._replace(profiles=2, ignored=2)])


# --- erasure ---


def linked(row, last_change):
    """Return a row that leads to a change."""
    return row._replace(row=row.row._replace(last_change=last_change))


def test_an_erasure_takes_what_belongs_to_its_ids_in_its_space(store, session):
    rows = [
        change("r0", "u"),
        change("r1", "u")._replace(previous="r0/0"),
        change("r1", "w", item=1),
        change("r2", "a"),
        change("r3", "u", space=TEST),
        change("r4", "a"),
        change("r5", "w"),
    ]
    people = [
        linked(edited("u", profile_id="p1"), "r1/0"),
        linked(edited("a", profile_id="p2", alias_of="u"), "r2/0"),
        linked(edited("w", profile_id="p3"), "r1/1"),
        linked(edited("u", profile_id="p4", space=TEST), "r3/0"),
    ]
    unlinked = [UnlinkedRow(*LIVE, "a", "r4", 0), UnlinkedRow(*LIVE, "w", "r5", 0)]
    kept = [ignored("r1"), ignored("r2", distinct_id="w")]
    write(session, changes=rows, edited=people, unlinked=unlinked, ignored_values=kept)
    people = (ErasedPerson(("u", "a"), ()),)
    write(session, erasures=[Erasure(LIVE, "r9", 70, "key_1", people)])
    left = {request_id: store.find_changes(LIVE, request_id) for request_id in ("r0", "r1", "r2", "r4", "r5")}
    assert left == {"r0": [], "r1": [rows[2]], "r2": [], "r4": [], "r5": [rows[6]]}
    assert store.find_changes(TEST, "r3") == [rows[4]]
    assert [row.distinct_id for row in store.find_ignored_values(LIVE, "n", before=None, limit=9)] == ["w"]
    receipt = store.find_erasure(LIVE, "r9")
    assert (receipt.request_id, receipt.erased_at_us, receipt.key_id) == ("r9", 70, "key_1")
    assert {name: receipt.counts[name] for name in ("profiles", "aliases", "changes", "ignored_values")} == {
        "profiles": 1,
        "aliases": 1,
        "changes": 4,
        "ignored_values": 1,
    }
    assert store.find_erasure(TEST, "r9") is None


def test_an_erasure_is_all_or_nothing(store, session):
    write(session, changes=[change("r1", "u")])
    erasure = Erasure(LIVE, "r9", 70, "key_1", (ErasedPerson(("u",), ()),))
    with pytest.raises(Conflict):
        write(session, erasures=[erasure], deleted=[SeenRow(*LIVE, "u", "p1", 1)])
    assert len(store.find_changes(LIVE, "r1")) == 1
    assert store.find_erasure(LIVE, "r9") is None


def test_traces_can_be_cleared_at_any_time(backend, store, session):
    write(session, changes=[change("r1", "u")])
    done = backend.owns_its_files
    assert store.clear_traces(wait_seconds=10) == (done, done)
    assert len(store.find_changes(LIVE, "r1")) == 1
