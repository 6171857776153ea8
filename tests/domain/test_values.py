"""Values: numbers are exact and have one form, dates are read strictly and compared by instant, lists hold no twins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, getcontext, localcontext
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain import reference
from domain.strategies import dates, few_scalars, near_dates, number_literals, numbers, read_literal, texts, zones
from traitbase.domain import values

UTC_ZONE = ZoneInfo("UTC")
canonical = numbers.map(values.to_number).filter(lambda number: number is not None)
elements = few_scalars.filter(lambda each: type(each) is not bool and each is not None).filter(
    lambda each: type(each) is str or values.to_number(each) is not None
)
kept_elements = elements.map(lambda each: each if type(each) is str else values.to_number(each))
kept_values = st.one_of(st.booleans(), texts, canonical, st.lists(kept_elements, max_size=5))


# --- numbers ---


@given(numbers)
@example(Decimal("99999999999999999999.9999999999999999995"))
@example(Decimal("99999999999999999999.9999999999999999985"))
@example(Decimal("100000000000000000000.5"))
@example(Decimal("-999999999999999999999.9"))
@example(Decimal("0.0000000000000000005"))
@example(Decimal("0.0000000000000000015"))
@example(Decimal("-0.00000000000000000050000000000000000001"))
def test_keeps_twenty_digits_and_eighteen_decimals_rounded_half_to_even(number):
    kept = values.to_number(number)
    assert (None if kept is None else Fraction(kept)) == reference.rounded(number)


@given(numbers)
def test_gives_equal_numbers_one_and_the_same_form(number):
    kept = values.to_number(number)
    if kept is None:
        return
    whole = Fraction(kept).denominator == 1
    assert type(kept) is (int if whole else Decimal)
    again = values.to_number(Decimal(kept))
    assert (type(again), str(again)) == (type(kept), str(kept))
    if not whole:
        _, digits, exponent = kept.as_tuple()
        assert digits[-1] != 0
        assert -18 <= exponent < 0


@pytest.mark.parametrize(
    "literals",
    [
        ["10", "10.0", "1e1", "1E+1", "100e-1", "1e00000000000000000000000001"],
        ["0", "-0", "0.0", "-0.0", "0e99999999999999999999", "-0e-99999999999999999999", "1e-19", "-5e-19"],
        ["0.1", "1e-1", "0.10", "100E-3"],
        ["-2.5", "-25e-1", "-2.500000000000000000000"],
        ["100000000000000000", "1e17", "0.1e18"],
    ],
)
def test_prints_the_same_number_the_same_way_however_it_was_written(literals):
    documents = {values.encode_properties({"n": values.to_number(read_literal(literal))}) for literal in literals}
    assert documents == {b'{"n":%s}' % literals[0].encode()}


@pytest.mark.parametrize(
    ("literal", "kept"),
    [
        ("1e99999999999999999999999", None),
        ("-1e99999999999999999999999", None),
        ("10e999999999999999999", None),
        ("1e999999999", None),
        ("1e20", None),
        ("100000000000000000000.5", None),
        ("99999999999999999999.9999999999999999995", None),
        ("99999999999999999999", 10**20 - 1),
        ("-99999999999999999999.9999999999999999994", Decimal("-99999999999999999999.999999999999999999")),
        ("1e-99999999999999999999999", 0),
        ("-1.5e-99999999999999999999999", 0),
        ("1" + "0" * 1000 + "e-1000", 1),
        ("0." + "0" * 1000 + "1e1001", 1),
    ],
)
def test_reads_any_exponent(literal, kept):
    number = values.to_number(read_literal(literal))
    assert (type(number), number) == (type(kept), kept)


@given(number_literals)
def test_reads_a_literal_exactly(literal):
    assert Fraction(values.parse_number_literal(literal)) == Fraction(literal)


@given(numbers)
def test_does_not_depend_on_the_decimal_context_of_the_thread(number):
    expected = values.to_number(number)
    with localcontext() as context:
        context.prec = 3
        assert values.to_number(number) == expected
    assert getcontext().prec == 28


@given(canonical, canonical)
def test_adds_exactly(left, right):
    total = values.add(left, right)
    expected = reference.rounded(Fraction(left) + Fraction(right))
    assert (None if total is None else Fraction(total)) == expected
    assert total is None or type(total) is type(values.to_number(total))


@given(canonical, canonical)
def test_adds_in_either_order(left, right):
    assert values.add(left, right) == values.add(right, left)


def test_makes_one_of_ten_tenths():
    total = 0
    for _ in range(10):
        total = values.add(total, Decimal("0.1"))
    assert (type(total), total) == (int, 1)


@given(st.dictionaries(st.text(max_size=8), kept_values, max_size=6))
def test_stores_and_reads_back_exactly(properties):
    document = values.encode_properties(properties)
    for again in (values.decode_properties(document), values.decode_properties(document.decode())):
        assert repr(again) == repr(properties)  # types, digits and order too, which == does not compare


@given(canonical)
def test_shows_numbers_without_an_exponent(number):
    shown = values.written(number)
    text = str(number) if type(number) is int else bytes(shown).decode()
    assert "E" not in text.upper()
    assert Fraction(text) == Fraction(number)


# --- dates ---


@pytest.mark.parametrize(
    "text",
    [
        "2020-10-01",
        "2024-02-29",
        "2000-02-29",
        "0001-01-01",
        "9999-12-31",
        "2020-10-01T18:30:00",
        "2020-10-01T00:00:00Z",
        "2020-10-01T23:59:59.9Z",
        "2020-10-01T18:30:00.123456789",
        "2020-10-01T18:30:00.123456789Z",
        "2020-10-01T18:30:00.000+05:30",
        "2020-10-01T18:30:00-00:00",
        "2020-10-01T18:30:00+23:59",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59.999999999-23:59",
    ],
)
def test_takes_the_documented_forms_as_dates(text):
    assert values.is_date(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2020",
        "20201001",
        "18:30",
        "01/10/2020",
        "2020-1-1",
        "2020-02-30",
        "2023-02-29",
        "1900-02-29",
        "2020-13-01",
        "2020-00-10",
        "2020-10-00",
        "0000-01-01",
        "12020-01-01",
        "-020-01-01",
        "+2020-01-01",
        "2020-W40-4",
        "2020-275",
        "2020-10-01 ",
        " 2020-10-01",
        "2020-10-01\n",
        "2020-10-01T18:30:00Z\n",
        "2020-10-01Z",
        "2020-10-01+02:00",
        "2020-10-01T",
        "2020-10-01T18",
        "2020-10-01T18:30",
        "2020-10-01T18:30Z",
        "2020-10-01 18:30:00",
        "2020-10-01t18:30:00",
        "2020-10-01T18:30:00z",
        "2020-10-01T24:00:00",
        "2020-10-01T25:00:00Z",
        "2020-10-01T18:60:00Z",
        "2020-10-01T18:30:60Z",
        "2016-12-31T23:59:60Z",
        "2020-10-01T18:30:00.",
        "2020-10-01T18:30:00.Z",
        "2020-10-01T18:30:00,5Z",
        "2020-10-01T18:30:00.1234567890Z",
        "2020-10-01T18:30:00+25:00",
        "2020-10-01T18:30:00+24:00",
        "2020-10-01T18:30:00+02:60",
        "2020-10-01T18:30:00+0200",
        "2020-10-01T18:30:00+02",
        "2020-10-01T18:30:00\u221202:00",
        "2020-10-01T18:30:00Z+02:00",
        "２０２０-10-01",
        "2020-10-0١",
        "2020-10-01T18:30:0０Z",
        "2020\u201110\u201101",
    ],
)
def test_takes_nothing_else_as_a_date(text):
    assert (values.is_date(text), values.instant_of(text, UTC_ZONE)) == (False, None)


@given(st.one_of(dates, near_dates, texts), zones)
def test_agrees_with_a_second_reading_of_the_date_rules(text, zone):
    assert values.is_date(text) == (reference.read_date(text) is not None)
    assert values.instant_of(text, zone) == reference.instant_of(text, zone)


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)),  # noqa: DTZ001  # made aware below
    st.integers(-1439, 1439),
    st.integers(-1439, 1439),
    zones,
)
def test_takes_one_moment_written_in_two_offsets_as_the_same(moment, left, right, zone):
    at = moment.replace(tzinfo=UTC)
    ways = [at.astimezone(timezone(timedelta(minutes=minutes))).isoformat() for minutes in (left, right)]
    expected = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert [values.instant_of(way, zone) for way in ways] == [expected, expected]


@pytest.mark.parametrize(
    ("text", "zone", "utc"),
    [
        ("2024-06-01", "US/Pacific", "2024-06-01T07:00:00Z"),
        ("2024-01-01", "US/Pacific", "2024-01-01T08:00:00Z"),
        ("2024-06-01", "Asia/Kolkata", "2024-05-31T18:30:00Z"),
        ("2024-06-01T12:00:00.25", "Europe/Berlin", "2024-06-01T10:00:00.25Z"),
        ("2024-03-31T02:30:00", "Europe/Berlin", "2024-03-31T01:30:00Z"),  # in the gap
        ("2024-10-27T02:30:00", "Europe/Berlin", "2024-10-27T00:30:00Z"),  # twice that night: the first
        ("1850-01-01", "Europe/Berlin", "1849-12-31T23:06:32Z"),  # local mean time
        ("2024-06-01T12:00:00+02:00", "US/Pacific", "2024-06-01T10:00:00Z"),  # an offset beats the zone
    ],
)
def test_reads_a_date_without_an_offset_in_the_zone_of_the_workspace(text, zone, utc):
    assert values.instant_of(text, ZoneInfo(zone)) == values.instant_of(utc, UTC_ZONE)


def test_orders_moments_before_the_first_day_and_after_the_last():
    east, first, last, west = (
        values.instant_of(text, UTC_ZONE)
        for text in (
            "0001-01-01T00:00:00+23:59",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999Z",
            "9999-12-31T23:59:59.999999-23:59",
        )
    )
    distance_us = (23 * 60 + 59) * 60_000_000
    assert (first - east, west - last) == (distance_us, distance_us)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "US/Pacific", "UTC", "Europe/Berlin"])
@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31", "0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"])
def test_reads_the_first_and_the_last_day_in_any_zone(text, zone):
    assert values.instant_of(text, ZoneInfo(zone)) == reference.instant_of(text, ZoneInfo(zone))


def test_compares_to_the_microsecond():
    coarse, fine, other = (
        values.instant_of(f"2020-10-01T18:30:00.{fraction}Z", UTC_ZONE)
        for fraction in ("123456", "123456789", "123457")
    )
    assert (fine - coarse, other - coarse) == (0, 1)


# --- equality in lists ---


@given(st.lists(kept_elements, max_size=8), kept_elements, zones)
def test_finds_the_first_element_of_the_same_kind_and_value(present, wanted, zone):
    once = values.unique(present, zone)
    expected = next(
        (
            position
            for position, other in enumerate(once)
            if reference.same(reference.tagged(wanted), reference.tagged(other), zone)
        ),
        None,
    )
    assert values.index_of(wanted, once, zone) == expected


@given(st.lists(kept_elements, max_size=8), zones)
def test_keeps_each_value_once_at_its_first_position(present, zone):
    expected = []
    for element in present:
        if not any(reference.same(reference.tagged(element), reference.tagged(other), zone) for other in expected):
            expected.append(element)
    assert repr(values.unique(present, zone)) == repr(expected)


@given(kept_elements, kept_elements, zones)
def test_gives_two_elements_one_identity_exactly_when_they_are_equal(left, right, zone):
    shared = values.identity_of(left, zone) == values.identity_of(right, zone)
    assert shared == (values.index_of(left, [right], zone) is not None)


@pytest.mark.parametrize(
    ("sent", "word"),
    [
        (None, "null"),
        (True, "boolean"),
        ("", "string"),
        (1, "number"),
        (Decimal(1), "number"),
        ([], "list"),
        ({}, "object"),
    ],
)
def test_names_what_was_sent_in_the_words_of_json(sent, word):
    assert values.kind_of_json(sent) == word
