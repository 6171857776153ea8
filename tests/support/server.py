"""Real server processes for tests: `traitbase serve` on a free port, stopped or killed by its pid."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.data import open_store
from traitbase import bootstrap
from traitbase.domain.keys import Reach, Scope
from traitbase.services.workspaces import create_api_key, create_workspace

TRAITBASE = (sys.executable, "-m", "traitbase")


def run_cli(*arguments: str, data: Path | None = None, **options) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end and return what it printed."""
    command = [*TRAITBASE, *arguments, *([] if data is None else ["--data", str(data)])]
    options = {"capture_output": True, "text": True, "timeout": 300, **options}
    options["env"] = {**os.environ, **options.get("env", {})}
    return subprocess.run(command, check=False, **options)


def run_json(*arguments: str, data: Path) -> dict:
    """Run a command with `--json` and return the object it printed."""
    done = run_cli(*arguments, "--json", data=data)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.text)


class Client:
    """A keep-alive connection with a key. Bodies may be objects (sent as JSON) or bytes (sent as they are)."""

    def __init__(self, port: int, key: str | None, workspace_id: str, environment: str = "live") -> None:
        self.base = f"/v1/{workspace_id}/{environment}"
        self.key = key
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        every = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        if sent is not None:
            every["Content-Type"] = "application/json"
        self.connection.request(method, path, sent, {**every, **(headers or {})})
        response = self.connection.getresponse()
        text = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, text)

    def post(self, endpoint: str, body: object, headers: dict[str, str] | None = None) -> Answer:
        return self.call("POST", f"{self.base}/profiles/properties/{endpoint}", body, headers)

    def get(self, path: str) -> Answer:
        return self.call("GET", f"{self.base}/{path}")

    def properties_of(self, distinct_id: str) -> dict | None:
        """Return a profile's properties with exact numbers as text would have them, None if it does not exist."""
        answer = self.get(f"profiles/{distinct_id}")
        if answer.status == 400:
            return None
        assert answer.status == 200, answer
        return answer.json["properties"]

    def receipt(self, answer: Answer) -> dict:
        return self.get(f"requests/{answer.json['request_id']}").json

    def close(self) -> None:
        self.connection.close()


class Server:
    """`traitbase serve` as a process of its own."""

    def __init__(self, data: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.data = data
        self._clients: list[Client] = []
        command = [*TRAITBASE, "serve", "--data", str(data), "--port", "0", *arguments]
        self.log = (data.parent / f"{data.name}.log").open("ab")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, text=True, env={**os.environ, **(env or {})}
        )
        self.greeting = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.greeting)
        if found is None:
            self.process.wait(10)
            log = Path(self.log.name).read_text()
            raise AssertionError(f"the server did not start: {self.greeting!r} {log}")
        self.port = int(found[1])
        self._drain = threading.Thread(target=self.process.stdout.read, daemon=True)
        self._drain.start()

    def client(self, key: str | None, workspace_id: str, environment: str = "live") -> Client:
        made = Client(self.port, key, workspace_id, environment)
        self._clients.append(made)
        return made

    def kill(self) -> None:
        """End it as a power cut would: no handler runs."""
        self.process.send_signal(signal.SIGKILL)
        self._reap()

    def stop(self) -> int:
        """End it gracefully and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._reap()

    def wait(self) -> int:
        """Wait for an end that comes by itself and return its exit status."""
        return self._reap()

    def _reap(self) -> int:
        status = self.process.wait(60)
        for client in self._clients:
            client.close()
        self._drain.join(10)
        self.process.stdout.close()
        self.log.close()
        return status


@dataclass(frozen=True)
class Cast:
    """Ada owns workspace North, Bo may only read there, Ian only send; Cy owns South."""

    ada: str
    bo: str
    ian: str
    cy: str


def make_cast(data: Path) -> Cast:
    """Make the two workspaces and everybody's keys in a data folder (in this process: it is done for many tests)."""
    store = open_store(data)
    for name in ("North", "South"):
        create_workspace(store, name=name, workspace_id=name.lower(), timezone="UTC", at_us=bootstrap.now_us())

    def key(workspace_id: str, scope: Scope) -> str:
        now_us = bootstrap.now_us()
        made = create_api_key(
            store, workspace_id=workspace_id, reach=Reach.BOTH, scope=scope, name=scope.value, at_us=now_us
        )
        return made.secret

    cast = Cast(
        ada=key("north", Scope.ADMIN),
        bo=key("north", Scope.READ),
        ian=key("north", Scope.INGEST),
        cy=key("south", Scope.ADMIN),
    )
    store.close()
    return cast


@contextmanager
def serving(data: Path, *arguments: str, env: dict[str, str] | None = None) -> Iterator[Server]:
    """Run a server for as long as the block lasts."""
    server = Server(data, *arguments, env=env)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
