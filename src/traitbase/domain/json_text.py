"""Reading JSON text without losing anything: every digit of a number, and no text that is not Unicode."""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import NoReturn

import msgspec

from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.values import JsonValue, parse_number_literal

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_INTEGER_LITERAL_MAX = 60
_FAR_OUT_OF_RANGE: int = 10 ** (_INTEGER_LITERAL_MAX - 2)


def read_json(text: bytes) -> JsonValue:
    """Return the value of a JSON text (RFC 8259, UTF-8): numbers with a fraction or exponent as exact Decimals.

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


def _too_deep() -> InvalidInput:
    fault = Fault("", "the body is nested too deep: an update has at most 4 levels")
    return InvalidInput(fault.message, faults=(fault,), code="nested_too_deep")
