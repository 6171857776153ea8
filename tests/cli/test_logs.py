"""Log lines on their way to a descriptor."""

from __future__ import annotations

import json
import os

import pytest

from traitbase.cli.logs import LINES_WAITING_MAX, LogWriter


@pytest.fixture
def full_pipe():
    """A pipe that takes nothing until it is read; the ends, and how many bytes are in it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    size = 0
    try:
        while True:
            size += os.write(writing, b"\0" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    yield reading, writing, size
    os.close(reading)


def read_to_the_end(descriptor):
    pieces = []
    while piece := os.read(descriptor, 65_536):
        pieces.append(piece)
    return b"".join(pieces)


def test_it_writes_lines_in_order():
    reading, writing = os.pipe()
    log = LogWriter(writing)
    for number in range(1_000):
        log.write(f"{number}\n")
    log.close()
    os.close(writing)
    assert read_to_the_end(reading).decode().split() == [str(number) for number in range(1_000)]
    os.close(reading)


def test_it_never_waits_for_a_reader_and_says_how_many_lines_were_lost(full_pipe):
    reading, writing, size = full_pipe
    log = LogWriter(writing)
    sent = 3 * LINES_WAITING_MAX
    for number in range(sent):
        log.write(f"{number}\n")
    assert os.read(reading, size) == b"\0" * size
    received, lost, got = b"", [], 0
    while sum(lost) + got < sent:
        received += os.read(reading, 65_536)
        lines = received[: received.rfind(b"\n") + 1].decode().splitlines()
        lost = [json.loads(line)["lines"] for line in lines if "log_lines_lost" in line]
        got = len(lines) - len(lost)
    log.close()
    os.close(writing)
    assert read_to_the_end(reading) == b""
    assert sum(lost) + got == sent
    assert sum(lost) >= sent - 2 * LINES_WAITING_MAX - 1


def test_it_counts_what_a_descriptor_refuses():
    reading, writing = os.pipe()
    os.close(reading)
    log = LogWriter(writing)
    log.write("nobody hears this\n")
    log.close()
    os.close(writing)
    assert log.write("nor this\n") == 9
