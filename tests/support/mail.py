"""A mail server on loopback that takes everything, and does as it is told."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP


class Mailbox:
    """What the server took. `answer` decides about each recipient: None, or the answer that refuses it."""

    def __init__(self, answer: Callable[[str], str | None] = lambda _recipient: None) -> None:
        self.answer = answer
        self.ids: Counter[tuple[str, str]] = Counter()
        self.recipients: Counter[str] = Counter()
        self.messages: list[EmailMessage] = []
        self.keeps_messages = True
        self.seconds = 0.0
        self.drops_after: Callable[[str], bool] = lambda _recipient: False
        self.pipelining = False
        self.lock = threading.Lock()

    async def handle_EHLO(  # noqa: N802
        self, _server: SMTP, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], *(["250-PIPELINING"] if self.pipelining else []), responses[-1]]

    async def handle_RCPT(self, _server: SMTP, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        refused = self.answer(address)
        if refused is not None:
            return refused
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.seconds:
            await asyncio.sleep(self.seconds)
        content = envelope.content
        with self.lock:
            for recipient in envelope.rcpt_tos:
                self.recipients[recipient] += 1
            if self.keeps_messages:
                message = message_from_bytes(content, policy=default)
                self.messages.append(message)
                self.ids[envelope.rcpt_tos[0], str(message["Message-ID"])] += 1
        if self.drops_after(envelope.rcpt_tos[0]):
            server.transport.abort()
            await asyncio.sleep(60)
        return "250 taken"


class _OnAnyPort(Controller):
    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # where it is found to see whether it answers
        super()._trigger_server()


class Sink:
    """The running server."""

    def __init__(self, mailbox: Mailbox, *, port: int = 0) -> None:
        self.mailbox = mailbox
        self._controller = _OnAnyPort(mailbox, hostname="127.0.0.1", port=port, ready_timeout=30)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    @property
    def port(self) -> int:
        return self._controller.port

    def __exit__(self, *_error: object) -> None:
        self._controller.stop()
