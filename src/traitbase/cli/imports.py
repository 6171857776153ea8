"""`traitbase import`: a file's rows as updates, with every line accounted for."""

from __future__ import annotations

import gc
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from traitbase import bootstrap
from traitbase.cli.options import AsJson, Data, existing_store_in, settings_for
from traitbase.domain.errors import InvalidInput, Refused, TraitbaseError
from traitbase.domain.spaces import Environment, Space
from traitbase.domain.values import Kind
from traitbase.services.imports.accounting import Finding, Tally
from traitbase.services.imports.columns import Column, Origin
from traitbase.services.imports.importing import Import, Sources, Watch, check_import, plan_import, run_import
from traitbase.services.imports.sources import Format, ImportOptions, open_source
from traitbase.services.imports.texts import Guess

_REFUSED_SOME = 1
_COLUMNS_SHOWN = 200
_ORIGINS = {
    Origin.DEFINED: "defined already",
    Origin.ASKED: "--type",
    Origin.EXPORT: "from the export",
    Origin.FILE: "from the file",
    Origin.TEXT: "text stays text",
}
_SEEN_IN_LINES = "seen in the first lines"


def import_file(
    file: Annotated[Path, typer.Argument(help="The file: CSV with a header line, NDJSON, or Parquet.")],
    workspace: Annotated[str, typer.Option(help="The workspace's id (WSID).")],
    environment: Annotated[Environment, typer.Option(help="Which of its two sets of data.")],
    data: Data = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="Default: what the file's name says.", show_default=False)
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="NAME=TYPE",
            help="Read a column as string, number, boolean, date or list; may be repeated. Default: text stays text.",
            show_default=False,
        ),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Between the cells of CSV, such as ';' or tab.", show_default=False)
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Of a text file, such as cp1252.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read everything, write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Write every ignored value and refused line to this file (NDJSON).", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import a file: each row of CSV or Parquet sets its properties on the profile of its distinct_id.

    The types of the columns are shown before anything is written. An empty cell of CSV and a NULL of Parquet send no
    value. A line of NDJSON is an item of the batch API. Exit status: 0 if nothing was refused, 1 if some lines were
    (the rest is applied), 2 if the file cannot be imported.
    """
    with _failure_told(as_json=as_json):
        started = time.monotonic()
        if report is not None and report.resolve() == file.resolve():
            raise InvalidInput("--report names the file that is to be imported; choose another one")
        shown = Console(stderr=as_json, highlight=False, soft_wrap=True)
        on_terminal = sys.stdin.isatty() and sys.stderr.isatty()
        options = ImportOptions(format_, delimiter, encoding, _read_types(types or ()))
        opened = open_source(file, options, ask=_ask_encoding if on_terminal and not yes else None)
        store = existing_store_in(data)
        try:
            planned = plan_import(store, Space(workspace, environment.value), opened, asked=dict(options.kinds))
            _show_types(shown, planned, file)
            if on_terminal and not (yes or dry_run):
                _ask_to_go_on()
            with ExitStack() as stack:
                watch = Watch(
                    on_progress=stack.enter_context(_progress(planned, as_bar=sys.stderr.isatty())),
                    report=None if report is None else stack.enter_context(_writing_report(report)),
                )
                if dry_run:
                    tally = check_import(planned, watch=watch)
                else:
                    _calm_the_interpreter()
                    signal.signal(signal.SIGTERM, _end_as_if_interrupted)  # to say how far it got
                    keeps_history = settings_for(data).history_days > 0
                    given = Sources(bootstrap.now_us, bootstrap.new_request_id, bootstrap.new_profile_id, keeps_history)
                    tally = run_import(store, planned, given=given, watch=watch)
        finally:
            store.close()
        if as_json:
            summary = _summary(planned, tally, file=file, dry_run=dry_run, seconds=time.monotonic() - started)
            typer.echo(msgspec.json.encode(summary).decode())
        else:
            _show_summary(shown, planned, tally, dry_run=dry_run, seconds=time.monotonic() - started)
        if tally.refused:
            raise typer.Exit(_REFUSED_SOME)


@contextmanager
def _failure_told(*, as_json: bool) -> Iterator[None]:
    """Tell a failure on standard output too where a script reads one object there."""
    try:
        yield
    except TraitbaseError as error:
        if as_json:
            typer.echo(msgspec.json.encode({"error": {"code": error.code, "message": error.message}}).decode())
        raise


def _read_types(texts: list[str] | tuple[()]) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for text in texts:
        name, _, word = text.rpartition("=")
        if not name or word not in set(Kind):
            words = ", ".join(Kind)
            raise InvalidInput(f"--type {text}: expected NAME=TYPE, such as age=number; the types are {words}")
        if kinds.setdefault(name, Kind(word)) is not Kind(word):
            raise InvalidInput(f"--type {text}: the column {name!r} was given another type before")
    return kinds


def _ask_to_go_on() -> None:
    if not typer.confirm("Import?", default=True, err=True):
        raise Refused("nothing was imported", code="import_declined")


def _end_as_if_interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _ask_encoding(guess: Guess) -> bool:
    typer.echo(f"The file is not UTF-8; it looks like {guess.encoding}. Read so, a line of it says:", err=True)
    typer.echo(f"  … {guess.sample} …", err=True)
    return typer.confirm(f"Is that right, and shall it be read as {guess.encoding}?", default=False, err=True)


def _show_types(shown: Console, planned: Import, file: Path) -> None:
    source = planned.source
    how = [planned.format.value, source.encoding, f"delimiter {source.delimiter!r}" if source.delimiter else None]
    shown.print(escape(f"{file.name} ({', '.join(word for word in how if word)})"), style="bold")
    table = Table("property", "type", "why", "note", box=None, pad_edge=False)
    for column in planned.columns[:_COLUMNS_SHOWN]:
        table.add_row(escape(column.name), column.kind.value, _why(planned, column), escape(column.warning or ""))
    shown.print(table)
    if len(planned.columns) > _COLUMNS_SHOWN:
        shown.print(f"… and {len(planned.columns) - _COLUMNS_SHOWN:,} more columns")


def _why(planned: Import, column: Column) -> str:
    if planned.format is Format.NDJSON and column.origin in (Origin.FILE, Origin.TEXT):
        return _SEEN_IN_LINES
    return _ORIGINS[column.origin]


@contextmanager
def _progress(planned: Import, *, as_bar: bool) -> Iterator[Callable[[int], None] | None]:
    if not as_bar:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=Console(stderr=True), refresh_per_second=4, transient=True) as progress:
        task = progress.add_task(f"importing ({planned.source.unit})", total=planned.source.total)
        yield lambda position: progress.update(task, completed=position)


@contextmanager
def _writing_report(path: Path) -> Iterator[Callable[[Finding], None]]:
    encode = msgspec.json.Encoder().encode
    try:
        file = path.open("wb")
    except OSError as error:
        raise InvalidInput(f"--report {path} cannot be written: {error.strerror or error}") from error
    with file:

        def write(finding: Finding) -> None:
            file.write(encode(_described(finding)) + b"\n")

        yield write


def _calm_the_interpreter() -> None:
    # Updates are never cyclic: collections would only walk through them. And the writing thread comes back from the
    # database for moments of work, for which waiting the usual 5 ms would be most of what it does.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    sys.setswitchinterval(0.0005)


def _described(finding: Finding) -> dict[str, object]:
    return {name: value for name, value in finding._asdict().items() if value is not None}


def _summary(planned: Import, tally: Tally, *, file: Path, dry_run: bool, seconds: float) -> dict[str, object]:
    return {
        "file": str(file),
        "format": planned.format.value,
        "encoding": planned.source.encoding,
        "delimiter": planned.source.delimiter,
        "workspace_id": planned.space.workspace_id,
        "environment": planned.space.environment,
        "dry_run": dry_run,
        "columns": [
            {"name": column.name, "type": column.kind.value, "origin": column.origin.value, "warning": column.warning}
            for column in planned.columns
        ],
        "lines": {
            "read": tally.read,
            "applied": tally.applied,
            "ignored": tally.ignored,
            "applied_partly": tally.applied_partly,
            "refused": tally.refused,
            "blank": tally.blank,
        },
        "ignored_values": dict(tally.ignored_values),
        "refused_lines": dict(tally.refused_lines),
        "samples": [_described(finding) for finding in tally.samples],
        "seconds": round(seconds, 3),
    }


def _show_summary(shown: Console, planned: Import, tally: Tally, *, dry_run: bool, seconds: float) -> None:
    what = "rows" if planned.format is Format.PARQUET else "lines"
    applied = "could be applied (nothing was written)" if dry_run else "applied"
    partly = f" ({tally.applied_partly:,} of them applied in part)" if tally.applied_partly else ""
    shown.print(
        f"{tally.read:,} {what} read in {seconds:.1f} s: {tally.applied:,} {applied}, "
        f"{tally.ignored:,} ignored{partly}, {tally.refused:,} refused, {tally.blank:,} blank",
        style="bold",
    )
    _show_reasons(shown, "ignored values", tally.ignored_values)
    _show_reasons(shown, f"refused {what}", tally.refused_lines)
    for finding in tally.samples:
        where = f" {finding.property}" if finding.property else ""
        shown.print(escape(f"  {what[:-1]} {finding.line}{where}: {finding.outcome}, {finding.message}"))
    left = sum(tally.ignored_values.values()) + tally.refused - len(tally.samples)
    if left > 0:
        shown.print(f"  … and {left:,} more; --report FILE writes them all")


def _show_reasons(shown: Console, what: str, counts: Mapping[str, int]) -> None:
    if counts:
        shown.print(f"{what}: " + ", ".join(f"{count:,} {reason}" for reason, count in counts.items()))
