"""The command: what it prints where, and how it ends."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from support.data import open_store
from traitbase.cli.imports import import_file
from traitbase.domain.errors import InvalidInput, NotFound
from traitbase.domain.spaces import Space, Workspace
from traitbase.domain.values import decode_properties

app = typer.Typer()
app.command("import")(import_file)


@pytest.fixture
def run(tmp_path):
    data = tmp_path / "data"
    store = open_store(data)
    store.add_workspace(Workspace("north", "North", "UTC", 1))
    store.close()

    def run_command(content: str | bytes, *arguments: str, answer: str | None = None):
        path = tmp_path / "people.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        words = [str(path), "--workspace", "north", "--environment", "test", "--data", str(data), *arguments]
        return CliRunner().invoke(app, words, input=answer)

    run_command.data = data
    return run_command


def properties(run, distinct_id):
    store = open_store(run.data)
    rows = store.find_profiles(Space("north", "test"), [distinct_id])
    store.close()
    return decode_properties(rows[0].document) if rows else None


def test_it_shows_the_types_and_goes_on(run):
    done = run("distinct_id;name;age\nada;Ada;36\nbo;;\n", "--type", "age=number")
    assert done.exit_code == 0
    assert "people.csv (csv, utf-8, delimiter ';')" in done.stdout
    assert "text stays text" in done.stdout
    assert "2 lines read" in done.stdout
    assert "1 applied, 1 ignored, 0 refused, 0 blank" in done.stdout
    assert properties(run, "ada") == {"name": "Ada", "age": 36}


def test_it_ends_with_1_if_lines_were_refused(run):
    done = run("distinct_id,name\nada,Ada\n,Bo\n")
    assert done.exit_code == 1
    assert "line 3: refused, distinct_id is required!" in done.stdout
    assert properties(run, "ada") == {"name": "Ada"}


def test_it_prints_one_json_object_and_nothing_else(run):
    done = run("distinct_id,name\nada,Ada\n\n,Bo\n", "--json")
    summary = json.loads(done.stdout)
    assert summary.pop("seconds") >= 0
    assert summary.pop("file").endswith("people.csv")
    assert summary == {
        "format": "csv",
        "encoding": "utf-8",
        "delimiter": ",",
        "workspace_id": "north",
        "environment": "test",
        "dry_run": False,
        "columns": [{"name": "name", "type": "string", "origin": "text", "warning": None}],
        "lines": {"read": 3, "applied": 1, "ignored": 0, "applied_partly": 0, "refused": 1, "blank": 1},
        "ignored_values": {},
        "refused_lines": {"invalid_distinct_id": 1},
        "samples": [
            {
                "line": 4,
                "outcome": "refused",
                "reason": "invalid_distinct_id",
                "message": "distinct_id is required!",
            }
        ],
    }
    assert "text stays text" in done.stderr


def test_it_writes_nothing_on_a_dry_run(run):
    done = run("distinct_id,name\nada,Ada\n,Bo\n", "--dry-run")
    assert done.exit_code == 1
    assert "1 could be applied (nothing was written), 0 ignored, 1 refused" in done.stdout
    assert properties(run, "ada") is None
    store = open_store(run.data)
    assert store.get_definitions(Space("north", "test")) == (0, [])
    store.close()


def test_it_reports_every_line(run, tmp_path):
    report = tmp_path / "report.ndjson"
    lines = "".join(f",{number}\n" for number in range(50))
    done = run(f"distinct_id,name\nada,{'x' * 300}\n{lines}", "--report", str(report))
    entries = [json.loads(line) for line in report.read_text().splitlines()]
    assert [entry["line"] for entry in entries] == list(range(2, 53))
    assert entries[0].keys() == {"line", "outcome", "reason", "message", "distinct_id", "operation", "property"}
    assert "and 41 more; --report FILE writes them all" in done.stdout


def test_it_never_overwrites_the_file_with_the_report(run, tmp_path):
    done = run("distinct_id,name\nada,Ada\n", "--report", str(tmp_path / "people.csv"))
    assert isinstance(done.exception, InvalidInput)
    assert (tmp_path / "people.csv").read_text() == "distinct_id,name\nada,Ada\n"


@pytest.mark.parametrize("text", ["age", "age=integer", "=number"])
def test_it_explains_the_types(run, text):
    done = run("distinct_id,age\n", "--type", text)
    assert isinstance(done.exception, InvalidInput)
    assert "the types are string, number, boolean, date, list" in done.exception.message


def test_it_refuses_two_types_for_one_column(run):
    done = run("distinct_id,age\n", "--type", "age=number", "--type", "age=date")
    assert "another type before" in done.exception.message


def test_it_takes_names_with_markup_and_equals_signs(run):
    done = run("distinct_id,[red]a=b[/red]\nada,5\n", "--type", "[red]a=b[/red]=number")
    assert done.exit_code == 0
    assert "[red]a=b[/red]" in done.stdout
    assert properties(run, "ada") == {"[red]a=b[/red]": 5}


def test_it_refuses_an_unknown_workspace(run):
    done = run("distinct_id,a\n", "--workspace", "nowhere")
    assert isinstance(done.exception, NotFound)


@pytest.fixture
def on_terminal(monkeypatch):
    # The runner replaces the streams by its own; these say that they are a terminal.
    monkeypatch.setattr("typer.testing._NamedTextIOWrapper.isatty", lambda _: True)


@pytest.mark.usefixtures("on_terminal")
@pytest.mark.parametrize(("answer", "kept"), [("y\n", {"name": "Ada"}), ("n\n", None)])
def test_it_asks_on_a_terminal_before_anything_is_written(run, answer, kept):
    done = run("distinct_id,name\nada,Ada\n", answer=answer)
    assert "Import?" in done.stderr
    assert "text stays text" in done.stdout
    assert properties(run, "ada") == kept


@pytest.mark.usefixtures("on_terminal")
def test_it_does_not_ask_when_told_yes(run):
    assert "Import?" not in run("distinct_id,name\nada,Ada\n", "--yes").stderr
    assert properties(run, "ada") == {"name": "Ada"}


LATIN = "distinct_id,name\n" + "".join(f"u{number},Größe Äpfel Königsstraße Müller\n" for number in range(50))


@pytest.mark.usefixtures("on_terminal")
@pytest.mark.parametrize("agreed", [True, False])
def test_it_asks_about_an_encoding_on_a_terminal(run, agreed):
    done = run(LATIN.encode("cp1252"), answer="y\ny\n" if agreed else "n\n")
    assert "Größe Äpfel" in done.stderr
    assert properties(run, "u1") == ({"name": "Größe Äpfel Königsstraße Müller"} if agreed else None)
    assert isinstance(done.exception, InvalidInput) is not agreed


def test_it_names_the_encoding_it_would_guess_without_a_terminal(run):
    done = run(LATIN.encode("cp1252"))
    assert "--encoding cp1250" in done.exception.message or "--encoding cp1252" in done.exception.message
    assert properties(run, "u1") is None


@pytest.mark.parametrize(
    ("kind", "cells", "forms"),
    [
        ("number", ["1,5", "+1", "01", "5 kg", "1.", "NaN"], "19.99, -3, 1e5"),
        ("boolean", ["yes", "1"], "true or false"),
        ("date", ["25.11.2026", "2026-02-30"], "2026-11-25"),
        ("list", ["a", "[[1]]", "{}"], '["a", "b"]'),
    ],
)
def test_it_says_how_a_cell_must_be_written(run, kind, cells, forms):
    rows = "".join(f"u{number};{cell}\n" for number, cell in enumerate(cells))
    done = run(f"distinct_id;p\n{rows}", "--type", f"p={kind}", "--delimiter", ";", "--json")
    summary = json.loads(done.stdout)
    assert summary["ignored_values"] == {"type_mismatch": len(cells)}
    assert {sample["reason"] for sample in summary["samples"]} == {"type_mismatch"}
    assert all(forms in sample["message"] for sample in summary["samples"])
    assert all("JSON string was sent" not in sample["message"] for sample in summary["samples"])


@pytest.mark.parametrize("arguments", [("--type", "p=what"), ("--workspace", "nowhere"), ("--data", "/no/such/folder")])
def test_it_tells_a_failure_as_one_object(run, arguments):
    done = run("distinct_id,p\nada,1\n", "--json", *arguments)
    assert json.loads(done.stdout) == {"error": {"code": done.exception.code, "message": done.exception.message}}
