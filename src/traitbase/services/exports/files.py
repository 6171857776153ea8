"""A file that appears under its name only when it is whole: a crash leaves none that looks finished."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from traitbase.domain.errors import Conflict, Refused


@contextmanager
def whole_file(path: Path, *, replaces: bool) -> Iterator[Path]:
    """Give a new file beside `path` to write to, readable by its owner only; it gets its name at the end.

    After an error it is removed instead. Raises Conflict if there is a file of that name and it is not to be replaced,
    Refused, with what to do about it, if the folder cannot be written to or the disk is full.
    """
    if not replaces:
        _check_free(path)
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield part
        _sync(part)
        if not replaces:
            _check_free(path)  # again: whoever made one meanwhile keeps it
        part.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):  # it has its name by now, or never came to be
            part.unlink()


def _check_free(path: Path) -> None:
    if path.exists():
        message = f"there is a file {path} already; choose another name, or replace it with --force"
        raise Conflict(message, code="file_exists")


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _unwritable(path: Path, error: OSError) -> Refused:
    message = f"{path} cannot be written: {error.strerror or error}; nothing is left of it. Choose another --out"
    return Refused(message, code="export_unwritable")
