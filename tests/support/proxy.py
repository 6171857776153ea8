"""A proxy in front of a database that can be cut, as a network can: what is under way is lost, and nobody is told."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator


class CuttingProxy:
    """Listens on 127.0.0.1 and passes bytes on to a socket, until it is told to cut."""

    def __init__(self, target: str | tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._held: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._is_open = True
        self._ended = False
        self._start(self._accept)

    def cut(self, *, far_is_told: bool) -> None:
        """Pass nothing on any more, and take no new connections: the near ends see theirs closed, the far ones may."""
        with self._lock:
            self._is_open = False
            pairs, self._pairs = self._pairs, []
            if not far_is_told:
                self._held += [far for _, far in pairs]
        for near, far in pairs:
            for each in (near, far) if far_is_told else (near,):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Take new connections again."""
        self._is_open = True

    def close(self) -> None:
        self._ended = True
        self.cut(far_is_told=True)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
        for each in self._held:
            each.close()

    def _accept(self) -> None:
        while not self._ended:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._is_open:
                near.close()
                continue
            family = socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET
            far = socket.socket(family)
            try:
                far.connect(self._target)
            except OSError:
                near.close()
                far.close()
                continue
            with self._lock:
                self._pairs.append((near, far))
            self._start(self._pass_on, near, far)

    def _start(self, work: Callable[..., None], *given: socket.socket) -> None:
        self._threads.append(threading.Thread(target=work, args=given, daemon=True))
        self._threads[-1].start()

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        pair = (near, far)
        with contextlib.suppress(OSError):
            while pair in self._pairs:
                readable, _, _ = select.select(pair, (), (), 0.05)
                for each in readable:
                    data = each.recv(65_536)
                    if not data or pair not in self._pairs:
                        break
                    (far if each is near else near).sendall(data)
                else:
                    continue
                break
        near.close()
        if far not in self._held:
            far.close()


@contextlib.contextmanager
def proxied(target: str | tuple[str, int]) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
