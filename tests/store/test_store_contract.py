"""What every store promises, method by method, asked of each implementation."""

from __future__ import annotations

import json
import threading
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.backends import BACKENDS, LIVE, NORTH, SOUTH, SOUTH_LIVE, TEST, fresh, plain
from traitbase.domain.definitions import State
from traitbase.domain.errors import Conflict, Refused
from traitbase.domain.keys import ApiKey, Reach, Scope
from traitbase.domain.spaces import Space, Workspace
from traitbase.domain.values import Kind
from traitbase.services.ports import ChangeRow, DefinitionRow, EditedRow, IdempotencyRow, ProfileRow, WriteSet

ODD = [
    "ü😀",
    "a'b",
    'a"b',
    "a\\b",
    "%_",
    " ",
    "'; DROP TABLE profiles; --",
    "e\u0301",
    "\u00e9",
    "\u2028",
    "\uffff",
    "?1",
    ":x",
    "[1]",
]


def profile_row(distinct_id="u", *, space=LIVE, profile_id="p1", revision=1, document="{}", at_us=5_000):
    return ProfileRow(*space, distinct_id, profile_id, revision, document, 5_000, at_us)


def change_row(request_id="r1", *, space=LIVE, item=0, distinct_id="u", at_us=5_000, ignored=None):
    return ChangeRow(*space, request_id, item, distinct_id, at_us, 1, "key_1", '{"$set":{"a":1}}', ignored)


def key_row(key="k1", *, space=LIVE, digest="d1", request_id="r1", at_us=5_000):
    return IdempotencyRow(*space, key, digest, request_id, at_us)


def definition_row(name="a", kind=Kind.NUMBER):
    return DefinitionRow(name, kind, State.ACTIVE, 5_000, "r1")


def contents(store, *, space=LIVE, distinct_ids=("u", "w"), requests=("r1", "r2"), keys=("k1", "k2")):
    """Return all that a write set can have written there."""
    return (
        sorted(store.find_profiles(space, distinct_ids)),
        store.get_definitions(space),
        sorted(store.find_idempotency(space, keys, since_us=0)),
        [store.find_changes(space, request_id) for request_id in requests],
    )


def write(session, **rows):
    session.write(WriteSet(**rows), wait_seconds=5)


# --- workspaces ---


def test_finds_a_workspace_by_its_id(store):
    assert [store.find_workspace(each) for each in ("north", "south", "NORTH", "")] == [NORTH, SOUTH, None, None]


def test_refuses_a_workspace_id_that_is_taken_and_keeps_the_first(store):
    with pytest.raises(Conflict) as caught:
        store.add_workspace(Workspace("north", "Other", "UTC", 9_000))
    assert (caught.value.code, store.find_workspace("north")) == ("workspace_exists", NORTH)


def test_lists_workspaces_in_order_of_creation(store):
    first, twin, odd = (
        Workspace("zz", "First", "UTC", 1),
        Workspace("a", "Twin", "UTC", 1_000),
        Workspace("odd", "; 'ü😀\"", "UTC", 3_000),
    )
    for workspace in (odd, twin, first):
        store.add_workspace(workspace)
    assert store.list_workspaces() == [first, twin, NORTH, SOUTH, odd]


# --- keys ---


def api_key(key_id="key_1", *, workspace_id="north", created_at_us=10, **fields):
    defaults = {"reach": Reach.BOTH, "scope": Scope.INGEST, "name": "ü 'key'", "digest": f"digest of {key_id}"}
    return ApiKey(key_id=key_id, workspace_id=workspace_id, created_at_us=created_at_us, **{**defaults, **fields})


def test_finds_a_key_by_its_digest(store):
    plain = api_key()
    full = api_key(
        "key_2",
        reach=Reach.TEST,
        scope=Scope.ADMIN,
        expires_at_us=2**53 + 1,
        revoked_at_us=7,
        networks=("10.0.0.0/8", "2001:db8::/32"),
    )
    store.add_api_key(plain)
    store.add_api_key(full)
    assert [store.find_api_key(digest) for digest in (plain.digest, full.digest, "key_1", "")] == [
        plain,
        full,
        None,
        None,
    ]


