"""What a value becomes under another type: the table, and the laws that hold for every value."""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.strategies import dates
from traitbase.domain.retyping import convert, fits
from traitbase.domain.values import Kind, decode_properties, encode_properties, to_number, unique

BERLIN = ZoneInfo("Europe/Berlin")
NUMBERS = (
    st.one_of(st.integers(-(10**20) + 1, 10**20 - 1), st.decimals(allow_nan=False, allow_infinity=False))
    .map(to_number)
    .filter(lambda number: number is not None)
)
STRINGS = st.one_of(
    st.text(max_size=255),
    st.from_regex(r"-?[0-9]{1,22}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?", fullmatch=True),
    st.sampled_from(["true", "false", "True", "", " 1", "01"]),
    dates,
)
LISTS = st.lists(st.one_of(STRINGS, NUMBERS), max_size=3).map(lambda elements: unique(elements, BERLIN))
VALUES = st.one_of(STRINGS, NUMBERS, st.booleans(), LISTS)
KINDS = st.sampled_from(Kind)


def same(left, right):
    return type(left) is type(right) and left == right


@pytest.mark.parametrize(
    ("value", "kind", "becomes"),
    [
        ("123", Kind.NUMBER, 123),
        ("-0.50", Kind.NUMBER, Decimal("-0.5")),
        ("1e3", Kind.NUMBER, 1_000),
        ("0.000000000000000001", Kind.NUMBER, Decimal("1E-18")),
        ("9007199254740993", Kind.NUMBER, 9007199254740993),
        ("99999999999999999999", Kind.NUMBER, 10**20 - 1),
        ("0e999", Kind.NUMBER, 0),
        ("01234", Kind.NUMBER, None),
        ("+1", Kind.NUMBER, None),
        (" 1", Kind.NUMBER, None),
        ("1.", Kind.NUMBER, None),
        (".5", Kind.NUMBER, None),
        ("1,5", Kind.NUMBER, None),
        ("0x10", Kind.NUMBER, None),
        ("NaN", Kind.NUMBER, None),
        ("٣", Kind.NUMBER, None),
        ("1\n", Kind.NUMBER, None),
        ("100000000000000000000", Kind.NUMBER, None),
        ("0.0000000000000000001", Kind.NUMBER, None),
        ("0.1234567890123456789", Kind.NUMBER, None),
        ("99999999999999999999.9999999999999999999", Kind.NUMBER, None),
        ("1e999", Kind.NUMBER, None),
        ("", Kind.NUMBER, None),
        ("true", Kind.BOOLEAN, True),
        ("false", Kind.BOOLEAN, False),
        ("True", Kind.BOOLEAN, None),
        ("1", Kind.BOOLEAN, None),
        ("2020-10-01", Kind.DATE, "2020-10-01"),
        ("2020-02-30", Kind.DATE, None),
        ("spring", Kind.LIST, ["spring"]),
        (5, Kind.STRING, "5"),
        (Decimal("1E-7"), Kind.STRING, "0.0000001"),
        (-(10**20) + 1, Kind.STRING, "-99999999999999999999"),
        (1, Kind.BOOLEAN, None),
        (1481222640, Kind.DATE, None),
        (5, Kind.LIST, [5]),
        (True, Kind.STRING, "true"),
        (True, Kind.NUMBER, None),
        (True, Kind.DATE, None),
        (True, Kind.LIST, None),
        (["x"], Kind.STRING, "x"),
        (["5"], Kind.NUMBER, 5),
        ([5], Kind.STRING, "5"),
        (["2020-10-01"], Kind.DATE, "2020-10-01"),
        (["true"], Kind.BOOLEAN, True),
        ([], Kind.STRING, None),
        (["a", "b"], Kind.STRING, None),
    ],
)
def test_it_converts_as_the_table_says(value, kind, becomes):
    assert same(convert(value, kind), becomes)


@given(VALUES, KINDS)
def test_it_gives_a_value_of_the_kind_or_none(value, kind):
    converted = convert(value, kind)
    assert converted is None or fits(converted, kind)


@given(VALUES, KINDS)
def test_it_leaves_alone_what_fits(value, kind):
    assume(fits(value, kind))
    assert same(convert(value, kind), value)


@given(STRINGS)
def test_it_writes_a_number_that_came_from_text_in_its_canonical_form(text):
    number = convert(text, Kind.NUMBER)
    assume(number is not None)
    canonical = convert(number, Kind.STRING)
    assert Decimal(canonical) == Decimal(text)
    assert same(convert(canonical, Kind.NUMBER), number)
    assert "e" not in canonical.lower()


@given(NUMBERS)
def test_it_brings_every_number_back_from_text(number):
    assert same(convert(convert(number, Kind.STRING), Kind.NUMBER), number)


@given(st.one_of(STRINGS, NUMBERS), KINDS)
def test_it_sees_a_list_of_one_element_as_that_element(element, kind):
    assume(kind is not Kind.LIST)
    assert same(convert([element], kind), convert(element, kind))


@given(VALUES, KINDS)
def test_it_makes_what_can_be_stored_and_read_back(value, kind):
    converted = convert(value, kind)
    assume(converted is not None)
    assert same(decode_properties(encode_properties({"p": converted}))["p"], converted)


def test_it_tells_a_string_that_is_too_long_from_one_that_fits():
    assert [fits("x" * length, Kind.STRING) for length in (255, 256)] == [True, False]
