"""What the console needs of the API: to ask it for somebody. `api.inside` implements it.

There is no other way from the console to profiles, properties, cohorts, events and campaigns, so that it can do nothing
that the API's rules forbid.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs, urlsplit

import msgspec

from traitbase.domain.keys import ApiKey


class Question(NamedTuple):
    """A call of the API: the parts of its path, each as it is meant (not quoted), and what goes with it."""

    method: str
    path: tuple[str, ...]
    query: tuple[tuple[str, str | int | None], ...] = ()
    body: bytes | None = None
    content_type: str = "application/json"
    idempotency_key: str | None = None


class Answer(NamedTuple):
    """What the API answered."""

    status: int
    headers: dict[str, str]
    text: bytes

    @property
    def is_good(self) -> bool:
        """Whether it did what it was asked for."""
        return self.status < 400

    @property
    def json(self) -> Any:
        """The body, with exact numbers (see `domain.values`)."""
        return json.loads(self.text, parse_float=Decimal) if self.text else None

    @property
    def next_cursor(self) -> str | None:
        """Where the next page is, of an answer that says so in its `Link` (RFC 8288); None: that was all."""
        address, _, relation = self.headers.get("link", "").partition(">")
        found = parse_qs(urlsplit(address.removeprefix("<")).query).get("cursor")
        return found[0] if found and 'rel="next"' in relation else None

    @property
    def message(self) -> str:
        """What it says of what went wrong."""
        found = self.json if self.text else None
        return str(found.get("_message", "")) if isinstance(found, dict) else ""

    @property
    def errors(self) -> list[tuple[str, str]]:
        """Path and message of each field at fault."""
        found = self.json if self.text else None
        if not isinstance(found, dict):
            return []
        return [(str(each["path"]), str(each["message"])) for each in found.get("errors", ())]


class Api(Protocol):
    """The API, asked from within."""

    async def ask(self, caller: ApiKey, question: Question) -> Answer:
        """Ask, and return the whole answer."""

    async def pass_on(self, caller: ApiKey, question: Question, send: Callable[[Any], Awaitable[None]]) -> None:
        """Ask, and send the answer on as it comes (ASGI messages)."""


def encoded(body: object) -> bytes:
    """Return a body as JSON, with exact numbers."""
    return _encode(body)


_encode = msgspec.json.Encoder(decimal_format="number").encode
