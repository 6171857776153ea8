"""Standard output and error that are closed, full, or not read by anybody: the server goes on, a command says so."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from support.data import sqlite_only
from support.server import TRAITBASE, Client, make_cast

FULL = Path("/dev/full")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def fill_pipe(writing: int) -> int:
    """Write into a pipe until it takes no more, and return how many bytes that were."""
    os.set_blocking(writing, False)
    size = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            size += os.write(writing, b"\0" * 4096)
    os.set_blocking(writing, True)
    return size


@contextmanager
def serving_on(port, data, redirection, **options):
    """Run the server with its streams as a shell redirects them."""
    command = f'exec "$@" {redirection}'
    arguments = ["sh", "-c", command, "sh", *TRAITBASE, "serve", "--data", str(data), "--port", str(port)]
    with subprocess.Popen(arguments, **options) as process:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        try:
            yield process
        finally:
            process.terminate()
            if process.stderr is not None:
                process.stderr.close()
            assert process.wait(30) == 0


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full", ">&- 2>&-", "2>/dev/full"])
def test_it_serves_where_nobody_can_read_its_greeting_or_its_log(tmp_path, redirection):
    if "full" in redirection and not FULL.exists():
        pytest.skip("this system has no /dev/full")
    cast = make_cast(tmp_path / "data")
    port = free_port()
    with serving_on(port, tmp_path / "data", redirection, stdout=subprocess.DEVNULL):
        client = Client(port, cast.ada, "north")
        assert client.post("set", {"distinct_id": "u", "$set": {"a": 1}}).status == 202
        assert client.properties_of("u") == {"a": 1}
        client.close()


def test_a_command_says_that_its_output_cannot_be_written():
    if not FULL.exists():
        pytest.skip("this system has no /dev/full")
    with FULL.open("w") as full:
        done = subprocess.run([*TRAITBASE, "version"], check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "error: the output cannot be written: No space left on device\n")


@sqlite_only
def test_a_log_that_nobody_reads_stops_nothing(tmp_path):
    """A pipe that is full from the start: not one line gets through while the server works."""
    cast = make_cast(tmp_path / "data")
    port = free_port()
    reading, writing = os.pipe()
    fill_pipe(writing)
    environment = {**os.environ, "TRAITBASE_LOG_LEVEL": "debug"}
    with serving_on(port, tmp_path / "data", "", stdout=subprocess.DEVNULL, stderr=writing, env=environment):
        os.close(writing)
        with closing(Client(port, cast.ada, "north")) as client:
            assert client.post("set", {"distinct_id": "u", "$set": {"a": 0}}).status == 202  # it has opened its files
            (tmp_path / "data" / "traitbase.db").rename(tmp_path / "aside")
            for _ in range(20):  # each is a line of log
                assert client.post("set", {"distinct_id": "u", "$set": {"a": 1}}).status == 503
            (tmp_path / "aside").rename(tmp_path / "data" / "traitbase.db")
            assert client.post("set", {"distinct_id": "u", "$set": {"a": 1}}).status == 202
    os.close(reading)
