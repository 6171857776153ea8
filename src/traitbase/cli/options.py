"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from traitbase.bootstrap import open_store
from traitbase.services.ports import Store
from traitbase.settings import Settings, load_settings

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", help="The data folder. Default: $TRAITBASE_DATA, or traitbase-data here.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]


def store_in(data: Path | None) -> Store:
    """Open the store in the folder that the command names, or the one that the settings name."""
    return open_store(settings_for(data).data)


def settings_for(data: Path | None) -> Settings:
    """Return the settings, of the folder that the command names or the one that they name themselves."""
    return load_settings(data=data)
