"""The load generator: a process of its own that sends requests made beforehand and counts the answers.

It reads a `Plan` (JSON) from standard input and prints a `Result` (JSON). Any answer that is not a 202 ends it with an
error: a rate of refusals is not a rate.
"""

from __future__ import annotations

import asyncio
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, cycle, repeat
from typing import Literal

import msgspec
import uvloop

from bench.traffic import Address, batch_requests, set_requests

_PATIENCE_SECONDS = 30.0
_TICK_SECONDS = 0.001  # as fine as the event loop's timers go; what it costs counts against the server


class Plan(msgspec.Struct, kw_only=True):
    """What to send.

    * `closed`: each connection sends its next request when the last is answered, for `seconds` after the warm-up;
    * `once`: the same, until every request has been sent once;
    * `open`: `rate` requests a second whatever the answers do, for `seconds` after the warm-up.

    Of batches, only one of `parts` is sent: others send the rest.
    """

    address: Address
    mode: Literal["closed", "once", "open"]
    endpoint: Literal["set", "batch"]
    connections: int
    profiles: int
    seed: int
    seconds: float = 0
    warm_up_seconds: float = 0.5
    rate: float = 0
    part: int = 0
    parts: int = 1


class Result(msgspec.Struct, kw_only=True):
    """What came back. Latencies (milliseconds, from the moment a request was due) only for the mode `open`."""

    answers: int
    seconds: float
    processor_share: float
    p50_ms: float = 0
    p99_ms: float = 0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


class UnexpectedAnswer(Exception):
    """A server answered something else than 202, or went away."""


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, on_answer: Callable[[_Connection], None], on_failure: Callable[[str], None]) -> None:
        self._on_answer = on_answer
        self._on_failure = on_failure
        self._received = b""
        self.due_at = 0.0
        self.waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # TCP gives this kind
        self._write = self.transport.write

    def send(self, request: bytes, due_at: float = 0.0) -> None:
        self.due_at = due_at
        self.waits = True
        self._write(request)

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        head_end = data.find(b"\r\n\r\n")
        if head_end < 0:
            self._received = data
            return
        if data[9:12] != b"202":
            self._on_failure(data.decode("utf-8", "replace"))
            return
        start = data.index(b"content-length: ") + 16
        if len(data) < head_end + 4 + int(data[start : data.index(b"\r\n", start)]):
            self._received = data
            return
        self._received = b""
        self.waits = False
        self._on_answer(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waits:
            self._on_failure(f"the server closed the connection before it answered ({exc or 'no error'})")


async def run(plan: Plan) -> Result:
    """Carry the plan out. Raises UnexpectedAnswer."""
    requests = _requests(plan)
    match plan.mode:
        case "closed":
            return await _Closed(plan).run(cycle(requests), time_limit=True)
        case "once":
            return await _Closed(plan).run(chain(requests, repeat(None)), time_limit=False)
        case "open":
            return await _Open(plan).run(requests)


def _requests(plan: Plan) -> Sequence[bytes]:
    if plan.endpoint == "batch":
        every = batch_requests(plan.address, profiles=plan.profiles, seed=plan.seed)
        return every[plan.part :: plan.parts]
    return set_requests(plan.address, count=plan.profiles, profiles=plan.profiles, seed=plan.seed)


class _Load:
    """Connections, and the end: when nothing is under way any more, or at the first unexpected answer."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.answers = 0
        self.connections: list[_Connection] = []
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self, on_answer: Callable[[_Connection], None]) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self.plan.connections):
            _, connection = await loop.create_connection(
                lambda: _Connection(on_answer, self.fail), "127.0.0.1", self.plan.address.port
            )
            self.connections.append(connection)

    def fail(self, answer: str) -> None:
        if not self._failed.done():
            self._failed.set_exception(UnexpectedAnswer(answer))

    async def sleep(self, seconds: float) -> None:
        """Sleep, unless something unexpected is answered."""
        await asyncio.wait([self._failed], timeout=seconds)
        if self._failed.done():
            self._failed.result()

    async def drain(self) -> None:
        """Wait for what is under way, then close."""
        deadline = time.perf_counter() + _PATIENCE_SECONDS
        while any(connection.waits for connection in self.connections):
            if time.perf_counter() > deadline:
                raise UnexpectedAnswer(f"no answer within {_PATIENCE_SECONDS:g} s")
            await self.sleep(0.005)
        for connection in self.connections:
            connection.transport.close()


class _Closed(_Load):
    """As fast as the server answers."""

    async def run(self, requests: Iterator[bytes | None], *, time_limit: bool) -> Result:
        stopped = False
        last_answer_at = 0.0

        def answered(connection: _Connection) -> None:
            nonlocal last_answer_at
            self.answers += 1
            request = None if stopped else next(requests)
            if request is None:
                last_answer_at = time.perf_counter()
            else:
                connection.send(request)

        await self.connect(answered)
        began, processor = time.perf_counter(), time.process_time()
        for connection in self.connections:
            request = next(requests)
            if request is not None:
                connection.send(request)
        if time_limit:
            await self.sleep(self.plan.warm_up_seconds)
            self.answers, began, processor = 0, time.perf_counter(), time.process_time()
            await self.sleep(self.plan.seconds)
            answers, seconds = self.answers, time.perf_counter() - began
            stopped = True
            await self.drain()
        else:
            await self.drain()
            answers, seconds = self.answers, last_answer_at - began
        return Result(answers=answers, seconds=seconds, processor_share=(time.process_time() - processor) / seconds)


class _Open(_Load):
    """At a constant rate. A request for which no connection is free waits here, and its waiting counts."""

    async def run(self, requests: Sequence[bytes]) -> Result:
        plan = self.plan
        idle: deque[_Connection] = deque()
        late: deque[tuple[bytes, float]] = deque()
        latencies = array("d")
        measured_from = float("inf")

        def answered(connection: _Connection) -> None:
            if connection.due_at >= measured_from:
                latencies.append(time.perf_counter() - connection.due_at)
            if late:
                connection.send(*late.popleft())
            else:
                idle.append(connection)

        await self.connect(answered)
        idle.extend(self.connections)
        began, processor = time.perf_counter(), time.process_time()
        measured_from = began + plan.warm_up_seconds
        last = int((plan.warm_up_seconds + plan.seconds) * plan.rate)
        sent = 0
        while sent < last:
            due = min(last, int((time.perf_counter() - began) * plan.rate) + 1)
            for position in range(sent, due):
                request, due_at = requests[position % len(requests)], began + position / plan.rate
                if idle:
                    idle.popleft().send(request, due_at)
                else:
                    late.append((request, due_at))
            sent = due
            if self._failed.done():
                self._failed.result()
            await asyncio.sleep(_TICK_SECONDS)
        await self.drain()
        share = (time.process_time() - processor) / (time.perf_counter() - began)
        ordered = sorted(latencies)
        return Result(
            answers=len(ordered),
            seconds=plan.seconds,
            processor_share=share,
            p50_ms=ordered[len(ordered) // 2] * 1_000,
            p99_ms=ordered[len(ordered) * 99 // 100] * 1_000,
        )


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(run(plan))
    except UnexpectedAnswer as error:
        sys.exit(f"expected a 202, got: {error}")
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
