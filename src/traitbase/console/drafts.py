"""The rule builder's draft: a tree as somebody types it, half finished.

It is read from a form, changed by a click, and made a rule. The form holds all of it, so any process can go on with it.
The fields of a node are named by its path in the tree, `r` for the root and `r-0-1` for a child's child.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from traitbase.console.values import read_loose, read_quoted, read_value, typed
from traitbase.domain.errors import InvalidInput
from traitbase.domain.rules.fields import KIND_OF, Field
from traitbase.domain.rules.operators import (
    COHORT_OPERATORS,
    FOLDING,
    OPERATORS_OF,
    SIZE_OPERATORS,
    WITHOUT_VALUE,
    Operator,
)
from traitbase.domain.values import Kind

DEPTH_MAX = 10
RULES_MAX = 500
ROOT = "r"

WORDS = {
    Operator.NULL: "has no value",
    Operator.NOT_NULL: "has a value",
    Operator.EQUAL: "is",
    Operator.NOT_EQUAL: "is not",
    Operator.LESS: "is less than",
    Operator.LESS_OR_EQUAL: "is at most",
    Operator.GREATER: "is more than",
    Operator.GREATER_OR_EQUAL: "is at least",
    Operator.BETWEEN: "is between",
    Operator.NOT_BETWEEN: "is not between",
    Operator.IN: "is one of",
    Operator.NOT_IN: "is none of",
    Operator.CONTAINS: "contains",
    Operator.DOES_NOT_CONTAIN: "does not contain",
    Operator.BEGINS_WITH: "begins with",
    Operator.DOES_NOT_BEGIN_WITH: "does not begin with",
    Operator.ENDS_WITH: "ends with",
    Operator.DOES_NOT_END_WITH: "does not end with",
    Operator.IN_LAST: "in the last",
    Operator.NOT_IN_LAST: "not in the last",
    Operator.IN_NEXT: "in the next",
    Operator.NOT_IN_NEXT: "not in the next",
    Operator.ON_DAY: "is on the day",
    Operator.ANNIVERSARY: "has its anniversary",
    Operator.CONTAINS_ANY: "contains any of",
    Operator.CONTAINS_ALL: "contains all of",
    Operator.CONTAINS_NONE: "contains none of",
    Operator.IS_EMPTY: "is an empty list, or has no value",
    Operator.IS_NOT_EMPTY: "is not empty",
    Operator.SIZE: "has a number of elements that",
}
"""The operators in words."""

_OF_DATES = {
    Operator.EQUAL: "is on",
    Operator.NOT_EQUAL: "is not on",
    Operator.LESS: "is before",
    Operator.LESS_OR_EQUAL: "is on or before",
    Operator.GREATER: "is after",
    Operator.GREATER_OR_EQUAL: "is on or after",
}
UNITS = ("minute", "hour", "day", "week", "month", "year")
DAYS = (
    ("today", "today"),
    ("yesterday", "yesterday"),
    ("tomorrow", "tomorrow"),
    ("daysAgo", "days ago"),
    ("daysAhead", "days ahead"),
)
_OF_TEXTS = (Kind.STRING, Kind.LIST, None)
_SEVERAL = {Operator.IN, Operator.NOT_IN, Operator.CONTAINS_ANY, Operator.CONTAINS_ALL, Operator.CONTAINS_NONE}
_ROLLING = {Operator.IN_LAST, Operator.NOT_IN_LAST, Operator.IN_NEXT, Operator.NOT_IN_NEXT}
_DAY = {Operator.ON_DAY, Operator.ANNIVERSARY}
_RANGE = {Operator.BETWEEN, Operator.NOT_BETWEEN}

BUILT_IN = {
    Field.DISTINCT_ID.value: "id",
    Field.NAME.value: "name of the person",
    Field.STATUS.value: "status (1 active, 0 inactive)",
    Field.TIMEZONE.value: "time zone",
    Field.COUNTRY_CODE.value: "country of the phone number",
    Field.CREATED_AT.value: "when the profile came",
    Field.UPDATED_AT.value: "when it last changed",
    Field.BUCKET.value: "bucket (0 to 9999, for samples)",
    **{each.value: f"channel {each.value.partition('.')[2]}" for each in Field if each.value.startswith("$channel.")},
}
"""The built-in fields, in words."""


@dataclass(slots=True)
class DraftRule:
    """A rule as it is typed. `values` are its parts by name: `value`, `value2`, `amount`, `unit`, `day`, `size`."""

    path: str = ROOT
    field: str = ""
    operator: str = ""
    values: dict[str, str] = dataclasses.field(default_factory=dict)
    cohorts: list[str] = dataclasses.field(default_factory=list)
    ignores_case: bool = False

    def form_of_value(self, kind: Kind | None) -> str:
        """Return what is asked for as its value: which inputs are shown."""
        operator = _operator(self.operator)
        if operator is None or operator in WITHOUT_VALUE:
            return "none"
        if self.field == Field.COHORT:
            return "cohorts"
        if operator in _ROLLING:
            return "rolling"
        if operator in _DAY:
            return "day"
        if operator is Operator.SIZE:
            return "size"
        if operator in _RANGE:
            return "range"
        if operator in _SEVERAL:
            return "several"
        return "boolean" if kind is Kind.BOOLEAN else "one"


@dataclass(slots=True)
class DraftGroup:
    """A group as it is built."""

    path: str = ROOT
    combinator: str = "and"
    negated: bool = False
    parts: list[DraftRule | DraftGroup] = dataclasses.field(default_factory=list)

    @property
    def depth(self) -> int:
        """How many groups it is within, itself included."""
        return self.path.count("-") + 1


Draft = DraftRule | DraftGroup


def read_draft(fields: Mapping[str, str], cohorts: Mapping[str, list[str]], path: str = ROOT) -> DraftGroup:
    """Return the draft that a form holds; an empty one if it holds none. `cohorts`: those chosen, by field name."""
    group = DraftGroup(path, "or" if fields.get(f"{path}.combinator") == "or" else "and")
    group.negated = fields.get(f"{path}.not") == "yes"
    count = fields.get(f"{path}.n", "0")
    for number in range(min(int(count) if count.isdecimal() else 0, RULES_MAX)):
        child = f"{path}-{number}"
        if fields.get(f"{child}.kind") == "group" and child.count("-") < DEPTH_MAX:
            group.parts.append(read_draft(fields, cohorts, child))
        elif f"{child}.field" in fields:
            parts = ("value", "value2", "amount", "unit", "day", "size")
            values = {name: fields[f"{child}.{name}"] for name in parts if f"{child}.{name}" in fields}
            rule = DraftRule(child, fields[f"{child}.field"], fields.get(f"{child}.operator", ""), values)
            rule.cohorts = cohorts.get(f"{child}.cohorts", [])
            rule.ignores_case = fields.get(f"{child}.fold") == "yes"
            group.parts.append(rule)
    return group


def draft_of(node: Mapping[str, Any], kinds: Mapping[str, Kind], path: str = ROOT) -> DraftGroup:
    """Return the draft of a stored rule, as the API shows it."""
    group = DraftGroup(path, str(node.get("combinator", "and")), bool(node.get("not")))
    for number, each in enumerate(node.get("rules", ())):
        child = f"{path}-{number}"
        group.parts.append(draft_of(each, kinds, child) if "rules" in each else _rule_of(each, kinds, child))
    return group


def _rule_of(node: Mapping[str, Any], kinds: Mapping[str, Kind], path: str) -> DraftRule:
    rule = DraftRule(path, str(node["field"]), str(node["operator"]), ignores_case=bool(node.get("ignoreCase")))
    value, kind = node.get("value"), kind_of_field(rule.field, kinds)
    match rule.form_of_value(kind):
        case "none":
            pass
        case "cohorts":
            rule.cohorts = [value] if isinstance(value, str) else list(value or ())
        case "rolling" if isinstance(value, dict):
            rule.values = {"amount": str(value.get("amount", "")), "unit": str(value.get("unit", "day"))}
        case "day" if isinstance(value, dict):
            [(word, amount)] = value.items()
            rule.values = {"day": word, "amount": str(amount)}
        case "day":
            rule.values = {"day": str(value)}
        case "size" if isinstance(value, dict):
            ends = value.get("value")
            first, second = ends if isinstance(ends, list) else (ends, None)
            rule.values = {"size": str(value.get("operator")), "value": typed(first), "value2": typed(second)}
        case "range" if isinstance(value, list):
            rule.values = {"value": typed(value[0]), "value2": typed(value[1])}
        case "several" if isinstance(value, list):
            rule.values = {"value": "\n".join(written(each, kind) for each in value)}
        case _:
            rule.values = {"value": written(value, kind)}
    return rule


def written(value: object, kind: Kind | None) -> str:
    """Return a value of a rule as it is typed, so that `_scalar` reads the same again.

    A text stands as it is. What could not be told from something else then is in quotes, as JSON writes it.
    """
    if not isinstance(value, str):
        return f"={typed(value)}" if kind in (Kind.LIST, None) else typed(value)
    needs_quotes = not value.strip() or not value.isprintable() or value[0] == "=" or value[0] == value[-1] == '"'
    return json.dumps(value, ensure_ascii=False) if needs_quotes else value


def changed(draft: DraftGroup, action: str) -> DraftGroup:
    """Return the draft after a click: `add-rule r`, `add-group r-1`, `remove r-1-0`. Paths are given anew."""
    word, _, path = action.partition(" ")
    for group in groups(draft):
        if group.path == path and word == "add-rule" and count_rules(draft) < RULES_MAX:
            group.parts.append(DraftRule())
        elif group.path == path and word == "add-group" and group.depth < DEPTH_MAX:
            group.parts.append(DraftGroup(combinator="or" if group.combinator == "and" else "and", parts=[DraftRule()]))
        elif word == "remove":
            group.parts = [each for each in group.parts if each.path != path]
    _give_paths(draft, ROOT)
    return draft


def added_by(draft: DraftGroup, action: str) -> str | None:
    """Return the path of the rule that a click has just added, None if it added none."""
    word, _, path = action.partition(" ")
    group = next((each for each in groups(draft) if each.path == path and each.parts), None)
    if group is None or word not in ("add-rule", "add-group"):
        return None
    last = group.parts[-1]
    return last.parts[0].path if isinstance(last, DraftGroup) else last.path


def groups(draft: DraftGroup) -> list[DraftGroup]:
    """Return a group and all groups within it."""
    return [draft, *(inner for each in draft.parts if isinstance(each, DraftGroup) for inner in groups(each))]


def rules(draft: DraftGroup) -> Iterator[DraftRule]:
    """Yield all rules of a draft."""
    for each in draft.parts:
        if isinstance(each, DraftGroup):
            yield from rules(each)
        else:
            yield each


def count_rules(draft: DraftGroup) -> int:
    """Return how many rules a draft has."""
    return sum(1 for _ in rules(draft))


def _give_paths(node: Draft, path: str) -> None:
    node.path = path
    if isinstance(node, DraftGroup):
        for number, each in enumerate(node.parts):
            _give_paths(each, f"{path}-{number}")


def operators_for(name: str, kind: Kind | None) -> list[tuple[str, str]]:
    """Return the operators that may be asked of a field, with their words; all of them where nobody knows its type."""
    if name == Field.COHORT:
        words = {Operator.IN: "is a member of", Operator.NOT_IN: "is no member of"}
        return [(each.value, words[each]) for each in COHORT_OPERATORS]
    words = {**WORDS, **_OF_DATES} if kind is Kind.DATE else WORDS
    return [(each.value, words[each]) for each in (tuple(Operator) if kind is None else OPERATORS_OF[kind])]


def size_operators() -> list[tuple[str, str]]:
    """Return the comparisons of a list's size, with their words."""
    return [(each.value, WORDS[each]) for each in SIZE_OPERATORS]


