"""Uploaded files: where they wait until somebody has looked at them, for their owner only and for a day at most."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

BYTES_MAX = 512 * 1024 * 1024
_KEPT_SECONDS = 24 * 3_600
_SUFFIXES = {"csv", "tsv", "txt", "ndjson", "jsonl", "parquet"}


def folder_of(chosen: Path | None) -> Path:
    """Return the folder in which files wait, which is made if it is not there."""
    folder = chosen or Path(tempfile.gettempdir()) / "traitbase-uploads"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def keep(folder: Path, source: BinaryIO, file_name: str) -> str:
    """Store a file under a name that says its format and nothing else, and return that."""
    forget_old(folder)
    suffix = file_name.rpartition(".")[2].lower()
    stored = f"{secrets.token_hex(16)}.{suffix if suffix in _SUFFIXES else 'csv'}"
    with (folder / stored).open("xb") as target:
        (folder / stored).chmod(0o600)
        shutil.copyfileobj(source, target)
    return stored


def forget_old(folder: Path | None) -> None:
    """Delete the files that nobody came back for."""
    if folder is None or not folder.is_dir():
        return
    for old in folder.iterdir():
        with contextlib.suppress(OSError):  # another process was faster
            if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
                old.unlink()
