"""`traitbase db …`: the database behind a store, for whoever runs it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from traitbase import bootstrap
from traitbase.cli.options import AsJson, Data, settings_for, show_table
from traitbase.domain.errors import InvalidInput, NotFound, Refused
from traitbase.domain.spaces import Environment, Space
from traitbase.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True, help="The database: its schema, its health, and moving to PostgreSQL.")

To = Annotated[
    str | None,
    typer.Option(help="The PostgreSQL database. Default: $TRAITBASE_DATABASE_URL.", show_default=False),
]


@app.command()
def migrate(data: Data = None, as_json: AsJson = False) -> None:
    """Bring the database to the schema of this release: make its tables, or take the steps that are missing.

    Stop the servers of the older release first: they refuse to write to a newer schema.
    """
    before, after = bootstrap.migrate_store(settings_for(data))
    if as_json:
        typer.echo(msgspec.json.encode({"before": before, "after": after}).decode())
    elif before == after:
        typer.echo(f"The schema is {after}, that of this release: nothing to do.")
    else:
        typer.echo(f"The schema was brought from {before or 'nothing'} to {after}.")


@app.command()
def check(data: Data = None, as_json: AsJson = False) -> None:
    """Look at the database: whether it can be used, and keeps what it is told. Exit status 1: it does not."""
    findings = bootstrap.check_database(settings_for(data))
    if as_json:
        answer = [{"check": each.check, "state": each.state, "found": each.found} for each in findings]
        typer.echo(msgspec.json.encode({"checks": answer}).decode())
    else:
        table = Table("", "check", "found", box=None)
        signs = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "fault": "[red]fault[/]"}
        for each in findings:
            table.add_row(signs[each.state], each.check, each.found)
        show_table(table)
    if any(each.state == "fault" for each in findings):
        raise typer.Exit(1)


@app.command()
def copy(data: Data = None, to: To = None, as_json: AsJson = False) -> None:
    """Copy everything from the data folder's SQLite file into PostgreSQL, and verify it by counts and checksums.

    Run it again if it was interrupted: it goes on where it was. Stop the server of the data folder first, or what it
    takes in after the end is not copied.
    """
    started = time.monotonic()
    source = load_settings(data=data, database_url="")
    target = settings_for(data) if to is None else load_settings(data=data, database_url=to)
    if not target.database_url.get_secret_value():
        raise Refused("name the database to copy into with --to, or in TRAITBASE_DATABASE_URL", code="bad_settings")
    if not bootstrap.exists_store(source):
        message = f"there is no Traitbase data in {source.data.absolute()}: name its folder with --data"
        raise NotFound(message, code="data_not_found")
    with _told(source) as on_step:
        tables = bootstrap.copy_store(source, target, on_step=on_step)
    seconds = round(time.monotonic() - started, 3)
    if as_json:
        rows = [dataclasses.asdict(each) for each in tables]
        typer.echo(msgspec.json.encode({"tables": rows, "seconds": seconds}).decode())
        return
    table = Table("table", "rows", "copied now", "checksum of both", box=None)
    for each in tables:
        table.add_row(each.name, f"{each.rows:,}", f"{each.copied:,}", each.checksum)
    show_table(table)
    typer.echo(
        f"Both sides are the same ({seconds:.1f} s). Start the server with TRAITBASE_DATABASE_URL from now on; keep "
        "the folder until you are sure."
    )


@app.command()
def distribute(
    data: Data = None,
    shards: Annotated[int, typer.Option(min=1, max=4096, help="Into how many parts a table is divided.")] = 32,
    as_json: AsJson = False,
) -> None:
    """Spread the tables over the servers of a Citus cluster: what belongs to a profile lies by its distinct_id.

    Stop all servers first; they start again when it is done. Run it again if it was interrupted, and after an upgrade
    that brought new tables.
    """
    settings = settings_for(data)
    console = Console(stderr=True)
    with console.status("looking at the cluster") as status:
        tables = bootstrap.distribute_store(
            settings, shards=shards, on_table=lambda name: status.update(f"moving {name}")
        )
    if as_json:
        typer.echo(msgspec.json.encode({"tables": [each._asdict() for each in tables]}).decode())
        return
    table = Table("table", "is", "", box=None)
    for each in tables:
        table.add_row(each.name, each.place, "moved now" if each.is_moved else "")
    show_table(table)
    typer.echo("Every table is where it is to be. Start the servers again.")


@app.command()
def index(
    name: Annotated[str | None, typer.Argument(help="The property. Without it, list what there is.")] = None,
    workspace: Annotated[str | None, typer.Option("--workspace", help="The workspace's id (WSID).")] = None,
    environment: Annotated[Environment, typer.Option("--environment", help="live or test.")] = Environment.LIVE,
    drop: Annotated[bool, typer.Option("--drop", help="Take the index away.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make an index of a property, for rules that ask for one of its values: then only those who have it are read.

    For PostgreSQL, and properties with many different values. Updates of the space take longer with each.
    """
    settings = settings_for(data)
    if name is not None:
        if workspace is None:
            raise InvalidInput("name the property's workspace with --workspace", code="bad_settings")
        is_changed = bootstrap.change_index(settings, Space(workspace, environment), name, drop=drop)
        if not as_json:
            done = {(True, True): "is gone", (True, False): "is made", (False, True): "was not there"}
            typer.echo(f"The index of {name!r} {done.get((is_changed, drop), 'is there already')}.")
            return
    found = bootstrap.list_indexes(settings)
    if as_json:
        items = [
            {**each.space._asdict(), "name": each.name, "is_usable": each.is_usable, "bytes": each.size}
            for each in found
        ]
        typer.echo(msgspec.json.encode({"indexes": items}).decode())
        return
    table = Table("workspace", "environment", "property", "size", "", box=None)
    for each in found:
        state = "" if each.is_usable else "not finished: make it again"
        table.add_row(*each.space, each.name, f"{each.size / 1024**2:,.1f} MB", state)
    show_table(table)


@contextmanager
def _told(source: Settings) -> Iterator[bootstrap.OnStep]:
    """Show how far a copy is: every row is copied, then verified."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("copying", total=2 * bootstrap.count_rows(source))
        yield lambda name, rows: progress.update(task, advance=rows, description=name)
