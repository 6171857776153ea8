"""The operators of rules: which there are, for what they may be asked, and which are each other's complement.

Names as react-querybuilder writes them, with ours beside them in the same manner (`cohorts.md`).
"""

from __future__ import annotations

from enum import StrEnum

from traitbase.domain.values import Kind


class Operator(StrEnum):
    """The comparison of a rule, by its name on the wire."""

    NULL = "null"
    NOT_NULL = "notNull"
    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    BETWEEN = "between"
    NOT_BETWEEN = "notBetween"
    IN = "in"
    NOT_IN = "notIn"
    CONTAINS = "contains"
    DOES_NOT_CONTAIN = "doesNotContain"
    BEGINS_WITH = "beginsWith"
    DOES_NOT_BEGIN_WITH = "doesNotBeginWith"
    ENDS_WITH = "endsWith"
    DOES_NOT_END_WITH = "doesNotEndWith"
    IN_LAST = "inLast"
    NOT_IN_LAST = "notInLast"
    IN_NEXT = "inNext"
    NOT_IN_NEXT = "notInNext"
    ON_DAY = "onDay"
    ANNIVERSARY = "anniversary"
    CONTAINS_ANY = "containsAny"
    CONTAINS_ALL = "containsAll"
    CONTAINS_NONE = "containsNone"
    IS_EMPTY = "isEmpty"
    IS_NOT_EMPTY = "isNotEmpty"
    SIZE = "size"


POSITIVE_OF = {
    Operator.NULL: Operator.NOT_NULL,
    Operator.NOT_EQUAL: Operator.EQUAL,
    Operator.NOT_BETWEEN: Operator.BETWEEN,
    Operator.NOT_IN: Operator.IN,
    Operator.DOES_NOT_CONTAIN: Operator.CONTAINS,
    Operator.DOES_NOT_BEGIN_WITH: Operator.BEGINS_WITH,
    Operator.DOES_NOT_END_WITH: Operator.ENDS_WITH,
    Operator.NOT_IN_LAST: Operator.IN_LAST,
    Operator.NOT_IN_NEXT: Operator.IN_NEXT,
    Operator.CONTAINS_NONE: Operator.CONTAINS_ANY,
    Operator.IS_EMPTY: Operator.IS_NOT_EMPTY,
}
"""The negative operators, each with the twin of which it is exactly the complement: true where that is false."""

_ANY = (Operator.NULL, Operator.NOT_NULL)
_EQUALITY = (Operator.EQUAL, Operator.NOT_EQUAL)
_ORDER = (Operator.LESS, Operator.LESS_OR_EQUAL, Operator.GREATER, Operator.GREATER_OR_EQUAL)
_RANGE = (Operator.BETWEEN, Operator.NOT_BETWEEN)
_MEMBERSHIP = (Operator.IN, Operator.NOT_IN)

OPERATORS_OF: dict[Kind, tuple[Operator, ...]] = {
    Kind.STRING: (
        *_EQUALITY,
        Operator.CONTAINS,
        Operator.DOES_NOT_CONTAIN,
        Operator.BEGINS_WITH,
        Operator.DOES_NOT_BEGIN_WITH,
        Operator.ENDS_WITH,
        Operator.DOES_NOT_END_WITH,
        *_MEMBERSHIP,
        *_ANY,
    ),
    Kind.NUMBER: (*_EQUALITY, *_ORDER, *_RANGE, *_MEMBERSHIP, *_ANY),
    Kind.BOOLEAN: (*_EQUALITY, *_ANY),
    Kind.DATE: (
        *_EQUALITY,
        *_ORDER,
        *_RANGE,
        Operator.IN_LAST,
        Operator.NOT_IN_LAST,
        Operator.IN_NEXT,
        Operator.NOT_IN_NEXT,
        Operator.ON_DAY,
        Operator.ANNIVERSARY,
        *_ANY,
    ),
    Kind.LIST: (
        Operator.CONTAINS,
        Operator.DOES_NOT_CONTAIN,
        Operator.CONTAINS_ANY,
        Operator.CONTAINS_ALL,
        Operator.CONTAINS_NONE,
        Operator.IS_EMPTY,
        Operator.IS_NOT_EMPTY,
        Operator.SIZE,
        *_ANY,
    ),
}
"""What may be asked of a field of each type."""

SIZE_OPERATORS = (*_EQUALITY, *_ORDER, *_RANGE)
"""The comparisons that `size` takes."""

COHORT_OPERATORS = _MEMBERSHIP
"""What may be asked of `$cohort`."""

WITHOUT_VALUE = frozenset({*_ANY, Operator.IS_EMPTY, Operator.IS_NOT_EMPTY})
"""Operators that take no value."""

FOLDING = frozenset(OPERATORS_OF[Kind.STRING]) - frozenset(_ANY)
"""Operators that may be asked without regard to case (ASCII letters), of texts."""
