"""Integrations: by what messages leave. Their secrets go in here and never come out again."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from traitbase.console.page import Faults, Page
from traitbase.console.pages.events import integrations_of
from traitbase.domain.destinations import Channel
from traitbase.domain.integrations import IntegrationKind, Security

_SETTINGS = {
    "smtp": ("host", "port", "security", "username", "from_address", "from_name", "reply_to", "connections"),
    "webhook": ("url",),
    "apprise": (),
    "sandbox": (),
}
_WHOLE = ("port", "connections")
_SECRETS = {"smtp": ("password",), "webhook": ("signing_secret",), "apprise": ("url",), "sandbox": ()}


async def show_all(page: Page) -> Response:
    """Show all integrations."""
    return page.render("integrations.html", integrations=await integrations_of(page), kinds=[*IntegrationKind])


async def show_new(page: Page) -> Response:
    """Begin an integration of a kind."""
    kind = page.query("kind", IntegrationKind.SMTP.value)
    usual: dict[str, object] = {"port": 587, "security": "starttls"} if kind == IntegrationKind.SMTP else {}
    return await _show(page, {"kind": kind, "settings": usual, "secrets": []}, Faults(), status=200)


async def show(page: Page) -> Response:
    """Show an integration, and the newest messages of a sandbox."""
    found = await page.get("integrations", page.query("id"))
    return await _show(page, found, Faults(), status=200)


async def _show(page: Page, found: dict[str, Any], faults: Faults, *, status: int, **more: Any) -> Response:
    messages: list[dict[str, Any]] = []
    if found["kind"] == IntegrationKind.SANDBOX and found.get("integration_id"):
        answer = await page.ask("GET", "integrations", found["integration_id"], "messages", limit=20)
        messages = answer.json["items"] if answer.is_good else []
    return page.render(
        "integration.html",
        **{
            "status": status,
            "faults": faults,
            "found": found,
            "messages": messages,
            "securities": [(each.value, each.value) for each in Security],
            "secret_names": _SECRETS.get(found["kind"], ()),
            "channels": [each.value for each in Channel],
            "made": None,
            "outcome": None,
            **more,
        },
    )


async def save(page: Page) -> Response:
    """Store an integration. Secrets that are left empty stay as they are."""
    given = page.fields()
    kind, integration_id = given.get("kind", ""), given.get("integration_id", "")
    settings: dict[str, object] = {}
    for name in _SETTINGS.get(kind, ()):
        text = given.get(f"settings.{name}", "").strip()
        if text:
            settings[name] = int(text) if name in _WHOLE and text.isdecimal() else text
    secrets = {name: given[f"secrets.{name}"] for name in _SECRETS.get(kind, ()) if given.get(f"secrets.{name}")}
    body: dict[str, object] = {"name": given.get("name", "").strip(), "kind": kind, "settings": settings}
    if secrets:
        body["secrets"] = secrets
    if given.get("rate", "").strip():
        rate = given["rate"].strip()
        body["rate"] = float(rate) if rate.replace(".", "", 1).isdecimal() else rate
    if integration_id:
        answer = await page.ask("PUT", "integrations", integration_id, body={**body, "revision": page.revision()})
    else:
        answer = await page.ask("POST", "integrations", body=body)
    faults = Faults.in_answer(answer)
    if faults:
        shown = {**body, "integration_id": integration_id, "revision": page.revision(), "secrets": []}
        return await _show(page, shown, faults, status=400)
    page.about(str(body["name"]))
    made = answer.json
    if made.get("signing_secret"):
        await page.note("integration.create")
        return await _show(page, made, Faults(), status=200, made=made["signing_secret"])
    return page.go("integration", id=made["integration_id"], said="saved" if integration_id else "created")


async def test(page: Page) -> Response:
    """Send one message to a destination, and show what the provider made of it."""
    found = await page.get("integrations", page.text("integration_id"))
    body = {"channel": page.text("channel"), "destination": page.line("destination")}
    answer = await page.ask("POST", "integrations", found["integration_id"], "test", body=body)
    page.about(found["name"])
    await page.note("integration.test")
    outcome = answer.json if answer.is_good else None
    return await _show(page, found, Faults.in_answer(answer), status=200 if outcome else 400, outcome=outcome)


async def delete(page: Page) -> Response:
    """Delete an integration."""
    found = await page.get("integrations", page.text("integration_id"))
    answer = await page.ask("DELETE", "integrations", found["integration_id"])
    faults = Faults.in_answer(answer)
    if faults:
        return await _show(page, found, faults, status=409)
    page.about(found["name"])
    return page.go("integrations", said="deleted")
