"""Signing in: passwords, guessing, sessions that expire and can be ended, and one-time links."""

from __future__ import annotations

from contextlib import closing

import pytest

from console.conftest import PASSWORD, Visitor
from support.data import open_store
from support.forms import form_to
from support.server import run_cli, serving
from traitbase import bootstrap
from traitbase.domain.accounts import Account, Role
from traitbase.domain.errors import Conflict, InvalidInput, NotFound, Refused
from traitbase.services.accounts.audit import Audit
from traitbase.services.accounts.passwords import hash_password
from traitbase.services.accounts.people import Newcomer, People
from traitbase.services.accounts.sessions import (
    ATTEMPT_MINUTES,
    ATTEMPTS_OF_ADDRESS,
    ATTEMPTS_OF_BOTH,
    IDLE_HOURS,
    LONGEST_DAYS,
    Sessions,
)
from traitbase.services.workspaces import create_workspace

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
WRONG = "This email address and password do not go together."


class World:
    """A store with Ada in workspace North, and a clock that is moved."""

    def __init__(self, store) -> None:
        self.store = store
        self.now_us = 1_800_000_000_000_000
        clock = lambda: self.now_us  # noqa: E731
        self.audit = Audit(store, now_us=clock, new_id=bootstrap.new_request_id)
        self.people = People(store, self.audit, now_us=clock)
        self.sessions = Sessions(store, now_us=clock)
        for name in ("north", "south"):
            create_workspace(store, name=name, workspace_id=name, timezone="UTC", at_us=self.now_us)
        self.ada = self.people.add("north", Newcomer("ada@example.com", "Ada", PASSWORD), Role.ADMIN)

    def attempt(self, password=PASSWORD, email="ada@example.com", address="192.0.2.1"):
        return self.sessions.sign_in(email, password, address=address, agent="test")


@pytest.fixture
def world(tmp_path):
    with closing(open_store(tmp_path / "data")) as store:
        yield World(store)


def test_a_password_opens_a_session_and_is_stored_as_an_argon2_hash(world):
    session = world.sessions.find(world.attempt(email=" ADA@Example.com "))
    assert (session.account.email, session.roles) == ("ada@example.com", {"north": Role.ADMIN})
    assert session.account.password.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert PASSWORD not in session.account.password


@pytest.mark.parametrize(
    ("email", "password"), [("ada@example.com", "another"), ("nobody@example.com", PASSWORD), ("", "")]
)
def test_a_wrong_pair_is_refused_with_one_text(world, email, password):
    with pytest.raises(InvalidInput) as caught:
        world.attempt(password, email)
    assert (caught.value.message, caught.value.code) == (WRONG, "wrong_password")


def test_who_guesses_has_to_wait_and_who_knows_is_not_kept_out_from_elsewhere(world):
    for _ in range(ATTEMPTS_OF_BOTH):
        with pytest.raises(InvalidInput):
            world.attempt("wrong")
    for password in ("wrong", PASSWORD):
        with pytest.raises(Refused) as caught:
            world.attempt(password)
        assert caught.value.code == "too_many_attempts"
    assert world.attempt(address="192.0.2.2")
    world.now_us += ATTEMPT_MINUTES * MINUTE_US
    assert world.attempt()


def test_who_tries_many_names_from_one_place_has_to_wait(world):
    for number in range(ATTEMPTS_OF_ADDRESS):
        with pytest.raises(InvalidInput):
            world.attempt("wrong", f"user{number}@example.com")
    with pytest.raises(Refused):
        world.attempt()
    assert world.attempt(address="192.0.2.2")


def test_good_sign_ins_are_not_counted_as_guesses(world):
    for _ in range(ATTEMPTS_OF_ADDRESS + 5):
        world.sessions._store.clear_attempts(world.sessions._count("ada@example.com", "192.0.2.1"), "none")
    for _ in range(ATTEMPTS_OF_BOTH - 1):
        with pytest.raises(InvalidInput):
            world.attempt("wrong")
    assert world.attempt()
    for _ in range(ATTEMPTS_OF_BOTH - 1):
        with pytest.raises(InvalidInput):
            world.attempt("wrong")


