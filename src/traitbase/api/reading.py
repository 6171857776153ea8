"""The routes that read: the property definitions, a receipt."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from traitbase.api import wire
from traitbase.api.auth import Gate
from traitbase.api.cursors import cursor_of, place_in
from traitbase.api.openapi import error_answer, good_answer
from traitbase.api.spaces import BASE, Version, WorkspaceId, admit, answers, json_answer
from traitbase.domain.errors import NotFound
from traitbase.domain.keys import Scope
from traitbase.domain.spaces import Space
from traitbase.services.ports import Store
from traitbase.services.receipts import find_receipt

_PAGE_MAX = 5_000


def reading_routes(store: Store, gate: Gate) -> APIRouter:
    """Return the reading routes over a store."""
    router = APIRouter()

    @router.get(
        f"{BASE}/properties",
        tags=["properties"],
        summary="The property definitions, in order of name",
        responses=answers(
            {"200": good_answer("a page", "Definitions"), "400": error_answer("a cursor that is none", "cursor: …")}
        ),
    )
    def list_definitions(
        request: Request,
        workspace_id: WorkspaceId,
        version: Version,
        limit: Annotated[int, Query(ge=1, le=_PAGE_MAX, description="items a page")] = 1_000,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before")] = None,
    ) -> Response:
        space = Space(workspace_id, version.value)
        admit(gate, request, space, needed=Scope.READ)
        _, rows = store.get_definitions(space)
        after = None if cursor is None else place_in(cursor, str)
        rest = [row for row in rows if after is None or row.name > after]
        page = rest[:limit]
        more = cursor_of(page[-1].name) if len(rest) > limit else None
        return json_answer({"items": [wire.definition_answer(row) for row in page], "next_cursor": more})

    @router.get(
        f"{BASE}/requests/{{request_id}}",
        tags=["requests"],
        summary="The receipt of a request: what became of each of its operations",
        responses=answers(
            {
                "200": good_answer("the receipt", "Receipt"),
                "404": error_answer("no such request (any more)", "there is no receipt …"),
            }
        ),
    )
    def read_receipt(request: Request, workspace_id: WorkspaceId, version: Version, request_id: str) -> Response:
        space = Space(workspace_id, version.value)
        key = admit(gate, request, space, needed=None)
        receipt = find_receipt(store, space, request_id, key=key)
        if receipt is None:
            message = "there is no receipt with this request_id in this environment (they are kept some days)"
            raise NotFound(message, code="receipt_not_found")
        return StreamingResponse(wire.receipt_pieces(receipt), media_type="application/json")

    return router