def test_lists_the_keys_of_a_workspace_in_order_of_creation_with_their_last_use(store):
    old, new, twin = (
        api_key("key_9", created_at_us=1),
        api_key("key_1", created_at_us=3),
        api_key("key_2", created_at_us=3),
    )
    for key in (twin, new, old, api_key("key_0", workspace_id="south")):
        store.add_api_key(key)
    store.note_api_key_use("key_9", at_us=50)
    store.note_api_key_use("key_9", at_us=60)
    store.note_api_key_use("key_unknown", at_us=60)
    assert store.list_api_keys("north") == [(old, 60), (new, None), (twin, None)]
    assert store.list_api_keys("nowhere") == []


def test_revokes_a_key_for_good(store):
    store.add_api_key(api_key())
    answers = [
        store.revoke_api_key(key_id, at_us=at_us) for key_id, at_us in (("key_1", 20), ("key_1", 30), ("key_2", 30))
    ]
    assert answers == [True, False, False]
    assert store.find_api_key("digest of key_1") == api_key(revoked_at_us=20)


# --- profiles: compare and set ---


def test_gives_back_profiles_as_they_were_written(store, session):
    rows = [profile_row("u", document='{"n":9007199254740993}', at_us=2**53 + 1), profile_row("w", profile_id="p2")]
    write(session, profiles=rows)
    assert sorted(plain(store.find_profiles(LIVE, ["w", "unknown", "u", "u"]))) == rows
    assert store.find_profiles(LIVE, []) == []
    assert store.find_profiles(LIVE, ["U", "u ", ""]) == []


def test_takes_a_profile_one_revision_further_and_keeps_when_it_was_made(store, session):
    write(session, profiles=[profile_row()])
    newer = profile_row(revision=2, document='{"a":1}', at_us=6_000)
    write(session, profiles=[newer])
    assert plain(store.find_profiles(LIVE, ["u"])) == [newer]


@pytest.mark.parametrize(
    "late",
    [
        profile_row(revision=1, document='{"late":1}'),
        profile_row(revision=2, document='{"late":1}'),
        profile_row(revision=4, document='{"late":1}'),
        profile_row(revision=3, profile_id="p9", document='{"late":1}'),
        profile_row(revision=1, profile_id="p9", document='{"late":1}'),
    ],
    ids=["the first again", "the same revision", "a revision ahead", "another person's", "another first"],
)
def test_refuses_a_profile_that_is_not_one_revision_above_its_stored_self(store, session, late):
    write(session, profiles=[profile_row()])
    write(session, profiles=[profile_row(revision=2, document='{"a":1}')])
    before = contents(store)
    with pytest.raises(Conflict) as caught:
        write(session, profiles=[late], changes=[change_row()])
    assert (caught.value.code, contents(store)) == ("lost_race", before)


def test_does_not_bring_a_deleted_profile_back(backend, store, session):
    write(session, profiles=[profile_row()])
    backend.erase_profile(LIVE, "u")
    with pytest.raises(Conflict):
        write(session, profiles=[profile_row(revision=2, document='{"a":1}')])
    assert store.find_profiles(LIVE, ["u"]) == []


def test_does_not_take_a_profile_made_anew_for_the_one_that_was_deleted(backend, store, session):
    write(session, profiles=[profile_row()])
    backend.erase_profile(LIVE, "u")
    anew = profile_row(profile_id="p2")
    write(session, profiles=[anew])
    with pytest.raises(Conflict):
        write(session, profiles=[profile_row(revision=2, document='{"a":1}')])
    assert store.find_profiles(LIVE, ["u"]) == [anew]


