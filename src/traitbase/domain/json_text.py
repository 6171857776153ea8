"""Reading JSON text without losing anything: every digit of a number, and no text that is not Unicode."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import msgspec

from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.values import JsonValue, parse_number_literal

NESTING_MAX = 6
"""Brackets within brackets: what the deepest legal body has (body, batch, item, action, operation, list)."""

LARGE_BYTES = 256 * 1024
"""Texts longer than this are better read in a thread, with `read_json_in_pieces`.

This much takes 11 ms at worst; a batch of a thousand updates of five properties, which is quicker read on the spot, is
shorter.
"""

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_INTEGER_LITERAL_MAX = 60
_FAR_OUT_OF_RANGE: int = 10 ** (_INTEGER_LITERAL_MAX - 2)


def read_json(text: bytes) -> JsonValue:
    """Return the value of a JSON text (RFC 8259, UTF-8): numbers with a fraction or exponent as exact Decimals.

    One call into the decoder: for texts of up to `LARGE_BYTES`, or for whoever is alone in the process.
    An integer literal of more than 60 digits becomes one of about that size, out of range like the original. Raises
    InvalidInput for anything that is no JSON, is no Unicode (a lone surrogate), or nests too deep to be read.
    """
    try:
        return _decoder.decode(text)  # type: ignore[no-any-return]  # without a type it decodes to plain objects
    except (msgspec.ValidationError, InvalidOperation):
        return _read_json_with_huge_numbers(text)
    except msgspec.DecodeError as error:
        raise _invalid(_what_is_malformed(text, error)) from error
    except UnicodeDecodeError as error:
        raise _invalid(_where_not_utf8(text)) from error
    except RecursionError as error:
        raise _too_deep() from error


def read_json_in_pieces(
    text: bytes, *, keep: Collection[str] | None = None, nesting_max: int = NESTING_MAX
) -> JsonValue:
    """Return the value of a JSON text as `read_json` does, decoded in pieces of 64 KB.

    Slower, and meant for a thread: nothing else in the process runs during one call into the decoder, and one for
    10 MB took up to 0.4 s. Of an object, members that are large by themselves are only kept if `keep` (if given) has
    their name. Raises InvalidInput as `read_json` does, and for anything nested deeper than `nesting_max`.
    """
    return _PieceReader(text, keep, nesting_max).read()


def check_nesting(containers: Collection[JsonValue], *, level: int) -> None:
    """Raise InvalidInput if arrays or objects at a level (1: the outermost) nest deeper than a legal body does."""
    layer: list[Any] = [each for each in containers if type(each) is dict or type(each) is list]
    while layer:
        if level > NESTING_MAX:
            raise _too_deep()
        level += 1
        inner: list[Any] = []
        for each in layer:
            within = each.values() if type(each) is dict else each
            inner += [value for value in within if type(value) is dict or type(value) is list]
        layer = inner


def _read_json_with_huge_numbers(text: bytes) -> JsonValue:
    """What the fast decoder refuses although it is JSON: integers of thousands of digits, exponents of dozens."""
    try:
        value: JsonValue = json.loads(
            text.decode(), parse_int=_parse_integer, parse_float=parse_number_literal, parse_constant=_refuse_constant
        )
        msgspec.json.encode(value)  # fails on lone surrogates, which the standard library lets through
    except UnicodeError as error:
        raise _invalid("it is not Unicode") from error
    except ValueError as error:
        raise _invalid(str(error)) from error
    except RecursionError as error:
        raise _too_deep() from error
    return value


def _parse_integer(literal: str) -> int:
    if len(literal) <= _INTEGER_LITERAL_MAX:
        return int(literal)
    return -_FAR_OUT_OF_RANGE if literal.startswith("-") else _FAR_OUT_OF_RANGE


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _what_is_malformed(text: bytes, error: msgspec.DecodeError) -> str:
    """Say what is wrong; half of a surrogate pair looks to the fast decoder as if the text ended there."""
    if _SURROGATE.search(text, endpos=_SEARCHED_BYTES) and _reads_without_surrogates(text):
        return "a \\u escape is half of a surrogate pair, which is no character"
    return str(error).removeprefix("JSON is malformed: ")


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SEARCHED_BYTES = 64 * 1024  # it is only for the message


def _reads_without_surrogates(text: bytes) -> bool:
    try:
        json.loads(text[:_SEARCHED_BYTES])
    except (ValueError, RecursionError):
        return False
    return True


def _where_not_utf8(text: bytes) -> str:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return f"it is not UTF-8 (at byte {error.start:,})"
    return "it is not UTF-8"


def _invalid(what: str) -> InvalidInput:
    fault = Fault("", f"the body is not valid JSON: {what}")
    return InvalidInput(fault.message, faults=(fault,), code="malformed_json")


def _too_deep(where: str = "", nesting_max: int = NESTING_MAX) -> InvalidInput:
    limit = f"arrays and objects nest to at most {nesting_max} levels, the body included"
    message = f"the body is nested too deep{where}: {limit}"
    return InvalidInput(message, faults=(Fault("", message),), code="nested_too_deep")


# What follows reads large texts.

_PIECE_BYTES = 64 * 1024
_SPACE = re.compile(rb"[ \t\n\r]*+")
_TEXT = rb'"(?:[^"\\]++|\\.)*+"'
_WHOLE_TEXT = re.compile(_TEXT, re.DOTALL)
_PLAIN = re.compile(rb'[^"\[\]{},]++')
_CLOSING = {ord("{"): ord("}"), ord("["): ord("]")}


def _content_pattern(levels: int, *, without: bytes = b"") -> bytes:
    """Return the pattern of anything with brackets to so many levels, but none of the given bytes outside them."""
    inner = rb"|[\[{]" + _content_pattern(levels - 1) + rb"[\]}]" if levels else b""
    return rb'(?:[^"\[\]{}' + without + rb"]++|" + _TEXT + inner + rb")*+"


# By how many levels may follow: members with the comma behind each, and a last one with the closing bracket. They only
# find out where a text can be cut; the decoder judges each piece.
_MEMBERS, _LAST = (
    [re.compile(pattern % _content_pattern(levels, without=b","), re.DOTALL) for levels in range(NESTING_MAX)]
    for pattern in (rb"(?:%s,)++", rb"%s[\]}]")
)


class _PieceReader:
    """Cuts a text where it can be cut. Positions are bytes; `level` counts the brackets around a position."""

    def __init__(self, text: bytes, keep: Collection[str] | None, nesting_max: int) -> None:
        self._text = text
        self._keep = keep
        self._nesting_max = nesting_max

    def read(self) -> JsonValue:
        """Return the value of the whole text."""
        value, at = self._read_value(self._skip_space(0), 0, is_kept=True)
        if at < len(self._text):
            raise _invalid(f"trailing characters (byte {at})")
        return value

    def _read_value(self, at: int, level: int, *, is_kept: bool) -> tuple[JsonValue, int]:
        """Return a value and the position of what follows it and the space behind it."""
        value: JsonValue
        if self._text[at : at + 1] in (b"{", b"["):
            value, end = self._read_container(at, level + 1, is_kept=is_kept)
        else:
            found = _WHOLE_TEXT.match(self._text, at) or _PLAIN.match(self._text, at)
            end = found.end() if found else len(self._text)
            value = self._decode(at, end)
        return value, self._skip_space(end)

    def _read_container(self, at: int, level: int, *, is_kept: bool) -> tuple[JsonValue, int]:
        if level > self._nesting_max:
            raise _too_deep(f" (byte {at:,})", self._nesting_max)
        opening = self._text[at]
        closing = _CLOSING[opening]
        whole: Any = {} if opening == ord("{") else []
        add = whole.update if opening == ord("{") else whole.extend
        at = self._skip_space(at + 1)
        if self._byte_at(at) == closing:
            return whole, at + 1
        while True:
            levels = min(self._nesting_max - level, NESTING_MAX - 1)  # members with more are read one by one
            members = _MEMBERS[levels].match(self._text, at, at + _PIECE_BYTES) or (
                _LAST[levels].match(self._text, at, at + _PIECE_BYTES)
            )
            if members is None:
                piece, at = self._read_large_member(at, level, opening, is_kept=is_kept)
            else:
                piece, at = self._read_members(at, members.end(), opening), members.end()
            if is_kept:
                add(piece)
            if self._text[at - 1] != ord(","):
                return whole, at

    def _read_members(self, at: int, end: int, opening: int) -> JsonValue:
        """Return the members up to the comma or bracket that is the last byte before `end`."""
        if self._text[end - 1] not in (ord(","), _CLOSING[opening]):
            raise _invalid(f"a bracket is closed by another (byte {end - 1})")
        members = self._decode(at, end - 1, within=opening)
        if not members:
            raise _invalid(f"a member is missing beside a comma (byte {end - 1})")
        return members

    def _read_large_member(self, at: int, level: int, opening: int, *, is_kept: bool) -> tuple[JsonValue, int]:
        """Return a member that is longer than a piece, and the position behind the comma or bracket after it."""
        name: Any = None
        at = self._skip_space(at)
        if opening == ord("{"):
            found = _WHOLE_TEXT.match(self._text, at)
            end = found.end() if found else len(self._text)
            name = self._decode(at, end)
            at = self._skip_space(end)
            if self._byte_at(at) != ord(":"):
                raise _invalid(f"expected ':' (byte {at})")
            at = self._skip_space(at + 1)
            is_kept = is_kept and (level > 1 or self._keep is None or name in self._keep)
        value, at = self._read_value(at, level, is_kept=is_kept)
        if self._byte_at(at) not in (ord(","), _CLOSING[opening]):
            raise _invalid(f"expected ',' or '{chr(_CLOSING[opening])}' (byte {at})")
        if opening == ord("["):
            return [value], at + 1
        return ({name: value} if is_kept else {}), at + 1

    def _decode(self, at: int, end: int, *, within: int | None = None) -> JsonValue:
        text = self._text[at:end]
        try:
            if within is None:
                return read_json(text)
            return read_json(b"%c%s%c" % (within, text, _CLOSING[within]))
        except InvalidInput as error:
            offset = at if within is None else at - 1
            what = _POSITION.sub(lambda found: f"byte {int(found[1].replace(',', '')) + offset:,}", error.message)
            raise InvalidInput(what, faults=(Fault("", what),), code=error.code) from error

    def _skip_space(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at

    def _byte_at(self, at: int) -> int | None:
        """Return a byte, or None where the text has ended."""
        return self._text[at] if at < len(self._text) else None


_POSITION = re.compile(r"byte ([0-9,]+)")
