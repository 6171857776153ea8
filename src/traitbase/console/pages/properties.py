"""Properties: what is defined, what it is used for, what was ignored and why, and how a wrong type is repaired."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from traitbase.console import jobs
from traitbase.console.page import Failed, Faults, Page
from traitbase.console.pages.profiles import cohorts_of, definitions_of
from traitbase.console.values import KINDS
from traitbase.domain.values import Kind
from traitbase.services.accounts.ports import JobState

_IGNORED = 25


async def show_all(page: Page) -> Response:
    """Show all definitions with their use, and let one be declared ahead of its first value."""
    return await _show_all(page, Faults(), {}, status=200)


async def _show_all(page: Page, faults: Faults, given: dict[str, str], *, status: int) -> Response:
    definitions = await definitions_of(page)
    if page.query("only") == "ignored":
        definitions = [each for each in definitions if each["ignored"]]
    return page.render(
        "properties.html",
        status=status,
        faults=faults,
        definitions=definitions,
        given=given,
        kinds=KINDS,
        only=page.query("only"),
    )


async def declare(page: Page) -> Response:
    """Declare a property."""
    given = page.fields()
    body = {"name": given.get("name", "").strip(), "type": given.get("type", "")}
    if given.get("description", "").strip():
        body["description"] = given["description"].strip()
    answer = await page.ask("POST", "properties", body=body)
    faults = Faults.in_answer(answer)
    if faults:
        return await _show_all(page, faults, given, status=400)
    page.about(f"{body['name']} as {body['type']}")
    return page.go("property", name=body["name"], said="created" if answer.status == 201 else "nothing")


async def show(page: Page) -> Response:
    """Show one property: what its values are like, what was ignored, and what can be done about it."""
    return await _show(page, page.query("name"), Faults(), status=200)


async def _show(page: Page, name: str, faults: Faults, *, status: int, trial: dict[str, Any] | None = None) -> Response:
    definition = await page.get("properties", name)
    insight = await page.ask("GET", "properties", name, "insight", top=10)
    ignored = await page.get("properties", name, "ignored", limit=_IGNORED, cursor=page.query("ignored") or None)
    aside = await page.get("properties", name, "kept-aside", limit=_IGNORED, cursor=page.query("aside") or None)
    used_by = [each for each in await cohorts_of(page) if _is_about(each.get("filter"), name)]
    return page.render(
        "property.html",
        status=status,
        faults=faults,
        definition=definition,
        insight=insight.json if insight.is_good else None,
        why_no_insight=insight.message if not insight.is_good else "",
        ignored=ignored,
        aside=aside,
        used_by=used_by,
        kinds=[each for each in KINDS if each[0].value != definition["type"]],
        trial=trial,
    )


def _is_about(node: Any, name: str) -> bool:
    if not isinstance(node, dict):
        return False
    if "rules" in node:
        return any(_is_about(each, name) for each in node["rules"])
    return bool(node.get("field") == name)


async def change(page: Page) -> Response:
    """Change a property's description, or whether it takes new values."""
    name = page.text("name")
    body: dict[str, object] = {}
    said = "saved"
    if page.text("archived") in ("yes", "no"):
        body["archived"] = page.text("archived") == "yes"
        said = "archived" if body["archived"] else "restored"
    else:
        body["description"] = page.line("description") or None
    faults = Faults.in_answer(await page.ask("PATCH", "properties", name, body=body))
    if faults:
        return await _show(page, name, faults, status=400)
    page.about(f"{name}: {said}")
    return page.go("property", name=name, said=said)


async def try_type(page: Page) -> Response:
    """Say what another type would do, and do nothing."""
    name, kind = page.text("name"), page.text("type")
    answer = await page.ask("PATCH", "properties", name, body={"type": kind}, dry_run="true")
    faults = Faults.in_answer(answer)
    trial = None if faults else {**answer.json, "ignored": answer.json["property"]["ignored"]}
    return await _show(page, name, faults, status=400 if faults else 200, trial=trial)


async def retype(page: Page) -> Response:
    """Give a property another type, and apply what was ignored for its type, if that is wanted."""
    name, kind = page.text("name"), page.text("type")
    if kind not in set(Kind):
        return await _show(page, name, Faults("", {"type": "expected one of the types"}), status=400)
    body = {"type": kind, "replay": page.text("replay") == "yes"}

    async def work(_progress: jobs.Progress) -> dict[str, Any]:
        answer = await page.ask("PATCH", "properties", name, body=body)
        if not answer.is_good:
            raise Failed(answer)
        return _without_people(answer.json)

    job = jobs.new_job(page, {"kind": "retype", "name": name, "type": kind}, state=JobState.RUNNING)
    page.about(f"{name} as {kind}")
    await jobs.begin(page, job, work)
    return page.go("job", id=job.row.job_id)


async def replay(page: Page) -> Response:
    """Apply what was ignored after all."""
    name = page.text("name")

    async def work(_progress: jobs.Progress) -> dict[str, Any]:
        answer = await page.ask("POST", "properties", name, "replay")
        if not answer.is_good:
            raise Failed(answer)
        return {"replay": answer.json}

    job = jobs.new_job(page, {"kind": "replay", "name": name}, state=JobState.RUNNING)
    page.about(name)
    await jobs.begin(page, job, work)
    return page.go("job", id=job.row.job_id)


def _without_people(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what a retype did without the samples: those are of people, and jobs keep nothing of people."""
    done = dict(answer.get("retype") or {})
    done.pop("samples", None)
    return {"request_id": answer.get("request_id"), "retype": done, "replay": answer.get("replay")}


async def delete(page: Page) -> Response:
    """Delete a property with all its values, after its name was typed once more."""
    name = page.text("name")
    if page.text("confirm") != name:
        faults = Faults("", {"confirm": "this is not its name: nothing was deleted"})
        return await _show(page, name, faults, status=400)
    faults = Faults.in_answer(await page.ask("DELETE", "properties", name, confirm=name))
    if faults:
        return await _show(page, name, faults, status=409)
    page.about(name)
    return page.go("properties", said="deleted")
