"""Signing in and out, links for newcomers, and one's own account."""

from __future__ import annotations

from urllib.parse import quote
from zoneinfo import available_timezones

from starlette.responses import RedirectResponse, Response

from traitbase.console.page import COOKIE, ROOT, THEME_COOKIE, Faults, Page, address
from traitbase.domain.errors import InvalidInput, Refused, TraitbaseError
from traitbase.domain.spaces import Environment
from traitbase.services.accounts.audit import Done
from traitbase.services.accounts.people import Newcomer
from traitbase.services.accounts.ports import LinkKind
from traitbase.services.accounts.sessions import LONGEST_DAYS, Session

_COOKIE_SECONDS = LONGEST_DAYS * 86_400
_THEME_SECONDS = 365 * 86_400


async def home(page: Page) -> Response:
    """Lead to the workspace, if there is one only, or let one be chosen."""
    roles = page.signed_in.roles
    workspaces = [each for each in await page.run(page.desk.parts.store.list_workspaces) if each.workspace_id in roles]
    if len(workspaces) == 1:
        return RedirectResponse(_home_of(workspaces[0].workspace_id), status_code=303)
    return page.render("workspaces.html", workspaces=workspaces, roles=roles)


def _home_of(workspace_id: str) -> str:
    return f"{ROOT}/w/{quote(workspace_id)}/{Environment.LIVE}"


async def show_sign_in(page: Page) -> Response:
    """Ask who it is."""
    if page.session is not None:
        return RedirectResponse(_wanted(page.query("next")), status_code=303)
    is_new = not await page.run(page.desk.parts.store.has_accounts)
    return page.render("sign_in.html", next=page.query("next"), email="", is_new=is_new)


async def sign_in(page: Page) -> Response:
    """Begin a session."""
    sessions = page.desk.sessions
    try:
        token = await page.desk.hash(
            sessions.sign_in, page.text("email"), page.text("password"), address=page.address, agent=page.agent
        )
    except (InvalidInput, Refused) as error:
        if error.code not in ("wrong_password", "too_many_attempts"):
            raise
        status = 429 if error.code == "too_many_attempts" else 401
        context = {"next": page.text("next"), "email": page.text("email"), "is_new": False}
        return page.render("sign_in.html", status=status, faults=Faults(error.message), **context)
    session = await page.run(sessions.find, token)
    if session is not None:
        await _note_everywhere(page, session, "account.sign_in")
    return _with_session(page, token, _wanted(page.text("next")))


async def _note_everywhere(page: Page, session: Session, action: str) -> None:
    """Write what somebody did with their account into the audit log of each workspace that they have a role in."""
    for workspace_id in session.roles:
        await page.run(page.desk.audit.note, workspace_id, session.account.account_id, Done(action))


async def sign_out(page: Page) -> Response:
    """End the session."""
    await page.run(page.desk.sessions.end, page.signed_in)
    response = page.go_to(f"{ROOT}/sign-in")
    response.delete_cookie(COOKIE, path=ROOT)
    return response


async def show_link(page: Page) -> Response:
    """Show what a one-time link is for."""
    return await _show_link(page, Faults(), status=200)


async def use_link(page: Page) -> Response:
    """Do what a one-time link is for, and begin a session."""
    newcomer = Newcomer(
        page.text("email"),
        page.text("name"),
        page.text("password"),
        page.text("workspace_name"),
        page.text("timezone", "UTC"),
    )
    signed_in = None if page.session is None else page.session.account
    token = page.request.path_params["token"]
    try:
        if page.text("password") != page.text("again"):
            message = "again: this is not the same as the password above"
            raise InvalidInput(message)
        account = await page.desk.hash(page.desk.people.accept, token, newcomer, signed_in=signed_in)
    except TraitbaseError as error:
        if error.code == "link_expired":
            return page.render("link_ended.html", status=410)
        return await _show_link(page, Faults.in_error(error), status=400)
    if signed_in is not None and signed_in.account_id == account.account_id:
        return page.go_to(ROOT)
    session = await page.run(page.desk.sessions.begin, account, agent=page.agent)
    return _with_session(page, session, ROOT)


async def _show_link(page: Page, faults: Faults, *, status: int) -> Response:
    store, people = page.desk.parts.store, page.desk.people
    link = await page.run(people.find_link, page.request.path_params["token"])
    if link is None or (link.kind is LinkKind.FIRST and await page.run(store.has_accounts)):
        return page.render("link_ended.html", status=410)
    known = None if link.email is None else await page.run(store.find_account_by_email, link.email)
    workspace = None if link.workspace_id is None else await page.run(store.find_workspace, link.workspace_id)
    needs_workspace = link.kind is LinkKind.FIRST and not await page.run(store.list_workspaces)
    return page.render(
        "link.html",
        status=status,
        faults=faults,
        link=link,
        workspace=workspace,
        has_account=known is not None and link.kind is LinkKind.INVITATION,
        is_they=known is not None and page.session is not None and page.session.account.email == known.email,
        needs_workspace=needs_workspace,
        zones=sorted(available_timezones()) if needs_workspace else (),
        given=page.fields(),
        here=str(page.request.url.path),
    )


async def show_account(page: Page) -> Response:
    """Show one's own account and sessions."""
    return await _show_account(page, Faults(), status=200)


async def _show_account(page: Page, faults: Faults, *, status: int) -> Response:
    sign_ins = await page.run(page.desk.sessions.list, page.signed_in)
    said = page.query("said")
    return page.render("account.html", status=status, faults=faults, sign_ins=sign_ins, said_word=said)


async def change_password(page: Page) -> Response:
    """Choose another password."""
    try:
        await page.desk.hash(
            page.desk.sessions.change_password,
            page.signed_in,
            current=page.text("current"),
            new=page.text("new"),
            address=page.address,
        )
    except (InvalidInput, Refused) as error:
        return await _show_account(page, Faults.in_error(error), status=400)
    await _note_everywhere(page, page.signed_in, "account.password")
    return page.go_to(f"{ROOT}/account?said=password")


async def end_session(page: Page) -> Response:
    """End one of one's sessions, or all others."""
    account = page.signed_in.account
    digest = page.text("digest")
    if digest:
        await page.run(page.desk.parts.store.end_sign_ins, account.account_id, digests=[digest])
    else:
        await page.run(page.desk.sessions.end_others, page.signed_in)
    return page.go_to(f"{ROOT}/account?said=ended")


async def choose_theme(page: Page) -> Response:
    """Remember whether somebody wants it light, dark, or as their system is."""
    response = page.go_to(_wanted(page.text("next")))
    theme = page.text("theme")
    if theme in ("light", "dark"):
        response.set_cookie(THEME_COOKIE, theme, max_age=_THEME_SECONDS, path=ROOT, samesite="lax", httponly=True)
    else:
        response.delete_cookie(THEME_COOKIE, path=ROOT)
    return response


def _wanted(path: str) -> str:
    """Return where somebody wanted to go: a page of the console, and never one of somebody else's."""
    return path if path.startswith(f"{ROOT}/") and "//" not in path and "\\" not in path else ROOT


def _with_session(page: Page, token: str, url: str) -> Response:
    response = page.go_to(url)
    request = page.request
    is_secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    response.set_cookie(
        COOKIE, token, max_age=_COOKIE_SECONDS, path=ROOT, secure=is_secure, httponly=True, samesite="lax"
    )
    return response


def link_address(page: Page, token: str) -> str:
    """Return the address of a one-time link, under which people reach this server."""
    base = page.desk.parts.public_url or str(page.request.base_url).rstrip("/")
    return address(f"{base}{ROOT}/link/{token}")