def kind_of_field(name: str, kinds: Mapping[str, Kind]) -> Kind | None:
    """Return the type of a field: of a property, or of what is built in; None if nobody knows."""
    if name in kinds:
        return kinds[name]
    return next((kind for each, kind in KIND_OF.items() if each.value == name), None)


def may_fold(rule: DraftRule, kind: Kind | None) -> bool:
    """Tell whether a rule can be asked without regard to case."""
    operator = _operator(rule.operator)
    is_text = kind in (Kind.STRING, None)
    return is_text and operator is not None and operator in FOLDING and rule.field != Field.COHORT


@dataclass(slots=True)
class Made:
    """What became of a draft: the rule as the API takes it, and what is wrong, by the path of the draft's node."""

    tree: dict[str, Any]
    faults: dict[str, str] = dataclasses.field(default_factory=dict)
    places: dict[str, str] = dataclasses.field(default_factory=dict)
    """The draft's path of each node, by that of the API (`rules[0].rules[1]`)."""

    def take(self, path: str, message: str, root: str = "filter") -> None:
        """Take a fault that the API found, under the node that it is about."""
        inner = path.removeprefix(root).removeprefix(".")
        while inner not in self.places and inner:
            inner = inner.rpartition(".")[0]
        self.faults.setdefault(self.places.get(inner, ROOT), message)


