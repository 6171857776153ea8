"""What an export looks like: its header, the columns of attributes, and how cells are guarded. Imports know it by this.

Property names never begin with `$`, so columns that do can be told apart from properties. Spreadsheets run cells that
begin like a formula (OWASP, *CSV Injection*); such texts get an apostrophe in front, which importing our own files
takes away again. A text that begins with an apostrophe gets one too, and the empty text is one alone: an empty cell is
no value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from traitbase.domain.attributes import Attributes, Destinations, Token
from traitbase.domain.definitions import State
from traitbase.domain.destinations import TOKEN_CHANNELS, Channel
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.values import JsonValue, Kind, Value, written
from traitbase.services.ports import DefinitionRow

VERSION = 1
"""Of the layout. A file of a newer one is refused by name."""

MARK = "traitbase_export"
"""The key that says so in the first line of NDJSON and in the metadata of Parquet."""

MARK_COLUMN = "$traitbase"
"""The column of CSV by which an export is known: empty for profiles, else what the row says of the columns."""


class Row(StrEnum):
    """The rows of CSV, right below the header, that say something of the columns."""

    TYPES = "types"
    STATES = "states"
    DESCRIPTIONS = "descriptions"


NAME, STATUS, TIMEZONE, PREFERENCES, ALIASES = "$name", "$status", "$timezone", "$preferences", "$aliases"
_CHANNELS = {channel: f"$channel.{channel.value}" for channel in Channel}
JSON_COLUMNS = frozenset({PREFERENCES, ALIASES, *(_CHANNELS[channel] for channel in TOKEN_CHANNELS)})
"""Columns of attributes whose cells are JSON."""

ATTRIBUTE_COLUMNS = (NAME, STATUS, TIMEZONE, *_CHANNELS.values(), PREFERENCES, ALIASES)
"""The columns of attributes, in order. What is as usual (status 1, no name, …) is an empty cell."""

_GUARD = "'"
_GUARDED = frozenset("'=+-@\t\r\n＝＋－＠")  # the last four are what Japanese input methods make of the ones before


class Definition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A property as the header has it."""

    name: str
    type: Kind
    state: State = State.ACTIVE
    description: str | None = None


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a file says of itself: the layout's version, the workspace's time zone, and the property definitions.

    `renamed` maps columns of Parquet to the properties they are, where that differs.
    """

    traitbase_export: int
    timezone: str | None = None
    definitions: tuple[Definition, ...]
    renamed: dict[str, str] = {}  # msgspec gives each its own

    @property
    def archived(self) -> frozenset[str]:
        """The names of the archived properties."""
        return frozenset(each.name for each in self.definitions if each.state is State.ARCHIVED)


def header_of(definitions: Iterable[DefinitionRow], *, timezone: str) -> Header:
    """Return the header for a space's definitions. `timezone` is the workspace's."""
    found = (Definition(row.name, row.kind, row.state, row.description) for row in definitions)
    return Header(traitbase_export=VERSION, timezone=timezone, definitions=tuple(found))


def encode_header(header: Header) -> bytes:
    """Return the header as a JSON object."""
    return _encode(header)


def find_header(text: str | bytes) -> Header | None:
    """Return the header that a JSON text is, None if it is something else. Raises InvalidInput for a broken one."""
    try:
        if MARK not in _decode_keys(text):
            return None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    try:
        header = _decode_header(text)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"the header of the export is broken: {error}", code="invalid_header") from error
    check_version(header.traitbase_export)
    return header


def check_version(version: int) -> None:
    """Raise InvalidInput unless this release can read exports of that version."""
    if version != VERSION:
        message = f"the file is an export of version {version}, this release reads {VERSION}: use a newer one"
        raise InvalidInput(message, code="unknown_export_version")


def guard(text: str) -> str:
    """Return a text as the cell that is written: never empty, never a formula."""
    return text if text and text[0] not in _GUARDED else _GUARD + text


def unguard(cell: str) -> str:
    """Return the text that a cell of an export stands for."""
    return cell[1:] if cell.startswith(_GUARD) else cell


def text_of(value: Value) -> str:
    """Return a value as text: numbers in digits, `true` or `false`, lists as JSON arrays."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[return-value]  # its type was just asked for
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if kind is list:
        return _encode([written(element) for element in value]).decode()  # type: ignore[union-attr]  # a list
    return format(value, "f")


def attribute_cells(attributes: Attributes) -> dict[str, str]:
    """Return the cells of a profile's attributes by column, those left out that are as usual."""
    cells: dict[str, str] = {}
    if attributes.name is not None:
        cells[NAME] = attributes.name
    if attributes.status != 1:
        cells[STATUS] = str(attributes.status)
    if attributes.timezone is not None:
        cells[TIMEZONE] = attributes.timezone
    for name, destination in attributes.channel.items():
        cells[_CHANNELS[Channel(name)]] = destination if isinstance(destination, str) else _json(destination)
    if attributes.preferences:
        cells[PREFERENCES] = _json(attributes.preferences)
    if attributes.aliases:
        cells[ALIASES] = _json(attributes.aliases)
    return cells


def read_attribute_cells(cells: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return the members of a profile's JSON object that the cells stand for. Raises InvalidInput naming the column."""
    found: dict[str, JsonValue] = {}
    channel: dict[str, JsonValue] = {}
    for column, cell in cells.items():
        value = _read_json(column, cell) if column in JSON_COLUMNS else cell
        if column == STATUS:
            found["status"] = int(cell) if str(cell) in ("0", "1") else cell
        elif column in _CHANNEL_OF:
            channel[_CHANNEL_OF[column]] = value
        else:
            found[column.removeprefix("$")] = value
    if channel:
        found["channel"] = channel
    return found


def attributes_as_json(attributes: Attributes) -> bytes:
    """Return the members of a profile's JSON object that are its attributes, each followed by a comma."""
    inner = _encode(msgspec.structs.replace(attributes, id_list=()))[1:-1]
    return inner + b"," if inner else b""


_CHANNEL_OF = {column: channel.value for channel, column in _CHANNELS.items()}
_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder().decode
_decode_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_header = msgspec.json.Decoder(Header).decode


def _json(value: Destinations | Sequence[Token] | Sequence[str] | Mapping[str, Any]) -> str:
    return _encode(value).decode()


def _read_json(column: str, cell: str) -> JsonValue:
    try:
        return _decode(cell)  # type: ignore[no-any-return]  # without a type it decodes to plain objects
    except (msgspec.DecodeError, RecursionError) as error:
        fault = Fault(column, "expected JSON, as the export wrote it")
        raise InvalidInput(f"{column}: {fault.message}", faults=(fault,)) from error
