"""`traitbase keys`, beside a running server."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from support.data import open_store
from support.server import run_cli, run_json, serving


def test_a_key_is_shown_once_and_kept_nowhere(data):
    done = run_cli("keys", "create", "--workspace", "shop", "--name", "backend", data=data)
    assert done.returncode == 0
    secret = done.stdout.strip()
    assert secret.startswith("tb_")
    assert secret not in done.stderr
    assert "Keep it now: it is not shown again." in done.stderr
    listed = run_cli("keys", "list", "--workspace", "shop", data=data, env={"COLUMNS": "200"})
    assert secret not in listed.stdout
    assert "backend" in listed.stdout
    assert all(secret.encode() not in file.read_bytes() for file in data.iterdir())


def test_scripts_get_one_object(data):
    made = run_json(
        "keys",
        "create",
        "--workspace=shop",
        "--environment=test",
        "--scope=ingest",
        "--name=ci",
        "--days=1",
        "--allow=10.0.0.0/8",
        data=data,
    )
    assert made.pop("api_key").startswith("tb_")
    assert made["expires_at"] > made["created_at"]
    [listed] = run_json("keys", "list", "--workspace", "shop", data=data)["items"]
    assert listed == {**made, "last_used_at": None}
    assert {
        name: made[name] for name in ("workspace_id", "environment", "scope", "name", "networks", "revoked_at")
    } == {
        "workspace_id": "shop",
        "environment": "test",
        "scope": "ingest",
        "name": "ci",
        "networks": ["10.0.0.0/8"],
        "revoked_at": None,
    }


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--workspace", "nowhere"), "there is no workspace 'nowhere' (there is: shop)"),
        (("--workspace", "shop", "--scope", "root"), "'root' is not one of"),
        (("--workspace", "shop", "--environment", "prod"), "'prod' is not one of"),
        (("--workspace", "shop", "--days", "0"), "--days"),
        (("--workspace", "shop", "--allow", "example.com"), "'example.com'"),
        (("--workspace", "shop", "--name", "x" * 256), "name"),
        ((), "--workspace"),
    ],
)
def test_it_names_what_it_cannot_accept(data, arguments, named):
    done = run_cli("keys", "create", *arguments, data=data, env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert (done.returncode, done.stdout) == (2, "")
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    with closing(open_store(data)) as store:
        assert store.list_api_keys("shop") == []


def test_a_key_works_at_once_and_not_any_more_once_it_is_revoked(data):
    with serving(data) as server:
        made = run_json("keys", "create", "--workspace", "shop", data=data)
        client = server.client(made["api_key"], "shop")
        assert client.post("set", {"distinct_id": "u", "$set": {"a": 1}}).status == 202
        assert run_json("keys", "revoke", made["key_id"], data=data) == {"revoked": made["key_id"]}
        deadline = time.monotonic() + 20
        while client.post("set", {"distinct_id": "u", "$set": {"a": 2}}).status == 202:
            assert time.monotonic() < deadline
        assert client.post("set", {"distinct_id": "u", "$set": {"a": 3}}).status == 401
        assert run_cli("keys", "revoke", made["key_id"], data=data).returncode == 2
        assert server.stop() == 0
    [listed] = run_json("keys", "list", "--workspace", "shop", data=data)["items"]
    assert listed["revoked_at"] is not None
    assert listed["last_used_at"] is not None


def test_a_key_that_does_not_exist_cannot_be_revoked(data):
    done = run_cli("keys", "revoke", "key_000000000000", data=data)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no key 'key_000000000000' that is still valid" in done.stderr
