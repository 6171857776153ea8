"""The ceiling of HTTP: an ASGI application that reads the body and answers a 202 of the same length as Traitbase's."""

from __future__ import annotations

from typing import Any

from bench.serving import serve

_BODY = b'{"request_id":"00000000-0000-7000-8000-000000000000"}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 202, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})


if __name__ == "__main__":
    serve(echo)
