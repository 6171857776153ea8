"""`traitbase cohort`: the engine without a server, and beside one."""

from __future__ import annotations

import pytest

from support.server import make_cast, run_cli, run_json, serving


@pytest.fixture
def folder(tmp_path):
    """A data folder with three people and two cohorts, and no server."""
    data = tmp_path / "data"
    cast = make_cast(data)
    with serving(data) as server:
        client = server.client(cast.ada, "north")
        for distinct_id, plan in (("ann", "pro"), ("bob", "free"), ("cid", "pro")):
            assert client.post("set", {"distinct_id": distinct_id, "$set": {"plan": plan}}).status == 202
        rule = {"field": "plan", "operator": "=", "value": "pro"}
        for body in (
            {"name": "Pros", "filter": {"rules": [rule]}},
            {"name": "List", "kind": "static", "members": ["bob"]},
        ):
            assert client.call("POST", f"{client.base}/cohorts", body).status == 201
    return data


def cohort(*arguments: str, data) -> tuple[int, str, str]:
    done = run_cli("cohort", *arguments, "--workspace", "north", data=data)
    return done.returncode, done.stdout, done.stderr


def test_it_counts_and_lists(folder):
    assert cohort("count", "Pros", data=folder) == (0, "2 of 3 profiles are in “Pros”.\n", "")
    assert cohort("members", "Pros", data=folder) == (0, "ann\ncid\n", "")
    assert cohort("members", "Pros", "--limit", "1", data=folder) == (0, "ann\n", "")
    counted = run_json("cohort", "count", "List", "--workspace", "north", data=folder)
    assert (counted["count"], counted["total"]) == (1, 3)
    assert cohort("count", counted["cohort_id"], data=folder)[1] == "1 of 3 profiles are in “List”.\n"


def test_it_explains(folder):
    shown = 'bob is not in “Pros”.\n✗ all of\n  ✗ plan = "pro" (saw "free")\n'
    assert cohort("explain", "Pros", "bob", data=folder) == (0, shown, "")
    assert cohort("explain", "List", "bob", data=folder)[1].startswith("bob is in “List”.\n")
    status, _, told = cohort("explain", "Pros", "nobody", data=folder)
    assert (status, told) == (2, "error: there is no profile with this distinct_id\n")


@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
def test_it_exports_and_does_not_replace_by_itself(folder, tmp_path, suffix):
    out = tmp_path / f"pros.{suffix}"
    assert cohort("export", "Pros", "--out", str(out), data=folder)[0] == 0
    content = out.read_bytes()
    assert [name for name in (b"ann", b"bob", b"cid") if name in content] == [b"ann", b"cid"]
    status, _, told = cohort("export", "Pros", "--out", str(out), data=folder)
    assert (status, "--force" in told) == (2, True)
    assert cohort("export", "Pros", "--out", str(tmp_path / "pros.xls"), data=folder)[0] == 2


def test_it_names_the_cohorts_that_there_are(folder):
    status, _, told = cohort("count", "Others", data=folder)
    assert (status, told) == (2, "error: there is no cohort 'Others' here; there are: “List”, “Pros”\n")


def test_it_answers_beside_a_server_that_owns_the_copy(folder):
    with serving(folder):
        assert cohort("count", "Pros", data=folder) == (0, "2 of 3 profiles are in “Pros”.\n", "")
