"""One request to the console: who asks, in which workspace and environment, and how they are answered."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import anyio
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from traitbase.console.asking import Answer, Api, Question, encoded
from traitbase.console.views import drawn
from traitbase.domain.accounts import Role
from traitbase.domain.errors import Fault, InvalidInput, NotFound, Refused, TraitbaseError
from traitbase.domain.keys import ApiKey, Reach, Scope
from traitbase.domain.spaces import Environment, Space, Workspace, zone_of
from traitbase.services.accounts.audit import Audit, Done
from traitbase.services.accounts.people import People
from traitbase.services.accounts.ports import AccountStore
from traitbase.services.accounts.sessions import Session, Sessions

ROOT = "/console"
COOKIE = "traitbase_session"
THEME_COOKIE = "traitbase_theme"

_T = TypeVar("_T")
_FORM_KEY_MAX = 64
_REVISION_DIGITS_MAX = 15
_CONFLICT = 409
_READ_AGAIN = "read it again"
_LOOK_AGAIN = (
    "nothing was done. Look at how it is now, in another tab if you want to keep what you typed, and go on from there"
)


@dataclass(frozen=True, slots=True)
class ConsoleParts:
    """What the console needs from outside."""

    store: AccountStore
    api: Api
    now_us: Callable[[], int]
    new_id: Callable[[], str]
    new_profile_id: Callable[[], str]
    keeps_history: bool
    public_url: str
    uploads: Path | None
    kept_days: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Desk:
    """The services of the console, and the threads they run in."""

    parts: ConsoleParts
    sessions: Sessions
    audit: Audit
    people: People
    threads: anyio.CapacityLimiter
    hashing: anyio.CapacityLimiter
    """How many passwords are hashed at once: each takes 64 MiB."""

    async def run(self, do: Callable[..., _T], *arguments: Any, **named: Any) -> _T:
        """Run something that waits for the store in a thread."""
        return await anyio.to_thread.run_sync(functools.partial(do, *arguments, **named), limiter=self.threads)

    async def hash(self, do: Callable[..., _T], *arguments: Any, **named: Any) -> _T:
        """Run something that hashes a password in a thread."""
        return await anyio.to_thread.run_sync(functools.partial(do, *arguments, **named), limiter=self.hashing)


@dataclass(frozen=True, slots=True)
class Here:
    """The workspace and environment that a page is about, and what whoever looks may do in it."""

    workspace: Workspace
    environment: Environment
    role: Role

    @property
    def space(self) -> Space:
        """The space."""
        return Space(self.workspace.workspace_id, self.environment.value)


class Failed(TraitbaseError):
    """The API refused what a page needs in order to be shown. `status` is the answer's."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.message or "that did not work", code="refused_by_api")
        self.status = 404 if "non existing distinct_id" in answer.message else answer.status


