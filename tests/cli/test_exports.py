"""`traitbase export`: what it prints where, what it makes, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from contextlib import closing

import pytest

from support.data import open_store
from support.server import TRAITBASE, run_cli, run_json
from traitbase.domain.definitions import State
from traitbase.domain.spaces import Space
from traitbase.domain.values import Kind, decode_properties
from traitbase.services.imports.sources import Format
from traitbase.services.ports import DefinitionRow, ProfileRow, WriteSet
from traitbase.services.workspaces import create_workspace

SHOP = Space("shop", "live")
WORDS = ("export", "--workspace", "shop", "--environment", "live")
LINE = b'{"distinct_id":"p00000","properties":{"note":"%s"}}\n'


def fill(data, count: int, note: str = "=1+1") -> None:
    """Write so many profiles with a note."""
    document = json.dumps({"note": note}, separators=(",", ":"))
    rows = [ProfileRow(*SHOP, f"p{each:05}", f"i{each}", 1, document, 1, 1) for each in range(count)]
    writes = WriteSet(
        definitions_at={SHOP: 0},
        new_definitions={SHOP: [DefinitionRow("note", Kind.STRING, State.ACTIVE, 1, "test")]},
        profiles=rows,
        having={SHOP: Counter(note=count)},
    )
    with closing(open_store(data)) as store, closing(store.open_session()) as session:
        session.write(writes, wait_seconds=5)


@pytest.fixture
def filled(data):
    fill(data, 3)
    return data


def test_it_writes_ndjson_to_standard_output_and_the_summary_beside_it(filled):
    done = run_cli(*WORDS, data=filled, text=False)
    first = done.stdout.splitlines()[1]
    assert (done.returncode, json.loads(first)) == (0, json.loads(LINE % b"=1+1"))
    assert done.stdout.count(b"\n") == 4
    assert done.stderr.startswith(b"3 profiles, 1 properties exported as ndjson in ")


@pytest.mark.parametrize("format_", Format)
def test_it_makes_a_file_that_import_takes_whole(filled, tmp_path, format_):
    out = tmp_path / f"people.{format_}"
    summary = run_json(*WORDS, "--out", str(out), data=filled)
    assert summary.pop("seconds") >= 0
    assert summary == {
        "out": str(out),
        "format": format_.value,
        "workspace_id": "shop",
        "environment": "live",
        "profiles": 3,
        "properties": 1,
    }
    with closing(open_store(filled)) as store:
        create_workspace(store, name="New", workspace_id="new", timezone="UTC", at_us=2)
    taken = run_json("import", str(out), "--workspace", "new", "--environment", "test", data=filled)
    assert taken["lines"] == {"read": 3, "applied": 3, "ignored": 0, "applied_partly": 0, "refused": 0, "blank": 0}
    assert taken["columns"] == [{"name": "note", "type": "string", "origin": "export", "warning": None}]
    with closing(open_store(filled)) as store:
        (row,) = store.find_profiles(Space("new", "test"), ["p00002"])
        assert decode_properties(row.document) == {"note": "=1+1"}


def test_it_takes_the_format_that_is_named(filled, tmp_path):
    out = tmp_path / "people.txt"
    assert run_json(*WORDS, "--format", "csv", "--out", str(out), data=filled)["format"] == "csv"
    assert out.read_text().startswith("distinct_id,$traitbase,")


def test_it_replaces_a_file_only_when_told_to(filled, tmp_path):
    out = tmp_path / "people.ndjson"
    out.write_text("old")
    done = run_cli(*WORDS, "--out", str(out), data=filled)
    assert (done.returncode, done.stdout, out.read_text()) == (2, "", "old")
    assert done.stderr == f"error: there is a file {out} already; choose another name, or replace it with --force\n"
    assert run_cli(*WORDS, "--out", str(out), "--force", data=filled).returncode == 0
    assert out.read_bytes().count(b"\n") == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--format", "parquet"), "Parquet cannot be written to standard output; name a file with --out"),
        (("--workspace", "nowhere"), "there is no workspace 'nowhere' (there is: shop)"),
        (("--out", "/no/such/folder/people.csv"), "/no/such/folder/people.csv cannot be written: No such file"),
    ],
)
def test_it_says_in_one_message_what_it_cannot_do(filled, words, message):
    done = run_cli(*WORDS, *words, data=filled)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1


def test_it_makes_no_data_folder(tmp_path):
    done = run_cli(*WORDS, data=tmp_path / "nothing")
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert done.stderr.startswith(f"error: there is no data in {tmp_path / 'nothing'}")


def test_it_ends_quietly_when_nobody_reads_on(data):
    fill(data, 5_000, "x" * 200)  # a pipe holds 64 KB
    process = subprocess.Popen(
        [*TRAITBASE, *WORDS, "--data", str(data)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        said = process.stderr.read()
    assert (process.wait(60), said) == (1, b"")


def test_it_says_that_standard_output_is_full(filled):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = run_cli(*WORDS, data=filled, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == (
        "error: standard output cannot be written: No space left on device; what was written is not whole\n"
    )


def end_half_way(data, out, number) -> list[tuple[str, bytes]]:
    """End an export once it has begun to write, and return (and remove) what it left."""
    with subprocess.Popen(
        [*TRAITBASE, *WORDS, "--data", str(data), "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        deadline = time.monotonic() + 60
        while not any(out.parent.iterdir()):
            assert time.monotonic() < deadline
            assert process.poll() is None
        process.send_signal(number)
        process.communicate(timeout=60)
    left = [(path.name, path.read_bytes()) for path in out.parent.iterdir()]
    for name, _ in left:
        (out.parent / name).unlink()
    return left


@pytest.mark.parametrize("format_", Format)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_leaves_no_half_file_of_that_name_when_it_is_ended(data, tmp_path, format_, number):
    fill(data, 60_000, "x" * 250)
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / f"people.{format_}"
    assert run_cli(*WORDS, "--out", str(out), data=data).returncode == 0
    whole = out.read_bytes()
    out.unlink()
    for _ in range(3):
        left = end_half_way(data, out, number)
        if left != [(out.name, whole)]:  # it was not faster than the signal
            assert [name.endswith(".part") for name, _ in left] == ([True] if number is signal.SIGKILL else [])
