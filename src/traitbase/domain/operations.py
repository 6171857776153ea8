"""The six operations: what each does to a profile, and which values are ignored and why.

| operation | unknown property | known property |
| --- | --- | --- |
| `$set` | created, type inferred | replaced |
| `$once` | created, type inferred | written only if the profile has no value now |
| `$add` | a Number | absent counts as 0; adds, exactly |
| `$append` | a List | one value at the end unless it is there |
| `$remove` | nothing | takes the value out of a List; an emptied list stays |
| `$unset` | nothing | makes it absent, any type |

`apply` is pure and total: no update that `updates` let through raises. Nothing is ever converted to another type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from traitbase.domain import values
from traitbase.domain.definitions import DEFINITIONS_MAX, Definitions, PropertyDefinition, State, infer_kind
from traitbase.domain.profiles import EMPTY_PROFILE, PROFILE_MAX_BYTES, PROPERTIES_MAX, Profile
from traitbase.domain.updates import SCALAR_MAX_BYTES, Operation, Payload, Update
from traitbase.domain.values import JsonValue, Kind, Scalar, Value


class Reason(StrEnum):
    """Why one value was ignored: stable codes, seen in receipts."""

    TYPE_MISMATCH = "type_mismatch"
    ALREADY_SET = "already_set"
    ALREADY_IN_LIST = "already_in_list"
    NULL_VALUE = "null_value"
    STRING_TOO_LONG = "string_too_long"
    NUL_CHARACTER = "nul_character"
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    NOT_A_NUMBER = "not_a_number"
    LIST_ELEMENT_TYPE = "list_element_type"
    LIST_TOO_LONG = "list_too_long"
    LIST_FULL = "list_full"
    PROFILE_FULL = "profile_full"
    TOO_MANY_PROPERTIES = "too_many_properties"
    PROPERTY_ARCHIVED = "property_archived"
    ABSENT = "absent"


VALUE_LOST = frozenset(Reason) - {
    Reason.ALREADY_SET,
    Reason.ALREADY_IN_LIST,
    Reason.ABSENT,
    Reason.TOO_MANY_PROPERTIES,
}
"""Reasons for which a value that its sender meant to be kept was not, of a property that is defined."""

_MESSAGES = {
    Reason.TYPE_MISMATCH: "the property is of another type; nothing is converted",
    Reason.ALREADY_SET: "the profile has a value already, and $once writes only where there is none",
    Reason.ALREADY_IN_LIST: "the list holds this value already",
    Reason.NULL_VALUE: "null is no value; to clear a property use $unset",
    Reason.STRING_TOO_LONG: f"a string has at most {values.STRING_MAX_CODE_POINTS} characters (code points)",
    Reason.NUL_CHARACTER: "a string must not contain the character U+0000",
    Reason.NUMBER_OUT_OF_RANGE: f"a number has at most {values.NUMBER_INTEGER_DIGITS} digits before the decimal point",
    Reason.NOT_A_NUMBER: "$add takes a JSON number; a number in quotes is a string",
    Reason.LIST_ELEMENT_TYPE: "a list holds strings, numbers and dates; not booleans or nulls",
    Reason.LIST_TOO_LONG: f"a list has at most {values.LIST_MAX_ELEMENTS:,} different elements",
    Reason.LIST_FULL: f"the list has its {values.LIST_MAX_ELEMENTS:,} elements already; $remove some first",
    Reason.PROFILE_FULL: (
        f"a profile has at most {PROPERTIES_MAX:,} properties and {PROFILE_MAX_BYTES // 1024} KB; $unset some first"
    ),
    Reason.TOO_MANY_PROPERTIES: (
        f"the workspace has its {DEFINITIONS_MAX:,} different property names in this environment already"
    ),
    Reason.PROPERTY_ARCHIVED: "the property is archived and takes no new values",
    Reason.ABSENT: "there was nothing to take away",
}


_SUM_OUT_OF_RANGE = (
    f"the sum is out of range: a number has at most {values.NUMBER_INTEGER_DIGITS} digits before the decimal point"
)


class Ignored(NamedTuple):
    """One value that was not applied, while everything beside it was. `message` is for the caller's eyes."""

    operation: Operation
    property: str
    reason: Reason
    message: str


