"""The processes under test: started on 127.0.0.1 with folders of their own, watched, and stopped again."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from bench.load import Plan, Result
from bench.traffic import WORKSPACE_ID, Address

_ROOT = Path(__file__).parent.parent
_TRAITBASE = str(Path(sys.executable).with_name("traitbase"))
_POLL_SECONDS = 0.005
_READY_SECONDS_MAX = 120.0
_STOP_SECONDS_MAX = 40.0
_COHORTS_READY_SECONDS_MAX = 600.0
_LOAD_SECONDS_MAX = 600.0
_PORT = re.compile(r"http://127\.0\.0\.1:(\d+)")


class Broken(Exception):
    """Something did not run as it should; there is no figure to show."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is running. `ready_seconds`: from its start to its first answer."""

    pid: int
    address: Address
    ready_seconds: float

    def load(self, plan: Plan) -> Result:
        """Carry out a plan against it, from a process of its own. Raises Broken for any answer that is not a 202."""
        plan.address = msgspec.structs.replace(self.address, environment=plan.address.environment)
        output = run_module("bench.load", given=msgspec.json.encode(plan))
        return msgspec.json.decode(output, type=Result)

    def resident_mb(self) -> float:
        """Return the memory it holds now (RSS), in MB."""
        return resident_mb(self.pid)

    def until_cohorts_ready(self) -> tuple[float, float]:
        """Wait for the copy of the profiles; return how long that took from the start (s) and the memory (MB) at most.

        Raises Broken if it takes too long.
        """
        began = time.monotonic()
        peak = 0.0
        while time.monotonic() - began < _COHORTS_READY_SECONDS_MAX:
            peak = max(peak, self.resident_mb())
            with urllib.request.urlopen(f"http://127.0.0.1:{self.address.port}/readyz") as answer:
                if msgspec.json.decode(answer.read())["cohorts"]["state"] == "ready":
                    return time.monotonic() - began + self.ready_seconds, peak
            time.sleep(0.1)
        raise Broken("the cohort engine did not become ready")


@contextlib.contextmanager
def echo() -> Iterator[Server]:
    """Run the echo."""
    with _server([sys.executable, "-m", "bench.echo"], ready_path="/", ready_status=202, api_key=_any_key()) as server:
        yield server


@contextlib.contextmanager
def do_it_yourself(folder: Path) -> Iterator[Server]:
    """Run the do-it-yourself service on a fresh database."""
    api_key = _any_key()
    command = [sys.executable, "-m", "bench.diy", str(folder / "diy.db"), api_key]
    with _server(command, ready_path="/docs", ready_status=200, api_key=api_key) as server:
        yield server


@contextlib.contextmanager
def traitbase(data: Path, *, api_key: str | None = None) -> Iterator[Server]:
    """Run `traitbase serve`, on a fresh data folder unless a key to an existing one is given."""
    api_key = api_key or make_workspace(data)
    command = [_TRAITBASE, "serve", "--data", str(data), "--port", "0"]
    with _server(command, ready_path="/readyz", ready_status=200, api_key=api_key) as server:
        yield server


def make_workspace(data: Path) -> str:
    """Make a data folder with a workspace in it and return an API key."""
    run_traitbase("workspace", "create", "Bench", "--id", WORKSPACE_ID, "--data", str(data))
    output = run_traitbase("keys", "create", "--workspace", WORKSPACE_ID, "--data", str(data), "--json")
    key: str = msgspec.json.decode(output)["api_key"]
    return key


def run_traitbase(*arguments: str) -> bytes:
    """Run the `traitbase` command and return what it printed. Raises Broken if it failed."""
    return _finished([_TRAITBASE, *arguments])


def run_module(module: str, *arguments: str, given: bytes = b"") -> bytes:
    """Run one of our modules in a process of its own and return what it printed. Raises Broken if it failed."""
    return _finished([sys.executable, "-m", module, *arguments], given=given)


@contextlib.contextmanager
def traitbase_command(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the `traitbase` command beside us; it is stopped at the end if it has not ended itself."""
    # Its progress goes nowhere: a pipe that nobody empties would stop it.
    process = subprocess.Popen(
        [_TRAITBASE, *arguments], cwd=_ROOT, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        _stop(process)


def traitbase_has(command: str) -> bool:
    """Tell whether this Traitbase has a subcommand of that name."""
    with traitbase_command(command, "--help") as process:
        return process.wait(_STOP_SECONDS_MAX) == 0


def resident_mb(pid: int, *, peak: bool = False) -> float:
    """Return the memory a process holds (RSS), or the most it ever held, in MB; 0 if it has ended."""
    field = "VmHWM:" if peak else "VmRSS:"
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1_024
    return 0.0


@contextlib.contextmanager
def _server(command: Sequence[str], *, ready_path: str, ready_status: int, api_key: str) -> Iterator[Server]:
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=_ROOT,
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = _port_in(process.stdout, command)
        while not _answers(port, ready_path, ready_status):
            if process.poll() is not None or time.perf_counter() - began > _READY_SECONDS_MAX:
                raise Broken(f"{' '.join(command)} does not get ready")
            time.sleep(_POLL_SECONDS)
        yield Server(process.pid, Address(port, api_key), time.perf_counter() - began)
        if process.poll() is not None:
            raise Broken(f"{' '.join(command)} ended by itself, with status {process.returncode}")
    finally:
        _stop(process)


def _port_in(output: IO[str], command: Sequence[str]) -> int:
    line = output.readline()
    found = _PORT.search(line)
    if found is None:
        raise Broken(f"{' '.join(command)} does not say where it listens: {line!r}")
    return int(found[1])


def _answers(port: int, path: str, status: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == status)
    except (urllib.error.URLError, OSError):
        return False


def _finished(command: Sequence[str], *, given: bytes = b"") -> bytes:
    done = subprocess.run(
        command,
        cwd=_ROOT,
        env=_environment(),
        input=given,
        capture_output=True,
        timeout=_LOAD_SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        raise Broken(f"{' '.join(command)} failed:\n{done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _environment() -> dict[str, str]:
    """Return our environment without what would change Traitbase's settings, or send requests through a proxy."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRAITBASE_") and not name.lower().endswith("_proxy")
    }


def _any_key() -> str:
    return f"tb_{secrets.token_urlsafe(32)}"


def _stop(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
