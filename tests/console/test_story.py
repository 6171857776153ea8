"""The whole story in a real browser: from signing in to reading the report, as a growth marketer does it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from console.conftest import PASSWORD, Visitor
from support.browsing import NARROW, WIDE, Faults, browsing, keep_picture, needs_chromium
from support.data import open_store
from support.server import serving
from traitbase import bootstrap
from traitbase.cli.accounts import people_of
from traitbase.domain.accounts import Role
from traitbase.services.accounts.people import Newcomer
from traitbase.services.workspaces import create_workspace

pytestmark = needs_chromium

PEOPLE = 60


def people_file(path):
    """Write a file in which `score` comes as text that is a number, except for two people."""
    lines = ["distinct_id,email,plan,city,score,note"]
    for number in range(PEOPLE):
        plan = ("free", "pro", "business")[number % 3]
        city = ("Pune", "Berlin", "東京")[number % 3 if number % 2 else (number + 1) % 3]
        lines.append(f"u-{number:03},u{number}@example.com,{plan},{city},{number},<b>note {number}</b>")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    data = tmp_path_factory.mktemp("story") / "data"
    store = open_store(data)
    create_workspace(store, name="The Shop", workspace_id="shop", timezone="Europe/Berlin", at_us=bootstrap.now_us())
    people_of(store).add("shop", Newcomer("grow@example.com", "Growth", PASSWORD), Role.ADMIN)
    store.close()
    with serving(data, env={"TRAITBASE_PUBLIC_URL": "https://mail.example"}) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    with browsing() as running:
        yield running


def choose(page, rule, what, value):
    """Choose something in a rule, and wait until the builder is drawn anew."""
    with page.expect_response(lambda response: "cohorts/build" in response.url):
        page.locator(f"#{rule}-{what}").select_option(value)


def click(page, name, within=None):
    with page.expect_response(lambda response: "cohorts/build" in response.url):
        (within or page).get_by_role("button", name=name, exact=True).last.click()


def signs_in(page, base):
    """Sign in."""
    page.goto(base)
    page.get_by_label("Email address").fill("grow@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_text("What to do next")).to_be_visible()


def declares_a_wrong_type(page):
    """A property that is of the wrong type before the file comes."""
    page.get_by_role("link", name="Properties", exact=True).click()
    page.get_by_label("Name").fill("score")
    page.get_by_label("Type").select_option("boolean")
    page.get_by_role("button", name="Declare").click()
    expect(page.get_by_role("heading", name="score")).to_be_visible()


def imports_a_file(page, folder):
    """Import a file; email is a property here, and a channel for each comes below."""
    page.get_by_role("link", name="Imports").click()
    page.get_by_label("A file of profiles").set_input_files(people_file(folder / "people.csv"))
    page.get_by_role("button", name="Upload and look").click()
    expect(page.get_by_text("Nothing is written yet.")).to_be_visible()
    expect(page.get_by_role("cell", name="defined already")).to_be_visible()
    keep_picture(page, "story-1-import")
    page.get_by_role("button", name="Import into live").click()
    expect(page.get_by_text(f"{PEOPLE} lines read.")).to_be_visible()


def sees_what_was_ignored(page):
    """See what was ignored, and why."""
    page.get_by_role("link", name="See the ignored values").click()
    page.get_by_role("link", name="score", exact=True).click()
    expect(page.get_by_text(f"{PEOPLE} were ignored.")).to_be_visible()
    expect(page.get_by_role("cell", name="type mismatch").first).to_be_visible()
    keep_picture(page, "story-2-ignored")


def repairs_the_type(page):
    """Fix the type: look first, then do it."""
    page.get_by_label("Type", exact=True).select_option("string")
    page.get_by_role("button", name="See what it would do").click()
    expect(page.get_by_text("Nothing was changed yet.")).to_be_visible()
    page.get_by_role("button", name="Make it string").click()
    expect(page.get_by_text(f"{PEOPLE} ignored values applied after all")).to_be_visible()
    page.get_by_role("link", name="To the property").click()
    page.get_by_label("Type", exact=True).select_option("number")
    page.get_by_role("button", name="See what it would do").click()
    page.get_by_role("button", name="Make it number").click()
    expect(page.get_by_text(f"{PEOPLE} converted")).to_be_visible()


def makes_a_key_and_sends_addresses(page, shop):
    """Give everybody an address: by the API, as the backend would, with a key that is made here."""
    page.get_by_role("link", name="API keys").click()
    page.get_by_label("What it is for").fill("the backend")
    page.get_by_label("It may").select_option("admin")
    page.get_by_role("button", name="Make it").click()
    key = page.locator("#secret").inner_text()
    client = shop.client(key, "shop")
    for number in range(PEOPLE - 2):
        answer = client.call(
            "PATCH", f"{client.base}/profiles/u-{number:03}/channel", {"channel": {"email": f"u{number}@example.com"}}
        )
        assert answer.status == 200


def builds_a_cohort(page):
    """Build a cohort with a nested group, and see the count move."""
    page.get_by_role("link", name="Cohorts").click()
    page.get_by_role("link", name="New cohort").first.click()
    page.get_by_label("Name").fill("Worth a word")
    count = page.locator("[data-count]")
    choose(page, "r-0", "field", "score")
    choose(page, "r-0", "operator", ">=")
    page.locator("#r-0-value").fill("30")
    expect(count).to_have_attribute("data-count", "30")
    click(page, "+ Group")
    choose(page, "r-1-0", "field", "plan")
    offered = page.locator("#r-1-0-offered option").evaluate_all("all => all.map(each => each.value)")
    assert sorted(offered) == ["business", "free", "pro"]
    page.locator("#r-1-0-value").fill("pro")
    expect(count).to_have_attribute("data-count", "10")
    click(page, "+ Rule", page.locator(".group .group"))
    choose(page, "r-1-1", "field", "plan")
    page.locator("#r-1-1-value").fill("business")
    expect(count).to_have_attribute("data-count", "20")
    page.locator("#r-1-1-value").fill("")
    expect(page.locator("#wrong-r-1-1")).to_have_text('type a value; "" is the empty text')
    page.locator("#r-1-1-value").fill("business")
    expect(count).to_have_attribute("data-count", "20")
    expect(page.locator(".sentence")).to_have_text(
        'Profiles where score is at least 30 and (plan is "pro" or plan is "business").'
    )
    keep_picture(page, "story-3-cohort")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="Worth a word")).to_be_visible()


def writes_an_event(page):
    """Write what is to be sent, and see it as somebody would."""
    page.get_by_role("link", name="Events").click()
    page.get_by_role("link", name="New event").first.click()
    page.get_by_label("Name", exact=True).fill("a word")
    page.get_by_label("Subject").fill("{{ properties.plan }} in {{ properties.city }}")
    page.locator("#f-email\\.html").fill("<p>Score {{ properties.score }}, {{ properties.note }}</p>")
    page.get_by_label("For whom").fill("u-031")
    page.get_by_role("button", name="Show", exact=True).click()
    frame = page.frame_locator("iframe[name=preview]")
    expect(frame.get_by_text("pro in Berlin")).to_be_visible()
    expect(frame.frame_locator("iframe").get_by_text("Score 31, <b>note 31</b>")).to_be_visible()
    keep_picture(page, "story-4-event")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Created.")).to_be_visible()


def launches_a_campaign(page):
    """Launch a campaign to the sandbox, watch it finish, read the report."""
    page.get_by_role("link", name="Cohorts").click()
    page.get_by_role("link", name="Worth a word").click()
    page.get_by_role("link", name="Launch a campaign…").click()
    page.get_by_label("Name").fill("Spring")
    page.get_by_role("button", name="Save as a draft").click()
    page.get_by_role("link", name="Check and launch…").click()
    expect(page.get_by_text("20 recipients would be reached now")).to_be_visible()
    expect(page.get_by_text("2 have no destination on email.")).to_be_visible()
    expect(page.get_by_text("It goes to the sandbox")).to_be_visible()
    keep_picture(page, "story-5-check-list")
    page.get_by_role("button", name="Launch to 20 recipients").click()
    expect(page.locator("#progress").get_by_text("finished", exact=True)).to_be_visible()
    expect(page.locator("[data-sent]")).to_have_attribute("data-sent", "18")
    expect(page.get_by_role("heading", name="By the hour")).to_be_visible()
    keep_picture(page, "story-6-report")


def looks_back(page, base):
    """Who did it stands in the audit log; who got it, with the person."""
    page.get_by_role("link", name="Audit log").click()
    expect(page.get_by_role("cell", name="Spring").first).to_be_visible()
    page.goto(f"{base}/console/w/shop/live/profile?id=u-031")
    expect(page.locator("section", has_text="Deliveries").get_by_text("sent", exact=True)).to_be_visible()
    expect(page.locator("section", has_text="Cohorts").get_by_text("Worth a word")).to_be_visible()
    keep_picture(page, "story-7-profile")


def test_from_signing_in_to_reading_the_report(shop, browser, tmp_path):
    context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(20_000)
    faults = Faults(page)
    base = f"http://127.0.0.1:{shop.port}"
    signs_in(page, base)
    declares_a_wrong_type(page)
    imports_a_file(page, tmp_path)
    sees_what_was_ignored(page)
    repairs_the_type(page)
    makes_a_key_and_sends_addresses(page, shop)
    builds_a_cohort(page)
    writes_an_event(page)
    launches_a_campaign(page)
    looks_back(page, base)
    assert faults.found == []
    context.close()


def test_live_and_test_cannot_be_confused(shop, browser):
    page = _signed_in(shop, browser, WIDE)
    colours = {}
    for environment in ("live", "test"):
        page.goto(f"http://127.0.0.1:{shop.port}/console/w/shop/{environment}/profiles")
        banner = page.locator(".banner")
        assert banner.count() == (environment == "test")
        colours[environment] = page.locator(".switch a[aria-current]").evaluate(
            "each => getComputedStyle(each).backgroundColor"
        )
    assert colours["live"] != colours["test"]
    expect(page.locator(".banner")).to_contain_text("TEST")
    page.evaluate("window.scrollTo(0, 10000)")
    expect(page.locator(".banner")).to_be_in_viewport()
    page.get_by_role("link", name="Live", exact=True).click()
    expect(page).to_have_url(re.compile("/live/profiles"))
    page.context.close()


def test_the_keyboard_is_enough(shop, browser):
    page = _signed_in(shop, browser, WIDE)
    with Visitor(shop) as visitor:
        visitor.sign_in("grow@example.com")
        for number in range(10):
            given = {"distinct_id": f"k-00{number}", "environment": "test"}
            assert visitor.post("/console/w/shop/test/profiles/create", data=given).status_code == 303
        visitor.do("properties/declare", workspace="shop", environment="test", name="plan", type="string")
    page.goto(f"http://127.0.0.1:{shop.port}/console/w/shop/test/profiles")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "f-q"
    page.keyboard.type("k-00")
    expect(page.locator("#rows tbody tr")).to_have_count(10)
    page.keyboard.press("Tab")
    page.locator("body").press("g")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("g")
    page.keyboard.press("c")
    expect(page.get_by_role("heading", name="Cohorts")).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.goto(f"http://127.0.0.1:{shop.port}/console/w/shop/test/cohorts/new")
    page.locator("#r-0-field").focus()
    with page.expect_response(lambda response: "cohorts/build" in response.url):
        page.keyboard.type("plan")
    page.wait_for_function("document.activeElement.id === 'r-0-field'")
    page.context.close()


def test_a_script_in_the_data_does_not_run(shop, browser):
    """In a value, a name, a property's name, a template: it is shown, and nothing of it happens."""
    page = _signed_in(shop, browser, WIDE)
    page.add_init_script("window.happened = false")
    nasty = '<img src=x onerror="window.happened=true"><script>window.happened=true</script>'
    base = f"http://127.0.0.1:{shop.port}/console/w/shop/test"
    with Visitor(shop) as visitor:
        visitor.sign_in("grow@example.com")
        given = {"distinct_id": nasty, "name": nasty, "environment": "test"}
        made = visitor.post("/console/w/shop/test/profiles/create", data=given)
        assert made.status_code == 303, made.text
        fields = {"id": nasty, "is_new": "yes", "name": nasty[:100], "type": "string", "value": nasty}
        made = visitor.do("profile/property", workspace="shop", environment="test", **fields)
        assert made.status_code == 303, made.text
    for place in (
        "",
        "/profiles",
        "/properties",
        f"/profile?id={_quoted(nasty)}",
        f"/property?name={_quoted(nasty[:100])}",
        "/cohorts/new",
        "/audit",
    ):
        page.goto(base + place)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.happened") is False, place
    page.goto(f"{base}/events/new")
    page.locator("#f-email\\.html").fill(nasty)
    page.get_by_label("For whom").fill(nasty)
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.frame_locator("iframe[name=preview]").get_by_text("email", exact=True)).to_be_visible()
    for frame in page.frames:
        assert frame.evaluate("window.happened === true") is False
    page.context.close()