class Applied(NamedTuple):
    """What an update did.

    `profile` is None if it did not exist and was not created. `new_kinds` are the definitions that its values made.
    Every entry of the update that is not in `ignored` was applied (see `applied_in`).
    """

    profile: Profile | None
    new_kinds: dict[str, Kind]
    ignored: tuple[Ignored, ...]


def apply(profile: Profile | None, update: Update, definitions: Definitions) -> Applied:
    """Apply an update to a profile (None: unknown) and return what came of it; the arguments stay as they are.

    An update that leaves the profile within its limits applies as a whole. One that would not is applied value by
    value, and values that do not fit any more are ignored with `profile_full`.
    """
    if profile is None:
        if not update.creates:
            return Applied(None, {}, tuple(_nothing_to_take_away(update)))
        profile = EMPTY_PROFILE
    return _apply_as_a_whole(profile, update, definitions) or _apply_value_by_value(profile, update, definitions)


def _apply_as_a_whole(profile: Profile, update: Update, definitions: Definitions) -> Applied | None:
    """Apply an update, or return None if the profile would not be within its limits afterwards."""
    draft = _Draft(dict(profile.properties), definitions)
    if update.weight > _ORDINARY_WEIGHT:
        draft = _BoundedDraft(dict(profile.properties), definitions, update)
        try:
            draft.run(update)
        except _Hopeless:
            return None
    else:
        draft.run(update)
    size, is_exact = profile.size_bound + update.weight, False
    if len(draft.properties) > PROPERTIES_MAX:
        return None
    if size > PROFILE_MAX_BYTES:
        size, is_exact = _size_after(update, profile, draft.properties), True
        if size > PROFILE_MAX_BYTES:
            return None
    return Applied(Profile(draft.properties, size, is_exact), draft.new_kinds, tuple(draft.ignored))


def _apply_value_by_value(profile: Profile, update: Update, definitions: Definitions) -> Applied:
    size = profile.size_bound if profile.is_exact else _size_of(profile.properties)
    draft = _CarefulDraft(dict(profile.properties), definitions, size)
    draft.run(update)
    return Applied(Profile(draft.properties, draft.size, is_exact=True), draft.new_kinds, tuple(draft.ignored))


def applied_in(update: Update, ignored: Iterable[tuple[Operation, str]]) -> list[tuple[Operation, str]]:
    """Return the (operation, property) pairs of an update that were applied, given those that were ignored."""
    left_out: dict[Operation, set[str]] = {operation: set() for operation, _ in update.operations}
    for operation, name in ignored:
        left_out[operation].add(name)
    return [
        (operation, name)
        for operation, payload in update.operations
        for name in payload
        if name not in left_out[operation]
    ]


def _nothing_to_take_away(update: Update) -> Iterator[Ignored]:
    for operation, payload in update.operations:
        for name in payload:
            yield Ignored(operation, name, Reason.ABSENT, _MESSAGES[Reason.ABSENT])


# Enumeration members and module attributes cost a look-up each time: the hot loop below uses these.
_ACTIVE = State.ACTIVE
_SET, _ONCE, _ADD, _APPEND, _REMOVE = Operation.SET, Operation.ONCE, Operation.ADD, Operation.APPEND, Operation.REMOVE
_STRING, _NUMBER, _BOOLEAN, _DATE = Kind.STRING, Kind.NUMBER, Kind.BOOLEAN, Kind.DATE
_BOUND = values.NUMBER_BOUND

_Put: TypeAlias = Callable[[str, Value], None]

# An update that can add more than this is watched while it is applied: a hundred thousand names that cannot all stay
# need not be tried first. It is what a profile of the most properties can take at the most.
_ORDINARY_WEIGHT = PROPERTIES_MAX * SCALAR_MAX_BYTES
# Weighed entry by entry beyond this, so that no single call into the encoder takes long: a thread cannot be left
# within one.
_ENCODED_AT_ONCE_BYTES = 1024 * 1024
_ELEMENTS_A_STEP = 4_096


class _Full(Exception):  # a signal inside this module, not an error
    """The value does not fit into the profile any more."""


class _Hopeless(Exception):  # as above
    """Whatever comes, the profile will have too many properties in the end."""


