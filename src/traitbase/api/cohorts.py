"""The routes of cohorts: made, changed, asked and exported; and what a property's values are like, for their rules."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, TypeVar

import anyio
import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from traitbase.api import cohort_schemas as described
from traitbase.api import cohort_wire as wire
from traitbase.api.auth import Gate
from traitbase.api.bodies import read_json_body, read_whole_body
from traitbase.api.cohort_bodies import (
    parse_cohort,
    parse_edit,
    parse_freeze,
    parse_members,
    parse_members_csv,
    parse_preview,
    read_instant,
    read_mode,
)
from traitbase.api.cursors import cursor_of, place_in, refuse_cursor
from traitbase.api.profile_query import COLUMNS_MAX, PAGE_MAX
from traitbase.api.spaces import BASE, Version, WorkspaceId, admit, id_in, json_answer
from traitbase.api.wire import profile_answer
from traitbase.domain.cohorts import MemberMode, new_cohort_id
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.keys import Scope
from traitbase.domain.rules.tree import DEPTH_MAX
from traitbase.domain.spaces import Space
from traitbase.domain.values import JsonValue
from traitbase.services.cohorts.counting import Asking, Members
from traitbase.services.cohorts.exporting import export_cohort
from traitbase.services.cohorts.freezing import freeze
from traitbase.services.cohorts.ports import CohortEngine
from traitbase.services.cohorts.stored import Edit, create_cohort, delete_cohort, edit_cohort, get_cohort
from traitbase.services.imports.sources import Format
from traitbase.services.ports import Store

THREADS = 8
"""How many may ask the engine at once. Waiting for one that is being made must not keep profiles from being read."""

NESTING_MAX = 2 * DEPTH_MAX + 6
"""Brackets within brackets in a body with a rule: two for each group, and what is around and in them."""

_SAMPLE = 10
_TOP_MAX = 1_000
_PIECE_BYTES = 256 * 1024
_COHORTS = f"{BASE}/cohorts"
_COHORT = f"{_COHORTS}/{{cohort_id}}"
_MEDIA_TYPES = {
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
}

_Read = TypeVar("_Read")
_Done = TypeVar("_Done")


@dataclass(frozen=True, slots=True)
class CohortParts:
    """What the routes need."""

    store: Store
    engine: CohortEngine
    gate: Gate
    now_us: Callable[[], int]
    threads: anyio.CapacityLimiter

    @property
    def asking(self) -> Asking:
        """The engine and the store, to be asked."""
        return Asking(self.store, self.engine)

    def names(self, space: Space) -> dict[str, str]:
        """Return the names of a space's cohorts by id."""
        return {row.cohort_id: row.name for row in self.store.list_cohorts(space)}

    async def work(self, do: Callable[..., _Done], *arguments: Any) -> _Done:
        """Do something that asks the engine, in one of a few threads: others wait for one without holding any."""
        return await anyio.to_thread.run_sync(do, *arguments, limiter=self.threads)

    def enter(self, request: Request, workspace_id: str, version: Version, needed: Scope) -> Space:
        """Let a request in."""
        space = Space(workspace_id, version.value)
        admit(self.gate, request, space, needed=needed)
        return space


def cohort_routes(parts: CohortParts) -> APIRouter:
    """Return the routes. What ends in a fixed word comes before what takes any id."""
    router = APIRouter(tags=["cohorts"])
    _add_collection_routes(router, parts)
    _add_asking_routes(router, parts)
    _add_member_routes(router, parts)
    _add_cohort_routes(router, parts)
    _add_insight_route(router, parts)
    return router


