"""`traitbase properties`: property definitions."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from traitbase import bootstrap
from traitbase.cli.options import AsJson, Data, existing_store_in, settings_for
from traitbase.domain.spaces import Environment, Space
from traitbase.domain.values import Kind, Value, written
from traitbase.services.definitions import list_definitions
from traitbase.services.ports import Store
from traitbase.services.redefining import Redefinition, redefine
from traitbase.services.replaying import Replayed, replay
from traitbase.services.retyping import Asked, Retyped
from traitbase.services.workspaces import get_workspace
from traitbase.settings import Settings

app = typer.Typer(help="List, retype and archive properties.", no_args_is_help=True)

_KEY_ID = "cli"
Workspace = Annotated[str, typer.Option("--workspace", help="The workspace's id (WSID).")]
Version = Annotated[Environment, typer.Option("--environment", help="live or test.")]
Name = Annotated[str, typer.Argument(help="The property's name.")]


@app.command("list")
def list_all(
    workspace: Workspace, environment: Version = Environment.LIVE, data: Data = None, as_json: AsJson = False
) -> None:
    """List the properties of a workspace."""
    _, store, space = _open(data, workspace, environment)
    views, _ = list_definitions(store, space, after=None, limit=1_000_000)
    rows = [view.row for view in views]
    if as_json:
        items = [
            {
                "name": row.name,
                "type": row.kind.value,
                "state": row.state.value,
                "profiles": row.profiles,
                "ignored": row.ignored,
            }
            for row in rows
        ]
        _print({"items": items})
        return
    table = Table("name", "type", "state", "profiles", "ignored values")
    for row in rows:
        table.add_row(row.name, row.kind.value, row.state.value, f"{row.profiles:,}", f"{row.ignored:,}")
    Console().print(table)


@app.command("retype")
def retype(
    name: Name,
    kind: Annotated[Kind, typer.Argument(metavar="TYPE", help="string, number, boolean, date or list.")],
    workspace: Workspace,
    environment: Version = Environment.LIVE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")] = False,
    replays: Annotated[bool, typer.Option("--replay", help="Then apply ignored values that fit now.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Give a property another type: values are converted, those that cannot be are kept aside."""
    settings, store, space = _open(data, workspace, environment)
    done = redefine(store, space, name, Redefinition(kind=kind), asked=_asked(settings), dry_run=dry_run)
    assert done.retyped is not None  # a kind was given
    replayed = replay(store, space, name, _asked(settings)) if replays and not dry_run else None
    if as_json:
        _print({**_as_json(done.retyped, replayed, dry_run=dry_run), "replayable": done.replayable})
        return
    _tell(done.retyped, replayed, dry_run=dry_run)
    if replayed is None and done.replayable:
        typer.echo(f"{done.replayable:,} values that were ignored are kept; --replay tries them again.")


@app.command("archive")
def archive(
    name: Name,
    workspace: Workspace,
    environment: Version = Environment.LIVE,
    undo: Annotated[bool, typer.Option("--undo", help="Let it take values again.")] = False,
    data: Data = None,
) -> None:
    """Let a property take no new values; those that it has stay."""
    settings, store, space = _open(data, workspace, environment)
    redefine(store, space, name, Redefinition(archived=not undo), asked=_asked(settings), dry_run=False)
    typer.echo(f"{name} takes new values again." if undo else f"{name} is archived.")


def _open(data: Data, workspace: str, environment: Environment) -> tuple[Settings, Store, Space]:
    settings = settings_for(data)
    store = existing_store_in(data)
    get_workspace(store, workspace)
    return settings, store, Space(workspace, environment.value)


def _asked(settings: Settings) -> Asked:
    return Asked(bootstrap.new_request_id(), bootstrap.now_us(), _KEY_ID, settings.history_days > 0)


def _as_json(retyped: Retyped, replayed: Replayed | None, *, dry_run: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "dry_run": dry_run,
        "profiles": retyped.profiles,
        "converted": retyped.converted,
        "kept_aside": retyped.kept_aside,
        "came_back": retyped.came_back,
    }
    if replayed is not None:
        answer["replay"] = {
            "applied": replayed.applied,
            "superseded": replayed.superseded,
            "still_ignored": dict(replayed.still_ignored),
            "remaining": replayed.remaining,
        }
    return answer


def _tell(retyped: Retyped, replayed: Replayed | None, *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    typer.echo(
        f"Of {retyped.profiles:,} values {retyped.converted:,} {would}converted, {retyped.kept_aside:,} {would}kept "
        f"aside; {retyped.came_back:,} kept aside before {'would come' if dry_run else 'came'} back."
    )
    for sample in retyped.converted_samples:
        typer.echo(f"  {_shown(sample.before)} → {_shown(sample.after)}, of {sample.distinct_id}")
    for sample in retyped.kept_aside_samples:
        typer.echo(f"  kept aside: {_shown(sample.before)}, of {sample.distinct_id}")
    if replayed is not None:
        typer.echo(
            f"Of the ignored values {replayed.applied:,} were applied, {replayed.superseded:,} were superseded, "
            f"{sum(replayed.still_ignored.values()):,} are still ignored."
        )


def _shown(value: Value | None) -> str:
    return "nothing" if value is None else msgspec.json.encode(written(value)).decode()


def _print(answer: dict[str, Any]) -> None:
    typer.echo(msgspec.json.encode(answer).decode())
