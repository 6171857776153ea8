"""Parquet: the file's types are kept exactly, and what cannot be kept is named before anything is written."""

from __future__ import annotations

from decimal import Decimal

import duckdb
import pytest

from imports.importing import NORTH, obeys_the_law
from traitbase.domain.errors import InvalidInput, Refused
from traitbase.domain.values import Kind
from traitbase.services.definitions import declare_definitions
from traitbase.services.imports import importing as use_case
from traitbase.services.imports.columns import Origin


@pytest.fixture
def write(tmp_path):
    def write_parquet(query: str, name: str = "file.parquet"):
        path = tmp_path / name
        with duckdb.connect() as connection:
            connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
        return path

    return write_parquet


@pytest.mark.parametrize(
    ("expression", "value", "kind"),
    [
        ("'01234'", "01234", Kind.STRING),
        ("'2020-01-01'", "2020-01-01", Kind.STRING),
        ("''", "", Kind.STRING),
        ("5::TINYINT", 5, Kind.NUMBER),
        ("18446744073709551615::UBIGINT", 18446744073709551615, Kind.NUMBER),
        ("9007199254740993::BIGINT", 9007199254740993, Kind.NUMBER),
        ("1.50::DECIMAL(10, 2)", Decimal("1.5"), Kind.NUMBER),
        ("0.1::DOUBLE", Decimal("0.1"), Kind.NUMBER),
        ("0.1::FLOAT", Decimal("0.1"), Kind.NUMBER),
        ("-3::DOUBLE", -3, Kind.NUMBER),
        ("1e19::DOUBLE", 10**19, Kind.NUMBER),
        ("true", True, Kind.BOOLEAN),
        ("DATE '0001-01-01'", "0001-01-01", Kind.DATE),
        ("TIMESTAMP '2020-10-01 18:30:00'", "2020-10-01T18:30:00", Kind.DATE),
        ("TIMESTAMP '2020-10-01 18:30:00.25'", "2020-10-01T18:30:00.25", Kind.DATE),
        ("TIMESTAMP_NS '2020-10-01 18:30:00.123456789'", "2020-10-01T18:30:00.123456789", Kind.DATE),
        ("TIMESTAMPTZ '2020-10-01 18:30:00+05:30'", "2020-10-01T13:00:00Z", Kind.DATE),
        ("'8b6c1fd4-5f3c-4b5d-9a9e-111111111111'::UUID", "8b6c1fd4-5f3c-4b5d-9a9e-111111111111", Kind.STRING),
        ("['a', 'b', 'a']", ["a", "b"], Kind.LIST),
        ("[1.5::DOUBLE, 2]", [Decimal("1.5"), 2], Kind.LIST),
        ("[DATE '2020-01-01']", ["2020-01-01"], Kind.LIST),
        ("[]::INTEGER[]", [], Kind.LIST),
    ],
)
def test_it_keeps_each_type(importing, write, expression, value, kind):
    tally = importing.run(write(f"SELECT 'ada' AS distinct_id, {expression} AS x"))
    assert (tally.applied, importing.properties("ada"), importing.kinds()) == (1, {"x": value}, {"x": kind})


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("'nan'::DOUBLE", "not_finite"),
        ("'-inf'::FLOAT", "not_finite"),
        ("['nan'::DOUBLE, 1]", "not_finite"),
        ("1e300::DOUBLE", "number_out_of_range"),
        ("DATE '12020-01-01'", "type_mismatch"),
        ("'infinity'::TIMESTAMP", "type_mismatch"),
        ("[1, NULL]", "list_element_type"),
        ("[true]", "list_element_type"),
    ],
)
def test_it_says_why_a_value_was_ignored(importing, write, expression, reason):
    tally = importing.run(write(f"SELECT 'ada' AS distinct_id, {expression} AS x, 1 AS y"))
    assert (tally.applied, tally.ignored, tally.applied_partly) == (0, 1, 1)
    assert [(each.line, each.reason, each.property) for each in importing.findings] == [(1, reason, "x")]
    assert importing.properties("ada") == {"y": 1}


def test_it_says_once_what_was_not_finite_in_a_row_with_nothing_else(importing, write):
    tally = importing.run(write("SELECT 'ada' AS distinct_id, 'nan'::DOUBLE AS x"))
    assert (tally.ignored, tally.applied_partly, tally.ignored_values) == (1, 0, {"not_finite": 1})
    assert importing.properties("ada") is None


def test_it_sends_nothing_for_null(importing, write):
    importing.run(write("SELECT 'ada' AS distinct_id, NULL::INTEGER AS x, 1 AS y"))
    assert importing.sent("ada") == [{"$set": {"y": 1}}]


@pytest.mark.parametrize(
    "expression",
    ["{'a': 1}", "MAP {'a': 1}", "'a'::BLOB", "[[1]]", "[{'a': 1}]", "TIME '12:00'", "INTERVAL 1 DAY"],
)
def test_it_names_a_column_that_cannot_be_kept(importing, write, expression):
    path = write(f"SELECT 'ada' AS distinct_id, 1 AS fine, {expression} AS odd")
    with pytest.raises(InvalidInput, match=r"column 'odd': values of type .* cannot be kept in a property; leave"):
        importing.run(path)
    assert importing.kinds() == {}


