"""Webhooks: a message as JSON, posted to a URL and signed.

Whoever enters a URL must not reach what only this machine can: addresses are looked up once, each is checked, and the
connection goes to one that was checked. Redirects are not followed, and of an answer only its beginning is read.
"""

from __future__ import annotations

import http.client
import ipaddress
import queue
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import msgspec

import traitbase
from traitbase.domain.errors import InvalidInput
from traitbase.services.campaigns.ports import Message, Outcome, OutcomeKind
from traitbase.services.campaigns.sealing import signature_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SIGNATURE_HEADER = "Traitbase-Signature"
TIMESTAMP_HEADER = "Traitbase-Timestamp"

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 30.0
_ANSWER_BYTES = 16 * 1024
_DETAIL_CHARACTERS = 500
_IDLE_SECONDS = 20.0
_IDLE_MAX = 32
_encode = msgspec.json.Encoder(decimal_format="number").encode


def networks_of(text: str) -> tuple[Network, ...]:
    """Return networks from their CIDR forms, with commas. Raises InvalidInput for what is none."""
    try:
        return tuple(ipaddress.ip_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise InvalidInput(
            f"expected networks such as 10.1.0.0/16, with commas: {error}", code="bad_settings"
        ) from error


class _Refused(Exception):
    """The URL leads where nothing may be sent."""


class WebhookSender:
    """Posts messages to one URL."""

    def __init__(self, url: str, secret: str, allowed: Sequence[Network], *, now_us: Callable[[], int]) -> None:
        parts = urlsplit(url)
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._is_tls else 80)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secret = secret
        self._allowed = allowed
        self._now_us = now_us
        self._idle: queue.LifoQueue[tuple[float, http.client.HTTPConnection]] = queue.LifoQueue(_IDLE_MAX)

    def send(self, message: Message) -> Outcome:
        """Post a message."""
        body = _encode(
            {
                "delivery_id": message.delivery_id,
                "channel": message.channel,
                "destination": message.destinations[0],
                "destinations": message.destinations,
                "subject": message.subject,
                "html": message.html,
                "text": message.text,
                **(message.about or {}),
            }
        )
        timestamp = str(self._now_us() // 1_000_000)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"Traitbase/{traitbase.__version__}",
            "Idempotency-Key": message.delivery_id,
            TIMESTAMP_HEADER: timestamp,
            SIGNATURE_HEADER: f"v1={signature_of(self._secret, timestamp, body)}",
        }
        return self._post(body, headers)

    def close(self) -> None:
        """Close all connections that are idle."""
        while True:
            try:
                self._idle.get_nowait()[1].close()
            except queue.Empty:
                return

    def _post(self, body: bytes, headers: dict[str, str]) -> Outcome:
        try:
            connection = self._connection()
        except _Refused as error:
            return Outcome(OutcomeKind.MISCONFIGURED, str(error))
        except ssl.SSLCertVerificationError as error:
            detail = f"{self._host} has a certificate that cannot be trusted: {error.verify_message}"
            return Outcome(OutcomeKind.MISCONFIGURED, detail)
        except (OSError, UnicodeError) as error:
            detail = f"{self._host} port {self._port} cannot be reached: {error or type(error).__name__}"
            return Outcome(OutcomeKind.UNREACHABLE, detail[:_DETAIL_CHARACTERS])
        try:
            connection.request("POST", self._target, body, headers)
            response = connection.getresponse()
            said = _beginning_of(response)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            detail = f"the connection was lost before an answer came: {error or type(error).__name__}"
            return Outcome(OutcomeKind.UNKNOWN, detail[:_DETAIL_CHARACTERS])
        self._keep(connection, response)
        return _of_answer(response.status, said, response.getheader("location"))

    def _connection(self) -> http.client.HTTPConnection:
        while True:
            try:
                since, connection = self._idle.get_nowait()
            except queue.Empty:
                return self._connect()
            if time.monotonic() - since < _IDLE_SECONDS and _is_alive(connection):
                return connection
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        address = self._checked_address()
        plain = socket.create_connection((address, self._port), timeout=_CONNECT_SECONDS)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock = plain
            if self._is_tls:
                sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self._host)
            sock.settimeout(_ANSWER_SECONDS)
        except BaseException:
            plain.close()
            raise
        usual = 443 if self._is_tls else 80
        # Only for what it writes: the connection is made, and to the address that was checked.
        kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        connection = kind(self._host, self._port if self._port != usual else usual, timeout=_ANSWER_SECONDS)
        connection.sock = sock
        return connection

    def _checked_address(self) -> str:
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        for address in addresses:
            if not self._may_reach(address):
                message = (
                    f"{self._host} leads to {address}, which is no public address: allow its network in "
                    "TRAITBASE_WEBHOOK_NETWORKS if it is meant"
                )
                raise _Refused(message)
        return addresses[0]

    def _may_reach(self, address: str) -> bool:
        ip = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if any(ip in network for network in self._allowed):
            return True
        return ip.is_global and not ip.is_multicast

    def _keep(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        if response.will_close or not response.isclosed():  # a longer answer is not worth reading
            response.close()
            connection.close()
            return
        try:
            self._idle.put_nowait((time.monotonic(), connection))
        except queue.Full:
            connection.close()


def _beginning_of(response: http.client.HTTPResponse) -> bytes:
    """Read an answer, but not for ever, and not all of a large one."""
    until, said = time.monotonic() + _ANSWER_SECONDS, b""
    while len(said) < _ANSWER_BYTES and time.monotonic() < until:
        piece = response.read1(_ANSWER_BYTES - len(said))
        if not piece:
            break
        said += piece
    return said


def _is_alive(connection: http.client.HTTPConnection) -> bool:
    sock = connection.sock
    if sock is None:
        return False
    sock.setblocking(False)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except (OSError, ValueError):
        return False  # also of TLS, which cannot be peeked at: a connection more is better than a message unknown
    finally:
        sock.settimeout(_ANSWER_SECONDS)
    return False


def _of_answer(status: int, said: bytes, location: str | None) -> Outcome:
    text = " ".join(said[:_DETAIL_CHARACTERS].decode("utf-8", "replace").split())
    detail = f"{status} {text}".strip()[:_DETAIL_CHARACTERS]
    if 200 <= status < 300:
        return Outcome(OutcomeKind.SENT, detail)
    if 300 <= status < 400:
        where = f" to {location[:200]}" if location else ""
        return Outcome(OutcomeKind.MISCONFIGURED, f"{status}: it redirects{where}, which is not followed")
    if status in (401, 403, 404, 405, 407):
        return Outcome(OutcomeKind.MISCONFIGURED, detail)
    if status in (408, 425, 429):
        return Outcome(OutcomeKind.DEFERRED, detail)
    if status in (502, 503):
        return Outcome(OutcomeKind.UNREACHABLE, detail)
    if status == 504:
        return Outcome(OutcomeKind.UNKNOWN, detail)
    if status >= 500:
        return Outcome(OutcomeKind.DEFERRED, detail)
    return Outcome(OutcomeKind.REJECTED, detail)
