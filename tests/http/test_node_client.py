"""A public Node client's own requests, byte for byte, are answered as that client expects.

The recording is `tests/data/fyno_node.json`. Events (`/event`, `/event/bulk`), which the client fires too, are not in
it: there are none yet. Its WhatsApp number `+1555` is none, and is refused: destinations are validated.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.raw import Line
from support.server import make_cast, serving

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "fyno_node.json").read_text())["requests"]
CHANGING = {"profile_id", "created_at", "updated_at"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A server where nobody has been yet, and a key for it."""
    data = tmp_path_factory.mktemp("node") / "data"
    cast = make_cast(data)
    with serving(data, env={"TRAITBASE_BASE_PATH": "/compat/fyno"}) as server:
        line = Line(server.port)
        yield line, cast.ada
        line.close()


def send(place, method, target, headers, body):
    """Send a request as it was recorded; a client adds `Host` and `Content-Length` for wherever it sends it."""
    line, key = place
    sent = b"" if body is None else body.encode()
    named = [f"{name}: {value.replace('APIKEY', key)}" for name, value in headers.items()]
    head = [f"{method} {target.replace('WSID', 'north')} HTTP/1.1", *named, "Host: x", f"Content-Length: {len(sent)}"]
    line.send("\r\n".join([*head, "", ""]).encode() + sent)
    status, _, answer = line.answer()
    return status, json.loads(answer)


@pytest.mark.parametrize("number", range(len(RECORDED)), ids=[request["what"] for request in RECORDED])
def test_it_answers_the_client_as_it_expects(place, number):
    request = RECORDED[number]
    if "before" in request:
        before = request["before"]
        status, _ = send(place, before["method"], before["target"], request["headers"], json.dumps(before["body"]))
        assert status in (200, 201)
    status, answer = send(place, request["method"], request["target"], request["headers"], request["body"])
    expected = request["expected"]
    if "profile" in expected:
        assert {name: "…" if name in CHANGING else value for name, value in answer.items()} == expected["profile"]
    else:
        assert answer["_message"] == expected["message"]
        assert answer["status"] == ("ok" if expected["status"] < 300 else "error")
    assert status == expected["status"]


def test_carries_every_call_but_events():
    assert len(RECORDED) == 36
    assert not [request for request in RECORDED if "/event" in request["target"]]
