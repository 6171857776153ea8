"""Suppressions: whom not to reach, in both environments of a workspace."""

from __future__ import annotations

from starlette.responses import Response

from traitbase.console.page import Faults, Page
from traitbase.console.values import end_of_day
from traitbase.domain.destinations import Channel
from traitbase.domain.errors import InvalidInput

_SHOWN = 200


async def show(page: Page) -> Response:
    """Show what holds, and let a suppression be put up."""
    return await _show(page, Faults(), status=200)


async def _show(page: Page, faults: Faults, *, status: int) -> Response:
    distinct_id, destination = page.query("distinct_id"), page.query("destination").strip()
    answer = await page.ask_workspace(
        "GET", "suppressions", distinct_id=distinct_id or None, destination=destination or None, limit=_SHOWN
    )
    return page.render(
        "suppressions.html",
        status=status,
        faults=faults or Faults.in_answer(answer),
        items=answer.json if answer.is_good else [],
        is_more=answer.next_cursor is not None,
        distinct_id=distinct_id or page.text("distinct_id"),
        destination=destination,
        channels=[*Channel],
        given=page.fields(),
    )


async def suppress(page: Page) -> Response:
    """Put a suppression up."""
    given = page.fields()
    body: dict[str, object] = {"channel": given.get("channel", "")}
    names = ("distinct_id", "destination", "description")
    body |= {name: given[name].strip() for name in names if given.get(name, "").strip()}
    if given.get("until", "").strip():
        try:
            body["expiry_ts"] = end_of_day(given["until"].strip(), page.zone, "until").isoformat()
        except InvalidInput as error:
            return await _show(page, Faults.in_error(error), status=400)
    faults = Faults.in_answer(await page.ask_workspace("POST", "suppressions", body=body))
    if faults:
        return await _show(page, faults, status=400)
    page.about(str(body["channel"]))
    return page.go("suppressions", distinct_id=body.get("distinct_id"), said="suppressed")


async def lift(page: Page) -> Response:
    """Lift a suppression."""
    page.needed(await page.ask_workspace("DELETE", "suppressions", _id=page.text("suppression_id")))
    page.about(page.text("suppression_id"))
    return page.go("suppressions", distinct_id=page.text("distinct_id"), said="lifted")