class _Draft:
    """A profile in the making: its properties so far, the definitions it brought, and what was ignored."""

    __slots__ = ("_definitions", "_put", "ignored", "new_kinds", "properties")
    _weighs_nothing = True

    def __init__(self, properties: dict[str, Value], definitions: Definitions) -> None:
        self.properties = properties
        self.new_kinds: dict[str, Kind] = {}
        self.ignored: list[Ignored] = []
        self._definitions = definitions
        self._put: _Put = properties.__setitem__

    def run(self, update: Update) -> None:
        # Compared by identity: looking an enumeration member up in a dict runs its Python-level hash.
        for operation, payload in update.operations:
            if operation is _SET:
                self._set(payload)  # type: ignore[arg-type]  # parsed: a dict for all but $unset
            elif operation is _ONCE:
                self._once(payload)  # type: ignore[arg-type]
            elif operation is _ADD:
                self._add(payload)  # type: ignore[arg-type]
            elif operation is _APPEND:
                self._append(payload)  # type: ignore[arg-type]
            elif operation is _REMOVE:
                self._remove(payload)  # type: ignore[arg-type]
            else:
                self._unset(payload)

    def _set(self, payload: dict[str, JsonValue]) -> None:  # noqa: C901  # one loop, unrolled by type for its speed
        by_name = self._definitions.by_name
        properties = self.properties
        weighs_nothing = self._weighs_nothing
        for name, sent in payload.items():
            definition = by_name.get(name)
            # Nearly every value of a busy system is a fitting scalar for a known property: those take this short way,
            # which is a third of the time of the general one. Weighing (`_put`) is not needed for what fits as a whole.
            if definition is not None and definition.state is _ACTIVE and weighs_nothing:
                kind = definition.kind
                sent_type = type(sent)
                if sent_type is str:
                    if kind is _STRING and len(sent) <= 255 and "\0" not in sent:  # type: ignore[arg-type, operator]
                        properties[name] = sent  # type: ignore[assignment]
                        continue
                    if kind is _DATE and values.is_date(sent):  # type: ignore[arg-type]
                        properties[name] = sent  # type: ignore[assignment]
                        continue
                elif sent_type is int:
                    if kind is _NUMBER and -_BOUND < sent < _BOUND:
                        properties[name] = sent  # type: ignore[assignment]
                        continue
                elif sent_type is bool:
                    if kind is _BOOLEAN:
                        properties[name] = sent  # type: ignore[assignment]
                        continue
                elif sent_type is Decimal and kind is _NUMBER:
                    number = values.to_number(sent)  # type: ignore[arg-type]
                    if number is not None:
                        properties[name] = number
                        continue
            self._replace(Operation.SET, name, sent)

    def _once(self, payload: dict[str, JsonValue]) -> None:
        for name, sent in payload.items():
            if name in self.properties:
                value = self._accept(Operation.ONCE, name, sent)
                if value is not None:
                    self._ignore(Operation.ONCE, name, Reason.ALREADY_SET)
            else:
                self._replace(Operation.ONCE, name, sent)

    def _replace(self, operation: Operation, name: str, sent: JsonValue) -> None:
        if name not in self._definitions.by_name and name not in self.new_kinds and _is_plain(sent):
            closed = self._closed_to_new(name)
            if closed is not None:  # the short way of the hundred thousand names that nobody has room for
                self.ignored.append(Ignored(operation, name, closed, _MESSAGES[closed]))
                return
        value = self._accept(operation, name, sent)
        if value is not None:
            self._write(operation, name, value, infer_kind(value))

    def _add(self, payload: dict[str, JsonValue]) -> None:
        for name, sent in payload.items():
            if type(sent) is not int and type(sent) is not Decimal:
                reason = Reason.NULL_VALUE if sent is None else Reason.NOT_A_NUMBER
                self._ignore(Operation.ADD, name, reason)
                continue
            if not self._takes(Operation.ADD, name, Kind.NUMBER):
                continue
            number = values.to_number(sent)
            current = self.properties.get(name, 0)
            if type(current) is not int and type(current) is not Decimal:
                # The profile is newer than these definitions. Whoever writes this finds out and decides again.
                self._ignore(Operation.ADD, name, Reason.TYPE_MISMATCH)
                continue
            total = None if number is None else values.add(current, number)
            if total is None:
                reason = Reason.NUMBER_OUT_OF_RANGE
                message = _MESSAGES[reason] if number is None else _SUM_OUT_OF_RANGE
                self.ignored.append(Ignored(Operation.ADD, name, reason, message))
            else:
                self._write(Operation.ADD, name, total, Kind.NUMBER)

    def _append(self, payload: dict[str, JsonValue]) -> None:
        zone = self._definitions.zone
        for name, sent in payload.items():
            element = _element(sent)
            if isinstance(element, Reason) and sent is None:
                self._ignore(Operation.APPEND, name, Reason.NULL_VALUE)
                continue
            if not self._takes(Operation.APPEND, name, Kind.LIST):
                continue
            if isinstance(element, Reason):
                self._ignore(Operation.APPEND, name, element)
                continue
            current = self.properties.get(name, [])
            if type(current) is not list:  # as above
                self._ignore(Operation.APPEND, name, Reason.TYPE_MISMATCH)
                continue
            if values.index_of(element, current, zone) is not None:
                self._ignore(Operation.APPEND, name, Reason.ALREADY_IN_LIST)
            elif len(current) >= values.LIST_MAX_ELEMENTS:
                self._ignore(Operation.APPEND, name, Reason.LIST_FULL)
            else:
                self._write(Operation.APPEND, name, [*current, element], Kind.LIST)

    def _remove(self, payload: dict[str, JsonValue]) -> None:
        for name, sent in payload.items():
            current = self.properties.get(name)
            if type(current) is not list:
                definition = self._definition(name)
                mismatch = definition is not None and definition.kind is not Kind.LIST
                self._ignore(Operation.REMOVE, name, Reason.TYPE_MISMATCH if mismatch else Reason.ABSENT, Kind.LIST)
                continue
            element = sent if type(sent) is str else _element(sent)
            if isinstance(element, Reason):
                self._ignore(Operation.REMOVE, name, Reason.NULL_VALUE if sent is None else element)
                continue
            position = values.index_of(element, current, self._definitions.zone)
            if position is None:
                self._ignore(Operation.REMOVE, name, Reason.ABSENT)
            else:
                self.take(name, [*current[:position], *current[position + 1 :]])

    def _unset(self, payload: Payload) -> None:
        for name in payload:
            if name in self.properties:
                self.take(name, None)
            else:
                self._ignore(Operation.UNSET, name, Reason.ABSENT)

    def _definition(self, name: str) -> PropertyDefinition | None:
        definition = self._definitions.by_name.get(name)
        if definition is None and name in self.new_kinds:
            return PropertyDefinition(self.new_kinds[name])
        return definition

    def _takes(self, operation: Operation, name: str, kind: Kind) -> bool:
        """Tell whether the property takes new values of this kind, and record why not."""
        definition = self._definition(name)
        if definition is None or (definition.kind is kind and definition.state is State.ACTIVE):
            return True
        if definition.kind is not kind:
            self._ignore(operation, name, Reason.TYPE_MISMATCH, definition.kind)
        else:
            self._ignore(operation, name, Reason.PROPERTY_ARCHIVED)
        return False

    def _accept(self, operation: Operation, name: str, sent: JsonValue) -> Value | None:
        """Return the value as it is kept, or None after recording why it is not."""
        definition = self._definition(name)
        kept = _fit(sent, None if definition is None else definition.kind, self._definitions)
        if isinstance(kept, Reason):
            self._ignore(operation, name, kept, None if definition is None else definition.kind, sent)
            return None
        if definition is not None and definition.state is State.ARCHIVED:
            self._ignore(operation, name, Reason.PROPERTY_ARCHIVED)
            return None
        return kept

    def _closed_to_new(self, _name: str) -> Reason | None:
        """Return why a name that is not defined yet gets no value, whatever it is; None if it might."""
        full = len(self._definitions.by_name) + len(self.new_kinds) >= DEFINITIONS_MAX
        return Reason.TOO_MANY_PROPERTIES if full else None

    def _write(self, operation: Operation, name: str, value: Value, kind: Kind | None) -> None:
        """Give the property its value; `kind` (None: it is known to be defined) is the definition it would bring."""
        brings = kind is not None and name not in self._definitions.by_name and name not in self.new_kinds
        if brings and len(self._definitions.by_name) + len(self.new_kinds) >= DEFINITIONS_MAX:
            self._ignore(operation, name, Reason.TOO_MANY_PROPERTIES)
            return
        try:
            self._put(name, value)
        except _Full:
            self._ignore(operation, name, Reason.PROFILE_FULL)
            return
        if brings:
            self.new_kinds[name] = kind  # type: ignore[assignment]  # not None where it brings a definition

    def take(self, name: str, left: list[Scalar] | None) -> None:
        """Leave a shorter list, or nothing (None), under the name."""
        if left is None:
            del self.properties[name]
        else:
            self.properties[name] = left

    def _ignore(
        self, operation: Operation, name: str, reason: Reason, kind: Kind | None = None, sent: JsonValue = None
    ) -> None:
        self.ignored.append(Ignored(operation, name, reason, _message(operation, reason, kind, sent)))


