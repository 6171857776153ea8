"""The `traitbase` command: its subcommands, and how an error is told."""

from __future__ import annotations

import os
import sys

import typer
from rich.console import Console

import traitbase
from traitbase.cli import demo, exports, imports, keys, serve, workspaces
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
app.command("demo")(demo.demo)
app.add_typer(workspaces.app, name="workspace")
app.add_typer(keys.app, name="keys")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(traitbase.__version__)


def main() -> None:
    """Run the command line. Errors that a user can do something about are one message, and exit status 2."""
    try:
        app()
    except TraitbaseError as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print("error:", style="bold red", end=" ")
        console.print(error.message, markup=False)
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
