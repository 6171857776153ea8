"""What users of other products' clients reported, and what happens here: through the client, on a real server."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from traitbase.client import InvalidValue


def test_customerio_python_17_it_takes_datetimes_with_a_zone(client, me):
    created_at = datetime(2015, 9, 23, 20, 15, 0, 123_456, tzinfo=ZoneInfo("America/New_York"))
    request_id = client.set(me, {"created_at": created_at, "seen_at": created_at.astimezone(UTC)})
    assert client.get_profile(me).properties == {
        "created_at": "2015-09-23T20:15:00.123456-04:00",
        "seen_at": "2015-09-24T00:15:00.123456Z",
    }
    assert client.receipt(request_id).ignored == ()


def test_analytics_java_351_it_neither_drops_none_nor_crashes_but_says_how_to_clear(client, me):
    client.set(me, {"nickname": "kept", "score": 1})
    with pytest.raises(InvalidValue, match=r"\$set.nickname: None is no value: to clear a property call unset"):
        client.set(me, {"nickname": None, "score": 2})
    assert client.get_profile(me).properties == {"nickname": "kept", "score": 1}
    client.unset(me, ["nickname"])
    assert client.get_profile(me).properties == {"score": 1}


def test_it_keeps_integers_that_a_double_cannot(client, me):
    client.set(me, {"big": 9007199254740993, "bigger": 10**20 - 1})
    assert client.get_profile(me).properties == {"big": 9007199254740993, "bigger": 10**20 - 1}


@pytest.mark.parametrize("tenth", [0.1, Decimal("0.1")])
def test_it_adds_ten_tenths_to_one(client, me, tenth):
    for _ in range(10):
        client.add(me, {"sum": tenth})
    total = client.get_profile(me).properties["sum"]
    assert (total, type(total)) == (1, int)


def test_it_adds_ten_tenths_to_one_in_a_batch(client, me):
    with client.batch() as batch:
        for _ in range(10):
            batch.add(me, {"sum": 0.1})
    assert client.get_profile(me).properties == {"sum": 1}