class _BoundedDraft(_Draft):
    """A draft that gives up once it has more properties than all that the update takes away could make up for."""

    __slots__ = ("_properties_max",)
    _weighs_nothing = False

    def __init__(self, properties: dict[str, Value], definitions: Definitions, update: Update) -> None:
        super().__init__(properties, definitions)
        last, names = update.operations[-1]
        self._properties_max = PROPERTIES_MAX + (len(names) if last is Operation.UNSET else 0)
        self._put = self._put_if_there_is_hope

    def _put_if_there_is_hope(self, name: str, value: Value) -> None:
        self.properties[name] = value
        if len(self.properties) > self._properties_max:
            raise _Hopeless


class _CarefulDraft(_Draft):
    """A draft that weighs every value before it is written: slower, and only for updates that do not fit as a whole.

    `size` is that of the properties' document; it is kept up to date by what each value adds and takes away.
    """

    __slots__ = ("_entries_size",)
    _weighs_nothing = False

    def __init__(self, properties: dict[str, Value], definitions: Definitions, size: int) -> None:
        super().__init__(properties, definitions)
        self._entries_size = _entries_size(size)
        self._put = self._put_if_it_fits

    @property
    def size(self) -> int:
        """Bytes of the document so far."""
        return _document_size(self._entries_size)

    def _put_if_it_fits(self, name: str, value: Value) -> None:
        entries_size = self._entries_size - self._share(name) + _entry_size(name, value)
        if name not in self.properties and len(self.properties) >= PROPERTIES_MAX:
            raise _Full
        if _document_size(entries_size) > PROFILE_MAX_BYTES and entries_size > self._entries_size:
            raise _Full
        self.properties[name] = value
        self._entries_size = entries_size

    def take(self, name: str, left: list[Scalar] | None) -> None:
        self._entries_size -= self._share(name)
        super().take(name, left)
        self._entries_size += self._share(name)

    def _closed_to_new(self, name: str) -> Reason | None:
        reason = super()._closed_to_new(name)
        if reason is None and len(self.properties) >= PROPERTIES_MAX and name not in self.properties:
            return Reason.PROFILE_FULL
        return reason

    def _share(self, name: str) -> int:
        return _entry_size(name, self.properties[name]) if name in self.properties else 0


