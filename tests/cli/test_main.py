"""The `traitbase` command as a whole."""

from __future__ import annotations

import re
import subprocess

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


def test_a_reader_that_goes_away_is_no_traceback(tmp_path):
    command = [*TRAITBASE, "workspace", "list", "--json", "--data", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
