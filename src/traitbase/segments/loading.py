"""Filling the columnar copy: profiles go in as text, a line each, and the engine reads their documents by itself.

Python only passes text along: it was measured to take three times as long to convert the values itself, during which
nothing else in the process ran. Two things need it nevertheless. The engine's JSON reader makes numbers with a fraction
floating-point numbers, which holds 15 digits exactly: documents that may have longer ones are written anew, with those
numbers as texts (`exact`). And separators must not occur: ids have no control characters, and JSON escapes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlglot import exp

from traitbase.domain.destinations import TOKEN_CHANNELS
from traitbase.domain.rules.fields import CHANNEL_OF, Field
from traitbase.domain.values import Kind
from traitbase.segments.layout import DOCUMENT, FIELD_COLUMNS, KEY, NUMBER_TYPE, PROFILE_ID, SpaceTable
from traitbase.services.ports import BETWEEN_COPIED_FIELDS, BETWEEN_COPIED_ROWS, CopiedRow

_EXACT_DIGITS = 15

MACROS = (
    # Whether a Date says how far its clock is from UTC.
    """CREATE OR REPLACE MACRO has_offset(d) AS length(d) > 19 AND (right(d, 1) = 'Z'
    OR left(right(d, 6), 1) IN ('+', '-'))""",
    "CREATE OR REPLACE MACRO instant_of(d) AS CASE WHEN has_offset(d) THEN epoch_us(CAST(d AS TIMESTAMPTZ)) END",
    "CREATE OR REPLACE MACRO wall_of(d) AS CASE WHEN NOT has_offset(d) THEN epoch_us(CAST(d AS TIMESTAMP)) END",
    r"""CREATE OR REPLACE MACRO is_date(t) AS substr(t, 5, 1) = '-' AND left(t, 4) <> '0000' AND regexp_full_match(t,
    '[0-9]{4}-[0-9]{2}-[0-9]{2}(T([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?)?')
    AND TRY_CAST(left(t, 10) AS DATE) IS NOT NULL""",
    # The keys of list elements, as `elements.keys_of` has them.
    """CREATE OR REPLACE MACRO text_key(t) AS CASE WHEN is_date(t) THEN
    chr(1) || CASE WHEN has_offset(t) THEN 'd' || instant_of(t) ELSE 'w' || wall_of(t) END
    WHEN left(t, 1) = chr(1) THEN chr(1) || t ELSE t END""",
    # An element of a JSON array: a text, a number, or (of `exact`) a number as a text within an array.
    f"""CREATE OR REPLACE MACRO element_key(e) AS CASE left(CAST(e AS VARCHAR), 1) WHEN '"' THEN text_key(e->>'$')
    WHEN '[' THEN chr(1) || 'n' || CAST(CAST(e->>'$[0]' AS {NUMBER_TYPE}) AS VARCHAR)
    ELSE chr(1) || 'n' || CAST(CAST(e->>'$' AS {NUMBER_TYPE}) AS VARCHAR) END""",
    # Most lists are of words: without a digit there is no number in it, no date, and no escaped control character.
    """CREATE OR REPLACE MACRO list_of(t) AS CASE WHEN regexp_matches(t, '[0-9]') THEN
    list_transform(from_json(t, '["JSON"]'), lambda e: element_key(e)) ELSE from_json(t, '["VARCHAR"]') END""",
    """CREATE OR REPLACE MACRO tokens_of(t) AS list_transform(from_json(t, '[{"token": "VARCHAR"}]'),
    lambda e: text_key(e.token))""",
    "CREATE OR REPLACE MACRO key_of(t) AS CAST(left(sha256(t), 32) AS UUID)",
    f"CREATE OR REPLACE MACRO number_of(t) AS CAST(t AS {NUMBER_TYPE})",
    "CREATE OR REPLACE MACRO boolean_of(t) AS CAST(t AS BOOLEAN)",
)
"""How texts become values: in SQL, where the loading and rules about what has no column use them alike."""

_MADE_BY: Mapping[Kind, tuple[str, ...]] = {
    Kind.STRING: ("",),
    Kind.NUMBER: ("number_of",),
    Kind.BOOLEAN: ("boolean_of",),
    Kind.DATE: ("instant_of", "wall_of"),
    Kind.LIST: ("list_of",),
}


def call(name: str, *parts: exp.Expression) -> exp.Expression:
    """Return the call of a function by exactly that name."""
    return exp.Anonymous(this=name, expressions=[part.copy() for part in parts])


def read_from_document(text: exp.Expression, kind: Kind) -> list[exp.Expression]:
    """Return the values that a property's text in a document stands for: one, or of a Date its instant and its wall."""
    return [call(name, text) if name else text for name in _MADE_BY[kind]]


