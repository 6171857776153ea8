"""`traitbase workspace`."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from support.data import open_store
from support.server import run_cli, run_json


def test_it_makes_a_workspace_and_says_what_comes_next(tmp_path):
    done = run_cli("workspace", "create", "My shop", "--id", "shop", "--timezone", "Asia/Calcutta", data=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Workspace shop (My shop, dates in Asia/Calcutta) is ready.",
        f"Next, a key for it: traitbase keys create --workspace shop --data {tmp_path}",
    ]
    assert run_json("workspace", "list", data=tmp_path) == {
        "items": [{"workspace_id": "shop", "name": "My shop", "timezone": "Asia/Calcutta"}]
    }


def test_it_makes_up_an_id_where_none_is_given(tmp_path):
    made = [run_json("workspace", "create", "Same name", data=tmp_path)["workspace_id"] for _ in range(2)]
    assert len(set(made)) == 2
    assert [each["workspace_id"] for each in run_json("workspace", "list", data=tmp_path)["items"]] == made


def test_it_says_so_where_there_is_none_yet(tmp_path):
    open_store(tmp_path).close()
    done = run_cli("workspace", "list", data=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"No workspace yet. Make one: traitbase workspace create NAME --data {tmp_path}\n"
    assert run_json("workspace", "list", data=tmp_path) == {"items": []}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("A", "--id", "a b"), "workspace id"),
        (("A", "--id", "x" * 65), "workspace id"),
        ((" ",), "name"),
        (("x" * 256,), "name"),
        (("A", "--timezone", "Berlin"), "'Berlin'"),
        (("A", "--timezone", "../../etc/passwd"), "IANA"),
        (("A", "--id", "shop"), "'shop'"),
    ],
)
def test_it_names_what_it_cannot_accept(data, arguments, named):
    done = run_cli("workspace", "create", *arguments, data=data)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    with closing(open_store(data)) as store:
        assert [each.workspace_id for each in store.list_workspaces()] == ["shop"]


def test_it_finds_its_folder_by_the_environment(tmp_path):
    done = run_cli("workspace", "create", "A", "--id", "a", "--json", env={"TRAITBASE_DATA": str(tmp_path)})
    assert json.loads(done.stdout) == {"workspace_id": "a", "name": "A", "timezone": "UTC"}
    assert (tmp_path / "traitbase.db").exists()


def test_it_cuts_nothing_off_where_its_table_is_read_by_a_program(tmp_path):
    name = "a name that is a good deal longer than a line of a terminal " * 3
    workspace_id = "w" * 60
    run_cli("workspace", "create", name.strip(), "--id", workspace_id, data=tmp_path)
    done = run_cli("workspace", "list", data=tmp_path, env={"COLUMNS": "40"})
    assert f" {workspace_id} " in done.stdout
    assert f" {name.strip()} " in done.stdout
