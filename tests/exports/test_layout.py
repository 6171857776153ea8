"""What the files look like, byte for byte: others read them too."""

from __future__ import annotations

import json
from decimal import Decimal

import duckdb
import pytest

from exports.populations import Person, Population, export, fill, new_space
from support.data import ON_POSTGRES
from traitbase.domain.attributes import Attributes, Choice, Preference, Token
from traitbase.domain.definitions import State
from traitbase.domain.values import Kind
from traitbase.services.exports.layout import guard, unguard
from traitbase.services.ports import DefinitionRow


def define(name, kind, state=State.ACTIVE, description=None):
    return DefinitionRow(name, kind, state, 1, "test", description)


ADA = Person(
    "+4915",
    {"ltv": Decimal("-5.50"), "note": "=1+1", "tags": ["a", Decimal("1E-7"), 3], "vip": True, "zip": "01234"},
    Attributes(
        name="Ada",
        status=0,
        timezone="Asia/Kolkata",
        channel={"sms": "+49 151 23456789", "push": [Token("t1", "fcm", 0)]},
        preferences={"news": {"email": Preference(Choice.OPTED_OUT, 7)}},
        aliases=("a1", "a2"),
        id_list=("p9",),
    ),
)
BO = Person("bo", {"note": "", "born": "2020-02-29"})
PEOPLE = Population(
    [
        define("born", Kind.DATE),
        define("ltv", Kind.NUMBER, description="in €"),
        define("never", Kind.STRING),
        define("note", Kind.STRING),
        define("tags", Kind.LIST),
        define("vip", Kind.BOOLEAN, State.ARCHIVED),
        define("zip", Kind.STRING),
    ],
    [ADA, BO, Person("cy", {})],
)


@pytest.fixture
def exported(store, tmp_path):
    space = new_space(store)
    fill(store, space, PEOPLE)
    return lambda name: export(store, space, tmp_path / name)


def test_it_writes_csv(exported):
    assert exported("people.csv").read_bytes().decode().split("\r\n") == [
        (
            "distinct_id,$traitbase,$name,$status,$timezone,$channel.sms,$channel.whatsapp,$channel.voice,$channel.email,"
            "$channel.slack,$channel.discord,$channel.teams,$channel.push,$channel.inapp,$channel.webpush,$preferences,"
            "$aliases,born,ltv,never,note,tags,vip,zip"
        ),
        ",types 1,,,,,,,,,,,,,,,,date,number,string,string,list,boolean,string",
        ",states,,,,,,,,,,,,,,,,active,active,active,active,active,archived,active",
        ",descriptions,,,,,,,,,,,,,,,,,in €,,,,,",
        (
            "'+4915,,Ada,0,Asia/Kolkata,'+49 151 23456789,,,,,,,"
            '"[{""token"":""t1"",""integration_id"":""fcm"",""status"":0}]",,,'
            '"{""news"":{""email"":{""choice"":""opted-out"",""at_us"":7}}}","[""a1"",""a2""]",'
            ',-5.50,,\'=1+1,"[""a"",0.0000001,3]",true,01234'
        ),
        "bo,,,,,,,,,,,,,,,,,2020-02-29,,,',,,",
        "cy,,,,,,,,,,,,,,,,,,,,,,,",
        "",
    ]


def test_it_never_heads_two_columns_of_csv_alike(store, tmp_path):
    space = new_space(store)
    fill(store, space, Population([define("'distinct_id", Kind.STRING), define("distinct_id", Kind.STRING)]))
    top = export(store, space, tmp_path / "people.csv").read_text().splitlines()[0].split(",")
    assert (top[0], top[-2:]) == ("distinct_id", ["''distinct_id", "'distinct_id"])


def test_it_writes_ndjson(exported):
    lines = [
        (
            '{"traitbase_export":1,"timezone":"Europe/Berlin","definitions":[{"name":"born","type":"date"},'
            '{"name":"ltv","type":"number","description":"in €"},{"name":"never","type":"string"},'
            '{"name":"note","type":"string"},{"name":"tags","type":"list"},'
            '{"name":"vip","type":"boolean","state":"archived"},{"name":"zip","type":"string"}]}'
        ),
        (
            '{"distinct_id":"+4915","name":"Ada","status":0,"timezone":"Asia/Kolkata",'
            '"channel":{"sms":"+49 151 23456789","push":[{"token":"t1","integration_id":"fcm","status":0}]},'
            '"preferences":{"news":{"email":{"choice":"opted-out","at_us":7}}},"aliases":["a1","a2"],'
            '"properties":{"ltv":-5.50,"note":"=1+1","tags":["a",1E-7,3],"vip":true,"zip":"01234"}}'
        ),
        '{"distinct_id":"bo","properties":{"note":"","born":"2020-02-29"}}',
        '{"distinct_id":"cy","properties":{}}',
        "",
    ]
    found = exported("people.ndjson").read_text().split("\n")
    if ON_POSTGRES:  # which writes documents in its own way
        found, lines = ([json.loads(each or "0", parse_float=Decimal) for each in some] for some in (found, lines))
    assert found == lines


def test_it_writes_parquet_with_types_that_hold_every_value(exported):
    path = exported("people.parquet")
    with duckdb.connect() as engine:
        described = engine.execute(f"DESCRIBE SELECT * EXCLUDE (distinct_id) FROM '{path}'").fetchall()
        types = {name: kind for name, kind, *_ in described if not name.startswith("$")}
        rows = engine.execute(f"SELECT distinct_id, ltv, note, tags, vip, born FROM '{path}'").fetchall()
    assert types == {
        "born": "VARCHAR",
        "ltv": "DECIMAL(38,18)",
        "never": "VARCHAR",
        "note": "VARCHAR",
        "tags": "JSON",
        "vip": "BOOLEAN",
        "zip": "VARCHAR",
    }
    assert rows == [
        ("+4915", Decimal("-5.5"), "=1+1", '["a",0.0000001,3]', True, None),
        ("bo", None, "", None, None, "2020-02-29"),
        ("cy", None, None, None, None, None),
    ]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\ta", "\ra", "\na", "＝1", "'a", "'", ""])
def test_it_guards_what_a_spreadsheet_would_run(text):
    assert guard(text) == "'" + text
    assert unguard(guard(text)) == text


@pytest.mark.parametrize("text", ["a=1", "01234", "1E5", "0730907665", " =1", '"', "2020-01-01"])
def test_it_leaves_other_texts_as_they_are(text):
    assert guard(text) == text == unguard(text)