def made_of(draft: DraftGroup, kinds: Mapping[str, Kind]) -> Made:
    """Return the rule that a draft stands for. What is unfinished, or no value of its type, is a fault of its node."""
    made = Made({})
    made.tree = _group(draft, "", kinds, made)
    return made


def _group(group: DraftGroup, place: str, kinds: Mapping[str, Kind], made: Made) -> dict[str, Any]:
    made.places[place] = group.path
    parts: list[dict[str, Any]] = []
    for number, each in enumerate(group.parts):
        inner = f"{place}.rules[{number}]" if place else f"rules[{number}]"
        part = _group(each, inner, kinds, made) if isinstance(each, DraftGroup) else _rule(each, inner, kinds, made)
        parts.append(part)
    if not group.parts and group.path != ROOT:
        made.faults[group.path] = "add a rule to this group, or remove it"
    return {"combinator": group.combinator, "not": group.negated, "rules": parts}


def _rule(rule: DraftRule, place: str, kinds: Mapping[str, Kind], made: Made) -> dict[str, Any]:
    made.places[place] = rule.path
    found: dict[str, Any] = {"field": rule.field, "operator": rule.operator}
    if not rule.field:
        made.faults[rule.path] = "choose what this rule is about"
        return found
    kind = kind_of_field(rule.field, kinds)
    try:
        found |= _value(rule, kind)
    except InvalidInput as error:
        made.faults[rule.path] = error.faults[0].message if error.faults else error.message
    if rule.ignores_case and may_fold(rule, kind):
        found["ignoreCase"] = True
    return found


