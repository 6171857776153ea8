"""Connections: what a caller may cost, and what is not heard."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import uuid

import pytest

from support.raw import Line, chunked, one_more, request
from support.server import make_cast, run_json, serving

LONG_WAY = "X-Forwarded-For: 192.0.2.1"
WAYS = pytest.mark.parametrize("way", [(), (LONG_WAY,)], ids=["short", "long"])


def resident_bytes(server) -> int:
    with open(f"/proc/{server.process.pid}/statm") as file:  # noqa: PTH123  # a file of the kernel's
        return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize(
    "head",
    [
        b"POST /" + b"a" * 10_000_000,
        b"GET / HTTP/1.1\r\na: " + b"b" * 10_000_000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1_000_000,
    ],
    ids=["path", "one header", "many headers"],
)
def test_a_head_has_a_bounded_size(server, line, head):
    before = resident_bytes(server)
    answer = b""
    with contextlib.suppress(OSError):  # the server has heard enough
        line.send(head)
    with contextlib.suppress(OSError):  # and what was on its way when it closed may have swallowed its answer
        answer = line.file.readline()
    assert answer == b"" or b" 431 " in answer
    assert resident_bytes(server) - before < 20_000_000


def test_long_paths_are_not_remembered(server, cast):
    before = resident_bytes(server)
    for number in range(200):
        line = Line(server.port)
        line.send(request(b"{}", path=f"/v1/{number}{'x' * 60_000}/live/profiles/properties/set", key=cast.ada))
        assert line.answer()[0] in {404, 405}
        line.close()
    assert resident_bytes(server) - before < 10_000_000


def test_trailers_are_no_headers(line, ada, cast):
    me = uuid.uuid4().hex
    body = chunked(one_more(me)).removesuffix(b"\r\n")
    line.send(request(body + f"Authorization: Bearer {cast.ada}\r\n\r\n".encode(), "Transfer-Encoding: chunked"))
    assert line.answer()[0] == 401
    for _ in range(2):
        other = Line(line.socket.getpeername()[1])
        trailer = f"Idempotency-Key: {me}\r\n\r\n".encode()
        other.send(request(body + trailer, "Transfer-Encoding: chunked", key=cast.ada))
        assert other.answer()[0] == 202
        other.close()
    assert ada.properties_of(me) == {"n": 2}


@pytest.mark.parametrize("pause", [0, 0.3])
@pytest.mark.parametrize("inner", [False, True])
def test_an_offer_to_upgrade_is_declined_by_answering(line, ada, cast, pause, inner):
    """A body is a body, also if it looks like a request: nobody else's request is made of it."""
    me, victim = uuid.uuid4().hex, uuid.uuid4().hex
    body = request(one_more(victim), key=cast.ada) if inner else one_more(me)
    headers = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    sent = request(body, *headers, key=cast.ada)
    line.send(sent[: len(sent) - len(body)])
    time.sleep(pause)
    line.send(body)
    assert line.answer()[0] == (400 if inner else 202)
    line.send(request(one_more(me), key=cast.ada))
    assert line.answer()[0] == 202
    assert ada.properties_of(victim) is None
    assert ada.properties_of(me) == {"n": 1 if inner else 2}


