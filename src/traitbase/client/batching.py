"""Gathering updates and sending them together: in order, none twice, none lost without being told."""

from __future__ import annotations

import atexit
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from traitbase.client.errors import BatchNotSent, ClientError
from traitbase.client.forking import begin_anew_after_forks
from traitbase.client.items import Item, Portion
from traitbase.client.operations import PropertyOperations
from traitbase.client.retrying import Surroundings
from traitbase.client.values import Conversion
from traitbase.domain.updates import BATCH_MAX_ITEMS

_BYTES_MAX = 8 * 1024 * 1024  # a server takes 10 MB; this leaves room for one item that is itself large
_REQUEST_IDS_KEPT = 1_000
_EXIT_SECONDS = 5.0

_log = logging.getLogger("traitbase.client")

Deliver = Callable[[Portion], str]
"""Sends a portion until it is applied and returns the request id. Raises ClientError."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """When gathered updates are sent: at so many, at so many encoded bytes, or when the oldest is so old."""

    items: int
    encoded_bytes: int
    seconds: float | None

    def __post_init__(self) -> None:
        if not 1 <= self.items <= BATCH_MAX_ITEMS:
            raise ClientError(f"batch_size must be from 1 to {BATCH_MAX_ITEMS:,}, not {self.items:,}")
        if not 1 <= self.encoded_bytes <= _BYTES_MAX:
            raise ClientError(f"batch_bytes must be from 1 to {_BYTES_MAX:,}, not {self.encoded_bytes:,}")
        if self.seconds is not None and not self.seconds > 0:
            raise ClientError(f"batch_seconds must be more than 0, or None for no bound, not {self.seconds}")


class Batch(PropertyOperations[None]):
    """Takes the six operations and sends them together. Made by `Client.batch()`; safe to use from several threads.

    Every method raises BatchNotSent when something could not be sent, also what a call before it or the time bound had
    tried to send: the error has **everything** that is not known to be applied, the update of the call that raises
    included, and the batch is empty and usable afterwards. Where several threads share a batch, the first to call gets
    it all. In a forked child a batch is empty: what was gathered before is the parent's to send.
    """

    def __init__(self, deliver: Deliver, conversion: Conversion, *, bounds: Bounds, surroundings: Surroundings) -> None:
        super().__init__(conversion)
        self._deliver = deliver
        self._bounds = bounds
        self._surroundings = surroundings
        self._closed = False
        self.begin_anew_after_fork()
        begin_anew_after_forks(self)

    def begin_anew_after_fork(self) -> None:
        """Be empty: what was gathered is the parent's to send, and its thread and locks are not in this process."""
        self._state = threading.Condition()  # guards everything below
        self._sending = threading.Lock()  # one request at a time keeps the order; taken before _state, never inside it
        self._waiting: deque[tuple[Item, float]] = deque()  # with the second in which each came
        self._waiting_bytes = 0
        self._in_flight: Portion | None = None
        self._failed: tuple[Portion, BaseException] | None = None
        self._request_ids: deque[str] = deque(maxlen=_REQUEST_IDS_KEPT)
        self._thread: threading.Thread | None = None
        self._leaving = False

    @property
    def request_ids(self) -> tuple[str, ...]:
        """The request ids of what was sent, oldest first, for `Client.receipt`; the last 1,000."""
        with self._state:
            return tuple(self._request_ids)

    def flush(self) -> None:
        """Send everything that was gathered so far. Raises BatchNotSent."""
        self._send_while(lambda: bool(self._waiting))

    def close(self) -> None:
        """Send what is left and take nothing more. Raises BatchNotSent; the batch is closed then too.

        It may take as long as the client's retries do.
        """
        with self._state:
            self._closed = True
        try:
            self.flush()
        finally:
            with self._state:
                self._state.notify_all()
            atexit.unregister(self._finish_at_exit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Send what is left, also when the block ends by an error: each update was given before it."""
        self.close()

    def _take(self, item: Item) -> None:
        with self._state:
            if self._closed:
                raise ClientError("this batch is closed: make another with client.batch()")
            self._start_thread()  # before the update is taken: where no thread can be had, the call takes nothing
            self._waiting.append((item, self._surroundings.monotonic()))
            self._waiting_bytes += len(item.encoded) + 1
            if self._failed is not None:
                raise self._hand_over()
            full = self._is_full()
            if len(self._waiting) == 1:
                self._state.notify_all()
        if full:
            self._send_while(self._is_full)

    def _is_full(self) -> bool:
        return len(self._waiting) >= self._bounds.items or self._waiting_bytes >= self._bounds.encoded_bytes

    def _send_while(self, wanted: Callable[[], bool]) -> None:
        with self._sending:
            while self._send_next(wanted):
                pass
            with self._state:
                if self._failed is not None:
                    raise self._hand_over()

    def _send_next(self, wanted: Callable[[], bool]) -> bool:
        """Send one portion if something is wanted to be sent, and tell whether it went well."""
        with self._state:
            if self._failed is not None:
                return False
            if self._in_flight is None:  # else an interrupt came between sending it and noting so: its key guards it
                if not self._waiting or not wanted():
                    return False
                self._in_flight = self._next_portion()
            portion = self._in_flight
        try:
            request_id = self._deliver(portion)
        except BaseException as error:
            with self._state:
                self._failed, self._in_flight = (portion, error), None
                self._state.notify_all()
            if isinstance(error, ClientError):
                return False
            raise  # such as KeyboardInterrupt; the portion is told of by the next call
        with self._state:
            self._in_flight = None
            self._request_ids.append(request_id)
            self._state.notify_all()
        return True

    def _next_portion(self) -> Portion:
        items: list[Item] = []
        size = 0
        while self._waiting and len(items) < self._bounds.items:
            item, _ = self._waiting[0]
            size += len(item.encoded) + 1
            if items and size > self._bounds.encoded_bytes:
                break
            items.append(item)
            self._waiting.popleft()
            self._waiting_bytes -= len(item.encoded) + 1
        return Portion(self._surroundings.new_key(), tuple(items))

    def _hand_over(self) -> BatchNotSent:
        assert self._failed is not None
        (portion, cause), self._failed = self._failed, None
        portions = [portion]
        while self._waiting:
            portions.append(self._next_portion())
        return batch_not_sent(tuple(portions), cause)

    # What follows runs in, or talks to, the one background thread.

    def _start_thread(self) -> None:
        if self._thread is not None:
            return
        # A daemon: the interpreter's end must not wait for a server that does not answer. `_finish_at_exit` does, for a
        # moment; and only a thread that exists already can be asked then.
        thread = threading.Thread(target=self._watch_the_time, name="traitbase-batch", daemon=True)
        thread.start()
        self._thread = thread
        atexit.register(self._finish_at_exit)

    def _watch_the_time(self) -> None:
        while True:
            with self._state:
                if self._closed:
                    return
                self._state.wait(self._seconds_until_due())
            self._send_what_is_due()

    def _seconds_until_due(self) -> float | None:
        """Return the seconds until the oldest update is too old, None if only an event can change that."""
        if not self._waiting or self._failed is not None:
            return None
        if self._leaving:
            return 0.0
        if self._bounds.seconds is None:
            return None
        _, came_at = self._waiting[0]
        return max(came_at + self._bounds.seconds - self._surroundings.monotonic(), 0.0)

    def _send_what_is_due(self) -> None:
        with self._sending:
            try:
                while self._send_next(lambda: self._seconds_until_due() == 0.0):
                    pass
            except Exception:  # noqa: BLE001  # a ClientError is kept for the next call; this would end the thread
                _log.exception("a batch could not be sent; its next call raises BatchNotSent")

    def _finish_at_exit(self) -> None:
        """Have the thread send what is left, for a few seconds at most, and say what was not."""
        with self._state:
            self._leaving = True
            self._state.notify_all()
            self._state.wait_for(self._is_finished, timeout=_EXIT_SECONDS)
            unsent = len(self._waiting)
            unsent += len(self._in_flight.items) if self._in_flight else 0
            unsent += len(self._failed[0].items) if self._failed else 0
        if unsent:
            _log.error("%d updates of a batch that was never closed were not sent before the program ended", unsent)

    def _is_finished(self) -> bool:
        return self._failed is not None or (self._in_flight is None and not self._waiting)


def batch_not_sent(portions: tuple[Portion, ...], cause: BaseException) -> BatchNotSent:
    """Return the error that tells of unsent portions, `cause` being what stopped the first of them."""
    count = sum(len(portion.items) for portion in portions)
    reason = cause.message if isinstance(cause, ClientError) else f"{type(cause).__name__}: {cause}"
    status = cause.status if isinstance(cause, ClientError) else None
    what = "1 update is" if count == 1 else f"{count:,} updates are"
    message = f"{what} not known to be applied ({reason}); client.resend(error) sends again what can be"
    error = BatchNotSent(message, portions=portions, status=status)
    error.__cause__ = cause
    return error
