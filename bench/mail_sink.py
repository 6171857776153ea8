"""A mail server that takes everything and keeps nothing, as quickly as it can: `python -m bench.mail_sink`.

Says its port, and counts on its standard output when its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys

_END = b"\r\n.\r\n"


class _Session(asyncio.Protocol):
    taken = 0

    def __init__(self) -> None:
        self._waiting = b""
        self._is_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while True:
            end = _END if self._is_data else b"\r\n"
            before, found, after = self._waiting.partition(end)
            if not found:
                return
            self._waiting = after
            if self._is_data:
                self._is_data = False
                _Session.taken += 1
                self._transport.write(b"250 taken\r\n")
            else:
                self._command(before.upper())

    def _command(self, line: bytes) -> None:
        if line.startswith(b"DATA"):
            self._is_data = True
            self._transport.write(b"354 go on\r\n")
        elif line.startswith(b"EHLO"):
            self._transport.write(b"250-sink\r\n250 PIPELINING\r\n")
        elif line.startswith(b"QUIT"):
            self._transport.write(b"221 bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 sink\r\n")


async def _main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Session, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(_Session.taken, flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
