"""A workspace: how it is at a glance, its keys, its people, its settings, and who did what."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from traitbase.console.page import Faults, Page
from traitbase.console.pages.access import link_address
from traitbase.console.pages.profiles import cohorts_of, definitions_of
from traitbase.console.values import end_of_day
from traitbase.domain.accounts import Role
from traitbase.domain.errors import InvalidInput, NotFound, TraitbaseError
from traitbase.domain.keys import Reach, Scope
from traitbase.services.workspaces import create_api_key, revoke_api_key

_AUDIT = 100
_SHOWN = 5
REACHES = ((Reach.LIVE.value, "live only"), (Reach.TEST.value, "test only"), (Reach.BOTH.value, "both"))
SCOPES = (
    (Scope.INGEST.value, "ingest: sends updates and fires events, sees its own receipts"),
    (Scope.READ.value, "read: reads everything"),
    (Scope.ADMIN.value, "admin: everything"),
)
ROLES = (
    (Role.VIEWER.value, "viewer: looks at everything, changes nothing"),
    (Role.EDITOR.value, "editor: changes people, properties, cohorts, events, campaigns"),
    (Role.ADMIN.value, "admin: also keys, integrations, members, erasing"),
)


async def show_overview(page: Page) -> Response:
    """Show how things are, and what to do next where there is nothing yet."""
    definitions = await definitions_of(page)
    campaigns = (await page.get("campaigns"))["items"]
    ignored = sorted((each for each in definitions if each["ignored"]), key=lambda each: -each["ignored"])
    keys = await page.run(page.desk.parts.store.list_api_keys, page.space.workspace_id)
    return page.render(
        "overview.html",
        definitions=definitions,
        ignored=ignored[:_SHOWN],
        cohorts=await cohorts_of(page),
        campaigns=campaigns,
        newest=campaigns[:_SHOWN],
        has_keys=any(key.revoked_at_us is None for key, _ in keys),
        profiles=(await page.get("profiles", sort="-created_at", limit=_SHOWN))["items"],
    )


async def show_total(page: Page) -> Response:
    """Say how many profiles there are: a part of the overview, since it waits for an engine that has just started."""
    answer = await page.ask("POST", "cohorts", "preview", body={"filter": {"rules": []}, "sample": 0})
    total = answer.json["total"] if answer.is_good else None
    return page.render("overview_total.html", total=total, why_not=answer.message)


async def show_keys(page: Page) -> Response:
    """Show the API keys, and let one be made."""
    return await _show_keys(page, Faults(), status=200)


async def _show_keys(page: Page, faults: Faults, *, status: int, made: str | None = None) -> Response:
    rows = await page.run(page.desk.parts.store.list_api_keys, page.space.workspace_id)
    return page.render(
        "keys.html",
        status=status,
        faults=faults,
        rows=rows,
        made=made,
        given=page.fields(),
        reaches=REACHES,
        scopes=SCOPES,
        now_us=page.desk.parts.now_us(),
    )


async def create_key(page: Page) -> Response:
    """Make an API key, and show it this once."""
    try:
        reach, scope = Reach(page.text("reach")), Scope(page.text("scope"))
    except ValueError:
        return await _show_keys(page, Faults("", {"scope": "expected one of those in the list"}), status=400)
    until = page.line("until")
    try:
        expires_at_us = _expiry(until, page) if until else None
        made = await page.run(
            create_api_key,
            page.desk.parts.store,
            workspace_id=page.space.workspace_id,
            reach=reach,
            scope=scope,
            name=page.line("name"),
            at_us=page.desk.parts.now_us(),
            expires_at_us=expires_at_us,
            networks=tuple(page.text("networks").replace(",", " ").split()),
        )
    except TraitbaseError as error:
        return await _show_keys(page, Faults.in_error(error), status=400)
    page.about(f"{made.key.key_id} {made.key.name}: {scope}, {reach}")
    await page.note("key.create")
    return await _show_keys(page, Faults(), status=200, made=made.secret)


def _expiry(day: str, page: Page) -> int:
    at_us = int(end_of_day(day, page.zone, "until").timestamp()) * 1_000_000
    if at_us <= page.desk.parts.now_us():
        raise InvalidInput("until: expected a day to come")
    return at_us


async def revoke_key(page: Page) -> Response:
    """Revoke an API key of this workspace for good."""
    key_id = page.text("key_id")
    rows = await page.run(page.desk.parts.store.list_api_keys, page.space.workspace_id)
    if key_id not in {key.key_id for key, _ in rows}:
        raise NotFound("this workspace has no such key")
    await page.run(revoke_api_key, page.desk.parts.store, key_id, at_us=page.desk.parts.now_us())
    page.about(key_id)
    return page.go("keys", said="revoked")


async def show_members(page: Page) -> Response:
    """Show who may do what here, and let others be invited."""
    return await _show_members(page, Faults(), status=200)


async def _show_members(page: Page, faults: Faults, *, status: int, link: str | None = None, of: str = "") -> Response:
    people, store = page.desk.people, page.desk.parts.store
    members = await page.run(people.members, page.space.workspace_id)
    links: list[Any] = []
    if page.may("admin"):
        links = await page.run(store.list_links, page.space.workspace_id, now_us=page.desk.parts.now_us())
    return page.render(
        "members.html",
        status=status,
        faults=faults,
        members=members,
        links=links,
        link=link,
        link_of=of,
        given=page.fields(),
        roles=ROLES,
    )


async def invite(page: Page) -> Response:
    """Make a one-time link for somebody who is to have a role here."""
    return await _linked(
        page, lambda role: page.desk.people.invite(page.space.workspace_id, page.text("email"), role, by=_me(page))
    )


async def _linked(page: Page, make: Any) -> Response:
    try:
        role = Role(page.text("role", Role.VIEWER.value))
    except ValueError:
        return await _show_members(page, Faults("", {"role": "expected one of those in the list"}), status=400)
    try:
        token = await page.run(make, role)
    except TraitbaseError as error:
        return await _show_members(page, Faults.in_error(error), status=400)
    return await _show_members(page, Faults(), status=200, link=link_address(page, token), of=page.text("email"))


async def reset(page: Page) -> Response:
    """Make a one-time link behind which a member chooses a new password."""
    return await _linked(
        page, lambda _role: page.desk.people.reset(page.space.workspace_id, page.text("account_id"), by=_me(page))
    )


async def change_role(page: Page) -> Response:
    """Give a member another role."""
    try:
        role = Role(page.text("role"))
        await page.run(
            page.desk.people.change_role, page.space.workspace_id, page.text("account_id"), role, by=_me(page)
        )
    except (TraitbaseError, ValueError) as error:
        faults = Faults.in_error(error) if isinstance(error, TraitbaseError) else Faults("choose one of the roles")
        return await _show_members(page, faults, status=409)
    return page.go("members", said="saved")


async def remove_member(page: Page) -> Response:
    """Take a member's role away."""
    try:
        await page.run(page.desk.people.remove, page.space.workspace_id, page.text("account_id"), by=_me(page))
    except TraitbaseError as error:
        return await _show_members(page, Faults.in_error(error), status=409)
    return page.go("members", said="removed")


