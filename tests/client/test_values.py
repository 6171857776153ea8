"""Values on their way out: exact, or refused with the place and a way out."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traitbase.client import InvalidValue
from traitbase.client.values import Conversion
from traitbase.domain.updates import Operation
from traitbase.domain.values import instant_of

BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = ZoneInfo("Asia/Kolkata")


class Plan(StrEnum):
    PRO = "pro"


class Level(IntEnum):
    THREE = 3


class Rate(float, Enum):
    HALF = 0.5


class Colour(Enum):
    RED = "red"


class Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "LOUD"


class Float64(float):
    """Like numpy's: a float whose repr is no number."""

    def __repr__(self) -> str:
        return f"np.float64({float(self)})"


class NotATime(datetime):
    """Like pandas' NaT."""

    def utcoffset(self):
        raise ValueError("NaTType does not support utcoffset")


class Chatty(datetime):
    def isoformat(self, *_):
        return "half past six"


def sent(value, operation=Operation.SET, **options) -> str:
    """Return the JSON text of one value as it would be sent."""
    item = Conversion(**options).item("u", operation, {"p": value})
    text = item.encoded.decode()
    return text.removeprefix(f'{{"distinct_id":"u","action":{{"{operation.value}":{{"p":').removesuffix("}}}")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("pro", '"pro"'),
        ("", '""'),
        ("東京 😀", '"東京 😀"'),
        (Shouting("quiet"), '"quiet"'),
        (True, "true"),
        (0, "0"),
        (9007199254740993, "9007199254740993"),
        (-(10**40), "-1" + "0" * 40),
        (0.1, "0.1"),
        (1e22, "1E+22"),
        (5e-324, "5E-324"),
        (Float64(0.1), "0.1"),
        (Decimal("19.990"), "19.990"),
        (Decimal("1E-7"), "1E-7"),
        (Decimal("0.1000000000000000055511151231257827"), "0.1000000000000000055511151231257827"),
        (Plan.PRO, '"pro"'),
        (Level.THREE, "3"),
        (Rate.HALF, "0.5"),
        (date(2026, 11, 25), '"2026-11-25"'),
        (date(44, 3, 15), '"0044-03-15"'),
        (datetime(2026, 11, 25, 18, 30, tzinfo=UTC), '"2026-11-25T18:30:00Z"'),
        (datetime(2026, 11, 25, 18, 30, 0, 1, tzinfo=UTC), '"2026-11-25T18:30:00.000001Z"'),
        (datetime(2026, 11, 25, 18, 30, 0, 120_000, tzinfo=KOLKATA), '"2026-11-25T18:30:00.120000+05:30"'),
        (datetime(2026, 6, 1, 9, 0, tzinfo=BERLIN), '"2026-06-01T09:00:00+02:00"'),
        (datetime(2026, 6, 1, 9, 0, tzinfo=timezone(-timedelta(hours=3, minutes=30))), '"2026-06-01T09:00:00-03:30"'),
        (datetime(2026, 1, 1, 9, 0, tzinfo=ZoneInfo("Europe/London")), '"2026-01-01T09:00:00Z"'),
        (["a", 1, date(2026, 1, 2)], '["a",1,"2026-01-02"]'),
        (("a", Plan.PRO), '["a","pro"]'),
        ([], "[]"),
    ],
)
def test_it_sends_exactly(value, expected):
    assert sent(value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "unset"),
        ({"street": "x"}, "flatten it"),
        ({"a"}, "sorted(value)"),
        (frozenset({"a"}), "sorted(value)"),
        (b"bytes", "type bytes"),
        (object(), "type object"),
        (time(9, 0), "type time"),
        (timedelta(1), "type timedelta"),
        (1j, "type complex"),
        (Colour.RED, "StrEnum"),
        (float("nan"), "NaN is no number"),
        (float("-inf"), "-Infinity is no number"),
        (Decimal("NaN"), "NaN is no number"),
        (Decimal("sNaN"), "sNaN is no number"),
        (Decimal("Infinity"), "Infinity is no number"),
        pytest.param(10**5000, "4,300 digits", id="huge"),
        ("half \ud83d", "surrogate"),
        (datetime.fromisoformat("2026-11-25T18:30:00"), "without a time zone"),
        (datetime(1800, 1, 1, tzinfo=KOLKATA), "astimezone(UTC)"),
        (NotATime(2026, 11, 25, tzinfo=UTC), "is no time"),
        (Chatty(2026, 11, 25, tzinfo=KOLKATA), "'half past six' is not how a time is written"),
        (["a", None], "unset"),
        (["a", ["b"]], "flatten it"),
        (["a", True], "not booleans"),
        (["a", datetime.fromisoformat("2026-11-25T00:00:00")], "without a time zone"),
    ],
)
def test_it_refuses_and_says_where_and_what_to_do(value, message):
    with pytest.raises(InvalidValue) as refused:
        sent(value)
    assert refused.value.path in {"$set.p", "$set.p[1]"}
    assert message in str(refused.value)
    assert str(refused.value).startswith(refused.value.path)


