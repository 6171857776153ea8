"""Requests by the byte, for what no HTTP library would send."""

from __future__ import annotations

import json
import socket

PATH = "/v1/north/live/profiles/properties/numerical-add"


def request(
    body: bytes,
    *headers: str,
    path: str = PATH,
    key: str | None = None,
    version: str = "1.1",
    length: int | None = None,
) -> bytes:
    """Return a POST as bytes. Without a `Transfer-Encoding` it says its length."""
    lines = [f"POST {path} HTTP/{version}", "Host: x", *headers]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    if not any(header.lower().startswith("transfer-encoding") for header in headers):
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def one_more(me: str) -> bytes:
    return json.dumps({"distinct_id": me, "$add": {"n": 1}}).encode()


class Line:
    """A connection, by the byte."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")

    def send(self, sent: bytes) -> None:
        self.socket.sendall(sent)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return the next answer: status, headers, body."""
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline().decode().strip()) != "":
            name, value = line.split(": ", 1)
            headers[name] = value
        return status, headers, self.file.read(int(headers["content-length"]))

    def is_closed(self) -> bool:
        """Wait for the other side to close (30 s at most); False if it said something instead."""
        return self.file.read(1) == b""

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def chunked(body: bytes) -> bytes:
    parts = [part for part in (body[:7], body[7:]) if part]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