def test_lets_one_of_two_first_writes_win(store):
    with closing(store.open_session()) as one, closing(store.open_session()) as other:
        write(one, profiles=[profile_row(profile_id="p1")])
        with pytest.raises(Conflict):
            write(other, profiles=[profile_row(profile_id="p2")])
        assert store.find_profiles(LIVE, ["u"]) == [profile_row(profile_id="p1")]
        write(other, profiles=[profile_row(profile_id="p1", revision=2)])


@pytest.mark.parametrize("count", [1, 63, 64, 65, 129, 1_500])
def test_writes_any_number_of_rows(store, session, count):
    ids = [f"u{position:05}" for position in range(count)]
    for revision in (1, 2):
        rows = [profile_row(each, profile_id=f"of {each}", revision=revision) for each in ids]
        changes = [change_row(f"r{revision}", item=item, distinct_id=each) for item, each in enumerate(ids)]
        write(session, profiles=rows, changes=changes)
        assert sorted(store.find_profiles(LIVE, ids)) == rows
        assert store.find_changes(LIVE, f"r{revision}") == changes


@pytest.mark.parametrize("stale", [0, 63, 64, 700, 1_499])
def test_keeps_nothing_of_many_rows_if_one_is_stale(backend, store, session, stale):
    rows = [profile_row(f"u{position:05}", profile_id=f"p{position}") for position in range(1_500)]
    write(session, profiles=rows)
    backend.erase_profile(LIVE, rows[stale].distinct_id)
    newer = [row._replace(revision=2, document='{"a":1}') for row in rows]
    with pytest.raises(Conflict):
        write(session, profiles=newer)
    assert sorted(store.find_profiles(LIVE, [row.distinct_id for row in rows])) == [*rows[:stale], *rows[stale + 1 :]]


# --- all or nothing ---


def everything():
    return {
        "definitions_at": {LIVE: 0},
        "new_definitions": {LIVE: [definition_row("a"), definition_row("b", Kind.LIST)]},
        "profiles": [profile_row("u"), profile_row("w", profile_id="p2")],
        "changes": [change_row("r1"), change_row("r2", item=1, distinct_id="w", ignored="[]")],
        "idempotency": [key_row("k1"), key_row("k2", request_id="r2")],
    }


def test_writes_everything_together(store, session):
    rows = everything()
    write(session, **rows)
    assert contents(store) == (
        rows["profiles"],
        (1, rows["new_definitions"][LIVE]),
        rows["idempotency"],
        [[rows["changes"][0]], [rows["changes"][1]]],
    )


@pytest.mark.parametrize(
    "fault",
    [
        {"definitions_at": {LIVE: 0, TEST: 1}},
        {"definitions_at": {LIVE: 0, TEST: 1}, "new_definitions": {}},
        {"profiles": [profile_row("u"), profile_row("w", profile_id="p2", revision=2)]},
        {"profiles": [profile_row("taken", profile_id="p9"), profile_row("u")]},
        {"idempotency": [key_row("k1"), key_row("taken")]},
    ],
    ids=["another space", "no new definitions", "a profile that is not there", "a first write", "a key"],
)
def test_writes_nothing_if_anything_is_stale(store, session, fault):
    write(session, profiles=[profile_row("taken", profile_id="p0")], idempotency=[key_row("taken")])
    before = contents(store)
    with pytest.raises(Conflict) as caught:
        write(session, **{**everything(), **fault})
    assert (caught.value.code, contents(store)) == ("lost_race", before)
    write(session, **everything())  # the session goes on


def test_writes_nothing_while_another_writer_holds_the_storage(backend, store, session):
    before = contents(store)
    with backend.held(), pytest.raises(Refused) as caught:
        session.write(WriteSet(**everything()), wait_seconds=0.02)
    assert (caught.value.code, contents(store)) == ("store_unavailable", before)
    write(session, **everything())
    assert len(contents(store)[0]) == 2


