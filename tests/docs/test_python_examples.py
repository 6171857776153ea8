"""The documentation's Python does what it says: each page is run as one program, and what it prints is compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.server import run_json, serving

ROOT = Path(__file__).parents[2]


def program_in(page: str) -> str:
    return "".join(re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL))


@pytest.mark.parametrize("page", ["README.md", "docs/client.md"])
def test_every_line_that_prints_prints_what_is_written_beside_it(page, tmp_path):
    program = program_in(page)
    shown = re.findall(r"^\s*print\(.*\)  # (.*)$", program, re.MULTILINE)
    assert shown
    data = tmp_path / "data"
    run_json("workspace", "create", "My shop", "--id", "shop", data=data)
    key = run_json("keys", "create", "--workspace", "shop", data=data)["api_key"]
    with serving(data) as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")],
            env={**os.environ, "TRAITBASE_KEY": key},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == shown
