"""The files in `deploy/`: they name what there is, and what the container is built of is enough."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.data import once
from support.server import run_cli
from traitbase.settings import Settings

pytestmark = once
ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy").glob("*.service"))
TEXTS = [*sorted((ROOT / "deploy").iterdir()), ROOT / "docs" / "deploying.md"]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path):
    named = set(re.findall(r"TRAITBASE_([A-Z_]+[A-Z])", path.read_text()))
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_what_there_is_and_lets_it_finish(path):
    unit = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and line[0] != "#")
    program, *arguments = shlex.split(unit["ExecStart"])
    assert program.endswith("/bin/traitbase")
    assert run_cli(*arguments, "--help").returncode == 0
    assert int(unit["TimeoutStopSec"]) > 30  # for as long a server drains
    assert unit["KillMode"] == "mixed"


def test_the_container_is_built_of_what_there_is_and_that_is_enough(tmp_path):
    container = (ROOT / "deploy" / "Containerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.*)$", container, re.MULTILINE):
        *sources, target = line.split()
        folder = tmp_path / target.strip("/")
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, folder, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
            else:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, folder)
    assert "--requirement /source/requirements.txt" in container
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir"]
    subprocess.run([*build, str(tmp_path / "wheels"), str(tmp_path / "source")], check=True, capture_output=True)
    [wheel] = (tmp_path / "wheels").glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "src" / "traitbase"
    needed = [
        path.relative_to(package.parent) for path in package.rglob("*") if path.suffix in (".py", ".typed", ".mako")
    ]
    assert {path.as_posix() for path in needed} <= inside
