"""`…/profiles/{distinct_id}/channel` and `…/channel/delete`: destinations come and go one by one."""

from __future__ import annotations

import pytest

from support.people import (
    NOT_FOUND,
    assert_done,
    assert_refused,
    create,
    delete_channel,
    fresh_id,
    history_of,
    patch_channel,
    profile_of,
    read,
    update,
)

MODIFIED = "Channel has been modified successfully"
NOTHING_THERE = "Unable to delete channel since the channel does not exist"
CHANNELS = "sms, whatsapp, voice, email, slack, discord, teams, push, inapp, webpush"
MISSING = f"channel: expected an object with at least one of {CHANNELS}"
NAMELESS = "channel: expected an array of channel names, or arrays of tokens under inapp, push, webpush"


def token(text, status=1, integration_id=None):
    return {"token": text, "integration_id": integration_id, "status": status}


@pytest.fixture
def ann(ada):
    channel = {"sms": "+15551234567", "email": "ann@example.com", "push": [{"token": "a"}, {"token": "b", "status": 0}]}
    return create(ada, fresh_id(), name="Ann", channel=channel)


@pytest.mark.parametrize(
    ("sent", "held"),
    [
        ({"sms": "+1 (555) 765-4321"}, {"sms": "+1 (555) 765-4321"}),
        ({"sms": "+1-555-123-4567"}, {}),  # the same number, so it stays as it was written
        ({"email": "ANN@example.com"}, {"email": "ANN@example.com"}),
        ({"slack": "#s", "discord": "d", "teams": "t"}, {"slack": "#s", "discord": "d", "teams": "t"}),
        (
            {"whatsapp": "+919879012345", "voice": "+442083661177"},
            {"whatsapp": "+919879012345", "voice": "+442083661177"},
        ),
        ({"push": [{"token": "c"}]}, {"push": [token("a"), token("b", 0), token("c")]}),
        ({"push": {"token": "c", "status": None}}, {"push": [token("a"), token("b", 0), token("c")]}),
        ({"push": [{"token": "b", "integration_id": "fcm"}]}, {"push": [token("a"), token("b", 1, "fcm")]}),
        ({"push": [{"token": "a"}]}, {}),
        ({"push": [{"token": "c", "status": 0}, {"token": "c"}]}, {"push": [token("a"), token("b", 0), token("c")]}),
        ({"inapp": {"token": "i", "more": {"is": ["skipped"]}}}, {"inapp": [token("i")]}),
        ({"sms": "+15557654321", "webpush": []}, {"sms": "+15557654321"}),
    ],
)
def test_it_overwrites_single_destinations_and_adds_tokens(ada, ann, sent, held):
    before = profile_of(ada, ann)
    assert_done(patch_channel(ada, ann, {"channel": sent}), MODIFIED)
    after = profile_of(ada, ann)
    assert after["channel_raw"] == {**before["channel_raw"], **held}
    assert (after["updated_at"] == before["updated_at"]) == (held == {})


def test_it_shows_phones_as_people_read_them(ada):
    channel = {"sms": "+91-98790 12345", "whatsapp": "+442083661177", "voice": "+4930123456"}
    made = profile_of(ada, create(ada, fresh_id(), channel=channel))
    assert made["channel"] == {"sms": "+91 98790 12345", "whatsapp": "+44 20 8366 1177", "voice": "+49 30 123456"}
    assert made["channel_raw"] == channel
    assert made["country_code"] == "IN"


