"""Preferences and suppressions of people whose profiles are merged, renamed and erased, through a real store."""

from __future__ import annotations

import itertools
from contextlib import closing

import pytest

from ingest.submitting import NOW_US, ingest_on, run, sent
from store.backends import LIVE, SOUTH_LIVE, TEST
from traitbase.domain.attributes import Attributes, Choice, Preference, Token, decode_attributes
from traitbase.domain.destinations import Channel
from traitbase.domain.edits import Change, Create, Erase, Merge, PatchChannel, Prefer
from traitbase.domain.errors import InvalidInput, NotFound
from traitbase.domain.profile_bodies import AttributeChanges
from traitbase.domain.subscriptions import NO_SETTINGS
from traitbase.domain.suppressions import parse_suppression
from traitbase.services.ingest import Submission
from traitbase.services.subscriptions import PreferenceView, get_preferences
from traitbase.services.suppressions import (
    Person,
    SuppressedChannel,
    Whom,
    find_suppressed_channels,
    forget_expired,
    lift_suppressions,
    list_suppressions,
    suppress,
)

IN, OUT = Choice.OPTED_IN, Choice.OPTED_OUT
PHONE, OTHER_PHONE = "+919879012345", "+919879012346"

_numbers = itertools.count(1)


def edited(edit, *, space=LIVE, at_us=NOW_US):
    request_id = f"edit {next(_numbers):06}"
    return Submission(space, (), request_id, at_us, "key_1", edit=edit)


def do(ingest, *edits, space=LIVE):
    for edit in edits:
        submission = edited(edit, space=space)
        assert run(ingest, submission) == [submission.request_id]


def create(distinct_id, **channel):
    return Create(distinct_id, AttributeChanges(channel=channel), None)


def prefer(distinct_id, **choices):
    """Return the edit for choices such as `news_email=OUT`."""
    preferences = {}
    for name, choice in choices.items():
        topic_id, channel = name.split("_")
        preferences.setdefault(topic_id, {})[channel] = Preference(choice, NOW_US)
    return Prefer(distinct_id, preferences)


def chosen(store, distinct_id, *, space=LIVE):
    held = get_preferences(store, space, distinct_id).preferences
    return {f"{topic}_{name}": each.choice for topic, channels in held.items() for name, each in channels.items()}


def put(store, workspace_id="north", *, at_us=NOW_US, **body):
    parsed = parse_suppression(body, now_us=at_us)
    suppress(store, workspace_id, parsed, now_us=at_us, new_id=lambda: f"{next(_numbers):024x}")


def listed(store, *, workspace_id="north", now_us=NOW_US, **whom):
    rows, _ = list_suppressions(store, workspace_id, Whom(**whom), now_us=now_us, after=None, limit=100)
    return [(row.channel, row.distinct_id or row.destination) for row in rows]


def lift(store, *, workspace_id="north", suppression_id=None, distinct_id=None, destination=None):
    return lift_suppressions(
        store,
        workspace_id,
        suppression_id=suppression_id,
        distinct_id=distinct_id,
        destination=destination,
        now_us=NOW_US,
    )


def suppressed(store, *distinct_ids, space=LIVE, now_us=NOW_US):
    """Return for each profile its suppressed channels and, where not the whole is, the destinations."""
    rows = {row.distinct_id: row for row in store.find_profiles(space, distinct_ids)}
    people = [Person(each, decode_attributes(rows[each].attributes)) for each in distinct_ids]
    found = find_suppressed_channels(store, space, people, now_us=now_us)
    return [{channel.value: each.destinations for channel, each in one.items()} for one in found]


# --- preferences ---


def test_records_choices_and_keeps_those_that_are_not_named(store, ingest):
    do(ingest, create("u"), prefer("u", news_email=OUT, all_sms=OUT), prefer("u", news_email=IN, news_push=OUT))
    assert chosen(store, "u") == {"news_email": IN, "news_push": OUT, "all_sms": OUT}


def test_shows_choices_beside_settings_that_know_nothing_of_them(store, ingest):
    do(ingest, create("u"), prefer("u", gone_email=OUT))
    expected = PreferenceView(NO_SETTINGS, {"gone": {"email": Preference(OUT, NOW_US)}})
    assert get_preferences(store, LIVE, "u") == expected


