"""Updates: what a caller asks to be done to one profile, read from decoded JSON into a form that cannot be wrong.

Everything refused here is a fault of *structure*: the whole request applies nothing. Faults of single *values* are
found later, by `operations.apply`, and only that value is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from typing import NamedTuple, TypeAlias

from traitbase.domain.definitions import NAME_MAX_CODE_POINTS
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.json_text import check_nesting
from traitbase.domain.values import JsonValue, kind_of_json

DISTINCT_ID_MAX_CODE_POINTS = 255
BATCH_MAX_ITEMS = 10_000
FAULTS_SHOWN_MAX = 20

_NAMES_A_STEP = 4_096
_ITEM_LEVEL = 3  # within the body and its batch

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Operation(StrEnum):
    """The six operations, in the order in which they run within one update, whatever order they were sent in."""

    SET = "$set"
    ONCE = "$once"
    ADD = "$add"
    APPEND = "$append"
    REMOVE = "$remove"
    UNSET = "$unset"

    __hash__ = str.__hash__  # Enum's own is written in Python, and these are keys on the hot path


CREATING = frozenset({Operation.SET, Operation.ONCE, Operation.ADD, Operation.APPEND})
"""Operations that create an unknown profile; the others leave it unknown."""

_BY_WORD = {operation.value: operation for operation in Operation}
# Compared by identity on the hot path: looking an enumeration member up in a set runs its Python-level hash.
_SET, _ONCE, _UNSET = Operation.SET, Operation.ONCE, Operation.UNSET
_ORDER = {operation: position for position, operation in enumerate(Operation)}

# The most bytes that one scalar, with its name, and one list element can take up in a stored document: 255 code points
# of name and 255 of text, each at worst the six bytes of `\u0001`, and punctuation.
SCALAR_MAX_BYTES = 3_072
_ELEMENT_MAX_BYTES = 1_536

Payload: TypeAlias = dict[str, JsonValue] | list[str]


class Update(NamedTuple):
    """Operations for one profile, in the order in which they run.

    `operations` pairs each operation with `{name: value}`, or for `$unset` with its names, each once. `weight` is the
    most bytes that the update can add to the profile's stored document.
    """

    distinct_id: str
    operations: tuple[tuple[Operation, Payload], ...]
    weight: int

    @property
    def creates(self) -> bool:
        """Whether the update creates the profile if it is unknown."""
        return self.operations[0][0] in CREATING  # they are in order, and those that create come first


def message_of(operation: Operation) -> str:
    """Return the message that answers a fault of structure inside an operation (Fyno's wording)."""
    if operation is Operation.UNSET:
        return "$unset channel should have atleast one item in array"
    return f"{operation.value} has object/keys that is not allowed"


def parse_single(body: JsonValue, operation: Operation) -> Update:
    """Read the body of a single-operation endpoint: `{"distinct_id": …, "$set": {…}}`.

    Other top-level keys are ignored. Raises InvalidInput, its message that of the first fault.
    """
    if type(body) is dict:
        distinct_id = body.get("distinct_id")
        payload = body.get(operation.value)
        elements = _elements_in(operation, payload)
        if elements >= 0 and _is_distinct_id(distinct_id):
            if len(body) > 2:  # what is ignored nests no deeper than what is not; that, its structure has shown
                check_nesting(body.values(), level=2)
            return _update(distinct_id, ((operation, payload),), elements)  # type: ignore[arg-type]  # just checked
    raise _refusal(_faults_of_single(body, operation))


def parse_batch(body: JsonValue) -> list[Update]:
    """Read the body of the batch endpoint: `{"batch": [{"distinct_id": …, "action": {…}}, …]}`.

    Raises InvalidInput if anything in it is wrong, its message that of the first fault.
    """
    if type(body) is dict:
        items = body.get("batch")
        if type(items) is list and 0 < len(items) <= BATCH_MAX_ITEMS:
            updates = []
            for item in items:
                update = _parse_item(item)
                if update is None:
                    break
                updates.append(update)
            else:
                if len(body) > 1:
                    check_nesting(body.values(), level=2)
                return updates
    raise _refusal(_faults_of_batch(body))


def parse_item(item: JsonValue) -> Update:
    """Read one batch item: `{"distinct_id": …, "action": {…}}`. Raises InvalidInput."""
    update = _parse_item(item)
    if update is None:
        raise _refusal(_faults_of_item(item, ""))
    return update


def set_update(distinct_id: str, properties: dict[str, JsonValue]) -> Update:
    """Return the update that sets the given properties. Raises InvalidInput as `parse_item` does."""
    elements = _elements_in(_SET, properties)
    if elements >= 0 and _is_distinct_id(distinct_id):
        return _update(distinct_id, ((_SET, properties),), elements)
    return parse_item({"distinct_id": distinct_id, "action": {Operation.SET.value: properties}})  # to say what is wrong


def _parse_item(item: JsonValue) -> Update | None:
    if type(item) is not dict:
        return None
    distinct_id = item.get("distinct_id")
    action = item.get("action")
    if type(action) is not dict or not action or not _is_distinct_id(distinct_id):
        return None
    operations = []
    total = 0
    for word, payload in action.items():
        operation = _BY_WORD.get(word)
        if operation is None:
            return None
        elements = _elements_in(operation, payload)
        if elements < 0:
            return None
        total += elements
        operations.append((operation, payload))
    if len(item) > 2:
        check_nesting(item.values(), level=_ITEM_LEVEL + 1)
    if len(operations) > 1:
        operations.sort(key=_position)
    return _update(distinct_id, tuple(operations), total)  # type: ignore[arg-type]  # just checked


def _position(entry: tuple[Operation, object]) -> int:
    return _ORDER[entry[0]]


def _update(distinct_id: str, operations: tuple[tuple[Operation, Payload], ...], elements: int) -> Update:
    weight = elements * _ELEMENT_MAX_BYTES
    for _, payload in operations:
        weight += len(payload) * SCALAR_MAX_BYTES  # for $unset too: a bound may be too high
    if operations[-1][0] is _UNSET:
        operations = (*operations[:-1], (Operation.UNSET, _each_once(operations[-1][1])))
    return Update(distinct_id, operations, weight)


def _each_once(names: Payload) -> list[str]:
    if len(names) <= _NAMES_A_STEP:
        return list(dict.fromkeys(names))
    seen: dict[str, None] = {}
    left = iter(names)
    while step := list(islice(left, _NAMES_A_STEP)):  # a million at once is 0.3 s in which no other thread runs
        seen.update(dict.fromkeys(step))
    return list(seen)


def _is_distinct_id(value: object) -> bool:
    return (
        type(value) is str
        and 0 < len(value) <= DISTINCT_ID_MAX_CODE_POINTS
        and (value.isprintable() or _CONTROL.search(value) is None)
    )


_NAMES_REMEMBERED_MAX = 20_000
_names_known_to_be_allowed: set[str] = set()


NAME_RULE = "a property name has 1 to 255 characters, does not start with '$' and holds no control characters"
"""What to tell whoever sends another name."""


def is_property_name(name: str) -> bool:
    """Tell whether a property may have this name: 1 to 255 code points, no `$` in front, no control characters."""
    return 0 < len(name) <= NAME_MAX_CODE_POINTS and name[0] != "$" and _CONTROL.search(name) is None


def _elements_in(operation: Operation, payload: object) -> int:  # noqa: C901  # one pass over a hot structure
    """Return the number of list elements in an operation's payload, or -1 if its structure is at fault."""
    if operation is _UNSET:
        if type(payload) is not list or not payload:
            return -1
        return 0 if all(type(name) is str and is_property_name(name) for name in payload) else -1
    if type(payload) is not dict or not payload:
        return -1
    elements = 0
    known = _names_known_to_be_allowed
    for name, value in payload.items():
        if name not in known:
            if not is_property_name(name):
                return -1
            if len(known) < _NAMES_REMEMBERED_MAX:
                known.add(name)
        kind = type(value)
        if kind is list:
            if operation is not _SET and operation is not _ONCE:
                return -1
            elements += len(value)
            for element in value:
                if type(element) is list or type(element) is dict:
                    return -1
        elif kind is dict:
            return -1
    return elements


# What follows runs only when something is wrong: it finds out what, for the answer.


def _what_came(value: JsonValue) -> str:
    word = kind_of_json(value)
    if word == "null":
        return word
    return f"an {word}" if word == "object" else f"a {word}"


def _refusal(faults: Iterator[tuple[str, Fault]]) -> InvalidInput:
    headline = ""
    shown = []
    for message, fault in faults:
        headline = headline or message
        shown.append(fault)
        if len(shown) == FAULTS_SHOWN_MAX:
            break
    return InvalidInput(headline, faults=tuple(shown))


def _plain(path: str, message: str) -> tuple[str, Fault]:
    return message, Fault(path, message)


def _faults_of_single(body: JsonValue, operation: Operation) -> Iterator[tuple[str, Fault]]:
    if type(body) is not dict:
        yield _plain("", f"the body must be a JSON object, not {_what_came(body)}")
        return
    yield from faults_of_distinct_id(body.get("distinct_id"), "distinct_id")
    yield from _faults_of_operation(operation, body.get(operation.value), operation.value)


def _faults_of_batch(body: JsonValue) -> Iterator[tuple[str, Fault]]:
    if type(body) is not dict:
        yield _plain("", f"the body must be a JSON object, not {_what_came(body)}")
        return
    items = body.get("batch")
    if type(items) is not list or not items:
        yield _plain("batch", "batch must be an array with at least one item")
    elif len(items) > BATCH_MAX_ITEMS:
        yield _plain(
            "batch", f"a batch has at most {BATCH_MAX_ITEMS:,} items, this one {len(items):,}: send it in parts"
        )
    else:
        for position, item in enumerate(items):
            yield from _faults_of_item(item, f"batch[{position}]")


def _faults_of_item(item: JsonValue, path: str) -> Iterator[tuple[str, Fault]]:
    prefix = f"{path}." if path else ""
    if type(item) is not dict:
        yield _plain(path, f"an item must be an object with distinct_id and action, not {_what_came(item)}")
        return
    yield from faults_of_distinct_id(item.get("distinct_id"), f"{prefix}distinct_id")
    action = item.get("action")
    if type(action) is not dict or not action:
        words = ", ".join(_BY_WORD)
        yield _plain(f"{prefix}action", f"action must be an object with at least one of {words}")
        return
    for word, payload in action.items():
        operation = _BY_WORD.get(word)
        if operation is None:
            words = ", ".join(_BY_WORD)
            yield _plain(f"{prefix}action.{word}", f"{_shortened(word)} is no operation; expected one of {words}")
        else:
            yield from _faults_of_operation(operation, payload, f"{prefix}action.{word}")


def faults_of_distinct_id(value: JsonValue, path: str) -> Iterator[tuple[str, Fault]]:
    """Yield what is wrong with a distinct_id: the answer's message, and the fault at `path`."""
    if type(value) is not str or not value:
        yield _plain(path, "distinct_id is required!")
    elif len(value) > DISTINCT_ID_MAX_CODE_POINTS:
        limit = DISTINCT_ID_MAX_CODE_POINTS
        yield _plain(path, f"distinct_id has at most {limit} characters (code points), this one has {len(value):,}")
    elif _CONTROL.search(value):
        yield _plain(path, "distinct_id must not contain control characters")


def _faults_of_operation(operation: Operation, payload: JsonValue, path: str) -> Iterator[tuple[str, Fault]]:
    headline = message_of(operation)
    if operation is Operation.UNSET:
        yield from ((headline, fault) for fault in _faults_of_names(payload, path))
        return
    if type(payload) is not dict or not payload:
        yield headline, Fault(path, "expected an object of property names and values with at least one entry")
        return
    for name, value in payload.items():
        place = f"{path}.{_shortened(name)}"
        if not is_property_name(name):
            yield headline, Fault(place, _fault_of_name(name))
        if type(value) is dict:
            yield headline, Fault(place, "a value must not be an object: flatten it into several properties")
        elif type(value) is list:
            yield from ((headline, fault) for fault in _faults_of_list(operation, value, place))


def _faults_of_names(payload: JsonValue, path: str) -> Iterator[Fault]:
    if type(payload) is not list or not payload:
        yield Fault(path, "expected an array of property names with at least one item")
        return
    for position, name in enumerate(payload):
        if type(name) is not str:
            yield Fault(f"{path}[{position}]", f"a property name must be a string, not {_what_came(name)}")
        elif not is_property_name(name):
            yield Fault(f"{path}[{position}]", _fault_of_name(name))


def _faults_of_list(operation: Operation, value: list[JsonValue], place: str) -> Iterator[Fault]:
    if operation is not _SET and operation is not _ONCE:
        yield Fault(place, f"{operation.value} takes one value, not an array: send one update for each value")
        return
    for position, element in enumerate(value):
        if type(element) is list or type(element) is dict:
            yield Fault(f"{place}[{position}]", f"a list holds single values, not {_what_came(element)}")


def _fault_of_name(name: str) -> str:
    if not name:
        return "a property name must not be empty"
    if name[0] == "$":
        return "a property name must not start with '$'"
    if len(name) > NAME_MAX_CODE_POINTS:
        return f"a property name has at most {NAME_MAX_CODE_POINTS} characters (code points), this one {len(name):,}"
    return "a property name must not contain control characters"


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
