"""Which messages people want: laws, over all settings and choices; and what settings and choices may be."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traitbase.domain.attributes import Choice, Preference
from traitbase.domain.destinations import Channel
from traitbase.domain.errors import InvalidInput
from traitbase.domain.subscription_bodies import parse_preferences, parse_settings, parse_topic_preferences
from traitbase.domain.subscriptions import (
    ALL_TOPICS,
    NO_SETTINGS,
    Section,
    Setting,
    SubscriptionSettings,
    Topic,
    allows,
    decode_settings,
    encode_settings,
)

IN, OUT = Choice.OPTED_IN, Choice.OPTED_OUT
IDS = ("news", "offers", "orders")
ids = st.sampled_from(IDS)
channels = st.sampled_from(Channel)
configs = st.dictionaries(channels.map(lambda channel: channel.value), st.sampled_from(Setting), min_size=1)
choices = st.builds(Preference, st.sampled_from(Choice), st.integers(0, 2**50))
preferences = st.dictionaries(
    st.sampled_from((*IDS, ALL_TOPICS)), st.dictionaries(channels.map(lambda channel: channel.value), choices)
)


def settings_of(config, subscription_id="news"):
    return SubscriptionSettings((Section("S", None, (Topic(subscription_id, "T", None, config),)),))


@st.composite
def all_settings(draw):
    each = draw(st.lists(ids, unique=True))
    sections = tuple(
        Section(f"Section {name}", None, (Topic(name, name, draw(st.none() | st.text()), draw(configs)),))
        for name in each
    )
    return SubscriptionSettings(sections)


def chose(held, subscription_id, channel, choice):
    changed = copy.deepcopy(held)
    changed.setdefault(subscription_id, {})[channel.value] = Preference(choice, 1)
    return changed


@given(preferences, channels)
def test_sends_what_is_required_whatever_was_chosen(held, channel):
    assert allows(settings_of({channel.value: Setting.REQUIRED}), held, "news", channel)


@given(all_settings(), preferences, ids | st.none(), channels)
def test_sends_nothing_but_what_is_required_after_a_global_opt_out(settings, held, topic_id, channel):
    topic = settings.find_topic(topic_id or "")
    is_required = topic is not None and topic.channel_config.get(channel) is Setting.REQUIRED
    assert allows(settings, chose(held, ALL_TOPICS, channel, OUT), topic_id, channel) is is_required


@given(preferences, channels, st.sampled_from([Setting.ON, Setting.OFF]), st.sampled_from(Choice))
def test_follows_the_choice_for_the_topic_where_there_is_no_global_opt_out(held, channel, setting, choice):
    held = chose(chose(held, ALL_TOPICS, channel, IN), "news", channel, choice)
    assert allows(settings_of({channel.value: setting}), held, "news", channel) is (choice is IN)


@given(preferences, channels, st.sampled_from([Setting.ON, Setting.OFF]))
def test_follows_the_topic_where_nothing_was_chosen(held, channel, setting):
    held.pop("news", None)
    held.pop(ALL_TOPICS, None)
    assert allows(settings_of({channel.value: setting}), held, "news", channel) is (setting is Setting.ON)


@given(all_settings(), preferences, ids | st.none(), channels)
def test_never_sends_more_after_an_opt_out(settings, held, topic_id, channel):
    before = allows(settings, held, topic_id, channel)
    for whom in (ALL_TOPICS, *IDS):
        assert allows(settings, chose(held, whom, channel, OUT), topic_id, channel) <= before


@given(all_settings(), preferences, ids | st.none(), channels, channels, st.sampled_from(Choice))
def test_is_not_moved_by_choices_for_other_channels(settings, held, topic_id, channel, other, choice):
    if other is not channel:
        for whom in (ALL_TOPICS, *IDS):
            changed = chose(held, whom, other, choice)
            assert allows(settings, changed, topic_id, channel) is allows(settings, held, topic_id, channel)


@given(preferences, channels)
def test_sends_what_is_about_no_topic_unless_there_is_a_global_opt_out(held, channel):
    assert not allows(NO_SETTINGS, chose(held, ALL_TOPICS, channel, OUT), None, channel)
    assert allows(NO_SETTINGS, chose(held, ALL_TOPICS, channel, IN), None, channel)
    held.pop(ALL_TOPICS, None)
    assert allows(NO_SETTINGS, held, None, channel)


@given(preferences, channels)
def test_sends_nothing_about_a_topic_or_on_a_channel_that_is_not_there(held, channel):
    elsewhere = Channel.EMAIL if channel is not Channel.EMAIL else Channel.SMS
    assert not allows(NO_SETTINGS, held, "news", channel)
    assert not allows(settings_of({elsewhere.value: Setting.REQUIRED}), held, "news", channel)


@given(all_settings())
def test_gives_settings_back_as_they_were_stored(settings):
    assert decode_settings(encode_settings(settings)) == settings


# --- reading settings ---


def topic_body(subscription_id="news", **fields):
    return {"subscription_id": subscription_id, "name": "News", "channel_config": {"email": "on"}, **fields}


def settings_body(*topics, **fields):
    return {"sections": [{"name": "S", "topics": list(topics), **fields}]}


def faults_in(body):
    with pytest.raises(InvalidInput) as caught:
        parse_settings(body)
    return [fault.path for fault in caught.value.faults]


def test_reads_settings_in_their_order_and_ignores_other_members():
    body = {
        "sections": [
            {"name": "B", "topics": [topic_body("b", channel_config={"sms": "required", "email": "off"})], "x": 1},
            {"name": "A", "description": "about", "topics": [topic_body("a", description="", y=2)]},
            {"name": "empty", "description": None, "topics": []},
        ],
        "z": 3,
    }
    assert parse_settings(body) == SubscriptionSettings(
        (
            Section("B", None, (Topic("b", "News", None, {"sms": Setting.REQUIRED, "email": Setting.OFF}),)),
            Section("A", "about", (Topic("a", "News", None, {"email": Setting.ON}),)),
            Section("empty", None, ()),
        )
    )
    assert parse_settings({"sections": []}) == NO_SETTINGS


@pytest.mark.parametrize("subscription_id", ["a", "A-b_9", "x" * 64, "ALL"])
def test_takes_ids_of_letters_digits_hyphens_and_underscores(subscription_id):
    assert parse_settings(settings_body(topic_body(subscription_id))).find_topic(subscription_id) is not None


@pytest.mark.parametrize("subscription_id", ["", "all", "x" * 65, "a b", "ü", "a\n", "a.b", None, 5, ["a"]])
def test_refuses_other_ids(subscription_id):
    assert faults_in(settings_body(topic_body(subscription_id))) == ["sections[0].topics[0].subscription_id"]


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ([], [""]),
        ({}, ["sections"]),
        ({"sections": {}}, ["sections"]),
        ({"sections": ["x"]}, ["sections[0]"]),
        ({"sections": [{}]}, ["sections[0].name", "sections[0].topics"]),
        (settings_body(5), ["sections[0].topics[0]"]),
        (settings_body(name=" "), ["sections[0].name"]),
        (settings_body(name="x" * 256), ["sections[0].name"]),
        (settings_body(description="x" * 1_001), ["sections[0].description"]),
        (settings_body(topic_body(name="a\0")), ["sections[0].topics[0].name"]),
        (settings_body(topic_body(description=[])), ["sections[0].topics[0].description"]),
        (settings_body(topic_body(channel_config={})), ["sections[0].topics[0].channel_config"]),
        (settings_body(topic_body(channel_config="on")), ["sections[0].topics[0].channel_config"]),
        (settings_body(topic_body(channel_config={"fax": "on"})), ["sections[0].topics[0].channel_config.fax"]),
        (settings_body(topic_body(channel_config={"sms": "ON"})), ["sections[0].topics[0].channel_config.sms"]),
        (settings_body(topic_body(channel_config={"sms": ["on"]})), ["sections[0].topics[0].channel_config.sms"]),
        (settings_body(topic_body(), topic_body()), ["sections[0].topics[1].subscription_id"]),
        ({"sections": [*settings_body()["sections"] * 2]}, ["sections[1].name"]),
        ({"sections": [{"name": str(number), "topics": []} for number in range(101)]}, ["sections"]),
        (settings_body(*(topic_body(f"t{number}") for number in range(501))), ["sections[0].topics"]),
    ],
)
def test_names_what_cannot_be(body, paths):
    assert faults_in(body) == paths


def test_names_every_fault_at_once():
    body = {
        "sections": [
            {"name": "", "topics": [topic_body("all"), topic_body("a"), topic_body("a", name=None)]},
            {"name": "T", "topics": [topic_body("a", channel_config={"fax": "on", "sms": "x"})]},
        ]
    }
    assert faults_in(body) == [
        "sections[0].name",
        "sections[0].topics[0].subscription_id",
        "sections[0].topics[2].name",
        "sections[1].topics[0].channel_config.fax",
        "sections[1].topics[0].channel_config.sms",
        "sections[0].topics[2].subscription_id",
        "sections[1].topics[0].subscription_id",
    ]


def test_takes_a_hundred_sections_and_five_hundred_topics_and_no_more():
    sections = [{"name": f"S{at}", "topics": [topic_body(f"t{at}-{no}") for no in range(5)]} for at in range(100)]
    assert len(parse_settings({"sections": sections}).sections) == 100
    sections[0]["topics"].append(topic_body("one-more"))
    assert faults_in({"sections": sections}) == ["sections"]


# --- reading choices ---

CONFIG = {"email": Setting.ON, "sms": Setting.OFF, "voice": Setting.REQUIRED}
SETTINGS = settings_of(CONFIG)


def test_reads_choices_for_topics_and_for_all():
    body = {"user_preference": {"news": {"email": "opted-out", "sms": "opted-in"}, "all": {"push": "opted-out"}}}
    assert parse_preferences(body, SETTINGS, at_us=7) == {
        "news": {"email": Preference(OUT, 7), "sms": Preference(IN, 7)},
        "all": {"push": Preference(OUT, 7)},
    }


@pytest.mark.parametrize(
    ("sent", "paths"),
    [
        (None, ["user_preference"]),
        ({}, ["user_preference"]),
        ([], ["user_preference"]),
        ({"offers": {"email": "opted-in"}}, ["user_preference.offers"]),
        ({"news": {}}, ["user_preference.news"]),
        ({"news": "opted-out"}, ["user_preference.news"]),
        ({"news": {"push": "opted-in"}}, ["user_preference.news.push"]),
        ({"all": {"fax": "opted-in"}}, ["user_preference.all.fax"]),
        ({"news": {"email": "out"}}, ["user_preference.news.email"]),
        ({"news": {"email": {"x": []}}}, ["user_preference.news.email"]),
        ({"news": {"voice": "opted-in"}}, ["user_preference.news.voice"]),
        (
            {"news": {"email": "opted-out", "voice": "opted-out", "fax": "x"}, "x": {}},
            ["user_preference.news.voice", "user_preference.news.fax", "user_preference.x"],
        ),
        ({str(number): {} for number in range(502)}, ["user_preference"]),
    ],
)
def test_names_every_choice_that_cannot_be(sent, paths):
    with pytest.raises(InvalidInput) as caught:
        parse_preferences({"user_preference": sent}, SETTINGS, at_us=7)
    assert [fault.path for fault in caught.value.faults] == paths
    assert caught.value.message.startswith(paths[0])


@pytest.mark.parametrize(
    ("topic_id", "channel"), [("news", "email"), ("all", "email"), ("all", "voice"), ("all", "discord")]
)
def test_reads_a_choice_for_one_topic_in_either_form(topic_id, channel):
    expected = {topic_id: {channel: Preference(OUT, 7)}}
    single = {"channel": channel, "status": "opted-out"}
    several = {"user_preference": {topic_id: {channel: "opted-out"}}}
    assert parse_topic_preferences(single, SETTINGS, topic_id, at_us=7) == expected
    assert parse_topic_preferences(several, SETTINGS, topic_id, at_us=7) == expected


@pytest.mark.parametrize(
    ("topic_id", "body", "paths"),
    [
        ("offers", {"channel": "email", "status": "opted-in"}, ["subscription_id"]),
        ("news", {"status": "opted-in"}, ["channel"]),
        ("news", {"channel": "email"}, ["status"]),
        ("news", {}, ["channel", "status"]),
        ("news", {"channel": ["email"], "status": "opted-in"}, ["channel"]),
        ("news", {"channel": "push", "status": "opted-in"}, ["channel"]),
        ("news", {"channel": "voice", "status": "opted-out"}, ["channel"]),
        ("all", {"channel": "fax", "status": "opted-in"}, ["channel"]),
        ("news", {"channel": "email", "status": "no"}, ["status"]),
        ("news", {"user_preference": {"all": {"email": "opted-in"}}}, ["user_preference.all"]),
        ("all", {"user_preference": {"news": {"email": "opted-in"}}}, ["user_preference.news"]),
        ("news", {"user_preference": {}}, ["user_preference"]),
        ("news", [], [""]),
    ],
)
def test_names_what_cannot_be_chosen_for_one_topic(topic_id, body, paths):
    with pytest.raises(InvalidInput) as caught:
        parse_topic_preferences(body, SETTINGS, topic_id, at_us=7)
    assert [fault.path for fault in caught.value.faults] == paths
