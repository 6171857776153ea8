"""Workspaces and their API keys: made and listed on the command line."""

from __future__ import annotations

from dataclasses import dataclass

from traitbase.domain.errors import InvalidInput, NotFound
from traitbase.domain.keys import ApiKey, Reach, Scope, check_networks, digest_of, new_key_id, new_secret
from traitbase.domain.spaces import Workspace, check_workspace, new_workspace_id
from traitbase.services.ports import Store


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. `secret` is what callers send; it is shown once and stored nowhere."""

    key: ApiKey
    secret: str


def create_workspace(store: Store, *, name: str, workspace_id: str | None, timezone: str, at_us: int) -> Workspace:
    """Create a workspace. Raises InvalidInput naming the field at fault, Conflict if the id is taken."""
    workspace = check_workspace(Workspace(workspace_id or new_workspace_id(), name, timezone, at_us))
    store.add_workspace(workspace)
    return workspace


def get_workspace(store: Store, workspace_id: str) -> Workspace:
    """Return a workspace. Raises NotFound that says which there are."""
    workspace = store.find_workspace(workspace_id)
    if workspace is None:
        known = ", ".join(each.workspace_id for each in store.list_workspaces()[:10]) or "none yet"
        raise NotFound(f"there is no workspace {workspace_id!r} (there is: {known})", code="workspace_not_found")
    return workspace


def create_api_key(
    store: Store,
    *,
    workspace_id: str,
    reach: Reach,
    scope: Scope,
    name: str,
    at_us: int,
    expires_at_us: int | None = None,
    networks: tuple[str, ...] = (),
) -> NewKey:
    """Create an API key. Raises NotFound for an unknown workspace, InvalidInput naming the field at fault."""
    get_workspace(store, workspace_id)
    if len(name) > 255:
        raise InvalidInput("name: a key's name has at most 255 characters")
    secret = new_secret()
    key = ApiKey(
        key_id=new_key_id(),
        workspace_id=workspace_id,
        reach=reach,
        scope=scope,
        name=name,
        digest=digest_of(secret),
        created_at_us=at_us,
        expires_at_us=expires_at_us,
        networks=check_networks(networks),
    )
    store.add_api_key(key)
    return NewKey(key, secret)


def revoke_api_key(store: Store, key_id: str, *, at_us: int) -> None:
    """Revoke a key for good. Raises NotFound if there is no such key that is still valid."""
    if not store.revoke_api_key(key_id, at_us=at_us):
        raise NotFound(f"there is no key {key_id!r} that is still valid; `traitbase keys list` shows them all")
