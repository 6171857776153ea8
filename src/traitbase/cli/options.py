"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from traitbase.bootstrap import open_store
from traitbase.services.ports import Store
from traitbase.settings import load_settings

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", help="The data folder. Default: $TRAITBASE_DATA, or traitbase-data here.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]


def store_in(data: Path | None) -> Store:
    """Open the store in the folder that the command names, or the one that the settings name."""
    return open_store(load_settings(data=data).data)