def _size_after(update: Update, profile: Profile, properties: dict[str, Value]) -> int:
    """Return the size of the document of what an update made of a profile."""
    if not profile.is_exact or sum([len(payload) for _, payload in update.operations]) > len(properties):
        bound = profile.size_bound + update.weight
        return _size_of(properties) if bound > _ENCODED_AT_ONCE_BYTES else len(values.encode_properties(properties))
    touched = {name for _, payload in update.operations for name in payload}
    size = _entries_size(profile.size_bound)
    before = profile.properties
    for name in touched:
        if name in before:
            size -= _entry_size(name, before[name])
        if name in properties:
            size += _entry_size(name, properties[name])
    return _document_size(size)


def _size_of(properties: dict[str, Value]) -> int:
    return _document_size(sum(_entry_size(name, value) for name, value in properties.items()))


def _entry_size(name: str, value: Value) -> int:
    """Return the bytes of `"name":value,` with its comma: the object of this one entry, less a brace."""
    return len(values.encode_properties({name: value})) - 1


def _document_size(entries_size: int) -> int:
    # Two braces around entries of which the last has no comma.
    return entries_size + 1 if entries_size else 2


def _entries_size(document_size: int) -> int:
    return document_size - 1 if document_size > 2 else 0


def _is_plain(sent: JsonValue) -> bool:
    """Tell whether a value is a valid one of its own type at first sight, so that nothing else can be wrong with it."""
    kind = type(sent)
    if kind is str:
        return len(sent) <= values.STRING_MAX_CODE_POINTS and "\0" not in sent  # type: ignore[arg-type, operator]  # text
    return kind is bool or (kind is int and -_BOUND < sent < _BOUND)


