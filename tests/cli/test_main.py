"""The `traitbase` command as a whole."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import traitbase
from support.server import TRAITBASE, run_cli


def test_it_tells_its_version():
    assert run_cli("version").stdout == f"{traitbase.__version__}\n"


@pytest.mark.parametrize(
    "command", [(), ("serve",), ("import",), ("demo",), ("workspace",), ("workspace", "create"), ("keys", "create")]
)
def test_every_command_explains_itself(command):
    done = run_cli(*command, "--help", env={"COLUMNS": "120", "NO_COLOR": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: " in done.stdout
    undescribed = re.findall(r"^│\s+(--[a-z-]+)(?:\s+<?[A-Z\[]\S*)?\s+│$", done.stdout, re.MULTILINE)
    assert undescribed == []


def test_without_a_command_it_shows_them_all():
    done = run_cli(env={"COLUMNS": "120", "NO_COLOR": "1"})
    for command in ("serve", "workspace", "keys", "import", "demo"):
        assert command in done.stdout + done.stderr


def test_an_unknown_command_is_an_error():
    done = run_cli("deploy", env={"COLUMNS": "120", "NO_COLOR": "1"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such command 'deploy'" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("workspace", "list"),
        ("keys", "list", "--workspace", "shop"),
        ("keys", "create", "--workspace", "shop"),
        ("keys", "revoke", "key_1"),
        ("import", "people.csv", "--workspace", "shop", "--environment", "live"),
    ],
)
def test_a_command_that_needs_data_makes_none(tmp_path, command):
    (tmp_path / "people.csv").write_text("distinct_id,name\nada,Ada\n")
    done = run_cli(*command, data=Path("typo"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"there is no Traitbase data in {tmp_path / 'typo'}" in done.stderr
    assert "traitbase workspace create NAME --data typo" in done.stderr
    assert not (tmp_path / "typo").exists()


def test_a_reader_that_goes_away_is_no_traceback(data):
    command = [*TRAITBASE, "workspace", "list", "--json", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