async def end_link(page: Page) -> Response:
    """End a link that nobody has used yet."""
    store, workspace_id = page.desk.parts.store, page.space.workspace_id
    now_us = page.desk.parts.now_us()
    links = await page.run(store.list_links, workspace_id, now_us=now_us)
    if page.text("digest") not in {each.digest for each in links}:
        raise NotFound("this workspace has no such link")
    await page.run(store.use_link, page.text("digest"), now_us=now_us)
    return page.go("members", said="ended")


def _me(page: Page) -> str:
    return page.signed_in.account.account_id


async def show_audit(page: Page) -> Response:
    """Show who did what, the newest first."""
    store = page.desk.parts.store
    before = page.query("before") or None
    rows = await page.run(store.list_audit, page.space.workspace_id, before=before, limit=_AUDIT + 1)
    accounts = await page.run(store.list_accounts, list({row.account_id for row in rows if row.account_id}))
    return page.render(
        "audit.html",
        rows=rows[:_AUDIT],
        names={each.account_id: each for each in accounts},
        next_before=rows[_AUDIT - 1].entry_id if len(rows) > _AUDIT else None,
        before=before,
    )


async def show_settings(page: Page) -> Response:
    """Show what is set for the workspace and the environment."""
    return await _show_settings(page, Faults(), status=200)


async def _show_settings(page: Page, faults: Faults, *, status: int, text: str | None = None) -> Response:
    subscriptions = await page.get("subscriptions")
    shown = text if text is not None else json.dumps(subscriptions, indent=2, ensure_ascii=False)
    return page.render(
        "settings.html",
        status=status,
        faults=faults,
        subscriptions=subscriptions,
        text=shown,
        parts_kept=page.desk.parts.kept_days,
        public_url=page.desk.parts.public_url,
        given=page.fields(),
    )


async def save_workspace(page: Page) -> Response:
    """Give the workspace another name."""
    name = page.line("name")
    if not 1 <= len(name) <= 255 or not name.isprintable():
        return await _show_settings(page, Faults("", {"name": "expected 1 to 255 characters"}), status=400)
    await page.run(page.desk.parts.store.change_workspace, page.space.workspace_id, name=name)
    page.about(name)
    return page.go("settings", said="saved")


async def save_topics(page: Page) -> Response:
    """Replace the topics that people can choose from."""
    text = page.text("topics")
    try:
        body = json.loads(text)
    except ValueError as error:
        faults = Faults("", {"topics": f"this is no JSON: {error}"})
        return await _show_settings(page, faults, status=400, text=text)
    faults = Faults.in_answer(await page.ask("PUT", "subscriptions", body=body))
    if faults:
        return await _show_settings(page, faults, status=400, text=text)
    return page.go("settings", said="saved")
