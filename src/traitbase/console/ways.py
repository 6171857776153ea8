"""The ways into the console, in one table: what each needs, and what the audit log calls it.

A way that is not in here does not exist, and each has a role beside it: the tests ask every one of them with everybody
who must not use it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response

from traitbase.console.page import Page
from traitbase.domain.accounts import Role

Handler = Callable[[Page], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Way:
    """A page, or an action. `path` is below `/console`, and below the workspace and environment if it needs a role."""

    method: str
    path: str
    handler: Handler
    needs: Role | None
    action: str | None = None
    is_public: bool = False
    body_bytes: int = 4 * 1024 * 1024

    @property
    def full_path(self) -> str:
        """The path as it is routed."""
        base = "/console" if self.needs is None else "/console/w/{workspace_id}/{environment}"
        return f"{base}/{self.path}" if self.path else base


def seen(path: str, handler: Handler, needs: Role | None = Role.VIEWER, *, is_public: bool = False) -> Way:
    """Return a page."""
    return Way("GET", path, handler, needs, is_public=is_public)


def looked(path: str, handler: Handler, needs: Role | None = Role.VIEWER) -> Way:
    """Return a question whose answer depends on a form, and that changes nothing."""
    return Way("POST", path, handler, needs)


def done(path: str, handler: Handler, needs: Role | None, action: str) -> Way:
    """Return an action. It is in the audit log if it leads on to another page: then it was done."""
    return Way("POST", path, handler, needs, action)
