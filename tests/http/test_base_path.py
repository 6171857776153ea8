"""`TRAITBASE_BASE_PATH`: the API is found under another path, too, whichever way a request takes."""

from __future__ import annotations

import gzip
import json
import os

import pytest

from support.server import make_cast, run_cli, serving


@pytest.fixture(scope="module")
def ada(tmp_path_factory):
    data = tmp_path_factory.mktemp("base") / "data"
    cast = make_cast(data)
    with serving(data, env={"TRAITBASE_BASE_PATH": "/compat/fyno"}) as server:
        yield server.client(cast.ada, "north")


@pytest.mark.parametrize("base", ["", "/compat/fyno"])
def test_it_takes_updates_there(ada, base):
    me = f"set{len(base)}"
    target = f"{base}{ada.base}/profiles/properties/set"
    body = json.dumps({"distinct_id": me, "$set": {"a": 1}}).encode()
    assert ada.call("POST", target, body).status == 202
    assert ada.call("POST", f"{target}/", gzip.compress(body), {"Content-Encoding": "gzip"}).status == 202
    assert ada.properties_of(me) == {"a": 1}


@pytest.mark.parametrize("base", ["", "/compat/fyno"])
def test_it_finds_an_id_with_slashes_there(ada, base):
    me = f"a/{len(base)}"
    path = f"{base}{ada.base}/profiles/a%2F{len(base)}/"
    assert ada.call("POST", f"{base}{ada.base}/profiles/", {"distinct_id": me}).status == 201
    assert ada.call("PUT", path, {"name": "N"}).status == 200
    assert ada.call("GET", path).json["distinct_id"] == me


@pytest.mark.parametrize(
    "path", ["/compat/fyno", "/compat/fyno/", "/compat/fynov1", "/compat", "/compat/fyno/compat/fyno/healthz"]
)
def test_it_finds_nothing_beside_it(ada, path):
    answer = ada.call("GET", path)
    assert (answer.status, answer.json["status"]) == (404, "error")


def test_it_counts_a_replay_once_however_the_path_is_written(ada):
    token = {"Idempotency-Key": "one"}
    answers = [
        ada.call("PUT", f"{base}{ada.base}/profiles/nobody", {"name": "x"}, token) for base in ("", "/compat/fyno")
    ]
    assert [answer.status for answer in answers] == [400, 400]
    made = [
        ada.call("POST", f"{base}{ada.base}/profiles", {"distinct_id": "once"}, token) for base in ("", "/compat/fyno")
    ]
    assert [answer.status for answer in made] == [201, 201]
    assert made[0].text == made[1].text


@pytest.mark.parametrize("base", ["", "/compat/fyno"])
def test_it_leads_to_the_next_page_there(ada, base):
    path = f"{base}/v1/north/suppressions"
    for number in range(2):
        assert ada.call("POST", path, {"distinct_id": f"{base}{number}", "channel": "sms"}).status == 200
    link = ada.call("GET", f"{path}?limit=1").headers["link"]
    target = link[1 : link.index(">")]
    assert target.startswith(f"{path}?limit=1&cursor=")
    assert len(ada.call("GET", target).json) == 1


def test_it_serves_its_documentation_there(ada):
    page = ada.call("GET", "/compat/fyno/docs").text.decode()
    assert "/compat/fyno/openapi.json" in page
    assert ada.call("GET", "/compat/fyno/openapi.json").json["servers"] == [{"url": "/compat/fyno"}]
    assert ada.call("GET", "/compat/fyno/docs/assets/swagger-ui.css").status == 200


@pytest.mark.parametrize("value", ["compat", "/", "/compat/", "//compat", "/a b", "/a/../b", "/%61", "/v1", "/docs/x"])
def test_it_refuses_a_base_path_that_is_none(tmp_path, value):

    done = run_cli("serve", data=tmp_path / "data", env={**os.environ, "TRAITBASE_BASE_PATH": value})
    assert done.returncode == 2
    assert "TRAITBASE_BASE_PATH" in done.stderr
