"""What a store promises about cohorts, their members, and the feed that copies catch up from."""

from __future__ import annotations

import pytest

from store.backends import LIVE, SOUTH_LIVE, TEST, plain, plain_copied
from traitbase.domain.attributes import Attributes, encode_attributes
from traitbase.domain.cohorts import CohortKind, MemberMode
from traitbase.domain.errors import Conflict, InvalidInput, NotFound
from traitbase.domain.spaces import Space
from traitbase.services.ports import (
    NOTHING_FED,
    CohortRow,
    CopiedRow,
    EditedRow,
    ErasedPerson,
    Erasure,
    FeedEnd,
    FeedRow,
    MembersChanged,
    ProfileRow,
    SeenRow,
    WriteSet,
    copied_text,
)


def no_check(_cohorts: list[CohortRow]) -> None:
    return


def cohort(name: str = "Pros", kind: CohortKind = CohortKind.STATIC, **others: object) -> CohortRow:
    rule = None if kind is CohortKind.STATIC else '{"combinator":"and","rules":[]}'
    return CohortRow(f"id of {name}", name, kind, rule, None, 1, 10, 20)._replace(**others)


def profile(distinct_id: str, revision: int = 1, space: Space = LIVE, **others: object) -> ProfileRow:
    row = ProfileRow(*space, distinct_id, f"profile of {distinct_id}", revision, '{"n":1}', 100, 200)
    return row._replace(**others)


def write(session, *rows: ProfileRow, **others: object) -> None:
    spaces = {Space(*row[:2]): 0 for row in rows}
    session.write(WriteSet(definitions_at=spaces, profiles=sorted(rows), **others), wait_seconds=1)


def edit(row: ProfileRow, stored_revision: int) -> EditedRow:
    return EditedRow(row, row.profile_id if stored_revision else "", stored_revision, None, None, None)


def fed(store, after: FeedEnd = NOTHING_FED) -> list[tuple[str | None, list[str], list[str]]]:
    with store.open_moment() as moment:
        return [(row.cohort_id, sorted(row.written), row.deleted) for row in moment.read_feed(after)]


def end(store):
    with store.open_moment() as moment:
        return moment.feed_end()


def members(store, name: str = "Pros") -> list[str]:
    return store.list_members(LIVE, f"id of {name}", after="", limit=100)


# --- cohorts ---


def test_a_cohort_is_found_as_it_was_stored(store):
    rows = [cohort("b"), cohort("a", CohortKind.DYNAMIC, description="text")]
    for row in rows:
        store.add_cohort(LIVE, row, check=no_check)
    assert store.list_cohorts(LIVE) == [rows[1], rows[0]]
    assert store.find_cohort(LIVE, "id of a") == rows[1]
    assert store.list_cohorts(TEST) == store.list_cohorts(SOUTH_LIVE) == []
    assert store.find_cohort(TEST, "id of a") is None


def test_a_name_is_one_cohorts(store):
    store.add_cohort(LIVE, cohort(), check=no_check)
    store.add_cohort(TEST, cohort(), check=no_check)
    with pytest.raises(Conflict) as refused:
        store.add_cohort(LIVE, cohort(cohort_id="other"), check=no_check)
    assert (refused.value.code, "'Pros'" in refused.value.message) == ("cohort_exists", True)
    store.add_cohort(LIVE, cohort("Others"), check=no_check)
    with pytest.raises(Conflict) as refused:
        store.put_cohort(LIVE, cohort("Others", revision=2)._replace(name="Pros"), check=no_check)
    assert refused.value.code == "cohort_exists"


def test_an_edit_takes_the_place_of_the_revision_that_it_was_made_of(store):
    store.add_cohort(LIVE, cohort(), check=no_check)
    changed = cohort(description="new", revision=2, updated_at_us=30)
    store.put_cohort(LIVE, changed, check=no_check)
    assert store.find_cohort(LIVE, "id of Pros") == changed
    with pytest.raises(Conflict) as refused:
        store.put_cohort(LIVE, changed, check=no_check)
    assert refused.value.code == "lost_race"
    with pytest.raises(NotFound):
        store.put_cohort(LIVE, cohort("nobody", revision=2), check=no_check)


