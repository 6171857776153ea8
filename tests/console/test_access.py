"""Who may not: every page and action of the console is asked by everybody who must not use it."""

from __future__ import annotations

import pytest

from traitbase.console.ways_in import WAYS
from traitbase.domain.accounts import Role

OF_A_WORKSPACE = [way for way in WAYS if way.needs is not None]
NAMES = [f"{way.method} {way.path or 'overview'}" for way in OF_A_WORKSPACE]
CHANGING = [way for way in WAYS if way.method == "POST"]
PUBLIC = {
    ("GET", "sign-in"),
    ("POST", "sign-in"),
    ("GET", "link/{token}"),
    ("POST", "link/{token}"),
    ("POST", "theme"),
}
ONLY_ADMINS = {
    "profile/erase",
    "property/delete",
    "integrations/new",
    "integrations/save",
    "integrations/test",
    "integrations/delete",
    "keys",
    "keys/create",
    "keys/revoke",
    "members/invite",
    "members/reset",
    "members/role",
    "members/remove",
    "members/end-link",
    "audit",
    "settings/workspace",
    "settings/topics",
}
VIEWERS_ASK = {"cohorts/build", "cohorts/count", "events/preview"}
"""What viewers may send a form to: it changes nothing."""


def ask(visitor, way, *, workspace="north", environment="live"):
    path = way.full_path.format(workspace_id=workspace, environment=environment, token="x")
    return visitor.request(way.method, path, data={} if way.method == "POST" else None)


def test_what_anybody_may_do_is_signing_in():
    assert {(way.method, way.path) for way in WAYS if way.is_public} == PUBLIC


def test_what_only_admins_may_do_is_what_cannot_be_undone_and_what_opens_doors():
    assert {way.path for way in WAYS if way.needs is Role.ADMIN} == ONLY_ADMINS


def test_viewers_change_nothing():
    of_viewers = {way.path for way in WAYS if way.needs is Role.VIEWER and way.method == "POST"}
    assert of_viewers == VIEWERS_ASK


@pytest.mark.parametrize("way", OF_A_WORKSPACE, ids=NAMES)
def test_who_has_not_signed_in_is_asked_to(nobody, way):
    answer = ask(nobody, way)
    if way.method == "GET":
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/console/sign-in?next=%2Fconsole%2Fw%2Fnorth")
    else:
        assert (answer.status_code, "Nothing was done" in answer.text) == (401, True)


@pytest.mark.parametrize("way", OF_A_WORKSPACE, ids=NAMES)
def test_who_runs_another_workspace_does_not_even_hear_that_there_is_this_one(people, way):
    answer, unknown = ask(people.cy, way), ask(people.cy, way, workspace="nowhere")
    assert answer.status_code == unknown.status_code == 404
    assert "there is no such workspace, or you have no role in it" in answer.text
    assert answer.text == unknown.text


@pytest.mark.parametrize("way", OF_A_WORKSPACE, ids=NAMES)
def test_a_role_that_is_too_small_is_refused(people, way):
    visitors = {Role.VIEWER: people.vi, Role.EDITOR: people.ed, Role.ADMIN: people.ada}
    for role, visitor in visitors.items():
        if not role.includes(way.needs):
            answer = ask(visitor, way)
            assert (answer.status_code, f"this needs the role {way.needs}; yours is {role}" in answer.text) == (
                403,
                True,
            )


@pytest.mark.parametrize("way", [way for way in OF_A_WORKSPACE if way.method == "GET"], ids=lambda way: way.path)
def test_a_role_that_is_enough_is_let_in(people, way):
    visitor = {Role.VIEWER: people.vi, Role.EDITOR: people.ed, Role.ADMIN: people.ada}[way.needs]
    assert ask(visitor, way).status_code in (200, 404)  # without an id, some pages have nothing to show


@pytest.mark.parametrize("way", CHANGING, ids=lambda way: way.path)
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {},
    ],
    ids=["another site", "a sister site", "typed", "another origin", "no origin", "nothing"],
)
def test_a_form_that_another_site_made_the_browser_send_is_not_done(people, way, headers):
    del people.ada.headers["sec-fetch-site"]
    try:
        path = way.full_path.format(workspace_id="north", environment="live", token="x")
        answer = people.ada.post(path, headers=headers, data={})
    finally:
        people.ada.headers["sec-fetch-site"] = "same-origin"
    assert (answer.status_code, "so it was not done" in answer.text) == (403, True)


def test_an_old_browser_that_says_the_right_origin_is_believed(people, server):
    del people.ada.headers["sec-fetch-site"]
    try:
        origin = {"origin": f"http://127.0.0.1:{server.port}"}
        answer = people.ada.post("/console/w/north/live/cohorts/count", headers=origin, data={})
    finally:
        people.ada.headers["sec-fetch-site"] = "same-origin"
    assert answer.status_code == 200


@pytest.mark.parametrize("environment", ["prod", "LIVE", "live%2F..", ""])
def test_there_is_no_third_environment(people, environment):
    assert people.ada.get(f"/console/w/north/{environment}/profiles").status_code == 404


def test_a_key_that_the_console_lends_itself_opens_nothing_from_outside(people):
    """The header that stands for somebody who has signed in exists within the process, for the time of one call."""
    for header in ("Bearer acc_x", f"Bearer {people.ids.ada}", "Bearer"):
        answer = people.ada.get("/v1/north/live/profiles", headers={"authorization": header})
        assert answer.status_code == 401
    assert people.ada.get("/v1/north/live/profiles").status_code == 401


@pytest.mark.parametrize(
    "path", ["/console", "/console/sign-in", "/console/w/north/live", "/console/static/console.css"]
)
def test_every_answer_says_what_a_browser_must_not_do_with_it(people, path):
    headers = people.ada.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    if "static" not in path:
        policy = headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/console/static/../page.py", "/console/static/%2e%2e/page.py", "/console/static/", "/console/static"]
)
def test_nothing_but_the_consoles_own_files_is_served(nobody, path):
    assert nobody.get(path).status_code == 404