def pointer_to(name: str) -> str:
    """Return the JSON pointer (RFC 6901) to a member of an object."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def insertion(table: SpaceTable) -> tuple[str, dict[str, Any]]:
    """Return the statement that inserts the profiles of `$lines` (see `readable`), and its other parameters.

    In layers: fields of a line; documents taken apart; what is to be converted, as lists of all there is of a kind, so
    that the engine plans each conversion once and not once for each property, which took it longer than the work.
    """
    made = _properties(table, table.columns)
    tokens = [_CHANNELS[field] for field in _TOKEN_FIELDS]
    made.converted.append(f"list_transform([{', '.join(tokens)}], lambda t: tokens_of(t)) AS tokens")
    made.read.append(f"from_json(nullif({_field('attributes')}, ''), '{_ATTRIBUTES_STRUCTURE}') AS a")
    values = {**_FIELDS, **made.values}
    if table.has_documents:
        values[DOCUMENT] = _DOCUMENT
    # Every name in it is the copy's own: no part comes from outside.
    statement = f"INSERT INTO {table.profiles} ({', '.join(values)}) SELECT {', '.join(values.values())} {made.lines()}"
    return statement, made.parameters


def updating(table: SpaceTable, properties: Collection[str]) -> tuple[str, dict[str, Any]]:
    """Return the statement that changes profiles in some properties, to what `$lines` say, and its other parameters.

    For a table without documents. Those of the properties that have no column are left out.
    """
    made = _properties(table, [name for name in table.columns if name in properties])
    updated_at = FIELD_COLUMNS[Field.UPDATED_AT][0]
    values = {updated_at: _FIELDS[updated_at], **made.values}
    new = ", ".join(f"{value} AS new_{column}" for column, value in values.items())
    assigned = ", ".join(f"{column} = new_{column}" for column in values)
    statement = f"""UPDATE {table.profiles} SET {assigned} FROM (SELECT {_FIELDS[KEY]} AS its_key, {new} {made.lines()})
        WHERE {KEY} = its_key"""  # as above
    return statement, made.parameters


@dataclass(frozen=True, slots=True)
class _Properties:
    """How columns of properties are made of lines: their values, by column, of what is converted of what is read."""

    values: Mapping[str, str]
    converted: list[str]
    read: list[str]
    parameters: dict[str, Any]

    def lines(self) -> str:
        """Return the FROM clause."""
        return f"""FROM (SELECT {", ".join(["*", *self.converted])} FROM (SELECT {", ".join(["f", *self.read])}
            FROM (SELECT string_split(unnest(string_split(decode($lines), chr(10))), chr(31)) AS f)))"""


def _properties(table: SpaceTable, names: Iterable[str]) -> _Properties:
    together, apart = _told_apart(table, names)
    texts = {name: f"struct_extract_at(v, {at})" for at, name in enumerate(together, 1)}
    texts |= {name: f"w[{at}]" for at, name in enumerate(apart, 1)}
    values, converted = _conversions(table, texts)
    read: list[str] = []
    parameters: dict[str, Any] = {}
    if together:
        read.append(f"from_json({_DOCUMENT}, $structure) AS v")
        parameters["structure"] = _encode(dict.fromkeys(together, "VARCHAR")).decode()
    if apart:
        read.append(f"json_extract_string({_DOCUMENT}, $pointers) AS w")
        parameters["pointers"] = [pointer_to(name) for name in apart]
    return _Properties(values, converted, read, parameters)


def _conversions(table: SpaceTable, texts: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the value of each column of properties, whose texts these are, and the lists from which they are taken."""
    values, lists = {}, []
    for kind, makers in _MADE_BY.items():
        names = [name for name in texts if table.columns[name].kind is kind]
        listed = ", ".join(texts[name] for name in names)
        for number, maker in enumerate(makers):
            source = f"of_{kind.value}_{number}"
            if maker and names:
                lists.append(f"list_transform([{listed}], lambda t: {maker}(t)) AS {source}")
            for at, name in enumerate(names, 1):
                column = list(table.columns[name].declared)[number][0]
                values[column] = f"{source}[{at}]" if maker else texts[name]
    return values, lists


