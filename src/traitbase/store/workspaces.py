"""Workspaces and API keys in a relational database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from traitbase.domain.errors import Conflict
from traitbase.domain.keys import ApiKey, Reach, Scope
from traitbase.domain.spaces import Workspace
from traitbase.store.database import Database
from traitbase.store.tables import api_keys, workspaces


class WorkspaceQueries:
    """The part of the store port that deals with workspaces and keys."""

    _database: Database

    def add_workspace(self, workspace: Workspace) -> None:
        """Store a new workspace. Raises Conflict if its id is taken."""
        row = {name: getattr(workspace, name) for name in ("workspace_id", "name", "timezone", "created_at_us")}
        insert = self._database.insert(workspaces).values(row).on_conflict_do_nothing()
        with self._database.writing() as connection:
            if connection.execute(insert.returning(workspaces.c.workspace_id)).one_or_none() is None:
                raise Conflict(f"there is a workspace {workspace.workspace_id!r} already", code="workspace_exists")

    def find_workspace(self, workspace_id: str) -> Workspace | None:
        """Return the workspace, or None."""
        query = sa.select(workspaces).where(workspaces.c.workspace_id == workspace_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Workspace(**row._mapping)  # noqa: SLF001  # SQLAlchemy's documented accessor

    def list_workspaces(self) -> list[Workspace]:
        """Return all workspaces in order of creation."""
        query = sa.select(workspaces).order_by(workspaces.c.created_at_us, workspaces.c.workspace_id)
        with self._database.reading() as connection:
            return [Workspace(**row) for row in connection.execute(query).mappings()]

    def add_api_key(self, key: ApiKey) -> None:
        """Store a new key."""
        row = {
            "key_id": key.key_id,
            "workspace_id": key.workspace_id,
            "reach": key.reach.value,
            "scope": key.scope.value,
            "name": key.name,
            "digest": key.digest,
            "created_at_us": key.created_at_us,
            "expires_at_us": key.expires_at_us,
            "revoked_at_us": key.revoked_at_us,
            "networks": " ".join(key.networks),
        }
        with self._database.writing() as connection:
            connection.execute(sa.insert(api_keys).values(row))

    def find_api_key(self, digest: str) -> ApiKey | None:
        """Return the key with that digest, or None."""
        query = sa.select(api_keys).where(api_keys.c.digest == digest)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _api_key(row)

    def list_api_keys(self, workspace_id: str) -> list[tuple[ApiKey, int | None]]:
        """Return a workspace's keys in order of creation, each with the time it was last used."""
        query = (
            sa.select(api_keys)
            .where(api_keys.c.workspace_id == workspace_id)
            .order_by(api_keys.c.created_at_us, api_keys.c.key_id)
        )
        with self._database.reading() as connection:
            return [(_api_key(row), row["last_used_at_us"]) for row in connection.execute(query).mappings()]

    def revoke_api_key(self, key_id: str, *, at_us: int) -> bool:
        """Revoke a key for good. False if there is no such key, or it is revoked already."""
        statement = (
            sa.update(api_keys)
            .where(api_keys.c.key_id == key_id, api_keys.c.revoked_at_us.is_(None))
            .values(revoked_at_us=at_us)
        )
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def note_api_key_use(self, key_id: str, *, at_us: int) -> None:
        """Record that the key was used."""
        statement = sa.update(api_keys).where(api_keys.c.key_id == key_id).values(last_used_at_us=at_us)
        with self._database.writing() as connection:
            connection.execute(statement)


def _api_key(row: Any) -> ApiKey:  # a row mapping
    return ApiKey(
        key_id=row["key_id"],
        workspace_id=row["workspace_id"],
        reach=Reach(row["reach"]),
        scope=Scope(row["scope"]),
        name=row["name"],
        digest=row["digest"],
        created_at_us=row["created_at_us"],
        expires_at_us=row["expires_at_us"],
        revoked_at_us=row["revoked_at_us"],
        networks=tuple(row["networks"].split()),
    )
