"""CSV: text stays text, lines are numbered as an editor shows them, and nothing is repaired."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imports.importing import NORTH, Importing, obeys_the_law
from traitbase.domain.errors import InvalidInput
from traitbase.domain.values import Kind
from traitbase.services.definitions import declare_definitions
from traitbase.services.imports import importing as use_case
from traitbase.services.imports.accounting import Finding


def defined(importing: Importing, **kinds: Kind) -> None:
    declare_definitions(importing.store, NORTH, kinds, at_us=1, first_seen_in="test")


@pytest.mark.parametrize(
    "cell",
    ["01234", "1E5", "+49 151 0", "2020-10-01", "2020-02-30", "true", "null", " padded ", "[1]", "0x1F", "é\u0301"],
)
def test_it_keeps_text_as_it_is_written(importing, cell):
    tally = importing.run(f"distinct_id,note\nada,{cell}\n")
    assert (tally.applied, importing.properties("ada"), importing.kinds()) == (1, {"note": cell}, {"note": Kind.STRING})


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)


@given(cells=st.lists(texts, min_size=1, max_size=6), end=st.sampled_from(["\n", "\r\n", "\r"]), data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_it_brings_any_text_in_byte_for_byte(tmp_path, cells, end, data):
    delimiter = data.draw(st.sampled_from([",", ";", "\t", "|"]))
    importing = Importing(tmp_path)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["distinct_id", "note"])
    writer.writerows([f"id{position}", cell] for position, cell in enumerate(cells))
    tally = importing.run(out.getvalue())
    assert (tally.applied, tally.read) == (len(cells), len(cells))
    assert [importing.properties(f"id{position}") for position in range(len(cells))] == [{"note": c} for c in cells]


def test_it_sends_nothing_for_an_empty_cell(importing):
    importing.run("distinct_id,name,city\nada,Ada,York\nada,,Leeds\n")
    assert importing.properties("ada") == {"name": "Ada", "city": "Leeds"}
    assert importing.sent("ada")[1] == {"$set": {"city": "Leeds"}}


def test_it_takes_a_short_row_as_empty_at_the_end(importing):
    assert importing.run("distinct_id,name,city\nada,Ada\n").applied == 1
    assert importing.properties("ada") == {"name": "Ada"}


def test_it_says_when_a_row_has_nothing_to_set(importing):
    tally = importing.run("distinct_id,name\nada,\n")
    assert (tally.ignored, tally.ignored_values, importing.properties("ada")) == (1, {"no_values": 1}, None)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_it_numbers_lines_as_they_stand_in_the_file(importing, end):
    lines = ["distinct_id,name", 'ada,"two', 'lines"', "", ",nobody", "bo,Bo,too,many", "cy,Cy"]
    tally = importing.run(end.join(lines))
    assert importing.properties("ada") == {"name": f"two{end}lines"}
    assert [(each.line, each.reason) for each in importing.findings] == [
        (5, "invalid_distinct_id"),
        (6, "too_many_cells"),
    ]
    assert (tally.read, tally.applied, tally.refused, tally.blank) == (5, 2, 2, 1)


def test_it_loses_one_line_to_a_quote_that_is_never_closed(importing):
    tally = importing.run('distinct_id,name\nada,"Ada\nbo,Bo\n\ncy,Cy\n')
    assert importing.findings == [Finding(2, "refused", "malformed_row", "a quoted cell begins here and is not closed")]
    assert (tally.read, tally.applied, tally.blank) == (4, 2, 1)


def test_it_refuses_text_after_a_closing_quote(importing):
    importing.run('distinct_id,name\nada,"Ada"x\nbo,Bo\n')
    assert [(each.line, each.reason) for each in importing.findings] == [(2, "malformed_row")]
    assert importing.properties("bo") == {"name": "Bo"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_it_finds_the_delimiter_in_the_header(importing, delimiter):
    header = delimiter.join(["name", "distinct_id", '"a,b;c"'])
    importing.run(f"{header}\n{delimiter.join(['Ada', 'ada', 'x'])}\n")
    assert importing.properties("ada") == {"name": "Ada", "a,b;c": "x"}


def test_it_takes_the_delimiter_that_is_named(importing):
    importing.run("distinct_id^name\nada^A,B\n", delimiter="^")
    assert importing.properties("ada") == {"name": "A,B"}
    assert importing.plan("distinct_id\tname\nada\tx\n", delimiter="tab").source.delimiter == "\t"
    with pytest.raises(InvalidInput, match="expected one character"):
        importing.plan("distinct_id,name\n", delimiter=",,")


def test_it_reads_text_as_the_type_that_is_defined(importing):
    defined(importing, age=Kind.NUMBER, vip=Kind.BOOLEAN, born=Kind.DATE, tags=Kind.LIST)
    tally = importing.run('distinct_id,age,vip,born,tags\nada,36.50,TRUE,1815-12-10,"[""a"",1.5,1e1]"\n')
    assert tally.applied == 1
    assert importing.properties("ada") == {
        "age": Decimal("36.5"),
        "vip": True,
        "born": "1815-12-10",
        "tags": ["a", Decimal("1.5"), 10],
    }


@pytest.mark.parametrize(
    ("kind", "cell"),
    [(Kind.NUMBER, cell) for cell in ["01", "+1", "1.", ".5", " 1", "1_0", "NaN", "٣", "0x1", "$5"]]
    + [(Kind.BOOLEAN, cell) for cell in ["yes", "1", "t"]]
    + [(Kind.DATE, cell) for cell in ["10.12.1815", "2020-02-30"]]
    + [(Kind.LIST, cell) for cell in ["a", "[1", "{}", "[[1]]", '[{"a":1}]', "1"]],
)
def test_it_ignores_visibly_what_cannot_be_read(importing, kind, cell):
    defined(importing, x=kind)
    quoted = cell.replace('"', '""')
    tally = importing.run(f'distinct_id,x,name\nada,"{quoted}",Ada\n')
    assert (tally.ignored, tally.applied_partly, tally.ignored_values) == (1, 1, {"type_mismatch": 1})
    assert importing.sent("ada") == [{"$set": {"x": cell, "name": "Ada"}}]
    assert importing.findings[0][:3] + importing.findings[0][4:] == (2, "ignored", "type_mismatch", "ada", "$set", "x")


def test_it_keeps_numbers_exact(importing):
    importing.run("distinct_id,n\nada,9007199254740993\nbo,0.1\ncy,1e400\n", kinds={"n": Kind.NUMBER})
    assert importing.properties("ada") == {"n": 9007199254740993}
    assert importing.properties("bo") == {"n": Decimal("0.1")}
    assert [(each.line, each.reason) for each in importing.findings] == [(4, "number_out_of_range")]


def test_it_goes_on_after_thousands_of_digits(importing):
    importing.run(f"distinct_id,n\nada,{'9' * 5000}\n", kinds={"n": Kind.NUMBER})
    assert importing.findings[0].reason == "number_out_of_range"


def test_it_declares_the_type_that_is_asked_for(importing):
    importing.run("distinct_id,n,when\nada,x,\n", kinds={"n": Kind.NUMBER, "when": Kind.DATE})
    assert importing.kinds() == {"n": Kind.NUMBER, "when": Kind.DATE}
    assert importing.findings[0].reason == "type_mismatch"


def test_it_writes_groups_in_order(importing, monkeypatch):
    monkeypatch.setattr(use_case, "ROWS_A_GROUP", 3)
    lines = "".join(f"ada,{n}\n" for n in range(20))
    tally = importing.run(f"distinct_id,n\n{lines}")
    assert (tally.applied, importing.properties("ada"), tally.last_line) == (20, {"n": "19"}, 21)


rows = st.lists(st.text(st.sampled_from('ab,"\n\r \t\0'), max_size=12), max_size=30)


@given(rows=rows)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
def test_it_accounts_for_every_line_of_any_file(tmp_path, rows):
    importing = Importing(tmp_path)
    tally = importing.run("distinct_id,b\n" + "\n".join(rows), delimiter=",")
    assert obeys_the_law(tally)
    assert tally.refused == sum(each.outcome == "refused" for each in importing.findings)
    again = importing.check("distinct_id,b\n" + "\n".join(rows), delimiter=",")
    assert obeys_the_law(again)
    assert (again.read, again.refused, again.blank) == (tally.read, tally.refused, tally.blank)


@given(rows=st.lists(st.sampled_from(["", "  ", ",x", "ada,x", "bo,", "cy,1,2", '"dan"x,1']), max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_it_counts_as_a_reader_would(tmp_path, rows):
    tally = Importing(tmp_path).run("distinct_id,b\n" + "".join(f"{row}\n" for row in rows))
    assert tally.read == len(rows)
    assert tally.blank == sum(not row.strip() for row in rows)
    assert tally.applied == rows.count("ada,x")
    assert tally.ignored == rows.count("bo,")
    assert tally.refused == tally.read - tally.blank - tally.applied - tally.ignored
