"""Reading JSON text: what is wrong with it is said rightly."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traitbase.domain import json_text
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.json_text import read_json, read_json_in_pieces


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


# --- large texts, in pieces ---

WORDS = st.sampled_from(["", "a", 'quo"te', "back\\", "[", "]}", "{,:", "ü😀", " ", "\\u00e9"])
SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
FLAT = st.lists(WORDS | SCALARS, max_size=4) | st.dictionaries(WORDS, WORDS | SCALARS, max_size=4)
MEMBERS = st.lists(WORDS | SCALARS | FLAT | st.lists(FLAT, max_size=3), max_size=8)


def text_of(value, *, indent=None):
    text = json.dumps(value, indent=indent)
    return text.encode()


@given(MEMBERS, st.integers(0, 1), st.sampled_from([None, 1]))
def test_reads_a_large_text_in_pieces_as_it_would_at_once(members, around, indent):
    value = [{"batch": (members or [1]) * 4_000, "more": members, "long": "x" * 70_000}]
    for _ in range(around):
        value = {"inner": value, "other": members[:2]}
    text = text_of(value, indent=indent)
    assert read_json_in_pieces(text) == read_json(text)


@pytest.mark.parametrize("text", [b"{}", b" [ ] ", b'"x"', b"5", b" null ", b'{"a":{}}', b"[[],{}]", b'{"a":1,"a":2}'])
def test_reads_a_small_text_in_pieces_too(text):
    assert read_json_in_pieces(text) == read_json(text)


@pytest.mark.parametrize(
    "large", [b'"%s"' % (b"x" * 70_000), b"[%s1]" % (b"1," * 70_000), b'{"n":"%s"}' % (b"x" * 70_000)]
)
@pytest.mark.parametrize(
    "template",
    [
        b"",
        b"%s",
        b"[%s",
        b"[%s}",
        b"[%s,]",
        b"[,%s]",
        b"[%s,,1]",
        b"[%s 1]",
        b"[%s]]",
        b"[%s] x",
        b'{"a":%s',
        b'{"a":%s,}',
        b'{"a" %s}',
        b"{%s:1}",
        b'{"a":%s]',
        b'{"a":%s,"b"}',
        b'[%s,"\xff"]',
        b'[%s,"\\ud800"]',
        b"[%s,01]",
        b"[%s,[}]",
        b'[%s,"open]',
    ],
)
def test_refuses_in_pieces_what_is_no_json(template, large):
    text = template.replace(b"%s", large)
    if template in (b"%s", b"{%s:1}") and (template == b"%s" or large.startswith(b'"')):
        assert read_json_in_pieces(text) == read_json(text)
        return
    with pytest.raises(InvalidInput) as caught:
        read_json_in_pieces(text)
    assert caught.value.code == "malformed_json"
    assert caught.value.faults == (Fault("", caught.value.message),)


def test_says_where_a_large_text_is_at_fault():
    text = b"[%s01]" % (b"1," * 100_000)
    for read in (read_json, read_json_in_pieces):
        with pytest.raises(InvalidInput, match=r"byte 200,?002"):
            read(text)


def test_decodes_a_large_text_in_bounded_pieces(monkeypatch):
    lengths = []

    def noting(piece):
        lengths.append(len(piece))
        return read_json(piece)

    monkeypatch.setattr(json_text, "read_json", noting)
    names = {f"n{number}": [number] for number in range(60_000)}
    value = {"distinct_id": "u", "$set": {**names, "l": list(range(100_000))}}
    assert read_json_in_pieces(text_of(value)) == value
    assert max(lengths) <= 64 * 1024 + 2


def test_does_not_keep_large_members_that_nobody_asked_for():
    value = {"distinct_id": "u", "$set": {"a": ["x"] * 50_000}, "context": [[]] * 50_000}
    kept = read_json_in_pieces(text_of(value), keep={"distinct_id", "$set"})
    assert kept == {"distinct_id": "u", "$set": value["$set"]}


@pytest.mark.parametrize("kept", [None, set()])
def test_refuses_a_large_text_that_nests_deeper_than_a_body_may(kept):
    filling = [1] * 100_000
    legal = {"a": {"b": {"c": {"d": {"e": [1]}}}}, "f": filling}
    assert read_json_in_pieces(text_of(legal)) == legal
    for deep in ({**legal, "a": {"b": {"c": {"d": {"e": [[]]}}}}}, {**legal, "g": [[[[[[filling]]]]]]}):
        with pytest.raises(InvalidInput, match="at most 6 levels") as caught:
            read_json_in_pieces(text_of(deep), keep=kept)
        assert caught.value.code == "nested_too_deep"
