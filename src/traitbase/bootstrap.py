"""The only place that names concrete adapters, the clock and the sources of ids."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path

import uuid_utils

from traitbase.domain.errors import Refused
from traitbase.services.cohorts.ports import CohortEngine
from traitbase.services.ports import Store
from traitbase.store.sqlite import open_sqlite

DATABASE_FILE = "traitbase.db"
COHORT_MEMORY_BYTES = 1024 * 1024 * 1024
COHORT_ANSWER_SECONDS = 10.0


def open_store(data: Path) -> Store:
    """Open the store in a data folder, which is created if it does not exist.

    Raises Refused, with what to do about it, if the folder cannot be used or was written by a newer release.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)  # people's data: nobody else's to read
    except OSError as error:
        message = f"the data folder {data} cannot be made ({error.strerror}): choose another with --data, or make it"
        raise Refused(message, code="store_unwritable") from error
    return open_sqlite(data / DATABASE_FILE, on_upgrade=_tell_of_upgrade)


def open_engine(
    store: Store,
    data: Path | None,
    *,
    tell: Callable[..., object],
    memory_bytes: int = COHORT_MEMORY_BYTES,
    answer_seconds: float = COHORT_ANSWER_SECONDS,
) -> CohortEngine:
    """Open the cohort engine of a store, with its copy in a data folder, or in memory (None).

    `tell` is given an event's name and its fields. One answer may take so long, and all of them together so much
    memory.
    """
    from traitbase.segments.columnar import ColumnarEngine  # noqa: PLC0415  # half a second that few commands need
    from traitbase.segments.copy import Limits  # noqa: PLC0415  # it loads the same libraries

    limits = Limits(memory_bytes=memory_bytes, answer_seconds=answer_seconds)
    return ColumnarEngine(store, data, limits, tell=tell)


def _tell_of_upgrade(before: str, after: str) -> None:
    sys.stderr.write(
        f"Traitbase: the data was brought from schema {before} to {after}; releases before this one cannot use it any "
        "more\n"
    )


def now_us() -> int:
    """Return the time: microseconds since 1970 UTC."""
    return time.time_ns() // 1_000


def new_request_id() -> str:
    """Return a fresh request id: a UUID of version 7 (RFC 9562), which grows with time."""
    return str(uuid_utils.uuid7())


def new_profile_id() -> str:
    """Return a fresh profile id: 24 hexadecimal digits."""
    return secrets.token_hex(12)