def test_a_session_ends_when_it_is_not_used(world):
    token = world.attempt()
    world.now_us += IDLE_HOURS * HOUR_US - 1
    assert world.sessions.find(token) is not None
    world.now_us += IDLE_HOURS * HOUR_US - 1
    assert world.sessions.find(token) is not None
    world.now_us += IDLE_HOURS * HOUR_US
    assert world.sessions.find(token) is None


def test_a_session_ends_after_two_weeks_however_it_is_used(world):
    token = world.attempt()
    for _ in range(LONGEST_DAYS * 4):
        assert world.sessions.find(token) is not None
        world.now_us += 6 * HOUR_US
    assert world.sessions.find(token) is None


def test_another_password_ends_all_other_sessions(world):
    token, other = world.attempt(), world.attempt()
    session = world.sessions.find(token)
    with pytest.raises(InvalidInput) as caught:
        world.sessions.change_password(session, current="wrong", new="quite another one", address="a")
    assert caught.value.faults[0].path == "current"
    world.sessions.change_password(session, current=PASSWORD, new="quite another one", address="a")
    assert (world.sessions.find(token) is None, world.sessions.find(other)) == (False, None)
    with pytest.raises(InvalidInput):
        world.attempt()
    assert world.attempt("quite another one")


def test_a_role_that_is_taken_is_gone_in_a_session_that_is_open(world):
    world.people.add("north", Newcomer("ed@example.com", "Ed", PASSWORD), Role.ADMIN)
    token = world.attempt()
    world.people.remove("north", world.ada.account_id, by=None)
    assert world.sessions.find(token).roles == {}


def test_the_only_admin_stays(world):
    with pytest.raises(Conflict):
        world.people.remove("north", world.ada.account_id, by=None)
    with pytest.raises(Conflict):
        world.people.change_role("north", world.ada.account_id, Role.EDITOR, by=None)


def test_an_invitation_works_once_and_ends_after_three_days(world):
    token = world.people.invite("north", "New@Example.com", Role.EDITOR, by=world.ada.account_id)
    newcomer = Newcomer("ignored@example.com", "New", "words that I keep")
    world.now_us += 1
    account = world.people.accept(token, newcomer, signed_in=None)
    assert account.email == "new@example.com"
    assert [(each.account.email, each.role) for each in world.people.members("north")] == [
        ("ada@example.com", Role.ADMIN),
        ("new@example.com", Role.EDITOR),
    ]
    with pytest.raises(Refused):
        world.people.accept(token, newcomer, signed_in=None)
    late = world.people.invite("north", "late@example.com", Role.VIEWER, by=None)
    world.now_us += 72 * HOUR_US
    with pytest.raises(Refused):
        world.people.accept(late, newcomer, signed_in=None)


def test_an_invitation_of_somebody_who_has_an_account_opens_it_for_nobody_else(world):
    """Cy runs South and invites Ada: whoever has the link is not let into Ada's account, which runs North."""
    cy = world.people.add("south", Newcomer("cy@example.com", "Cy", PASSWORD), Role.ADMIN)
    token = world.people.invite("south", "ada@example.com", Role.VIEWER, by=cy.account_id)
    for stranger in (None, cy):
        with pytest.raises(Refused) as caught:
            world.people.accept(token, Newcomer("", "", "words that I keep"), signed_in=stranger)
        assert caught.value.code == "sign_in_first"
    assert world.people.accept(token, Newcomer("", "", ""), signed_in=world.ada).account_id == world.ada.account_id
    assert world.sessions.find(world.attempt()).roles == {"north": Role.ADMIN, "south": Role.VIEWER}


