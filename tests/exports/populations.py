"""Made-up populations with everything a profile can have, and what a store holds of one."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from traitbase.domain.attributes import (
    NO_ATTRIBUTES,
    Attributes,
    Choice,
    Preference,
    Token,
    decode_attributes,
    encode_attributes,
    search_keys,
)
from traitbase.domain.definitions import State
from traitbase.domain.spaces import Space, Workspace
from traitbase.domain.updates import is_property_name
from traitbase.domain.values import Kind, decode_properties, encode_properties, to_number, unique
from traitbase.services.exports.exporting import open_export
from traitbase.services.imports.importing import Sources, Watch, plan_import, run_import
from traitbase.services.imports.sources import Format, ImportOptions, open_source
from traitbase.services.ports import DefinitionRow, EditedRow, ProfileRow, WriteSet

ZONE = "Europe/Berlin"
_numbers = itertools.count(1)
NASTY = [
    *("", "'", "''", "'=1", "=1+1", "+49151", "-5", "@x", "\ta", "\ra", "\na", "a\r\nb", "a\rb", "＝1", "0730907665"),
    *("01234", "1E5", "true", "null", "NaN", "[1]", '["a"]', "{}", '"', '""', 'a"b', "a,b", "a;b", " ", " a ", "\\"),
    *("\u2028", "\ufeff", "\ufeffa", "\x85", "\x1f", "\x7f", "\U0001f600", "e\u0301", "\u00e9", "types", "$x"),
    *("2020-01-01", "2020-02-30", "__proto__", "constructor", "distinct_id", "\uffff", "ｅ", "a'b", "🧑‍🤝‍🧑"),
]
anything = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
texts = st.one_of(st.sampled_from(NASTY), anything, st.sampled_from(NASTY).map(lambda text: text * 20))
ids = st.one_of(st.sampled_from(NASTY), anything, st.integers(0, 99).map(str)).filter(
    lambda text: text != "" and not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text)
)
names = st.one_of(ids, st.sampled_from(["NAME", "name", "Name", "ß", "ss", "ſ", "s", "S", "distinct_id (2)"])).filter(
    is_property_name
)
numbers = st.one_of(
    st.integers(-(10**20) + 1, 10**20 - 1),
    st.decimals(-(10**19), 10**19, places=18).map(to_number),
    st.sampled_from([0, -5, Decimal("0.1"), Decimal("1E-18"), Decimal("-0.000000000000000001"), 9007199254740993]),
)
dates = st.one_of(
    st.dates().map(str),
    st.sampled_from(["0001-01-01", "9999-12-31T23:59:59.999999999Z", "2020-10-01T18:30:00.250+05:30"]),
    st.datetimes().map(lambda at: at.isoformat(timespec="microseconds")),
)
lists = st.lists(st.one_of(texts, numbers, dates), max_size=6).map(lambda found: unique(found, ZoneInfo(ZONE)))
VALUES = {
    Kind.STRING: texts,
    Kind.NUMBER: numbers,
    Kind.BOOLEAN: st.booleans(),
    Kind.DATE: dates,
    Kind.LIST: lists,
}
tokens = st.lists(
    st.builds(Token, ids.filter(str.strip), st.one_of(st.none(), ids), st.integers(0, 1)),
    min_size=1,
    max_size=3,
    unique_by=lambda t: t.token,
)
channels = st.fixed_dictionaries(
    {},
    optional={
        "push": tokens,
        "email": st.sampled_from(["ann@example.com", "=a+b@Example.COM", "-x@example.com"]),
        "sms": st.sampled_from(["+4915123456789", "+49 (151) 234-56789", "+91 98765 43210"]),
        "slack": st.sampled_from(["@ann", "=SUM(A1)", "'x", "#general"]),
    },
)
preferences = st.dictionaries(
    st.one_of(ids, st.just("all")),
    st.dictionaries(
        st.sampled_from(["email", "sms", "push"]),
        st.builds(Preference, st.sampled_from(Choice), st.integers(0, 2**50)),
        min_size=1,
    ),
    max_size=2,
)


@dataclass(frozen=True)
class Person:
    distinct_id: str
    properties: dict
    attributes: Attributes = NO_ATTRIBUTES


@dataclass(frozen=True)
class Population:
    definitions: list[DefinitionRow]
    people: list[Person] = field(default_factory=list)


@st.composite
def populations(draw):
    kinds = draw(st.dictionaries(names, st.sampled_from(Kind), max_size=6))
    definitions = [
        DefinitionRow(
            name, kind, draw(st.sampled_from(State)), 1, "test", draw(st.one_of(st.none(), st.just("Why"), texts))
        )
        for name, kind in kinds.items()
    ]
    everyone = draw(st.lists(ids, unique=True, max_size=8))
    people = []
    while everyone:
        distinct_id, aliases = everyone.pop(), ()
        if draw(st.booleans()):
            count = draw(st.integers(0, 2))
            aliases, everyone = tuple(everyone[:count]), everyone[count:]
        held = {name: VALUES[kind] for name, kind in kinds.items()}
        people.append(
            Person(
                distinct_id,
                draw(st.fixed_dictionaries({}, optional=held)),
                Attributes(
                    name=draw(st.one_of(st.none(), texts.map(lambda text: text or None))),
                    status=draw(st.sampled_from([1, 1, 0])),
                    timezone=draw(st.sampled_from([None, "Asia/Kolkata"])),
                    channel=draw(channels),
                    preferences=draw(preferences),
                    aliases=aliases,
                ),
            )
        )
    return Population(definitions, people)


NUMBERS = [0, -5, 9007199254740993, 10**20 - 1, Decimal("0.1"), Decimal("1E-18"), Decimal("-9.999999999999999999")]
"""Where floating point, 64 bits or signs would show."""


def everything() -> Population:
    """Return a population with every odd text as id, name and value, which a random one seldom has together."""
    kinds = {**{name: Kind.STRING for name in NASTY if is_property_name(name)}, "n": Kind.NUMBER, "l": Kind.LIST}
    definitions = [DefinitionRow(name, kind, State.ACTIVE, 1, "test", name) for name, kind in sorted(kinds.items())]
    definitions.append(DefinitionRow("old", Kind.BOOLEAN, State.ARCHIVED, 1, "test"))
    people = [
        Person(f"text {at}", dict.fromkeys(sorted(kinds.keys() - {"n", "l"}), text)) for at, text in enumerate(NASTY)
    ]
    people += [Person(f"number {at}", {"n": number, "old": True}) for at, number in enumerate(NUMBERS)]
    people += [Person("list", {"l": [*NASTY, *NUMBERS]}), Person("empty list", {"l": []}), Person("nothing", {})]
    people += [Person(text, {"l": [text]}) for text in NASTY if is_property_name(text)]
    return Population(definitions, people)


def new_space(store, environment: str = "live") -> Space:
    """Make an empty workspace: opening a database for each example would take most of the time."""
    workspace_id = f"ws{len(store.list_workspaces())}"
    store.add_workspace(Workspace(workspace_id, "Made up", ZONE, 1))
    return Space(workspace_id, environment)


def fill(store, space: Space, population: Population) -> None:
    """Write a population as the services would have."""
    writes = WriteSet(definitions_at={space: 0}, new_definitions={space: population.definitions})
    having: Counter[str] = Counter()
    for number, person in enumerate(population.people):
        document = encode_properties(person.properties).decode()
        attributes = encode_attributes(person.attributes)
        row = ProfileRow(*space, person.distinct_id, f"p{number}", 1, document, 5, 6, attributes, None)
        writes.edited.append(EditedRow(row, "", 0, *search_keys(person.attributes)))
        having.update(person.properties.keys())
        for alias in person.attributes.aliases:
            row = ProfileRow(*space, alias, f"p{number}-{alias}", 1, "{}", 5, 6, None, person.distinct_id)
            writes.edited.append(EditedRow(row, "", 0, None, None))
    writes.edited.sort(key=lambda edited: edited.row.distinct_id)
    writes.having[space] = having
    with closing(store.open_session()) as session:
        session.write(writes, wait_seconds=5)


def content_of(store, space: Space) -> dict:
    """Everything that an export promises to carry, exact: values as the JSON that is stored."""
    with store.open_snapshot(space) as snapshot:
        rows = [row for step in snapshot.read_profiles() for row in step]
        definitions = [
            (row.name, row.kind, row.state, row.description, row.profiles) for row in snapshot.get_definitions()
        ]
    people = {row.distinct_id: (_exact(row.document), decode_attributes(row.attributes)) for row in rows}
    aliases = [alias for _, attributes in people.values() for alias in attributes.aliases]
    found = {row.distinct_id: row.alias_of for row in store.find_profiles(space, aliases)}
    searched = {
        (field_, key, row.distinct_id)
        for field_ in ("name", "email")
        for key, row in store.search_profiles(space, field_, "", after=None, limit=100)
    }
    return {"definitions": definitions, "people": people, "aliases": found, "searched": searched}


def export(store, space: Space, path):
    """Export a space to a file in the format of its name, and return the file."""
    with open_export(store, space) as exported:
        exported.write_file(Format(path.suffix[1:]), path)
        assert exported.written == exported.total
    return path


def bring_in(store, space: Space, path, **options):
    """Import a file as the command does, and return the tally."""
    wishes = ImportOptions(**options)
    planned = plan_import(store, space, open_source(path, wishes), asked=dict(wishes.kinds))
    given = Sources(lambda: 7, lambda: f"r{next(_numbers):09}", lambda: f"{next(_numbers):024x}")
    return run_import(store, planned, given=given, watch=Watch())


def _exact(document: str) -> dict[str, bytes]:
    return {name: encode_properties({"": value}) for name, value in decode_properties(document).items()}
