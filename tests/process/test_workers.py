"""Several processes behind one port, and servers that only answer or only work in the background."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import threading
from pathlib import Path

import psutil
import pytest

from process.test_concurrency import in_parallel
from support.server import make_cast, run_cli, serving
from support.waiting import until
from traitbase import bootstrap
from traitbase.api.app import AppParts, TraitbaseApp
from traitbase.services.campaigns.sealing import Vault, new_key
from traitbase.settings import Role
from traitbase.store.memory import MemoryStore


def processes_of(server):
    return psutil.Process(server.process.pid).children()


def pids_of(server):
    return {process.pid for process in processes_of(server)}


def told_by(server):
    """Return how many updates the processes have written down for each other."""
    folder = Path(processes_of(server)[0].cmdline()[-1].split(":", 3)[3])
    return sum(json.loads(path.read_bytes())["plain"]["updates"] for path in folder.glob("*.json"))


def counted(client, name):
    found = re.search(rf"^{name} (\S+)$", client.call("GET", "/metrics").text.decode(), re.MULTILINE)
    return 0 if found is None else int(float(found[1]))


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def ada(data):
    return make_cast(data).ada


def test_updates_through_any_of_them_count_exactly_and_so_do_the_metrics(data, ada):
    with serving(data, "--workers", "3") as server:
        until(lambda: len(pids_of(server)) == 3)

        def add():
            for _ in range(50):
                client = server.client(ada, "north")  # each time another process may take it
                assert client.post("numerical-add", {"distinct_id": "u", "$add": {"n": 1}}).status == 202
                client.close()

        in_parallel([add] * 4)
        client = server.client(ada, "north")
        assert client.properties_of("u") == {"n": 200}
        until(lambda: counted(client, "traitbase_updates_total") == 200, seconds=10)
        assert "process_resident_memory_bytes" not in client.call("GET", "/metrics").text.decode()
        assert server.stop() == 0


def test_one_that_is_killed_is_started_again_and_nothing_that_was_answered_is_lost(data, ada):
    with serving(data, "--workers", "2") as server:
        until(lambda: len(pids_of(server)) == 2)
        before = pids_of(server)
        done, over = [0], threading.Event()

        def add():
            while not over.is_set():
                client = server.client(ada, "north")
                with contextlib.suppress(OSError, ValueError):
                    done[0] += client.post("numerical-add", {"distinct_id": "u", "$add": {"n": 1}}).status == 202
                client.close()

        thread = threading.Thread(target=add)
        thread.start()
        until(lambda: done[0] > 20)
        for pid in before:
            psutil.Process(pid).kill()
            until(lambda pid=pid: pid not in pids_of(server) and len(pids_of(server)) == 2)
        so_far = done[0]
        until(lambda: done[0] > so_far + 20)
        over.set()
        thread.join(30)
        client = server.client(ada, "north")
        # One that was cut off in the middle may count, and nobody was told.
        assert done[0] <= client.properties_of("u")["n"] <= done[0] + 2
        assert before.isdisjoint(pids_of(server))
        log = (data.parent / "data.log").read_text()
        assert log.count('"event": "process_ended"') == 2, log


def test_the_counts_of_one_that_ended_are_not_lost(data, ada):
    with serving(data, "--workers", "2") as server:
        client = server.client(ada, "north")
        for _ in range(20):
            client.post("set", {"distinct_id": "u", "$set": {"a": 1}})
        until(lambda: told_by(server) == 20)
        for process in processes_of(server):
            process.kill()
        until(lambda: _answers(server.port))
        assert counted(server.client(ada, "north"), "traitbase_updates_total") == 20


def _answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return b"200 OK" in connection.recv(100)
    return False


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_ends_them_all(data, ending):
    with serving(data, "--workers", "2") as server:
        until(lambda: len(pids_of(server)) == 2 and _answers(server.port))
        processes = processes_of(server)
        server.process.send_signal(ending)
        assert server.wait() == 0
        assert not any(process.is_running() for process in processes)


def test_when_the_one_that_started_them_is_killed_they_end_too(data):
    with serving(data, "--workers", "2") as server:
        until(lambda: len(pids_of(server)) == 2 and _answers(server.port))
        processes = processes_of(server)
        server.kill()
        until(lambda: not any(process.is_running() for process in processes))


def test_a_worker_says_how_it_is_and_sends_all_others_away(data, ada):
    with serving(data, "--role", "worker") as server:
        client = server.client(ada, "north")
        assert [client.call("GET", path).status for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
        assert client.call("GET", "/readyz").json == {"status": "ok", "queue_waiting_updates": 0}
        for answer in (client.post("set", {"distinct_id": "u", "$set": {"a": 1}}), client.get("profiles/u")):
            assert (answer.status, "ask a server whose role is api or all" in answer.json["_message"]) == (404, True)


@pytest.mark.parametrize(("role", "chores"), [(Role.API, 3), (Role.CONSOLE, 3), (Role.WORKER, 8), (Role.ALL, 8)])
def test_only_one_kind_of_server_does_what_is_done_once_for_all(role, chores):
    nothing = object()
    app = TraitbaseApp(
        AppParts(
            MemoryStore(),
            nothing,
            bootstrap.now_us,
            bootstrap.new_request_id,
            bootstrap.new_profile_id,
            Vault([new_key()]),
            nothing,
            role=role,
        )
    )
    yielded = list(app._chores())
    for each in yielded:
        each.close()
    assert len(yielded) == chores


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--role", "worker", "--workers", "2"), "a worker is one process"),
        (("--role", "boss"), "--role: Input should be 'all', 'api', 'worker' or 'console'"),
        (("--workers", "0"), "--workers: Input should be greater than or equal to 1"),
    ],
)
def test_it_says_what_it_cannot_be(data, arguments, told):
    done = run_cli("serve", *arguments, data=data)
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
