"""The file in the data folder that holds the secret key, where no setting gives one."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from traitbase.domain.errors import Refused

KEY_FILE = "secret.key"


def key_in(folder: Path, new_key: Callable[[], str]) -> str:
    """Return the key of a folder; if it has none, it is given a new one, readable by its owner only.

    The file appears whole or not at all, and once: processes that start together have the same key. Raises Refused
    (`store_unwritable`, `bad_settings`), with what to do.
    """
    path = folder / KEY_FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make(path, new_key())
        text = path.read_text().strip()
    except OSError as error:
        message = f"the key file {path} cannot be used ({error.strerror}): mend that, or set TRAITBASE_SECRET_KEY"
        raise Refused(message, code="store_unwritable") from error
    if not text:
        raise Refused(f"the key file {path} is empty: restore it from a backup, or remove it", code="bad_settings")
    return text


def _make(path: Path, key: str) -> None:
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # the one that another process made meanwhile counts
            os.link(part, path)
    finally:
        part.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
