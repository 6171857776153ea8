"""What one writes in an afternoon instead: FastAPI, SQLAlchemy, a JSON column, one transaction a request.

Written to be good at it: the same SQLite settings as Traitbase, connections kept, the fast event loop and parser.
"""

from __future__ import annotations

import hmac
import sys
from typing import Annotated, Any
from uuid import uuid4

import sqlalchemy as sa
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from bench.serving import serve

_SETTINGS = (
    "page_size = 2048",
    "journal_mode = WAL",
    "synchronous = FULL",
    "cache_size = -65536",
    "temp_store = MEMORY",
)


class _Base(DeclarativeBase):
    pass


class _Profile(_Base):
    __tablename__ = "profiles"

    workspace_id: Mapped[str] = mapped_column(primary_key=True)
    environment: Mapped[str] = mapped_column(primary_key=True)
    distinct_id: Mapped[str] = mapped_column(primary_key=True)
    properties: Mapped[dict[str, Any]] = mapped_column(sa.JSON)


class _SetBody(BaseModel):
    distinct_id: str = Field(min_length=1, max_length=255)
    properties: dict[str, Any] = Field(alias="$set", min_length=1)


def make_app(database: str, api_key: str) -> FastAPI:
    sessions = _open_database(database)
    expected = f"Bearer {api_key}".encode()

    def check_key(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), expected):
            raise HTTPException(401)

    app = FastAPI(dependencies=[Depends(check_key)])

    # `async`, although the database blocks: SQLite has one writer, and threads that queue up for it are slower.
    @app.post("/v1/{workspace_id}/{environment}/profiles/properties/set", status_code=202)
    async def set_properties(workspace_id: str, environment: str, body: _SetBody) -> dict[str, str]:
        with sessions.begin() as session:
            profile = session.get(_Profile, (workspace_id, environment, body.distinct_id))
            if profile is None:
                profile = _Profile(workspace_id=workspace_id, environment=environment, distinct_id=body.distinct_id)
                profile.properties = body.properties
                session.add(profile)
            else:
                profile.properties = {**profile.properties, **body.properties}
        return {"request_id": str(uuid4())}

    return app


def _open_database(database: str) -> sessionmaker[Session]:
    engine = sa.create_engine(sa.URL.create("sqlite", database=database))

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin below, with the lock that read, merge, write needs
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}").fetchall()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    _Base.metadata.create_all(engine)
    return sessionmaker(engine)


if __name__ == "__main__":
    serve(make_app(*sys.argv[1:]))
