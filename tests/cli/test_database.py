"""`traitbase db`: the schema, the health of a database, and moving from the default to PostgreSQL."""

from __future__ import annotations

import json
from contextlib import closing

import psycopg
import pytest

from cli.test_exports import fill
from ingest.submitting import ingest_on, sent
from support.data import once, open_store
from support.postgres import cluster_database, empty_database, fresh_database, has_citus
from support.server import run_cli, run_json
from traitbase import bootstrap
from traitbase.domain.errors import Refused
from traitbase.domain.spaces import Space
from traitbase.domain.values import decode_properties
from traitbase.settings import load_settings
from traitbase.store import copying
from traitbase.store.postgres import open_postgres

pytestmark = once
SHOP = Space("shop", "live")


@pytest.fixture
def empty():
    with empty_database() as url:
        yield url


def on(url: str) -> dict[str, str]:
    return {"TRAITBASE_DATABASE_URL": url}


def rows_of(url: str) -> dict[str, dict[str, object]]:
    with closing(open_postgres(url)) as store, store.open_snapshot(SHOP) as snapshot:
        rows = [row for step in snapshot.read_profiles() for row in step]
    return {row.distinct_id: decode_properties(row.document) for row in rows}


def copy(data, url, *, on_step=lambda _name, _rows: None):
    return bootstrap.copy_store(
        load_settings(data=data, database_url=""), load_settings(database_url=url), on_step=on_step
    )


# --- migrate and check ---


def test_it_makes_the_tables_and_then_has_nothing_to_do(empty):
    made = run_cli("db", "migrate", "--json", env=on(empty))
    again = run_cli("db", "migrate", "--json", env=on(empty))
    newest = json.loads(made.stdout)["after"]
    assert json.loads(made.stdout) == {"before": None, "after": newest}
    assert json.loads(again.stdout) == {"before": newest, "after": newest}


def test_an_older_schema_is_refused_until_it_is_migrated():
    with fresh_database() as url:
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0000'")
        refused = run_cli("workspace", "list", env=on(url))
        assert (refused.returncode, "run traitbase db migrate" in refused.stderr) == (2, True)
        found = json.loads(run_cli("db", "check", "--json", env=on(url)).stdout)["checks"]
        assert [each["state"] for each in found if each["check"] == "schema"] == ["fault"]


def test_a_check_ends_with_1_only_if_something_is_wrong(empty, data):
    assert run_cli("db", "check", env=on(empty)).returncode == 0
    assert run_cli("db", "check", data=data).returncode == 0
    nobody_there = run_cli("db", "check", env=on("postgresql://me:geheim@127.0.0.1:1/x"))
    assert (nobody_there.returncode, "cannot be reached" in nobody_there.stdout) == (1, True)
    assert "geheim" not in nobody_there.stdout + nobody_there.stderr


# --- copy ---


def test_everything_is_copied_and_verified_and_the_server_goes_on_there(data, empty):
    fill(data, 3)
    with closing(open_store(data)) as store, closing(ingest_on(store)) as ingest:
        odd = {"text": "a\tb\\n\nü😀\u2028", "tiny": 1, "list": ["\\N", "x"], "yes": True}
        ingest.run([sent(("odd\\N", {"$set": odd}), space=SHOP)], wait_seconds=5)
        ingest.run([sent(("odd\\N", {"$add": {"tiny": 10**-18}}), space=SHOP)], wait_seconds=5)
    answer = run_json("db", "copy", "--to", empty, data=data)
    tables = {each["name"]: each for each in answer["tables"]}
    assert (tables["profiles"]["rows"], tables["profiles"]["copied"]) == (4, 4)
    assert rows_of(empty)["odd\\N"]["text"] == odd["text"]
    with closing(open_store(data)) as here, closing(open_postgres(empty)) as there:
        assert there.get_definitions(SHOP) == here.get_definitions(SHOP)
        assert there.list_workspaces() == here.list_workspaces()
        with closing(ingest_on(there)) as ingest:
            ingest.run([sent(("odd\\N", {"$set": {"text": "after"}}), space=SHOP)], wait_seconds=5)
    assert rows_of(empty)["odd\\N"]["text"] == "after"


def test_an_interrupted_copy_is_not_served_and_goes_on_where_it_was(data, empty, monkeypatch):
    monkeypatch.setattr(copying, "_ROWS_A_STEP", 100)
    fill(data, 1_000)
    steps = []

    def fail_in_the_middle(name, _rows):
        steps.append(name)
        if steps.count("profiles") == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(data, empty, on_step=fail_in_the_middle)
    with pytest.raises(Refused, match="not finished: run traitbase db copy again"):
        open_postgres(empty)
    copied = {each.name: (each.rows, each.copied) for each in copy(data, empty)}
    assert copied["profiles"] == (1_000, 600)  # four steps were there
    assert len(rows_of(empty)) == 1_000


def test_what_changed_in_the_source_meanwhile_is_brought_too(data, empty, monkeypatch):
    monkeypatch.setattr(copying, "_ROWS_A_STEP", 2)
    fill(data, 5)
    changed = []

    def change_it(name, _rows):
        if name == "profiles" and not changed:
            changed.append(name)
            with closing(open_store(data)) as store, closing(ingest_on(store)) as ingest:
                news = [
                    ("p00000", {"$set": {"note": "new"}}),
                    ("a0", {"$set": {"note": "a"}}),
                    ("z", {"$add": {"n": 1}}),
                ]
                ingest.run([sent(*news, space=SHOP)], wait_seconds=5)

    copy(data, empty, on_step=change_it)
    found = rows_of(empty)
    assert (len(found), found["p00000"], found["a0"], found["z"]) == (7, {"note": "new"}, {"note": "a"}, {"n": 1})


