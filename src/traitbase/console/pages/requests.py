"""Requests: "I got a 202, where is my value?"."""

from __future__ import annotations

from starlette.responses import Response

from traitbase.console.page import Page

_ITEMS_SHOWN = 200


async def show(page: Page) -> Response:
    """Show what became of each operation of a request, and of the messages that it asked for."""
    request_id = page.query("id").strip()
    receipt = message = None
    deliveries: list[object] = []
    if request_id:
        answer = await page.ask("GET", "requests", request_id)
        receipt = answer.json if answer.is_good else None
        message = answer.message
        sent = await page.ask("GET", "deliveries", request_id=request_id, limit=50)
        deliveries = sent.json["items"] if sent.is_good else []
    return page.render(
        "requests.html",
        request_id=request_id,
        receipt=receipt,
        message=message,
        deliveries=deliveries,
        shown=_ITEMS_SHOWN,
        kept_days=page.desk.parts.kept_days["receipts"],
    )
