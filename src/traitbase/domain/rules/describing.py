"""A rule tree as an English sentence, for people to check what they built."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal

from traitbase.domain.rules.fields import Field, find_field
from traitbase.domain.rules.operators import POSITIVE_OF, Operator
from traitbase.domain.rules.tree import Combinator, Group, Node, Rule
from traitbase.domain.values import JsonValue, is_date, kind_of_json

_LISTED_MAX = 5
_MISSING = " (or has no value)"


def describe(tree: Group, cohort_names: Mapping[str, str]) -> str:
    """Return what a tree says, as a sentence about a profile. `cohort_names` are by cohort id."""
    if not tree.rules:
        return "No profiles." if tree.negated else "All profiles."
    return f"Profiles where {_group(tree, cohort_names, outermost=True)}."


def _group(group: Group, names: Mapping[str, str], *, outermost: bool) -> str:
    word = " and " if group.combinator is Combinator.AND else " or "
    parts = [_node(each, names) for each in group.rules]
    text = word.join(parts)
    if group.negated:
        return f"not ({text})"
    return text if outermost or len(parts) == 1 else f"({text})"


def _node(node: Node, names: Mapping[str, str]) -> str:
    return _group(node, names, outermost=False) if isinstance(node, Group) else _rule(node, names)


def _rule(rule: Rule, names: Mapping[str, str]) -> str:
    if rule.field == Field.COHORT.value:
        ids = rule.value if isinstance(rule.value, list) else [rule.value]
        shown = [f"“{names.get(str(each), str(each))}”" for each in ids]
        verb = "membership is of none of" if rule.operator is Operator.NOT_IN else "membership is of"
        return f"{verb} {_listed(shown, 'or')}"
    field = _FIELD_WORDS.get(rule.field, rule.field)
    text = f"{field} {_SAYS[rule.operator](rule.value)}"
    if rule.ignores_case:
        text += ", in capitals or not"
    if rule.operator in POSITIVE_OF and rule.operator not in _SAY_MISSING_THEMSELVES:
        text += _MISSING
    return text


_SAY_MISSING_THEMSELVES = frozenset({Operator.NULL, Operator.IS_EMPTY})
_FIELD_WORDS = {
    Field.DISTINCT_ID.value: "distinct_id",
    Field.NAME.value: "name",
    Field.STATUS.value: "status",
    Field.TIMEZONE.value: "time zone",
    Field.COUNTRY_CODE.value: "country",
    Field.CREATED_AT.value: "time of creation",
    Field.UPDATED_AT.value: "time of the last update",
    Field.BUCKET.value: "bucket (0 to 9,999)",
}
_FIELD_WORDS |= {
    each.value: f"{each.value.removeprefix('$channel.')} destination" for each in Field if "." in each.value
}
assert all(find_field(name) is not None for name in _FIELD_WORDS)


def _value(value: JsonValue) -> str:
    if isinstance(value, str):
        return value if is_date(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _listed(parts: list[str], word: str) -> str:
    shown = parts[:_LISTED_MAX]
    if len(parts) > _LISTED_MAX:
        shown.append(f"{len(parts) - _LISTED_MAX:,} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {word} {shown[-1]}"


def _values(word: str, before: str) -> Callable[[JsonValue], str]:
    def say(value: JsonValue) -> str:
        elements = value if isinstance(value, list) else [value]
        return f"{before} {_listed([_value(each) for each in elements], word)}" if elements else before

    return say


def _compared(of_numbers: str, of_dates: str) -> Callable[[JsonValue], str]:
    return lambda value: f"{of_dates if isinstance(value, str) else of_numbers} {_value(value)}"


def _range(before: str) -> Callable[[JsonValue], str]:
    def say(value: JsonValue) -> str:
        ends = [_value(each) for each in value] if isinstance(value, list) else [_value(value)]
        return f"{before} {' and '.join(ends)}"

    return say


def _span(before: str) -> Callable[[JsonValue], str]:
    def say(value: JsonValue) -> str:
        if not isinstance(value, dict):
            return f"{before} {_value(value)}"
        amount, unit = value.get("amount"), value.get("unit")
        return f"{before} {unit}" if amount == 1 else f"{before} {_value(amount)} {unit}s"

    return say


def _day(before: str) -> Callable[[JsonValue], str]:
    def say(value: JsonValue) -> str:
        if isinstance(value, dict) and len(value) == 1:
            [(key, days)] = value.items()
            noun = "day" if days == 1 else "days"
            return f"{before} {_value(days)} {noun} {'ago' if key == 'daysAgo' else 'ahead'}"
        return f"{before} {value if isinstance(value, str) else kind_of_json(value)}"

    return say


def _size(value: JsonValue) -> str:
    if not isinstance(value, dict):
        return "has a number of elements"
    operator = next((each for each in Operator if each.value == value.get("operator")), Operator.EQUAL)
    return f"has a number of elements that {_SAYS[operator](value.get('value'))}"


_SAYS: dict[Operator, Callable[[JsonValue], str]] = {
    Operator.NULL: lambda _: "has no value",
    Operator.NOT_NULL: lambda _: "has a value",
    Operator.EQUAL: _values("or", "is"),
    Operator.NOT_EQUAL: _values("or", "is not"),
    Operator.LESS: _compared("is below", "is before"),
    Operator.LESS_OR_EQUAL: _compared("is at most", "is on or before"),
    Operator.GREATER: _compared("is above", "is after"),
    Operator.GREATER_OR_EQUAL: _compared("is at least", "is on or after"),
    Operator.BETWEEN: _range("is between"),
    Operator.NOT_BETWEEN: _range("is not between"),
    Operator.IN: _values("or", "is one of"),
    Operator.NOT_IN: _values("or", "is none of"),
    Operator.CONTAINS: _values("or", "contains"),
    Operator.DOES_NOT_CONTAIN: _values("or", "does not contain"),
    Operator.BEGINS_WITH: _values("or", "begins with"),
    Operator.DOES_NOT_BEGIN_WITH: _values("or", "does not begin with"),
    Operator.ENDS_WITH: _values("or", "ends with"),
    Operator.DOES_NOT_END_WITH: _values("or", "does not end with"),
    Operator.IN_LAST: _span("is in the last"),
    Operator.NOT_IN_LAST: _span("is not in the last"),
    Operator.IN_NEXT: _span("is in the next"),
    Operator.NOT_IN_NEXT: _span("is not in the next"),
    Operator.ON_DAY: _day("is on the day"),
    Operator.ANNIVERSARY: _day("has its anniversary"),
    Operator.CONTAINS_ANY: _values("or", "contains any of"),
    Operator.CONTAINS_ALL: _values("and", "contains all of"),
    Operator.CONTAINS_NONE: _values("or", "contains none of"),
    Operator.IS_EMPTY: lambda _: "is empty or missing",
    Operator.IS_NOT_EMPTY: lambda _: "has at least one element",
    Operator.SIZE: _size,
}