def _quoted(text):
    from urllib.parse import quote

    return quote(text, safe="")


def test_two_people_in_two_tabs_do_not_overwrite_each_other(shop, browser):
    one, other = _signed_in(shop, browser, WIDE), _signed_in(shop, browser, NARROW)
    with Visitor(shop) as visitor:
        visitor.sign_in("grow@example.com")
        rule = {
            "r.n": "1",
            "r.kind": "group",
            "r-0.kind": "rule",
            "r-0.field": "$status",
            "r-0.operator": "=",
            "r-0.value": "1",
        }
        saved = visitor.do("cohorts/save", workspace="shop", name="Shared", **rule)
        cohort_id = saved.headers["location"].partition("id=")[2].partition("&")[0]
    for page in (one, other):
        page.goto(f"http://127.0.0.1:{shop.port}/console/w/shop/live/cohort/edit?id={cohort_id}")
    one.get_by_label("What it is for").fill("mine")
    one.get_by_role("button", name="Save").click()
    expect(one.get_by_text("Saved.")).to_be_visible()
    other.get_by_label("What it is for").fill("theirs")
    other.get_by_role("button", name="Save").click()
    expect(other.get_by_role("alert")).to_be_visible()
    expect(other.get_by_label("What it is for")).to_have_value("theirs")  # what was typed is not lost
    for page in (one, other):
        page.context.close()


def _signed_in(shop, browser, size):
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.goto(f"http://127.0.0.1:{shop.port}/console/sign-in")
    page.get_by_label("Email address").fill("grow@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/w/shop/**")
    return page
