"""Events: what is said on each channel, and by whom it is carried; with a preview for somebody who is real."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from traitbase.console.page import Faults, Page
from traitbase.domain.destinations import Channel
from traitbase.domain.events import AfterCrash, EventType, OnUnknown, Strategy

_PREVIEW_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src data:; frame-src data:; frame-ancestors 'self'"
)
"""A message is somebody's HTML: shown without scripts, forms, or anything that would be loaded."""

_CHANNELS = [Channel.EMAIL.value, *(each.value for each in Channel if each is not Channel.EMAIL)]
_WORDS = {
    "type": ((EventType.MARKETING.value, "marketing: people can choose not to get it"),
             (EventType.TRANSACTIONAL.value, "transactional: because of something they did")),
    "strategy": ((Strategy.ALL.value, "on all its channels"),
                 (Strategy.FIRST_AVAILABLE.value, "on the first channel that reaches them")),
    "on_unknown": ((OnUnknown.EMPTY.value, "show nothing there"), (OnUnknown.SKIP.value, "do not send it to them")),
    "after_crash": (("", "as usual for its type"), (AfterCrash.HOLD.value, "hold it until somebody decides"),
                    (AfterCrash.RESEND.value, "send it again, under the same id")),
}  # fmt: skip


async def integrations_of(page: Page) -> list[dict[str, Any]]:
    """Return the integrations, in order of name."""
    return list((await page.get("integrations"))["items"])


async def events_of(page: Page) -> list[dict[str, Any]]:
    """Return the events, in order of name."""
    return list((await page.get("events"))["items"])


async def show_all(page: Page) -> Response:
    """Show all events."""
    carriers = {each["integration_id"]: each["name"] for each in await integrations_of(page)}
    return page.render("events.html", events=await events_of(page), carriers=carriers)


async def show_new(page: Page) -> Response:
    """Begin an event: an email over the sandbox, until something else is chosen."""
    email = {
        "integration_id": "sandbox",
        "subject": "Hello {{ properties.name | default: 'there' }}",
        "html": "<p>Hi {{ properties.name | default: 'there' }},</p>\n<p>…</p>",
    }
    return await _show(page, {"type": "marketing", "channels": {"email": email}}, Faults(), status=200)


async def show(page: Page) -> Response:
    """Show an event for editing."""
    event = await page.get("events", page.query("id"))
    return await _show(page, event, Faults(), status=200)


async def _show(page: Page, event: dict[str, Any], faults: Faults, *, status: int) -> Response:
    subscriptions = await page.get("subscriptions")
    topics = [topic for section in subscriptions["sections"] for topic in section["topics"]]
    return page.render(
        "event.html",
        status=status,
        faults=faults,
        event=event,
        topics=topics,
        integrations=await integrations_of(page),
        channels=_CHANNELS,
        words=_WORDS,
    )


def _event_in(page: Page) -> dict[str, Any]:
    """Return the event that a form holds, as the API takes it."""
    given = page.fields()
    event: dict[str, Any] = {name: given.get(name, "") for name in ("name", "type", "strategy", "on_unknown")}
    event = {name: found.strip() for name, found in event.items() if found.strip()}
    event |= {name: given[name] for name in ("subscription_id", "after_crash") if given.get(name)}
    event |= {name: given.get(name) == "yes" for name in ("track_opens", "track_clicks")}
    used = [each.value for each in Channel if given.get(f"{each.value}.use") == "yes"]
    order = {name: int(given[f"{name}.order"]) for name in used if given.get(f"{name}.order", "").isdecimal()}
    event["channels"] = {name: _template_in(given, name) for name in sorted(used, key=lambda each: order.get(each, 99))}
    return event


def _template_in(given: dict[str, str], channel: str) -> dict[str, str]:
    found = {part: given.get(f"{channel}.{part}", "") for part in ("integration_id", "subject", "html", "text")}
    return {part: text for part, text in found.items() if text.strip()}


async def save(page: Page) -> Response:
    """Store an event."""
    event, event_id = _event_in(page), page.text("event_id")
    if event_id:
        answer = await page.ask("PUT", "events", event_id, body={**event, "revision": page.revision()})
    else:
        answer = await page.ask("POST", "events", body=event)
    faults = Faults.in_answer(answer)
    if faults:
        return await _show(page, {**event, "event_id": event_id, "revision": page.revision()}, faults, status=400)
    page.about(str(event.get("name")))
    return page.go("event", id=answer.json["event_id"], said="saved" if event_id else "created")


async def delete(page: Page) -> Response:
    """Delete an event."""
    event = await page.get("events", page.text("event_id"))
    page.needed(await page.ask("DELETE", "events", event["event_id"]))
    page.about(event["name"])
    return page.go("events", said="deleted")


async def preview(page: Page) -> Response:
    """Show what somebody would be sent by the event as it stands in the form, saved or not."""
    event = _event_in(page)
    event.setdefault("name", "preview")
    who = page.line("who")
    body = {"event": event, "distinct_id": who, "data": {}}
    answer = await page.ask("POST", "events", "preview", body=body)
    response = page.render(
        "event_preview.html",
        items=answer.json["items"] if answer.is_good else [],
        faults=Faults.in_answer(answer),
        who=who,
    )
    response.headers["content-security-policy"] = _PREVIEW_POLICY
    return response
