"""Apprise: any of the services that the library speaks, by a URL in which the recipient's address stands.

The library only says whether it worked; what its log says tells the rest.
"""

from __future__ import annotations

import logging
import re
import threading
from urllib.parse import quote

import apprise

from traitbase.domain.integrations import PLACEHOLDER
from traitbase.services.campaigns.ports import Message, Outcome, OutcomeKind

_DETAIL_CHARACTERS = 500
_STATUS = re.compile(r"error[=:]\s*(\d{3})")
_LOST = ("connection error", "timed out", "timeout", "exception")
_DEFERRED = (408, 425, 429, 500)
_UNREACHABLE = (502, 503)
_MISCONFIGURED = (401, 403, 404, 407)

_heard = threading.local()


class _Listener(logging.Handler):
    """Keeps what the library says in the thread that is sending."""

    def emit(self, record: logging.LogRecord) -> None:
        lines = getattr(_heard, "lines", None)
        if lines is not None:
            lines.append(record.getMessage())


_log = logging.getLogger("apprise")
_log.addHandler(_Listener(level=logging.INFO))
_log.setLevel(logging.INFO)
_log.propagate = False  # what services answer may have people's data in it


class AppriseSender:
    """Sends over one service."""

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, message: Message) -> Outcome:
        """Send to each of the message's destinations; one that works is enough."""
        outcome = Outcome(OutcomeKind.REJECTED, "there is no destination")
        for destination in message.destinations:
            outcome = self._send(message, destination)
            if outcome.kind is OutcomeKind.SENT:
                return outcome
        return outcome

    def close(self) -> None:
        """Nothing is open."""

    def _send(self, message: Message, destination: str) -> Outcome:
        # The service itself: through the collection of them it would speak in a thread of its own, and not be heard.
        service = apprise.Apprise.instantiate(self._url.replace(PLACEHOLDER, quote(destination, safe="+")))
        if service is None:
            return Outcome(OutcomeKind.MISCONFIGURED, "the URL is none that Apprise can read")
        _heard.lines = []
        try:
            is_sent = service.notify(body=message.text or "", title=message.subject or "")
        except (TypeError, ValueError, OSError) as error:
            return Outcome(OutcomeKind.UNKNOWN, f"{type(error).__name__} while it was sent")
        finally:
            lines, _heard.lines = _heard.lines, None
        detail = "; ".join(" ".join(line.split()) for line in lines[-3:])[:_DETAIL_CHARACTERS]
        if is_sent:
            return Outcome(OutcomeKind.SENT, detail or "accepted")
        return Outcome(_kind_of(detail), detail or "Apprise could not send it, and did not say why")


def _kind_of(detail: str) -> OutcomeKind:
    status = _STATUS.search(detail)
    if status is not None:
        code = int(status[1])
        if code in _DEFERRED:
            return OutcomeKind.DEFERRED
        if code in _UNREACHABLE:
            return OutcomeKind.UNREACHABLE
        return OutcomeKind.MISCONFIGURED if code in _MISCONFIGURED else OutcomeKind.REJECTED
    if any(word in detail.lower() for word in _LOST):
        return OutcomeKind.UNKNOWN
    return OutcomeKind.REJECTED
