"""Connections that break and servers that die while a write is on its way: each call still counts once."""

from __future__ import annotations

import http.client

import pytest

from support.receiver import Request, forward, receiving
from support.server import Server, make_cast
from traitbase import Client
from traitbase.client import BatchNotSent, Unavailable


def leave_unheard(request: Request, port: int) -> None:
    """Pass a request on and do not wait for its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(request.method, request.path, request.body, request.headers)
    connection.close()


@pytest.mark.parametrize("last_words", [forward, leave_unheard], ids=["after it answered", "before it answered"])
def test_an_add_counts_once_when_the_server_is_killed_between_two_tries(tmp_path, last_words):
    cast = make_cast(tmp_path / "data")
    servers = [Server(tmp_path / "data")]

    def dies_with_the_first_write(request):
        if request.method == "POST" and len(servers) == 1:
            last_words(request, servers[0].port)
            servers[0].kill()
            servers.append(Server(tmp_path / "data"))
            return None
        return forward(request, servers[-1].port)

    try:
        with receiving(dies_with_the_first_write) as proxy, Client(proxy.url, "north", cast.ada) as client:
            client.add("u", {"n": 1})
            assert [request.method for request in proxy.requests] == ["POST", "POST"]
            assert client.get_profile("u").properties == {"n": 1}
    finally:
        servers[-1].stop()


@pytest.fixture
def deaf_proxy(server):
    """Pass every request on, and cut the connection instead of answering the first write."""

    def answering(request):
        reply = forward(request, server.port)
        writes = [one for one in proxy.requests if one.method == "POST"]
        return None if request.method == "POST" and len(writes) == 1 else reply

    with receiving(answering) as proxy:
        yield proxy


def test_a_batch_counts_once_when_its_answer_is_lost(deaf_proxy, cast, me):
    with Client(deaf_proxy.url, "north", cast.ada) as client:
        with client.batch() as batch:
            for _ in range(100):
                batch.add(me, {"n": 1})
        assert client.get_profile(me).properties == {"n": 100}
        assert len(client.receipt(batch.request_ids[0]).applied) == 100


def test_what_could_not_be_told_counts_once_when_it_is_sent_again(deaf_proxy, cast, me):
    with Client(deaf_proxy.url, "north", cast.ada, max_retries=0) as client:
        batch = client.batch()
        batch.add(me, {"n": 1})
        with pytest.raises(BatchNotSent) as failed:
            batch.flush()
        client.resend(failed.value)
        assert client.get_profile(me).properties == {"n": 1}


def test_a_call_with_a_key_counts_once_when_it_is_made_again(deaf_proxy, cast, me):
    with Client(deaf_proxy.url, "north", cast.ada, max_retries=0) as client:
        with pytest.raises(Unavailable):
            client.with_key(f"order-{me}").add(me, {"n": 1})
        client.with_key(f"order-{me}").add(me, {"n": 1})
        assert client.get_profile(me).properties == {"n": 1}


def test_a_profile_is_made_once_and_no_conflict_when_its_answer_is_lost(deaf_proxy, cast, me):
    with Client(deaf_proxy.url, "north", cast.ada) as client:
        assert client.create_profile(me, name="Ada").message == "Profile created successfully"
        assert client.get_profile(me).name == "Ada"
    assert len([request for request in deaf_proxy.requests if request.method == "POST"]) == 2
