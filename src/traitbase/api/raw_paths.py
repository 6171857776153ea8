"""Routes whose path holds a name: they match the path as it was sent, where `%2F` is part of a name and no slash."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope


class RawPathRoute(APIRoute):
    """A route that is matched before `%2F` and the like are decoded; its parameters are decoded then."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether the route is meant, and with which parameters."""
        raw: bytes | None = scope.get("raw_path")
        if raw is None:
            return super().matches(scope)
        match, found = super().matches({**scope, "path": raw.split(b"?")[0].decode("latin-1")})
        if match is not Match.NONE:
            found["path_params"] = {name: _decoded(value) for name, value in found["path_params"].items()}
        return match, found


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    return unquote_to_bytes(value.encode("latin-1")).decode("utf-8", "replace")
