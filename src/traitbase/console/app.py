"""The console as an ASGI application: who may come in, what they may do, and what every answer carries."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
import structlog
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.staticfiles import StaticFiles

from traitbase.console import ways_in
from traitbase.console.page import COOKIE, ROOT, ConsoleParts, Desk, Failed, Here, Page
from traitbase.console.views import STATIC, drawn
from traitbase.console.ways import Way
from traitbase.domain.errors import Conflict, InvalidInput, NotFound, Refused, TraitbaseError
from traitbase.domain.spaces import Environment
from traitbase.services.accounts.audit import Audit
from traitbase.services.accounts.people import People
from traitbase.services.accounts.sessions import Session, Sessions

__all__ = ["ConsoleApp", "ConsoleParts"]

_THREADS = 8
_HASHING_AT_ONCE = 2
_FIELDS_MAX = 6_000
"""A rule of 500 rules has some ten fields for each."""

_FIELD_BYTES_MAX = 4 * 1024 * 1024
"""Of a field that is no file: those are kept in memory."""

_log = structlog.get_logger()

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Nothing but the console's own files runs or is loaded, and nobody else shows the console in a frame."""

_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

AsgiSend = Callable[[Any], Awaitable[None]]
AsgiReceive = Callable[[], Awaitable[Any]]


