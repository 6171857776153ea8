"""Senders against real servers on loopback: what each answer means, and what is refused, bounded and escaped."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.mail import Mailbox, Sink
from traitbase.domain.errors import InvalidInput
from traitbase.domain.integrations import Security, Smtp, parse_integration
from traitbase.senders.smtp import SmtpSender, build_email
from traitbase.senders.through_apprise import AppriseSender
from traitbase.senders.webhook import WebhookSender, networks_of
from traitbase.services.campaigns.ports import Message, OutcomeKind
from traitbase.services.campaigns.sealing import signature_of

LOOPBACK = networks_of("127.0.0.0/8, ::1/128")


def message(number: int = 0, to: str = "a@x.test", **changes: object) -> Message:
    given = {"subject": "Grüße 🎉", "html": "<p>Hé</p>", "text": ".\n.dots\nHé", **changes}
    return Message(f"ru_1-{number}", "email", (to,), given["subject"], given["html"], given["text"])


def smtp(port: int, **changes: object) -> SmtpSender:
    given = {"security": Security.NONE, "username": None, "connections": 4, **changes}
    settings = Smtp(
        "127.0.0.1", port, given["security"], given["username"], "from@x.test", "The Shop", None, given["connections"]
    )
    return SmtpSender(settings, "secret")


@contextlib.contextmanager
def mail(mailbox: Mailbox, **changes: object) -> Iterator[SmtpSender]:
    with Sink(mailbox) as sink:
        sender = smtp(sink.port, **changes)
        yield sender
        sender.close()


class TestMail:
    def test_arrives_as_it_was(self):
        mailbox = Mailbox()
        with mail(mailbox) as sender:
            outcome = sender.send(message())
        assert outcome.kind is OutcomeKind.SENT
        (found,) = mailbox.messages
        assert (found["Subject"], found["From"], found["To"]) == ("Grüße 🎉", "The Shop <from@x.test>", "a@x.test")
        assert found["Message-ID"] == "<ru_1-0@x.test>"
        assert found.get_body(("plain",)).get_content().replace("\r\n", "\n") == ".\n.dots\nHé"
        assert found.get_body(("html",)).get_content() == "<p>Hé</p>"

    def test_goes_over_connections_that_are_kept(self):
        mailbox = Mailbox()
        seen = set()
        mailbox.answer = lambda _recipient: None
        with mail(mailbox) as sender:
            for number in range(50):
                assert sender.send(message(number, f"r{number}@x.test")).kind is OutcomeKind.SENT
            seen.add(sender._idle.qsize())
        assert seen == {1}
        assert len(mailbox.recipients) == 50

    @pytest.mark.parametrize("pipelining", [False, True])
    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            ("550 5.1.1 no such user", OutcomeKind.REJECTED),
            ("452 4.2.2 mailbox full", OutcomeKind.DEFERRED),
            ("421 closing", OutcomeKind.UNREACHABLE),
        ],
    )
    def test_an_answer_to_one_recipient_means_what_it_says(self, answer, kind, *, pipelining):
        mailbox = Mailbox(lambda recipient: answer if recipient.startswith("bad") else None)
        mailbox.pipelining = pipelining
        with mail(mailbox) as sender:
            kinds = [sender.send(message(n, to)).kind for n, to in enumerate(["bad@x.test", "good@x.test"])]
        assert kinds == [kind, OutcomeKind.SENT]
        assert mailbox.recipients == {"good@x.test": 1}

    def test_a_connection_lost_before_the_answer_is_not_known(self):
        mailbox = Mailbox()
        mailbox.drops_after = lambda recipient: recipient.startswith("lost")
        with mail(mailbox) as sender:
            kinds = [sender.send(message(n, to)).kind for n, to in enumerate(["lost@x.test", "good@x.test"])]
        assert kinds == [OutcomeKind.UNKNOWN, OutcomeKind.SENT]
        assert mailbox.recipients == {"lost@x.test": 1, "good@x.test": 1}, "the server had taken it"

    def test_nobody_there_is_unreachable(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            outcome = smtp(taken.getsockname()[1]).send(message())
        assert outcome.kind is OutcomeKind.UNREACHABLE
        assert "cannot be reached" in outcome.detail

    def test_a_server_that_does_not_encrypt_is_misconfigured(self):
        with Sink(Mailbox()) as sink:
            outcome = smtp(sink.port, security=Security.STARTTLS).send(message())
            assert outcome.kind is OutcomeKind.MISCONFIGURED
            assert "see settings.security" in outcome.detail
            assert "secret" not in outcome.detail

    def test_a_slow_server_is_waited_for(self):
        mailbox = Mailbox()
        mailbox.seconds = 0.3
        with mail(mailbox) as sender:
            assert sender.send(message()).kind is OutcomeKind.SENT

    @pytest.mark.parametrize("subject", ["a\r\nBcc: v@x.test", "a\nb", "a\0b"])
    def test_no_header_begins_another_one(self, subject):
        settings = Smtp("h", 25, Security.NONE, None, "from@x.test", None, None, 1)
        with pytest.raises(ValueError, match="Subject would be more than one line"):
            build_email(message(subject=subject), settings)


class Hook(BaseHTTPRequestHandler):
    """Answers as its server says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((dict(self.headers), body))
        status, headers, said = self.server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(said)

    def log_message(self, *_arguments):
        pass