def test_what_a_check_refuses_stays_as_it_was(store):
    store.add_cohort(LIVE, cohort(), check=no_check)
    seen = []

    def refuse(cohorts: list[CohortRow]) -> None:
        seen.append([row.name for row in cohorts])
        raise Conflict("no")

    for attempt in (
        lambda: store.add_cohort(LIVE, cohort("new"), check=refuse),
        lambda: store.put_cohort(LIVE, cohort(description="new", revision=2), check=refuse),
        lambda: store.delete_cohort(LIVE, "id of Pros", check=refuse),
    ):
        with pytest.raises(Conflict):
            attempt()
    assert store.list_cohorts(LIVE) == [cohort()]
    assert seen == [["Pros"]] * 3


def test_the_last_count_is_kept_beside_a_cohort(store):
    store.add_cohort(LIVE, cohort(), check=no_check)
    store.note_count(LIVE, "id of Pros", count=7, at_us=99)
    store.note_count(LIVE, "nobody", count=7, at_us=99)
    assert store.find_cohort(LIVE, "id of Pros") == cohort(last_count=7, last_counted_at_us=99)


# --- members ---


@pytest.fixture
def people(store, session):
    write(session, *(profile(name) for name in "abcd"))
    session.write(WriteSet(edited=[edit(profile("alias", alias_of="a"), 0)]), wait_seconds=1)
    store.add_cohort(LIVE, cohort(), check=no_check)


def change(store, mode: MemberMode, *ids: str) -> MembersChanged:
    return store.change_members(LIVE, "id of Pros", mode, ids)


@pytest.mark.usefixtures("people")
def test_members_are_added_replaced_and_removed(store):
    assert change(store, MemberMode.ADD, "b", "a", "b") == MembersChanged(2, 0, (), 0, 2)
    assert change(store, MemberMode.ADD, "b", "c") == MembersChanged(1, 0, (), 0, 3)
    assert change(store, MemberMode.REMOVE, "a", "d") == MembersChanged(0, 1, (), 0, 2)
    assert members(store) == ["b", "c"]
    assert change(store, MemberMode.REPLACE, "c", "d") == MembersChanged(1, 1, (), 0, 2)
    assert (members(store), store.count_members(LIVE, "id of Pros")) == (["c", "d"], 2)
    assert store.list_members(LIVE, "id of Pros", after="c", limit=1) == ["d"]
    assert store.count_members(TEST, "id of Pros") == 0


@pytest.mark.usefixtures("people")
def test_an_id_counts_as_the_profile_that_it_leads_to(store):
    assert change(store, MemberMode.ADD, "alias", "a", "nobody") == MembersChanged(1, 0, ("nobody",), 1, 1)
    assert members(store) == ["a"]


@pytest.mark.usefixtures("people")
def test_members_are_for_static_cohorts_that_are_there(store):
    store.add_cohort(LIVE, cohort("rule", CohortKind.DYNAMIC), check=no_check)
    with pytest.raises(InvalidInput) as refused:
        store.change_members(LIVE, "id of rule", MemberMode.ADD, ["a"])
    assert refused.value.code == "cohort_is_dynamic"
    with pytest.raises(NotFound):
        store.change_members(LIVE, "nobody", MemberMode.ADD, ["a"])


@pytest.mark.usefixtures("people")
def test_a_deleted_cohort_leaves_no_members(store):
    change(store, MemberMode.ADD, "a")
    before = end(store)
    assert store.delete_cohort(LIVE, "id of Pros", check=no_check) is True
    assert store.delete_cohort(LIVE, "id of Pros", check=no_check) is False
    assert fed(store, before) == [("id of Pros", [], [])]
    store.add_cohort(LIVE, cohort(), check=no_check)
    assert members(store) == []


