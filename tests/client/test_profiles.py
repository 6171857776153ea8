"""The calls on whole profiles against a real server: made, changed, merged and erased through the client."""

from __future__ import annotations

from decimal import Decimal

import pytest

from traitbase.client import Change, Conflict, InvalidRequest, NotFound

PUSH = [{"token": "t1", "integration_id": None, "status": 1}]


def test_it_creates_a_profile_and_reads_it(client, me):
    channel = {"sms": "+919876543210", "email": "ada@example.com", "push": PUSH}
    done = client.create_profile(
        me, name="Ada", timezone="Asia/Calcutta", channel=channel, properties={"paid": Decimal("19.99"), "owed": 2.0}
    )
    profile = client.get_profile(me)
    assert done.message == "Profile created successfully"
    assert {(entry.operation, entry.property) for entry in client.receipt(done.request_id).applied} >= {
        ("$set", "paid"),
        ("$set", "owed"),
    }
    assert (profile.name, profile.status, profile.timezone) == ("Ada", 1, "Asia/Calcutta")
    assert profile.channel_raw == channel
    assert profile.properties == {"paid": Decimal("19.99"), "owed": 2}


def test_creating_it_twice_is_a_conflict(client, me):
    client.create_profile(me)
    with pytest.raises(Conflict, match="already exists"):
        client.create_profile(me)


def test_it_updates_only_what_was_given_and_renames(client, me):
    client.create_profile(me, name="Ada", status=0)
    client.update_profile(me, new_distinct_id=f"{me}-new", status=1)
    profile = client.get_profile(f"{me}-new")
    assert (profile.distinct_id, profile.name, profile.status) == (f"{me}-new", "Ada", 1)


@pytest.mark.parametrize("suffix", ["", "/..", ".", "/merge/x", " ä%2F"])
def test_it_merges_whatever_the_ids(client, me, suffix):
    source, target = f"{me}-s{suffix}", f"{me}-t{suffix}"
    client.set(source, {"kept": 1, "both": 1})
    client.set(target, {"both": 2})
    merged_id = client.get_profile(source).profile_id
    client.merge(source, target)
    profile = client.get_profile(source)
    assert (profile.distinct_id, profile.properties) == (target, {"kept": 1, "both": 2})
    assert list(profile.id_list) == [merged_id]


def test_it_erases(client, me):
    client.create_profile(me)
    assert client.delete_profiles([me, "nobody"]).message == "1 User(s) deleted successfully"
    assert client.find_profile(me) is None


def test_it_changes_channels(client, me):
    client.create_profile(me, channel={"email": "ada@example.com", "push": PUSH})
    client.update_channel(me, {"sms": "+919876543210"})
    client.delete_channel(me, ["email"])
    client.delete_channel(me, push=["t1"])
    assert client.get_profile(me).channel_raw == {"sms": "+919876543210"}


@pytest.mark.parametrize(
    "call",
    [
        lambda it, me: it.update_profile(me, name="x"),
        lambda it, me: it.merge(me, "v"),
        lambda it, me: it.delete_profiles([me]),
        lambda it, me: it.update_channel(me, {"sms": "+919876543210"}),
        lambda it, me: it.delete_channel(me, ["sms"]),
    ],
)
def test_what_does_not_exist_is_not_found(client, me, call):
    with pytest.raises(NotFound):
        call(client, me)


def test_a_destination_that_is_none_is_an_invalid_request(client, me):
    with pytest.raises(InvalidRequest, match="Invalid destination for channel sms"):
        client.create_profile(me, channel={"sms": "x"})


def test_it_yields_the_history_newest_first_over_pages(client, me, monkeypatch):
    monkeypatch.setattr("traitbase.client.client._ITEMS_A_PAGE", 1)
    client.create_profile(me, name="Ann")
    client.set(me, {"cl_n": Decimal("0.1")})
    client.set(me, {"cl_n": 2})
    changes = [(entry.action, entry.changes) for entry in client.history(me)]
    assert changes == [
        ("properties", (Change(property="cl_n", before=Decimal("0.1"), after=2),)),
        ("properties", (Change(property="cl_n", before=None, after=Decimal("0.1")),)),
        ("create", (Change(attribute="status", after=1), Change(attribute="name", after="Ann"))),
    ]
    assert {entry.distinct_id for entry in client.history(me)} == {me}


def test_it_yields_every_profile_that_is_sought(client, me, monkeypatch):
    monkeypatch.setattr("traitbase.client.client._ITEMS_A_PAGE", 2)
    ids = [f"{me}-{number}" for number in range(5)]
    for each in ids:
        client.set(each, {"cl_n": 1})
    client.merge(ids[4], ids[0])
    found = list(client.profiles(q=me))
    assert [profile.distinct_id for profile in found] == ids[:4]
    assert found[0].aliases == (ids[4],)
    assert set(ids[:4]) <= {profile.distinct_id for profile in client.profiles()}
