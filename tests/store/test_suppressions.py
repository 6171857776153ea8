"""What every store promises about suppressions and subscription settings, asked of each implementation."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from store.backends import LIVE, SOUTH_LIVE, TEST
from traitbase.services.ports import (
    ErasedPerson,
    Erasure,
    ProfileRow,
    SeenRow,
    SuppressionFilter,
    SuppressionRow,
    WriteSet,
)

NOW = 5_000
ANY = SuppressionFilter()


def of_person(distinct_id="u", suppression_id="s1", *, workspace_id="north", channel="sms", **fields):
    row = SuppressionRow(workspace_id, suppression_id, channel, distinct_id, None, None, None, NOW, None)
    return row._replace(**fields)


def of_destination(digest="d1", suppression_id="s1", *, channel="sms", **fields):
    return of_person(
        suppression_id=suppression_id,
        channel=channel,
        digest=digest,
        **{"destination": f"+{digest}", "distinct_id": None, **fields},
    )


def listed(store, which=ANY, *, workspace_id="north", now_us=NOW, after=None, limit=100):
    return store.list_suppressions(workspace_id, which, now_us=now_us, after=after, limit=limit)


def put(store, *rows):
    for row in rows:
        store.put_suppression(row)
    return list(rows)


def test_gives_suppressions_back_as_they_were_put_in_order_of_their_ids(store):
    odd = of_person("ü😀 '\"%_", "s0", description="; DROP TABLE suppressions; --", expires_at_us=2**53 + 1)
    rows = put(store, of_destination("d", "s2"), odd, of_person("w", "s1", channel="email"))
    assert listed(store) == sorted(rows, key=lambda row: row.suppression_id)
    assert listed(store, workspace_id="south") == []


@pytest.mark.parametrize("make", [of_person, of_destination])
def test_keeps_one_record_of_the_same_suppression_with_its_first_id_and_time(store, make):
    put(store, make())
    put(store, make(suppression_id="s2", created_at_us=NOW + 9, description="again", expires_at_us=9_999))
    assert listed(store) == [make(description="again", expires_at_us=9_999)]


def test_takes_another_channel_person_destination_or_workspace_for_another_suppression(store):
    rows = put(
        store,
        of_person("u", "s1"),
        of_person("u", "s2", channel="email"),
        of_person("w", "s3"),
        of_destination("d1", "s4"),
        of_destination("d2", "s5"),
    )
    south = of_person("u", "s1", workspace_id="south", description="theirs")
    put(store, south)
    assert (listed(store), listed(store, workspace_id="south")) == (rows, [south])


def test_begins_anew_where_the_same_suppression_has_expired(store):
    put(store, of_person(expires_at_us=NOW + 10))
    anew = of_person(suppression_id="s2", created_at_us=NOW + 10)
    put(store, anew)
    assert listed(store, now_us=NOW + 10) == [anew]


def test_knows_a_destination_again_that_lost_its_text(store):
    put(store, of_destination(destination=None, description=None))
    put(store, of_destination(suppression_id="s2", created_at_us=NOW + 1))
    assert listed(store) == [of_destination()]


def test_makes_one_of_several_records_of_a_destination(store):
    with closing(store.open_session()) as session:  # one by person and one by destination become the same by an erasure
        put(store, of_person("u", "s1"), of_destination("d1", "s2"))
        erase(session, ErasedPerson(("u",), (("sms", "d1"),)))
    assert [row.suppression_id for row in listed(store)] == ["s1", "s2"]
    put(store, of_destination("d1", "s3", created_at_us=NOW + 1))
    assert listed(store) == [of_destination("d1", "s1")]


def test_shows_what_holds_until_the_moment_it_expires(store):
    row = of_person(expires_at_us=NOW + 10)
    put(store, row)
    assert [listed(store, now_us=NOW + after) for after in (0, 9, 10, 11)] == [[row], [row], [], []]


FILTERS = {
    "one": (SuppressionFilter(suppression_id="s3"), ["s3"]),
    "people": (SuppressionFilter(distinct_ids=("u", "nobody")), ["s1", "s2"]),
    "destinations": (SuppressionFilter(digests=("d1", "d9")), ["s4"]),
    "channel": (SuppressionFilter(channel="email"), ["s2", "s3"]),
    "person and channel": (SuppressionFilter(distinct_ids=("u",), channel="sms"), ["s1"]),
    "person and destination": (SuppressionFilter(distinct_ids=("u",), digests=("d1",)), []),
    "nobody": (SuppressionFilter(distinct_ids=()), []),
    "nothing": (SuppressionFilter(digests=()), []),
    "all": (ANY, ["s1", "s2", "s3", "s4", "s5"]),
}


def some(store):
    south = of_person("u", "s1", workspace_id="south")
    gone = of_person("gone", "s6", expires_at_us=NOW)
    kept = [
        of_person("u", "s1"),
        of_person("u", "s2", channel="email"),
        of_person("w", "s3", channel="email"),
        of_destination("d1", "s4"),
        of_destination("d2", "s5"),
    ]
    put(store, *kept, south, gone)
    return kept, south


@pytest.mark.parametrize("named", FILTERS)
def test_lists_those_to_which_everything_applies(store, named):
    some(store)
    which, expected = FILTERS[named]
    assert [row.suppression_id for row in listed(store, which)] == expected


@pytest.mark.parametrize("named", FILTERS)
def test_deletes_those_to_which_everything_applies_and_no_others(store, named):
    kept, south = some(store)
    which, expected = FILTERS[named]
    assert store.delete_suppressions("north", which, now_us=NOW) == len(expected)
    assert listed(store) == [row for row in kept if row.suppression_id not in expected]
    assert listed(store, workspace_id="south") == [south]


def test_does_not_count_what_has_expired_as_deleted(store):
    put(store, of_person(expires_at_us=NOW))
    assert store.delete_suppressions("north", SuppressionFilter(distinct_ids=("u",)), now_us=NOW) == 0


def test_pages_give_each_row_once_while_rows_are_added(store):
    put(store, *(of_person(f"u{number}", f"s{number:03}") for number in range(50)))
    seen, after = [], None
    while page := listed(store, after=after, limit=7):
        seen += [row.suppression_id for row in page]
        after = page[-1].suppression_id
        put(store, of_person(f"late {len(seen)}", f"s000 {len(seen)}"))
    assert seen == [f"s{number:03}" for number in range(50)]


def test_finds_what_holds_by_any_id_or_any_digest_each_once(store):
    kept, _ = some(store)
    many = [f"nobody {number}" for number in range(3_000)]

    def found(distinct_ids, digests):
        rows = store.find_suppressions("north", distinct_ids=distinct_ids, digests=digests, now_us=NOW)
        return [row.suppression_id for row in rows]

    assert found(["u", "u", "gone", *many], ["d2", *many]) == ["s1", "s2", "s5"]
    assert found([], ["d1"]) == ["s4"]
    assert found([], []) == []
    assert store.find_suppressions("north", distinct_ids=["w"], digests=[], now_us=NOW) == [kept[2]]


def test_forgets_what_has_expired_some_at_a_time(store):
    put(store, *(of_person(f"u{number}", f"s{number}", expires_at_us=NOW + 10) for number in range(5)))
    left = [of_person("w", "s7", expires_at_us=NOW + 11), of_person("x", "s8")]
    put(store, *left)
    assert store.forget_suppressions(expired_by_us=NOW + 9, at_most=2) == 0
    assert [store.forget_suppressions(expired_by_us=NOW + 10, at_most=2) for _ in range(4)] == [2, 2, 1, 0]
    assert listed(store, now_us=0) == left


def test_keeps_one_record_when_many_put_the_same_at_once(store):
    def put_mine(number):
        store.put_suppression(of_destination(suppression_id=f"s{number}", created_at_us=NOW + number))

    threads = [threading.Thread(target=put_mine, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(listed(store, now_us=NOW)) == 1


# --- erasure ---


def erase(session, person, *, space=LIVE):
    session.write(WriteSet(erasures=[Erasure(space, "r1", NOW, "key_1", (person,))]), wait_seconds=5)


def test_erasing_a_person_leaves_digests_of_where_they_must_not_be_reached(store):
    rows = put(
        store,
        of_person("u", "s1", description="Ann called"),
        of_person("old id", "s2", channel="email", expires_at_us=9_000),
        of_person("u", "s3", channel="voice"),
        of_destination("d1", "s4", description="Ann called"),
        of_destination("d9", "s5"),
        of_person("w", "s6"),
    )
    with closing(store.open_session()) as session:
        erase(session, ErasedPerson(("u", "old id"), (("sms", "d1"), ("email", "d2"))))
    nameless = {"distinct_id": None, "destination": None, "description": None}
    assert listed(store) == [
        rows[0]._replace(**nameless, digest="d1"),
        rows[1]._replace(**nameless, digest="d2"),
        rows[3]._replace(**nameless),
        rows[4],
        rows[5],
    ]
    assert store.find_erasure(LIVE, "r1").counts["suppressions"] == 4


LIVE_PROFILE, TEST_PROFILE = (ProfileRow(*space, "u", "p1", 1, "{}", NOW, NOW) for space in (LIVE, TEST))


@pytest.mark.parametrize("live_first", [True, False], ids=["live first", "test first"])
def test_erasing_a_person_in_both_environments_protects_them_on_in_either_order(store, live_first):
    """Only the live profile has the destination."""
    put(
        store,
        of_person("u", "s1", description="Ann called"),
        of_destination("d1", "s2", description="Ann called"),
    )
    steps = [
        (LIVE, LIVE_PROFILE, ErasedPerson(("u",), (("sms", "d1"),))),
        (TEST, TEST_PROFILE, ErasedPerson(("u",), ())),
    ]
    with closing(store.open_session()) as session:
        session.write(WriteSet(profiles=[LIVE_PROFILE, TEST_PROFILE]), wait_seconds=5)
        for number, (space, profile, person) in enumerate(steps if live_first else reversed(steps)):
            gone = SeenRow(*profile[:3], "p1", 1)
            erasure = Erasure(space, f"r{number}", NOW, "key_1", (person,))
            session.write(WriteSet(deleted=[gone], erasures=[erasure]), wait_seconds=5)
    left = listed(store)
    assert {(row.distinct_id, row.destination, row.description) for row in left} == {(None, None, None)}
    assert {row.digest for row in left} == {"d1"}


def test_erasing_a_person_who_is_known_in_the_other_environment_keeps_what_is_theirs_there(store):
    row = of_person("u", description="Ann called")
    put(store, row)
    with closing(store.open_session()) as session:
        session.write(WriteSet(profiles=[TEST_PROFILE]), wait_seconds=5)
        erase(session, ErasedPerson(("u",), (("sms", "d1"),)))
    kept, copy = sorted(listed(store), key=lambda each: each.distinct_id is None)
    assert kept == row
    assert copy == row._replace(suppression_id=copy.suppression_id, distinct_id=None, description=None, digest="d1")


def test_an_id_that_is_known_in_the_other_environment_keeps_nothing_of_the_other_ids(store):
    put(store, of_person("u", "s1", description="Ann called"), of_person("alias", "s2", description="Ann called again"))
    with closing(store.open_session()) as session:
        session.write(WriteSet(profiles=[TEST_PROFILE]), wait_seconds=5)
        erase(session, ErasedPerson(("u", "alias"), (("sms", "d1"),)))
    assert sorted((row.distinct_id or "", row.digest, row.description) for row in listed(store)) == [
        ("", "d1", None),
        ("", "d1", None),
        ("u", None, "Ann called"),
    ]


# --- subscription settings ---


def test_keeps_subscription_settings_of_each_space(store):
    assert store.find_subscription_settings(LIVE) is None
    store.put_subscription_settings(LIVE, "first", at_us=1)
    store.put_subscription_settings(TEST, "ü😀 '", at_us=2)
    store.put_subscription_settings(LIVE, "second", at_us=3)
    assert [store.find_subscription_settings(space) for space in (LIVE, TEST, SOUTH_LIVE)] == ["second", "ü😀 '", None]
