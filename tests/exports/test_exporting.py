"""One moment for the whole, and a file that is there only when it is whole."""

from __future__ import annotations

import io
import stat
from contextlib import closing

import duckdb
import pytest

from exports.populations import Person, Population, export, fill, new_space
from exports.test_layout import PEOPLE, define
from support.data import sqlite_only
from traitbase.domain.edits import Erase
from traitbase.domain.errors import Conflict, NotFound, Refused
from traitbase.domain.spaces import Space
from traitbase.domain.updates import set_update
from traitbase.domain.values import Kind
from traitbase.services.exports.exporting import open_export
from traitbase.services.exports.files import whole_file
from traitbase.services.imports.sources import Format
from traitbase.services.ingest import Ingest, Submission


def submit(store, space, request_id, *updates, edit=None):
    submission = Submission(space, updates, request_id, 9, "key_1", edit=edit)
    with closing(Ingest(store, new_profile_id=lambda: request_id)) as ingest:
        ingest.run([submission], wait_seconds=5)
    assert submission.outcome == request_id


@pytest.mark.parametrize("format_", [Format.CSV, Format.NDJSON])
def test_it_exports_the_moment_at_which_it_was_opened(store, tmp_path, format_):
    space, out = new_space(store), io.BytesIO()
    fill(store, space, PEOPLE)
    before = export(store, space, tmp_path / f"before.{format_}").read_bytes()
    with open_export(store, space) as exported:
        submit(
            store, space, "moment-1", set_update("bo", {"note": "changed", "new": 1}), set_update("aa", {"zip": "1"})
        )
        submit(store, space, "moment-2", edit=Erase(("cy",)))
        exported.write(format_, out)
    assert out.getvalue() == before
    assert export(store, space, tmp_path / f"after.{format_}").read_bytes() != before


@sqlite_only
def test_it_empties_the_log_when_it_is_done_for_erasures_that_could_not(store):
    space, path = new_space(store), store._database._path
    fill(store, space, PEOPLE)
    with open_export(store, space):
        submit(store, space, "erasure-1", edit=Erase(("bo",)))
        assert not store.clear_traces(wait_seconds=0).log
        assert path.with_name(f"{path.name}-wal").stat().st_size > 0
    assert path.with_name(f"{path.name}-wal").stat().st_size == 0


def test_it_tells_how_far_it_is(store):
    space, told = new_space(store), []
    fill(store, space, Population([], [Person(f"p{number:04}", {}) for number in range(1_200)]))
    with open_export(store, space) as exported:
        exported.write(Format.NDJSON, io.BytesIO(), on_progress=told.append)
        assert (exported.total, exported.written) == (1_200, 1_200)
    assert told == [500, 1_000, 1_200]


def test_it_names_the_workspaces_there_are(store):
    with (
        pytest.raises(NotFound, match=r"there is no workspace 'nowhere' \(there is: "),
        open_export(store, Space("nowhere", "live")),
    ):
        pass


def test_it_gives_columns_of_parquet_that_only_differ_by_case_names_of_their_own(store, tmp_path):
    space = new_space(store)
    names = ["name", "NAME", "Name (2)", "distinct_id"]
    fill(store, space, Population([define(name, Kind.STRING) for name in sorted(names)]))
    path = export(store, space, tmp_path / "people.parquet")
    with duckdb.connect() as engine:
        columns = [row[0] for row in engine.execute(f"DESCRIBE FROM '{path}'").fetchall()]
    assert [column for column in columns if not column.startswith("$")] == [
        "distinct_id",
        "NAME",
        "Name (2)",
        "distinct_id (2)",
        "name (3)",
    ]


def test_it_makes_parquet_for_its_owner_only_and_nothing_beside_it(store, tmp_path):
    space = new_space(store)
    fill(store, space, PEOPLE)
    path = tmp_path / "people.parquet"
    with open_export(store, space) as exported, whole_file(path, replaces=False) as part:
        exported.write_file(Format.PARQUET, part)
    assert [(each.name, stat.S_IMODE(each.stat().st_mode)) for each in tmp_path.iterdir()] == [(path.name, 0o600)]


@pytest.mark.slow
def test_it_exports_as_many_columns_as_there_can_be(store, tmp_path):
    space = new_space(store)
    definitions = [define(f"p{number:04}", Kind.STRING) for number in range(5_000)]
    values = {f"p{number:04}": "x" for number in range(0, 5_000, 3)}
    fill(store, space, Population(definitions, [Person(f"u{number}", values) for number in range(50)]))
    assert export(store, space, tmp_path / "people.parquet").stat().st_size > 0


def test_it_puts_a_file_under_its_name_when_it_is_whole_for_its_owner_only(tmp_path):
    path = tmp_path / "people.csv"
    with whole_file(path, replaces=False) as part:
        part.write_text("whole")
        assert not path.exists()
    assert [(each.name, each.read_text(), stat.S_IMODE(each.stat().st_mode)) for each in tmp_path.iterdir()] == [
        ("people.csv", "whole", 0o600)
    ]


def write_and_break(path):
    with whole_file(path, replaces=True) as part:
        part.write_text("half")
        raise Refused("broke", code="broke")


def test_it_leaves_nothing_after_an_error_and_the_old_file_as_it_was(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("old")
    with pytest.raises(Refused, match="broke"):
        write_and_break(path)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("people.csv", "old")]


def test_it_keeps_a_file_that_somebody_else_made_meanwhile(tmp_path):
    path = tmp_path / "people.csv"
    with pytest.raises(Conflict, match=r"there is a file .* already"), whole_file(path, replaces=False):
        path.write_text("theirs")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("people.csv", "theirs")]


def test_it_says_why_parquet_could_not_be_written(store, tmp_path):
    space = new_space(store)
    fill(store, space, PEOPLE)
    with open_export(store, space) as exported, pytest.raises(Refused, match="the file cannot be written: IO Error"):
        exported.write_file(Format.PARQUET, tmp_path / "no such folder" / "people.parquet")


def test_it_ends_although_the_reader_of_the_rows_gave_up_early(store, tmp_path):
    space = new_space(store)
    people = [Person(f"p{number:05}", {"x": "y" * 255}) for number in range(3_000)]  # more than a pipe holds
    fill(store, space, Population([define("x", Kind.STRING)], people))
    with open_export(store, space) as exported, pytest.raises(Refused, match="the file cannot be written"):
        exported.write_file(Format.PARQUET, tmp_path / "no such folder" / "people.parquet")
