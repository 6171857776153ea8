"""Importing exports where not everything is as it was: what is kept, and what is said."""

from __future__ import annotations

import csv

import pytest

from exports.populations import Person, Population, bring_in, content_of, export, fill, new_space
from exports.test_layout import ADA, PEOPLE, define
from traitbase.domain.attributes import Attributes
from traitbase.domain.definitions import State
from traitbase.domain.errors import InvalidInput
from traitbase.domain.values import Kind, decode_properties
from traitbase.services.imports.sources import Format

FORMATS = pytest.mark.parametrize("format_", Format)


@pytest.fixture
def exported(store, tmp_path):
    def export_people(format_, population=PEOPLE):
        space = new_space(store)
        fill(store, space, population)
        return export(store, space, tmp_path / f"people.{format_}")

    return export_people


def properties(store, space, distinct_id):
    rows = store.find_profiles(space, [distinct_id])
    return decode_properties(rows[0].document) if rows else None


@FORMATS
def test_it_changes_nothing_when_it_is_imported_again(store, exported, format_):
    space = new_space(store)
    path = exported(format_)
    bring_in(store, space, path)
    once = content_of(store, space)
    tally = bring_in(store, space, path)
    assert (tally.read, tally.applied) == (3, 3)
    assert content_of(store, space) == once


@FORMATS
def test_it_keeps_what_the_file_does_not_mention(store, exported, format_):
    space = new_space(store)
    held = Attributes(name="Bo", status=0, aliases=("b1",))
    there = Population([define("own", Kind.STRING)], [Person("bo", {"own": "x"}, held)])
    fill(store, space, there)
    bring_in(store, space, exported(format_))
    _, attributes = content_of(store, space)["people"]["bo"]
    assert (properties(store, space, "bo"), attributes) == ({"own": "x", "note": "", "born": "2020-02-29"}, held)


@FORMATS
def test_it_refuses_a_line_whose_other_id_belongs_to_somebody_else(store, exported, format_):
    space = new_space(store)
    fill(store, space, Population([], [Person("a2", {})]))
    tally = bring_in(store, space, exported(format_))
    assert (tally.read, tally.applied, tally.refused, tally.refused_lines) == (3, 2, 1, {"invalid_distinct_id": 1})
    assert "'a2' already exists" in tally.samples[0].message
    assert sorted(content_of(store, space)["people"]) == ["a2", "bo", "cy"]


@FORMATS
def test_it_ignores_visibly_what_has_another_type_here(store, exported, format_):
    space = new_space(store)
    fill(store, space, Population([define("ltv", Kind.BOOLEAN)]))
    tally = bring_in(store, space, exported(format_))
    assert (tally.applied, tally.ignored, tally.applied_partly) == (2, 1, 1)
    assert tally.ignored_values == {"type_mismatch": 1}


@FORMATS
def test_it_takes_values_of_properties_that_the_file_has_as_archived_and_no_others(store, exported, format_):
    space = new_space(store)
    fill(store, space, Population([define("zip", Kind.STRING, State.ARCHIVED)]))
    tally = bring_in(store, space, exported(format_))
    assert tally.ignored_values == {"property_archived": 1}
    assert properties(store, space, "+4915").keys() == {"ltv", "note", "tags", "vip"}


@FORMATS
def test_it_brings_back_a_space_without_any_property(store, exported, format_):
    space = new_space(store)
    tally = bring_in(store, space, exported(format_, Population([], [Person("ada", {})])))
    assert (tally.read, tally.applied, list(content_of(store, space)["people"])) == (1, 1, ["ada"])


def test_it_takes_a_type_that_is_asked_for_instead(store, exported):
    space = new_space(store)
    tally = bring_in(store, space, exported(Format.CSV), kinds={"zip": Kind.LIST})
    assert tally.ignored_values == {"type_mismatch": 1}
    assert ("zip", Kind.LIST) in [definition[:2] for definition in content_of(store, space)["definitions"]]


def test_it_records_what_an_import_did(store, exported):
    space = new_space(store)
    bring_in(store, space, exported(Format.NDJSON))
    (row,) = store.find_profiles(space, ["+4915"])
    (change,) = store.find_changes_at(space, [row.last_change])
    assert (change.key_id, change.action, change.revision, change.ignored) == ("import", "import", 1, None)
    assert '"zip":"01234"' in change.operations


