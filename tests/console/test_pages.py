"""What the pages show and do, asked as a browser asks: forms are sent as they stand in the HTML, with a few changes."""

from __future__ import annotations

import html
import io
import json
import os
import re
import time
from contextlib import closing
from decimal import Decimal

import pytest
import sqlalchemy as sa

from support.data import open_store
from support.forms import form_to
from support.people import create, fresh_id
from traitbase.console import uploads
from traitbase.services.ports import SuppressionRow
from traitbase.store.tables import suppressions

NASTY = "<script>alert(1)</script>"
NASTY_NAME = "\"><img src=x onerror=alert(1)>'{{7*7}}"


def send(visitor, page, ending, **changes):
    """Send a form of a page with some fields changed (None: left out)."""
    form = form_to(page.text, ending)
    fields = {name: value for name, value in form.fields if name not in changes}
    fields |= {name: value for name, value in changes.items() if value is not None}
    return visitor.post(form.action, data=fields)


def followed(visitor, answer):
    assert answer.status_code == 303, re.findall(r"wrong-text\">[^<]+|role=\"alert\">[^<]+", answer.text)
    return visitor.get(answer.headers["location"])


def said(page):
    return re.findall(r'class="wrong-text"[^>]*>([^<]+)<', page.text)


@pytest.fixture
def person(api):
    return create(api, fresh_id())


def test_a_profile_is_found_by_how_its_id_name_or_address_begins(people, api):
    word = fresh_id()[:12]
    create(api, f"{word}-1", name=f"Zoë {word}", channel={"email": f"{word}@example.com"})
    for sought in (word, f"{word}@ex", f"zoë {word}"):
        assert f"{word}-1" in people.vi.see("profiles", q=sought).text
    page = people.vi.see("profiles", q=f"{word}-2").text
    assert "Nobody found" in page
    rows = people.vi.get("/console/w/north/live/profiles", params={"q": word}, headers={"hx-request": "true"}).text
    assert (f"{word}-1" in rows, "<html" in rows) == (True, False)


def test_the_table_has_the_columns_that_are_chosen(people, api):
    word = fresh_id()[:12]
    api.post("set", {"distinct_id": word, "$set": {f"a {word}": "shown", f"b {word}": "not shown"}})
    page = people.vi.see("profiles", q=word, columns=f"a {word}").text
    assert ("shown" in page, "not shown" in page) == (True, False)


def test_a_new_property_gets_the_type_that_is_chosen_and_an_existing_one_keeps_its_own(people, api, person):
    name = f"zip {person}"
    page = people.ed.see("profile/property", id=person)
    refused = send(people.ed, page, "profile/property", name=name, type="number", value="12,5")
    assert said(refused) == ["expected a number such as 19.99, with a point and without blanks or commas"]
    assert api.properties_of(person) == {}
    assert api.get("properties/" + name.replace(" ", "%20")).status == 404  # nothing half done
    done = send(people.ed, page, "profile/property", name=name, type="string", value="01234")
    page = followed(people.ed, done)
    assert "Saved." in page.text
    assert api.properties_of(person) == {name: "01234"}
    again = people.ed.see("profile/property", id=person)
    refused = send(people.ed, again, "profile/property", name=name, type="number", value="5")
    assert said(refused) == [f"{name} is defined already, as string: choose that, or another name"]


@pytest.mark.parametrize(
    ("kind", "typed", "stored"),
    [
        ("string", "2026-11-30", "2026-11-30"),
        ("string", " blanks ", " blanks "),
        ("string", "21546", "21546"),
        ("number", "9007199254740993", 9007199254740993),
        ("number", "0.1", 0.1),
        ("boolean", "true", True),
        ("date", "2026-11-30", "2026-11-30"),
        ("list", "a\nb, c", ["a", "b, c"]),
        ("list", '[1, "x"]', [1, "x"]),
    ],
)
def test_a_value_is_stored_as_what_it_was_typed_as(people, api, person, kind, typed, stored):
    name = f"{kind}-{fresh_id()}"
    page = people.ed.see("profile/property", id=person)
    followed(people.ed, send(people.ed, page, "profile/property", name=name, type=kind, value=typed))
    assert api.properties_of(person) == {name: stored}
    assert api.get(f"properties/{name}").json["type"] == kind


def test_an_edited_number_stays_a_number(people, api, person):
    """Report I-21: editing 5 to 6 in the console, then adding 1, is 7."""
    name = f"n{person}"
    api.post("set", {"distinct_id": person, "$set": {name: 5}})
    page = people.ed.see("profile/property", id=person, name=name)
    followed(people.ed, send(people.ed, page, "profile/property", value="6"))
    api.post("numerical-add", {"distinct_id": person, "$add": {name: 1}})
    assert api.properties_of(person) == {name: 7}


@pytest.mark.parametrize(
    ("before", "operation", "typed", "after"),
    [
        (5, "$add", "0.1", Decimal("5.1")),
        (["a"], "$append", "b", ["a", "b"]),
        ([1], "$append", "=7", [1, 7]),
        (["a"], "$append", '"=7"', ["a", "=7"]),
        (["a", "b"], "$remove", "a", ["b"]),
        ("x", "$once", "y", "x"),
        ("x", "$unset", "", None),
    ],
)
def test_all_operations_are_there(people, api, person, before, operation, typed, after):
    name = f"p{person}"
    api.post("set", {"distinct_id": person, "$set": {name: before}})
    page = people.ed.see("profile/property", id=person, name=name)
    answer = send(people.ed, page, "profile/property", operation=operation, value=typed)
    if operation == "$once":
        assert answer.status_code == 400
        assert "already" in said(answer)[0] or "value" in said(answer)[0]
    else:
        followed(people.ed, answer)
    found = api.properties_of(person)
    assert found == ({} if after is None else {name: float(after) if isinstance(after, Decimal) else after})


