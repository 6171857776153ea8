"""SMTP: email over connections that are kept open and shared.

What is known after each step decides what happened: nothing is handed over before the end of the message's data, and
whoever loses the connection between that and the server's answer cannot know. Sources: RFC 5321, 4.2.1 (what the first
digit of an answer means) and 4.5.3.2 (how long to wait).
"""

from __future__ import annotations

import queue
import smtplib
import socket
import ssl
import threading
import time
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate

from traitbase.domain.integrations import Security, Smtp
from traitbase.services.campaigns.ports import Message, Outcome, OutcomeKind

_CONNECT_SECONDS = 20.0
_ANSWER_SECONDS = 60.0
_IDLE_SECONDS = 30.0
_MESSAGES_A_CONNECTION = 500
_DETAIL_CHARACTERS = 500
_AUTH_REFUSED = (530, 534, 535, 538)
_CLOSING = 421


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
            email = build_email(message, self._settings)
        except (ValueError, UnicodeError, LookupError) as error:
            return Outcome(OutcomeKind.REJECTED, f"the message cannot be written as an email: {error}")
        with self._free:
            return self._send(email, message.destinations[0])

    def close(self) -> None:
        """Close all connections that are idle; those in use close when they come back."""
        self._is_closed = True
        while True:
            try:
                _quit(self._idle.get_nowait())
            except queue.Empty:
                return

    def _send(self, email: EmailMessage, recipient: str) -> Outcome:
        needs_utf8 = not (recipient.isascii() and self._sender.isascii())
        data = email.as_bytes(policy=SMTPUTF8 if needs_utf8 else SMTP)
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
            if connection.is_fresh and _is_alive(connection.smtp):
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
            smtp = smtplib.SMTP_SSL(settings.host, settings.port, timeout=_CONNECT_SECONDS, context=context)
        else:
            smtp = smtplib.SMTP(settings.host, settings.port, timeout=_CONNECT_SECONDS)
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


def build_email(message: Message, settings: Smtp) -> EmailMessage:
    """Return an email, its text part derived from the HTML if it has none. Raises ValueError for what cannot be one.

    A line end in a header would begin another header: the library refuses it, and subjects come without.
    """
    email = EmailMessage(policy=SMTP)
    email["From"] = _address(settings.from_address, settings.from_name)
    email["To"] = _address(message.destinations[0], None)
    if settings.reply_to is not None:
        email["Reply-To"] = _address(settings.reply_to, None)
    email["Subject"] = message.subject or ""
    email["Date"] = formatdate(usegmt=True)
    email["Message-ID"] = f"<{message.delivery_id}@{settings.from_address.rpartition('@')[2]}>"
    for name, value in message.headers:
        email[name] = value
    email.set_content(message.text or "")
    if message.html is not None:
        email.add_alternative(message.html, subtype="html")
    return email


def _address(address: str, name: str | None) -> Address:
    return Address(display_name=name or "", addr_spec=address)


def _transmit(
    smtp: smtplib.SMTP, sender: str, recipient: str, data: bytes, *, needs_utf8: bool
) -> tuple[Outcome, bool]:
    """Hand one message over an open connection. Returns what became of it, and whether the connection goes on."""
    is_handed = False
    try:
        options = ["SMTPUTF8"] if needs_utf8 and smtp.has_extn("smtputf8") else []
        code, answer = smtp.mail(sender, options)
        if code == 250:
            code, answer = smtp.rcpt(recipient)
            if code in (250, 251):
                code, answer = smtp.docmd("DATA")
                if code == 354:
                    is_handed = True
                    smtp.send(_stuffed(data))
                    code, answer = smtp.getreply()
                    if code == 250:
                        text = _text_of(answer)
                        return Outcome(OutcomeKind.SENT, f"{code} {text}"[:_DETAIL_CHARACTERS], text[:200]), True
        else:
            # The sender was refused: nobody's message would go.
            return _of_answer(code, answer, is_of_recipient=False), _reset(smtp, code)
        return _of_answer(code, answer, is_of_recipient=True), _reset(smtp, code)
    except (OSError, smtplib.SMTPException, UnicodeError) as error:
        if is_handed:
            detail = f"the connection was lost before the server said whether it took the message: {_said(error)}"
            return Outcome(OutcomeKind.UNKNOWN, detail[:_DETAIL_CHARACTERS]), False
        detail = f"the connection was lost before the message was handed over: {_said(error)}"
        return Outcome(OutcomeKind.UNREACHABLE, detail[:_DETAIL_CHARACTERS]), False


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
