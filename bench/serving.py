"""Runs the servers that Traitbase is compared with just as Traitbase runs itself: uvicorn, uvloop, httptools."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn


def serve(app: Any) -> None:
    """Serve an ASGI application on a free port of 127.0.0.1, which is printed, until the process is told to end."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http="httptools", loop="uvloop", ws="none", access_log=False, log_level="warning", server_header=False
    )
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[listener]))
