"""One call over HTTP: its address, its headers, its tries, and its answer or the error that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import quote

import httpx

from traitbase import __version__
from traitbase.client.answers import find_refusal
from traitbase.client.errors import (
    ClientError,
    Conflict,
    InvalidRequest,
    NotAuthorised,
    NotFound,
    UnexpectedAnswer,
)
from traitbase.client.retrying import Patience, Surroundings, send_patiently

# The wire answers these with a plain 400; only the text tells them from a malformed request.
_NOT_FOUND_MESSAGES = frozenset(
    {
        "incorrect/non existing distinct_id provided",
        "Unable to update the record since the record does not exist",
        "merge from id does not exist",
        "Cannot delete non existing user",
        "Unable to delete channel since the channel does not exist",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Whom to call, and as whom."""

    base_url: str
    workspace_id: str
    environment: str
    api_key: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _is_address(self.base_url):
            raise ClientError(f"base_url must be like https://traits.example.com, not {self.base_url[:80]!r}")
        if self.environment not in {"live", "test"}:
            raise ClientError(f"environment must be 'live' or 'test', not {self.environment!r}")
        if not self.workspace_id:
            raise ClientError("workspace_id must not be empty")
        if not (self.api_key.isascii() and self.api_key.isprintable() and self.api_key.strip() == self.api_key != ""):
            raise ClientError("api_key must be the key as it was printed: a line break or blank is in it, or nothing")

    def url_of(self, path: str) -> str:
        """Return the address of a path below the workspace and environment."""
        return f"{self.base_url.rstrip('/')}/v1/{segment(self.workspace_id)}/{self.environment}/{path}"


def _is_address(text: str) -> bool:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return url.scheme in {"http", "https"} and bool(url.host) and not url.query and not url.fragment


def segment(text: str) -> str:
    """Return a text as one segment of a path, whatever it holds; dots too, for `..` would climb."""
    return quote(text, safe="").replace(".", "%2E")


class Caller:
    """Makes calls, each tried as often as patience lasts. Safe to use from several threads, and after a fork."""

    def __init__(
        self,
        address: Address,
        *,
        timeout_seconds: float,
        patience: Patience,
        surroundings: Surroundings,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self._address = address
        self._patience = patience
        self._surroundings = surroundings
        self._open: Callable[[], httpx.Client] = lambda: httpx.Client(
            headers={
                "Authorization": f"Bearer {address.api_key}",
                "User-Agent": f"traitbase-python/{__version__}",
                "Accept": "application/json",
            },
            timeout=timeout_seconds,
            transport=transport,
        )
        self._http = self._open()
        self._inherited: list[httpx.Client] = []

    def read(self, path: str, parameters: Mapping[str, str] | None = None) -> bytes:
        """Return the body of the answer to a GET. Raises ClientError."""
        url = self._address.url_of(path)
        return self._call(lambda: self._http.get(url, params=parameters))

    def write(self, method: str, path: str, body: bytes, *, idempotency_key: str | None = None) -> bytes:
        """Send a body and return that of the answer; every try carries the same key. Raises ClientError."""
        url = self._address.url_of(path)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": idempotency_key or self._surroundings.new_key(),
        }
        return self._call(lambda: self._http.request(method, url, content=body, headers=headers))

    def _call(self, send: Callable[[], httpx.Response]) -> bytes:
        if self._http.is_closed:
            raise ClientError("this client is closed: make another, or call it inside its `with` block")
        answer = send_patiently(send, self._patience, self._surroundings)
        if not answer.is_success:
            _raise_for(answer)
        return answer.content

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def begin_anew_after_fork(self) -> None:
        """Leave the parent's connections to the parent: two processes talking on one would garble both."""
        if not self._http.is_closed:
            self._inherited.append(self._http)  # closing it here would say goodbye on the parent's TLS connections
            self._http = self._open()


def _raise_for(answer: httpx.Response) -> NoReturn:
    status = answer.status_code
    refusal = find_refusal(answer.content)
    if refusal is None or status < 400:
        what = f"{status} {answer.reason_phrase}: {answer.text[:200]}"
        raise UnexpectedAnswer(f"this is no answer of a Traitbase server; is base_url right? {what}", status=status)
    message = refusal.message
    if status in (401, 403):
        raise NotAuthorised(message, status=status)
    if status == 404 or message in _NOT_FOUND_MESSAGES:
        raise NotFound(message, status=status)
    if status == 409 or (status == 400 and " already exists in the " in message):
        raise Conflict(message, status=status)
    raise InvalidRequest(message, status=status, faults=refusal.errors)
