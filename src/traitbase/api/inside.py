"""Asking the API from within its own process, for somebody who has no key: that is how the console works.

So it goes by the same routes, with the same rules, limits and messages as everybody who calls the API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, urlencode

from traitbase.api.auth import Gate
from traitbase.console.asking import Answer, Question
from traitbase.domain.keys import ApiKey

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


class InsideApi:
    """The console's port to the API, see `console.asking.Api`."""

    def __init__(self, app: AsgiApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def ask(self, caller: ApiKey, question: Question) -> Answer:
        """Ask, and return the whole answer."""
        parts: list[bytes] = []
        started: dict[str, Any] = {}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                started.update(message)
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        await self.pass_on(caller, question, send)
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in started["headers"]}
        return Answer(started["status"], headers, b"".join(parts))

    async def pass_on(self, caller: ApiKey, question: Question, send: Callable[[Any], Awaitable[None]]) -> None:
        """Ask, and send the answer on as it comes."""
        sent = False

        async def receive() -> Any:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": question.body or b"", "more_body": False}
            return await asyncio.get_running_loop().create_future()  # nobody hangs up in here

        with self._gate.lending(caller) as authorization:
            await self._app(_scope(question, authorization), receive, send)


def _scope(question: Question, authorization: bytes) -> dict[str, Any]:
    path = "/".join(quote(part, safe="") for part in question.path)
    headers = [(b"host", b"localhost"), (b"authorization", authorization)]
    if question.body is not None:
        headers.append((b"content-type", question.content_type.encode()))
        headers.append((b"content-length", str(len(question.body)).encode()))
    if question.idempotency_key is not None:
        headers.append((b"idempotency-key", question.idempotency_key.encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": question.method,
        "scheme": "http",
        "path": "/" + "/".join(question.path),
        "raw_path": f"/{path}".encode(),
        "root_path": "",
        "query_string": urlencode([(name, value) for name, value in question.query if value is not None]).encode(),
        "headers": headers,
        "client": None,
        "server": None,
        "state": {},
    }
