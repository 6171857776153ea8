"""Every page in a real browser, wide and narrow, light and dark: nothing that axe calls serious, nothing cut off."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe

from console.conftest import PASSWORD
from support.browsing import NARROW, WIDE, Faults, browsing, find_chromium, keep_picture, needs_chromium
from support.data import once
from support.people import create
from traitbase.console.ways_in import WAYS

pytestmark = [needs_chromium, once]

LOOKS = {"wide-light": (WIDE, "light"), "narrow-dark": (NARROW, "dark")}
FILES = {"cohort/export", "campaign/export"}
"""What is no page."""

PARTS = {"overview/total", "profile/cohorts", "profile/deliveries", "cohort/explain"}
"""Parts of pages, which are drawn within them."""


@pytest.fixture(scope="module")
def things(people, server):
    """Something of everything, so that no page is empty; and by path, what each page is asked about."""
    api = server.client(people.key, "north")
    create(
        api,
        "looks-1",
        name="Looks",
        channel={"email": "looks@example.com", "sms": "+49 170 1234567"},
        properties={"plan": "pro", "ltv": 19.99, "tags": ["a", "b"], "since": "2026-11-30", "asked": True},
    )
    for number in range(2, 40):
        create(api, f"looks-{number}", properties={"plan": "free", "ltv": number, "tags": []})
    api.post("set", {"distinct_id": "looks-1", "$set": {"plan": 5, "ltv": "x", "long": "word " * 40 + "x" * 120}})
    request = api.post("set", {"distinct_id": "looks-1", "$set": {"plan": 5, "asked": False}}).json["request_id"]
    rule = {
        "rules": [
            {"field": "plan", "operator": "in", "value": ["pro", "free"]},
            {
                "combinator": "or",
                "not": True,
                "rules": [
                    {"field": "ltv", "operator": "between", "value": [1, 5]},
                    {"field": "since", "operator": "inLast", "value": {"amount": 7, "unit": "day"}},
                    {"field": "tags", "operator": "size", "value": {"operator": ">", "value": 1}},
                ],
            },
        ]
    }
    cohort = api.call("POST", f"{api.base}/cohorts", {"name": "Looks", "filter": rule}).json["cohort_id"]
    event = api.call(
        "POST",
        f"{api.base}/events",
        {
            "name": "looks",
            "type": "marketing",
            "channels": {"email": {"integration_id": "sandbox", "subject": "Hello", "html": "<p>Hi</p>"}},
        },
    ).json["event_id"]
    api.get("integrations")
    campaign = api.call(
        "POST",
        f"{api.base}/campaigns",
        {
            "name": "Looks",
            "event_id": event,
            "audience": {"cohort_id": cohort},
            "schedule": {"kind": "now"},
            "options": {"quiet_hours": {"from": "03:00", "to": "03:01", "then": "delay"}},
        },
    )
    campaign_id = campaign.json["campaign_id"]
    draft = api.call(
        "POST", f"{api.base}/campaigns", {"name": "Looks later", "event_id": event, "audience": {"cohort_id": cohort}}
    ).json["campaign_id"]
    api.call("POST", f"{api.base}/campaigns/{campaign_id}/launch", {})
    api.call("POST", "/v1/north/suppressions", {"distinct_id": "looks-2", "channel": "email", "description": "asked"})
    file = {"file": ("looks.csv", b"distinct_id,zip,ltv\nlooks-1,01234,x\nlooks-2,5,6", "text/csv")}
    plan = people.ed.do("imports/upload", files=file).headers["location"].partition("id=")[2]
    other = people.ed.do("imports/upload", files=file).headers["location"].partition("id=")[2]
    job = people.ed.do("imports/start", id=other, column=["zip", "ltv"], kind=["", ""], do="import").headers["location"]
    people.ada.do("members/invite", email="soon@example.com", role="editor")
    return {
        "profile": {"id": "looks-1"},
        "profile/property": {"id": "looks-1", "name": "tags"},
        "profile/merge": {"id": "looks-1", "into": "looks-2"},
        "profile/erase": {"id": "looks-1"},
        "property": {"name": "ltv"},
        "imports/plan": {"id": plan},
        "job": {"id": job.partition("id=")[2].partition("&")[0]},
        "cohort": {"id": cohort},
        "cohort/edit": {"id": cohort},
        "cohorts/new": {"field": "plan"},
        "event": {"id": event},
        "campaign": {"id": campaign_id},
        "campaign/edit": {"id": draft},
        "campaign/launch": {"id": draft},
        "campaign/deliveries": {"id": campaign_id},
        "requests": {"id": request},
        "integration": {"id": "sandbox"},
        "integrations/new": {"kind": "smtp"},
    }


@pytest.fixture(scope="module")
def browser():
    with browsing() as running:
        yield running


@pytest.fixture(scope="module", params=LOOKS)
def window(request, server, browser):
    """A window of somebody who runs the workspace, of one size and in one set of colours."""
    (width, height), scheme = LOOKS[request.param]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.goto(f"http://127.0.0.1:{server.port}/console/sign-in")
    look_at(page, f"sign-in.{request.param}", Faults(page))
    page.get_by_label("Email address").fill("ada@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/w/north/**")
    yield request.param, page, Faults(page)
    context.close()


def look_at(page, name, faults):
    page.wait_for_load_state("networkidle")
    keep_picture(page, name)
    found = Axe().run(page).response["violations"]
    serious = [
        (each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")
    ]
    assert serious == []
    is_cut_off = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(is_cut_off), "the page is wider than the window"
    assert faults.found == []


PAGES = [way.path for way in WAYS if way.method == "GET" and way.needs is not None and way.path not in FILES | PARTS]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path or "overview")
def test_a_page_is_readable_by_everybody(window, things, server, path):
    look, page, faults = window
    faults.found.clear()
    query = urlencode(things.get(path, {}))
    answer = page.goto(f"http://127.0.0.1:{server.port}/console/w/north/live/{path}?{query}".replace("/?", "?"))
    assert answer.status == 200
    assert page.locator("h1").count() == 1
    page.evaluate("document.querySelectorAll('main details').forEach((each) => { each.open = true; })")
    look_at(page, f"{(path or 'overview').replace('/', '-')}.{look}", faults)


@pytest.mark.parametrize("path", ["", "profiles", "properties", "cohorts", "campaigns", "events", "imports"])
def test_an_empty_page_says_what_to_do_next(window, server, path):
    look, page, faults = window
    faults.found.clear()
    page.goto(f"http://127.0.0.1:{server.port}/console/w/north/test/{path}".rstrip("/"))
    assert page.locator(".empty, .steps").count() >= 1
    look_at(page, f"empty-{path or 'overview'}.{look}", faults)


@pytest.mark.parametrize(
    "path", ["/console/account", "/console/nothing", "/console/w/north/live/profile?id=nobody", "/console/link/x"]
)
def test_a_page_of_its_own_is_readable_by_everybody(window, server, path):
    look, page, faults = window
    page.goto(f"http://127.0.0.1:{server.port}{path}")
    faults.found.clear()  # a status that is no 200 is told in the browser's console
    look_at(page, f"{path.strip('/').partition('?')[0].replace('/', '-')}.{look}", faults)


def test_axe_would_find_something(browser):
    page = browser.new_page()
    page.set_content("<html><body><img src='data:,'><input></body></html>")
    assert {"image-alt", "label"} <= {each["id"] for each in Axe().run(page).response["violations"]}
    assert find_chromium() is not None
    page.close()


def test_what_an_action_answers_is_readable_by_everybody(window, things, people, server):
    """A link for a newcomer, a key that is shown once, a type that is tried, and faults beside their fields."""
    look, page, faults = window
    base = f"http://127.0.0.1:{server.port}/console/w/north/live"
    faults.found.clear()
    link = people.ada.do("members/invite", email=f"new-{look}@example.com", role="viewer").text
    page.goto(f"http://127.0.0.1:{server.port}/console/link/" + link.partition("/console/link/")[2].partition("<")[0])
    assert page.get_by_label("Your name").is_visible()
    look_at(page, f"link.{look}", faults)
    page.goto(f"{base}/property?{urlencode(things['property'])}")
    page.get_by_role("button", name="See what it would do").click()
    assert page.get_by_text("Nothing was changed yet.").is_visible()
    look_at(page, f"property-try.{look}", faults)
    page.goto(f"{base}/keys")
    page.locator("summary", has_text="New key").click()
    page.get_by_role("button", name="Make it").click()
    page.wait_for_selector("#secret")
    look_at(page, f"keys-create.{look}", faults)
    page.goto(f"{base}/profile/property?id=looks-1")
    page.get_by_label("Name").fill("ltv")
    page.get_by_label("Type").select_option("string")
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector(".wrong-text")
    faults.found.clear()  # a status that is no 200 is told in the browser's console
    look_at(page, f"profile-property-refused.{look}", faults)
