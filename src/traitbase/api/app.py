"""The HTTP application: the hot routes in front, the framework with everything else behind."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import msgspec
import structlog
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

import traitbase
from traitbase.api.auth import Gate
from traitbase.api.campaign_parts import CampaignParts
from traitbase.api.campaigns import campaign_routes
from traitbase.api.cohort_schemas import COHORT_SCHEMAS
from traitbase.api.cohorts import THREADS, CohortParts, cohort_routes
from traitbase.api.definitions import DefinitionParts, definition_routes
from traitbase.api.editing import Edits
from traitbase.api.errors import answer_to
from traitbase.api.events import event_routes
from traitbase.api.inside import InsideApi
from traitbase.api.links import link_routes
from traitbase.api.metrics import Metrics, exposition
from traitbase.api.openapi import describe
from traitbase.api.profiles import ProfileParts, profile_routes
from traitbase.api.properties import AsgiScope, PropertyEndpoints, Send, find_call
from traitbase.api.reading import reading_routes
from traitbase.api.sharing import SharedCounts
from traitbase.api.spaces import BASE_PATH, SLASH, UnknownParameter, admit, id_in, refuse_unknown_parameters
from traitbase.api.subscriptions import subscription_routes
from traitbase.api.suppressions import suppression_routes
from traitbase.api.writer import GroupCommitWriter
from traitbase.console.app import ConsoleApp, ConsoleParts
from traitbase.console.uploads import forget_old
from traitbase.domain.errors import Fault, InvalidInput, Refused, TraitbaseError
from traitbase.domain.spaces import Environment, Space
from traitbase.services.accounts.ports import AccountStore
from traitbase.services.campaigns.calls import Calls
from traitbase.services.campaigns.events import Events
from traitbase.services.campaigns.feedback import Feedback
from traitbase.services.campaigns.integrations import Integrations
from traitbase.services.campaigns.links import Links
from traitbase.services.campaigns.outlets import Outlets
from traitbase.services.campaigns.ports import OpenSender
from traitbase.services.campaigns.preparing import Audiences
from traitbase.services.campaigns.sealing import Vault
from traitbase.services.campaigns.steering import Steering
from traitbase.services.campaigns.working import Worker, WorkerParts
from traitbase.services.cohorts.counting import Asking
from traitbase.services.cohorts.ports import CohortEngine
from traitbase.services.ingest import IDEMPOTENCY_US, Ingest
from traitbase.services.ports import FEED_KEPT
from traitbase.services.suppressions import forget_expired
from traitbase.settings import Role

_TIDY_SECONDS = 0.5
_KEY_USES_SECONDS = 15.0
_FORGET_SECONDS = 60.0
_TELL_SECONDS = 1.0
_FORGET_ROWS = 500
_IGNORED_KEPT_A_PROPERTY = 10_000
_DAY_US = 86_400_000_000
_JOBS_KEPT_DAYS = 30

_log = structlog.get_logger()

Receive = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class AppParts:
    """What the application needs from outside."""

    store: AccountStore
    engine: CohortEngine
    now_us: Callable[[], int]
    new_request_id: Callable[[], str]
    new_profile_id: Callable[[], str]
    vault: Vault
    open_sender: OpenSender
    queue_updates: int = 20_000
    queue_bytes: int = 64 * 1024 * 1024
    receipt_days: float = 7
    ignored_days: float = 7
    history_days: float = 30
    base_path: str = ""
    public_url: str = ""
    local_url: str = "http://127.0.0.1:8080"
    """Under which this machine reaches the server: for links as long as there is no public one."""
    lease_seconds: float = 30.0
    role: Role = Role.ALL
    is_first: bool = True
    """Whether this is the server's first process, which does for all of them what is to be done in the background."""
    uploads: Path | None = None
    """Where files wait that somebody is about to import; None: in a temporary folder."""
    shared: SharedCounts | None = None
    """None: this is the server's only process."""

    @property
    def does_chores(self) -> bool:
        """Whether this process does what is to be done in the background."""
        return self.role.does_chores and self.is_first


