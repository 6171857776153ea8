"""The documentation's commands do what it says: each page is typed into a shell, and the answers are compared."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/quick-start.md",
    "docs/importing.md",
    "docs/exporting.md",
    "docs/profiles.md",
    "docs/cohorts.md",
)
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
END = "--- end of answer ---"


@dataclass
class Example:
    """A command as it is shown, and what it prints ("…" stands for anything)."""

    command: str
    shown: str


def examples_in(page: str) -> list[Example]:
    found: list[Example] = []
    for block in re.findall(r"```console\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        continued = False
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Example(line[2:], ""))
            elif continued:
                found[-1].command += "\n" + line
            elif found and not block.startswith("make"):
                found[-1].shown += line + "\n"
            continued = bool(found) and line.endswith("\\")
    return found


class Shell:
    """A shell that is typed into, with a port of its own instead of the usual one."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        scripts = sysconfig.get_path("scripts")
        environment = {**os.environ, "TRAITBASE_PORT": str(self.port), "PATH": f"{scripts}:{os.environ['PATH']}"}
        self.process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def type(self, command: str) -> str:
        """Run a command and return what it printed. Something put into the background is waited for until it serves."""
        command = command.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}").replace("curl ", "curl --silent ")
        if command.endswith("&"):
            command = f"{command[:-1]} > served.txt 2>&1 &"
        self.process.stdin.write(f"{command}\necho; echo '{END}'\n")
        self.process.stdin.flush()
        printed = ""
        for line in self.process.stdout:
            if line.strip() == END:
                break
            printed += line
        if command.endswith("&"):
            self.wait_until_ready()
        return printed

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def close(self) -> None:
        """End the shell and what it started: its process group, which only they are in."""
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait(60)


@pytest.mark.skipif(
    shutil.which("curl") is None and "CI" not in os.environ, reason="the pages call curl, and there is none here"
)
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_prints_what_it_shows(page, tmp_path):
    examples = examples_in(page)
    assert len(examples) >= 3
    ids: dict[str, str] = {}  # as shown, and as they really were
    shell = Shell(tmp_path)
    try:
        for example in examples:
            command = UUID.sub(lambda shown: ids[shown[0]], example.command)
            printed = shell.type(command)
            for shown, real in zip(UUID.findall(example.shown), UUID.findall(printed), strict=False):
                ids.setdefault(shown, real)
            expected = UUID.sub(lambda shown: ids.get(shown[0], shown[0]), example.shown)
            assert matches(squeezed(expected), squeezed(printed)), (command, expected, printed)
    finally:
        shell.close()


def squeezed(text: str) -> str:
    """Leave the line breaks of long answers and the padding of tables out of the comparison."""
    return re.sub(r"\s+", "", text)


def matches(expected: str, printed: str) -> bool:
    return re.fullmatch(".*?".join(map(re.escape, expected.split("…"))), printed) is not None


def test_the_two_commands_of_the_first_screen_exist():
    shown = re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert shown == ["demo", "test"]
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(shown) <= set(targets)


def test_every_link_between_the_pages_leads_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)