def _value(rule: DraftRule, kind: Kind | None) -> dict[str, Any]:
    form, values = rule.form_of_value(kind), rule.values
    match form:
        case "none":
            return {}
        case "cohorts":
            if not rule.cohorts:
                raise InvalidInput("choose a cohort")
            return {"value": rule.cohorts}
        case "rolling":
            return {"value": {"amount": _whole(values.get("amount", "")), "unit": values.get("unit") or "day"}}
        case "day":
            day = values.get("day") or "today"
            if day in ("daysAgo", "daysAhead"):
                return {"value": {day: _whole(values.get("amount", ""))}}
            return {"value": day}
        case "size":
            return {"value": {"operator": values.get("size") or "=", "value": _size(values)}}
        case "range":
            return {"value": [_scalar(kind, values.get(name, "")) for name in ("value", "value2")]}
        case "several":
            return {"value": _several(kind, values.get("value", ""))}
        case _:
            return {"value": _scalar(kind, values.get("value", ""))}


def _size(values: Mapping[str, str]) -> object:
    if values.get("size") in {each.value for each in _RANGE}:
        return [read_value(Kind.NUMBER, values.get(name, "")) for name in ("value", "value2")]
    return read_value(Kind.NUMBER, values.get("value", ""))


def _scalar(kind: Kind | None, text: str) -> object:
    """Return one value: what is in quotes is a text as JSON writes it, blanks included; of others, see `read_loose`."""
    if not text.strip():
        raise InvalidInput('type a value; "" is the empty text' if kind in _OF_TEXTS else "type a value")
    if kind not in _OF_TEXTS:
        return read_value(kind or Kind.STRING, text)
    if (quoted := read_quoted(text)) is not None:
        return quoted
    return text if kind is Kind.STRING else read_loose(text)


def _several(kind: Kind | None, text: str) -> list[object]:
    lines = [each for each in text.split("\n") if each.strip()]
    if not lines:
        raise InvalidInput("type one value a line")
    return [_scalar(kind, each) for each in lines]


def _whole(text: str) -> int:
    if not text.strip().isdecimal() or len(text.strip()) > 9:
        raise InvalidInput("expected a whole number")
    return int(text.strip())


def _operator(word: str) -> Operator | None:
    return Operator(word) if word in set(Operator) else None
