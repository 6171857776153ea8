"""HTTP connections: uvicorn's protocol, with limits on what a caller may cost before anybody knows who it is.

What is different from the base class, each because somebody tried it: a request's head has a bounded size and arrives
in bounded time; trailers are not headers; `Upgrade` is declined by answering the request as it is; nothing is heard
after an answer that closes; a caller that does not read its answers is not read either; a half-closed connection still
gets its answer; what HTTP itself refuses is refused in JSON.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MAX_BYTES = 64 * 1024
"""Request line and headers of a request (431 beyond), not counting what came in the read it began in."""

SENDING_SECONDS = 30.0
"""How long a connection may say nothing within a request, or before its first."""

_DECLINED = frozenset({b"upgrade", b"connection", b"http2-settings"})


class _Unheard:
    """What comes in after an answer that closes the connection."""

    response_complete = True
    keep_alive = False
    disconnected = True
    message_event = asyncio.Event()


class GuardedProtocol(HttpToolsProtocol):
    """A connection that keeps its limits. Subclasses may take requests in `begin_request`."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.in_head = False
        self._head_bytes = 0
        self._new_head = False
        self._begun = 0  # requests that have begun and are not answered yet
        self._whole = True  # whether the newest of them has arrived to its end
        self._used = False
        self._deaf = False
        self._active_at = 0.0

    # --- the connection ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Begin to watch the connection."""
        super().connection_made(transport)
        self._active_at = self.loop.time()
        self._look_again_in(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the timer with the connection."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what the caller sent."""
        if self._deaf or self.transport.is_closing():
            return
        self._active_at = self.loop.time()
        self._new_head = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST, "this is no HTTP request that can be understood")
        else:
            if self.in_head and not self._new_head:  # what it began with came behind other requests, in one read
                self._head_bytes += len(data)
                if self._head_bytes > HEAD_MAX_BYTES:
                    message = f"the request line and the headers have more than {HEAD_MAX_BYTES // 1024} KB"
                    self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, message)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's protocols may return it
        """Keep a connection that its caller will send nothing more on until what it sent is answered."""
        if not self._begun or not self._whole:
            return False
        self.cycle.keep_alive = False
        return True

    def shutdown(self) -> None:
        """Prepare for the end of the server: what has arrived is answered, what has not is not waited for."""
        if self._begun <= 1 and not self._whole:
            self.transport.close()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """Stop reading too: who does not take answers gets no more of them."""
        super().pause_writing()
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        super().resume_writing()
        self._read_on()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if its caller has been silent for too long; else look again later.

        The base class sets a timer after every answer and cancels it at the next byte; here a connection has one.
        """
        self.timeout_keep_alive_task = None
        if self.transport.is_closing():
            return
        waits_for_caller = (not self._begun or not self._whole) and not self.flow.read_paused
        limit = self.timeout_keep_alive if self._used and self._whole else SENDING_SECONDS
        left = self._active_at + limit - self.loop.time()
        if waits_for_caller and left <= 0:
            self.transport.close()
        else:
            self._look_again_in(left if left > 0 else self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        """Leave the timer as it is (see `timeout_keep_alive_handler`)."""

    def _look_again_in(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _read_on(self) -> None:
        if self.pipeline or self.flow.write_paused:
            self.flow.pause_reading()
        else:
            self.flow.resume_reading()

    # --- a request ---

    def on_message_begin(self) -> None:
        """Begin a request. What only the application needs is made in `begin_request`."""
        self.url = b""
        self.headers = []
        self.in_head = True
        self._head_bytes = 0
        self._new_head = True
        self._begun += 1
        self._whole = False
        self._used = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, but not a trailer: what comes after the body decides on nothing."""
        if self.in_head:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Begin with the request, unless it is not to be heard or will be read once more."""
        self.in_head = False
        if self.parser.should_upgrade():
            return
        if self.transport.is_closing():
            self.cycle = _Unheard()  # type: ignore[assignment]  # it has what the base class looks at
        else:
            self.begin_request()

    def begin_request(self) -> None:
        """Hand the request to the application."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        cycle: Any = self.cycle
        if type(cycle) is not _Unheard:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        if self.parser.should_upgrade():
            return
        self._whole = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on after an answer."""
        self._begun -= 1
        self._active_at = self.loop.time()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, application = self.pipeline.pop()
            self._start_asgi_task(cycle, application)
        self._read_on()

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Read the request again as if it had not asked for another protocol (RFC 9110, 7.8: a server may).

        The parser takes what follows such a head for that protocol, so it would lose the body.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "CONNECT is not allowed here")
            return
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % header for header in self.headers if header[0] not in _DECLINED]
        self._begun -= 1
        self._whole = True
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer what cannot be a request, and hear no more; what came before it is answered first."""
        self._deaf = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            return
        body = msgspec.json.encode({"status": "error", "_message": message})
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
