"""Every statement of ours that the tests' PostgreSQL server is sent, whichever process sends it.

The server logs them; what is new in its log is looked at after each test, so that the test fails that made a statement
which a sharded PostgreSQL would refuse (see `sharding`).
"""

from __future__ import annotations

import re
from pathlib import Path

from support.sharding import faults_of

SETTINGS = (
    "log_statement = 'all'",
    "log_parameter_max_length = 0",
    "log_line_prefix = '##%a## '",
    "log_error_verbosity = terse",
)
"""What the server must be told. `%a` is who sends it: tests look into tables in ways of their own."""

_ENTRY = re.compile(r"^##(.*?)## LOG:  (?:statement|execute [^:]*): ((?:.*\n)(?:\t.*\n)*)", re.MULTILINE)
_OURS = "traitbase"
_SHOWN = 2_000


class Recorder:
    """What was sent to one server."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read_to = 0
        self._rest = b""
        self.seen: set[str] = set()

    def faults(self) -> list[str]:
        """Return the statements that are new since the last time and not as they should be, each with the reason."""
        with self._log.open("rb") as log:
            log.seek(self._read_to)
            new = log.read()
        self._read_to += len(new)
        text = self._rest + new
        complete = text.rfind(b"\n##") + 1  # more of the last entry may come
        self._rest = text[complete:]
        found: list[str] = []
        for ours, statement in _ENTRY.findall(text[:complete].decode(errors="replace")):
            if ours == _OURS and statement not in self.seen:
                self.seen.add(statement)
                found += [f"{fault}: {' '.join(statement.split())[:_SHOWN]}" for fault in faults_of(statement)]
        return found