def _told_apart(table: SpaceTable, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return those properties that have columns: the ones that are read in one pass, and those that cannot be.

    In the engine's structures, two names that differ in the case of letters only are the same.
    """
    names = [name for name in names if table.columns[name].position is not None]
    together: dict[str, str] = {}
    apart = [name for name in names if together.setdefault(name.lower(), name) != name]
    return list(together.values()), apart


def _field(name: str) -> str:
    return f"f[{CopiedRow._fields.index(name) + 1}]"


_ID, _DOCUMENT = _field("distinct_id"), _field("document")
_CHANNELS = {field: f"a.channel.{channel.value}" for field, channel in CHANNEL_OF.items()}
_TOKEN_FIELDS = [field for field, channel in CHANNEL_OF.items() if channel in TOKEN_CHANNELS]
_FIELDS: Mapping[str, str] = {
    KEY: f"key_of({_ID})",
    PROFILE_ID: _field("profile_id"),
    **{
        FIELD_COLUMNS[field][0]: value
        for field, value in {
            Field.DISTINCT_ID: _ID,
            Field.CREATED_AT: f"CAST({_field('created_at_us')} AS BIGINT)",
            Field.UPDATED_AT: f"CAST({_field('updated_at_us')} AS BIGINT)",
            Field.COUNTRY_CODE: f"nullif({_field('country')}, '')",
            Field.BUCKET: f"CAST(CAST('0x' || left(md5({_ID}), 8) AS UBIGINT) % 10000 AS SMALLINT)",
            Field.NAME: "a.name",
            Field.STATUS: "coalesce(CAST(a.status AS TINYINT), 1)",
            Field.TIMEZONE: "a.timezone",
            **_CHANNELS,
            **{field: f"tokens[{at}]" for at, field in enumerate(_TOKEN_FIELDS, 1)},
        }.items()
    },
}
"""The values of the columns that every space has, by column."""
_ATTRIBUTES_STRUCTURE = json.dumps(
    {
        **dict.fromkeys(("name", "status", "timezone"), "VARCHAR"),
        "channel": {channel.value: "VARCHAR" for channel in CHANNEL_OF.values()},
    }
)


def readable(copied: bytes) -> bytes:
    """Return profiles, as they are copied, as text that the engine reads exactly."""
    if not _has_long_numbers(copied):
        return copied
    fields = copied.split(BETWEEN_COPIED_FIELDS)  # the last of a row and the first of the next in one
    documents = slice(_DOCUMENT_AT, None, len(CopiedRow._fields) - 1)
    fields[documents] = map(exact, fields[documents])
    return BETWEEN_COPIED_FIELDS.join(fields)


def _has_long_numbers(copied: bytes) -> bool:
    """Tell whether a document may have a number that the engine does not read exactly.

    All of the text is searched, and what is found is looked at: to cut the documents out first takes longer.
    """
    digits = copied.translate(_DIGITS_AS_ZEROS)
    at = digits.find(_MANY_DIGITS)
    while at >= 0:
        row_at = copied.rfind(BETWEEN_COPIED_ROWS, 0, at) + 1
        if copied.count(BETWEEN_COPIED_FIELDS, row_at, at) == _DOCUMENT_AT:
            return True
        field_end = copied.find(BETWEEN_COPIED_FIELDS, at)
        at = -1 if field_end < 0 else digits.find(_MANY_DIGITS, field_end)
    return False


_DOCUMENT_AT = CopiedRow._fields.index("document")
_DIGITS_AS_ZEROS = bytes.maketrans(b"0123456789.", b"0" * 11)
_MANY_DIGITS = b"0" * (_EXACT_DIGITS + 2)  # and the point
_LONG_NUMBER = re.compile(rb"[0-9][0-9.]{16}")


class _Literal(str):  # noqa: SLOT000  # a text that is told apart from other texts by its class
    """A number with a fraction, as it is written."""


_decode = msgspec.json.Decoder(dict[str, Any], float_hook=_Literal).decode
_encode = msgspec.json.Encoder().encode


def exact(document: bytes) -> bytes:
    """Return a document with its numbers that have a fraction as texts, and within lists as arrays of one text."""
    if _LONG_NUMBER.search(document) is None:
        return document
    return _encode({name: _exact(value) for name, value in _decode(document).items()})


def _exact(value: Any) -> Any:
    if type(value) is list:
        return [[str(each)] if type(each) is _Literal else each for each in value]
    return str(value) if type(value) is _Literal else value


def columns_of(table: SpaceTable) -> Iterator[str]:
    """Yield the declarations of the columns of a space's table of profiles."""
    yield f"{KEY} UUID"
    yield f"{PROFILE_ID} VARCHAR"
    for name, type_ in FIELD_COLUMNS.values():
        yield f"{name} {type_}"
    if table.has_documents:
        yield f"{DOCUMENT} VARCHAR"
    for column in table.columns.values():
        for name, type_ in column.declared:
            yield f"{name} {type_}"
