"""Reading JSON text: what is wrong with it is said rightly."""

from __future__ import annotations

from decimal import Decimal

import pytest

from traitbase.domain.errors import InvalidInput
from traitbase.domain.json_text import read_json


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"{", "Input data was truncated"),
        (b"[1,]", "byte 3"),
        (b'{"a":"\xff"}', "it is not UTF-8 (at byte 6)"),
        (b'{"a":"' + "\u00fc".encode() * 3 + b'\xc3"}', "it is not UTF-8 (at byte 12)"),
        (rb'{"a":"\ud83d"}', "half of a surrogate pair"),
        (rb'{"a":"x\uDE00 "}', "half of a surrogate pair"),
        (rb'{"a":"\ud83d', "Input data was truncated"),
        (b"NaN", "byte 0"),
        (b"", "Input data was truncated"),
    ],
)
def test_says_what_is_wrong(text, what):
    with pytest.raises(InvalidInput) as caught:
        read_json(text)
    assert what in caught.value.message
    assert [fault.message for fault in caught.value.faults] == [caught.value.message]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (b"1.10", Decimal("1.10")),
        (b"-0.0", Decimal("-0.0")),
        (b"9007199254740993", 9007199254740993),
        (b"1e-999999999999999999999", Decimal("1E-999999")),
        (b"-1e999999999999999999999", Decimal("-1E+999999")),
        (b"[0e999999999999999999999]", [0]),
    ],
)
def test_keeps_every_digit(text, value):
    assert read_json(text) == value
