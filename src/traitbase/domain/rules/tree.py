"""The rule tree as it is sent, stored and shown: read from JSON with every fault by its path, and written again.

The form is react-querybuilder's: groups `{"combinator", "not"?, "rules"}` and rules `{"field", "operator", "value"?}`.
What this module accepts has the right shape; whether a value fits its field is found by `resolving`, which knows the
properties.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.rules.operators import WITHOUT_VALUE, Operator
from traitbase.domain.updates import FAULTS_SHOWN_MAX
from traitbase.domain.values import JsonValue, kind_of_json

DEPTH_MAX = 10
"""Groups within groups, the outermost counted."""

RULES_MAX = 500
"""Rules in a tree, in all its groups; and groups, too."""

_GROUP_KEYS = ("combinator", "not", "rules")
_RULE_KEYS = ("field", "operator", "value", "ignoreCase")
_BUILDER_KEYS = frozenset({"id", "path"})  # react-querybuilder writes them; they say nothing of who is in
_OPERATORS = {operator.value: operator for operator in Operator}


class Combinator(StrEnum):
    """How the rules of a group go together."""

    AND = "and"
    OR = "or"


@dataclass(frozen=True, slots=True)
class Rule:
    """A leaf: a field, an operator and the value as it was sent (None for operators without one)."""

    field: str
    operator: Operator
    value: JsonValue = None
    ignores_case: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """An inner node. `negated` flips what the combinator makes of the rules, and nothing else."""

    combinator: Combinator
    rules: tuple[Node, ...]
    negated: bool = False


Node: TypeAlias = Rule | Group

EVERYONE = Group(Combinator.AND, ())
"""The empty root: it may be looked at, not saved."""


class Faults:
    """What is wrong with a tree, each with the path of its node."""

    def __init__(self, root: str = "") -> None:
        self._root = root
        self._found: list[Fault] = []

    def add(self, path: str, message: str) -> None:
        """Note one fault. No more than are shown are kept."""
        if len(self._found) < FAULTS_SHOWN_MAX:
            self._found.append(Fault(joined(self._root, path), message))

    def refuse(self) -> None:
        """Raise InvalidInput (`invalid_rule`) naming all of them, if there are any."""
        if self._found:
            first = self._found[0]
            message = f"{first.path}: {first.message}" if first.path else first.message
            raise InvalidInput(message, faults=tuple(self._found), code="invalid_rule")


def parse_tree(sent: JsonValue, *, path: str = "", may_be_empty: bool) -> Group:
    """Read a tree. `path` is where it stands in the body, in front of the paths of faults.

    `may_be_empty`: a root without rules is accepted. Raises InvalidInput naming every fault.
    """
    faults = Faults(path)
    reader = _Reader(faults)
    root = reader.read_root(sent, may_be_empty=may_be_empty)
    faults.refuse()
    assert root is not None, "whatever is no group is a fault"
    return root


def joined(path: str, step: str) -> str:
    """Return the path of what is at `step` (`rules[0]`, `value`) within `path`."""
    return f"{path}.{step}" if path and step else path or step


def to_json(node: Node) -> dict[str, JsonValue]:
    """Return a tree as it is stored and shown: `parse_tree` makes the same of it again."""
    if isinstance(node, Group):
        rules: list[JsonValue] = [to_json(each) for each in node.rules]
        return {"combinator": node.combinator.value, "not": node.negated, "rules": rules}
    written: dict[str, JsonValue] = {"field": node.field, "operator": node.operator.value}
    if node.operator not in WITHOUT_VALUE:
        written["value"] = node.value
    if node.ignores_case:
        written["ignoreCase"] = True
    return written


def leaves(node: Node) -> Iterator[Rule]:
    """Yield the rules of a tree, in order."""
    if isinstance(node, Rule):
        yield node
    else:
        for each in node.rules:
            yield from leaves(each)


class _Reader:
    """Reads one tree; counts what there is of it."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._rules = 0
        self._groups = 0

    def read_root(self, sent: JsonValue, *, may_be_empty: bool) -> Group | None:
        if type(sent) is dict and not sent and may_be_empty:
            return EVERYONE
        if type(sent) is not dict or "rules" not in sent:
            expected = 'expected a group: {"combinator": "and" or "or", "rules": [...]}'
            self._faults.add("", expected if type(sent) is dict else f"{expected}, not {kind_of_json(sent)}")
            return None
        return self._read_group(sent, "", depth=1, may_be_empty=may_be_empty)

    def _read_node(self, sent: JsonValue, path: str, depth: int) -> Node | None:
        if type(sent) is not dict:
            self._faults.add(path, f"expected a rule or a group, an object each, not {kind_of_json(sent)}")
            return None
        if "rules" in sent or "combinator" in sent:
            return self._read_group(sent, path, depth=depth, may_be_empty=False)
        return self._read_rule(sent, path)

    def _read_group(self, sent: dict[str, JsonValue], path: str, *, depth: int, may_be_empty: bool) -> Group | None:
        self._groups += 1
        if depth > DEPTH_MAX or self._groups > RULES_MAX:
            too_many = f"groups within groups go {DEPTH_MAX} deep at most" if depth > DEPTH_MAX else _TOO_MANY_GROUPS
            self._faults.add(path, f"{too_many}; make part of it a cohort of its own, and name that with $cohort")
            return None
        self._refuse_unknown_keys(sent, path, _GROUP_KEYS, "group")
        combinator = sent.get("combinator", Combinator.AND.value)
        if combinator not in ("and", "or"):
            self._faults.add(joined(path, "combinator"), 'expected "and" or "or"')
        negated = sent.get("not", False)
        if type(negated) is not bool:
            self._faults.add(joined(path, "not"), f"expected true or false, not {kind_of_json(negated)}")
        rules = self._read_rules(sent.get("rules"), path, depth, may_be_empty=may_be_empty)
        if rules is None or combinator not in ("and", "or") or type(negated) is not bool:
            return None
        return Group(Combinator(str(combinator)), rules, negated)

    def _read_rules(self, sent: JsonValue, path: str, depth: int, *, may_be_empty: bool) -> tuple[Node, ...] | None:
        where = joined(path, "rules")
        if type(sent) is not list:
            self._faults.add(where, f"expected an array of rules and groups, not {kind_of_json(sent)}")
            return None
        if not sent and not may_be_empty:
            self._faults.add(where, "a group needs at least one rule: add one, or leave the group out")
            return None
        rules: list[Node] = []
        for at, each in enumerate(sent):
            node = self._read_node(each, joined(path, f"rules[{at}]"), depth + 1)
            if node is not None:
                rules.append(node)
            if self._rules > RULES_MAX:
                return None
        return tuple(rules)

    def _read_rule(self, sent: dict[str, JsonValue], path: str) -> Rule | None:
        self._rules += 1
        if self._rules > RULES_MAX:
            message = f"a tree has at most {RULES_MAX} rules; many values of one field are one rule with 'in'"
            self._faults.add(path, message)
            return None
        self._refuse_unknown_keys(sent, path, _RULE_KEYS, "rule")
        field = sent.get("field")
        if type(field) is not str or not field:
            self._faults.add(joined(path, "field"), "expected the name of a property or of a built-in field ($...)")
        operator = self._read_operator(sent.get("operator"), path)
        ignores_case = sent.get("ignoreCase", False)
        if type(ignores_case) is not bool:
            self._faults.add(joined(path, "ignoreCase"), f"expected true or false, not {kind_of_json(ignores_case)}")
        if operator is None or type(field) is not str or not field or type(ignores_case) is not bool:
            return None
        value = sent.get("value")
        if operator in WITHOUT_VALUE:
            if value not in (None, ""):  # what a builder's empty input leaves there
                self._faults.add(joined(path, "value"), f"'{operator.value}' takes no value; leave it out")
            value = None
        elif "value" not in sent:
            self._faults.add(joined(path, "value"), f"'{operator.value}' needs a value")
            return None
        return Rule(field, operator, value, ignores_case)

    def _read_operator(self, sent: JsonValue, path: str) -> Operator | None:
        operator = _OPERATORS.get(sent) if type(sent) is str else None
        if operator is None:
            shown = f"{sent[:40]!r} is no operator" if type(sent) is str else "expected the name of an operator"
            self._faults.add(joined(path, "operator"), f"{shown}; there are {', '.join(Operator)}")
        return operator

    def _refuse_unknown_keys(self, sent: dict[str, JsonValue], path: str, known: tuple[str, ...], noun: str) -> None:
        for key, value in sent.items():
            if key in known or key in _BUILDER_KEYS or (key == "valueSource" and value in (None, "value")):
                continue
            self._faults.add(joined(path, key[:80]), f"a {noun} has no such key; it has {', '.join(known)}")


_TOO_MANY_GROUPS = f"a tree has at most {RULES_MAX} groups"
