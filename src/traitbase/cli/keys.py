"""`traitbase keys`: API keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from traitbase import bootstrap
from traitbase.cli.options import AsJson, Data, existing_store_in, show_table
from traitbase.domain.keys import ApiKey, Reach, Scope
from traitbase.services.workspaces import create_api_key, get_workspace, revoke_api_key

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

_DAY_US = 86_400_000_000
WorkspaceOption = Annotated[str, typer.Option("--workspace", help="The workspace's id (WSID).")]


@app.command()
def create(
    workspace: WorkspaceOption,
    environment: Annotated[Reach, typer.Option(help="Where the key is valid.")] = Reach.BOTH,
    scope: Annotated[Scope, typer.Option(help="ingest: send updates; read: read; admin: everything.")] = Scope.ADMIN,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Annotated[
        int | None,
        typer.Option(min=1, max=36500, help="Valid for so many days. Default: for good.", show_default=False),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Only from this network (CIDR); may be repeated. Default: anywhere.", show_default=False),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is shown this once; only its digest is kept."""
    now_us = bootstrap.now_us()
    made = create_api_key(
        existing_store_in(data),
        workspace_id=workspace,
        reach=environment,
        scope=scope,
        name=name,
        at_us=now_us,
        expires_at_us=None if days is None else now_us + days * _DAY_US,
        networks=tuple(allow or ()),
    )
    if as_json:
        typer.echo(msgspec.json.encode({"api_key": made.secret, **_described(made.key)}).decode())
        return
    typer.echo(made.secret)
    typer.echo(
        f"Keep it now: it is not shown again. ({made.key.key_id}, {scope.value}, {environment.value}, "
        f"workspace {workspace})",
        err=True,
    )


@app.command("list")
def list_all(workspace: WorkspaceOption, data: Data = None, as_json: AsJson = False) -> None:
    """List a workspace's keys (never the keys themselves)."""
    store = existing_store_in(data)
    get_workspace(store, workspace)
    keys = store.list_api_keys(workspace)
    if as_json:
        items = [{**_described(key), "last_used_at": _time(used_at_us)} for key, used_at_us in keys]
        typer.echo(msgspec.json.encode({"items": items}).decode())
        return
    table = Table("id", "name", "environment", "scope", "state", "last used (UTC)")
    now_us = bootstrap.now_us()
    for key, used_at_us in keys:
        table.add_row(key.key_id, key.name, key.reach, key.scope, _state(key, now_us), _time(used_at_us) or "never")
    show_table(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `traitbase keys list` shows it.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key for good. Servers refuse it within a few seconds."""
    revoke_api_key(existing_store_in(data), key_id, at_us=bootstrap.now_us())
    typer.echo(msgspec.json.encode({"revoked": key_id}).decode() if as_json else f"{key_id} is revoked.")


def _described(key: ApiKey) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "workspace_id": key.workspace_id,
        "environment": key.reach.value,
        "scope": key.scope.value,
        "name": key.name,
        "created_at": _time(key.created_at_us),
        "expires_at": _time(key.expires_at_us),
        "revoked_at": _time(key.revoked_at_us),
        "networks": list(key.networks),
    }


def _state(key: ApiKey, now_us: int) -> str:
    if key.revoked_at_us is not None:
        return "revoked"
    return "valid" if key.is_current(now_us) else "expired"


def _time(at_us: int | None) -> str | None:
    return None if at_us is None else datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="seconds")
