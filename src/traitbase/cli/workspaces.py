"""`traitbase workspace`: tenants."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.table import Table

from traitbase import bootstrap
from traitbase.cli.options import AsJson, Data, existing_store_in, show_table, store_in
from traitbase.services.workspaces import create_workspace

app = typer.Typer(help="Make and list workspaces.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    workspace_id: Annotated[
        str | None, typer.Option("--id", help="Its id in URLs (WSID). Default: a fresh one.", show_default=False)
    ] = None,
    timezone: Annotated[str, typer.Option(help="The zone in which dates without one are read.")] = "UTC",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a workspace."""
    made = create_workspace(
        store_in(data), name=name, workspace_id=workspace_id, timezone=timezone, at_us=bootstrap.now_us()
    )
    if as_json:
        answer = {"workspace_id": made.workspace_id, "name": made.name, "timezone": made.timezone}
        typer.echo(msgspec.json.encode(answer).decode())
        return
    typer.echo(f"Workspace {made.workspace_id} ({made.name}, dates in {made.timezone}) is ready.")
    typer.echo(f"Next, a key for it: traitbase keys create --workspace {made.workspace_id}{_data_option(data)}")


@app.command("list")
def list_all(data: Data = None, as_json: AsJson = False) -> None:
    """List the workspaces."""
    workspaces = existing_store_in(data).list_workspaces()
    if as_json:
        items = [
            {"workspace_id": each.workspace_id, "name": each.name, "timezone": each.timezone} for each in workspaces
        ]
        typer.echo(msgspec.json.encode({"items": items}).decode())
        return
    if not workspaces:
        typer.echo(f"No workspace yet. Make one: traitbase workspace create NAME{_data_option(data)}")
        return
    table = Table("id", "name", "time zone")
    for each in workspaces:
        table.add_row(each.workspace_id, each.name, each.timezone)
    show_table(table)


def _data_option(data: object) -> str:
    return "" if data is None else f" --data {data}"
