"""SMTP: email over connections that are kept open and shared.

What is known after each step decides what happened: nothing is handed over before the end of the message's data, and
whoever loses the connection between that and the server's answer cannot know. Sources: RFC 5321, 4.2.1 (what the first
digit of an answer means) and 4.5.3.2 (how long to wait).
"""

from __future__ import annotations

import base64
import functools
import queue
import re
import secrets
import smtplib
import socket
import ssl
import threading
import time
from email.header import Header
from email.utils import formataddr, formatdate
from typing import TypeAlias

from traitbase.domain.integrations import Security, Smtp
from traitbase.services.campaigns.ports import Message, Outcome, OutcomeKind

_CONNECT_SECONDS = 20.0
_ANSWER_SECONDS = 60.0
_IDLE_SECONDS = 30.0
_MESSAGES_A_CONNECTION = 500
_DETAIL_CHARACTERS = 500
_AUTH_REFUSED = (530, 534, 535, 538)
_CLOSING = 421
_BREAKS = re.compile(r"[\x00-\x1f\x7f]")
_ASKED_AFTER_SECONDS = 1.0


_Answer: TypeAlias = tuple[int, bytes]
"""A server's answer: its code, and what it says."""


class _Connection:
    """An open connection, and since when it has been idle."""

    def __init__(self, smtp: smtplib.SMTP) -> None:
        self.smtp = smtp
        self.messages = 0
        self.idle_since = time.monotonic()

    @property
    def is_fresh(self) -> bool:
        """Whether a server will hardly have given it up."""
        return self.messages < _MESSAGES_A_CONNECTION and time.monotonic() - self.idle_since < _IDLE_SECONDS

    @property
    def is_warm(self) -> bool:
        """Whether the server has answered just now, so that it need not be asked whether it is there."""
        return time.monotonic() - self.idle_since < _ASKED_AFTER_SECONDS


class SmtpSender:
    """Hands messages to one mail server, over as many connections at once as the integration says."""

    def __init__(self, settings: Smtp, password: str | None) -> None:
        self._settings = settings
        self._password = password
        self._idle: queue.LifoQueue[_Connection] = queue.LifoQueue()
        self._free = threading.BoundedSemaphore(settings.connections)
        self._sender = settings.from_address
        self._is_closed = False

    def send(self, message: Message) -> Outcome:
        """Hand a message over."""
        try:
            data = build_email(message, self._settings)
        except ValueError as error:
            return Outcome(OutcomeKind.REJECTED, f"the message cannot be written as an email: {error}")
        with self._free:
            return self._send(data, message.destinations[0])

    def close(self) -> None:
        """Close all connections that are idle; those in use close when they come back."""
        self._is_closed = True
        while True:
            try:
                _quit(self._idle.get_nowait())
            except queue.Empty:
                return

    def _send(self, data: bytes, recipient: str) -> Outcome:
        needs_utf8 = not (recipient.isascii() and self._sender.isascii())
        try:
            connection = self._connection()
        except _Unusable as error:
            return error.outcome
        outcome, is_usable = _transmit(connection.smtp, self._sender, recipient, data, needs_utf8=needs_utf8)
        connection.messages += 1
        connection.idle_since = time.monotonic()
        if is_usable and not self._is_closed:
            self._idle.put(connection)
        else:
            _quit(connection)
        return outcome

    def _connection(self) -> _Connection:
        while True:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                return _Connection(self._connect())
            if connection.is_fresh and (connection.is_warm or _is_alive(connection.smtp)):
                return connection
            _quit(connection)

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        where = f"{settings.host} port {settings.port}"
        try:
            smtp = self._greeted()
        except smtplib.SMTPAuthenticationError as error:
            raise _Unusable(OutcomeKind.MISCONFIGURED, f"{where} refused the login: {_said(error)}") from error
        except smtplib.SMTPNotSupportedError as error:
            raise _Unusable(OutcomeKind.MISCONFIGURED, f"{where}: {error}; see settings.security") from error
        except ssl.SSLCertVerificationError as error:
            message = f"{where} has a certificate that cannot be trusted: {error.verify_message}"
            raise _Unusable(OutcomeKind.MISCONFIGURED, message) from error
        except (OSError, smtplib.SMTPException) as error:
            raise _Unusable(OutcomeKind.UNREACHABLE, f"{where} cannot be reached: {_said(error)}") from error
        assert smtp.sock is not None, "it is connected"
        smtp.sock.settimeout(_ANSWER_SECONDS)
        return smtp

    def _greeted(self) -> smtplib.SMTP:
        settings = self._settings
        context = ssl.create_default_context()
        smtp: smtplib.SMTP
        if settings.security is Security.TLS:
            smtp = smtplib.SMTP_SSL(
                settings.host, settings.port, _own_name(), timeout=_CONNECT_SECONDS, context=context
            )
        else:
            smtp = smtplib.SMTP(settings.host, settings.port, _own_name(), timeout=_CONNECT_SECONDS)
        try:
            smtp.ehlo_or_helo_if_needed()
            if settings.security is Security.STARTTLS:
                smtp.starttls(context=context)
                smtp.ehlo()
            if settings.username is not None:
                smtp.login(settings.username, self._password or "")
        except BaseException:
            smtp.close()
            raise
        if smtp.sock is not None:
            smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return smtp


