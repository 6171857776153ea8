"""What a change says as text: the operations that were sent and what was ignored, written and read in bounded steps.

A single call into the encoder or decoder cannot be interrupted, not even by another thread; for a request of ten
megabytes it takes a third of a second. So large texts are written and read piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from traitbase.domain.json_text import LARGE_BYTES, read_json_in_pieces
from traitbase.domain.operations import Ignored, Reason
from traitbase.domain.updates import Operation, Payload, Update
from traitbase.domain.values import JsonValue

LARGE_WEIGHT = 4 * 1024 * 1024
"""Updates of more weight than this are worth a thread: from some 1,400 values or 2,700 list elements on."""

_GROUPED_FROM = 1_000
_ENTRIES_A_PIECE = 1_024

_encode = msgspec.json.Encoder(decimal_format="number").encode


class IgnoredEntry(msgspec.Struct, frozen=True, gc=False):
    """One value that was not applied."""

    operation: Operation
    property: str
    reason: str
    message: str


class _IgnoredText(msgspec.Struct):
    operation: Operation
    reason: str
    message: str
    property: str = ""
    properties: list[str] = []


_ignored = msgspec.json.Decoder(list[_IgnoredText])
_operations = msgspec.json.Decoder(dict[Operation, msgspec.Raw])
_names = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[str])


def operations_text(update: Update) -> str:
    """Return an update's operations as a JSON object, `{"$set": {name: value}, "$unset": [name]}`."""
    parts = [f'"{operation.value}":{_payload_text(payload)}' for operation, payload in update.operations]
    return "{" + ",".join(parts) + "}"


def ignored_text(ignored: Sequence[Ignored]) -> str:
    """Return what was ignored as a JSON array of `{operation, property, reason, message}`.

    More than a thousand of them are told in groups, `{operation, properties, reason, message}`: the names of a request
    of ten megabytes, each with the same message beside it, would be a hundred.
    """
    if len(ignored) <= _GROUPED_FROM:
        return _encode([entry._asdict() for entry in ignored]).decode()
    groups: dict[tuple[Operation, Reason, str], list[str]] = {}
    for operation, name, reason, message in ignored:
        groups.setdefault((operation, reason, message), []).append(name)
    parts = []
    for (operation, reason, message), names in groups.items():
        head = _encode({"operation": operation, "reason": reason, "message": message}).decode()
        parts.append(f'{head[:-1]},"properties":{_array_text(names)}}}')
    return "[" + ",".join(parts) + "]"


def read_ignored(text: str) -> Iterator[IgnoredEntry]:
    """Yield what `ignored_text` was given, groups after each other."""
    entries: Any = (
        _ignored.decode(text)
        if len(text) <= LARGE_BYTES
        else msgspec.convert(read_json_in_pieces(text.encode()), list[_IgnoredText])
    )
    for entry in entries:
        for name in entry.properties or (entry.property,):
            yield IgnoredEntry(entry.operation, name, entry.reason, entry.message)


def read_names(text: str) -> tuple[tuple[Operation, list[str]], ...]:
    """Return the names that each operation of an `operations_text` was sent for."""
    if len(text) > LARGE_BYTES:
        sent: Any = read_json_in_pieces(text.encode())
        return tuple((Operation(word), list(payload)) for word, payload in sent.items())
    return tuple((operation, list(_names.decode(payload))) for operation, payload in _operations.decode(text).items())


def _payload_text(payload: Payload) -> str:
    if not isinstance(payload, dict):
        return _array_text(payload)
    entries = iter(payload.items())
    parts = []
    while piece := dict(islice(entries, _ENTRIES_A_PIECE)):
        if sum([len(value) for value in piece.values() if type(value) is list]) <= _ENTRIES_A_PIECE:
            parts.append(_encode(piece).decode()[1:-1])
        else:
            parts += [f"{_encode(name).decode()}:{_value_text(value)}" for name, value in piece.items()]
    return "{" + ",".join(parts) + "}"


def _value_text(value: JsonValue) -> str:
    return _array_text(value) if type(value) is list else _encode(value).decode()


def _array_text(elements: Sequence[object]) -> str:
    return "[" + ",".join(_pieces_of(elements)) + "]"


def _pieces_of(elements: Sequence[object]) -> Iterable[str]:
    for start in range(0, len(elements), _ENTRIES_A_PIECE):
        yield _encode(elements[start : start + _ENTRIES_A_PIECE]).decode()[1:-1]
