"""Bodies: compressed, too large, cut short."""

from __future__ import annotations

import gzip
import json
import socket
import uuid
import zlib

import pytest
import zstandard

LIMIT = 10 * 1024 * 1024


def bare_deflate(text: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(text) + stream.flush()


def two_members(text: bytes) -> bytes:
    return gzip.compress(text[:20]) + gzip.compress(text[20:])


WAYS = {
    "gzip": gzip.compress,
    "x-gzip": two_members,
    "deflate": zlib.compress,
    "DEFLATE": bare_deflate,
    "zstd": zstandard.ZstdCompressor().compress,
    "identity": bytes,
}


@pytest.mark.parametrize("encoding", WAYS)
def test_it_takes_compressed_bodies(ada, encoding):
    me = uuid.uuid4().hex
    text = json.dumps({"batch": [{"distinct_id": me, "action": {"$add": {"n": 1}}}] * 500}).encode()
    answer = ada.post("batch", WAYS[encoding](text), {"Content-Encoding": encoding})
    assert answer.status == 202, answer
    assert ada.properties_of(me) == {"n": 500}


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "x"])
def test_it_answers_415_for_other_encodings(ada, encoding):
    answer = ada.post("set", b"...", {"Content-Encoding": encoding})
    assert answer.status == 415
    assert "gzip, deflate, zstd" in answer.json["_message"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("cut", [1, 3, 9, 30])
def test_it_refuses_a_compressed_body_that_is_cut_short_or_damaged(ada, encoding, cut):
    me = uuid.uuid4().hex
    text = WAYS[encoding](json.dumps({"distinct_id": me, "$set": {"a": "x" * 200}}).encode())
    assert ada.post("set", text[:-cut], {"Content-Encoding": encoding}).status == 400
    assert ada.post("set", b"\x00" * 20 + text, {"Content-Encoding": encoding}).status == 400
    assert ada.properties_of(me) is None


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_it_stops_at_a_decompression_bomb(ada, server, encoding):
    zeros = b" " * (64 * 1024 * 1024)
    bomb = WAYS[encoding](zeros)
    before = resident_bytes(server)
    for _ in range(5):
        answer = server.client(ada.key, "north").post("set", bomb, {"Content-Encoding": encoding})
        assert answer.status == 413
        assert "10 MB" in answer.json["_message"]
    assert resident_bytes(server) - before < 4 * LIMIT


def resident_bytes(server) -> int:
    with open(f"/proc/{server.process.pid}/statm") as file:  # noqa: PTH123  # a file of the kernel's
        return int(file.read().split()[1]) * 4096


def padded(size: int, me: str) -> bytes:
    body = json.dumps({"distinct_id": me, "$set": {"a": 1}}).encode()
    return body + b" " * (size - len(body))


def test_it_takes_ten_megabytes_and_refuses_one_byte_more(server, ada):
    me = uuid.uuid4().hex
    refused = server.client(ada.key, "north").post("set", padded(LIMIT + 1, me))
    assert refused.status == 413
    assert ada.properties_of(me) is None
    assert ada.post("set", padded(LIMIT, me)).status == 202
    assert ada.properties_of(me) == {"a": 1}


def head_of_set(client, length: str) -> str:
    lines = [
        f"POST {client.base}/profiles/properties/set HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {client.key}",
        length,
    ]
    return "\r\n".join([*lines, "", ""])


@pytest.mark.parametrize("chunked", [False, True])
def test_it_refuses_a_large_body_early(server, ada, chunked):
    """Of a gigabyte announced (or streamed), the server reads at most a little more than its limit."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {1024**3}"
    head = head_of_set(ada, length)
    piece = b" " * 65536
    if chunked:
        piece = b"10000\r\n" + piece + b"\r\n"
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as raw:
        raw.sendall(head.encode())
        raw.settimeout(0.05)
        answer = b""
        while not answer and sent < 6 * LIMIT:
            try:
                raw.sendall(piece)
                sent += len(piece)
                answer = raw.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                break
    assert b" 413 " in answer or sent < 4 * LIMIT


@pytest.mark.parametrize("chunked", [False, True])
def test_it_applies_nothing_of_a_body_whose_sender_goes_away(server, ada, chunked):
    me = uuid.uuid4().hex
    body = json.dumps({"distinct_id": me, "$set": {"a": 1}}).encode()
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body) + 1}"
    sent = b"%x\r\n%s\r\n" % (len(body), body) if chunked else body
    head = head_of_set(ada, length)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(head.encode() + sent)
    for _ in range(3):
        assert ada.post("set", {"distinct_id": f"{me}x", "$set": {"a": 1}}).status == 202
    assert ada.properties_of(me) is None