def test_a_form_that_is_sent_twice_is_done_once(people, api, person):
    name = f"n{person}"
    api.post("set", {"distinct_id": person, "$set": {name: 5}})
    page = people.ed.see("profile/property", id=person, name=name)
    for _ in range(3):
        followed(people.ed, send(people.ed, page, "profile/property", operation="$add", value="1"))
    assert api.properties_of(person) == {name: 6}
    page = people.ed.see("profile/property", id=person, name=name)
    followed(people.ed, send(people.ed, page, "profile/property", operation="$add", value="1"))
    assert api.properties_of(person) == {name: 7}


def test_members_of_a_cohort_are_searched(people, api):
    word = fresh_id()[:10]
    create(api, f"{word}-in", name="Zoë", properties={f"is{word}": True})
    create(api, f"{word}-out", name="Zoë")
    rule = {"rules": [{"field": f"is{word}", "operator": "=", "value": True}]}
    cohort = api.call("POST", f"{api.base}/cohorts", {"name": word, "filter": rule}).json["cohort_id"]
    for sought in (word, "zo"):
        page = people.vi.see("profiles", q=sought, cohort=cohort).text
        assert (f"{word}-in" in page, f"{word}-out" in page) == (True, False)


def test_several_elements_are_not_appended_at_once(people, api, person):
    api.post("set", {"distinct_id": person, "$set": {f"l{person}": ["a"]}})
    page = people.ed.see("profile/property", id=person, name=f"l{person}")
    refused = send(people.ed, page, "profile/property", operation="$append", value="b\nc")
    assert said(refused) == ["expected one element: a text, or =7 for the number 7"]
    assert api.properties_of(person) == {f"l{person}": ["a"]}


def test_large_numbers_are_shown_with_all_their_digits(people, api, person):
    api.call(
        "POST",
        f"{api.base}/profiles/properties/set",
        b'{"distinct_id": "%s", "$set": {"big": 987654321012345678}}' % person.encode(),
    )
    assert "987654321012345678" in people.vi.see("profile", id=person).text
    assert 'value="' not in people.vi.see("profile", id=person).text.partition("987654321012345678")[2][:20]


def test_a_deleted_property_is_gone_everywhere(people, api, person):
    """Report I-18: deleted in the console, read by the API, a cohort and an export."""
    name = f"gone{person}"
    api.post("set", {"distinct_id": person, "$set": {name: "x"}})
    page = people.ada.see("property", name=name)
    refused = send(people.ada, page, "property/delete", confirm="something else")
    assert said(refused) == ["this is not its name: nothing was deleted"]
    assert api.properties_of(person) == {name: "x"}
    followed(people.ada, send(people.ada, page, "property/delete", confirm=name))
    assert api.properties_of(person) == {}
    rule = {"filter": {"rules": [{"field": name, "operator": "notNull"}]}}
    assert api.call("POST", f"{api.base}/cohorts/preview", rule).json["count"] == 0
    assert people.vi.see("property", name=name).status_code == 404


def test_a_profile_is_created_in_the_environment_that_is_chosen(people, api, api_test):
    word = fresh_id()
    page = people.ed.see("profiles/new")
    refused = send(people.ed, page, "profiles/create", distinct_id=word, email="no address", environment="test")
    assert said(refused) == ["expected an email address, such as ann@example.com, and nothing around it"]
    done = send(people.ed, page, "profiles/create", distinct_id=word, email="a@example.com", environment="test")
    shown = followed(people.ed, done)
    assert "TEST — these are the test profiles" in shown.text
    assert (api_test.properties_of(word), api.properties_of(word)) == ({}, None)
    again = send(people.ed, page, "profiles/create", distinct_id=word, environment="test")
    assert again.status_code == 400


def test_name_zone_and_channels_are_changed_one_without_the_others(people, api, person):
    page = people.ed.see("profile", id=person)
    followed(people.ed, send(people.ed, page, "profile/channel", channel="sms", destination="+49 170 1234567"))
    page = people.ed.see("profile", id=person)
    followed(people.ed, send(people.ed, page, "profile/change", name="Zoë", timezone="Asia/Kolkata", status="0"))
    found = api.get(f"profiles/{person}").json
    assert (found["name"], found["timezone"], found["status"]) == ("Zoë", "Asia/Kolkata", 0)
    assert found["channel_raw"] == {"sms": "+49 170 1234567"}
    refused = send(people.ed, page, "profile/change", timezone="Mars/X")
    assert (refused.status_code, len(said(refused)), 'value="Mars/X"' in refused.text) == (400, 1, True)
    refused = send(people.ed, page, "profile/channel", channel="sms", destination="012")
    assert (refused.status_code, len(said(refused)), 'value="012"' in refused.text) == (400, 1, True)
    followed(people.ed, send(people.ed, page, "profile/channel", channel="sms", destination=""))
    assert api.get(f"profiles/{person}").json["channel_raw"] == {}


def test_two_profiles_become_one(people, api, person):
    other = create(api, fresh_id(), properties={"kept": "x"})
    page = people.ed.see("profile/merge", id=other, into=person)
    assert "This one ends, its id leads to the other" in page.text
    shown = followed(people.ed, send(people.ed, page, "profile/merge"))
    assert "Merged" in shown.text
    assert api.get(f"profiles/{other}").json["distinct_id"] == person
    assert "this is the same profile" in people.ed.see("profile/merge", id=person, into=other).text


