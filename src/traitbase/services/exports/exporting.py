"""The use case: a space as it is at one moment, written profile by profile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, assert_never

from traitbase.domain.errors import Refused
from traitbase.domain.spaces import Space
from traitbase.services.exports.delimited import write_csv
from traitbase.services.exports.layout import Header, header_of
from traitbase.services.exports.ndjson import write_ndjson
from traitbase.services.exports.parquet import write_parquet
from traitbase.services.imports.sources import Format
from traitbase.services.ports import ProfileRow, Snapshot, Store
from traitbase.services.workspaces import get_workspace

_CLEARING_SECONDS = 1.0

OnProgress = Callable[[int], None]
"""Is told how many profiles are written by now."""


@dataclass(slots=True)
class Export:
    """A space that is held as it is at one moment, ready to be written once. `written` counts profiles."""

    header: Header
    total: int
    snapshot: Snapshot
    written: int = 0

    def write(self, format_: Format, out: BinaryIO, *, on_progress: OnProgress | None = None) -> None:
        """Write everything to a stream. Parquet needs a file: see `write_file`."""
        assert format_ is not Format.PARQUET
        write = write_ndjson if format_ is Format.NDJSON else write_csv
        write(self.header, self._steps(on_progress), out)
        out.flush()

    def write_file(self, format_: Format, path: Path, *, on_progress: OnProgress | None = None) -> None:
        """Write everything to a file, which is overwritten. Raises OSError or Refused if it cannot be."""
        match format_:
            case Format.PARQUET:
                write_parquet(self.header, self._steps(on_progress), path)
            case Format.CSV | Format.NDJSON:
                with path.open("wb") as out:
                    self.write(format_, out, on_progress=on_progress)
            case _:
                assert_never(format_)

    def _steps(self, on_progress: OnProgress | None) -> Iterator[Sequence[ProfileRow]]:
        for rows in self.snapshot.read_profiles():
            yield rows
            self.written += len(rows)
            if on_progress is not None:
                on_progress(self.written)


@contextmanager
def open_export(store: Store, space: Space) -> Iterator[Export]:
    """Hold a space as it is now. Raises NotFound, saying which workspaces there are, if there is no such one.

    Until the end, what is deleted meanwhile stays in the storage's files; then it is cleared away.
    """
    workspace = get_workspace(store, space.workspace_id)
    try:
        with store.open_snapshot(space) as snapshot:
            header = header_of(snapshot.get_definitions(), timezone=workspace.timezone)
            yield Export(header, snapshot.count_profiles(), snapshot)
    finally:
        _clear_traces(store)


def _clear_traces(store: Store) -> None:
    """Do what an erasure could not do as long as the export held the moment before it."""
    with suppress(Refused):
        store.tidy()  # copies what there is without holding writers up, so that little is left to do for the other
        store.clear_traces(wait_seconds=_CLEARING_SECONDS)