@dataclass(slots=True)
class Faults:
    """What is wrong with a form: a message for each field, and one for all of it."""

    message: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.message or self.fields)

    def of(self, name: str) -> str:
        """Return the message for a field, empty if there is none."""
        return self.fields.get(name, "")

    def beyond(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """Return path and message of what is wrong elsewhere than in these fields."""
        return [(path, message) for path, message in self.fields.items() if path not in set(names)]

    @classmethod
    def in_answer(cls, answer: Answer) -> Faults:
        """Return what the API says is wrong; nothing if it did what it was asked for."""
        if answer.is_good:
            return cls()
        if answer.status == _CONFLICT and "choose another name" in answer.message:
            return cls("", {"name": answer.message})
        if answer.status == _CONFLICT and answer.message.endswith(_READ_AGAIN):
            return cls(answer.message.removesuffix(_READ_AGAIN) + _LOOK_AGAIN)
        fields: dict[str, str] = {}
        for path, message in answer.errors:
            fields.setdefault(path, message.removeprefix(f"{path}: ").removeprefix(f"{path}: "))
        return cls("" if fields else answer.message, fields)

    @classmethod
    def in_error(cls, error: TraitbaseError) -> Faults:
        """Return what an error says is wrong."""
        faults: Sequence[Fault] = error.faults if isinstance(error, InvalidInput) else ()
        if faults:
            return cls("", {each.path: each.message for each in faults})
        place, separator, rest = error.message.partition(": ")
        if separator and place.isidentifier():
            return cls("", {place: rest})
        return cls(error.message)


class Page:
    """One request, and what is known about it by the time a page is made."""

    def __init__(
        self, request: Request, desk: Desk, *, session: Session | None, here: Here | None, form: FormData | None
    ) -> None:
        self.request = request
        self.desk = desk
        self.session = session
        self._here = here
        self._form = form or FormData()
        self.target: str | None = None
        self.request_id: str | None = None

    # Who asks, and where

    @property
    def here(self) -> Here:
        """The workspace and environment of the page."""
        assert self._here is not None, "only pages of a workspace ask for it"
        return self._here

    @property
    def is_somewhere(self) -> bool:
        """Whether the page is about a workspace."""
        return self._here is not None

    @property
    def signed_in(self) -> Session:
        """The session of whoever asks."""
        assert self.session is not None, "only pages for those who have signed in ask for it"
        return self.session

    @property
    def space(self) -> Space:
        """The space of the page."""
        return self.here.space

    @property
    def zone(self) -> ZoneInfo:
        """The workspace's time zone, UTC where there is no workspace."""
        return ZoneInfo("UTC") if self._here is None else zone_of(self._here.workspace)

    @property
    def address(self) -> str:
        """The network address of whoever asks."""
        return self.request.client.host if self.request.client else ""

    @property
    def agent(self) -> str:
        """What their browser calls itself."""
        return self.request.headers.get("user-agent", "")

    @property
    def is_fragment(self) -> bool:
        """Whether a part of a page is asked for, by the page that is shown already."""
        return self.request.headers.get("hx-request") == "true"

    def may(self, role: str) -> bool:
        """Tell whether whoever asks has at least that role here."""
        return self._here is not None and self._here.role.includes(Role(role))

    # What was sent

    def query(self, name: str, otherwise: str = "") -> str:
        """Return a parameter of the address."""
        return self.request.query_params.get(name, otherwise)

    def text(self, name: str, otherwise: str = "") -> str:
        """Return a field of the form as it was sent, with line ends as they are everywhere else."""
        found = self._form.get(name)
        return found.replace("\r\n", "\n") if isinstance(found, str) else otherwise

    def line(self, name: str, otherwise: str = "") -> str:
        """Return a field of the form without blanks around it."""
        return self.text(name, otherwise).strip()

    def texts(self, name: str) -> list[str]:
        """Return all fields of that name."""
        return [each for each in self._form.getlist(name) if isinstance(each, str)]

    def fields(self) -> dict[str, str]:
        """Return all fields of the form, of several with one name the last."""
        return {name: self.text(name) for name in self._form if isinstance(self._form.get(name), str)}

    def revision(self, name: str = "revision") -> int:
        """Return at which revision that was read what a form is about; 0, which nothing is at, if it does not say."""
        found = self.text(name)
        return int(found) if found.isdecimal() and len(found) <= _REVISION_DIGITS_MAX else 0

    def upload(self, name: str) -> UploadFile | None:
        """Return a file that was sent, None if there is none."""
        found = self._form.get(name)
        return found if isinstance(found, UploadFile) and found.filename else None

    # Asking the API

    @property
    def caller(self) -> ApiKey:
        """Whoever asks, as the API knows them: who may only look has a key that may only read."""
        account = self.signed_in.account
        scope = Scope.READ if self.here.role is Role.VIEWER else Scope.ADMIN
        workspace_id = self.here.workspace.workspace_id
        return ApiKey(account.account_id, workspace_id, Reach.BOTH, scope, account.name, "", account.created_at_us)

    async def ask(self, method: str, *path: str, body: object = None, **query: str | int | None) -> Answer:
        """Call the API in this workspace and environment. Raises NotFound without an id where one belongs."""
        return await self.ask_in(self.space.environment, method, *path, body=body, **query)

    async def ask_in(
        self, environment: str, method: str, *path: str, body: object = None, **query: str | int | None
    ) -> Answer:
        """Call the API in one of this workspace's environments."""
        return await self._ask(method, (environment, *path), body, query)

    async def ask_workspace(self, method: str, *path: str, body: object = None, **query: str | int | None) -> Answer:
        """Call the API in this workspace, in what both environments share."""
        return await self._ask(method, path, body, query)

    async def ask_once(self, key: str, method: str, *path: str, body: object) -> Answer:
        """Call the API so that the same form, sent twice, is done once. `key` is the form's own, see `form_key`."""
        kept = key if key.isascii() and key.isalnum() and len(key) <= _FORM_KEY_MAX else None
        return await self._ask(method, (self.space.environment, *path), body, {}, key=kept)

    async def _ask(
        self,
        method: str,
        path: tuple[str, ...],
        body: object,
        query: Mapping[str, str | int | None],
        *,
        key: str | None = None,
    ) -> Answer:
        if "" in path:
            raise NotFound("the address says of nothing what it is about: an id or a name is missing")
        sent = None if body is None else encoded(body)
        whole = ("v1", self.space.workspace_id, *path)
        question = Question(method, whole, tuple(query.items()), sent, idempotency_key=key)
        return await self.desk.parts.api.ask(self.caller, question)

    @property
    def form_key(self) -> str:
        """A key for a form on this page."""
        return self.desk.parts.new_id().replace("-", "")

    async def get(self, *path: str, **query: str | int | None) -> Any:
        """Return what the API answers to a GET. Raises Failed."""
        return self.needed(await self.ask("GET", *path, **query))

    def needed(self, answer: Answer) -> Any:
        """Return the body of an answer that the page cannot do without. Raises Failed."""
        if not answer.is_good:
            raise Failed(answer)
        return answer.json

    async def run(self, do: Callable[..., _T], *arguments: Any, **named: Any) -> _T:
        """Run something that waits for the store in a thread."""
        return await self.desk.run(do, *arguments, **named)

    # Answering

    def url(self, place: str = "", **query: object) -> str:
        """Return the address of a page in this workspace and environment."""
        return self.url_in(self.here.environment.value, place, **query)

    def url_in(self, environment: str, place: str = "", **query: object) -> str:
        """Return the address of a page in one of this workspace's environments."""
        base = f"{ROOT}/w/{quote(self.here.workspace.workspace_id)}/{environment}"
        return address(f"{base}/{place}" if place else base, **query)

    def about(self, target: str | None = None, *, request_id: str | None = None) -> None:
        """Say what was done something to, for the audit log: an id or a name that tells nothing about a person."""
        self.target = target
        self.request_id = request_id

    async def note(self, action: str) -> None:
        """Write an action into the audit log that does not lead on to another page: its answer shows something once."""
        done = Done(action, self.target, self.here.environment.value, self.request_id)
        await self.run(self.desk.audit.note, self.space.workspace_id, self.signed_in.account.account_id, done)

    def render(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """Return a page."""
        text = drawn(template, page=self, **{"faults": Faults(), **context})
        return HTMLResponse(text, status_code=status)

    def go(self, place: str = "", **query: object) -> Response:
        """Return the way to another page of this workspace, after something was done."""
        return self.go_to(self.url(place, **query))

    def go_to(self, url: str) -> Response:
        """Return the way to another page, after something was done."""
        if self.is_fragment:
            return Response(headers={"HX-Redirect": url})
        return RedirectResponse(url, status_code=303)

    def missing(self, what: str) -> NotFound:
        """Return the error for something that there is not."""
        return NotFound(f"there is no such {what} (any more)")

    def refuse_unless(self, role: str) -> None:
        """Raise Refused unless whoever asks has at least that role here."""
        if not self.may(role):
            raise Refused(f"this needs the role {role}; yours is {self.here.role}", code="insufficient_role")


def address(path: str, **query: object) -> str:
    """Return a path with a query, without what is None or empty."""
    given = [(name, str(value)) for name, value in query.items() if value not in (None, "")]
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path
