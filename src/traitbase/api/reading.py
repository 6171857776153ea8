"""The route of receipts."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from traitbase.api import wire
from traitbase.api.auth import Gate
from traitbase.api.openapi import error_answer, good_answer
from traitbase.api.spaces import BASE, Version, WorkspaceId, admit, answers
from traitbase.domain.errors import NotFound
from traitbase.domain.spaces import Space
from traitbase.services.ports import Store
from traitbase.services.receipts import find_receipt


def reading_routes(store: Store, gate: Gate) -> APIRouter:
    """Return the route over a store."""
    router = APIRouter()

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