def test_an_admin_resets_the_password_of_those_who_are_only_theirs(world):
    ed = world.people.add("north", Newcomer("ed@example.com", "Ed", PASSWORD), Role.EDITOR)
    early = world.people.reset("north", ed.account_id, by=world.ada.account_id)
    open_session = world.attempt(email="ed@example.com")
    world.people.accept(early, Newcomer("", "", "words that I keep"), signed_in=None)
    assert world.sessions.find(open_session) is None
    pending = world.people.reset("north", ed.account_id, by=world.ada.account_id)
    world.people.add("south", Newcomer("ed@example.com", "Ed", ""), Role.ADMIN)
    with pytest.raises(Refused):  # by now it would open South, too
        world.people.accept(pending, Newcomer("", "", "words of another"), signed_in=None)
    with pytest.raises(Refused):
        world.people.reset("north", ed.account_id, by=world.ada.account_id)
    with pytest.raises(NotFound):
        world.people.reset("south", world.ada.account_id, by=ed.account_id)
    by_operator = world.people.reset_by_email("ed@example.com")
    world.people.accept(by_operator, Newcomer("", "", "words of the operator"), signed_in=None)
    assert world.attempt("words of the operator", "ed@example.com")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"email": "no address"}, "email"),
        ({"name": " "}, "name"),
        ({"name": "a\x07b"}, "name"),
        ({"password": "short"}, "password"),
        ({"password": "a" * 20}, "password"),
        ({"password": "x" * 257}, "password"),
        ({"workspace_name": " "}, "workspace_name"),
        ({"timezone": "Mars/X"}, "timezone"),
        ({"email": "long.enough@example.com", "password": "long.enough@example.com"}, "password"),
    ],
)
def test_what_cannot_be_an_account_is_refused_by_name_and_the_link_still_works(tmp_path, given, path):
    with closing(open_store(tmp_path / "data")) as store:
        people = People(store, Audit(store, now_us=lambda: 1, new_id=lambda: "x"), now_us=lambda: 1)
        token = people.first_link()
        newcomer = Newcomer("a@example.com", "A", "words that I keep", "Shop", "UTC")
        with pytest.raises(InvalidInput) as caught:
            people.accept(token, newcomer._replace(**given), signed_in=None)
        assert caught.value.faults[0].path == path
        assert store.list_workspaces() == []
        assert people.accept(token, newcomer, signed_in=None).email == "a@example.com"


def test_there_is_no_second_first_one(tmp_path):
    with closing(open_store(tmp_path / "data")) as store:
        people = People(store, Audit(store, now_us=lambda: 1, new_id=lambda: "x"), now_us=lambda: 1)
        first, second = people.first_link(), people.first_link()
        newcomer = Newcomer("a@example.com", "A", "words that I keep", "Shop", "UTC")
        with pytest.raises(Refused):  # only the newest of them works
            people.accept(first, newcomer, signed_in=None)
        store.add_account(Account("acc_1", "b@example.com", "B", hash_password("x"), 1))
        with pytest.raises(Refused):
            people.accept(second, newcomer, signed_in=None)
        assert people.first_link() is None


def test_the_server_says_how_to_begin_and_the_link_makes_the_first_admin_and_the_workspace(tmp_path):
    with serving(tmp_path / "data") as server, Visitor(server) as visitor:
        assert "a one-time link when it started" in visitor.get("/console/sign-in").text
        token = run_cli("account", "link", data=tmp_path / "data").stdout.rpartition("/")[2].strip()
        path = f"/console/link/{token}"
        form = form_to(visitor.get(path).text, path)
        assert dict(form.fields)["timezone"] == "UTC"
        given = {"email": "me@example.com", "name": "Me", "workspace_name": "My shop", "timezone": "Asia/Kolkata"}
        refused = visitor.post(path, data={**given, "password": "short", "again": "short"})
        assert (refused.status_code, "expected at least 12 characters" in refused.text) == (400, True)
        refused = visitor.post(path, data={**given, "password": PASSWORD, "again": "other"})
        assert "this is not the same as the password above" in refused.text
        assert visitor.post(path, data={**given, "password": PASSWORD, "again": PASSWORD}).status_code == 303
        home = visitor.get("/console")
        assert home.status_code == 303
        overview = visitor.get(home.headers["location"])
        for said in ("My shop", "What to do next", "Asia/Kolkata (UTC+05:30)", "Make an API key"):
            assert said in overview.text
        for answer in (visitor.get(path), visitor.post(path, data=given)):
            assert (answer.status_code, "This link has ended" in answer.text) == (410, True)