@pytest.mark.parametrize("operation", [Operation.APPEND, Operation.REMOVE, Operation.ADD])
def test_it_refuses_a_list_where_one_value_belongs(operation):
    with pytest.raises(InvalidValue, match="one call for each value"):
        sent(["a", "b"], operation)


@pytest.mark.parametrize("value", ["5", True, date(2026, 1, 1), Plan.PRO])
def test_it_adds_only_numbers(value):
    with pytest.raises(InvalidValue, match=r"\$add.p: \$add takes a number"):
        sent(value, Operation.ADD)


@pytest.mark.parametrize("value", [1, Decimal("0.1"), 0.1, Level.THREE])
def test_it_adds_every_kind_of_number(value):
    assert Decimal(sent(value, Operation.ADD)) == Decimal(str(value))


@pytest.mark.parametrize(
    ("names", "path"), [("plan", "$unset"), (None, "$unset"), ([], "$unset"), ([1], "$unset[0]"), (["$a"], "$unset[0]")]
)
def test_it_refuses_names_that_are_none(names, path):
    with pytest.raises(InvalidValue) as refused:
        Conversion().item("u", Operation.UNSET, names)
    assert refused.value.path == path


@pytest.mark.parametrize("names", [["a", "b"], ("a", "b"), {"a": 1, "b": 2}])
def test_it_takes_any_iterable_of_names(names):
    assert Conversion().item("u", Operation.UNSET, names).payload == ["a", "b"]


@pytest.mark.parametrize(
    "properties", [{}, [], "plan", None, {1: "a"}, {"": 1}, {"$plan": 1}, {"a\n": 1}, {"\ud800": 1}]
)
def test_it_refuses_properties_that_cannot_be(properties):
    with pytest.raises(InvalidValue):
        Conversion().item("u", Operation.SET, properties)


@pytest.mark.parametrize("distinct_id", [42, None, "", "x" * 256, "a\x00b", "\ud800"])
def test_it_refuses_a_distinct_id_that_cannot_be(distinct_id):
    with pytest.raises(InvalidValue) as refused:
        Conversion().item(distinct_id, Operation.SET, {"a": 1})
    assert refused.value.path == "distinct_id"


def test_an_invalid_value_is_a_value_error():
    with pytest.raises(ValueError, match="unset"):
        sent(None)


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (datetime.fromisoformat("2026-06-01T09:00:00"), '"2026-06-01T09:00:00+02:00"'),
        (
            datetime.fromisoformat("2026-10-25T02:30:00"),
            '"2026-10-25T02:30:00+02:00"',
        ),  # the clock shows it twice: the first
        (datetime.fromisoformat("2026-10-25T02:30:00").replace(fold=1), '"2026-10-25T02:30:00+01:00"'),
        (
            datetime.fromisoformat("2026-03-29T02:30:00"),
            '"2026-03-29T02:30:00+01:00"',
        ),  # the clock skips it: the offset before
    ],
)
def test_it_reads_naive_datetimes_in_the_zone_that_it_was_given(local, expected):
    assert sent(local, naive_datetimes=BERLIN) == expected


def test_it_leaves_aware_datetimes_alone_when_it_was_given_a_zone():
    assert sent(datetime(2026, 6, 1, 9, 0, tzinfo=KOLKATA), naive_datetimes=BERLIN) == '"2026-06-01T09:00:00+05:30"'


minutes = st.integers(-1439, 1439).map(lambda minute: timezone(timedelta(minutes=minute)))


@given(st.datetimes(timezones=minutes))
def test_law_a_datetime_stays_the_same_instant_to_the_microsecond(value):
    text = json.loads(sent(value))
    epoch = datetime.fromisoformat("1970-01-01T00:00:00")
    utc = value.replace(tzinfo=None) - epoch - value.utcoffset()  # datetimes at either end have no UTC form
    assert instant_of(text, UTC) == utc // timedelta(microseconds=1)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_law_a_float_is_sent_as_the_shortest_text_that_is_it(value):
    text = sent(value)
    assert float(text) == value
    assert Decimal(text) == Decimal(repr(value))


@given(st.decimals(allow_nan=False, allow_infinity=False) | st.integers())
def test_law_a_number_keeps_every_digit(value):
    assert json.loads(sent(value), parse_float=Decimal, parse_int=Decimal) == Decimal(value)


@given(st.text())
def test_law_a_text_stays_as_it_is(value):
    assert json.loads(sent(value)) == value