class _Unusable(Exception):
    """There is no connection."""

    def __init__(self, kind: OutcomeKind, detail: str) -> None:
        super().__init__(detail)
        self.outcome = Outcome(kind, detail[:_DETAIL_CHARACTERS])


def build_email(message: Message, settings: Smtp) -> bytes:
    """Return an email as it goes over the wire. Raises ValueError for what would end a header and begin another one.

    Written out here: the library's own way takes 1.5 ms for each, as long as everything else together (RFC 5322, 2045
    and 2046 say how). Bodies are base64, so that every line is short and none begins with a dot.
    """
    domain = settings.from_address.rpartition("@")[2]
    headers = [
        ("From", formataddr((settings.from_name or "", settings.from_address))),
        ("To", message.destinations[0]),
        ("Subject", message.subject or ""),
        ("Date", formatdate(usegmt=True)),
        ("Message-ID", f"<{message.delivery_id}@{domain}>"),
        ("MIME-Version", "1.0"),
        *message.headers,
    ]
    if settings.reply_to is not None:
        headers.append(("Reply-To", settings.reply_to))
    parts = [("plain", message.text), ("html", message.html)]
    bodies = [_body(kind, text) for kind, text in parts if text is not None] or [_body("plain", "")]
    top = "".join(_header(name, value) for name, value in headers).encode()
    if len(bodies) == 1:
        return top + bodies[0]
    boundary = f"=_{secrets.token_hex(12)}"  # base64 has no underscore
    between = f"--{boundary}\r\n".encode()
    whole = b"".join(between + each for each in bodies)
    begins = f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n'.encode()
    return top + begins + whole + f"--{boundary}--\r\n".encode()


def _header(name: str, value: str) -> str:
    if _BREAKS.search(value):
        raise ValueError(f"{name} would be more than one line")
    if name == "Subject" and not value.isascii():
        value = Header(value, "utf-8", header_name=name).encode(linesep="\r\n")
    return f"{name}: {value}\r\n"


def _body(kind: str, text: str) -> bytes:
    encoded = base64.encodebytes(text.encode()).replace(b"\n", b"\r\n")
    return f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: base64\r\n\r\n'.encode() + encoded


def _transmit(
    smtp: smtplib.SMTP, sender: str, recipient: str, data: bytes, *, needs_utf8: bool
) -> tuple[Outcome, bool]:
    """Hand one message over an open connection. Returns what became of it, and whether the connection goes on."""
    is_handed = False
    try:
        mail, rcpt, begun = _begin(smtp, sender, recipient, needs_utf8=needs_utf8)
        if mail[0] != 250:  # the sender was refused: nobody's message would go
            return _of_answer(*mail, is_of_recipient=False), _reset(smtp, mail[0])
        for code, answer in (rcpt, begun):
            if code not in (250, 251, 354):
                return _of_answer(code, answer, is_of_recipient=True), _reset(smtp, code)
        is_handed = True
        smtp.send(_stuffed(data))
        code, answer = smtp.getreply()
        if code == 250:
            text = _text_of(answer)
            return Outcome(OutcomeKind.SENT, f"{code} {text}"[:_DETAIL_CHARACTERS], text[:200]), True
        return _of_answer(code, answer, is_of_recipient=True), _reset(smtp, code)
    except (OSError, smtplib.SMTPException, UnicodeError) as error:
        if is_handed:
            detail = f"the connection was lost before the server said whether it took the message: {_said(error)}"
            return Outcome(OutcomeKind.UNKNOWN, detail[:_DETAIL_CHARACTERS]), False
        detail = f"the connection was lost before the message was handed over: {_said(error)}"
        return Outcome(OutcomeKind.UNREACHABLE, detail[:_DETAIL_CHARACTERS]), False


