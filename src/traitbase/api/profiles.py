"""The routes of profiles: made, read, listed, changed, merged, erased; and their history."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Request, Response

from traitbase.api import profile_schemas as described
from traitbase.api import wire
from traitbase.api.auth import Gate
from traitbase.api.bodies import read_json_body
from traitbase.api.clearing import Clearing
from traitbase.api.cohorts import NESTING_MAX, after_in, page_answer
from traitbase.api.cursors import PlaceList, StoredInteger, cursor_of, place_in, refuse_cursor
from traitbase.api.editing import Edits
from traitbase.api.profile_query import PAGE_MAX, ListQuery, parse_query
from traitbase.api.spaces import BASE, Version, WorkspaceId, admit, id_in, json_answer
from traitbase.domain.edits import Change, Create, DeleteChannel, Edit, Erase, Merge, PatchChannel
from traitbase.domain.keys import ApiKey, Scope
from traitbase.domain.profile_bodies import (
    check_distinct_id,
    parse_channel_deletion,
    parse_channel_patch,
    parse_creation,
    parse_deletion,
    parse_update,
)
from traitbase.domain.rules.tree import Group
from traitbase.domain.spaces import Space
from traitbase.domain.values import JsonValue
from traitbase.services.cohorts.counting import Asking
from traitbase.services.cohorts.stored import text_of
from traitbase.services.history import read_history
from traitbase.services.ports import ProfileOrder, Store
from traitbase.services.profiles import SearchPlace, get_profile, list_profiles, search_profiles

_DAY_US = 86_400_000_000
_PROFILES = f"{BASE}/profiles"
_PROFILE = f"{_PROFILES}/{{distinct_id:path}}"
_MERGE = f"{_PROFILES}/{{source:path}}/merge/{{target:path}}"

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="items a page")]
Cursor = Annotated[str | None, Query(description="next_cursor of the page before")]


@dataclass(frozen=True, slots=True)
class ProfileParts:
    """What the routes need."""

    store: Store
    asking: Asking
    gate: Gate
    edits: Edits
    now_us: Callable[[], int]
    history_days: float
    threads: anyio.CapacityLimiter


def profile_routes(parts: ProfileParts) -> APIRouter:
    """Return the routes. What ends in a fixed word comes before what takes any id."""
    router = APIRouter(tags=["profiles"])
    _add_collection_routes(router, parts)
    _add_change_routes(router, parts)
    _add_reading_routes(router, parts)
    return router


def _add_collection_routes(router: APIRouter, parts: ProfileParts) -> None:
    store, gate, clearing = parts.store, parts.gate, Clearing(parts.store, parts.asking.engine)

    @router.post(_PROFILES, summary="Create a profile", status_code=201, **described.CREATE)
    async def create_profile(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        asked = _Asked(parts, request, Space(workspace_id, version.value), Scope.INGEST)
        made, body = await read_json_body(request, parse_creation)
        edit = Create(made.distinct_id or "", made.changes, made.properties)
        request_id = await asked.do(edit, body)
        return json_answer(_done("Profile created successfully", request_id), status=201)

    @router.post(f"{_PROFILES}/delete", summary="Erase profiles", **described.DELETE)
    async def delete_profiles(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        asked = _Asked(parts, request, Space(workspace_id, version.value), Scope.ADMIN)
        distinct_ids, body = await read_json_body(request, parse_deletion)
        request_id = await asked.do(Erase(distinct_ids), body)
        # The erasure is durable. What it replaced is still in the log, which is emptied before it is answered.
        cleared, copy_cleared = await clearing.clear()
        erasure = store.find_erasure(asked.space, request_id)
        counts = {} if erasure is None else erasure.counts
        answer = _done(f"{counts.get('profiles', 0)} User(s) deleted successfully", request_id)
        traces = {"log_cleared": cleared.log, "file_rewritten": cleared.file, "cohorts_cleared": copy_cleared}
        return json_answer({**answer, "erased": counts, **traces})

    @router.post(f"{_PROFILES}/query", summary="A page of profiles, with chosen columns", **described.QUERY)
    async def query_profiles(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = Space(workspace_id, version.value)
        admit(gate, request, space, needed=Scope.READ)
        asked, _ = await read_json_body(request, parse_query, nesting_max=NESTING_MAX)
        if asked.filter is None:
            return await asyncio.to_thread(_page, parts, space, asked)
        return await anyio.to_thread.run_sync(_page, parts, space, asked, limiter=parts.threads)

    @router.get(_PROFILES, summary="A page of profiles", **described.LIST)
    def list_all(
        request: Request,
        workspace_id: WorkspaceId,
        version: Version,
        limit: Limit = 100,
        cursor: Cursor = None,
        q: Annotated[str | None, Query(max_length=255, description="how distinct_id, name or email begins")] = None,
        sort: Annotated[ProfileOrder | None, Query(description="the order; default: distinct_id")] = None,
    ) -> Response:
        space = Space(workspace_id, version.value)
        admit(gate, request, space, needed=Scope.READ)
        return _page(parts, space, ListQuery(q=q, sort=sort, limit=limit, cursor=cursor))


def _add_change_routes(router: APIRouter, parts: ProfileParts) -> None:
    @router.patch(_MERGE, summary="Merge a profile into another", **described.MERGE)
    @router.post(_MERGE, summary="Merge a profile into another (as one public client does)", **described.MERGE)
    async def merge_profiles(
        request: Request, workspace_id: WorkspaceId, version: Version, source: str, target: str
    ) -> Response:
        asked = _Asked(parts, request, Space(workspace_id, version.value), Scope.INGEST)
        ids = check_distinct_id(id_in(source), "source"), check_distinct_id(id_in(target), "target")
        request_id = await asked.do(Merge(*ids), b"")
        return json_answer(_done("1 Record(s) updated and 1 Records(s) deleted", request_id))

    @router.patch(f"{_PROFILE}/channel", summary="Add to a profile's channels", **described.PATCH_CHANNEL)
    async def patch_channel(
        request: Request, workspace_id: WorkspaceId, version: Version, distinct_id: str
    ) -> Response:
        asked = _Asked(parts, request, Space(workspace_id, version.value), Scope.INGEST)
        patch, body = await read_json_body(request, parse_channel_patch)
        edit = PatchChannel(_id(distinct_id), patch)
        return json_answer(_done("Channel has been modified successfully", await asked.do(edit, body)))

    @router.post(f"{_PROFILE}/channel/delete", summary="Take from a profile's channels", **described.DELETE_CHANNEL)
    async def delete_channel(
        request: Request, workspace_id: WorkspaceId, version: Version, distinct_id: str
    ) -> Response:
        asked = _Asked(parts, request, Space(workspace_id, version.value), Scope.INGEST)
        deletion, body = await read_json_body(request, parse_channel_deletion)
        edit = DeleteChannel(_id(distinct_id), deletion)
        return json_answer(_done("Channel has been modified successfully", await asked.do(edit, body)))

    @router.put(_PROFILE, summary="Change a profile: keys sent replace, keys absent stay", **described.UPDATE)
    async def update_profile(
        request: Request, workspace_id: WorkspaceId, version: Version, distinct_id: str
    ) -> Response:
        asked = _Asked(parts, request, Space(workspace_id, version.value), Scope.INGEST)
        sent, body = await read_json_body(request, parse_update)
        edit = Change(_id(distinct_id), sent.distinct_id, sent.changes, sent.properties)
        return json_answer(_done("1 Record(s) updated successfully", await asked.do(edit, body)))


def _add_reading_routes(router: APIRouter, parts: ProfileParts) -> None:
    store, gate = parts.store, parts.gate

    @router.get(f"{_PROFILE}/history", summary="What changed on a profile, newest first", **described.HISTORY)
    def history(
        request: Request,
        workspace_id: WorkspaceId,
        version: Version,
        distinct_id: str,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response:
        space = Space(workspace_id, version.value)
        admit(gate, request, space, needed=Scope.READ)
        profile = get_profile(store, space, _id(distinct_id))
        places = None if cursor is None else place_in(cursor, PlaceList)
        since_us = parts.now_us() - int(parts.history_days * _DAY_US)
        page = read_history(store, space, profile, since_us=since_us, places=places, limit=limit)
        return json_answer(wire.history_answer(page))

    @router.get(_PROFILE, summary="A profile and its properties", **described.READ)
    def read_profile(request: Request, workspace_id: WorkspaceId, version: Version, distinct_id: str) -> Response:
        space = Space(workspace_id, version.value)
        admit(gate, request, space, needed=Scope.READ)
        profile = get_profile(store, space, id_in(distinct_id))
        return json_answer(wire.profile_answer(space, profile, now_us=parts.now_us()))


class _Asked:
    """A request to write: let in, and carried out with its key."""

    def __init__(self, parts: ProfileParts, request: Request, space: Space, needed: Scope) -> None:
        self.space = space
        self._parts = parts
        self._request = request
        self._key: ApiKey = admit(parts.gate, request, space, needed=needed)

    async def do(self, edit: Edit, body: bytes) -> str:
        """Return the request id of a durable edit."""
        edits = self._parts.edits
        return await edits.submit(self._request, self.space, edit, key_id=self._key.key_id, body=body)


def _id(part: str) -> str:
    return check_distinct_id(id_in(part), "distinct_id")


def _done(message: str, request_id: str) -> dict[str, JsonValue]:
    return {"status": "ok", "_message": message, "request_id": request_id}


def _page(parts: ProfileParts, space: Space, asked: ListQuery) -> Response:
    if asked.filter is not None:
        return _members_page(parts, space, asked, asked.filter)
    if asked.q:
        return _search_page(parts, space, asked)
    order = asked.sort or ProfileOrder.DISTINCT_ID
    after = None
    if asked.cursor is not None:
        kind, created_at_us, distinct_id = place_in(asked.cursor, tuple[str, StoredInteger, str])
        if kind != order:
            refuse_cursor()
        after = (created_at_us, distinct_id)
    page = list_profiles(parts.store, space, order, after=after, limit=asked.limit)
    more = None if page.after is None else cursor_of([order, *page.after])
    items = [_item(parts, space, profile, asked) for profile in page.profiles]
    return json_answer({"items": items, "next_cursor": more})


def _members_page(parts: ProfileParts, space: Space, asked: ListQuery, tree: Group) -> Response:
    now_us = parts.now_us()
    question = hashlib.sha256(text_of(tree).encode()).hexdigest()[:16]
    after = after_in(asked.cursor, of=question)
    page = parts.asking.members_of_rule(space, tree, now_us=now_us, after=after, limit=asked.limit)
    return json_answer(page_answer(space, page, asked.columns, of=question, now_us=now_us))


def _search_page(parts: ProfileParts, space: Space, asked: ListQuery) -> Response:
    sought = asked.q or ""
    after = None
    if asked.cursor is not None:
        question, after = place_in(asked.cursor, tuple[str, SearchPlace])
        if question != sought:
            refuse_cursor()
    found = search_profiles(parts.store, space, sought, after=after, limit=asked.limit)
    more = None if found.after is None else cursor_of([sought, found.after])
    items = [_item(parts, space, profile, asked) for profile in found.profiles]
    return json_answer({"items": items, "next_cursor": more})


def _item(parts: ProfileParts, space: Space, profile: Any, asked: ListQuery) -> dict[str, Any]:
    return wire.profile_answer(space, profile, now_us=parts.now_us(), columns=asked.columns)