@contextlib.contextmanager
def hook(answer=(200, {}, b"{}")):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.answer = [], answer
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def webhook(port: int, allowed=LOOPBACK, host: str = "127.0.0.1") -> WebhookSender:
    return WebhookSender(f"http://{host}:{port}/in?x=1", "whsec", allowed, now_us=lambda: 1_790_000_000_000_000)


class TestWebhooks:
    def test_are_signed_json_with_the_deliverys_id(self):
        with hook() as server:
            sender = webhook(server.server_port)
            outcomes = [sender.send(message(number)) for number in range(3)]
            sender.close()
        assert [outcome.kind for outcome in outcomes] == [OutcomeKind.SENT] * 3
        headers, body = server.got[0]
        assert headers["Idempotency-Key"] == json.loads(body)["delivery_id"] == "ru_1-0"
        expected = signature_of("whsec", headers["Traitbase-Timestamp"], body)
        assert headers["Traitbase-Signature"] == f"v1={expected}"
        assert json.loads(body)["subject"] == "Grüße 🎉"

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "169.254.169.254", "10.0.0.1"])
    def test_to_private_addresses_are_refused(self, host):
        with hook() as server:
            outcome = webhook(server.server_port, allowed=(), host=host).send(message())
        assert (outcome.kind, server.got) == (OutcomeKind.MISCONFIGURED, [])
        assert "TRAITBASE_WEBHOOK_NETWORKS" in outcome.detail

    def test_are_not_redirected(self):
        with hook() as other, hook((302, {"location": f"http://127.0.0.1:{other.server_port}/"}, b"")) as server:
            outcome = webhook(server.server_port).send(message())
        assert (outcome.kind, other.got) == (OutcomeKind.MISCONFIGURED, [])
        assert "which is not followed" in outcome.detail

    def test_read_only_the_beginning_of_a_huge_answer(self):
        with hook((200, {}, b"x" * 30_000_000)) as server:
            began = time.monotonic()
            sender = webhook(server.server_port)
            outcome = sender.send(message())
            sender.close()
        assert outcome.kind is OutcomeKind.SENT
        assert len(outcome.detail) <= 500
        assert time.monotonic() - began < 10

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (204, OutcomeKind.SENT),
            (400, OutcomeKind.REJECTED),
            (401, OutcomeKind.MISCONFIGURED),
            (429, OutcomeKind.DEFERRED),
            (500, OutcomeKind.DEFERRED),
            (503, OutcomeKind.UNREACHABLE),
            (504, OutcomeKind.UNKNOWN),
        ],
    )
    def test_an_answer_means_what_it_says(self, status, kind):
        with hook((status, {}, b"")) as server:
            assert webhook(server.server_port).send(message()).kind is kind

    def test_a_connection_that_is_cut_is_not_known(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            sender = webhook(listener.getsockname()[1])

            def cut():
                taken, _ = listener.accept()
                taken.recv(100_000)
                taken.close()

            thread = threading.Thread(target=cut)
            thread.start()
            outcome = sender.send(message())
            thread.join()
        assert outcome.kind is OutcomeKind.UNKNOWN


class TestApprise:
    @pytest.mark.parametrize("url", ["json://localhost", "syslog://", "mailto://u:p@x.test", "dbus://", "nothing"])
    def test_what_reaches_this_machine_is_refused(self, url):
        with pytest.raises(InvalidInput) as raised:
            parse_integration({"name": "a", "kind": "apprise", "secrets": {"url": url}})
        assert raised.value.faults[0].path == "secrets.url"

    def test_says_what_the_service_said(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"ntfy://127.0.0.1:{taken.getsockname()[1]}/{{destination}}"
            outcome = AppriseSender(url).send(message(to="ann"))
        assert outcome.kind is OutcomeKind.UNKNOWN
        assert outcome.detail

    def test_puts_the_address_where_it_goes(self):
        with hook() as server:
            outcome = AppriseSender(f"ntfy://127.0.0.1:{server.server_port}/{{destination}}").send(message(to="ann"))
        assert outcome.kind is OutcomeKind.SENT
        assert json.loads(server.got[0][1])["topic"] == "ann"

    @pytest.mark.parametrize(("status", "kind"), [(503, OutcomeKind.UNREACHABLE), (429, OutcomeKind.DEFERRED)])
    def test_an_answer_means_what_it_says(self, status, kind):
        with hook((status, {}, b"")) as server:
            outcome = AppriseSender(f"ntfy://127.0.0.1:{server.server_port}/{{destination}}").send(message(to="ann"))
        assert outcome.kind is kind, outcome