def test_connect_is_refused(line):
    line.send(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n")
    assert line.answer()[0] == 405
    assert line.is_closed()


def test_what_is_no_http_is_refused_in_json(line):
    line.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    status, _, body = line.answer()
    assert (status, json.loads(body)["status"]) == (400, "error")
    assert line.is_closed()


@WAYS
def test_nothing_is_heard_after_an_answer_that_closes(line, ada, cast, way):
    me = uuid.uuid4().hex
    line.send(request(b"{}", *way, key="tb_wrong") + request(one_more(me), key=cast.ada))
    assert line.answer()[0] == 401
    line.socket.settimeout(20)
    with contextlib.suppress(ConnectionResetError):  # what was not read is thrown away
        assert line.file.read() == b""
    ada.post("set", {"distinct_id": f"{me}x", "$set": {"a": 1}})
    assert ada.properties_of(me) is None


@WAYS
def test_a_half_closed_connection_gets_its_answer(line, ada, cast, way):
    me = uuid.uuid4().hex
    line.send(request(one_more(me), *way, key=cast.ada))
    line.socket.shutdown(socket.SHUT_WR)
    assert line.answer()[0] == 202
    assert line.is_closed()
    assert ada.properties_of(me) == {"n": 1}


@WAYS
@pytest.mark.parametrize("header", ["Authorization: Bearer tb_x", "Idempotency-Key: b"])
def test_a_header_that_decides_comes_once(line, cast, way, header):
    line.send(request(one_more("twice"), *way, header, "Idempotency-Key: a", key=cast.ada))
    status, _, body = line.answer()
    assert status == 400
    assert "several times" in json.loads(body)["_message"]


def test_a_slow_request_behind_an_answer_is_not_cut(line, cast):
    """The idle time of the connection ends where the next request begins, also in the packet of the one before."""
    for _ in range(2):
        line.send(request(one_more("a"), key=cast.ada))
        assert line.answer()[0] == 202
    slow = request(one_more("b"), key=cast.ada)
    line.send(request(one_more("a"), key=cast.ada) + slow[:-30])
    assert line.answer()[0] == 202
    for byte in slow[-30:]:
        time.sleep(0.25)
        line.send(bytes([byte]))
    assert line.answer()[0] == 202


def test_a_head_may_begin_behind_many_requests(line, ada, cast):
    me = uuid.uuid4().hex
    sent = request(one_more(me), key=cast.ada)
    count = 2_000  # many times the size that one head may have
    line.send(sent * count + sent[:40])
    assert [line.answer()[0] for _ in range(count)] == [202] * count
    line.send(sent[40:])
    assert line.answer()[0] == 202
    assert ada.properties_of(me) == {"n": count + 1}


@pytest.mark.parametrize("good", [True, False])
def test_who_does_not_read_answers_is_not_read(server, cast, good):
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" if good else request(b"{", key=cast.ada)
    before = resident_bytes(server)
    unread = Line(server.port)
    unread.socket.settimeout(20)
    try:
        with pytest.raises(TimeoutError):
            unread.send(one * (60_000_000 // len(one)))
        assert resident_bytes(server) - before < 60_000_000
    finally:
        unread.close()


def test_only_the_operators_proxies_are_believed(tmp_path):
    data = tmp_path / "data"
    make_cast(data)
    key = run_json("keys", "create", "--workspace", "north", "--allow", "10.0.0.0/8", data=data)["api_key"]
    told = {"X-Forwarded-For": "10.1.1.1"}
    body = {"distinct_id": "u", "$set": {"a": 1}}
    with serving(data, env={"FORWARDED_ALLOW_IPS": "*"}) as server:
        client = server.client(key, "north")
        assert client.post("set", body, told).status == 401
        assert client.call("GET", f"{client.base}/profiles/u", headers=told).status == 401
    with serving(data, env={"TRAITBASE_PROXIES": "127.0.0.1"}) as server:
        assert server.client(key, "north").post("set", body).status == 401
        assert server.client(key, "north").post("set", body, told).status == 202
        assert server.client(key, "north").post("set", body, {"X-Forwarded-For": "10.1.1.1, 8.8.8.8"}).status == 401


def test_a_stopping_server_does_not_wait_for_half_a_request(tmp_path):
    cast = make_cast(tmp_path / "data")
    with serving(tmp_path / "data") as server:
        lines = [Line(server.port) for _ in range(2)]
        lines[0].send(request(one_more("half"), key=cast.ada)[:-1])
        lines[1].send(request(b" " * 100_000, key=cast.ada)[:-1])
        assert server.client(cast.ada, "north").get("profiles/half").status == 400
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 15
        for line in lines:
            line.close()