def _begin(smtp: smtplib.SMTP, sender: str, recipient: str, *, needs_utf8: bool) -> tuple[_Answer, _Answer, _Answer]:
    """Return what a server answers to MAIL, RCPT and DATA: at once if it takes them at once (RFC 2920), or in turn.

    An answer that was not waited for is that of the command before, which was refused.
    """
    options = " SMTPUTF8" if needs_utf8 and smtp.has_extn("smtputf8") else ""
    commands = (
        f"MAIL FROM:{smtplib.quoteaddr(sender)}{options}",
        f"RCPT TO:{smtplib.quoteaddr(recipient)}",
        "DATA",
    )
    if options:
        smtp.command_encoding = "utf-8"
    if smtp.has_extn("pipelining"):
        smtp.send("".join(f"{command}\r\n" for command in commands))
        answers = [smtp.getreply() for _ in commands]
        if answers[2][0] == 354 and not all(code in (250, 251) for code, _ in answers[:2]):
            smtp.send(b".\r\n")  # of nobody's message: the server has refused it, and says so again
            smtp.getreply()
    else:
        answers = []
        for command in commands:
            answers.append(smtp.docmd(command))
            if answers[-1][0] not in (250, 251, 354):
                answers += [answers[-1]] * (len(commands) - len(answers))
                break
    return answers[0], answers[1], answers[2]


def _of_answer(code: int, answer: bytes, *, is_of_recipient: bool) -> Outcome:
    detail = f"{code} {_text_of(answer)}"[:_DETAIL_CHARACTERS]
    if code == _CLOSING or code <= 0:
        return Outcome(OutcomeKind.UNREACHABLE, detail)
    if code in _AUTH_REFUSED:
        return Outcome(OutcomeKind.MISCONFIGURED, detail)
    if 400 <= code < 500:
        return Outcome(OutcomeKind.DEFERRED if is_of_recipient else OutcomeKind.UNREACHABLE, detail)
    return Outcome(OutcomeKind.REJECTED if is_of_recipient else OutcomeKind.MISCONFIGURED, detail)


def _reset(smtp: smtplib.SMTP, code: int) -> bool:
    if code == _CLOSING or code <= 0:
        return False
    try:
        return smtp.rset()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False


def _stuffed(data: bytes) -> bytes:
    """Return a message's data with its end: a line that begins with a dot has another one (RFC 5321, 4.5.2)."""
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n")


def _is_alive(smtp: smtplib.SMTP) -> bool:
    """Tell whether the server has said nothing since the last message: what it says unasked is good-bye."""
    if smtp.sock is None:
        return False
    smtp.sock.setblocking(False)
    try:
        smtp.sock.recv(1, socket.MSG_PEEK)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except (OSError, ValueError):  # a TLS connection cannot be peeked at: a message will tell
        return isinstance(smtp.sock, ssl.SSLSocket)
    finally:
        smtp.sock.settimeout(_ANSWER_SECONDS)
    return False


@functools.cache
def _own_name() -> str:
    """Return what we call ourselves: looked up once, which may take seconds."""
    name = socket.getfqdn()
    return name if "." in name else "[127.0.0.1]"


def _quit(connection: _Connection) -> None:
    connection.smtp.close()


def _text_of(answer: bytes) -> str:
    return " ".join(answer.decode("utf-8", "replace").split())


def _said(error: Exception) -> str:
    match error:
        case smtplib.SMTPResponseException():
            said = error.smtp_error
            return f"{error.smtp_code} {_text_of(said if isinstance(said, bytes) else said.encode())}"
        case TimeoutError():
            return "no answer in time"
        case _:
            return str(error) or type(error).__name__
