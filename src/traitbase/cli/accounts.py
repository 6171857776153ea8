"""`traitbase account`: who may sign in to the console."""

from __future__ import annotations

import contextlib
import sys
from contextlib import closing
from ipaddress import ip_address
from typing import Annotated

import typer
from rich.table import Table

from traitbase import bootstrap
from traitbase.cli.options import Data, existing_store_in, settings_for, show_table, store_in
from traitbase.domain.accounts import Role
from traitbase.domain.errors import InvalidInput
from traitbase.services.accounts.audit import Audit
from traitbase.services.accounts.people import LINK_HOURS, Newcomer, People
from traitbase.services.accounts.ports import AccountStore
from traitbase.settings import Settings

app = typer.Typer(help="People who use the console.", no_args_is_help=True)

Workspace = Annotated[str, typer.Option("--workspace", help="The workspace's id (WSID).")]
RoleOption = Annotated[Role, typer.Option(help="viewer looks, editor changes, admin also runs the workspace.")]


def people_of(store: AccountStore) -> People:
    """Return what is done with accounts, in a store."""
    audit = Audit(store, now_us=bootstrap.now_us, new_id=bootstrap.new_request_id)
    return People(store, audit, now_us=bootstrap.now_us)


def console_at(settings: Settings, host: str, port: int) -> str:
    """Return the address of the console: under the public address, or where the server listens on this machine."""
    if settings.public_url:
        return f"{settings.public_url}/console"
    with contextlib.suppress(ValueError):  # a host's name
        if ip_address(host).is_unspecified:
            host = "localhost"  # it listens everywhere, which is no address to open
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/console"


def link_for(settings: Settings, token: str) -> str:
    """Return the address of a one-time link."""
    return f"{console_at(settings, settings.host, settings.port)}/link/{token}"


@app.command()
def link(
    data: Data = None,
    workspace: Annotated[str | None, typer.Option(help="The workspace's id (WSID).", show_default=False)] = None,
    email: Annotated[str | None, typer.Option(help="Whose it is to be.", show_default=False)] = None,
    role: RoleOption = Role.ADMIN,
) -> None:
    """Make a one-time link for somebody: for the first admin of all, or (--workspace, --email) for another person."""
    with closing(store_in(data)) as store:
        people = people_of(store)
        if email is None and workspace is None:
            token = people.first_link()
            if token is None:
                message = "there are accounts already: say for whom the link is, with --workspace and --email"
                raise InvalidInput(message)
        elif email is None or workspace is None:
            raise InvalidInput("say both: --workspace, and --email")
        else:
            token = people.invite(workspace, email, role, by=None)
    typer.echo(link_for(settings_for(data), token))
    typer.echo(
        f"It works once, for {LINK_HOURS} hours. (On another machine, its address is that of the server.)", err=True
    )


@app.command()
def add(
    email: Annotated[str, typer.Argument(help="Their email address, by which they sign in.")],
    workspace: Workspace,
    data: Data = None,
    name: Annotated[str | None, typer.Option(help="What they are called.", show_default=False)] = None,
    role: RoleOption = Role.ADMIN,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Give somebody an account, if they have none, and a role in a workspace. Asks for the password."""
    with closing(existing_store_in(data)) as store:
        known = store.find_account_by_email(email.strip().lower())
        password = "" if known is not None else _password(from_stdin=password_stdin)
        account = people_of(store).add(workspace, Newcomer(email, name or email.partition("@")[0], password), role)
    typer.echo(f"{account.email} is {role.value} of {workspace} and can sign in at /console.")


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


@app.command()
def reset(email: Annotated[str, typer.Argument(help="Whose password it is.")], data: Data = None) -> None:
    """Make a one-time link behind which somebody chooses a new password; all their sessions end then."""
    with closing(existing_store_in(data)) as store:
        token = people_of(store).reset_by_email(email)
    typer.echo(link_for(settings_for(data), token))


@app.command("list")
def list_accounts(workspace: Workspace, data: Data = None) -> None:
    """List who may do what in a workspace."""
    with closing(existing_store_in(data)) as store:
        members = people_of(store).members(workspace)
    table = Table("account", "name", "email", "role", box=None, pad_edge=False)
    for each in members:
        table.add_row(each.account.account_id, each.account.name, each.account.email, each.role.value)
    show_table(table)
