"""Running the application in this process: its server, its signals, and a calm interpreter."""

from __future__ import annotations

import asyncio
import functools
import gc
import signal
import socket
import sys
from typing import Any

import structlog
import uvicorn

from traitbase import bootstrap
from traitbase.api.app import AppParts, TraitbaseApp
from traitbase.api.sharing import SharedCounts
from traitbase.api.short_way import ShortWayProtocol
from traitbase.services.accounts.ports import AccountStore
from traitbase.services.cohorts.late import LateEngine
from traitbase.services.cohorts.ports import CohortEngine
from traitbase.settings import Settings

_DRAIN_SECONDS = 30


def run_server(
    store: AccountStore,
    settings: Settings,
    listener: socket.socket,
    *,
    is_first: bool = True,
    shared: SharedCounts | None = None,
) -> None:
    """Serve on a listening socket until the process is told to stop, and drain what was accepted.

    `shared`: this is one of the server's processes, and `is_first` says whether it does the chores of all of them.
    """
    engine = LateEngine(functools.partial(bootstrap.open_engine, store, settings, tell=structlog.get_logger().info))
    try:
        _serve(_app(store, engine, settings, listener, is_first=is_first, shared=shared), settings, listener)
    finally:
        engine.close()


def _app(
    store: AccountStore,
    engine: CohortEngine,
    settings: Settings,
    listener: socket.socket,
    *,
    is_first: bool,
    shared: SharedCounts | None,
) -> TraitbaseApp:
    return TraitbaseApp(
        AppParts(
            store=store,
            engine=engine,
            vault=bootstrap.open_vault(settings),
            open_sender=bootstrap.sender_opener(store, settings),
            public_url=settings.public_url,
            local_url=f"http://localhost:{listener.getsockname()[1]}",
            lease_seconds=settings.lease_seconds,
            now_us=bootstrap.now_us,
            new_request_id=bootstrap.new_request_id,
            new_profile_id=bootstrap.new_profile_id,
            queue_updates=settings.queue_updates,
            queue_bytes=settings.queue_bytes,
            receipt_days=settings.receipt_days,
            ignored_days=settings.ignored_days,
            history_days=settings.history_days,
            base_path=settings.base_path,
            role=settings.role,
            is_first=is_first,
            uploads=settings.data / "uploads",
            shared=shared,
        )
    )


def _serve(app: TraitbaseApp, settings: Settings, listener: socket.socket) -> None:
    short_way: Any = functools.partial(ShortWayProtocol, app.properties)
    config = uvicorn.Config(
        app,
        http=short_way if settings.role.answers else "httptools",
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        ws="none",
        # By default the server would believe every process on its machine, and an allow-list would be worth nothing.
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=settings.proxies,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    _calm_the_interpreter()
    server = uvicorn.Server(config)

    def note(*_: object) -> None:
        server.should_exit = True

    # The server drains when it is told to stop. Until its loop runs, it is only noted: an exception of a handler was
    # lost in the loop's beginnings, and the server ran on as if nobody had said anything.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))


def _calm_the_interpreter() -> None:
    # What exists now stays: the garbage collector need not look at it again, and what requests make is rarely cyclic.
    # With the usual thresholds a third of the time under load went into collections that found nothing.
    gc.collect()
    gc.freeze()
    # The middle one is low because it counts what one collection walks through: with 20, a request of a million names
    # was a million objects, and 60 ms in which nothing else ran.
    gc.set_threshold(50_000, 5, 400)
    # The writer's thread comes back from the database for microseconds of work; waiting the usual 5 ms for its turn
    # would be most of what it does.
    sys.setswitchinterval(0.0005)