def test_signing_in_and_out_over_http(nobody):
    answer = nobody.sign_in("vi@example.com", "wrong wrong wrong")
    assert (answer.status_code, WRONG in answer.text, "wrong wrong" in answer.text) == (401, True, False)
    answer = nobody.post(
        "/console/sign-in",
        data={"email": "vi@example.com", "password": PASSWORD, "next": "/console/w/north/test/cohorts"},
    )
    assert answer.headers["location"] == "/console/w/north/test/cohorts"
    cookie = answer.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Path=/console", "Max-Age=1209600"))
    assert "Secure" not in cookie
    assert nobody.see("profiles").status_code == 200
    kept = dict(nobody.cookies)
    assert nobody.post("/console/sign-out").status_code == 303
    nobody.cookies.update(kept)
    assert nobody.see("profiles").status_code == 303  # the session is over, not only the cookie


@pytest.mark.parametrize(
    "wanted", ["https://evil.example", "//evil.example", "/docs", "/console//evil", "\\\\evil", ""]
)
def test_signing_in_leads_to_the_console_and_nowhere_else(nobody, wanted):
    answer = nobody.post("/console/sign-in", data={"email": "vi@example.com", "password": PASSWORD, "next": wanted})
    assert answer.headers["location"] == "/console"


def test_behind_https_the_cookie_is_for_https_only(nobody):
    nobody.headers["x-forwarded-proto"] = "https"
    assert "Secure" in nobody.sign_in("vi@example.com").headers["set-cookie"]


def test_sessions_are_listed_and_can_be_ended(server, people):
    with Visitor(server) as one, Visitor(server) as other:
        one.sign_in("vi@example.com")
        other.headers["user-agent"] = "<b>Lynx</b>"
        other.sign_in("vi@example.com")
        page = one.get("/console/account").text
        assert "&lt;b&gt;Lynx&lt;/b&gt;" in page
        assert one.post("/console/account/end").status_code == 303
        assert other.see("profiles").status_code == 303
        assert people.vi.see("profiles").status_code == 303
        assert people.vi.sign_in("vi@example.com").status_code == 303
        assert one.see("profiles").status_code == 200


def test_who_signs_in_and_who_changes_a_password_is_in_the_audit_log(people, server):
    with Visitor(server) as visitor:
        visitor.sign_in("ed@example.com")
        given = {"current": "wrong wrong", "new": "another few words"}
        assert visitor.post("/console/account/password", data=given).status_code == 400
        log = people.ada.see("audit").text
        assert ("account.sign_in" in log, "account.password" in log) == (True, False)
        for current, new in ((PASSWORD, "another few words"), ("another few words", PASSWORD)):
            assert visitor.post("/console/account/password", data={"current": current, "new": new}).status_code == 303
    assert people.ada.see("audit").text.count("account.password") == 2
    assert people.ed.sign_in("ed@example.com").status_code == 303


def test_nobody_ends_somebody_elses_session(people, nobody):
    nobody.sign_in("ed@example.com")
    digest = people.vi.get("/console/account").text.split('name="digest" value="')[-1][:64]
    nobody.post("/console/account/end", data={"digest": digest})
    assert people.vi.see("profiles").status_code == 200


def test_the_command_line_makes_accounts_links_and_resets(tmp_path):
    data = tmp_path / "data"
    run_cli("workspace", "create", "North", "--id", "north", data=data)
    done = run_cli(
        "account", "add", "op@example.com", "--workspace", "north", "--password-stdin", data=data, input=f"{PASSWORD}\n"
    )
    assert "op@example.com is admin of north" in done.stdout, done.stderr
    short = run_cli(
        "account", "add", "x@example.com", "--workspace", "north", "--password-stdin", data=data, input="short\n"
    )
    assert (short.returncode, "expected at least 12 characters" in short.stderr) == (2, True)
    assert "there are accounts already" in run_cli("account", "link", data=data).stderr
    for arguments in (("--workspace", "north", "--email", "ed@example.com", "--role", "editor"),):
        link = run_cli("account", "link", *arguments, data=data).stdout.strip()
        assert link.startswith("http://127.0.0.1:8080/console/link/")
    assert "/console/link/" in run_cli("account", "reset", "op@example.com", data=data).stdout
    assert run_cli("account", "reset", "who@example.com", data=data).returncode == 2
    listed = run_cli("account", "list", "--workspace", "north", data=data).stdout
    assert "op@example.com" in listed