def _add_collection_routes(router: APIRouter, parts: CohortParts) -> None:
    @router.get(_COHORTS, summary="All cohorts, in order of name", **described.LIST)
    def list_cohorts(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        rows = parts.store.list_cohorts(space)
        names = {row.cohort_id: row.name for row in rows}
        return json_answer({"items": [wire.cohort_answer(row, names) for row in rows], "next_cursor": None})

    @router.post(_COHORTS, summary="Make a cohort: by a rule, or as a list", **described.CREATE)
    async def make_cohort(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        draft = await _read(request, parse_cohort)

        def make() -> Response:
            saved = create_cohort(parts.store, space, draft, cohort_id=new_cohort_id(), now_us=parts.now_us())
            answer = wire.cohort_answer(saved.cohort, parts.names(space))
            return json_answer({**answer, "warnings": wire.warnings_answer(saved.warnings)}, status=201)

        return await parts.work(make)

    @router.post(f"{_COHORTS}/preview", summary="Who is in by a rule that is not saved", **described.PREVIEW)
    async def preview(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        asked = await _read(request, parse_preview)

        def look() -> Response:
            began_at = time.perf_counter()
            now_us = parts.now_us() if asked.as_of_us is None else asked.as_of_us
            counted = parts.asking.preview(space, asked.tree, now_us=now_us, sample=asked.sample)
            took_ms = (time.perf_counter() - began_at) * 1_000
            return json_answer(wire.preview_answer(space, counted, took_ms=took_ms, now_us=parts.now_us()))

        return await parts.work(look)


def _add_asking_routes(router: APIRouter, parts: CohortParts) -> None:
    @router.get(f"{_COHORT}/count", summary="How many are in", **described.COUNT)
    async def count(
        request: Request,
        workspace_id: WorkspaceId,
        version: Version,
        cohort_id: str,
        as_of: Annotated[str | None, Query(description="what counts as now in the rule; default: now")] = None,
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        began_at = time.perf_counter()
        at_us = read_instant(as_of, "as_of")
        if at_us is None:
            asking = functools.partial(parts.asking.count, space, id_in(cohort_id), now_us=parts.now_us())
        else:
            asking = functools.partial(parts.asking.count_as_of, space, id_in(cohort_id), at_us=at_us)
        counted = await parts.work(asking)
        return json_answer(wire.counted_answer(counted, took_ms=(time.perf_counter() - began_at) * 1_000))

    @router.get(f"{_COHORT}/members", summary="A page of members, in order of distinct_id", **described.MEMBERS)
    async def members(
        request: Request,
        workspace_id: WorkspaceId,
        version: Version,
        cohort_id: str,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX, description="items a page")] = 100,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before")] = None,
        columns: Annotated[
            str | None, Query(description="names of properties, with commas; default: all properties")
        ] = None,
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        cohort_id = id_in(cohort_id)
        after = after_in(cursor, of=cohort_id)
        chosen = _columns_in(columns)

        def look() -> Response:
            page = parts.asking.members(space, cohort_id, now_us=parts.now_us(), after=after, limit=limit)
            return json_answer(page_answer(space, page, chosen, of=cohort_id, now_us=parts.now_us()))

        return await parts.work(look)

    @router.get(f"{_COHORT}/export", summary="All members, as a file", **described.EXPORT)
    async def export(
        request: Request,
        workspace_id: WorkspaceId,
        version: Version,
        cohort_id: str,
        format_: Annotated[Format, Query(alias="format", description="of the file")] = Format.NDJSON,
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        cohort_id = id_in(cohort_id)
        write = functools.partial(export_cohort, parts.asking, space, cohort_id, format_, now_us=parts.now_us())
        file = await parts.work(write)
        name = f"{cohort_id}.{format_.value}"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(_pieces(file), media_type=_MEDIA_TYPES[format_], headers=headers)


def _add_member_routes(router: APIRouter, parts: CohortParts) -> None:
    @router.post(
        f"{_COHORT}/members", summary="Add, replace or remove members of a static cohort", **described.CHANGE_MEMBERS
    )
    async def change_members(
        request: Request,
        workspace_id: WorkspaceId,
        version: Version,
        cohort_id: str,
        mode: Annotated[MemberMode | None, Query(description="with a CSV file: what it does")] = None,
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.INGEST)
        if request.headers.get("content-type", "").split(";")[0].strip().lower() == "text/csv":
            wanted = read_mode(mode)
            body = await read_whole_body(request)
            ids = await asyncio.to_thread(parse_members_csv, body)
        else:
            sent = await _read(request, parse_members)
            wanted, ids = sent.mode, sent.distinct_ids
        changed = await parts.work(parts.store.change_members, space, id_in(cohort_id), wanted, ids)
        return json_answer(wire.changed_answer(changed))

    @router.get(
        f"{_COHORT}/members/{{distinct_id:path}}", summary="Whether somebody is in, and why", **described.EXPLAIN
    )
    def explain(
        request: Request, workspace_id: WorkspaceId, version: Version, cohort_id: str, distinct_id: str
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        explained = parts.asking.explain(space, id_in(cohort_id), id_in(distinct_id), now_us=parts.now_us())
        return json_answer(wire.explained_answer(explained, parts.names(space)))


def _add_cohort_routes(router: APIRouter, parts: CohortParts) -> None:
    @router.post(f"{_COHORT}/freeze", summary="Make a static cohort of those who are in now", **described.FREEZE)
    async def freeze_cohort(request: Request, workspace_id: WorkspaceId, version: Version, cohort_id: str) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        name, description = await _read(request, parse_freeze)

        def make() -> Response:
            frozen = freeze(
                parts.asking,
                space,
                id_in(cohort_id),
                new_id=new_cohort_id(),
                name=name,
                description=description,
                now_us=parts.now_us(),
            )
            return json_answer(wire.cohort_answer(frozen, parts.names(space)), status=201)

        return await parts.work(make)

    @router.get(_COHORT, summary="A cohort", **described.READ)
    def read_cohort(request: Request, workspace_id: WorkspaceId, version: Version, cohort_id: str) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        return json_answer(wire.cohort_answer(get_cohort(parts.store, space, id_in(cohort_id)), parts.names(space)))

    @router.put(_COHORT, summary="Change a cohort: keys sent replace, keys absent stay", **described.EDIT)
    async def change_cohort(
        request: Request,
        workspace_id: WorkspaceId,
        version: Version,
        cohort_id: str,
        *,
        dry_run: Annotated[bool, Query(description="only tell who would come in and go out")] = False,
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        edit = await _read(request, parse_edit)
        return await parts.work(_dry_run if dry_run else _edit, parts, space, id_in(cohort_id), edit)

    @router.delete(_COHORT, summary="Delete a cohort", **described.DELETE)
    def drop_cohort(request: Request, workspace_id: WorkspaceId, version: Version, cohort_id: str) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        delete_cohort(parts.store, space, id_in(cohort_id))
        return json_answer({"status": "ok", "_message": "Cohort deleted successfully"})


def _add_insight_route(router: APIRouter, parts: CohortParts) -> None:
    @router.get(
        f"{BASE}/properties/{{name:path}}/insight",
        summary="What the values of a property are like, for building rules",
        **described.INSIGHT,
    )
    async def insight(
        request: Request,
        workspace_id: WorkspaceId,
        version: Version,
        name: str,
        top: Annotated[int, Query(ge=0, le=_TOP_MAX, description="how many of the most frequent values")] = 20,
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)

        def look() -> Response:
            with parts.engine.open_view(space) as view:
                return json_answer(wire.insight_answer(view.insight(id_in(name), top=top)))

        return await parts.work(look)


def after_in(cursor: str | None, *, of: str) -> str:
    """Return the id behind which a page of members begins. Raises InvalidInput for a cursor of other members."""
    if cursor is None:
        return ""
    its, after = place_in(cursor, tuple[str, str])
    if its != of:
        refuse_cursor()
    return after


def page_answer(
    space: Space, page: Members, columns: tuple[str, ...] | None, *, of: str, now_us: int
) -> dict[str, Any]:
    """Return a page of members. `of` is what they are members of: a cursor goes on with the same only."""
    items = [profile_answer(space, profile, now_us=now_us, columns=columns) for profile in page.profiles]
    return {"items": items, "next_cursor": None if page.after is None else cursor_of([of, page.after])}


def _edit(parts: CohortParts, space: Space, cohort_id: str, edit: Edit) -> Response:
    saved = edit_cohort(parts.store, space, cohort_id, edit, now_us=parts.now_us())
    answer = wire.cohort_answer(saved.cohort, parts.names(space))
    return json_answer({**answer, "warnings": wire.warnings_answer(saved.warnings)})


def _dry_run(parts: CohortParts, space: Space, cohort_id: str, edit: Edit) -> Response:
    if edit.tree is msgspec.UNSET:
        message = "a dry run tells what another rule would change: send one"
        raise InvalidInput(f"filter: {message}", faults=(Fault("filter", message),))
    difference = parts.asking.compare(space, cohort_id, edit.tree, now_us=parts.now_us(), sample=_SAMPLE)
    return json_answer(wire.difference_answer(difference))


async def _read(request: Request, parse: Callable[[JsonValue], _Read]) -> _Read:
    return (await read_json_body(request, parse, nesting_max=NESTING_MAX))[0]


def _columns_in(sent: str | None) -> tuple[str, ...] | None:
    if sent is None:
        return None
    names = tuple(name for name in sent.split(",") if name)
    if len(names) > COLUMNS_MAX:
        message = f"expected at most {COLUMNS_MAX} names of properties"
        raise InvalidInput(f"columns: {message}", faults=(Fault("columns", message),))
    return names


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