def test_it_takes_items_among_the_profiles_of_ndjson(store, exported):
    space = new_space(store)
    path = exported(Format.NDJSON)
    path.write_text(path.read_text() + '{"distinct_id":"bo","action":{"$append":{"tags":"x"}}}\n')
    assert bring_in(store, space, path).applied == 4
    assert properties(store, space, "bo") == {"note": "", "born": "2020-02-29", "tags": ["x"]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"distinct_id":"x","aliases":"a"}', "aliases: expected an array"),
        ('{"distinct_id":"x","aliases":[""]}', "aliases[0]"),
        ('{"distinct_id":"x","preferences":{"t":{"fax":{"choice":"opted-in","at_us":1}}}}', "preferences: expected"),
        ('{"distinct_id":"x","preferences":{"t":{"email":{"choice":"maybe","at_us":1}}}}', "preferences: Invalid"),
        ('{"distinct_id":"x","channel":{"sms":"12"}}', "channel.sms"),
        ('{"properties":{}}', "distinct_id is required!"),
        ("[]", "the body must be a JSON object"),
    ],
)
def test_it_refuses_a_line_that_is_no_profile_and_goes_on(store, exported, line, message):
    path = exported(Format.NDJSON)
    path.write_text(path.read_text() + line + "\n")
    tally = bring_in(store, new_space(store), path)
    assert (tally.read, tally.applied, tally.refused) == (4, 3, 1)
    assert (tally.samples[0].line, message in tally.samples[0].message) == (5, True)


def test_it_keeps_an_apostrophe_of_other_files(store, tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("distinct_id,note\n'ada,'=1+1\n")
    space = new_space(store)
    bring_in(store, space, path)
    assert properties(store, space, "'ada") == {"note": "'=1+1"}


def test_it_reads_csv_that_a_spreadsheet_saved_again(store, exported):
    path = exported(Format.CSV)
    with path.open(newline="") as file:
        rows = [[cell.replace("true", "TRUE") for cell in row] for row in csv.reader(file)]
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    space = new_space(store)
    assert bring_in(store, space, path).applied == 3
    assert properties(store, space, "+4915") == ADA.properties


def test_it_takes_types_that_were_changed_in_the_file(store, exported):
    path = exported(Format.CSV)
    path.write_bytes(path.read_bytes().replace(b"list,boolean,string", b"list,boolean,number"))
    space = new_space(store)
    assert bring_in(store, space, path).ignored_values == {"type_mismatch": 1}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (b",types 1,", b",types 2,", "an export of version 2, this release reads 1"),
        (b",types 1,", b",,", "the row of types must stand right below the header"),
        (
            b"list,boolean,string",
            b"list,boolean,text",
            "column 'zip': 'text' is no word for it; expected one of string",
        ),
        (b"distinct_id,", b"id,", "there is no column 'distinct_id'"),
        (b",zip\r\n", b",note\r\n", r"\('note'\): the name is used by another column"),
    ],
)
def test_it_says_what_is_wrong_with_the_top_of_csv(store, exported, before, after, message):
    path = exported(Format.CSV)
    path.write_bytes(path.read_bytes().replace(before, after, 1))
    with pytest.raises(InvalidInput, match=message):
        bring_in(store, new_space(store), path)


def test_it_refuses_a_row_of_types_among_the_profiles(store, exported):
    path = exported(Format.CSV)
    content = path.read_bytes()
    path.write_bytes(content + content.split(b"\r\n")[1])
    tally = bring_in(store, new_space(store), path)
    assert (tally.read, tally.applied, tally.refused_lines) == (4, 3, {"malformed_row": 1})


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('{"traitbase_export":2,"definitions":[]}', "an export of version 2, this release reads 1: use a newer one"),
        ('{"traitbase_export":1}', "the header of the export is broken: .*definitions"),
        ('{"traitbase_export":1,"definitions":[{"name":"$x","type":"list"}]}', "'\\$x' cannot be a property name"),
    ],
)
def test_it_says_what_is_wrong_with_the_header_of_ndjson(store, tmp_path, header, message):
    path = tmp_path / "people.ndjson"
    path.write_text(header + "\n")
    with pytest.raises(InvalidInput, match=message):
        bring_in(store, new_space(store), path)