class TraitbaseApp:
    """An ASGI application. Its lifespan starts and drains the writer; it must run, and on one event loop."""

    def __init__(self, parts: AppParts) -> None:
        self._parts = parts
        self._base = f"{parts.base_path}/".encode() if parts.base_path else b""
        self._metrics = Metrics()
        if parts.shared is not None:
            parts.shared.resume(self._metrics)
        self._gate = Gate(parts.store, now_us=parts.now_us)
        ingest = Ingest(parts.store, new_profile_id=parts.new_profile_id, keeps_history=parts.history_days > 0)
        self._writer = GroupCommitWriter(
            ingest, self._metrics, updates_max=parts.queue_updates, bytes_max=parts.queue_bytes
        )
        self.properties = PropertyEndpoints(
            self._gate, self._writer, self._metrics, now_us=parts.now_us, new_request_id=parts.new_request_id
        )
        self._edits = Edits(self._writer, now_us=parts.now_us, new_request_id=parts.new_request_id)
        self._asking = Asking(parts.store, parts.engine)
        self._worker = self._build_worker()
        self._rest = self._build_rest()
        self._console = self._build_console()

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        if self._console is not None and _is_of_console(scope["path"]):
            await self._console(scope, receive, self._counting(scope, send))
            return
        if not self._parts.role.answers and scope["path"] not in _OF_THE_PROCESS:
            refusal = _NOT_HERE[self._parts.role]
            await refusal(scope, receive, self._counting(scope, send))
            return
        await self._answer(scope, receive, send)

    async def _answer(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer a request to the API."""
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        if raw_path.startswith(self._base) and self._base:
            scope, raw_path = _without_base(scope, raw_path, len(self._base) - 1)
        # With %2F it is part of an id: the profile `properties/set` is none of the endpoints.
        call = find_call(scope["path"]) if b"%2f" not in raw_path.lower() else None
        if call is not None and scope["method"] == "POST":
            await self.properties.answer(call, scope, receive, send)
            return
        answer: Any = self._rest
        if call is not None and call.exists:
            message = f"{scope['method']} is not allowed here: {call.endpoint} takes POST"
            answer = _plain_answer(405, message, {"allow": "POST"})
        else:
            scope = _routed(scope, raw_path)
        await answer(scope, receive, self._counting(scope, send))

    def _counting(self, scope: AsgiScope, send: Send) -> Send:
        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                endpoint = getattr(scope.get("endpoint"), "__name__", "unknown")
                self._metrics.answers[endpoint, message["status"]] += 1
            await send(message)

        return counted

    def _build_rest(self) -> FastAPI:
        app = FastAPI(
            redirect_slashes=False,
            title="Traitbase",
            version=traitbase.__version__,
            description="Typed properties of your users. A 202 means: durable, applied, visible to the next read.",
            docs_url=None,
            redoc_url=None,
            lifespan=self._lifespan,
            servers=[{"url": self._parts.base_path}] if self._parts.base_path else None,
        )
        parts = self._parts
        threads = anyio.CapacityLimiter(THREADS)
        profiles = ProfileParts(
            parts.store, self._asking, self._gate, self._edits, parts.now_us, parts.history_days, threads
        )
        campaigns = self._campaign_parts()
        routers = (
            reading_routes(parts.store, self._gate),
            cohort_routes(CohortParts(parts.store, parts.engine, self._gate, parts.now_us, threads)),
            self._definition_routes(),
            profile_routes(profiles),
            suppression_routes(parts.store, self._gate, now_us=parts.now_us, new_id=parts.new_profile_id),
            subscription_routes(parts.store, self._gate, self._edits, now_us=parts.now_us),
            event_routes(campaigns),
            campaign_routes(campaigns),
            link_routes(campaigns),
        )
        for router in routers:
            app.include_router(router, dependencies=[Depends(refuse_unknown_parameters)])
        self._add_operation_routes(app)
        _add_docs(app, parts.base_path)
        _add_error_answers(app, self._gate, routers)
        framework_document = app.openapi

        def openapi() -> dict[str, Any]:
            if app.openapi_schema is None:
                app.openapi_schema = describe(framework_document(), COHORT_SCHEMAS)
            return app.openapi_schema

        app.openapi = openapi  # type: ignore[method-assign]  # the framework's documented way to extend it
        return app

    def _build_worker(self) -> Worker | None:
        """Return what sends campaigns, if this process is to do that."""
        parts = self._parts
        if not parts.does_chores:
            return None
        return Worker(
            WorkerParts(
                store=parts.store,
                asking=self._asking,
                vault=parts.vault,
                open_sender=parts.open_sender,
                public_url=parts.public_url or parts.local_url,
                now_us=parts.now_us,
                tell=_log.warning,
                lease_seconds=parts.lease_seconds,
            )
        )

    def _build_console(self) -> ConsoleApp | None:
        parts = self._parts
        if not parts.role.shows_console:
            return None
        return ConsoleApp(
            ConsoleParts(
                store=parts.store,
                api=InsideApi(self._answer, self._gate),
                now_us=parts.now_us,
                new_id=parts.new_request_id,
                new_profile_id=parts.new_profile_id,
                keeps_history=parts.history_days > 0,
                public_url=parts.public_url,
                uploads=parts.uploads,
                kept_days={
                    "receipts": parts.receipt_days,
                    "ignored values": parts.ignored_days,
                    "history": parts.history_days,
                },
            )
        )

    def _campaign_parts(self) -> CampaignParts:
        parts, store, now_us = self._parts, self._parts.store, self._parts.now_us
        links = Links(parts.vault, parts.public_url or parts.local_url)
        outlets = Outlets(store, parts.vault, parts.open_sender)
        integrations = Integrations(store, parts.vault, outlets, now_us)
        return CampaignParts(
            store,
            self._gate,
            self._edits,
            integrations,
            Events(store, integrations, links, now_us),
            Calls(store, now_us),
            Steering(store, now_us, parts.public_url),
            Audiences(store, self._asking, now_us),
            Feedback(store, now_us, parts.new_profile_id),
            links,
            now_us,
            parts.new_request_id,
            (lambda: None) if self._worker is None else self._worker.wake,
            anyio.CapacityLimiter(THREADS),
        )

    def _definition_routes(self) -> APIRouter:
        parts = self._parts
        keeps_history = parts.history_days > 0
        return definition_routes(
            DefinitionParts(parts.store, self._gate, parts.now_us, parts.new_request_id, keeps_history=keeps_history)
        )

    def _add_operation_routes(self, app: FastAPI) -> None:
        @app.get("/healthz", include_in_schema=False)
        async def healthz() -> dict[str, str]:
            """Tell that the process runs."""
            return {"status": "ok"}

        @app.get("/readyz", include_in_schema=False)
        def readyz() -> Response:
            """Tell whether requests can be answered: the storage answers queries."""
            try:
                self._parts.store.check()
            except Refused as error:
                return _answer_of(error)
            body: dict[str, object] = {"status": "ok", "queue_waiting_updates": self._writer.waiting_updates}
            if self._asks_cohorts:
                body["cohorts"] = _state_of(self._parts.engine)
            return Response(msgspec.json.encode(body), media_type="application/json")

        @app.get("/metrics", include_in_schema=False)
        def metrics() -> Response:
            """Show what this server has done, in Prometheus' text format."""
            counted, waiting = self._metrics, self._writer.waiting_updates
            if shared := self._parts.shared:
                counted, waiting = shared.of_all(counted, waiting)
            text = exposition(counted, waiting, of_one_process=shared is None)
            return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @property
    def _asks_cohorts(self) -> bool:
        return self._parts.role.answers or self._parts.role.shows_console

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        self._writer.start()
        if self._asks_cohorts:
            self._parts.engine.start()
        if self._worker is not None:
            self._worker.start()
        chores = [asyncio.create_task(chore) for chore in self._chores()]
        try:
            yield
        finally:
            if self._worker is not None:
                await asyncio.to_thread(self._worker.stop)
            await self._writer.stop()
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            with contextlib.suppress(TraitbaseError):
                await asyncio.to_thread(self._gate.note_uses)
            await asyncio.to_thread(self._tell)

    def _chores(self) -> Iterator[Coroutine[Any, Any, object]]:
        """Yield what is done beside the requests: each process's own, and, in one server, what is done for all."""
        store = self._parts.store
        yield _every(_TIDY_SECONDS, store.tidy)
        yield _every(_KEY_USES_SECONDS, self._gate.note_uses)
        # A process that was killed between an erasure and the emptying of the log left that to the next one.
        yield asyncio.to_thread(store.clear_traces, wait_seconds=0)
        if self._parts.shared is not None:
            yield _every(_TELL_SECONDS, self._tell)
        if not self._parts.does_chores:
            return
        forgetting = (
            self._forget_requests,
            self._forget_suppressions,
            self._forget_ignored_values,
            self._forget_access,
            self._trim_feed,
        )
        for forget in forgetting:
            yield _every(_FORGET_SECONDS, forget)

    def _tell(self) -> None:
        if self._parts.shared is not None:
            self._parts.shared.tell(self._metrics, self._writer.waiting_updates)

    def _forget_requests(self) -> None:
        # Receipt and history are one record, which is kept for as long as either is wanted.
        store, now_us = self._parts.store, self._parts.now_us()
        kept_days = max(self._parts.receipt_days, self._parts.history_days)
        before_us = now_us - int(kept_days * _DAY_US)
        # In small steps: each holds the storage's lock for as long as it takes.
        while store.forget_requests(received_before_us=before_us, at_most=_FORGET_ROWS) == _FORGET_ROWS:
            pass
        store.forget_idempotency(created_before_us=now_us - 2 * IDEMPOTENCY_US)

    def _forget_access(self) -> None:
        self._parts.store.forget_expired_access(now_us=self._parts.now_us())
        forget_old(self._parts.uploads)
        self._parts.store.forget_jobs(updated_before_us=self._parts.now_us() - _JOBS_KEPT_DAYS * _DAY_US)

    def _trim_feed(self) -> None:
        self._parts.store.trim_feed(keep=FEED_KEPT)

    def _forget_suppressions(self) -> None:
        while forget_expired(self._parts.store, now_us=self._parts.now_us(), at_most=_FORGET_ROWS) == _FORGET_ROWS:
            pass

    def _forget_ignored_values(self) -> None:
        # Not longer than receipts: a replay looks at the changes that came later.
        days = min(self._parts.ignored_days, self._parts.receipt_days)
        forget = functools.partial(
            self._parts.store.forget_ignored_values,
            received_before_us=self._parts.now_us() - int(days * _DAY_US),
            kept_a_property=_IGNORED_KEPT_A_PROPERTY,
            at_most=_FORGET_ROWS,
        )
        while forget() == _FORGET_ROWS:
            pass


def _state_of(engine: CohortEngine) -> dict[str, object]:
    """Return how the cohort engine is, for operators: while it is not ready, everything else is."""
    state = engine.state()
    if not state.of:
        return {"state": state.doing}
    progress = {"profiles": state.done, "of": state.of, "seconds_left": state.seconds_left}
    return {"state": state.doing, **progress}


def _without_base(scope: AsgiScope, raw_path: bytes, length: int) -> tuple[AsgiScope, bytes]:
    """Return scope and path without the first characters. A base path has none that could be sent as `%…`."""
    path, raw_path = scope["path"], raw_path[length:]
    return {**scope, "path": path[length:], "raw_path": raw_path, BASE_PATH: path[:length]}, raw_path


def _routed(scope: AsgiScope, raw_path: bytes) -> AsgiScope:
    """Return the scope with the path that is routed: no slash at its end, and those of ids told from dividing ones."""
    trimmed = raw_path.removesuffix(b"/") if raw_path != b"/" else raw_path
    if trimmed is raw_path and b"%" not in raw_path:
        return scope
    # What stands for an id's slash must not come from outside, and a line feed is not seen by the routes' expressions:
    # no id has control characters, so any other will do.
    text = re.sub("%0[0aA]", "%01", trimmed.decode("latin-1"))
    path = SLASH.join(map(_unquoted, re.split("%2f", text, flags=re.IGNORECASE)))
    return {**scope, "path": path, "raw_path": trimmed}


def _unquoted(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:  # two different ids must not become the same replacement characters: this is none
        return f"{text}\1"


async def _every(seconds: float, do: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(do)
        except TraitbaseError as error:
            _log.warning("chore_postponed", chore=do.__qualname__, message=error.message)
        except Exception:  # noqa: BLE001  # a chore that failed once is tried again
            _log.exception("chore_failed", chore=do.__qualname__)


def _add_docs(app: FastAPI, base_path: str) -> None:
    """Serve the interactive documentation with its scripts from here: a closed network has no other place for them."""
    assets = resources.files("swagger_ui_bundle") / "vendor"
    folder = next(entry for entry in assets.iterdir() if entry.is_dir())
    app.mount("/docs/assets", StaticFiles(directory=str(folder)), name="docs-assets")

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return get_swagger_ui_html(
            openapi_url=f"{base_path}/openapi.json",
            title="Traitbase API",
            swagger_js_url=f"{base_path}/docs/assets/swagger-ui-bundle.js",
            swagger_css_url=f"{base_path}/docs/assets/swagger-ui.css",
            swagger_favicon_url=f"{base_path}/docs/assets/favicon-32x32.png",
        )


def _add_error_answers(app: FastAPI, gate: Gate, routers: Sequence[APIRouter]) -> None:
    @app.exception_handler(TraitbaseError)
    def known(_request: Request, error: TraitbaseError) -> Response:
        return _answer_of(error)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        if any(fault["loc"][:2] == ("path", "version") for fault in error.errors()):
            return _plain_answer(404, f"there is nothing at {_path_of(request)}: the version is 'live' or 'test'")
        refusal = _refusal_of_stranger(request, gate)
        if refusal is not None:
            return _answer_of(refusal)
        faults = tuple(Fault(".".join(map(str, each["loc"][1:])), each["msg"]) for each in error.errors())
        message = "; ".join(f"{fault.path}: {fault.message}" for fault in faults)
        return _answer_of(InvalidInput(message, faults=faults))

    @app.exception_handler(UnknownParameter)
    def unknown_parameter(request: Request, error: UnknownParameter) -> Response:
        return _answer_of(_refusal_of_stranger(request, gate) or error)

    @app.exception_handler(HTTPException)
    def unrouted(request: Request, error: HTTPException) -> Response:
        headers = error.headers
        if error.status_code == 404:
            message = f"there is nothing at {_path_of(request)}; /docs shows what there is"
        elif error.status_code == 405:
            message = f"{request.method} is not allowed here"
            headers = {"allow": _methods_at(request.scope["path"], routers) or (headers or {}).get("allow", "")}
        else:
            message = str(error.detail)
        return _plain_answer(error.status_code, message, headers)

    @app.exception_handler(Exception)
    def unknown(_request: Request, error: Exception) -> Response:
        # Where it happened, and not what it says: a message may quote values.
        at = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-5:]]
        _log.error("request_failed", error=type(error).__name__, at=at)
        return _answer_of(error)


def _refusal_of_stranger(request: Request, gate: Gate) -> TraitbaseError | None:
    """Return why a caller may not come in, or None. Strangers do not hear what is wrong with their question either."""
    environment = request.path_params.get("version", Environment.LIVE.value)  # what has none counts in live
    try:
        admit(gate, request, Space(request.path_params.get("WSID", ""), str(environment)), needed=None)
    except (Refused, InvalidInput) as refusal:
        return refusal
    return None


def _path_of(request: Request) -> str:
    # Not that of `request.url`, which is put together with whatever the caller sent as `Host`.
    return id_in(request.scope["path"])


def _methods_at(path: str, routers: Sequence[APIRouter]) -> str:
    """Return every method that some route takes at a path; the framework only says those of the first route."""
    routes = [route for router in routers for route in router.routes if isinstance(route, Route)]
    return ", ".join(
        sorted({method for route in routes if route.path_regex.match(path) for method in route.methods or ()})
    )


def _answer_of(error: Exception) -> Response:
    status, body, headers = answer_to(error)
    named = {name.decode(): value.decode() for name, value in headers}
    return Response(body, status_code=status, media_type="application/json", headers=named)


def _plain_answer(status: int, message: str, headers: Any = None) -> Response:
    body = msgspec.json.encode({"status": "error", "_message": message})
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def _is_of_console(path: str) -> bool:
    return path in ("/", "/console") or path.startswith("/console/")


_OF_THE_PROCESS = ("/healthz", "/readyz", "/metrics")
_NOT_HERE = {
    Role.WORKER: _plain_answer(
        404, f"this is a worker, which answers {', '.join(_OF_THE_PROCESS)} only: ask a server whose role is api or all"
    ),
    Role.CONSOLE: _plain_answer(
        404, "this server shows the console, at /console: ask a server whose role is api or all"
    ),
}
