"""The routes of campaigns: made, launched, paused, resumed and ended; their audiences, runs, deliveries and reports."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from traitbase.api import campaign_schemas as described
from traitbase.api import campaign_wire as wire
from traitbase.api.campaign_parts import CampaignParts, read_body
from traitbase.api.cursors import cursor_of, place_in
from traitbase.api.spaces import BASE, Version, WorkspaceId, id_in, json_answer
from traitbase.api.wire import time_of
from traitbase.domain.campaign_bodies import Launch, parse_campaign, parse_launch, parse_test
from traitbase.domain.campaigns import RunKind, decode_campaign
from traitbase.domain.deliveries import DeliveryState
from traitbase.domain.errors import Fault, InvalidInput, NotFound, Refused
from traitbase.domain.forms import Form
from traitbase.domain.keys import Scope
from traitbase.domain.spaces import Space
from traitbase.services.campaigns.feedback import named_by
from traitbase.services.campaigns.files import FILE_BYTES_MAX, store_file
from traitbase.services.campaigns.ports import CampaignRow, DeliveryFilter, DeliveryRow, RunRow
from traitbase.services.campaigns.reporting import ReportFormat, exported, report_of, shown
from traitbase.services.campaigns.steering import unknown_campaign
from traitbase.services.imports.sources import Format

_CAMPAIGNS = f"{BASE}/campaigns"
_CAMPAIGN = f"{_CAMPAIGNS}/{{campaign_id}}"
_DELIVERIES = f"{BASE}/deliveries"
_PAGE_MAX = 1_000
_RUNS_MAX = 100
_RESOLUTIONS = {
    "sent": DeliveryState.SENT,
    "failed": DeliveryState.FAILED,
    "send_again": DeliveryState.PLANNED,
}
_FORMATS = {
    "text/csv": Format.CSV,
    "application/x-ndjson": Format.NDJSON,
    "application/vnd.apache.parquet": Format.PARQUET,
}
_MEDIA_TYPES = {ReportFormat.NDJSON: "application/x-ndjson", ReportFormat.CSV: "text/csv; charset=utf-8"}

RunId = Annotated[str | None, Query(alias="run_id", description="which run; default: the newest")]


def campaign_routes(parts: CampaignParts) -> APIRouter:
    """Return the routes. What ends in a fixed word comes before what takes any id."""
    router = APIRouter(tags=["campaigns"])
    _add_collection(router, parts)
    _add_audiences(router, parts)
    _add_steering(router, parts)
    _add_results(router, parts)
    _add_campaign(router, parts)
    _add_deliveries(router, parts)
    return router


def _shown(parts: CampaignParts, space: Space, row: CampaignRow, *, status: int = 200) -> Response:
    workspace = parts.store.find_workspace(space.workspace_id)
    assert workspace is not None, "its key was let in"
    return json_answer(wire.campaign_answer(row, workspace), status=status)


def _found(parts: CampaignParts, space: Space, campaign_id: str) -> CampaignRow:
    row = parts.store.find_campaign(space, campaign_id)
    if row is None:
        raise unknown_campaign(campaign_id)
    return row


def _add_collection(router: APIRouter, parts: CampaignParts) -> None:
    @router.get(_CAMPAIGNS, summary="All campaigns, the newest first", **described.LIST_CAMPAIGNS)
    def list_campaigns(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        workspace = parts.store.find_workspace(space.workspace_id)
        assert workspace is not None, "its key was let in"
        items = [wire.campaign_answer(row, workspace) for row in parts.store.list_campaigns(space)]
        return json_answer({"items": items, "next_cursor": None})

    @router.post(_CAMPAIGNS, summary="Make a campaign: a draft", **described.CREATE_CAMPAIGN)
    async def make_campaign(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        draft = parse_campaign(await read_body(request))
        row = await parts.work(parts.steering.create, space, draft)
        return _shown(parts, space, row, status=201)


def _add_audiences(router: APIRouter, parts: CampaignParts) -> None:
    @router.post(f"{BASE}/audiences", summary="Store a file as an audience", **described.UPLOAD_AUDIENCE)
    async def upload_audience(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
        format_ = _FORMATS.get(media_type)
        if format_ is None:
            message = f"expected one of {', '.join(_FORMATS)}"
            raise InvalidInput(f"header Content-Type: {message}", faults=(Fault("Content-Type", message),))
        file_id = f"fi_{parts.new_request_id()}"
        path = await _received(request)
        try:
            accounted = await parts.work(store_file, parts.store, space, file_id, path, format_)
        finally:
            path.unlink()
        rows = [{"line": each.line, "reason": each.reason} for each in accounted.shown]
        counts = {
            "processed": accounted.processed,
            "ready": accounted.ready,
            "duplicates": accounted.duplicates,
            "not_valid": accounted.not_valid,
        }
        return json_answer({"file_id": file_id, **counts, "not_valid_rows": rows}, status=201)

    @router.post(
        f"{_CAMPAIGN}/audience/count", summary="How many a campaign would reach now", **described.COUNT_AUDIENCE
    )
    async def count_audience(
        request: Request, workspace_id: WorkspaceId, version: Version, campaign_id: str
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        row = _found(parts, space, id_in(campaign_id))
        counts = await parts.work(parts.audiences.count, space, decode_campaign(row.document))
        answer = {"members": counts.members, "control": counts.control, "outside_sample": counts.outside}
        return json_answer(answer)


def _add_steering(router: APIRouter, parts: CampaignParts) -> None:
    @router.post(f"{_CAMPAIGN}/launch", summary="Launch a campaign, now or when it is due", **described.LAUNCH_CAMPAIGN)
    async def launch_campaign(
        request: Request, workspace_id: WorkspaceId, version: Version, campaign_id: str
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        launch: Launch = parse_launch(await read_body(request))
        row = await parts.work(parts.steering.launch, space, id_in(campaign_id), launch)
        parts.wake()
        return _shown(parts, space, row)

    @router.post(f"{_CAMPAIGN}/test", summary="Send a campaign's event to a few people", **described.TEST_CAMPAIGN)
    async def test_campaign(
        request: Request, workspace_id: WorkspaceId, version: Version, campaign_id: str
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        recipients = parse_test(await read_body(request))
        run: RunRow = await parts.work(parts.steering.test, space, id_in(campaign_id), recipients)
        parts.wake()
        return json_answer(wire.run_answer(run), status=202)

    def add(word: str, summary: str, do: Callable[[Space, str], CampaignRow]) -> None:
        def steer(request: Request, workspace_id: WorkspaceId, version: Version, campaign_id: str) -> Response:
            space = parts.enter(request, workspace_id, version, Scope.ADMIN)
            row = do(space, id_in(campaign_id))
            parts.wake()
            return _shown(parts, space, row)

        steer.__name__ = f"{word}_campaign"
        router.post(f"{_CAMPAIGN}/{word}", summary=summary, **described.STEER_CAMPAIGN)(steer)

    steering = parts.steering
    add("pause", "Stop handing over messages", steering.pause)
    add("resume", "Go on with a campaign that is paused or held", steering.resume)
    add("cancel", "End a campaign", steering.cancel)
    add("skip", "Leave out the run that is due of a campaign that recurs", steering.skip)
    add("unschedule", "Make a scheduled campaign a draft again", steering.unschedule)


def _add_results(router: APIRouter, parts: CampaignParts) -> None:
    @router.get(f"{_CAMPAIGN}/runs", summary="A campaign's runs, the newest first", **described.LIST_RUNS)
    def list_runs(request: Request, workspace_id: WorkspaceId, version: Version, campaign_id: str) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        row = _found(parts, space, id_in(campaign_id))
        runs = parts.store.list_runs(space, row.campaign_id, limit=_RUNS_MAX)
        return json_answer({"items": [wire.run_answer(run) for run in runs], "next_cursor": None})

    @router.get(f"{_CAMPAIGN}/report", summary="What became of a campaign's messages", **described.REPORT)
    def report(
        request: Request, workspace_id: WorkspaceId, version: Version, campaign_id: str, run_id: RunId = None
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        run = _run(parts, space, id_in(campaign_id), run_id)
        return json_answer(wire.report_answer(report_of(parts.store, space, run)))

    @router.get(f"{_CAMPAIGN}/deliveries", summary="A run's deliveries", **described.LIST_DELIVERIES)
    def list_run_deliveries(
        request: Request,
        workspace_id: WorkspaceId,
        version: Version,
        campaign_id: str,
        run_id: RunId = None,
        state: Annotated[DeliveryState | None, Query(description="only those in this state")] = None,
        limit: Annotated[int, Query(ge=1, le=_PAGE_MAX, description="items a page")] = 100,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before")] = None,
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        run = _run(parts, space, id_in(campaign_id), run_id)
        which = DeliveryFilter(run.run_id, None, None if state is None else (state,))
        return _page(parts, space, which, cursor, limit)

    @router.get(
        f"{_CAMPAIGN}/deliveries/export", summary="A run's deliveries, as a file", **described.EXPORT_DELIVERIES
    )
    def export_run_deliveries(
        request: Request,
        workspace_id: WorkspaceId,
        version: Version,
        campaign_id: str,
        run_id: RunId = None,
        state: Annotated[DeliveryState | None, Query(description="only those in this state")] = None,
        format_: Annotated[ReportFormat, Query(alias="format", description="of the file")] = ReportFormat.NDJSON,
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        run = _run(parts, space, id_in(campaign_id), run_id)
        which = DeliveryFilter(run.run_id, None, None if state is None else (state,))
        pieces = exported(parts.store, space, which, format_, time_of)
        headers = {"content-disposition": f'attachment; filename="{run.run_id}.{format_.value}"'}
        return StreamingResponse(pieces, media_type=_MEDIA_TYPES[format_], headers=headers)


def _add_campaign(router: APIRouter, parts: CampaignParts) -> None:
    @router.get(_CAMPAIGN, summary="A campaign", **described.READ_CAMPAIGN)
    def read_campaign(request: Request, workspace_id: WorkspaceId, version: Version, campaign_id: str) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        return _shown(parts, space, _found(parts, space, id_in(campaign_id)))

    @router.put(_CAMPAIGN, summary="Replace a draft", **described.REPLACE_CAMPAIGN)
    async def replace_campaign(
        request: Request, workspace_id: WorkspaceId, version: Version, campaign_id: str
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        draft = parse_campaign(await read_body(request), is_edit=True)
        return _shown(parts, space, await parts.work(parts.steering.edit, space, id_in(campaign_id), draft))

    @router.delete(_CAMPAIGN, summary="Delete a draft", **described.DELETE_CAMPAIGN)
    def drop_campaign(request: Request, workspace_id: WorkspaceId, version: Version, campaign_id: str) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        parts.steering.delete(space, id_in(campaign_id))
        return json_answer({"status": "ok", "_message": "Campaign deleted successfully"})


def _add_deliveries(router: APIRouter, parts: CampaignParts) -> None:
    @router.get(_DELIVERIES, summary="The deliveries of a call, or to a person", **described.LIST_DELIVERIES)
    def list_deliveries(
        request: Request,
        workspace_id: WorkspaceId,
        version: Version,
        request_id: Annotated[str | None, Query(description="of the call")] = None,
        distinct_id: Annotated[str | None, Query(description="to whom")] = None,
        limit: Annotated[int, Query(ge=1, le=_PAGE_MAX, description="items a page")] = 100,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before")] = None,
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        if request_id is None and distinct_id is None:
            message = "expected the request_id of a call, or a distinct_id"
            raise InvalidInput(f"request_id: {message}", faults=(Fault("request_id", message),))
        ids = None if distinct_id is None else (_text(distinct_id),)
        run_id = None if request_id is None else _text(request_id)
        return _page(parts, space, DeliveryFilter(run_id, ids), cursor, limit)

    @router.get(f"{_DELIVERIES}/{{delivery_id}}", summary="A delivery", **described.READ_DELIVERY)
    def read_delivery(request: Request, workspace_id: WorkspaceId, version: Version, delivery_id: str) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        return json_answer(shown(_delivery(parts, space, id_in(delivery_id)), time_of))

    @router.post(
        f"{_DELIVERIES}/{{delivery_id}}/resolve",
        summary="Decide about a delivery that is unconfirmed",
        **described.RESOLVE_DELIVERY,
    )
    async def resolve_delivery(
        request: Request, workspace_id: WorkspaceId, version: Version, delivery_id: str
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        form = Form(await read_body(request))
        state = _RESOLUTIONS.get(str(form.value("as")))
        if state is None:
            form.refuse("as", f"expected one of {', '.join(_RESOLUTIONS)}")
        form.end()
        assert state is not None, "a fault was raised"

        def resolve() -> Response:
            row = _delivery(parts, space, id_in(delivery_id))
            return json_answer(shown(parts.feedback.resolve(space, row.delivery_id, state), time_of))

        answer = await parts.work(resolve)
        parts.wake()
        return answer


def _delivery(parts: CampaignParts, space: Space, delivery_id: str) -> DeliveryRow:
    named = named_by(space, _text(delivery_id))
    row = None if named is None else parts.store.find_delivery(space, named.run_id, named.number)
    if row is None:
        raise NotFound(f"there is no delivery {delivery_id[:80]!r} here", code="delivery_not_found")
    return row


def _run(parts: CampaignParts, space: Space, campaign_id: str, run_id: str | None) -> RunRow:
    row = _found(parts, space, campaign_id)
    wanted = row.run_id if run_id is None else _text(run_id)
    run = None if wanted is None else parts.store.find_run(space, wanted)
    if run is None or run.campaign_id != row.campaign_id:
        message = "the campaign has not run yet" if run_id is None else f"the campaign has no run {run_id[:80]!r}"
        raise NotFound(message, code="run_not_found")
    assert run.kind is not RunKind.CALL, "it is a campaign's"
    return run


def _page(parts: CampaignParts, space: Space, which: DeliveryFilter, cursor: str | None, limit: int) -> Response:
    after = None if cursor is None else place_in(cursor, tuple[str, str, str])
    if after is not None and any("\0" in part for part in after):
        after = None
    rows = parts.store.list_deliveries(space, which, after=after, limit=limit + 1)
    page = rows[:limit]
    more = None
    if len(rows) > limit:
        more = cursor_of([page[-1].run_id, page[-1].distinct_id, page[-1].channel])
    return json_answer({"items": [shown(row, time_of) for row in page], "next_cursor": more})


def _text(sent: str) -> str:
    """Return a text that can be looked for: nothing that is stored has U+0000, and not every database takes it."""
    return sent.replace("\0", "\ufffd")


async def _received(request: Request) -> Path:
    """Return a file with the body of a request. Raises Refused (`too_large`)."""
    descriptor, name = tempfile.mkstemp(prefix="traitbase-")
    size = 0
    with os.fdopen(descriptor, "wb") as file:
        try:
            async for piece in request.stream():
                size += len(piece)
                _check_size(size)
                file.write(piece)
        except BaseException:
            Path(name).unlink()  # noqa: ASYNC240  # one file, just made
            raise
    return Path(name)


def _check_size(size: int) -> None:
    if size > FILE_BYTES_MAX:
        message = f"an audience's file has at most {FILE_BYTES_MAX // 1024**2} MB: send it in parts"
        raise Refused(message, code="too_large")
