"""Options that several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from traitbase.bootstrap import exists_store, open_store
from traitbase.domain.errors import NotFound
from traitbase.services.accounts.ports import AccountStore
from traitbase.settings import Settings, load_settings

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", help="The data folder. Default: $TRAITBASE_DATA, or traitbase-data here.", show_default=False
    ),
]
_WIDE = 10_000

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]


def show_table(table: Table) -> None:
    """Print a table: as wide as the terminal, or as wide as it needs to be for whoever cuts columns out of it."""
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


def store_in(data: Path | None) -> AccountStore:
    """Open the store in the folder that the command names, or the one that the settings name; make it if need be."""
    return open_store(settings_for(data))


def existing_store_in(data: Path | None) -> AccountStore:
    """Open a store as `store_in` does, but raise NotFound where there is none: a typing error must not make one."""
    settings = settings_for(data)
    folder = settings.data
    if not exists_store(settings):
        message = (
            f"there is no Traitbase data in {folder.absolute()}: name another folder with --data (or TRAITBASE_DATA), "
            f"or make it with traitbase workspace create NAME --data {folder}"
        )
        raise NotFound(message, code="data_not_found")
    return open_store(settings)


def settings_for(data: Path | None) -> Settings:
    """Return the settings, of the folder that the command names or the one that they name themselves."""
    return load_settings(data=data)
