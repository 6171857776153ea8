"""Storage that cannot be used: each case a clear message, nothing half applied, and it recovers by itself."""

from __future__ import annotations

import json
import os
import random
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from support.data import sqlite_only
from support.server import Server, make_cast, run_cli, serving

pytestmark = sqlite_only


def mount(folder: Path, *options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with a few megabytes of room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(folder, "size=12m"):
        pytest.skip("needs the right to mount a file system (root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write into a file until there is no room left (and keep what fitted)."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 65536)


def fill_up(disk: Path) -> Path:
    """Leave no byte free; return the file that takes up most of it."""
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space"):
        fill(filler)
    with pytest.raises(OSError, match="No space"):  # the last bytes of it
        (disk / "rest").write_bytes(b"\0" * 65536)
    return filler


def assert_plain(text: str) -> None:
    assert "Traceback" not in text, text
    assert text.startswith("error: "), text


def test_it_answers_503_on_a_full_disk_keeps_nothing_of_it_and_recovers(small_disk):
    data = small_disk / "data"
    cast = make_cast(data)
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        assert client.post("set", {"distinct_id": "before", "$set": {"a": 1}}).status == 202
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space"):
            fill(filler)
        value = "x" * 200
        refused = []
        for number in range(200):
            items = [{"distinct_id": f"u{number}-{item}", "action": {"$set": {"a": value}}} for item in range(200)]
            answer = client.post("batch", {"batch": items})
            if answer.status == 503:
                refused.append(number)
                assert answer.headers["retry-after"]
                assert "full" in answer.json["_message"]
                if len(refused) == 3:
                    break
            else:
                assert answer.status == 202, answer
        assert len(refused) == 3
        assert client.properties_of("before") == {"a": 1}
        assert all(client.properties_of(f"u{number}-{item}") is None for number in refused for item in (0, 199))
        answered = list(range(refused[0]))
        assert all(client.properties_of(f"u{number}-199") == {"a": value} for number in answered)
        filler.unlink()
        deadline = time.monotonic() + 20
        while client.post("set", {"distinct_id": "after", "$add": {"n": 1}, "$set": {"a": 1}}).status != 202:
            assert time.monotonic() < deadline
        assert client.properties_of("after") == {"a": 1}
        assert client.properties_of(f"u{refused[0]}-0") is None
        metrics = client.call("GET", "/metrics").text.decode()
        assert "traitbase_storage_failures_total 0.0" not in metrics
    # The log is on the full disk too: losing its lines must not have stopped anything.
    assert "Traceback" not in (small_disk / "data.log").read_text()


def test_it_says_that_a_read_only_data_folder_cannot_be_written_to(small_disk):
    data = small_disk / "data"
    cast = make_cast(data)
    with serving(data) as server:  # leaves a log behind, as a real one does
        server.client(cast.ada, "north").post("set", {"distinct_id": "u", "$set": {"a": 1}})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for command in (["serve", "--port", "0"], ["workspace", "create", "X"]):
        done = run_cli(*command, data=data)
        assert done.returncode == 2
        assert_plain(done.stderr)
        assert str(data) in done.stderr
        assert "read-only" in done.stderr


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["workspace", "list"]])
def test_it_says_that_a_data_folder_cannot_be_made(tmp_path, command):
    (tmp_path / "file").write_text("")
    done = run_cli(*command, data=tmp_path / "file" / "data")
    assert done.returncode == 2
    assert_plain(done.stderr)
    assert "--data" in done.stderr


def test_it_says_that_a_port_is_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_cli("serve", "--port", str(port), data=tmp_path / "data")
    assert done.returncode == 2
    assert_plain(done.stderr)
    assert f"port {port}" in done.stderr
    assert "--port" in done.stderr


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_it_says_that_an_address_cannot_be_listened_on(tmp_path, host):
    done = run_cli("serve", "--port", "0", "--host", host, data=tmp_path / "data")
    assert done.returncode == 2
    assert_plain(done.stderr)
    assert host in done.stderr


def test_it_refuses_a_database_of_a_newer_version(tmp_path):
    data = tmp_path / "data"
    make_cast(data)
    with sqlite3.connect(data / "traitbase.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    for command in (["serve", "--port", "0"], ["workspace", "list"]):
        done = run_cli(*command, data=data)
        assert done.returncode == 2
        assert_plain(done.stderr)
        assert "newer Traitbase" in done.stderr
        assert "9999" in done.stderr


def test_it_says_that_a_file_is_no_database(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "traitbase.db").write_bytes(b"not a database, surely" * 1000)
    done = run_cli("workspace", "list", data=data)
    assert done.returncode == 2
    assert_plain(done.stderr)
    assert "no Traitbase database" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("TRAITBASE_PORT", "x"), ("TRAITBASE_PORT", "70000"), ("TRAITBASE_LOG_LEVEL", "loud")]
)
def test_it_names_every_setting_at_fault(tmp_path, name, value):
    env = {**os.environ, name: value, "TRAITBASE_RECEIPT_DAYS": "-1"}
    done = run_cli("serve", data=tmp_path / "data", env=env)
    assert done.returncode == 2
    assert_plain(done.stderr)
    assert name in done.stderr
    assert "TRAITBASE_RECEIPT_DAYS" in done.stderr


def test_it_reads_settings_from_a_file_in_the_data_folder(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "traitbase.toml").write_text("log_level = 'warning'\nport = 'many'\nunknown = 1\n")
    done = run_cli("serve", data=data)
    assert_plain(done.stderr)
    file = data / "traitbase.toml"
    assert f"port in {file}: " in done.stderr
    assert f"unknown in {file}: " in done.stderr
    assert "TRAITBASE_" not in done.stderr
    (data / "traitbase.toml").write_text("no toml")
    done = run_cli("serve", data=data)
    assert_plain(done.stderr)
    assert "traitbase.toml" in done.stderr