@pytest.mark.parametrize("expression", ["42", "'42'", "42::UBIGINT"])
def test_it_takes_whole_numbers_as_ids(importing, write, expression):
    importing.run(write(f"SELECT 1 AS x, {expression} AS distinct_id"))
    assert importing.properties("42") == {"x": 1}


def test_it_refuses_ids_that_are_no_text(importing, write):
    with pytest.raises(InvalidInput, match="column 'distinct_id': ids are text or whole numbers, not DOUBLE"):
        importing.run(write("SELECT 4.5::DOUBLE AS distinct_id, 1 AS x"))


def test_it_refuses_rows_without_an_id(importing, write):
    tally = importing.run(write("SELECT unnest(['ada', NULL, '', 'bo']) AS distinct_id, 'nan'::DOUBLE AS x, 1 AS y"))
    assert (tally.read, tally.ignored, tally.refused) == (4, 2, 2)
    assert obeys_the_law(tally)
    refused = [(each.line, each.reason) for each in importing.findings if each.outcome == "refused"]
    assert refused == [(2, "invalid_distinct_id"), (3, "invalid_distinct_id")]


def test_it_knows_a_row_with_nothing_to_set_from_one_without_an_id(importing, write):
    tally = importing.run(write("SELECT unnest(['ada', NULL]) AS distinct_id, NULL::INTEGER AS x"))
    assert (tally.ignored_values, tally.refused_lines) == ({"no_values": 1}, {"invalid_distinct_id": 1})


def test_it_tells_names_apart_by_case(importing, write):
    # The engine renames the second of two such columns; the file's own names are what counts.
    path = write("SELECT 'ada' AS distinct_id, 1 AS nam1, 2 AS nam2")
    path.write_bytes(path.read_bytes().replace(b"nam1", b"NAME").replace(b"nam2", b"name"))
    importing.run(path)
    assert importing.properties("ada") == {"NAME": 1, "name": 2}


def test_it_refuses_a_name_used_twice(importing, write):
    path = write("SELECT 'ada' AS distinct_id, 1 AS nam1, 2 AS nam2")
    path.write_bytes(path.read_bytes().replace(b"nam1", b"name").replace(b"nam2", b"name"))
    with pytest.raises(InvalidInput, match=r"column 3 \('name'\): the name is used by another column"):
        importing.run(path)


def test_it_reads_the_file_it_was_given_and_no_pattern(importing, write, tmp_path):
    write("SELECT 'wrong' AS distinct_id, 1 AS x", "f1.parquet")
    (tmp_path / "year=2020").mkdir()
    path = write('SELECT \'ada\' AS distinct_id, 1 AS "a ""b.c"', "year=2020/f[1].parquet")
    importing.run(path)
    assert importing.kinds() == {'a "b.c': Kind.NUMBER}
    assert importing.properties("ada") == {'a "b.c': 1}


def test_it_converts_only_what_it_is_asked_to(importing, write):
    path = write("SELECT 'ada' AS distinct_id, '12' AS t, 7 AS i, 0.5::DOUBLE AS f, true AS b")
    kinds = {"t": Kind.NUMBER, "i": Kind.STRING, "f": Kind.STRING, "b": Kind.STRING}
    with pytest.raises(InvalidInput, match="--type i=date: the file has number values there"):
        importing.plan(path, kinds={"i": Kind.DATE})
    importing.run(path, kinds=kinds)
    assert importing.properties("ada") == {"t": 12, "i": "7", "f": "0.5", "b": "true"}


def test_it_warns_of_a_type_that_does_not_fit_and_ignores_visibly(importing, write):
    declare_definitions(importing.store, NORTH, {"x": Kind.STRING}, at_us=1, first_seen_in="test")
    path = write("SELECT 'ada' AS distinct_id, 7 AS x")
    (column,) = importing.plan(path).columns
    assert column.origin is Origin.DEFINED
    assert "they will be ignored" in column.warning
    assert importing.run(path).ignored_values == {"type_mismatch": 1}


def test_it_counts_rows_over_several_groups(importing, write, monkeypatch):
    monkeypatch.setattr(use_case, "ROWS_A_GROUP", 100)
    path = write("SELECT 'u' || (i % 250) AS distinct_id, i AS x FROM range(1050) AS t(i)")
    tally = importing.run(path)
    assert (tally.read, tally.applied, tally.last_line) == (1050, 1050, 1050)
    assert importing.properties("u49") == {"x": 1049}


def test_it_says_how_far_it_got_in_a_damaged_file(importing, write, monkeypatch):
    monkeypatch.setattr(use_case, "ROWS_A_GROUP", 1000)
    path = write("SELECT 'u' || i AS distinct_id, hash(i)::VARCHAR AS x FROM range(300000) AS t(i)")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200_000] = bytes(200_000)
    path.write_bytes(content)
    with pytest.raises(Refused, match=r"stopped: .*cannot be read as Parquet.*Everything up to row [0-9,]+ is durable"):
        importing.run(path)