def test_records_nothing_for_nobody(store, ingest):
    submission = edited(prefer("nobody", news_email=OUT))
    (outcome,) = run(ingest, submission)
    assert isinstance(outcome, NotFound)
    assert store.find_profiles(LIVE, ["nobody"]) == []
    with pytest.raises(NotFound, match="incorrect/non existing distinct_id provided"):
        get_preferences(store, LIVE, "nobody")


def test_keeps_choices_of_each_space(store, ingest):
    for space, choice in ((LIVE, OUT), (TEST, IN), (SOUTH_LIVE, IN)):
        do(ingest, create("u"), prefer("u", news_email=choice), space=space)
    assert [chosen(store, "u", space=space)["news_email"] for space in (LIVE, TEST, SOUTH_LIVE)] == [OUT, IN, IN]


@pytest.mark.parametrize(
    ("of_target", "of_source", "merged"),
    [
        ({"news_email": IN}, {"news_email": OUT}, {"news_email": OUT}),
        ({"news_email": OUT}, {"news_email": IN}, {"news_email": OUT}),
        ({"all_sms": IN}, {"all_sms": OUT, "news_sms": IN}, {"all_sms": OUT, "news_sms": IN}),
        ({"news_email": IN}, {"offers_push": OUT}, {"news_email": IN, "offers_push": OUT}),
        ({}, {"news_email": OUT}, {"news_email": OUT}),
        ({"news_email": OUT}, {}, {"news_email": OUT}),
    ],
)
def test_a_merge_keeps_every_opt_out(store, ingest, of_target, of_source, merged):
    do(ingest, create("t"), create("s"), prefer("t", **of_target), prefer("s", **of_source), Merge("s", "t"))
    assert chosen(store, "t") == chosen(store, "s") == merged


def test_choices_by_an_id_before_reach_who_has_it_now(store, ingest):
    do(ingest, create("old"), Change("old", "new", AttributeChanges(), None), prefer("old", news_email=OUT))
    assert chosen(store, "new") == chosen(store, "old") == {"news_email": OUT}


def test_choices_outlive_the_process(ingest, backend):
    do(ingest, create("u"), prefer("u", news_email=OUT))
    assert chosen(backend.reopen(), "u") == {"news_email": OUT}


def test_choices_and_updates_of_one_group_are_applied_in_order(store, ingest):
    group = [
        sent(("u", {"$set": {"a": 1}})),
        edited(prefer("u", news_email=OUT)),
        sent(("u", {"$set": {"a": 2}})),
        edited(prefer("u", news_email=IN)),
    ]
    assert run(ingest, *group) == [submission.request_id for submission in group]
    assert chosen(store, "u") == {"news_email": IN}


# --- suppressions ---


def test_a_suppression_by_distinct_id_holds_for_the_whole_channel(store, ingest):
    do(ingest, create("u", sms=PHONE), create("w", sms=PHONE))
    put(store, distinct_id="u", channel="sms")
    put(store, distinct_id="u", channel="push")
    assert suppressed(store, "u", "w") == [{"sms": None, "push": None}, {}]


def test_a_suppression_by_destination_holds_for_whoever_has_it(store, ingest):
    do(ingest, create("u", sms="+91 98790 12345", voice=PHONE), create("w", sms=OTHER_PHONE), create("x"))
    put(store, destination=PHONE, channel="sms")
    assert suppressed(store, "u", "w", "x") == [{"sms": None}, {}, {}]
    do(ingest, PatchChannel("x", {"sms": "+91(98790)12345"}), space=LIVE)
    assert suppressed(store, "x") == [{"sms": None}]


def test_a_suppressed_token_leaves_the_others(store, ingest):
    do(ingest, create("u", push=[Token("a"), Token("b")], inapp=[Token("a")]))
    put(store, destination="a", channel="push")
    assert suppressed(store, "u") == [{"push": ("a",)}]
    put(store, distinct_id="u", channel="push")
    assert suppressed(store, "u") == [{"push": None}]


