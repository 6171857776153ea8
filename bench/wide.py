"""A population of profiles with thirty properties, for cohorts: what it is like, and the rules that are asked of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from bench.traffic import WORKSPACE_ID, distinct_id
from traitbase import bootstrap
from traitbase.domain.attributes import Attributes, encode_attributes, search_keys
from traitbase.domain.definitions import State
from traitbase.domain.spaces import Space
from traitbase.domain.values import Kind
from traitbase.services.ports import DefinitionRow, EditedRow, ProfileRow, WriteSet
from traitbase.settings import load_settings

SPACE = Space(WORKSPACE_ID, "live")
_ROWS_A_TRANSACTION = 10_000
_DOCUMENTS = 20_000
_CITIES = ["Pune", "Berlin", "São Paulo", "東京", "Nairobi", "Toronto", "Lisboa", "Oslo"]
_PLANS = ["free", "free", "free", "pro", "pro", "business", "enterprise"]
_WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "newsletter", "referred", "student"]
_FORMS = "ssnndblnsn"  # of ten properties: text, text, number, number, date, boolean, list, number, text, number
_KIND_OF = {"s": Kind.STRING, "n": Kind.NUMBER, "d": Kind.DATE, "b": Kind.BOOLEAN, "l": Kind.LIST}

KINDS = {f"p{number:02}": _KIND_OF[_FORMS[number % 10]] for number in range(30)}


@dataclass(frozen=True, slots=True)
class Question:
    """A rule, and the same by hand in the SQL of the copy (`{p02}` is a column) and of a document store."""

    name: str
    rules: dict[str, Any]
    by_hand: str
    over_json: str


def rule(field: str, operator: str, value: object = None) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def _all(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"combinator": "and", "rules": list(rules)}


def _any(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"combinator": "or", "rules": list(rules)}


QUESTIONS = [
    Question("text", _all(rule("p00", "=", "pro")), "{p00} = 'pro'", "{p00} = 'pro'"),
    Question(
        "number and text",
        _all(rule("p02", ">", 50_000), rule("p01", "in", ["Pune", "Oslo"])),
        "{p02} > 50000 AND {p01} IN ('Pune', 'Oslo')",
        "{p02} > 50000 AND {p01} IN ('Pune', 'Oslo')",
    ),
    Question(
        "not, with the missing",
        _all(rule("p00", "!=", "pro"), rule("p03", "<=", 10)),
        "{p00} IS DISTINCT FROM 'pro' AND {p03} <= 10",
        "({p00} IS NULL OR {p00} <> 'pro') AND {p03} <= 10",
    ),
    Question(
        "date",
        _all(rule("p04", ">=", "2024-06-01"), rule("p05", "=", True)),
        "{p04} >= 1717192800000000 AND {p05}",
        "{p04} >= '2024-06-01' AND {p05}",
    ),
    Question(
        "list",
        _all(rule("p06", "contains", "newsletter")),
        "list_contains({p06}, 'newsletter')",
        "{p06} LIKE '%\"newsletter\"%'",
    ),
    Question("part of a text", _all(rule("p08", "contains", "lph")), "contains({p08}, 'lph')", "{p08} LIKE '%lph%'"),
    Question(
        "between",
        _all(rule("p07", "between", [1_000, 2_000]), rule("p13", "notNull")),
        "{p07} BETWEEN 1000 AND 2000 AND {p13} IS NOT NULL",
        "{p07} BETWEEN 1000 AND 2000 AND {p13} IS NOT NULL",
    ),
    Question(
        "nested",
        _all(rule("p00", "notNull"), _any(rule("p02", ">", 99_000), rule("p12", "<", 500), rule("p15", "=", False))),
        "{p00} IS NOT NULL AND ({p02} > 99000 OR {p12} < 500 OR NOT {p15})",
        "{p00} IS NOT NULL AND ({p02} > 99000 OR {p12} < 500 OR NOT {p15})",
    ),
    Question(
        "any of four",
        _any(rule("p10", "=", "free"), rule("p11", "=", "Oslo"), rule("p17", ">", 90_000), rule("p19", "<", 100)),
        "{p10} = 'free' OR {p11} = 'Oslo' OR {p17} > 90000 OR {p19} < 100",
        "{p10} = 'free' OR {p11} = 'Oslo' OR {p17} > 90000 OR {p19} < 100",
    ),
    Question(
        "beginning, without case",
        _all(rule("p18", "beginsWith", "GAMMA") | {"ignoreCase": True}, rule("p22", ">=", 1)),
        "starts_with(lower({p18}), 'gamma') AND {p22} >= 1",
        "lower({p18}) LIKE 'gamma%' AND {p22} >= 1",
    ),
]


def over_jsonb(question: Question) -> str:
    """Return the condition of a question as one would write it over documents of `jsonb`."""
    texts = {name: f"document->>'{name}'" for name in KINDS}
    casts = {Kind.NUMBER: "CAST({} AS numeric)", Kind.BOOLEAN: "CAST({} AS boolean)"}
    return question.over_json.format(
        **{name: casts.get(KINDS[name], "{}").format(text) for name, text in texts.items()}
    )


def documents(seed: int) -> list[str]:
    """Return documents of thirty properties, of which each is there in nine of ten."""
    rng = random.Random(seed)
    encode = msgspec.json.Encoder(decimal_format="number").encode
    return [
        encode({name: _value(rng, number) for number, name in enumerate(KINDS) if rng.random() < 0.9}).decode()
        for _ in range(_DOCUMENTS)
    ]


def _value(rng: random.Random, number: int) -> object:
    match _FORMS[number % 10]:
        case "s":
            if number % 10 == 8:
                return f"{rng.choice(_WORDS)} {rng.randrange(1_000)}"
            return rng.choice(_CITIES if number % 10 else _PLANS)
        case "n":
            return rng.choice(
                [rng.randrange(100_000), Decimal(rng.randrange(10**6) * 100 + rng.randrange(1, 100)).scaleb(-2)]
            )
        case "d":
            day = f"20{rng.randrange(10, 27)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
            return f"{day}T{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}Z"
        case "b":
            return rng.random() < 0.5
        case _:
            return rng.sample(_WORDS, 3)


def fill(data: Path, rows: int) -> None:
    """Write profiles and their definitions as batches would have, only faster."""
    store = bootstrap.open_store(load_settings(data=data))
    session = store.open_session()
    drawn = documents(0)
    for start in range(0, rows, _ROWS_A_TRANSACTION):
        written = WriteSet(definitions_at={SPACE: 1 if start else 0})
        now_us, request_id = bootstrap.now_us(), bootstrap.new_request_id()
        if not start:
            written.new_definitions[SPACE] = [
                DefinitionRow(name, kind, State.ACTIVE, now_us, request_id) for name, kind in KINDS.items()
            ]
        written.edited.extend(_rows(range(start, min(start + _ROWS_A_TRANSACTION, rows)), drawn, now_us))
        session.write(written, wait_seconds=10)
        store.tidy()
    session.close()
    store.close()


def _rows(numbers: range, drawn: list[str], now_us: int) -> Iterator[EditedRow]:
    for number in numbers:
        who = distinct_id(number)
        attributes = Attributes(name=f"Customer {number}", channel={"email": f"{who}@example.com"})
        stored = (drawn[number * 7_919 % len(drawn)], now_us, now_us, encode_attributes(attributes))
        row = ProfileRow(*SPACE, who, bootstrap.new_profile_id(), 1, *stored)
        yield EditedRow(row, "", 0, *search_keys(attributes))
