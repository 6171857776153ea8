"""A real HTTP receiver on loopback: it records what comes, and answers (or cuts the connection) as it is told."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer: int  # the caller's port: the same for what came over one connection

    @property
    def json(self) -> object:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


Answering = Callable[[Request], Reply | None]
"""What to answer; None cuts the connection instead."""


def accepted(_: Request) -> Reply:
    return Reply(202, b'{"request_id":"01a21105-b81b-7081-a49d-4707c903e770"}')


def refusing(status: int, message: str, headers: dict[str, str] | None = None) -> Answering:
    body = json.dumps({"status": "error", "_message": message}).encode()
    return lambda _: Reply(status, body, headers or {})


def cut(_: Request) -> None:
    return None


def in_turn(*answers: Answering) -> Answering:
    """Answer each request by the next of these, and by the last one ever after."""
    left = list(answers)

    def answer(request: Request) -> Reply | None:
        return (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


def forward(request: Request, port: int) -> Reply:
    """Pass a request on to a real server and return what it says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(request.method, request.path, request.body, request.headers)
        response = connection.getresponse()
        return Reply(response.status, response.read(), {"Content-Type": "application/json"})
    finally:
        connection.close()


class Receiver:
    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.requests: list[Request] = []
        self.came = threading.Semaphore(0)  # released once for each request that was answered
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def _handler(receiver):  # noqa: N805  # the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60
            wbufsize = -1  # an answer in one piece: in two, each would wait 40 ms for the other side's delayed ACK

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, body, self.client_address[1])
                receiver.requests.append(request)
                reply = receiver.answering(request)
                if reply is None:
                    self.close_connection = True
                else:
                    (self.send_response_only if "Date" in reply.headers else self.send_response)(reply.status)
                    for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(reply.body)
                    self.wfile.flush()
                receiver.came.release()

            do_GET = do_POST = do_PUT = do_PATCH = answer  # noqa: N815  # the names that http.server looks for

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def receiving(answering: Answering = accepted) -> Iterator[Receiver]:
    """Run a receiver for as long as the block lasts. Clients are to be closed before it ends."""
    receiver = Receiver(answering)
    try:
        yield receiver
    finally:
        receiver.close()