@pytest.mark.parametrize(
    ("sent", "message", "paths"),
    [
        (None, "channel: expected an object of channels and destinations, not null", ["channel"]),
        ([], "channel: expected an object of channels and destinations, not list", ["channel"]),
        ({}, MISSING, ["channel"]),
        ({"push": []}, MISSING, ["channel"]),
        (
            {"sms": None},
            "channel.sms: null is no destination; to clear a channel use …/channel/delete",
            ["channel.sms"],
        ),
        ({"fax": "1"}, f"channel.fax: there is no such channel; expected one of {CHANNELS}", ["channel.fax"]),
        ({"SMS": "1"}, f"channel.SMS: there is no such channel; expected one of {CHANNELS}", ["channel.SMS"]),
        ({"sms": 15551234567}, "Invalid destination for channel sms", ["channel.sms"]),
        ({"sms": "5551234567"}, "Invalid destination for channel sms", ["channel.sms"]),
        ({"whatsapp": "+1555"}, "Invalid destination for channel whatsapp", ["channel.whatsapp"]),
        ({"voice": "+1 800 FLOWERS"}, "Invalid destination for channel voice", ["channel.voice"]),
        ({"email": "Ann <a@x.com>"}, "Invalid destination for channel email", ["channel.email"]),
        ({"slack": " "}, "Invalid destination for channel slack", ["channel.slack"]),
        ({"teams": "a\nb"}, "Invalid destination for channel teams", ["channel.teams"]),
        ({"discord": "x" * 2_049}, "Invalid destination for channel discord", ["channel.discord"]),
        (
            {"email": "nope", "slack": "fine", "voice": "x"},
            "Invalid destination for channel email",
            ["channel.email", "channel.voice"],
        ),
    ],
)
def test_it_names_what_is_no_destination_and_changes_nothing(ada, ann, sent, message, paths):
    before = read(ada, ann).text
    assert_refused(patch_channel(ada, ann, {"channel": sent}), message, *paths)
    assert read(ada, ann).text == before


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ("tok", "channel.push"),
        (["tok"], "channel.push[0]"),
        ({}, "channel.push[0].token"),
        ([{"token": "fine"}, {"token": 5}], "channel.push[1].token"),
        ([{"token": "a\0"}], "channel.push[0].token"),
        ([{"token": "x" * 2_049}], "channel.push[0].token"),
        ([{"token": "x", "status": True}], "channel.push[0].status"),
        ([{"token": "x", "status": 2}], "channel.push[0].status"),
        ([{"token": "x", "integration_id": ""}], "channel.push[0].integration_id"),
        ([{"token": "x", "integration_id": "a\0"}], "channel.push[0].integration_id"),
        ([{"token": "x", "integration_id": 5}], "channel.push[0].integration_id"),
        ([{"token": str(number)} for number in range(101)], "channel.push"),
        ([{"token": str(number)} for number in range(99)], "channel.push"),  # with the two that are there, 101
    ],
)
def test_it_names_what_is_no_token_and_changes_nothing(ada, ann, sent, path):
    before = read(ada, ann).text
    answer = patch_channel(ada, ann, {"channel": {"push": sent}})
    assert_refused(answer, answer.json["_message"], path)
    assert read(ada, ann).text == before


def test_it_takes_a_hundred_tokens_and_tells_what_came_and_went(ada):
    me = create(ada, fresh_id(), channel={"push": [{"token": str(number)} for number in range(99)]})
    assert_done(patch_channel(ada, me, {"channel": {"push": {"token": "new"}}}), MODIFIED)
    assert_done(delete_channel(ada, me, {"push": ["7"]}), MODIFIED)
    assert len(profile_of(ada, me)["channel"]["push"]) == 99
    entries = ada.get(f"profiles/{me}/history").json["items"]
    assert [entry["changes"] for entry in entries[:2]] == [
        [{"attribute": "channel.push", "added": [], "removed": [token("7")], "size": [100, 99]}],
        [{"attribute": "channel.push", "added": [token("new")], "removed": [], "size": [99, 100]}],
    ]


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        ({"channel": ["sms"]}, {"email", "push"}),
        ({"channel": ["sms", "email", "slack"]}, {"push"}),
        ({"channel": ["push"]}, {"sms", "email"}),
        ({"push": ["a", "b"]}, {"sms", "email"}),
        ({"push": ["a", "b"], "inapp": ["x"]}, {"sms", "email"}),
        ({"channel": [], "push": ["a", "b"]}, {"sms", "email"}),
    ],
)
def test_it_takes_away_what_is_named(ada, ann, sent, left):
    assert_done(delete_channel(ada, ann, sent), MODIFIED)
    assert set(profile_of(ada, ann)["channel"]) == left


def test_it_takes_away_one_token_and_leaves_the_others(ada, ann):
    assert_done(delete_channel(ada, ann, {"push": ["a", "unknown"]}), MODIFIED)
    assert profile_of(ada, ann)["channel"]["push"] == [token("b", 0)]
    assert history_of(ada, ann)[0] == {
        "action": "channel",
        "$channel.push": [[token("a"), token("b", 0)], [token("b", 0)]],
    }


