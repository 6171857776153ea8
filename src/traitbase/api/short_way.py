"""The short way of the hot routes: from the HTTP parser to the writer, without a task and an ASGI conversation each.

A POST to one of the property endpoints with a small plain body needs no coroutine: it is checked when its last byte
arrives, and answered when its group is durable. Measured with 64 connections, that is a third of the time of a request.
Everything else (other routes, large, compressed or streamed bodies, `Expect`, requests behind a proxy, pipelined ones)
goes on to the server's own handling and reaches the same `PropertyEndpoints` through ASGI.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from traitbase.api.bodies import Headers
from traitbase.api.connections import GuardedProtocol
from traitbase.api.properties import Call, PropertyEndpoints, find_call

_BODY_MAX_BYTES = 64 * 1024
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}

_TELLING = frozenset({b"content-length", b"authorization", b"idempotency-key"})
_NEEDS_MORE = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"upgrade", b"x-forwarded-for"})
_NOTED = _TELLING | _NEEDS_MORE


class _Ears:
    """Where the server's own requests wait for their next message; nobody waits on the short way."""

    def set(self) -> None:
        """Ignore it: the protocol is told of the end of the body itself."""


_EARS = _Ears()


class _ShortCycle:
    """One request on the short way, with what the server's protocol wants to know of a request in progress."""

    __slots__ = (
        "body",
        "call",
        "disconnected",
        "keep_alive",
        "message_event",
        "noted",
        "protocol",
        "response_complete",
    )

    def __init__(self, protocol: ShortWayProtocol, call: Call, noted: dict[bytes, bytes], *, keep_alive: bool) -> None:
        self.protocol = protocol
        self.call = call
        self.noted = noted
        self.keep_alive = keep_alive
        self.body = b""
        self.disconnected = False
        self.response_complete = False
        self.message_event = _EARS

    def settled(self, outcome: bytes | Exception) -> None:
        """Answer the request."""
        self.protocol.finish(self, outcome)


class ShortWayProtocol(GuardedProtocol):
    """The server's HTTP protocol, with the short way in front of it."""

    def __init__(self, endpoints: PropertyEndpoints, **parts: Any) -> None:
        super().__init__(**parts)
        self._endpoints = endpoints
        self._noted: dict[bytes, bytes] = {}
        self._plain = True
        self._usual_of: list[tuple[bytes, bytes]] | None = None
        self._usual = b""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._noted = {}
        self._plain = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, and note what decides on the way."""
        if not self.in_head:
            return
        name = name.lower()
        self.headers.append((name, value))
        if name in _NOTED:
            if name in _NEEDS_MORE or name in self._noted:
                self._plain = False
            self._noted[name] = value

    def begin_request(self) -> None:
        """Choose the way."""
        call = self._find_short_way()
        if call is None:
            super().begin_request()
        else:
            keep_alive = self.parser.should_keep_alive()
            self.cycle = _ShortCycle(self, call, self._noted, keep_alive=keep_alive)  # type: ignore[assignment]  # it has the attributes that the base class uses

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        cycle: Any = self.cycle
        if type(cycle) is _ShortCycle:
            cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Handle a request of the short way, now that it is whole."""
        cycle: Any = self.cycle
        if type(cycle) is _ShortCycle and not cycle.response_complete:
            self._whole = True
            self._handle(cycle)
        else:
            super().on_message_complete()

    def finish(self, cycle: _ShortCycle, outcome: bytes | Exception) -> None:
        """Answer a request of the short way with the body of a 202, or with an error."""
        if isinstance(outcome, bytes):
            self._answer(cycle, 202, outcome, ())
        else:
            self._answer(cycle, *self._endpoints.refuse(cycle.call, outcome))

    def _find_short_way(self) -> Call | None:
        """Return what is called if the short way can take it."""
        if not self._plain or (self.cycle is not None and not self.cycle.response_complete):
            return None
        length = self._noted.get(b"content-length")
        if length is None or len(length) > 5 or int(length) > _BODY_MAX_BYTES:
            return None
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1" or b"%" in self.url:
            return None
        if not self._endpoints.admits_at_once(self._noted.get(b"authorization")):
            return None  # the caller's key is looked up in a thread
        call = find_call(self.url.decode("latin-1"))
        return call if call is not None and call.exists else None

    def _handle(self, cycle: _ShortCycle) -> None:
        noted = cycle.noted.get
        try:
            key_id = self._endpoints.admit(cycle.call, noted(b"authorization"), self.client[0] if self.client else None)
            self._endpoints.accept(
                cycle.call, cycle.body, noted(b"idempotency-key"), key_id=key_id, settled=cycle.settled
            )
        except Exception as error:  # noqa: BLE001  # whatever happens, the caller gets an answer
            self.finish(cycle, error)

    def _answer(self, cycle: _ShortCycle, status: int, body: bytes, headers: Headers) -> None:
        self._endpoints.count(cycle.call, status)
        transport = self.transport
        if cycle.disconnected or transport.is_closing():
            return
        extra = b"".join([b"%s: %s\r\n" % header for header in headers]) if headers else b""
        if b"connection: close" in extra:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            extra += b"connection: close\r\n"
        head = (_STATUS_LINES[status], self._usual_headers(), extra, len(body), body)
        transport.write(b"%s%s%scontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % head)
        cycle.response_complete = True
        if not cycle.keep_alive:
            transport.close()
        self.on_response_complete()

    def _usual_headers(self) -> bytes:
        headers = self.server_state.default_headers  # a new list whenever the date has changed
        if headers is not self._usual_of:
            self._usual_of = headers
            self._usual = b"".join([b"%s: %s\r\n" % header for header in headers])
        return self._usual
