"""Files of the API that are passed on to a browser as they come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from traitbase.console.asking import Api, Question
from traitbase.domain.keys import ApiKey

_KEPT = {b"content-type", b"content-disposition", b"content-length"}


class Passed(Response):
    """What the API answers, with the console's own headers beside those that say what it is."""

    def __init__(self, api: Api, caller: ApiKey, question: Question) -> None:
        super().__init__()
        self._api = api
        self._caller = caller
        self._question = question

    async def __call__(self, _scope: Any, _receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        """Ask, and pass on."""
        own = [(name, value) for name, value in self.raw_headers if name not in _KEPT]

        async def pass_on(message: Any) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message["headers"] if name.lower() in _KEPT]
                message = {**message, "headers": [*own, *kept]}
            await send(message)

        await self._api.pass_on(self._caller, self._question, pass_on)
