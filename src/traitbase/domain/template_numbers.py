"""Liquid's filters for numbers, exact: properties are, and the library's own know machine numbers only.

What they do is Liquid's: whole numbers divided by whole numbers give whole ones (rounded down), a text that is a number
counts as one. What is no number is an error with its name, not zero: a wrong amount in a letter is worse than none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal, InvalidOperation, localcontext
from typing import Any, TypeAlias

from liquid import Undefined
from liquid.exceptions import FilterArgumentError

from traitbase.domain.values import Number, to_number

Filter: TypeAlias = Callable[..., object]

_DIGITS = 60
_DECIMALS_MAX = 30


class PlainDecimal(Decimal):
    """A number that is written without an exponent, and without noughts at its end."""

    __slots__ = ()

    def __str__(self) -> str:
        text = format(self, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text


def plain_number(number: Number) -> int | PlainDecimal:
    """Return a number as templates show it: whole ones without a point."""
    if isinstance(number, int) or number == number.to_integral_value():
        return int(number)
    return PlainDecimal(number)


def _number(name: str, value: Any) -> int | Decimal:
    match value:
        case bool():
            raise _no_number(name, str(value).lower())
        case int() | Decimal():
            return value
        case Undefined():
            str(value)  # it tells that it was missed
            return 0
        case str():
            try:
                number = to_number(Decimal(value.strip()))
            except InvalidOperation:
                number = None
            if number is None:
                raise _no_number(name, repr(str(value)[:40]))
            return number
        case float():
            return Decimal(repr(value))
        case _:
            raise _no_number(name, "nothing" if value is None else f"a {type(value).__name__}")


def _no_number(name: str, what: str) -> FilterArgumentError:
    return FilterArgumentError(f"{name} needs a number, and got {what}", token=None)


def _divided(one: int | Decimal, other: int | Decimal) -> int | Decimal:
    if isinstance(one, int) and isinstance(other, int):
        return one // other
    return Decimal(one) / Decimal(other)


def _modulo(one: int | Decimal, other: int | Decimal) -> int | Decimal:
    """The rest has the sign of the divisor, as in Liquid."""
    return one - other * (Decimal(one) / Decimal(other)).to_integral_value(ROUND_FLOOR)


def _rounded(one: int | Decimal, decimals: int | Decimal = 0) -> int | Decimal:
    places = min(max(int(decimals), -_DECIMALS_MAX), _DECIMALS_MAX)
    return Decimal(one).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


_ON_NUMBERS: Mapping[str, Callable[..., int | Decimal]] = {
    "abs": abs,
    "at_least": max,
    "at_most": min,
    "ceil": lambda one: Decimal(one).to_integral_value(ROUND_CEILING),
    "divided_by": _divided,
    "floor": lambda one: Decimal(one).to_integral_value(ROUND_FLOOR),
    "minus": lambda one, other: one - other,
    "modulo": _modulo,
    "plus": lambda one, other: one + other,
    "round": _rounded,
    "times": lambda one, other: one * other,
}


def _filter(name: str, compute: Callable[..., int | Decimal]) -> Filter:
    def apply(*arguments: object) -> object:
        numbers = [_number(name, each) for each in arguments]
        with localcontext(Context(prec=_DIGITS)):
            try:
                result = compute(*numbers)
            except (ZeroDivisionError, InvalidOperation) as error:  # Decimal's own division by zero is among them
                raise FilterArgumentError(f"{name} cannot do that with {numbers[-1]}", token=None) from error
            except TypeError as error:
                raise FilterArgumentError(f"{name} takes another number of arguments", token=None) from error
        return plain_number(Decimal(result))

    return apply


def _sum(elements: object) -> object:
    if not isinstance(elements, list):
        raise FilterArgumentError("sum needs a list", token=None)
    with localcontext(Context(prec=_DIGITS)):
        return plain_number(sum((Decimal(_number("sum", each)) for each in elements), start=Decimal(0)))


NUMBER_FILTERS: Mapping[str, Filter] = {
    **{name: _filter(name, compute) for name, compute in _ON_NUMBERS.items()},
    "sum": _sum,
}
"""By their names in a template."""