@pytest.mark.parametrize(
    ("sent", "message", "paths"),
    [
        ({}, NAMELESS, ["channel"]),
        ({"channel": []}, NAMELESS, ["channel"]),
        ({"sms": ["+15551234567"]}, NAMELESS, ["channel"]),
        ({"channel": "sms"}, "channel: expected an array of texts", ["channel"]),
        ({"channel": [1]}, "channel: expected an array of texts", ["channel"]),
        ({"push": {"token": "a"}}, "push: expected an array of texts", ["push"]),
        (
            {"channel": ["sms", "fax"], "inapp": 5},
            f"channel[1]: there is no such channel; expected one of {CHANNELS}",
            ["channel[1]", "inapp", "channel"],
        ),
        (
            {"channel": ["sms"], "push": ["a"]},
            "channel: expected either 'channel' with names, or tokens by channel; not both",
            ["channel"],
        ),
        ({"channel": ["slack", "voice"]}, NOTHING_THERE, ["channel[0]", "channel[1]"]),
        ({"push": ["unknown"], "inapp": ["a"]}, NOTHING_THERE, ["push", "inapp"]),
    ],
)
def test_it_says_what_cannot_be_taken_away_and_changes_nothing(ada, ann, sent, message, paths):
    before = read(ada, ann).text
    assert_refused(delete_channel(ada, ann, sent), message, *paths)
    assert read(ada, ann).text == before


def test_it_says_that_there_is_no_such_profile_and_makes_none(ada):
    me = fresh_id()
    assert_refused(patch_channel(ada, me, {"channel": {"slack": "s"}}), NOT_FOUND)
    assert_refused(delete_channel(ada, me, {"channel": ["slack"]}), NOTHING_THERE)
    assert read(ada, me).status == 400


def test_it_reaches_the_profile_by_an_old_id(ada, ann):
    new = fresh_id()
    update(ada, ann, {"distinct_id": new})
    patch_channel(ada, ann, {"channel": {"slack": "s"}})
    delete_channel(ada, ann, {"channel": ["sms"]})
    assert set(profile_of(ada, new)["channel"]) == {"email", "push", "slack"}


@pytest.mark.parametrize("distinct_id", ["a/b", "channel", "a/channel", "a/channel/delete", "ü:@"])
@pytest.mark.parametrize("end", ["", "/"])
def test_it_reads_the_id_in_the_path(ada, distinct_id, end):
    from urllib.parse import quote

    me = create(ada, fresh_id() + distinct_id)
    path = f"{ada.base}/profiles/{quote(me, safe='')}/channel"
    assert_done(ada.call("PATCH", f"{path}{end}", {"channel": {"slack": "s"}}), MODIFIED)
    assert_done(ada.call("POST", f"{path}/delete{end}", {"channel": ["slack"]}), MODIFIED)


def test_it_gives_the_first_answer_again_for_the_same_key(ada, ann):
    key = {"Idempotency-Key": fresh_id()}
    path = f"{ada.base}/profiles/{ann}/channel"
    first = ada.call("PATCH", path, {"channel": {"slack": "one"}}, key)
    patch_channel(ada, ann, {"channel": {"slack": "two"}})
    again = ada.call("PATCH", path, {"channel": {"slack": "one"}}, key)
    assert (first.status, first.text) == (again.status, again.text)
    assert profile_of(ada, ann)["channel"]["slack"] == "two"
    assert ada.call("PATCH", path, {"channel": {"slack": "three"}}, key).status == 409


@pytest.mark.parametrize("rest", ["/channel", "/channel/delete"])
def test_it_answers_endless_faults_in_time(ada, ann, rest):
    """Half a million names that are none: each was written down first, and everybody waited for eight seconds."""
    import time

    is_patch = rest == "/channel"
    names = (b'"x%d"%s' % (number, b":1" if is_patch else b"") for number in range(500_000))
    body = (b'{"channel":{%s}}' if is_patch else b'{"channel":[%s]}') % b",".join(names)
    began = time.perf_counter()
    answer = ada.call("PATCH" if is_patch else "POST", f"{ada.base}/profiles/{ann}{rest}", body)
    assert answer.status == 400
    assert len(answer.json["errors"]) == 20
    assert time.perf_counter() - began < 3


def test_it_tells_a_few_of_many_names_that_the_profile_does_not_have(ada, ann):
    body = b'{"channel":[%s]}' % b",".join([b'"whatsapp"'] * 100_000)
    answer = ada.call("POST", f"{ada.base}/profiles/{ann}/channel/delete", body)
    assert answer.status == 400
    assert len(answer.json["errors"]) == 20
