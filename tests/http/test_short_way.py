"""The two ways of a request to the hot routes: by the short one or through ASGI, callers see no difference."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid

import pytest
import uvicorn
from uvicorn.server import ServerState

from support.raw import PATH, Line, chunked, one_more, request
from support.server import make_cast, serving
from traitbase.api.short_way import ShortWayProtocol


class TestBothWaysAnswerAlike:
    BODIES = (
        b'{"distinct_id": "%s", "$add": {"n": 1}}',
        b'{"distinct_id": "", "$add": {"n": 1}}',
        b'{"distinct_id": "x", "$add": {}}',
        b'{"distinct_id": "x", "$add": {"a": {"b": 1}}}',
        b"{",
        b"\xff",
        b"[]",
        b"[" * 60_000,
    )

    @pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
    @pytest.mark.parametrize("path", [PATH, PATH.replace("/numerical-add", "/batch"), PATH.replace("live", "test")])
    def test_to_bodies_of_all_kinds(self, line, cast, body, path):
        answers = []
        for headers in ((), ("X-Forwarded-For: 192.0.2.1",), ("Transfer-Encoding: chunked",)):
            sent = body.replace(b"%s", uuid.uuid4().hex.encode())
            sent = chunked(sent) if "Transfer-Encoding: chunked" in headers else sent
            line.send(request(sent, *headers, path=path, key=cast.ada))
            status, told, text = line.answer()
            answer = json.loads(text)
            answer.pop("request_id", None)
            told.pop("content-length")
            told.pop("date")
            answers.append((status, told, answer))
        assert answers[0] == answers[1] == answers[2]

    @pytest.mark.parametrize("headers", [(), ("X-Forwarded-For: 192.0.2.1",)], ids=["short", "long"])
    @pytest.mark.parametrize(
        ("key", "extra", "status"),
        [
            (None, (), 401),
            ("wrong", (), 401),
            ("bo", (), 403),
            ("cy", (), 401),
            ("ian", (), 202),
            ("ada", ("Idempotency-Key: ",), 400),
            ("ada", (f"Idempotency-Key: {'x' * 256}",), 400),
        ],
    )
    def test_to_callers_of_all_kinds(self, line, cast, headers, key, extra, status):
        secret = getattr(cast, key, "tb_wrong") if key else None
        line.send(request(one_more("somebody"), *headers, *extra, key=secret))
        answered, told, text = line.answer()
        assert answered == status
        assert json.loads(text)
        assert told["content-type"] == "application/json"
        assert ("connection" in told) == (told.get("connection") == "close")

    def test_and_share_one_idempotency_key(self, line, ada, cast):
        me = uuid.uuid4().hex
        ids = set()
        for headers in ((), ("X-Forwarded-For: 192.0.2.1",), ()):
            line.send(request(one_more(me), *headers, f"Idempotency-Key: {me}", key=cast.ada))
            status, _, text = line.answer()
            assert status == 202
            ids.add(json.loads(text)["request_id"])
        assert len(ids) == 1
        assert ada.properties_of(me) == {"n": 1}


class TestConnections:
    def test_take_requests_of_both_ways_in_turns(self, line, ada, cast):
        me = uuid.uuid4().hex
        for number in range(20):
            headers = ("X-Forwarded-For: 192.0.2.1",) if number % 3 == 1 else ()
            line.send(request(one_more(me), *headers, key=cast.ada))
            assert line.answer()[0] == 202
            if number % 5 == 0:
                line.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert line.answer()[2] == b'{"status":"ok"}'
        assert ada.properties_of(me) == {"n": 20}

    def test_answer_pipelined_requests_in_order(self, line, ada, cast):
        me = uuid.uuid4().hex
        bodies = [b'{"distinct_id": "%s", "$append": {"l": %d}}' % (me.encode(), number) for number in range(30)]
        path = PATH.replace("/numerical-add", "/list-append")
        line.send(b"".join([request(body, path=path, key=cast.ada) for body in bodies]))
        ids = []
        for _ in bodies:
            status, _, text = line.answer()
            assert status == 202
            ids.append(json.loads(text)["request_id"])
        assert ada.properties_of(me) == {"l": list(range(30))}
        assert len(set(ids)) == 30

    def test_answer_what_is_pipelined_behind_an_error(self, line, cast):
        line.send(request(b"{", key=cast.ada) + request(one_more("p"), key=cast.ada) + request(b"[", key=cast.ada))
        assert [line.answer()[0] for _ in range(3)] == [400, 202, 400]

    def test_take_a_request_byte_by_byte(self, line, ada, cast):
        me = uuid.uuid4().hex
        for position, byte in enumerate(request(one_more(me), key=cast.ada)):
            line.send(bytes([byte]))
            if position % 40 == 0:
                assert ada.properties_of(me) is None
        assert line.answer()[0] == 202
        assert ada.properties_of(me) == {"n": 1}

    @pytest.mark.parametrize("headers", [(), ("X-Forwarded-For: 192.0.2.1",)], ids=["short", "long"])
    @pytest.mark.parametrize("good", [True, False])
    def test_close_when_the_caller_asks_for_it(self, line, cast, headers, good):
        line.send(request(one_more("me") if good else b"{", *headers, "Connection: close", key=cast.ada))
        status, told, _ = line.answer()
        assert status == (202 if good else 400)
        assert told["connection"] == "close"
        assert line.is_closed()

    @pytest.mark.parametrize("headers", [(), ("Connection: keep-alive",)])
    def test_close_after_an_answer_to_an_old_protocol(self, line, cast, headers):
        line.send(request(one_more("me"), *headers, key=cast.ada, version="1.0"))
        assert line.answer()[0] == 202
        assert line.is_closed()

    @pytest.mark.parametrize("length", ["abc", "-1", "1 1", "99999999999999999999999"])
    def test_refuse_a_length_that_is_none(self, line, cast, length):
        line.send(request(b"", f"Content-Length: {length}", "Transfer-Encoding: identity", key=cast.ada))
        assert b" 400 " in line.file.readline()

    def test_refuse_two_lengths(self, line, cast):
        line.send(request(one_more("me"), "Content-Length: 5", key=cast.ada))
        assert b" 400 " in line.file.readline()

    def test_apply_nothing_of_a_body_whose_sender_goes_away(self, server, ada, cast):
        me = uuid.uuid4().hex
        body = one_more(me)
        left = Line(server.port)
        left.send(request(body, key=cast.ada, length=len(body) + 1))
        left.close()
        assert ada.post("numerical-add", {"distinct_id": f"{me}x", "$add": {"n": 1}}).status == 202
        assert ada.properties_of(me) is None

    def test_apply_a_whole_request_whose_sender_does_not_wait(self, server, ada, cast):
        me = uuid.uuid4().hex
        for _ in range(20):
            left = Line(server.port)
            left.send(request(one_more(me), key=cast.ada))
            left.close()
        for _ in range(1_000):
            if ada.properties_of(me) == {"n": 20}:
                return
        raise AssertionError(ada.properties_of(me))

    def test_are_closed_when_they_have_been_idle_for_long(self, line, cast):
        for _ in range(3):
            line.send(request(one_more("me"), key=cast.ada))
            assert line.answer()[0] == 202
        assert line.is_closed()

    def test_are_not_closed_within_a_request_however_slow(self, line, cast):
        line.send(request(one_more("me"), key=cast.ada))
        assert line.answer()[0] == 202
        slow = request(one_more("me"), key=cast.ada)
        line.send(slow[:-1])
        threading.Event().wait(7)  # longer than a connection may be idle
        line.send(slow[-1:])
        assert line.answer()[0] == 202
        assert line.is_closed()


def test_a_stopping_server_answers_all_that_it_applies(tmp_path):
    cast = make_cast(tmp_path / "data")
    with serving(tmp_path / "data") as server:
        lines = [Line(server.port) for _ in range(40)]
        for line in lines:
            line.send(request(one_more("warm"), key=cast.ada))
            assert line.answer()[0] == 202
        for line in lines:
            line.send(request(one_more("last"), key=cast.ada))
        assert server.stop() == 0
        answered = 0
        for line in lines:
            rest = line.file.read()  # to the end: the server closed the connection
            assert rest == b"" or rest.startswith(b"HTTP/1.1 202 ")
            answered += bool(rest)
            line.close()
    with serving(tmp_path / "data") as server:
        profile = server.client(cast.ada, "north").properties_of("last")
    assert (profile or {"n": 0}) == {"n": answered}


class TestTheWayIsChosen:
    """In this process, with an application that says when it is asked."""

    class Endpoints:
        def admits_at_once(self, authorization):
            return authorization != b"Bearer far-away"

        def admit(self, _call, _authorization, _client):
            return "key"

        def accept(self, _call, _body, _idempotency_key, *, settled, **_key_id):
            settled(b'"short"')

        def count(self, _call, _status):
            pass

    @pytest.mark.parametrize(
        ("sent", "way"),
        [
            (request(b"{}"), "short"),
            (request(b" " * 65_536), "short"),
            (request(b" " * 65_537), "long"),
            (request(b"{}", "Content-Type: text/plain", "X-Anything: else"), "short"),
            (request(b"{}", path=f"{PATH}/"), "short"),
            (request(b"{}", path=f"{PATH}?a=b"), "long"),
            (request(b"{}", path=PATH.replace("north", "n%6Frth")), "long"),
            (request(b"{}", path=PATH.replace("numerical-add", "nothing")), "long"),
            (request(b"{}", path=PATH.replace("live", "dead")), "long"),
            (request(b"{}", "X-Forwarded-For: 192.0.2.1"), "long"),
            (request(b"{}", "Content-Encoding: gzip"), "long"),
            (request(b"{}", "Expect: 100-continue"), "long"),
            (request(b"{}", "Authorization: Bearer a", "Authorization: Bearer b"), "long"),
            (request(b"0\r\n\r\n", "Transfer-Encoding: chunked"), "long"),
            (request(b"{}", version="1.0"), "long"),
            (request(b"{}", "Authorization: Bearer far-away"), "long"),
            (request(b"{}", "Authorization: Bearer nearby"), "short"),
            (request(b"{}").replace(b"POST", b"PUT", 1), "long"),
        ],
    )
    def test_by_what_the_request_needs(self, sent, way):
        async def application(scope, _receive, send):
            assert scope["headers"]
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
            await send({"type": "http.response.body", "body": b'"long"'})

        assert asyncio.run(self.talk(application, sent)).endswith(f'"{way}"'.encode())

    async def talk(self, application, sent: bytes) -> bytes:
        config = uvicorn.Config(application, http="httptools", log_config=None)
        config.load()

        def protocol() -> ShortWayProtocol:
            return ShortWayProtocol(self.Endpoints(), config=config, server_state=ServerState(), app_state={})

        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 100 " in head:
                head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            writer.close()
            await writer.wait_closed()
        return body