def _fit(sent: JsonValue, kind: Kind | None, definitions: Definitions) -> Value | Reason:
    """Return the value to keep for a property of that kind (None: not known yet), or why there is none."""
    match sent:
        case None:
            return Reason.NULL_VALUE
        case bool():
            return sent if kind in (None, Kind.BOOLEAN) else Reason.TYPE_MISMATCH
        case str():
            if kind not in (None, Kind.STRING, Kind.DATE):
                return Reason.TYPE_MISMATCH
            if kind is Kind.DATE:
                return sent if values.is_date(sent) else Reason.TYPE_MISMATCH
            fault = _fault_of_string(sent)
            return sent if fault is None else fault
        case list():
            if kind not in (None, Kind.LIST):
                return Reason.TYPE_MISMATCH
            return _fit_list(sent, definitions)
        case dict():
            # Refused as structure before; said here too so that this function is total for whoever calls it.
            return Reason.TYPE_MISMATCH
        case _:
            if kind not in (None, Kind.NUMBER):
                return Reason.TYPE_MISMATCH
            number = values.to_number(sent)
            return Reason.NUMBER_OUT_OF_RANGE if number is None else number


def _fit_list(sent: list[JsonValue], definitions: Definitions) -> Value | Reason:
    kept: list[Scalar] = []
    for start in range(0, len(sent), _ELEMENTS_A_STEP):
        fitting: list[Scalar] = []
        for element in _without_twins(sent[start : start + _ELEMENTS_A_STEP]):
            fit = _element(element)
            if isinstance(fit, Reason):
                return fit
            fitting.append(fit)
        if len(kept) <= values.LIST_MAX_ELEMENTS:  # else the rest is only looked at for what cannot be kept
            kept = values.unique([*kept, *fitting], definitions.zone)
    return Reason.LIST_TOO_LONG if len(kept) > values.LIST_MAX_ELEMENTS else kept


def _without_twins(sent: list[JsonValue]) -> Iterable[JsonValue]:
    """Return the elements with each value once where that is cheap: a million twins need not be looked at.

    `True` would be taken for a twin of 1, so texts and numbers only.
    """
    return dict.fromkeys(sent) if {str, int, Decimal}.issuperset(map(type, sent)) else sent


def _element(sent: JsonValue) -> str | values.Number | Reason:
    """Return one list element as it is kept, or why it cannot be one."""
    if type(sent) is str:
        fault = _fault_of_string(sent)
        return sent if fault is None else fault
    if type(sent) is int or type(sent) is Decimal:
        number = values.to_number(sent)
        return Reason.NUMBER_OUT_OF_RANGE if number is None else number
    return Reason.LIST_ELEMENT_TYPE


def _fault_of_string(sent: str) -> Reason | None:
    if len(sent) > values.STRING_MAX_CODE_POINTS:
        return Reason.STRING_TOO_LONG
    return Reason.NUL_CHARACTER if "\0" in sent else None


_KIND_WORDS = {
    Kind.STRING: "a String",
    Kind.NUMBER: "a Number",
    Kind.BOOLEAN: "a Boolean",
    Kind.DATE: "a Date (such as 2020-10-01 or 2020-10-01T18:30:00+05:30)",
    Kind.LIST: "a List",
}


def _message(operation: Operation, reason: Reason, kind: Kind | None, sent: JsonValue) -> str:
    if reason is not Reason.TYPE_MISMATCH or kind is None:
        return _MESSAGES[reason]
    match operation:
        case Operation.ADD:
            return f"$add needs a Number, and this property is {_KIND_WORDS[kind]}"
        case Operation.APPEND:
            return f"$append needs a List, and this property is {_KIND_WORDS[kind]}"
        case Operation.REMOVE:
            return "$remove needs a List, and this property is of another type"
        case _:
            what = (
                "another string" if kind is Kind.DATE and type(sent) is str else f"a JSON {values.kind_of_json(sent)}"
            )
            return f"this property is {_KIND_WORDS[kind]}, and {what} was sent; nothing is converted"
