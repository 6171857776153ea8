"""Columns: their types are settled, or refused by name, before anything is written."""

from __future__ import annotations

import pytest

from imports.importing import NORTH
from traitbase.domain.errors import Conflict, InvalidInput, NotFound, Refused
from traitbase.domain.spaces import Space
from traitbase.domain.values import Kind
from traitbase.services.definitions import declare_definitions
from traitbase.services.imports.columns import Column, Origin
from traitbase.services.imports.importing import plan_import
from traitbase.services.imports.sources import ImportOptions, open_source


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("name,age", "there is no column 'distinct_id'; the columns are 'name', 'age'"),
        ("distinct_id", "no column beside 'distinct_id'"),
        ("distinct_id,$name", r"column 2 \('\$name'\): this cannot be a property name"),
        ("distinct_id,name,", r"column 3 \(''\)"),
        ("distinct_id,name,name", r"column 3 \('name'\): the name is used by another column"),
        ("distinct_id,a,distinct_id", r"column 3 \('distinct_id'\)"),
        (f"distinct_id,{'x' * 256}", "1 to 255 characters"),
        ('distinct_id,"a\nb"', "control characters"),
        ('distinct_id,"a', "no readable header: line 1: a quoted cell begins here and is not closed"),
        ("", "is empty; expected a header line"),
    ],
)
def test_it_names_what_is_wrong_with_the_header(importing, header, message):
    with pytest.raises(InvalidInput, match=message):
        importing.run(f"{header}\n1,2,3\n" if header else "")
    assert importing.kinds() == {}


def test_it_shows_where_each_type_comes_from(importing):
    declare_definitions(importing.store, NORTH, {"age": Kind.NUMBER}, at_us=1, first_seen_in="test")
    planned = importing.plan("distinct_id,age,zip,since\n", kinds={"since": Kind.DATE})
    assert planned.columns == [
        Column("age", Kind.STRING, Kind.NUMBER, Origin.DEFINED),
        Column("zip", Kind.STRING, Kind.STRING, Origin.TEXT),
        Column("since", Kind.STRING, Kind.DATE, Origin.ASKED),
    ]


def test_it_refuses_a_type_that_contradicts_the_definition(importing):
    declare_definitions(importing.store, NORTH, {"age": Kind.NUMBER}, at_us=1, first_seen_in="test")
    with pytest.raises(Conflict, match="--type age=string: the property is defined as number"):
        importing.plan("distinct_id,age\n", kinds={"age": Kind.STRING})
    assert importing.plan("distinct_id,age\n", kinds={"age": Kind.NUMBER}).columns[0].kind is Kind.NUMBER


def test_it_refuses_a_type_for_a_column_that_is_not_there(importing):
    with pytest.raises(InvalidInput, match="--type agee: there is no such column; the columns are 'age'"):
        importing.plan("distinct_id,age\n", kinds={"agee": Kind.NUMBER})


def test_it_refuses_an_unknown_workspace(importing):
    opened = open_source(importing.file("distinct_id,a\n", "f.csv"), ImportOptions())
    with pytest.raises(NotFound, match="no workspace 'nowhere'"):
        plan_import(importing.store, Space("nowhere", "live"), opened, asked={})


def test_it_declares_a_column_with_its_first_value_or_when_asked_to(importing):
    importing.run("distinct_id,name,empty,asked\nu1,,,\n", kinds={"asked": Kind.NUMBER})
    assert importing.kinds() == {"asked": Kind.NUMBER}
    importing.run("distinct_id,name,empty,when\n" + "u1,,,\n" * 2_500 + "u2,Ada,,2026-11-25\n")
    assert importing.kinds() == {"asked": Kind.NUMBER, "name": Kind.STRING, "when": Kind.STRING}


def test_it_writes_nothing_when_there_are_too_many_properties(importing):
    names = ",".join(f"p{number}" for number in range(5_001))
    values = ",".join("x" for _ in range(5_001))
    with pytest.raises(Refused, match=r"5,001 new properties do not fit: .* at most 5,000"):
        importing.run(f"distinct_id,{names}\nada,{values}\n")
    assert importing.kinds() == {}


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("f.xyz", b"a", {}, "the format of f.xyz is not clear"),
        ("f.csv", b"\x1f\x8b\x08\x00", {}, "is compressed"),
        ("f.parquet", b"PAR1", {"delimiter": ";"}, "--delimiter is for CSV"),
        ("f.parquet", b"PAR1", {"encoding": "cp1252"}, "--encoding is for CSV and NDJSON"),
        ("f.ndjson", b"{}", {"kinds": {"a": Kind.DATE}}, "--type is for CSV and Parquet"),
        ("f.parquet", b"PAR1 but no more of it", {}, "f.parquet cannot be read as Parquet"),
    ],
)
def test_it_says_what_cannot_be_read(importing, name, content, options, message):
    with pytest.raises(InvalidInput, match=message):
        importing.plan(content, name, **options)


def test_it_says_that_a_file_is_not_there(tmp_path):
    with pytest.raises(NotFound, match="there is no file"):
        open_source(tmp_path / "none.csv", ImportOptions())
    with pytest.raises(InvalidInput, match="cannot be read"):
        open_source(tmp_path, ImportOptions())
