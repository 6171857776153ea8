"""A mail server on this machine that keeps what it is sent and delivers nothing: for the demo."""

from __future__ import annotations

import asyncio
import threading
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Self

from aiosmtpd.controller import Controller


class MailSink:
    """A mail server on any free port of the loopback interface."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self._lock = threading.Lock()
        self._controller = _OnAnyPort(self, hostname="127.0.0.1", port=0)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  # the library's name
        """Keep a message."""
        message = message_from_bytes(envelope.content, policy=default)
        with self._lock:
            self.messages.append(message)
        return "250 kept"

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._controller.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._controller.port


class _OnAnyPort(Controller):
    port: int

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server), "it is started"
        self.port = self.server.sockets[0].getsockname()[1]  # where it is looked for to see whether it answers
        super()._trigger_server()  # type: ignore[no-untyped-call]  # the library's