def test_tells_by_what_a_channel_is_suppressed(store):
    put(store, distinct_id="u", channel="sms", description="first")
    put(store, destination=PHONE, channel="sms", description="second")
    person = Person("u", Attributes(channel={"sms": PHONE}))
    (found,) = find_suppressed_channels(store, LIVE, [person], now_us=NOW_US)
    rows = store.find_suppressions(
        "north", distinct_ids=["u"], digests=[row.digest for row in found[Channel.SMS].by if row.digest], now_us=NOW_US
    )
    assert [row.description for row in rows] == ["first", "second"]
    assert found == {Channel.SMS: SuppressedChannel(tuple(rows), None)}
    assert found[Channel.SMS].covers(PHONE)


def test_holds_until_it_expires_and_is_forgotten_then(store, ingest):
    do(ingest, create("u"))
    put(store, distinct_id="u", channel="sms", expiry_ts="2023-11-14T22:13:21Z")
    expired = NOW_US + 1_000_000
    assert [suppressed(store, "u", now_us=each) for each in (expired - 1, expired)] == [[{"sms": None}], [{}]]
    assert [listed(store, now_us=each) for each in (expired - 1, expired)] == [[("sms", "u")], []]
    assert [forget_expired(store, now_us=each, at_most=9) for each in (expired - 1, expired, expired)] == [0, 1, 0]


def test_holds_in_both_environments_and_in_no_other_workspace(store, ingest):
    for space in (LIVE, TEST, SOUTH_LIVE):
        do(ingest, create("u", sms=PHONE), space=space)
    put(store, distinct_id="u", channel="email")
    put(store, destination=PHONE, channel="sms")
    held = [suppressed(store, "u", space=space) for space in (LIVE, TEST, SOUTH_LIVE)]
    assert held == [[{"email": None, "sms": None}]] * 2 + [[{}]]


def test_moves_along_when_profiles_are_merged_or_renamed(store, ingest):
    do(ingest, create("s"), create("t"), create("old"))
    put(store, distinct_id="s", channel="sms")
    put(store, distinct_id="old", channel="email")
    do(ingest, Merge("s", "t"), Change("old", "new", AttributeChanges(), None))
    assert suppressed(store, "t", "new") == [{"sms": None}, {"email": None}]
    assert listed(store, distinct_id="t") == listed(store, distinct_id="s") == [("sms", "s")]
    assert listed(store, distinct_id="new") == [("email", "old")]


def test_lists_what_is_under_other_ids_in_either_environment(store, ingest):
    do(ingest, create("a"), create("b"), Merge("a", "b"), space=TEST)
    put(store, distinct_id="a", channel="sms")
    put(store, distinct_id="b", channel="email")
    put(store, distinct_id="c", channel="email")
    assert listed(store, distinct_id="b") == [("sms", "a"), ("email", "b")]
    assert listed(store, distinct_id="b", channel=Channel.SMS) == [("sms", "a")]
    assert listed(store, workspace_id="south", distinct_id="b") == []


def test_lists_by_destination_however_it_is_written(store):
    put(store, destination="+91 98790 12345", channel="sms")
    put(store, destination=PHONE, channel="voice")
    put(store, destination=OTHER_PHONE, channel="sms")
    put(store, destination="Ann@EXAMPLE.com", channel="email")
    assert listed(store, destination="+91 9879 012345") == [("sms", "+91 98790 12345"), ("voice", PHONE)]
    assert listed(store, destination=PHONE, channel=Channel.VOICE) == [("voice", PHONE)]
    assert listed(store, destination="Ann@example.com") == [("email", "Ann@EXAMPLE.com")]
    assert listed(store, destination="ann@example.com") == []
    with pytest.raises(InvalidInput, match="Invalid destination for channel sms"):
        listed(store, destination="x", channel=Channel.SMS)


def test_keeps_the_latest_of_the_same_destination_as_it_was_sent(store):
    put(store, destination="+91 98790 12345", channel="sms")
    put(store, destination=PHONE, channel="sms")
    assert listed(store) == [("sms", PHONE)]


def test_lifts_by_the_first_that_is_given(store):
    put(store, distinct_id="u", channel="sms")
    put(store, distinct_id="u", channel="email")
    put(store, distinct_id="w", channel="sms")
    put(store, destination=PHONE, channel="sms")
    rows = store.find_suppressions("north", distinct_ids=["w"], digests=[], now_us=NOW_US)
    assert lift(store, suppression_id=rows[0].suppression_id, distinct_id="u", destination=PHONE) == 1
    assert lift(store, distinct_id="u", destination=PHONE) == 2
    assert lift(store, destination="+91-98790-12345") == 1
    assert listed(store) == []


