"""The `traitbase` command: its subcommands, and how an error is told."""

from __future__ import annotations

import errno
import os
import sys

import typer
from rich.console import Console

import traitbase
from traitbase.cli import (
    accounts,
    campaigns,
    cohorts,
    compacting,
    database,
    demo,
    exports,
    imports,
    keys,
    properties,
    serve,
    workspaces,
)
from traitbase.domain.errors import TraitbaseError

app = typer.Typer(
    name="traitbase",
    help="Typed properties of your users, cohorts over them, campaigns to them. Self-hosted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("serve")(serve.serve)
app.command("import")(imports.import_file)
app.command("export")(exports.export)
app.command("compact")(compacting.compact)
app.command("demo")(demo.demo)
app.add_typer(workspaces.app, name="workspace")
app.add_typer(keys.app, name="keys")
app.add_typer(accounts.app, name="account")
app.add_typer(properties.app, name="properties")
app.add_typer(cohorts.app, name="cohort")
app.add_typer(campaigns.app, name="campaign")
app.add_typer(database.app, name="db")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(traitbase.__version__)


def main() -> None:
    """Run the command line. Errors that a user can do something about are one message, and exit status 2."""
    _open_what_is_closed()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except TraitbaseError as error:
        _tell(error.message)
        sys.exit(2)
    except BrokenPipeError:
        _give_up_output()
        sys.exit(1)
    except OSError as error:
        if error.errno not in _OUTPUT_FAULTS or error.filename is not None:
            raise
        _give_up_output()
        _tell(f"the output cannot be written: {error.strerror}")
        sys.exit(2)


_OUTPUT_FAULTS = (errno.ENOSPC, errno.EIO, errno.EBADF)


def _open_what_is_closed() -> None:
    """Give closed standard streams a place to go: else the next file or socket would get their number, and the text."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115  # lives as long as the process


def _give_up_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(message: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("error:", style="bold red", end=" ")
    console.print(message, markup=False)