def test_loses_no_write_of_several_threads(store):
    def add_hundred(name):
        with closing(store.open_session()) as session:
            for _ in range(100):
                while True:
                    (row,) = store.find_profiles(LIVE, ["u"])
                    newer = row._replace(revision=row.revision + 1, document=str(int(row.document) + 1))
                    try:
                        write(session, profiles=[newer], changes=[change_row(f"{name} {newer.revision}")])
                    except Conflict:
                        continue
                    break

    with closing(store.open_session()) as session:
        write(session, profiles=[profile_row(document="0")])
    threads = [threading.Thread(target=add_hundred, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.find_profiles(LIVE, ["u"]) == [profile_row(revision=401, document="400")]


def test_shows_to_a_second_opening_what_the_first_wrote(backend, session):
    write(session, **everything())
    assert contents(backend.reopen()) == contents(backend.store)


# --- definitions ---


def test_knows_no_definitions_of_a_new_space(store):
    assert store.get_definitions(LIVE) == (0, [])


def test_gives_definitions_in_order_of_name(store, session):
    names = ["b", "a", "B", "ä", "a b", "Z", "😀", "\uffee", "a.b"]
    rows = [definition_row(name, kind) for name, kind in zip(names, [*Kind, *Kind], strict=False)]
    write(session, definitions_at={LIVE: 0}, new_definitions={LIVE: rows})
    assert store.get_definitions(LIVE) == (1, sorted(rows))


def test_counts_one_revision_a_write_that_adds_definitions(store, session):
    write(session, definitions_at={LIVE: 0}, new_definitions={LIVE: [definition_row("a"), definition_row("b")]})
    write(session, definitions_at={LIVE: 1}, profiles=[profile_row()])
    write(session, definitions_at={LIVE: 1}, new_definitions={LIVE: [definition_row("c")]})
    assert store.get_definitions(LIVE) == (2, [definition_row(name) for name in "abc"])


@pytest.mark.parametrize("new", [{}, {LIVE: [definition_row("late", Kind.STRING)]}], ids=["only read", "adding"])
@pytest.mark.parametrize("revision", [0, 2, 5])
def test_refuses_a_write_decided_on_other_definitions(store, session, revision, new):
    write(session, definitions_at={LIVE: 0}, new_definitions={LIVE: [definition_row("a")]})
    before = contents(store)
    with pytest.raises(Conflict):
        write(session, definitions_at={LIVE: revision}, new_definitions=new, profiles=[profile_row()])
    assert contents(store) == before


def test_refuses_new_definitions_decided_on_some_where_there_are_none_now(store, session):
    with pytest.raises(Conflict):
        write(session, definitions_at={LIVE: 5}, new_definitions={LIVE: [definition_row("a")]})
    assert store.get_definitions(LIVE) == (0, [])


# --- idempotency keys ---


def test_finds_the_keys_that_were_used_since(store, session):
    old, new = key_row("k1", at_us=100), key_row("k2", at_us=200, digest="d2", request_id="r2")
    write(session, idempotency=[old, new])
    asked = ["k2", "k1", "k1", "K1", "unknown"]
    assert sorted(store.find_idempotency(LIVE, asked, since_us=0)) == [old, new]
    assert sorted(store.find_idempotency(LIVE, asked, since_us=100)) == [old, new]
    assert store.find_idempotency(LIVE, asked, since_us=101) == [new]
    assert store.find_idempotency(LIVE, asked, since_us=201) == []
    assert store.find_idempotency(LIVE, [], since_us=0) == []


@pytest.mark.parametrize("expired_before_us", [0, 99, 100])
def test_refuses_a_key_that_is_taken(store, session, expired_before_us):
    write(session, idempotency=[key_row(at_us=100)])
    with pytest.raises(Conflict):
        write(
            session,
            idempotency=[key_row(digest="d2", request_id="r2", at_us=900)],
            expired_before_us=expired_before_us,
            changes=[change_row("r2")],
        )
    assert store.find_idempotency(LIVE, ["k1"], since_us=0) == [key_row(at_us=100)]
    assert store.find_changes(LIVE, "r2") == []


def test_replaces_a_key_that_has_expired(store, session):
    write(session, idempotency=[key_row(at_us=100)])
    later = key_row(digest="d2", request_id="r2", at_us=900)
    write(session, idempotency=[later, key_row("k2", at_us=900)], expired_before_us=101)
    assert sorted(store.find_idempotency(LIVE, ["k1", "k2"], since_us=0)) == [later, key_row("k2", at_us=900)]


# --- changes and forgetting them ---


def test_gives_the_changes_of_a_request_in_order_of_item(store, session):
    rows = [
        change_row(item=item, distinct_id=f"u{item % 3}", ignored=None if item % 2 else "[1]") for item in range(20)
    ]
    write(session, changes=[*reversed(rows), change_row("r2")])
    assert store.find_changes(LIVE, "r1") == rows
    assert store.find_changes(LIVE, "unknown") == []


def test_forgets_requests_of_a_certain_age_some_at_a_time(store, session):
    old = [change_row("r1", item=item, at_us=100) for item in range(5)]
    new = change_row("r2", at_us=200)
    keys = [key_row("k1", at_us=199), key_row("k2", at_us=200)]
    write(session, changes=[*old, new], idempotency=keys, profiles=[profile_row()])
    deleted = [store.forget_requests(received_before_us=200, at_most=2)]
    assert len(store.find_changes(LIVE, "r1")) == 3
    deleted += [store.forget_requests(received_before_us=200, at_most=2) for _ in range(3)]
    assert deleted == [2, 2, 1, 0]
    assert contents(store) == ([profile_row()], (0, []), sorted(keys), [[], [new]])
    assert store.forget_idempotency(created_before_us=200) == 1
    assert contents(store) == ([profile_row()], (0, []), [keys[1]], [[], [new]])
    assert store.forget_idempotency(created_before_us=200) == 0


# --- spaces, odd characters, housekeeping ---


def test_never_mixes_spaces(store, session):
    spaces = [LIVE, TEST, SOUTH_LIVE, Space("north", "LIVE"), Space("northlive", "")]
    for position, space in enumerate(spaces):
        write(
            session,
            definitions_at={space: 0},
            new_definitions={space: [definition_row(f"only {position}")]},
            profiles=[profile_row(space=space, profile_id=f"p{position}")],
            changes=[change_row(space=space, ignored=str(position))],
            idempotency=[key_row(space=space, digest=str(position))],
        )
    for position, space in enumerate(spaces):
        assert contents(store, space=space) == (
            [profile_row(space=space, profile_id=f"p{position}")],
            (1, [definition_row(f"only {position}")]),
            [key_row(space=space, digest=str(position))],
            [[change_row(space=space, ignored=str(position))], []],
        )


def test_writes_several_spaces_at_once(store, session):
    write(
        session,
        definitions_at={LIVE: 0, SOUTH_LIVE: 0, TEST: 0},
        new_definitions={LIVE: [definition_row("a")], SOUTH_LIVE: [definition_row("b")]},
        profiles=[profile_row(), profile_row(space=TEST), profile_row(space=SOUTH_LIVE)],
    )
    assert [store.get_definitions(space) for space in (LIVE, TEST, SOUTH_LIVE)] == [
        (1, [definition_row("a")]),
        (0, []),
        (1, [definition_row("b")]),
    ]
    assert [store.find_profiles(space, ["u"]) for space in (LIVE, TEST, SOUTH_LIVE)] == [
        [profile_row(space=space)] for space in (LIVE, TEST, SOUTH_LIVE)
    ]


def test_keeps_odd_characters_as_they_are(store, session):
    profiles = [
        profile_row(
            text, profile_id=f"of {text}", document=json.dumps({text: text}, ensure_ascii=False, separators=(",", ":"))
        )
        for text in sorted(ODD)
    ]
    definitions = [definition_row(text) for text in ODD]
    changes = [change_row(item=item, distinct_id=text) for item, text in enumerate(ODD)]
    keys = [key_row(text, digest=text, request_id=text) for text in sorted(ODD)]
    write(
        session,
        definitions_at={LIVE: 0},
        new_definitions={LIVE: definitions},
        profiles=profiles,
        changes=changes,
        idempotency=keys,
    )
    assert sorted(plain(store.find_profiles(LIVE, ODD))) == profiles
    assert [plain(store.find_profiles(LIVE, [row.distinct_id])) for row in profiles] == [[row] for row in profiles]
    assert store.get_definitions(LIVE) == (1, sorted(definitions))
    assert store.find_changes(LIVE, "r1") == changes
    assert sorted(store.find_idempotency(LIVE, ODD, since_us=0)) == keys


plain_texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=255)


@pytest.mark.parametrize("name", BACKENDS)
@settings(max_examples=20)
@given(texts=st.lists(plain_texts, min_size=1, max_size=20, unique=True))
def test_finds_profiles_by_any_allowed_distinct_id(name, texts):
    with fresh(name) as backend, closing(backend.store.open_session()) as session:
        rows = [
            profile_row(
                text,
                profile_id=f"of {text}",
                document=json.dumps({text: text}, ensure_ascii=False, separators=(",", ":")),
            )
            for text in sorted(texts)
        ]
        write(session, profiles=rows)
        assert sorted(plain(backend.store.find_profiles(LIVE, texts))) == rows
        write(session, profiles=[row._replace(revision=2) for row in rows])
        assert sorted(plain(backend.store.find_profiles(LIVE, texts))) == [row._replace(revision=2) for row in rows]


def test_holds_a_space_as_it_was_while_others_write(backend, store, session):
    rows = [profile_row(each, profile_id=each) for each in ("b", "a", "\uffff", "\U0001f600")]
    definition = DefinitionRow("x", Kind.NUMBER, State.ACTIVE, 1, "r1")
    session.write(
        WriteSet(definitions_at={LIVE: 0}, new_definitions={LIVE: [definition]}, profiles=rows), wait_seconds=5
    )
    with store.open_snapshot(LIVE) as snapshot:
        later = [profile_row("a", profile_id="a", revision=2, document='{"x":1}'), profile_row("c", profile_id="c")]
        other = DefinitionRow("y", Kind.NUMBER, State.ACTIVE, 1, "r2")
        session.write(
            WriteSet(definitions_at={LIVE: 1}, new_definitions={LIVE: [other]}, profiles=later), wait_seconds=5
        )
        backend.erase_profile(LIVE, "b")
        assert snapshot.get_definitions() == [definition]
        assert snapshot.count_profiles() == 4
        assert [row for step in snapshot.read_profiles() for row in step] == [rows[1], rows[0], rows[2], rows[3]]
    with store.open_snapshot(LIVE) as snapshot:
        assert [row.distinct_id for step in snapshot.read_profiles() for row in step] == [
            "a",
            "c",
            "\uffff",
            "\U0001f600",
        ]


def test_leaves_aliases_and_other_spaces_out_of_a_snapshot(store, session):
    alias = profile_row("old", profile_id="p2")._replace(alias_of="u")
    rows = WriteSet(edited=[EditedRow(alias, "", 0, None, None)], profiles=[profile_row(), profile_row(space=TEST)])
    session.write(rows, wait_seconds=5)
    with store.open_snapshot(LIVE) as snapshot:
        assert (snapshot.count_profiles(), [list(step) for step in snapshot.read_profiles()]) == (1, [[profile_row()]])
    with store.open_snapshot(SOUTH_LIVE) as snapshot:
        assert (snapshot.count_profiles(), [row for step in snapshot.read_profiles() for row in step]) == (0, [])


def test_gives_a_session_back_more_than_once(store):
    session = store.open_session()
    session.close()
    write(session, profiles=[profile_row()])
    session.close()
    session.close()
    assert store.find_profiles(LIVE, ["u"]) == [profile_row()]


def test_does_its_housekeeping_and_answers_afterwards(store, session):
    write(session, **everything())
    store.tidy()
    store.check()
    assert len(contents(store)[0]) == 2