def test_it_answers_503_at_once_when_the_queue_is_full(tmp_path):
    """Another process holds the storage, so nothing can be written: the queue fills, and then answers immediately."""
    data = tmp_path / "data"
    cast = make_cast(data)
    server = Server(data, env={"TRAITBASE_QUEUE_UPDATES": "50"})
    holder = sqlite3.connect(data / "traitbase.db", isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        waiting = [server.client(cast.ada, "north") for _ in range(3)]
        body = {"batch": [{"distinct_id": "u", "action": {"$add": {"n": 1}}}] * 40}
        for client in waiting:
            client.connection.request(
                "POST",
                f"{client.base}/profiles/properties/batch",
                json.dumps(body),
                {"Authorization": f"Bearer {cast.ada}"},
            )
            time.sleep(0.2)
        began = time.monotonic()
        answer = server.client(cast.ada, "north").post("batch", body)
        assert time.monotonic() - began < 2
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "queue is full" in answer.json["_message"]
        holder.execute("ROLLBACK")
        statuses = sorted(client.connection.getresponse().status for client in waiting)
        assert statuses in ([202, 202, 503], [202, 202, 202])
        accepted = statuses.count(202)
        for client in waiting:
            client.close()
        assert server.client(cast.ada, "north").properties_of("u") == {"n": 40 * accepted}
    finally:
        holder.close()
        server.stop()


def readiness(client) -> tuple[int, str]:
    answer = client.call("GET", "/readyz")
    return answer.status, answer.json.get("_message", "")


def wait_for_readiness(client, expected: int) -> None:
    deadline = time.monotonic() + 20
    while readiness(client)[0] != expected:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("names", [("traitbase.db",), ("traitbase.db-wal",), ("traitbase.db", "traitbase.db-wal")])
def test_it_is_not_ready_and_writes_nothing_while_its_files_are_gone(tmp_path, names):
    data = tmp_path / "data"
    cast = make_cast(data)
    aside = tmp_path / "aside"
    aside.mkdir()
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        assert client.post("set", {"distinct_id": "u", "$set": {"a": 1}}).status == 202
        for name in names:
            (data / name).rename(aside / name)
        status, message = readiness(client)
        assert status == 503
        assert "are gone or were replaced" in message
        assert str(data) in message
        for _ in range(3):
            answer = client.post("set", {"distinct_id": "u", "$set": {"a": 2}})
            assert (answer.status, "are gone or were replaced" in answer.json["_message"]) == (503, True)
        assert not any((data / name).exists() for name in names)
        for name in names:
            (aside / name).rename(data / name)
        assert readiness(client) == (200, "")
        assert client.post("set", {"distinct_id": "u", "$add": {"n": 1}, "$set": {"a": 3}}).status == 202
        assert client.properties_of("u") == {"a": 3}


def test_it_is_not_ready_while_its_disk_is_full(small_disk):
    data = small_disk / "data"
    cast = make_cast(data)
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        filler = fill_up(small_disk)
        wait_for_readiness(client, 503)
        assert "full" in readiness(client)[1]
        filler.unlink()
        wait_for_readiness(client, 200)


def test_it_greets_nobody_when_there_is_no_room_to_start_in(small_disk):
    """Without room for what a first start writes (the key, the database's log), and it leaves no half of it."""
    data = small_disk / "data"
    make_cast(data)
    filler = fill_up(small_disk)
    done = run_cli("serve", "--port", "0", data=data)
    assert (done.returncode, done.stdout) == (2, "")
    assert_plain(done.stderr)
    assert "full" in done.stderr or "No space left" in done.stderr
    assert not list(data.glob("*secret*"))
    filler.unlink()
    with serving(data) as server:
        assert readiness(server.client(None, "north"))[0] == 200


def test_it_says_that_a_database_is_another_programs(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    with sqlite3.connect(data / "traitbase.db") as database:
        database.execute("CREATE TABLE profiles (x)")
    database.close()
    for command in (["serve", "--port", "0"], ["workspace", "list"]):
        done = run_cli(*command, data=data)
        assert done.returncode == 2
        assert_plain(done.stderr)
        assert "another program's" in done.stderr


def test_it_says_that_a_host_name_is_none(tmp_path):
    done = run_cli("serve", "--port", "0", "--host", "a" * 100, data=tmp_path / "data")
    assert done.returncode == 2
    assert_plain(done.stderr)
    assert "--host" in done.stderr


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet"])
def test_it_leaves_nothing_of_an_export_that_the_disk_had_no_room_for(small_disk, tmp_path, format_):
    data = tmp_path / "data"
    make_cast(data)
    people = tmp_path / "people.csv"
    chance = random.Random(7)
    rows = (f"u{number},{chance.randbytes(100).hex()}\n" for number in range(3_000))  # cannot be compressed much
    people.write_text("distinct_id,note\n" + "".join(rows))
    space = ("--workspace", "north", "--environment", "live")
    assert run_cli("import", str(people), *space, data=data).returncode == 0
    with pytest.raises(OSError, match="No space"):
        fill(small_disk / "filler")
    os.truncate(small_disk / "filler", (small_disk / "filler").stat().st_size - 100_000)
    out = small_disk / f"people.{format_}"
    done = run_cli("export", *space, "--out", str(out), data=data)
    assert (done.returncode, done.stdout, [each.name for each in small_disk.iterdir()]) == (2, "", ["filler"])
    assert_plain(done.stderr)
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1
