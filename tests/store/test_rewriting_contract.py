"""What every store promises of a rewriting: one transaction over many profiles, and its rehearsal."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing

import pytest

from store.backends import LIVE, SOUTH_LIVE, TEST, plain
from traitbase.domain.definitions import State
from traitbase.domain.errors import Conflict, Refused
from traitbase.domain.values import Kind, encode_properties
from traitbase.services.ports import (
    ChangeRow,
    DefinitionRow,
    EditedRow,
    IgnoredRow,
    KeptAsideRow,
    ProfileRow,
    WriteSet,
)

ODD = ["ü😀", "a'b", 'a"b', "a\\b", "%_", " ", "e\u0301", "\u00e9", "\u2028", "\uffff", "?1", ":x", "[1]", "é", "É"]


def profile_row(distinct_id, properties, *, space=LIVE, revision=1):
    document = encode_properties(properties).decode()
    return ProfileRow(*space, distinct_id, f"of {distinct_id}", revision, document, 5_000, 5_000)


def definition_row(name="p", kind=Kind.NUMBER, **fields):
    return DefinitionRow(name, kind, State.ACTIVE, 5_000, "r1")._replace(**fields)


def ignored_row(request_id, *, name="p", item=0, operation="$set", distinct_id="u", reason="type_mismatch", space=LIVE):
    return IgnoredRow(*space, name, request_id, item, operation, distinct_id, reason, '"x"', 5_000)


def kept_row(distinct_id, *, name="p", values="[1]", space=LIVE):
    return KeptAsideRow(*space, name, distinct_id, values, "r1", 5_000)


def change_row(request_id, distinct_id="u", *, space=LIVE, item=0, operations='{"$set":{"p":1}}', effect=None):
    return ChangeRow(*space, request_id, item, distinct_id, 5_000, 1, "key_1", operations, None, None, effect)


def write(store, **rows):
    with closing(store.open_session()) as session:
        session.write(WriteSet(**rows), wait_seconds=5)


def rewriting(store, space=LIVE):
    return store.rewriting(space, wait_seconds=5)


def contents(store, *, space=LIVE):
    return (
        sorted(plain(store.find_profiles(space, ["a", "b", "u", "w"]))),
        store.get_definitions(space),
        store.find_kept_aside(space, "p", after="", limit=100),
        store.find_ignored_values(space, "p", before=None, limit=100),
        [store.find_changes(space, each) for each in ("r1", "r2", "s1")],
    )


def test_it_finds_who_has_a_property_in_order_and_in_pages(store):
    rows = [profile_row(f"u{number:02}", {"p": number} if number % 3 else {"q": "p"}) for number in range(40)]
    write(store, profiles=[*rows, profile_row("v", {"p": 1}, space=TEST)])
    seen, after = [], ""
    with rewriting(store) as opened:
        while page := plain(opened.profiles_having("p", after=after, limit=7)):
            seen += page
            after = page[-1].distinct_id
    assert seen == [row for number, row in enumerate(rows) if number % 3]


@pytest.mark.parametrize("name", ODD)
def test_it_finds_a_property_by_any_name(store, name):
    others = {each: "x" for each in ODD if each != name}
    write(store, profiles=[profile_row("a", others), profile_row("b", {name: 1})])
    with rewriting(store) as opened:
        assert [row.distinct_id for row in opened.profiles_having(name, after="", limit=9)] == ["b"]


def test_it_does_not_take_an_alias_for_a_profile(store):
    alias = ProfileRow(*LIVE, "a", "p1", 1, '{"p":1}', 5_000, 5_000, None, "b")
    write(store, edited=[EditedRow(alias, "", 0, None, None)], profiles=[profile_row("b", {"p": 1})])
    with rewriting(store) as opened:
        assert [row.distinct_id for row in opened.profiles_having("p", after="", limit=9)] == ["b"]
        assert plain(opened.find_profiles(["a", "nobody"])) == [alias]


def change_everything(opened):
    opened.put_profiles([profile_row("u", {"p": "1"}, revision=2)])
    opened.put_definition(definition_row(kind=Kind.STRING, description="ü", profiles=7, ignored=3))
    opened.put_definition(definition_row("q"))
    opened.move_definitions()
    opened.put_kept_aside([kept_row("b", values="[2]"), kept_row("c")])
    opened.delete_kept_aside("p", ["a", "nobody"])
    opened.delete_ignored_values("p", [ignored_row("r1")])
    opened.add_changes([change_row("s1")])


@pytest.fixture
def filled(store):
    write(
        store,
        profiles=[profile_row("u", {"p": 1}), profile_row("w", {})],
        definitions_at={LIVE: 0},
        new_definitions={LIVE: [definition_row()]},
        ignored_values=[ignored_row("r1"), ignored_row("r2")],
        ignored_counts={LIVE: Counter({"p": 2})},
        changes=[change_row("r1")],
    )
    with rewriting(store) as opened:
        opened.put_kept_aside([kept_row("a"), kept_row("b")])
    return store


def test_it_keeps_all_of_it_at_the_end(filled):
    with rewriting(filled) as opened:
        change_everything(opened)
    definitions = [definition_row(kind=Kind.STRING, description="ü", profiles=7, ignored=3), definition_row("q")]
    assert contents(filled) == (
        [profile_row("u", {"p": "1"}, revision=2), profile_row("w", {})],
        (2, definitions),
        [kept_row("b", values="[2]"), kept_row("c")],
        [ignored_row("r2")],
        [[change_row("r1")], [], [change_row("s1")]],
    )


def test_it_keeps_nothing_if_it_is_left_by_an_exception(filled):
    before = contents(filled)
    with pytest.raises(ZeroDivisionError):
        change_and_fail(filled)
    assert contents(filled) == before
    write(filled, profiles=[profile_row("w", {"p": 2}, revision=2)])  # and others may write again


def change_and_fail(store):
    with rewriting(store) as opened:
        change_everything(opened)
        raise ZeroDivisionError


def test_it_keeps_nothing_of_a_rehearsal_which_sees_the_same(filled):
    before = contents(filled)
    with filled.rehearsing(LIVE) as opened:
        change_everything(opened)
        opened.delete_definition("p")
        opened.delete_kept_aside("p")
        opened.delete_ignored_values("p")
        assert opened.get_definitions() == before[1][1]
        assert plain(opened.profiles_having("p", after="", limit=9)) == before[0][:1]
    assert contents(filled) == before


def test_it_deletes_a_definition_with_all_that_is_kept_of_its_property(filled):
    with rewriting(filled) as opened:
        assert (opened.delete_kept_aside("p"), opened.delete_ignored_values("p")) == (2, 2)
        opened.delete_definition("p")
    assert contents(filled)[1:4] == ((1, []), [], [])


def test_it_makes_a_writer_lose_that_decided_on_the_old_definitions_or_profile(filled):
    with rewriting(filled) as opened:
        change_everything(opened)
    with pytest.raises(Conflict):
        write(filled, definitions_at={LIVE: 1}, changes=[change_row("r2")])
    with pytest.raises(Conflict):
        write(filled, profiles=[profile_row("u", {"p": 2}, revision=2)], changes=[change_row("r2")])
    assert filled.find_changes(LIVE, "r2") == []


def test_it_moves_the_definitions_of_a_space_that_has_none_yet(store):
    with rewriting(store) as opened:
        assert opened.get_definitions() == []
        opened.put_definition(definition_row())
        opened.move_definitions()
    assert store.get_definitions(LIVE) == (1, [definition_row()])
    assert store.get_definitions(TEST) == store.get_definitions(SOUTH_LIVE) == (0, [])


def test_it_reads_ignored_values_oldest_first_and_by_reason(store):
    rows = [
        ignored_row("r1"),
        ignored_row("r2", item=0),
        ignored_row("r2", item=1, operation="$append"),
        ignored_row("r2", item=1, operation="$set"),
        ignored_row("r3", reason="property_archived"),
    ]
    others = [ignored_row("r0", reason="null_value"), ignored_row("r0", name="q"), ignored_row("r0", space=TEST)]
    write(store, ignored_values=[*reversed(rows), *others], must_hold=True)
    reasons = ("type_mismatch", "property_archived")
    with rewriting(store) as opened:
        assert opened.ignored_values("p", reasons=reasons, after=("", -1), limit=9) == rows
        assert opened.ignored_values("p", reasons=reasons, after=("r2", 0), limit=2) == rows[2:4]
        assert opened.count_ignored_values("p", reasons=reasons) == 5
        assert opened.count_ignored_values("p", reasons=("property_archived",)) == 1
        assert opened.delete_ignored_values("p", []) == 0
        assert opened.delete_ignored_values("p", rows[2:3]) == 1
    assert store.find_last_ignored(LIVE, ["p", "q", "none"]) == [rows[-1], others[1]]
    assert len(store.find_ignored_values(LIVE, "p", before=None, limit=9)) == 5


def test_it_finds_the_changes_that_may_have_written_a_property(store):
    rows = [
        change_row("r2")._replace(previous="r1/0"),
        change_row("r2", "w", item=1, operations='{"$unset":["p"]}'),
        change_row("r3", operations="{}", effect='{"p":[1,2]}')._replace(previous="r2/0"),
    ]
    others = [change_row("r1"), change_row("r3", "x", item=1), change_row("r3", space=TEST)]
    newest = {"u": "r3/0", "w": "r2/1", "x": "r3/1"}
    profiles = [profile_row(each, {})._replace(last_change=place) for each, place in newest.items()]
    write(store, changes=[*rows, *others], profiles=profiles)
    with rewriting(store) as opened:
        assert sorted(opened.changes_since("p", ["u", "w"], "r2")) == sorted(rows)


def test_it_waits_for_another_writer_only_so_long(backend):
    with backend.held(), pytest.raises(Refused) as caught, backend.store.rewriting(LIVE, wait_seconds=0.05):
        pass
    assert caught.value.code == "store_unavailable"


def test_a_rehearsal_is_in_nobodys_way_and_waits_for_nobody(backend):
    write(backend.store, profiles=[profile_row("u", {"p": 1})])
    with backend.held(), backend.store.rehearsing(LIVE) as opened:
        assert len(opened.profiles_having("p", after="", limit=9)) == 1


def test_it_holds_other_writers_off_until_it_is_over(backend):
    other = backend.reopen()
    began, wrote = threading.Event(), []

    def write_beside():
        began.set()
        write(other, definitions_at={LIVE: 0}, profiles=[profile_row("w", {"p": 2})])
        wrote.append(True)

    thread = threading.Thread(target=write_beside)
    with rewriting(backend.store) as opened:
        thread.start()
        began.wait()
        thread.join(0.3)
        assert opened.profiles_having("p", after="", limit=9) == []
        assert wrote == []
    thread.join(30)
    assert wrote == [True]