class ConsoleApp:
    """Answers everything at and below `/console`."""

    def __init__(self, parts: ConsoleParts) -> None:
        audit = Audit(parts.store, now_us=parts.now_us, new_id=parts.new_id)
        self._desk = Desk(
            parts,
            Sessions(parts.store, now_us=parts.now_us),
            audit,
            People(parts.store, audit, now_us=parts.now_us),
            anyio.CapacityLimiter(_THREADS),
            anyio.CapacityLimiter(_HASHING_AT_ONCE),
        )
        self._router = Router(routes=_routes(self._answer), redirect_slashes=False, default=_nothing_here)

    async def __call__(self, scope: Any, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answer one request."""
        if scope["path"] in ("/", ROOT + "/"):
            scope = {**scope, "path": ROOT, "raw_path": ROOT.encode()}
        elif len(scope["path"]) > len(ROOT) + 1 and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/")}
        await self._router(scope, receive, send)

    async def _answer(self, way: Way, request: Request) -> Response:
        session: Session | None = None
        page = Page(request, self._desk, session=None, here=None, form=None)
        try:
            if way.method == "POST":
                _check_same_origin(request)
            token = request.cookies.get(COOKIE)
            session = None if not token else await self._desk.run(self._desk.sessions.find, token)
            if session is None and not way.is_public:
                return _to_sign_in(page)
            page = Page(request, self._desk, session=session, here=None, form=None)
            here = None if way.needs is None else await self._find_here(request, session)
            page = Page(request, self._desk, session=session, here=here, form=None)
            if way.needs is not None:
                page.refuse_unless(way.needs.value)
            form = await _read_form(request, way.body_bytes) if way.method == "POST" else None
            page = Page(request, self._desk, session=session, here=here, form=form)
            response = await way.handler(page)
        except TraitbaseError as error:
            return _dressed(_told(page, error))
        except Exception as error:  # noqa: BLE001  # whatever happens, somebody is waiting for a page
            # Where it happened, and not what it says: a message may quote values.
            at = [
                f"{Path(each.filename).name}:{each.lineno}" for each in traceback.extract_tb(error.__traceback__)[-5:]
            ]
            _log.error("page_failed", error=type(error).__name__, at=at)
            return _dressed(_told(page, error))
        if way.action is not None and (response.status_code == 303 or "hx-redirect" in response.headers):
            await self._note(page, way.action)
        return _dressed(response)

    async def _note(self, page: Page, action: str) -> None:
        try:
            await page.note(action)
        except TraitbaseError as error:  # it is done all the same, and whoever did it must not be told otherwise
            _log.error("audit_entry_lost", action=action, account=page.signed_in.account.account_id, reason=error.code)

    async def _find_here(self, request: Request, session: Session | None) -> Here:
        """Return where a page is. Raises NotFound alike for what there is not and for what is nobody's business."""
        workspace_id = request.path_params["workspace_id"]
        role = None if session is None else session.roles.get(workspace_id)
        environment = request.path_params["environment"]
        workspace = None if role is None else await self._desk.run(self._desk.parts.store.find_workspace, workspace_id)
        if workspace is None or role is None or environment not in set(Environment):
            raise NotFound("there is no such workspace, or you have no role in it")
        return Here(workspace, Environment(environment), role)


def _routes(answer: Callable[[Way, Request], Awaitable[Response]]) -> Sequence[BaseRoute]:
    def route(way: Way) -> Route:
        async def endpoint(request: Request) -> Response:
            return await answer(way, request)

        endpoint.__name__ = "console"
        return Route(way.full_path, endpoint, methods=[way.method])

    return [Mount(f"{ROOT}/static", _Assets(directory=STATIC)), *map(route, ways_in.WAYS)]


class _Assets(StaticFiles):
    async def get_response(self, path: str, scope: Any) -> Response:
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            return Response(status_code=error.status_code)
        response.headers["cache-control"] = "public, max-age=86400"  # their addresses carry the version
        response.headers["x-content-type-options"] = "nosniff"
        return response


async def _read_form(request: Request, at_most: int) -> FormData:
    """Return the form. Raises Refused for one that is too large, before it is read."""
    received = 0
    receive = request.receive

    async def counted() -> Any:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > at_most:
            raise Refused(f"that is more than {at_most // (1024 * 1024)} MB", code="too_large")
        return message

    counting = Request(request.scope, counted)
    try:
        return await counting.form(max_files=1, max_fields=_FIELDS_MAX, max_part_size=_FIELD_BYTES_MAX)
    except HTTPException as error:
        raise InvalidInput(f"the form cannot be read: {error.detail}") from error


def _check_same_origin(request: Request) -> None:
    """Raise Refused for a form that another site made the browser send.

    Browsers say so in Sec-Fetch-Site, older ones in Origin (W3C Fetch Metadata; OWASP's sheet on CSRF).
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        good = site == "same-origin"
    else:
        good = origin is not None and urlsplit(origin).netloc == request.headers.get("host")
    if not good:
        raise Refused("this did not come from the console's own pages, so it was not done", code="cross_site")


def _to_sign_in(page: Page) -> Response:
    request = page.request
    wanted = request.url.path if request.method == "GET" else ROOT
    query = f"?{request.url.query}" if request.method == "GET" and request.url.query else ""
    url = f"{ROOT}/sign-in?next={quote(wanted + query, safe='')}"
    if page.is_fragment or request.method == "POST":
        return _dressed(HTMLResponse(drawn("signed_out.html", page=page, url=url), 401, headers={"HX-Redirect": url}))
    return _dressed(RedirectResponse(url, status_code=303))


def _told(page: Page, error: Exception) -> Response:
    """Return the page that tells of an error."""
    status, message = (
        _status_of(error),
        "Something went wrong on our side. What you did may not be done: look, then try again.",
    )
    if isinstance(error, TraitbaseError):
        message = error.message
    if page.is_fragment:
        return HTMLResponse(drawn("fault.html", page=page, message=message), status)
    return HTMLResponse(drawn("error.html", page=page, status=status, message=message), status)


def _status_of(error: Exception) -> int:
    match error:
        case Failed(status=status):
            return status
        case NotFound():
            return 404
        case InvalidInput():
            return 400
        case Conflict():
            return 409
        case Refused(code="insufficient_role" | "cross_site"):
            return 403
        case Refused(code="too_many_attempts"):
            return 429
        case Refused(code="too_large"):
            return 413
        case TraitbaseError():
            return 503
        case _:
            return 500


def _dressed(response: Response) -> Response:
    """Return an answer with what every page carries, unless it says otherwise itself."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


async def _nothing_here(scope: Any, receive: AsgiReceive, send: AsgiSend) -> None:
    text = drawn("nothing.html", page=None)
    await _dressed(HTMLResponse(text, 404))(scope, receive, send)