@pytest.mark.usefixtures("people")
def test_memberships_go_where_an_id_leads(store, session):
    change(store, MemberMode.ADD, "a", "b", "c")
    before = end(store)
    merged = [edit(profile("a", 2), 1), edit(profile("b", 2, alias_of="a"), 1), edit(profile("c", 2, alias_of="d"), 1)]
    session.write(WriteSet(edited=merged), wait_seconds=1)
    assert members(store) == ["a", "d"]
    assert sorted(fed(store, before), key=str) == sorted(
        [("id of Pros", ["a", "b"], []), ("id of Pros", ["c", "d"], []), (None, ["a", "b", "c"], [])], key=str
    )


# --- the feed ---


def test_nothing_was_fed_at_first(store):
    with store.open_moment() as moment:
        assert moment.feed_end().sequence == 0
        assert moment.holds(NOTHING_FED) is True
        assert list(moment.read_feed(NOTHING_FED)) == []
        assert moment.spaces() == []


def test_every_written_profile_is_fed_once_a_transaction(store, session):
    write(session, profile("a"), profile("b"), profile("z", space=TEST))
    before = end(store)
    write(session, profile("a", 2))
    assert sorted(fed(store), key=str) == sorted(
        [(None, ["a", "b"], []), (None, ["z"], []), (None, ["a"], [])], key=str
    )
    with store.open_moment() as moment:
        assert moment.spaces() == [LIVE, TEST]
        assert (moment.fed_since(NOTHING_FED), moment.fed_since(before), moment.fed_since(end(store))) == (4, 1, 0)
        last = list(moment.read_feed(before))
        assert last == [FeedRow(moment.feed_end().sequence, *LIVE, None, ["a"], [])]


def test_it_is_fed_which_properties_may_have_changed_of_profiles_that_were_there(store, session):
    def fed_properties(after: FeedEnd):
        with store.open_moment() as moment:
            found = [(*row[1:3], row.written, row.properties) for row in moment.read_feed(after)]
        return sorted(found, key=str)

    touched = {LIVE: {"n", "m"}}
    session.write(WriteSet(profiles=[profile("a"), profile("b")], touched=touched), wait_seconds=1)
    assert fed_properties(NOTHING_FED) == [(*LIVE, ["a", "b"], None)]
    first = end(store)
    some = [profile("a", 2), profile("c"), profile("b", 2), profile("z", space=TEST)]
    session.write(WriteSet(profiles=some, touched=touched), wait_seconds=1)
    whole, updated = [(*LIVE, ["c"], None), (*TEST, ["z"], None)], [(*LIVE, ["a", "b"], ["m", "n"])]
    assert fed_properties(first) == sorted([*whole, *updated], key=str)
    second = end(store)
    ten, eleven = ({LIVE: {f"p{number}" for number in range(most)}} for most in (10, 11))
    session.write(WriteSet(profiles=[profile("a", 3)], touched=ten), wait_seconds=1)
    session.write(WriteSet(profiles=[profile("a", 4)], touched=eleven), wait_seconds=1)
    session.write(WriteSet(profiles=[profile("a", 5)]), wait_seconds=1)
    assert fed_properties(second) == sorted([(*LIVE, ["a"], sorted(ten[LIVE])), *[(*LIVE, ["a"], None)] * 2], key=str)
    with store.open_moment() as moment:
        assert moment.fed_since(NOTHING_FED) == 9


def test_an_update_that_lost_its_race_feeds_nothing(store, session):
    write(session, profile("a"))
    with pytest.raises(Conflict):
        write(session, profile("a", 3))
    assert fed(store) == [(None, ["a"], [])]


def test_a_rewriting_feeds_what_it_writes_and_what_it_touches(store, session):
    write(session, profile("a"), profile("b"))
    before = end(store)
    with store.rewriting(LIVE, wait_seconds=1) as rewriting:
        rewriting.put_profiles([profile("a", 2)])
        rewriting.touch(["b"])
    with store.rehearsing(LIVE) as rewriting:
        rewriting.put_profiles([profile("a", 3)])
        rewriting.touch(["b"])
    assert sorted(fed(store, before), key=str) == [(None, ["a"], []), (None, ["b"], [])]


