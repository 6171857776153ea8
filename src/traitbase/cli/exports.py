"""`traitbase export`: all profiles of a workspace's environment as a file, or to standard output."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from traitbase import bootstrap
from traitbase.cli.options import AsJson, Data
from traitbase.domain.errors import InvalidInput, NotFound, Refused
from traitbase.domain.spaces import Environment, Space
from traitbase.services.exports.exporting import Export, OnProgress, open_export
from traitbase.services.exports.files import whole_file
from traitbase.services.imports.sources import Format
from traitbase.settings import Settings, load_settings

_STDOUT = Path("-")
_BY_SUFFIX = {".csv": Format.CSV, ".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON, ".parquet": Format.PARQUET}


def export(
    workspace: Annotated[str, typer.Option(help="The workspace's id (WSID).")],
    environment: Annotated[Environment, typer.Option(help="Which of its two sets of data.")],
    data: Data = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="Default: what the file's name says, else ndjson.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option(help="The file to make; '-' is standard output.")] = _STDOUT,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if there is one.")] = False,
    as_json: AsJson = False,
) -> None:
    """Export all profiles: properties, types, attributes and other ids, as they are at this moment.

    `traitbase import` makes the same again in an empty workspace, from any of the formats. The file appears under its
    name when it is whole. With standard output, the summary goes to standard error.
    """
    started = time.monotonic()
    to_stdout = out == _STDOUT
    chosen = format_ or (Format.NDJSON if to_stdout else _BY_SUFFIX.get(out.suffix.lower()))
    if chosen is None:
        message = f"--out {out}: say which --format, or name the file .ndjson, .csv or .parquet: import goes by that"
        raise InvalidInput(message)
    if to_stdout and chosen is Format.PARQUET:
        raise InvalidInput("Parquet cannot be written to standard output; name a file with --out")
    signal.signal(signal.SIGTERM, _end_as_if_interrupted)  # so that no half file is left behind
    store = bootstrap.open_store(_existing(load_settings(data=data)))
    try:
        with open_export(store, Space(workspace, environment.value)) as exported:
            with _progress(exported.total) as on_progress:
                if to_stdout:
                    _write_to_stdout(exported, chosen, on_progress)
                else:
                    with whole_file(out, replaces=force) as part:
                        exported.write_file(chosen, part, on_progress=on_progress)
            summary = {
                "out": None if to_stdout else str(out),
                "format": chosen.value,
                "workspace_id": workspace,
                "environment": environment.value,
                "profiles": exported.written,
                "properties": len(exported.header.definitions),
                "seconds": round(time.monotonic() - started, 3),
            }
    finally:
        store.close()
    if as_json:
        typer.echo(msgspec.json.encode(summary).decode(), err=to_stdout)
        return
    what = f"{exported.written:,} profiles, {len(exported.header.definitions):,} properties"
    typer.echo(f"{what} exported as {chosen.value} in {summary['seconds']:.1f} s", err=to_stdout)


def _existing(settings: Settings) -> Settings:
    """Return the settings. Raises NotFound if there is no store where they say: an export makes none."""
    if not bootstrap.exists_store(settings):
        data = settings.data
        message = (
            f"there is no data in {data} (no {bootstrap.DATABASE_FILE}); name the server's data folder with --data"
        )
        raise NotFound(message, code="no_data")
    return settings


def _end_as_if_interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _write_to_stdout(exported: Export, chosen: Format, on_progress: OnProgress | None) -> None:
    try:
        exported.write(chosen, sys.stdout.buffer, on_progress=on_progress)
    except BrokenPipeError:
        raise  # whoever read has seen enough; the command ends quietly
    except OSError as error:
        message = f"standard output cannot be written: {error.strerror or error}; what was written is not whole"
        raise Refused(message, code="export_stopped") from error


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None] | None]:
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=Console(stderr=True), refresh_per_second=4, transient=True) as progress:
        task = progress.add_task("exporting (profiles)", total=total)
        yield lambda written: progress.update(task, completed=written)
