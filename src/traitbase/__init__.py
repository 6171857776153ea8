"""Traitbase: typed properties of your users, cohorts over them, campaigns to them. Self-hosted."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traitbase.client import Client

__version__ = "0.2.0"

__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> object:
    """Import the client when it is first asked for: it brings httpx, which the server does without."""
    if name == "Client":
        return importlib.import_module("traitbase.client").Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
