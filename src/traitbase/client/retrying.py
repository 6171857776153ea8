"""Trying again: which answers deserve it, how long to wait in between, and when to give up."""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from traitbase.client.answers import find_refusal
from traitbase.client.errors import Unavailable, UnexpectedAnswer

_FIRST_SECONDS = 0.25
_LONGEST_SECONDS = 10.0
_TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where time, chance and new keys come from. Tests bring their own."""

    monotonic: Callable[[], float] = time.monotonic
    """Seconds on a clock that is never set back."""
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    """A number from 0 up to, and without, 1."""
    new_key: Callable[[], str] = lambda: uuid.uuid4().hex


REAL = Surroundings()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on: at most `max_retries` tries after the first, and no wait that ends after `max_seconds`."""

    max_retries: int
    max_seconds: float

    def seconds_until_next(self, *, tried: int, elapsed: float, asked: float | None, chance: float) -> float | None:
        """Return the seconds to wait before the next try, or None to give up.

        `tried` counts the tries made, `elapsed` the seconds since the first began, `asked` is the server's
        `Retry-After` in seconds. The wait doubles from 0.25 s to 10 s, and `chance` (0 to 1) takes up to half of it
        away, so that many clients do not return all at once; it is never shorter than what the server asked for.
        """
        if tried > self.max_retries:
            return None
        backoff = min(_FIRST_SECONDS * 2.0 ** (tried - 1), _LONGEST_SECONDS) * (1 - chance / 2)
        wait = backoff if asked is None else max(backoff, asked)
        return wait if elapsed + wait <= self.max_seconds else None


def send_patiently(
    send: Callable[[], httpx.Response], patience: Patience, surroundings: Surroundings
) -> httpx.Response:
    """Return the first answer that is neither a 5xx nor a 429, trying as often as patience lasts.

    Connections that fail and tries that time out are made again as well. Raises Unavailable when patience ends.
    """
    began = surroundings.monotonic()
    tried = 0
    while True:
        tried += 1
        outcome = _try(send)
        if isinstance(outcome, httpx.Response) and not _deserves_another(outcome):
            return outcome
        elapsed = surroundings.monotonic() - began
        asked = _seconds_asked_for(outcome) if isinstance(outcome, httpx.Response) else None
        wait = patience.seconds_until_next(tried=tried, elapsed=elapsed, asked=asked, chance=surroundings.random())
        if wait is None:
            raise _gave_up(outcome, tried, elapsed)
        surroundings.sleep(wait)


def _try(send: Callable[[], httpx.Response]) -> httpx.Response | httpx.TransportError:
    try:
        return send()
    except httpx.TransportError as error:
        return error
    except httpx.DecodingError as error:
        raise UnexpectedAnswer(f"the answer does not decompress: {error}") from error


def _deserves_another(answer: httpx.Response) -> bool:
    return answer.status_code >= 500 or answer.status_code == _TOO_MANY_REQUESTS


def _seconds_asked_for(answer: httpx.Response) -> float | None:
    """Return the seconds that `Retry-After` asks for (RFC 9110, 10.2.3), None if it says nothing readable."""
    text = answer.headers.get("retry-after", "").strip()
    if re.fullmatch("[0-9]{1,12}", text):
        return float(text)
    try:
        # The answer's own Date: no clock of ours is involved, so it does not matter that ours may be wrong.
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(answer.headers.get("date", ""))
    except (ValueError, TypeError):
        return None
    return max(wait.total_seconds(), 0.0)


def _gave_up(outcome: httpx.Response | httpx.TransportError, tried: int, elapsed: float) -> Unavailable:
    after = f"gave up after {tried} {'try' if tried == 1 else 'tries'} in {elapsed:.1f} s"
    if isinstance(outcome, httpx.Response):
        refusal = find_refusal(outcome.content)
        said = outcome.text[:200] if refusal is None else refusal.message
        message = f"{after}; the last answer was {outcome.status_code}: {said}"
        return Unavailable(message, attempts=tried, status=outcome.status_code)
    error = Unavailable(f"{after}; {type(outcome).__name__}: {outcome}", attempts=tried)
    error.__cause__ = outcome
    return error