@pytest.mark.usefixtures("people")
def test_of_an_erased_profile_only_its_profile_id_is_fed(store, session):
    change(store, MemberMode.ADD, "a", "b")
    before = end(store)
    person = ErasedPerson(("a", "alias"), ())
    gone = SeenRow(*LIVE, "a", "profile of a", 1)
    erasure = Erasure(LIVE, "r", 5, "key", (person,))
    session.write(WriteSet(deleted=[gone], deleted_aliases=[(*LIVE, "alias")], erasures=[erasure]), wait_seconds=1)
    everything = fed(store)
    assert all("a" not in written and "alias" not in written for _, written, _ in everything)
    assert everything[-1] == (None, [], ["profile of a"])
    assert members(store) == ["b"]
    assert store.find_erasure(LIVE, "r").counts["cohort_members"] == 1
    with store.open_moment() as moment:
        assert moment.holds(before) is True  # whoever was there already can still catch up


def test_it_is_known_how_far_the_feed_goes_back(store, session):
    ends = [NOTHING_FED]
    for revision in range(1, 6):
        write(session, profile("a", revision))
        ends.append(end(store))
    assert store.trim_feed(keep=2) == 2
    assert store.trim_feed(keep=2) == 0
    with store.open_moment() as moment:
        assert [moment.holds(each) for each in ends] == [False, False, False, True, True, True]
        assert moment.holds(ends[5]._replace(token="another past")) is False
    assert store.trim_feed(keep=0) == 2
    write(session, profile("a", 6))
    with store.open_moment() as moment:
        assert moment.fed_since(ends[5]) == 1


# --- moments ---


def test_a_moment_does_not_see_what_comes_later(store, session):
    write(session, profile("a"))
    store.add_cohort(LIVE, cohort(), check=no_check)
    with store.open_moment() as moment:
        write(session, profile("a", 2, document='{"n":2}'), profile("b"))
        change(store, MemberMode.ADD, "a")
        snapshot = moment.snapshot(LIVE)
        assert moment.fed_since(NOTHING_FED) == 1
        assert [row.document for row in plain(snapshot.find_profiles(["a", "b"]))] == ['{"n":1}']
        assert [line.split(b"\x1f")[0] for text in snapshot.read_copied() for line in text.split(b"\n")] == [b"a"]
        assert snapshot.members_among("id of Pros", ["a"]) == []
        assert snapshot.get_workspace().timezone == "Europe/Berlin"


def test_a_profile_is_copied_with_its_country_and_without_its_aliases(store, session):
    attributes = encode_attributes(Attributes(channel={"sms": "+919879012345"}))
    known = profile("a", attributes=attributes)
    rows = [EditedRow(known, "", 0, None, None, "IN"), edit(profile("alias", alias_of="a"), 0)]
    session.write(WriteSet(edited=rows), wait_seconds=1)
    copied = copied_text([CopiedRow("a", "profile of a", 100, 200, "IN", '{"n":1}', attributes)])
    with store.open_snapshot(LIVE) as snapshot:
        assert plain_copied(snapshot.find_copied(["a", "alias", "nobody"])) == copied
        assert snapshot.find_copied(["nobody"]) == b""
        assert list(map(plain_copied, snapshot.read_copied())) == [copied]


def test_profiles_are_copied_in_steps(store, session):
    names = sorted(f"u{number}" for number in range(4_001))
    write(session, *(profile(name) for name in names))
    with store.open_snapshot(LIVE) as snapshot:
        copied = plain_copied(b"\n".join(snapshot.read_copied())).split(b"\n")
        assert [line.split(b"\x1f")[0].decode() for line in copied] == names
        assert copied == copied_text(
            CopiedRow(name, f"profile of {name}", 100, 200, None, '{"n":1}', None) for name in names
        ).split(b"\n")


def test_members_are_read_in_order(store, session):
    write(session, *(profile(name) for name in "dbca"))
    store.add_cohort(LIVE, cohort(), check=no_check)
    change(store, MemberMode.ADD, *"dbc")
    with store.open_snapshot(LIVE) as snapshot:
        assert [each for step in snapshot.read_members("id of Pros") for each in step] == ["b", "c", "d"]
        assert sorted(snapshot.members_among("id of Pros", ["a", "b", "d"])) == ["b", "d"]
        assert snapshot.list_cohorts() == [cohort()]
