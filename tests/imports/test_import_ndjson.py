"""NDJSON: a line is an item of the batch API and means what it means there."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imports.importing import Importing, obeys_the_law
from traitbase.domain.values import Kind


def item(distinct_id: object, **action: object) -> str:
    return json.dumps({"distinct_id": distinct_id, "action": {f"${name}": value for name, value in action.items()}})


def test_it_does_all_operations(importing):
    lines = [
        item("ada", set={"name": "Ada", "since": "1815-12-10"}, add={"n": 0.1}, append={"tags": "x"}),
        item("ada", add={"n": 0.2}, append={"tags": 2}),
        item("ada", unset=["name"], remove={"tags": "x"}),
    ]
    assert importing.run("\n".join(lines), "f.ndjson").applied == 3
    assert importing.properties("ada") == {"since": "1815-12-10", "n": Decimal("0.3"), "tags": [2]}
    assert importing.kinds() == {
        "name": Kind.STRING,
        "since": Kind.DATE,
        "n": Kind.NUMBER,
        "tags": Kind.LIST,
    }


def test_it_keeps_numbers_exact(importing):
    importing.run('{"distinct_id":"ada","action":{"$set":{"a":9007199254740993,"b":1.000000000000000001}}}', "f.jsonl")
    assert importing.properties("ada") == {"a": 9007199254740993, "b": Decimal("1.000000000000000001")}


@pytest.mark.parametrize(
    ("line", "reason", "message"),
    [
        ("{", "malformed_json", "the line is no JSON object: Input data was truncated"),
        ('{"distinct_id": "\\ud800", "action": {}}', "malformed_json", "the line is no JSON"),
        ("[" * 100_000, "malformed_json", "nested too deeply"),
        ("5", "invalid_item", "an item must be an object"),
        (item("", set={"a": 1}), "invalid_distinct_id", "distinct_id is required!"),
        (item(5, set={"a": 1}), "invalid_distinct_id", "distinct_id is required!"),
        (item("ada"), "invalid_item", "action must be an object"),
        (item("ada", put={"a": 1}), "invalid_item", "is no operation"),
        (item("ada", set={"a": {"b": 1}}), "invalid_item", "action.$set.a: a value must not be an object"),
    ],
)
def test_it_refuses_a_line_and_applies_the_rest(importing, line, reason, message):
    tally = importing.run(f"{item('ada', set={'a': 1})}\r\n\r\n{line}\r\n{item('bo', set={'a': 2})}", "f.ndjson")
    assert [(each.line, each.reason) for each in importing.findings] == [(3, reason)]
    assert message in importing.findings[0].message
    assert (tally.read, tally.applied, tally.refused, tally.blank) == (4, 2, 1, 1)
    assert importing.properties("bo") == {"a": 2}


def test_it_tells_what_was_ignored(importing):
    tally = importing.run(
        f"{item('ada', set={'a': 1})}\n{item('ada', set={'a': 'x', 'b': 2}, unset=['c'])}", "f.ndjson"
    )
    assert [each[:3] + each[4:] for each in importing.findings] == [
        (2, "ignored", "type_mismatch", "ada", "$set", "a"),
        (2, "ignored", "absent", "ada", "$unset", "c"),
    ]
    assert (tally.applied, tally.ignored, tally.applied_partly) == (1, 1, 1)


def test_it_shows_the_types_of_the_first_lines(importing):
    planned = importing.plan(item("a", set={"a": 1, "b": "2020-01-01", "c": None}, append={"d": 1}), "f.ndjson")
    assert {column.name: column.kind for column in planned.columns} == {
        "a": Kind.NUMBER,
        "b": Kind.DATE,
        "d": Kind.LIST,
    }


def test_it_takes_an_empty_file(importing):
    assert importing.run("", "f.ndjson").read == 0


@given(
    lines=st.lists(
        st.one_of(
            st.sampled_from(["", " ", "{", "[]", "null"]),
            st.builds(
                item,
                st.sampled_from(["ada", "bo", "", None]),
                set=st.dictionaries(st.sampled_from("abc"), st.sampled_from([1, "x", None, [1], {}]), max_size=3),
            ),
        ),
        max_size=30,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_it_accounts_for_every_line(tmp_path, lines):
    tally = Importing(tmp_path).run("".join(f"{line}\n" for line in lines), "f.ndjson")
    assert obeys_the_law(tally)
    assert (tally.read, tally.blank) == (len(lines), sum(not line.strip() for line in lines))