@pytest.mark.parametrize(
    ("whom", "path"),
    [
        ({}, "_id"),
        ({"suppression_id": "0" * 24, "distinct_id": "u"}, "_id"),
        ({"distinct_id": "nobody"}, "distinct_id"),
        ({"destination": "+4930123456"}, "destination"),
        ({"destination": "\t"}, "destination"),
        ({"distinct_id": "u", "workspace_id": "south"}, "distinct_id"),
    ],
)
def test_says_so_where_there_is_nothing_to_lift(store, whom, path):
    put(store, distinct_id="u", channel="sms")
    with pytest.raises(InvalidInput) as caught:
        lift(store, **whom)
    assert (caught.value.message, caught.value.faults[0].path) == ("Unable to delete non existing data!", path)
    assert listed(store) == [("sms", "u")]


def test_lifts_what_is_under_a_persons_other_ids_too(store, ingest):
    do(ingest, create("a"), create("b"), Merge("a", "b"))
    put(store, distinct_id="a", channel="sms")
    assert lift(store, distinct_id="b") == 1


def test_lifts_nothing_of_somebody_who_has_that_id_in_the_other_environment(store, ingest):
    do(ingest, create("a"), create("b"), Merge("a", "b"), space=TEST)
    do(ingest, create("a"), create("b"))
    put(store, distinct_id="a", channel="sms")
    put(store, distinct_id="b", channel="sms")
    assert lift(store, distinct_id="b") == 1
    assert (listed(store), suppressed(store, "a", "b")) == ([("sms", "a")], [{"sms": None}, {}])


def test_erased_people_stay_protected_and_are_shown_without_a_trace(store, ingest):
    do(ingest, create("u", sms="+91 98790 12345", email="ann@example.com"))
    put(store, distinct_id="u", channel="sms", description="Ann called")
    put(store, destination="ann@EXAMPLE.com", channel="email", description="Ann wrote")
    do(ingest, Erase(("u",)))
    assert listed(store) == [("sms", None), ("email", None)]
    rows, _ = list_suppressions(store, "north", Whom(), now_us=NOW_US, after=None, limit=9)
    assert [(row.distinct_id, row.destination, row.description) for row in rows] == [(None, None, None)] * 2
    do(ingest, create("back", sms=PHONE, email="ann@example.com"), create("u", sms=OTHER_PHONE))
    assert suppressed(store, "back", "u") == [{"sms": None, "email": None}, {}]
    assert lift(store, destination=PHONE) == 1
    assert listed(store) == [("email", None)]


def test_a_person_may_have_more_other_ids_than_fit_one_statement(store):
    aliases = tuple(f"alias {number}" for number in range(1_000))
    put(store, distinct_id=aliases[-1], channel="sms")
    people = [
        Person("u", Attributes(aliases=aliases)),
        *(Person(f"w{number}", Attributes()) for number in range(2_000)),
    ]
    found = find_suppressed_channels(store, LIVE, people, now_us=NOW_US)
    assert [position for position, each in enumerate(found) if each] == [0]


def test_pages_of_suppressions_know_whether_there_are_more(store):
    for number in range(5):
        put(store, distinct_id=f"u{number}", channel="sms", at_us=NOW_US + 1_000 * number)

    def page(after):
        return list_suppressions(store, "north", Whom(), now_us=NOW_US, after=after, limit=2)

    seen, after, pages = [], None, 0
    while pages == 0 or after is not None:
        rows, after = page(after)
        pages += 1
        seen += [row.distinct_id for row in rows]
    assert (seen, pages) == ([f"u{number}" for number in range(5)], 3)


def test_choices_of_two_processes_are_all_kept(backend):
    with closing(ingest_on(backend.store)) as one, closing(ingest_on(backend.reopen())) as other:
        do(one, create("u"))
        do(other, prefer("u", news_email=OUT))
        do(one, prefer("u", news_sms=OUT))
        do(other, prefer("u", all_push=OUT))
    assert chosen(backend.store, "u") == {"news_email": OUT, "news_sms": OUT, "all_push": OUT}