def test_somebody_is_erased_after_their_id_was_typed_once_more(people, api, person):
    api.post("set", {"distinct_id": person, "$set": {"secret": f"v{person}"}})
    page = people.ada.see("profile/erase", id=person)
    refused = send(people.ada, page, "profile/erase", confirm="x")
    assert said(refused) == ["this is not the id of the profile: nothing was erased"]
    assert api.properties_of(person) == {"secret": f"v{person}"}
    shown = followed(people.ada, send(people.ada, page, "profile/erase", confirm=person))
    assert "Erased, with everything" in shown.text
    assert "what was taken away" in shown.text
    assert api.properties_of(person) is None
    for place in ("", "profiles", "audit", "requests", "imports"):
        assert person not in people.ada.see(place).text, place


def test_a_profile_page_tells_who_changed_what(people, api, person):
    api.post("set", {"distinct_id": person, "$set": {"by": "key"}})
    page = people.ed.see("profile/property", id=person, name="by")
    followed(people.ed, send(people.ed, page, "profile/property", value="hand"))
    shown = people.vi.see("profile", id=person).text
    assert "by Ed" in shown
    assert "key tests" in shown


def test_a_wrong_first_type_is_repaired_with_what_was_ignored(people, api, person):
    name = f"utm {person}"
    api.post("set", {"distinct_id": person, "$set": {name: 21546}})
    api.post("set", {"distinct_id": create(api, fresh_id()), "$set": {name: "spring"}})
    page = people.vi.see("property", name=name)
    assert "spring" in page.text
    assert "type mismatch" in page.text
    assert 'property/try"' not in page.text
    page = people.ed.see("property", name=name)
    trial = send(people.ed, page, "property/try", type="string")
    assert "Nothing was changed yet." in trial.text
    assert api.properties_of(person) == {name: 21546}
    done = followed(people.ed, send(people.ed, trial, "property/retype"))
    assert "<b>1</b> converted" in done.text
    assert "<b>1</b> ignored values applied after all" in done.text
    assert api.properties_of(person) == {name: "21546"}


def test_a_property_is_declared_described_and_archived(people, api, person):
    name = f"seats {person}"
    page = people.ed.see("properties")
    followed(
        people.ed, send(people.ed, page, "properties/declare", name=name, type="number", description="of the plan")
    )
    refused = send(people.ed, page, "properties/declare", name=name, type="string")
    assert refused.status_code == 400
    page = people.ed.see("property", name=name)
    assert "of the plan" in page.text
    archived = people.ed.do("property/change", name=name, archived="yes")
    assert "Archived" in followed(people.ed, archived).text
    api.post("set", {"distinct_id": person, "$set": {name: 1}})
    assert api.properties_of(person) == {}
    assert people.ed.do("property/change", name=name, archived="no").status_code == 303
    replayed = followed(people.ed, people.ed.do("property/replay", name=name))
    assert "<b>1</b> ignored values applied after all" in replayed.text
    assert api.properties_of(person) == {name: 1}


def finished(visitor, answer):
    """Return the page of a piece of work once it has ended."""
    page = followed(visitor, answer)
    deadline = time.monotonic() + 30
    while "hx-trigger=" in page.text.partition('id="job"')[2][:200] and time.monotonic() < deadline:
        time.sleep(0.05)
        page = visitor.get(answer.headers["location"])
    return page


def test_a_file_is_looked_at_then_imported_with_every_line_accounted_for(people, api):
    word = fresh_id()[:10]
    lines = [f"distinct_id,zip{word},ltv{word}", f"{word}-1,01234,19.5", f"{word}-2,05678,nothing", "x\x07,1,2"]
    file = {"file": ("people.csv", "\n".join(lines).encode(), "text/csv")}
    page = followed(people.ed, people.ed.do("imports/upload", files=file))
    assert "Nothing is written yet." in page.text
    assert "01234" in page.text
    assert api.properties_of(f"{word}-1") is None
    form = form_to(page.text, "imports/start")
    names = [value for name, value in form.fields if name == "column"]
    kinds = ["number" if name.startswith("ltv") else "" for name in names]
    job = dict(form.fields)["id"]
    tried = finished(people.ed, people.ed.do("imports/start", id=job, column=names, kind=kinds, do="try"))
    assert "only tried: nothing was written" in tried.text
    assert api.properties_of(f"{word}-1") is None
    done = finished(people.ed, people.ed.do("imports/start", id=job, column=names, kind=kinds, do="import"))
    assert "3 lines read" in done.text
    assert "1 invalid distinct id" in done.text
    assert api.properties_of(f"{word}-1") == {f"zip{word}": "01234", f"ltv{word}": 19.5}
    assert api.properties_of(f"{word}-2") == {f"zip{word}": "05678"}
    assert word not in re.sub(rf"(zip|ltv){word}", "", done.text)  # of whom is not kept
    again = people.ed.do("imports/start", id=job, column=names, kind=kinds, do="import")
    assert (again.status_code, "it was begun already" in again.text) == (404, True)


