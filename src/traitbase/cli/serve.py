"""`traitbase serve`: the server."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

import traitbase
from traitbase import bootstrap
from traitbase.cli.accounts import console_at, people_of
from traitbase.cli.logs import LogWriter
from traitbase.cli.options import Data
from traitbase.cli.processes import Inherited, Supervisor, end_with_parent, inherited_from
from traitbase.domain.errors import Refused
from traitbase.services.accounts.people import LINK_HOURS
from traitbase.services.accounts.ports import AccountStore
from traitbase.settings import Settings, load_settings

if TYPE_CHECKING:
    from traitbase.api.sharing import SharedCounts


def serve(
    data: Data = None,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on. Default: 127.0.0.1.", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="The port; 0 for any free one. Default: 8080.", show_default=False)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that share the port. Default: 1.", show_default=False)
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(
            help="api: answer requests; console: show the console; worker: do what is to be done in the background. "
            "Default: all of it.",
            show_default=False,
        ),
    ] = None,
    inherited: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the server until it is stopped; it then answers what it has accepted and ends."""
    # Until there is something to drain, being told to stop is the end; at once, since an exception could be lost.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    settings = load_settings(data=data, host=host, port=port, workers=workers, role=role)
    log = LogWriter(sys.stderr.fileno())
    _set_up_logging(settings, log)
    try:
        if inherited is not None:
            _run_one_of_several(settings, inherited_from(inherited))
            return
        listener = _listen(settings.host, settings.port)
        if settings.workers == 1:
            _load_the_server()  # before the greeting: whoever reads it finds a server that answers soon
        with closing(bootstrap.open_store(settings)) as store:
            bootstrap.open_vault(settings)  # before the greeting, too: nobody is greeted by a server that cannot start
            with contextlib.suppress(OSError):  # where nobody can read it, it is not worth ending for
                _greet(store, settings, listener)
            if settings.workers == 1:
                _run(store, settings, listener)
        if settings.workers > 1:
            Supervisor(listener, settings.workers, tell=structlog.get_logger().warning).run()
    finally:
        log.close()


def _run_one_of_several(settings: Settings, given: Inherited) -> None:
    end_with_parent(given.parent)
    listener = socket.socket(fileno=given.listener)
    from traitbase.api.sharing import SharedCounts  # noqa: PLC0415  # it loads what only a server needs

    with closing(bootstrap.open_store(settings)) as store:
        # One of them does for all what is to be done in the background.
        shared = SharedCounts(given.folder, given.number)
        _run(store, settings, listener, is_first=given.number == 0, shared=shared)


def _load_the_server() -> None:
    import traitbase.api.server  # noqa: F401, PLC0415  # half a second that no other command needs


def _run(
    store: AccountStore,
    settings: Settings,
    listener: socket.socket,
    *,
    is_first: bool = True,
    shared: SharedCounts | None = None,
) -> None:
    from traitbase.api.server import run_server  # noqa: PLC0415  # see `_load_the_server`

    run_server(store, settings, listener, is_first=is_first, shared=shared)


def _listen(host: str, port: int) -> socket.socket:
    """Return a bound socket. Raises Refused that says what is in the way."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)  # before the greeting: whoever reads it may connect
    except UnicodeError as error:  # a part of a name has at most 63 letters
        raise Refused(f"{host} is no address or host name; see --host", code="cannot_listen") from error
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                what = f"port {port} on {host} is in use by another program; choose another with --port, or 0 for any"
            case errno.EACCES:
                what = f"port {port} needs special rights; choose one above 1023 with --port"
            case _:
                what = f"{host} port {port} cannot be listened on ({error.strerror or error}); see --host and --port"
        raise Refused(what, code="cannot_listen") from error
    return listener


def _greet(store: AccountStore, settings: Settings, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    place = bootstrap.place_of(settings)
    # Written before anything is said: whoever reads the greeting finds a server that waits for nobody.
    console = _begin_at(store, console_at(settings, host, port)) if settings.role.shows_console else None
    typer.echo(f"Traitbase {traitbase.__version__} on http://{shown}:{port} (API: /docs), data in {place}")
    if console is not None:
        typer.echo(console)
    if not store.list_workspaces():
        where = "" if settings.database_url.get_secret_value() else f" --data {settings.data}"
        typer.echo(
            "There is no workspace yet. In another terminal:\n"
            f"  traitbase workspace create NAME{where}\n"
            f"  traitbase keys create --workspace WSID{where}"
        )
    sys.stdout.flush()


def _begin_at(store: AccountStore, url: str) -> str:
    """Return where the console is; as long as nobody can sign in, how to begin."""
    token = None
    with contextlib.suppress(Refused):  # a disk that is full, say: everything that can be read is served
        token = people_of(store).first_link()
    if token is None:
        return f"Console: {url}"
    return (
        "Nobody can sign in to the console yet. This link makes you its admin; it works once, for "
        f"{LINK_HOURS} hours:\n"
        f"  {url}/link/{token}"
    )


def _set_up_logging(settings: Settings, log: LogWriter) -> None:
    """Log events with their fields to standard error: JSON for machines, text for a terminal."""
    as_text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(log),  # type: ignore[arg-type]  # two methods suffice
    )
    logging.basicConfig(level=max(level, logging.WARNING), stream=log, format="%(levelname)s %(name)s %(message)s")
