"""The secret key's file: made once, whole, and for its owner only."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier

import pytest

from traitbase.domain.errors import Refused
from traitbase.store.key_file import KEY_FILE, key_in

TOGETHER = 8


def test_a_key_is_made_once_and_kept(tmp_path):
    keys = (f"key {number}" for number in count())
    folder = tmp_path / "data"
    assert [key_in(folder, lambda: next(keys)) for _ in range(3)] == ["key 0"] * 3
    assert [file.name for file in folder.iterdir()] == [KEY_FILE]
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600


def test_those_who_start_together_have_the_same_key(tmp_path):
    """Each finds none and makes one of its own, all at once: one of them counts for everybody."""
    numbers = count()
    barrier = Barrier(TOGETHER)

    def new_key() -> str:
        barrier.wait(10)
        return f"key {next(numbers)}"

    with ThreadPoolExecutor(TOGETHER) as pool:
        found = list(pool.map(lambda _: key_in(tmp_path, new_key), range(TOGETHER)))
    assert next(numbers) == TOGETHER
    assert len(set(found)) == 1
    assert [file.name for file in tmp_path.iterdir()] == [KEY_FILE]


def test_nothing_is_left_of_a_key_that_could_not_be_written(tmp_path, monkeypatch):
    """A disk that is full in the very moment, say: an empty file would keep the server from starting ever after."""

    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Refused, match=r"secret\.key cannot be used \(No space left on device\)"):
            key_in(tmp_path, lambda: "a key")
    assert list(tmp_path.iterdir()) == []
    assert key_in(tmp_path, lambda: "another") == "another"


def test_an_empty_file_is_no_key(tmp_path):
    (tmp_path / KEY_FILE).write_text("\n")
    with pytest.raises(Refused, match="restore it from a backup, or remove it"):
        key_in(tmp_path, lambda: "a key")
    assert (tmp_path / KEY_FILE).read_text() == "\n"