def test_a_file_whose_encoding_nobody_agreed_to_is_not_taken(people):
    word = fresh_id()[:10]
    content = f"distinct_id,city\n{word},Zürich".encode("cp1252")
    refused = people.ed.do("imports/upload", files={"file": ("people.csv", content, "text/csv")})
    assert refused.status_code == 400
    assert "is not valid utf-8" in said(refused)[0]
    taken = people.ed.do("imports/upload", files={"file": ("people.csv", content, "text/csv")}, encoding="cp1252")
    assert "Zürich" in followed(people.ed, taken).text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("people.csv", b"", "empty"),
        ("people.csv", b"id,plan\n1,pro", "distinct_id"),
        ("people.parquet", b"no parquet", "arquet"),
        ("../../etc/passwd", b"plan\npro", "distinct_id"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_beside_the_field(people, name, content, message):
    refused = people.ed.do("imports/upload", files={"file": (name, content, "text/csv")})
    assert refused.status_code == 400
    assert message in html.unescape(" ".join(said(refused)))


def test_no_file_is_refused_beside_the_field(people):
    assert said(people.ed.do("imports/upload")) == ["choose a file first"]


def cohort_form(*rules, **fields):
    """Return the fields of a flat rule, as the builder names them."""
    form = {"r.kind": "group", "r.combinator": "and", "r.n": str(len(rules)), **fields}
    for number, rule in enumerate(rules):
        form[f"r-{number}.kind"] = "rule"
        form |= {f"r-{number}.{name}": value for name, value in rule.items()}
    return form


def test_a_cohort_is_built_counted_saved_edited_frozen_and_deleted(people, api):
    word = fresh_id()[:10]
    for number in range(4):
        api.post("set", {"distinct_id": f"{word}-{number}", "$set": {f"ltv{word}": number}})
    rule = {"field": f"ltv{word}", "operator": ">=", "value": "2"}
    count = people.vi.do("cohorts/count", **cohort_form(rule))
    assert 'data-count="2"' in count.text
    assert re.search(r"in [0-9.]+ ms, as of <time", count.text)
    assert f"Profiles where ltv{word} is at least 2." in count.text
    assert f"{word}-3" in count.text
    wrong = people.ed.do("cohorts/save", **cohort_form({**rule, "value": "many"}, name="x"))
    assert "expected a number such as 19.99" in " ".join(said(wrong))
    saved = people.ed.do("cohorts/save", **cohort_form(rule, name=f"Big {word}"))
    page = followed(people.ed, saved)
    cohort_id = saved.headers["location"].partition("id=")[2].partition("&")[0]
    assert f"{word}-2" in page.text
    same_name = people.ed.do("cohorts/save", **cohort_form(rule, name=f"Big {word}"))
    assert (same_name.status_code, f"Big {word}" in " ".join(said(same_name))) == (400, True)
    edited = people.ed.see("cohort/edit", id=cohort_id)
    revision = dict(form_to(edited.text, "cohorts/save").fields)["revision"]
    known = {"cohort_id": cohort_id, "revision": revision, "name": f"Big {word}"}
    difference = people.ed.do("cohorts/count", **cohort_form({**rule, "value": "1"}, **known))
    assert '<b class="entering">1</b> come in' in difference.text
    assert '<b class="leaving">0</b> go out' in difference.text
    followed(people.ed, people.ed.do("cohorts/save", **cohort_form({**rule, "value": "1"}, **known)))
    late = people.ed.do("cohorts/save", **cohort_form({**rule, "value": "0"}, **known))
    assert late.status_code == 400  # somebody was faster
    assert api.get(f"cohorts/{cohort_id}/count").json["count"] == 3
    explained = people.vi.see("cohort/explain", id=cohort_id, who=f"{word}-0").text
    assert ("not in" in explained, "saw 0" in explained) == (True, True)
    exported = people.vi.see("cohort/export", id=cohort_id, format="csv")
    assert "attachment" in exported.headers["content-disposition"]
    assert exported.text.count(word) >= 3
    frozen = followed(people.ed, people.ed.do("cohort/freeze", id=cohort_id, name=f"Then {word}"))
    assert "Frozen" in frozen.text
    followed(people.ed, people.ed.do("cohort/delete", id=cohort_id))
    assert people.vi.see("cohort", id=cohort_id).status_code == 404


def test_the_builder_offers_what_there_is_in_the_data(people, api, person):
    api.post("set", {"distinct_id": person, "$set": {f"plan{person}": f"pro <{person}>"}})
    built = people.ed.post(
        "/console/w/north/live/cohorts/build",
        data=cohort_form({"field": f"plan{person}", "operator": "", "value": ""}),
        headers={"hx-request": "true"},
    )
    assert f'<option value="pro &lt;{person}&gt;"></option>' in built.text
    assert "does not begin with" in built.text


def wait_for_state(visitor, url, state):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        page = visitor.get(url)
        if f'">{state}</span>' in page.text:
            return page
        time.sleep(0.1)
    raise AssertionError(f"it did not become {state}")


@pytest.fixture
def audience(people, api):
    """A cohort of three with an address, one without, one suppressed and one inactive; and an event."""
    word = fresh_id()[:10]
    for number in range(5):
        create(
            api,
            f"{word}-{number}",
            name=f"P{number}",
            channel={"email": f"{word}-{number}@example.com"},
            properties={f"of{word}": True},
        )
    create(api, f"{word}-none", properties={f"of{word}": True})
    api.call("POST", "/v1/north/suppressions", {"destination": f"{word}-3@EXAMPLE.com", "channel": "email"})
    api.call("PUT", f"{api.base}/profiles/{word}-4", {"status": 0})
    rule = {"rules": [{"field": f"of{word}", "operator": "=", "value": True}]}
    cohort = api.call("POST", f"{api.base}/cohorts", {"name": f"Of {word}", "filter": rule}).json["cohort_id"]
    page = people.ed.see("events/new")
    saved = send(people.ed, page, "events/save", name=f"Hello {word}", **{"email.html": "<p>Hi {{ profile.name }}</p>"})
    event = saved.headers["location"].partition("id=")[2].partition("&")[0]
    return word, cohort, event


def test_a_campaign_is_written_checked_launched_and_reported(people, audience):
    word, cohort, event = audience
    page = people.ed.see("campaigns/new", cohort=cohort)
    saved = send(people.ed, page, "campaigns/save", name=f"Spring {word}", event_id=event, quiet_from="", quiet_to="")
    shown = followed(people.ed, saved)
    campaign = saved.headers["location"].partition("id=")[2].partition("&")[0]
    assert "Nothing was sent." in shown.text
    checks = people.ed.see("campaign/launch", id=campaign)
    for told in (
        "<b>6 recipients</b>",
        "1 is inactive",
        "1 has no destination on email",
        "1 is known to be suppressed on email",
    ):
        assert told in checks.text, told
    url = followed(people.ed, send(people.ed, checks, "campaign/launch")).url
    report = wait_for_state(people.vi, str(url), "finished")
    assert 'data-sent="3"' in report.text
    for told in ("no destination", "suppressed", "inactive", "<svg", "CET"):
        assert told in report.text, told
    again = send(people.ed, checks, "campaign/launch")
    assert (again.status_code, "only a draft can be launched" in again.text) == (409, True)
    deliveries = people.vi.see("campaign/deliveries", id=campaign, state="sent").text
    assert f"{word}-0@example.com" in deliveries
    assert 'campaign/resolve"' not in deliveries
    assert people.vi.see("campaign/export", id=campaign, format="csv").text.count("sent") >= 3
    assert f"Hi P{0}" in html.unescape(people.vi.see("integration", id="sandbox").text)
    assert "sent" in people.vi.see("profile/deliveries", id=f"{word}-0").text


def test_the_check_list_knows_of_more_suppressions_than_a_page_has(people, data):
    """In South, so that nobody else's lists grow: the first and the last of 10,002 are in the audience."""
    rows = [
        SuppressionRow("south", f"{number:024x}", "email", f"s-{number}", None, None, None, 1_000, None)
        for number in range(10_002)
    ]
    with closing(open_store(data)) as store, store._database.writing() as connection:
        connection.execute(sa.insert(suppressions), [row._asdict() for row in rows])

    def do(place, **fields):
        answer = people.cy.post(f"/console/w/south/live/{place}", data=fields)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"].partition("id=")[2].partition("&")[0]

    for distinct_id in ("s-0", "s-10001", "s-none"):
        do("profiles/create", distinct_id=distinct_id, environment="live", email="a@example.com")
    everybody = cohort_form({"field": "$status", "operator": "=", "value": "1"})
    cohort = do("cohorts/save", **{**everybody, "name": "Everybody"})
    template = {"email.use": "yes", "email.integration_id": "sandbox", "email.subject": "x", "email.text": "x"}
    event = do("events/save", name="hello", type="transactional", **template)
    campaign = do("campaigns/save", name="Hello", event_id=event, cohort_id=cohort, kind="now")
    page = people.cy.see("campaign/launch", workspace="south", id=campaign)
    assert "2 are known to be suppressed on email" in page.text


def draft_of(people, audience):
    """Return the id of a draft that an editor saved."""
    word, cohort, event = audience
    page = people.ed.see("campaigns/new", cohort=cohort)
    saved = send(people.ed, page, "campaigns/save", name=f"Draft {word}", event_id=event)
    assert saved.status_code == 303
    return saved.headers["location"].partition("id=")[2].partition("&")[0]


def test_nobody_overwrites_unseen_what_somebody_else_saved(people, audience):
    """Two have the same thing open: who saves second is told, keeps what was typed, and has not overwritten it."""
    word, _, event = audience
    draft = draft_of(people, audience)
    integration = send(people.ada, people.ada.see("integrations/new", kind="sandbox"), "integrations/save", name=word)
    integration_id = re.search(r'name="integration_id" value="(in_[^"]+)"', integration.text)[1]
    for place, ending, found in (
        ("event", "events/save", event),
        ("campaign/edit", "campaigns/save", draft),
        ("integration", "integrations/save", integration_id),
    ):
        ada, ed = people.ada.see(place, id=found), people.ada.see(place, id=found)
        assert send(people.ada, ada, ending, name=f"Ada's {word}").status_code == 303
        refused = send(people.ada, ed, ending, name=f"Ed's {word}")
        assert refused.status_code == 400, place
        assert "was changed meanwhile (it is at revision 2, not 1): nothing was done" in html.unescape(refused.text)
        again = send(people.ada, refused, ending)
        assert again.status_code == 400, "what was refused stays refused"
        assert f"Ed's {word}" in html.unescape(again.text), "what was typed is kept"
        assert f"Ada's {word}" in html.unescape(people.ada.see(place, id=found).text)


@pytest.mark.parametrize("what", ["campaign", "event"])
def test_what_is_launched_is_what_was_on_the_check_list(people, audience, what):
    word, _, event = audience
    draft = draft_of(people, audience)
    checks = people.ed.see("campaign/launch", id=draft)
    if what == "event":
        page = people.ada.see("event", id=event)
        assert send(people.ada, page, "events/save", **{"email.subject": "Something else"}).status_code == 303
    else:
        page = people.ada.see("campaign/edit", id=draft)
        assert send(people.ada, page, "campaigns/save", name=f"Other {word}").status_code == 303
    refused = send(people.ed, checks, "campaign/launch")
    assert (refused.status_code, f"the {what} was changed meanwhile" in refused.text) == (409, True)
    assert "Look at the check list again" in refused.text
    assert '">draft</span>' in people.ed.see("campaign", id=draft).text
    again = people.ed.see("campaign/launch", id=draft)
    assert followed(people.ed, send(people.ed, again, "campaign/launch")).status_code == 200


def test_nothing_is_launched_to_an_audience_that_nobody_has_counted(people, api, audience):
    """An audience that cannot be counted would be sent to however large it turns out to be."""
    _, cohort, _ = audience
    draft = draft_of(people, audience)
    checks = people.ed.see("campaign/launch", id=draft)
    refused = send(people.ed, checks, "campaign/launch", expected_count="")
    assert (refused.status_code, "nobody has seen how many it would reach" in refused.text) == (400, True)
    api.call("DELETE", f"{api.base}/cohorts/{cohort}")
    checks = people.ed.see("campaign/launch", id=draft)
    assert 'name="expected_count"' not in checks.text, "there is nothing to launch it with"
    assert "Look again" in checks.text
    assert '">draft</span>' in people.ed.see("campaign", id=draft).text


def test_a_campaign_is_scheduled_with_its_zone_and_taken_back(people, audience):
    word, cohort, event = audience
    page = people.ed.see("campaigns/new", cohort=cohort)
    common = {"name": f"Later {word}", "event_id": event, "kind": "at", "zone": "America/New_York"}
    refused = send(people.ed, page, "campaigns/save", **common, when="")
    assert "expected an instant" in " ".join(said(refused))
    saved = send(
        people.ed,
        page,
        "campaigns/save",
        **common,
        when="2030-06-01T09:00",
        quiet_from="22:00",
        quiet_to="08:00",
        cap_messages="3",
        cap_days="7",
        sample="50",
        control="10",
        rate="100",
    )
    shown = followed(people.ed, saved)
    assert "01 Jun 2030, 15:00:00" in shown.text  # in the workspace's zone, which is named
    assert "CEST" in shown.text
    campaign = saved.headers["location"].partition("id=")[2].partition("&")[0]
    edit = dict(form_to(people.ed.see("campaign/edit", id=campaign).text, "campaigns/save").fields)
    assert (edit["when"], edit["zone"], edit["sample"], edit["quiet_from"]) == (
        "2030-06-01T09:00",
        "America/New_York",
        "50",
        "22:00",
    )
    followed(people.ed, send(people.ed, people.ed.see("campaign/launch", id=campaign), "campaign/launch"))
    scheduled = people.ed.see("campaign", id=campaign)
    assert ">scheduled</span>" in scheduled.text
    back = people.ed.do("campaign/steer", id=campaign, do="unschedule")
    assert ">draft</span>" in followed(people.ed, back).text
    assert people.ed.do("campaign/steer", id=campaign, do="explode").status_code == 400


def test_a_file_is_an_audience(people, audience):
    word, _, event = audience
    file = {"file": ("list.csv", f"distinct_id,code\n{word}-0,A\n{word}-1,B\n".encode(), "text/csv")}
    given = {"name": f"File {word}", "event_id": event, "kind": "now", "zone": "UTC"}
    saved = people.ed.do("campaigns/save", files=file, **given)
    assert "the file list.csv" in followed(people.ed, saved).text
    refused = people.ed.do("campaigns/save", files={"file": ("list.xls", b"x", "text/csv")}, **given)
    assert "expected a file whose name ends in" in " ".join(said(refused))


def test_a_test_is_sent_to_whom_it_names(people, audience):
    word, cohort, event = audience
    page = people.ed.see("campaigns/new", cohort=cohort)
    saved = send(people.ed, page, "campaigns/save", name=f"Try {word}", event_id=event)
    campaign = saved.headers["location"].partition("id=")[2].partition("&")[0]
    sent = people.ed.do("campaign/test", id=campaign, distinct_ids=f"{word}-1\n")
    deadline = time.monotonic() + 30
    while "sent" not in (page := followed(people.ed, sent).text) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (f"{word}-1" in page, f"{word}-0" in page) == (True, False)
    assert people.ed.do("campaign/test", id=campaign, distinct_ids="").status_code == 400


def test_a_message_is_previewed_for_somebody_before_it_is_saved(people, audience):
    word, _, event = audience
    page = people.ed.see("event", id=event)
    form = dict(form_to(page.text, "events/save").fields)
    preview = people.vi.do(
        "events/preview", **{**form, "who": f"{word}-1", "email.html": "<h1>Dear {{ profile.name }}</h1>"}
    )
    assert "Dear P1" in preview.text
    assert "sandbox src=" in preview.text
    assert "script-src" not in preview.headers["content-security-policy"]
    assert preview.headers["content-security-policy"].startswith("default-src 'none'")
    wrong = people.vi.do("events/preview", **{**form, "who": f"{word}-1", "email.html": "{{ nonsense"})
    assert "channels.email.html" in wrong.text


def test_a_template_that_cannot_be_read_is_a_fault_beside_its_field(people):
    page = people.ed.see("events/new")
    refused = send(people.ed, page, "events/save", name="broken", **{"email.html": "{% if x %}"})
    assert refused.status_code == 400
    assert "{% if x %}" in html.unescape(refused.text)
    assert "channels.email.html" in refused.text


def test_a_request_is_found_with_what_applied_and_what_was_ignored(people, api, person):
    api.post("set", {"distinct_id": person, "$set": {f"t{person}": "text"}})
    answer = api.post("set", {"distinct_id": person, "$set": {f"t{person}": 5, f"u{person}": 1}})
    page = people.vi.see("requests", id=answer.json["request_id"]).text
    assert "nothing is converted" in page
    assert page.count("applied</span>") == 1
    assert "Nothing is known of this request" in people.vi.see("requests", id="01a2").text


def test_suppressions_are_put_up_found_and_lifted(people, api, person):
    page = people.ed.see("suppressions")
    wrong = send(people.ed, page, "suppressions/add", channel="email")
    assert wrong.status_code == 400
    done = send(
        people.ed,
        page,
        "suppressions/add",
        channel="email",
        distinct_id=person,
        description="asked by phone",
        until="2030-01-31",
    )
    page = followed(people.ed, done)
    assert "asked by phone" in page.text
    assert "31 Jan 2030, 23:59:59" in page.text
    assert "asked by phone" in people.vi.see("profile", id=person).text
    followed(people.ed, send(people.ed, page, "suppressions/lift"))
    assert api.call("GET", f"/v1/north/suppressions?distinct_id={person}").json == []


def test_keys_are_shown_once_and_revoked(people, server):
    page = people.ada.see("keys")
    made = send(people.ada, page, "keys/create", name="shop", scope="read", reach="test")
    secret = re.search(r'id="secret">(tb_[\w-]+)<', made.text)[1]
    assert server.client(secret, "north", "test").get("profiles").status == 200
    page = people.ada.see("keys")
    assert secret not in page.text
    refused = send(people.ada, page, "keys/create", name="x", networks="10.0.0.0/99")
    assert refused.status_code == 400
    refused = send(people.ada, page, "keys/create", name="x", until="2001-01-01")
    assert said(refused) == ["expected a day to come"]
    key_id = re.search(r"key_[0-9a-f]{12}(?=</td><td>shop)", page.text)[0]
    followed(people.ada, people.ada.do("keys/revoke", key_id=key_id))
    time.sleep(2.1)  # a server may believe a key for two seconds
    assert server.client(secret, "north", "test").get("profiles").status == 401
    assert people.cy.do("keys/revoke", workspace="south", key_id=key_id).status_code == 404


def test_an_integrations_secrets_go_in_and_never_come_out(people):
    word = fresh_id()[:10]
    page = people.ada.see("integrations/new", kind="smtp")
    refused = send(people.ada, page, "integrations/save", name=word)
    assert len(said(refused)) == 2  # host and from_address
    given = {
        "name": word,
        "settings.host": "mail.example.com",
        "settings.from_address": "a@example.com",
        "settings.username": "u",
        "secrets.password": f"pw-{word}",
    }
    saved = send(people.ada, page, "integrations/save", **given)
    assert f"pw-{word}" not in saved.text
    found = re.search(rf'integration\?id=(in_[0-9a-f]+)">{word}<', people.ada.see("integrations").text)[1]
    for visitor in (people.ada, people.ed, people.vi):
        shown = visitor.see("integration", id=found).text
        assert f"pw-{word}" not in shown
        assert ("mail.example.com" in shown) == (visitor is people.ada)
        assert ("mail.example.com" in visitor.see("integrations").text) == (visitor is people.ada)
    again = send(people.ada, people.ada.see("integration", id=found), "integrations/save", name=f"{word}2")
    assert again.status_code == 303
    page = people.ada.see("integrations/new", kind="webhook")
    made = send(people.ada, page, "integrations/save", name=f"hook {word}", **{"settings.url": "https://example.com/x"})
    secret = re.search(r'id="secret">(whsec_[\w-]+)<', made.text)[1]
    page = people.ada.see("integrations")
    found = re.search(rf'integration\?id=(in_[0-9a-f]+)">hook {word}<', page.text)[1]
    assert secret not in people.ada.see("integration", id=found).text
    tried = people.ada.do("integrations/test", integration_id="sandbox", channel="email", destination="a@example.com")
    assert "sent: recorded by the sandbox" in tried.text


def test_members_are_invited_changed_and_removed(people, server):
    word = fresh_id()[:10]
    page = people.ada.see("members")
    made = send(people.ada, page, "members/invite", email=f"{word}@example.com", role="viewer")
    link = re.search(r'id="secret">https://mail.example(/console/link/[\w-]+)<', made.text)[1]
    from console.conftest import PASSWORD, Visitor

    with Visitor(server) as newcomer:
        form = {"name": NASTY, "password": PASSWORD, "again": PASSWORD}
        assert newcomer.post(link, data=form).status_code == 303
        assert newcomer.see("profiles").status_code == 200
        assert newcomer.see("profiles/new").status_code == 403
        page = people.ada.see("members")
        assert NASTY not in page.text
        assert html.escape(NASTY) in page.text
        account = re.search(rf"{word}@example\.com.*?name=\"account_id\" value=\"(acc_\w+)\"", page.text, re.DOTALL)[1]
        followed(people.ada, people.ada.do("members/role", account_id=account, role="editor"))
        assert newcomer.see("profiles/new").status_code == 200
        last = people.ada.do("members/role", account_id=people.ids.ada, role="viewer")
        assert (last.status_code, "only admin" in last.text) == (409, True)
        foreign = people.ada.do("members/remove", account_id=people.ids.cy)
        assert foreign.status_code == 409
        followed(people.ada, people.ada.do("members/remove", account_id=account))
        assert newcomer.see("profiles").status_code == 404
    assert word not in people.vi.see("members").text


def test_the_audit_log_says_who_did_what_and_no_values(people, person):
    word = fresh_id()[:10]
    page = people.ed.see("profile/property", id=person)
    followed(
        people.ed, send(people.ed, page, "profile/property", name=f"p{word}", type="string", value=f"value {word}")
    )
    log = people.ada.see("audit").text
    row = log.partition("<tbody>")[2].partition("</tr>")[0]
    assert ("Ed" in row, "profile.property" in row, f"p{word}" in row, "receipt" in row) == (True, True, True, True)
    assert f"value {word}" not in log
    assert person not in log


def test_a_refused_action_is_not_in_the_audit_log(people):
    before = people.ada.see("audit").text.count("<tr>")
    people.vi.do("keys/create", name="x", scope="admin", reach="both")
    people.ed.do("profiles/create", distinct_id="", environment="live")
    assert people.ada.see("audit").text.count("<tr>") == before


def test_topics_and_the_name_are_set_by_admins(people):
    page = people.ada.see("settings", environment="test")
    offers = {"subscription_id": "offers", "name": "Offers", "channel_config": {"email": "on"}}
    topics = json.dumps({"sections": [{"name": "News", "topics": [offers]}]})
    refused = people.ada.do("settings/topics", environment="test", topics="{nonsense")
    assert "this is no JSON" in refused.text
    assert people.ada.do("settings/topics", environment="test", topics='{"sections": [{}]}').status_code == 400
    followed(people.ada, people.ada.do("settings/topics", environment="test", topics=topics))
    assert "Offers" in people.vi.see("settings", environment="test").text
    assert "Offers" not in people.vi.see("settings").text
    followed(people.ada, send(people.ada, page, "settings/workspace", name="North & Co"))
    assert "North &amp; Co" in people.vi.see("").text
    people.ada.do("settings/workspace", name="North")


def test_html_and_scripts_in_the_data_are_shown_as_text(people, api):
    """In ids, names, values, names of properties and cohorts, descriptions, templates and file names."""
    nasty_id = f"{NASTY_NAME} {fresh_id()}"
    create(api, nasty_id, name=NASTY, properties={NASTY_NAME: NASTY, "list" + NASTY: [NASTY]})
    api.call(
        "PATCH",
        f"{api.base}/properties/" + "%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E'%7B%7B7*7%7D%7D",
        {"description": NASTY},
    )
    rule = {"rules": [{"field": NASTY_NAME, "operator": "=", "value": NASTY}]}
    cohort = api.call("POST", f"{api.base}/cohorts", {"name": NASTY + fresh_id(), "filter": rule, "description": NASTY})
    event = people.ed.do(
        "events/save",
        **{
            "name": NASTY + fresh_id(),
            "type": "marketing",
            "email.use": "yes",
            "email.integration_id": "sandbox",
            "email.subject": NASTY,
            "email.html": f"<p>{NASTY}</p>",
        },
    )
    event_id = event.headers["location"].partition("id=")[2].partition("&")[0]
    file = {"file": (f"{NASTY}.csv", f'distinct_id,"{NASTY}"\nx,{NASTY}'.encode(), "text/csv")}
    uploaded = people.ed.do("imports/upload", files=file)
    cohort_id = cohort.json["cohort_id"]
    pages = [
        people.ada.see("profile", id=nasty_id),
        people.ada.see("profiles", q=nasty_id, columns=NASTY_NAME),
        people.ada.see("profile/cohorts", id=nasty_id),
        people.ada.see("profile/property", id=nasty_id, name=NASTY_NAME),
        people.ada.see("profile/erase", id=nasty_id),
        people.ada.see("profile/merge", id=nasty_id, into=NASTY),
        people.ada.see("properties"),
        people.ada.see("property", name=NASTY_NAME),
        people.ada.see("cohorts"),
        people.ada.see("cohort", id=cohort_id),
        people.ada.see("cohort/edit", id=cohort_id),
        people.ada.see("cohort/explain", id=cohort_id, who=nasty_id),
        people.ada.see("campaigns/new", cohort=cohort_id),
        people.ada.see("events"),
        people.ada.see("event", id=event_id, who=NASTY),
        people.ada.see("requests", id=NASTY),
        people.ada.see("suppressions", distinct_id=NASTY, destination=NASTY),
        people.ada.see("imports"),
        people.ada.see("profiles", q=NASTY),
        people.ada.see("", said=NASTY, request=NASTY),
        people.ada.see("cohorts", said=NASTY),
        people.ada.get("/console/sign-in", params={"next": NASTY}),
        people.ada.see("audit"),
        people.ada.see(NASTY),
        followed(people.ed, uploaded),
        people.ada.do("cohorts/count", **cohort_form({"field": NASTY_NAME, "operator": "=", "value": NASTY})),
        people.ed.do(
            "events/preview",
            **{
                "type": "marketing",
                "email.use": "yes",
                "email.integration_id": "sandbox",
                "email.subject": NASTY,
                "email.html": NASTY,
                "who": nasty_id,
            },
        ),
    ]
    seen = 0
    for page in pages:
        assert NASTY not in page.text, page.url
        assert "<img" not in page.text, page.url
        assert "'49" not in page.text, page.url
        seen += html.escape(NASTY) in page.text or "%3Cscript%3E" in page.text
    assert seen > 15


def test_pages_that_do_not_work_say_so_without_what_was_sent(people):
    assert people.vi.see("profile", id="nobody-has-this").status_code == 404
    assert people.vi.see("cohort", id="co_0000000000000000").status_code == 404
    big = people.ed.post(
        "/console/w/north/live/cohorts/count",
        content=b"x" * 5_000_000,
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert big.status_code == 413
    odd = people.ed.post(
        "/console/w/north/live/cohorts/count",
        content=b"--x\r\nnonsense",
        headers={"content-type": "multipart/form-data; boundary=x"},
    )
    assert odd.status_code in (200, 400)
    assert people.ed.post("/console/w/north/live/profiles", data={}).status_code == 405


def test_the_theme_is_remembered(people):
    for theme in ("dark", "light"):
        people.vi.post("/console/theme", data={"theme": theme, "next": "/console/account"})
        assert f'data-theme="{theme}"' in people.vi.get("/console/account").text
    people.vi.post("/console/theme", data={"theme": ""})
    assert "data-theme" not in people.vi.get("/console/account").text


def test_an_uploaded_file_waits_for_its_owner_only_and_not_for_ever(tmp_path):
    folder = uploads.folder_of(tmp_path / "uploads")
    kept = folder / uploads.keep(folder, io.BytesIO(b"x"), "../../people.parquet")
    assert (kept.parent, kept.suffix, kept.read_bytes()) == (folder, ".parquet", b"x")
    assert (kept.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    uploads.forget_old(folder)
    assert kept.exists()
    day_ago = time.time() - 86_401
    os.utime(kept, (day_ago, day_ago))
    uploads.forget_old(folder)
    assert not kept.exists()