def test_a_row_that_was_copied_wrongly_is_put_right(data, empty):
    fill(data, 5)

    def interrupt(name, _rows):
        if name == "workspaces":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(data, empty, on_step=interrupt)
    with psycopg.connect(empty) as connection:
        connection.execute("UPDATE profiles SET document = '{}' WHERE distinct_id = 'p00003'")
        connection.execute("DELETE FROM profiles WHERE distinct_id = 'p00001'")
        connection.execute("UPDATE profiles SET distinct_id = 'stranger' WHERE distinct_id = 'p00002'")
    copy(data, empty)
    found = rows_of(empty)
    assert sorted(found) == [f"p0000{number}" for number in range(5)]
    assert all(properties == {"note": "=1+1"} for properties in found.values())


def test_it_is_not_mixed_with_what_is_there(data):
    fill(data, 1)
    with fresh_database() as url:
        with closing(open_postgres(url)) as store:
            store.put_subscription_settings(SHOP, "{}", at_us=1)
        done = run_cli("db", "copy", "--to", url, data=data)
        assert (done.returncode, "holds data already (in subscription_settings)" in done.stderr) == (2, True)


def test_it_says_what_it_needs(data, tmp_path):
    nowhere = run_cli("db", "copy", data=data)
    assert (nowhere.returncode, "name the database to copy into with --to" in nowhere.stderr) == (2, True)
    nothing = run_cli("db", "copy", "--to", "postgresql://127.0.0.1:1/x", data=tmp_path / "typo")
    assert (nothing.returncode, "there is no Traitbase data in" in nothing.stderr) == (2, True)
    assert not (tmp_path / "typo").exists()


# --- distribute ---


def test_the_tables_are_spread_and_the_server_goes_on_there(data):
    if not has_citus():
        pytest.skip("there is no Citus on the server that the tests run on")
    fill(data, 3)
    with cluster_database() as url:
        with psycopg.connect(url) as connection:
            connection.execute("DELETE FROM workspaces")
        run_json("db", "copy", "--to", url, data=data)
        done = run_cli("db", "distribute", "--json", env=on(url))
        assert done.returncode == 0, done.stderr
        places = {each["name"]: each["place"] for each in json.loads(done.stdout)["tables"]}
        assert (places["profiles"], places["workspaces"]) == ("spread by distinct_id", "on each server")
        assert "moved now" not in run_cli("db", "distribute", env=on(url)).stdout
        checks = json.loads(run_cli("db", "check", "--json", env=on(url)).stdout)["checks"]
        assert [each["state"] for each in checks if each["check"] == "places"] == ["ok"]
        with closing(open_postgres(url)) as store, closing(ingest_on(store)) as ingest:
            ingest.run([sent(("p00001", {"$set": {"note": "after"}}), space=SHOP)], wait_seconds=5)
        assert rows_of(url)["p00001"] == {"note": "after"}


def test_what_cannot_be_spread_says_what_it_needs(data, empty):
    of_a_file = run_cli("db", "distribute", data=data)
    assert (of_a_file.returncode, "name the coordinator of a Citus cluster" in of_a_file.stderr) == (2, True)
    without = run_cli("db", "distribute", env=on(empty))
    assert (without.returncode, "has no Citus: install it" in without.stderr) == (2, True)


# --- index ---


def test_a_property_gets_an_index_and_loses_it(data, empty):
    fill(data, 3)
    run_json("db", "copy", "--to", empty, data=data)
    made = run_cli("db", "index", "note", "--workspace", "shop", env=on(empty))
    assert (made.returncode, made.stdout) == (0, "The index of 'note' is made.\n")
    again = run_cli("db", "index", "note", "--workspace", "shop", env=on(empty))
    assert again.stdout == "The index of 'note' is there already.\n"
    [listed] = json.loads(run_cli("db", "index", "--json", env=on(empty)).stdout)["indexes"]
    assert (listed["workspace_id"], listed["environment"], listed["name"], listed["is_usable"]) == (
        *SHOP,
        "note",
        True,
    )
    gone = run_cli("db", "index", "note", "--workspace", "shop", "--drop", env=on(empty))
    assert gone.stdout == "The index of 'note' is gone.\n"
    assert json.loads(run_cli("db", "index", "--json", env=on(empty)).stdout) == {"indexes": []}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("note",), "name the property's workspace with --workspace"),
        (("nobody", "--workspace", "shop"), "there is no property 'nobody' in shop (live)"),
        (("note", "--workspace", "nowhere"), "there is no property 'note' in nowhere (live)"),
    ],
)
def test_an_index_that_cannot_be_made_says_why(empty, arguments, told):
    done = run_cli("db", "index", *arguments, env=on(empty))
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr


def test_a_file_has_no_use_for_an_index(data):
    fill(data, 1)
    done = run_cli("db", "index", "note", "--workspace", "shop", data=data)
    assert (done.returncode, "here the columnar copy answers" in done.stderr) == (2, True)
