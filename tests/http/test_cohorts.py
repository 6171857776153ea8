"""Cohorts over HTTP: made, asked, changed, frozen, exported; and what must be refused."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from support.cohorts import call, count, create, encode, members, preview, rule, rules, sampled
from support.data import open_store

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "cohorts.json").read_text(), parse_float=Decimal)
PRO = {"combinator": "and", "rules": [{"field": "plan", "operator": "=", "value": "pro"}]}


PEOPLE = {
    "ann": {"plan": "pro", "ltv": 500, "tags": ["a", "b"]},
    "bob": {"plan": "free", "ltv": 5.5},
    "cid": {"plan": "pro", "ltv": -1, "tags": []},
    "dee": {},
}


@pytest.fixture(scope="module")
def filled(make_client):
    return make_client(PEOPLE)


@pytest.fixture
def shared(server, filled):
    """For tests that change no profile. A connection of its own: the server closes those that are idle."""
    client = server.client(filled.key, filled.base.split("/")[2])
    yield client
    client.close()


@pytest.fixture
def client(make_client):
    return make_client(PEOPLE)


# --- the vectors ---


@pytest.fixture(scope="module")
def of_vectors(server, data):
    from traitbase import bootstrap
    from traitbase.domain.keys import Reach, Scope
    from traitbase.services.workspaces import create_api_key, create_workspace

    store, at_us = open_store(data), bootstrap.now_us()
    create_workspace(store, name="Vectors", workspace_id="vectors", timezone=VECTORS["zone"], at_us=at_us)
    made = create_api_key(store, workspace_id="vectors", reach=Reach.BOTH, scope=Scope.ADMIN, name="", at_us=at_us)
    store.close()
    client = server.client(made.secret, "vectors")
    for distinct_id, properties in VECTORS["profiles"].items():
        if properties:
            client.post("set", encode({"distinct_id": distinct_id, "$set": properties}))
        else:
            client.call("POST", f"{client.base}/profiles", {"distinct_id": distinct_id})
    return client


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_it_answers_as_the_vectors_say(of_vectors, case):
    answer = preview(of_vectors, case["filter"], as_of=VECTORS["as_of"])
    assert [item["distinct_id"] for item in answer["sample"]] == sorted(case["members"])
    assert (answer["count"], answer["total"]) == (len(case["members"]), len(VECTORS["profiles"]))
    assert answer["as_of"] == "2026-03-08T16:30:00.000Z"


# --- looking before saving ---


def test_a_preview_shows_how_many_and_some_of_them(shared):
    answer = call(shared, "POST", "cohorts/preview", {"filter": PRO, "sample": 1}).json
    assert answer.pop("took_ms") > 0
    assert answer.pop("as_of").endswith("Z")
    assert answer == {
        "count": 2,
        "total": 4,
        "warnings": [],
        "sentence": 'Profiles where plan is "pro".',
        "sample": [shared.get("profiles/ann").json],
    }


def test_an_empty_preview_is_everyone(shared):
    assert preview(shared, {})["count"] == preview(shared, rules())["count"] == 4


def test_a_property_that_is_not_there_yet_is_a_warning(shared):
    answer = preview(shared, rules(rule("plann", "!=", "pro")))
    assert (answer["count"], [each["path"] for each in answer["warnings"]]) == (4, ["filter.rules[0].field"])


@pytest.mark.parametrize(
    ("body", "path", "part"),
    [
        ({"filter": rules(rule("ltv", ">", "5"))}, "filter.rules[0].value", "expected a number, not the text '5'"),
        ({"filter": rules(rules(rule("plan", "~", "x")))}, "filter.rules[0].rules[0].operator", "'~' is no operator"),
        ({"filter": rules(rules())}, "filter.rules[0].rules", "at least one rule"),
        ({"filter": PRO, "sample": 1_001}, "sample", "from 0 to 1,000"),
        ({"filter": PRO, "as_of": "today"}, "as_of", "expected an instant"),
        ({"filter": PRO, "limit": 5}, "limit", "no such member"),
        ({}, "filter", "expected a group"),
    ],
)  # fmt: skip
def test_it_names_what_is_at_fault(shared, body, path, part):
    answer = call(shared, "POST", "cohorts/preview", body)
    assert answer.status == 400
    assert answer.json["errors"][0]["path"] == path
    assert part in answer.json["errors"][0]["message"]


# --- stored ---


def test_a_cohort_is_read_as_it_was_made(client):
    cohort_id = create(client, "Pros", filter=PRO, description="those who pay")
    shown = client.get(f"cohorts/{cohort_id}").json
    assert shown == {
        "cohort_id": cohort_id,
        "name": "Pros",
        "kind": "dynamic",
        "description": "those who pay",
        "filter": {**PRO, "not": False},
        "sentence": 'Profiles where plan is "pro".',
        "revision": 1,
        "created_at": shown["created_at"],
        "updated_at": shown["created_at"],
        "last_count": None,
        "last_counted_at": None,
    }
    assert client.get("cohorts").json == {"items": [shown], "next_cursor": None}
    assert count(client, cohort_id) == 2
    assert client.get(f"cohorts/{cohort_id}").json["last_count"] == 2


def test_saving_an_empty_rule_is_refused(shared):
    answer = call(shared, "POST", "cohorts", {"name": "All", "filter": rules()})
    assert (answer.status, answer.json["errors"][0]["path"]) == (400, "filter.rules")


def test_a_name_is_taken_once(client):
    create(client, "Pros", filter=PRO)
    answer = call(client, "POST", "cohorts", {"name": "Pros", "filter": PRO})
    assert (answer.status, answer.json["_message"]) == (
        409,
        "there is a cohort named 'Pros' already; choose another name",
    )


def test_a_count_includes_every_write_that_was_answered(client):
    cohort_id = create(client, "Pros", filter=PRO)
    for number in range(20):
        assert client.post("set", {"distinct_id": f"new {number}", "$set": {"plan": "pro"}}).status == 202
        assert count(client, cohort_id) == 3 + number
    assert call(client, "POST", "profiles/delete", {"distinct_id": ["new 0", "ann"]}).status == 200
    assert count(client, cohort_id) == 20


def test_pages_of_members_have_everybody_once(client):
    cohort_id = create(client, "With a plan", filter=rules(rule("plan", "notNull")))
    first = client.get(f"cohorts/{cohort_id}/members?limit=2&columns=plan,ltv").json
    client.post("set", {"distinct_id": "aaa", "$set": {"plan": "new"}})
    second = client.get(f"cohorts/{cohort_id}/members?limit=2&cursor={first['next_cursor']}").json
    assert [item["distinct_id"] for item in first["items"] + second["items"]] == ["ann", "bob", "cid"]
    assert first["items"][1]["properties"] == {"plan": "free", "ltv": 5.5}
    assert second["next_cursor"] is None


def test_pages_do_not_go_on_with_another_cohorts_members(client):
    cohort_id = create(client, "With a plan", filter=rules(rule("plan", "notNull")))
    other_id = create(client, "Pros", filter=PRO)
    first = client.get(f"cohorts/{cohort_id}/members?limit=2").json
    other = client.get(f"cohorts/{other_id}/members?cursor={first['next_cursor']}")
    assert (other.status, other.json["errors"][0]["path"]) == (400, "cursor")


def test_an_edit_keeps_what_is_not_sent_and_counts_revisions(client):
    cohort_id = create(client, "Pros", filter=PRO)
    changed = call(client, "PUT", f"cohorts/{cohort_id}", {"name": "Payers", "revision": 1}).json
    assert (changed["name"], changed["filter"]["rules"], changed["revision"]) == ("Payers", PRO["rules"], 2)
    stale = call(client, "PUT", f"cohorts/{cohort_id}", {"name": "Others", "revision": 1})
    assert (stale.status, "(it is at revision 2, not 1)" in stale.json["_message"]) == (409, True)
    nothing = call(client, "PUT", f"cohorts/{cohort_id}", {})
    assert (nothing.status, "nothing to change" in nothing.json["_message"]) == (400, True)


def test_a_dry_run_says_who_enters_and_leaves_and_changes_nothing(client):
    cohort_id = create(client, "Pros", filter=PRO)
    path = f"cohorts/{cohort_id}?dry_run=true"
    answer = call(client, "PUT", path, {"filter": rules(rule("ltv", ">", 0))})
    assert (answer.status, answer.json) == (
        200,
        {"entering": {"count": 1, "sample": ["bob"]}, "leaving": {"count": 1, "sample": ["cid"]}},
    )
    assert client.get(f"cohorts/{cohort_id}").json["revision"] == 1
    assert call(client, "PUT", f"cohorts/{cohort_id}?dryrun=true", {"filter": PRO}).status == 400


def test_it_says_why_somebody_is_in_or_out(client):
    cohort_id = create(client, "Some", filter=rules(PRO | {"not": True}, rule("ltv", "<", 10), rule("tags", "isEmpty")))
    answer = client.get(f"cohorts/{cohort_id}/members/bob").json
    assert answer.pop("as_of").endswith("Z")
    assert answer == {
        "distinct_id": "bob",
        "member": True,
        "reason": {
            "path": "",
            "combinator": "and",
            "not": False,
            "holds": True,
            "rules": [
                {
                    "path": "rules[0]",
                    "combinator": "and",
                    "not": True,
                    "holds": True,
                    "rules": [
                        {
                            "path": "rules[0].rules[0]",
                            "field": "plan",
                            "operator": "=",
                            "value": "pro",
                            "holds": False,
                            "seen": "free",
                        }
                    ],
                },
                {"path": "rules[1]", "field": "ltv", "operator": "<", "value": 10, "holds": True, "seen": 5.5},
                {"path": "rules[2]", "field": "tags", "operator": "isEmpty", "holds": True, "seen": None},
            ],
        },
    }
    assert client.get(f"cohorts/{cohort_id}/members/cid").json["member"] is False
    assert client.get(f"cohorts/{cohort_id}/members/nobody").status == 400
    assert client.get("cohorts/none/members/bob").status == 404


def test_cohorts_of_cohorts_and_no_loops(client):  # I-44
    pros = create(client, "Pros", filter=PRO)
    rich = create(client, "Rich pros", filter=rules(rule("$cohort", "in", pros), rule("ltv", ">", 0)))
    others = create(client, "Others", filter=rules(rule("$cohort", "notIn", [rich])))
    assert (members(client, rich), members(client, others)) == (["ann"], ["bob", "cid", "dee"])
    seen = client.get(f"cohorts/{rich}/members/cid").json["reason"]["rules"][0]["seen"]
    assert seen == {pros: {"name": "Pros", "member": True}}
    loop = call(client, "PUT", f"cohorts/{pros}", {"filter": rules(rule("$cohort", "in", others))})
    assert loop.status == 400
    assert loop.json["errors"] == [
        {
            "path": "filter.rules[0].value",
            "message": "cohorts must not lead back to themselves: 'Others' → 'Rich pros' → 'Pros' → 'Others'; "
            "take one of these out",
        }
    ]
    used = call(client, "DELETE", f"cohorts/{pros}")
    assert (used.status, "used by “Rich pros”" in used.json["_message"]) == (409, True)
    assert call(client, "DELETE", f"cohorts/{others}").status == 200
    assert client.get(f"cohorts/{others}").status == 404


def test_a_property_that_a_cohort_is_about_is_not_deleted(client):
    create(client, "Pros", filter=PRO)
    answer = call(client, "DELETE", "properties/plan?confirm=plan")
    assert (answer.status, "used by the cohort “Pros”" in answer.json["_message"]) == (409, True)


def test_a_cohort_that_cannot_be_computed_says_so_and_what_it_last_was(client):
    cohort_id = create(client, "Rich", filter=rules(rule("ltv", ">", 5)))
    assert count(client, cohort_id) == 2
    assert call(client, "PATCH", "properties/ltv", {"type": "string"}).status == 200
    answer = client.get(f"cohorts/{cohort_id}/count")
    assert answer.status == 400
    assert answer.json["_message"].startswith(
        "the cohort “Rich” cannot be computed: rules[0].operator: '>' cannot be asked of 'ltv', a string"
    )
    assert "; 2 were in when it was last counted, " in answer.json["_message"]
    assert client.get(f"cohorts/{cohort_id}/members").status == 400


def test_a_rule_about_time_moves_with_the_clock(client):  # I-54
    client.post("set", {"distinct_id": "ann", "$set": {"last_open": "2026-11-20T12:00:00Z"}})
    cohort_id = create(client, "Lately", filter=rules(rule("last_open", "inLast", {"amount": 5, "unit": "day"})))
    at = "?as_of=2026-11-2{}T12:00:00Z"
    assert client.get(f"cohorts/{cohort_id}/count{at.format(5)}").json["count"] == 1
    assert client.get(f"cohorts/{cohort_id}/count{at.format(6)}").json["count"] == 0


# --- static ones ---


def test_a_new_list_says_which_ids_are_nobody(client):
    sent = {"name": "List", "kind": "static", "members": ["ann", *(f"nobody {each}" for each in range(7))]}
    made = call(client, "POST", "cohorts", sent).json
    (warning,) = made["warnings"]
    assert warning["path"] == "members"
    assert "7 ids lead to no profile and cannot be in ('nobody 0', 'nobody 1'," in warning["message"]
    assert "nobody 6" not in warning["message"]
    assert call(client, "POST", "cohorts", {**sent, "name": "Ann", "members": ["ann"]}).json["warnings"] == []


def test_a_list_is_added_to_replaced_and_taken_from(client):  # I-65
    cohort_id = create(client, "List", kind="static", members=["bob", "nobody"])
    assert (members(client, cohort_id), count(client, cohort_id)) == (["bob"], 1)

    def change(mode: str, *ids: str):
        return call(client, "POST", f"cohorts/{cohort_id}/members", {"mode": mode, "distinct_ids": list(ids)}).json

    assert change("add", "bob", "ann", "nobody") == {
        "status": "ok",
        "added": 1,
        "removed": 0,
        "members": 2,
        "unknown": {"count": 1, "sample": ["nobody"]},
    }
    assert change("add", "bob", "ann")["members"] == 2
    assert change("replace", "cid", "ann")["members"] == count(client, cohort_id) == 2
    assert change("remove", "ann")["removed"] == 1
    assert (members(client, cohort_id), count(client, cohort_id)) == (["cid"], 1)
    assert client.get(f"cohorts/{cohort_id}/members/cid").json["member"] is True
    out = client.get(f"cohorts/{cohort_id}/members/ann").json
    assert (out["member"], out["reason"]) == (False, None)


@pytest.mark.parametrize(
    "text", ["\ufeffdistinct_id,plan\r\nann,x\r\nbob,y\r\n", "plan;distinct_id\nx;ann\ny;bob", "ann\nbob\n"]
)
def test_a_list_comes_as_csv(client, text):  # I-58
    cohort_id = create(client, "List", kind="static")
    path = f"cohorts/{cohort_id}/members?mode=add"
    answer = client.call("POST", f"{client.base}/{path}", text.encode(), {"Content-Type": "text/csv"})
    assert (answer.status, answer.json["added"]) == (200, 2)
    assert members(client, cohort_id) == ["ann", "bob"]


def test_a_csv_at_fault_is_refused_by_its_line(client):
    cohort_id = create(client, "List", kind="static")
    path = f"{client.base}/cohorts/{cohort_id}/members"
    for text, place in (("a,b\n1,2\n", "line 1"), ("distinct_id\nann\n" + "x" * 256, "line 3")):
        answer = client.call("POST", f"{path}?mode=add", text.encode(), {"Content-Type": "text/csv"})
        assert (answer.status, answer.json["errors"][0]["path"]) == (400, place)
    assert client.call("POST", path, b"ann\n", {"Content-Type": "text/csv"}).json["errors"][0]["path"] == "mode"
    assert members(client, cohort_id) == []


def test_the_count_of_a_large_upload_is_that_of_its_list(client):  # I-52
    items = [{"distinct_id": f"u{number:05}", "action": {"$set": {"n": number}}} for number in range(10_000)]
    assert client.post("batch", {"batch": items}).status == 202
    ids = [item["distinct_id"] for item in items] + [f"missing{number}" for number in range(15_000)]
    cohort_id = create(client, "Upload", kind="static")
    answer = call(client, "POST", f"cohorts/{cohort_id}/members", {"mode": "replace", "distinct_ids": ids}).json
    assert (answer["members"], answer["unknown"]["count"]) == (10_000, 15_000)
    assert count(client, cohort_id) == 10_000


def test_members_follow_merges_and_go_with_erasures(client):
    cohort_id = create(client, "List", kind="static", members=["ann", "bob"])
    assert call(client, "PATCH", "profiles/ann/merge/dee").status == 200
    assert members(client, cohort_id) == ["bob", "dee"]
    assert call(client, "POST", "profiles/delete", {"distinct_id": ["bob"]}).json["erased"]["cohort_members"] == 1
    client.post("set", {"distinct_id": "bob", "$set": {"plan": "again"}})
    assert (members(client, cohort_id), count(client, cohort_id)) == (["dee"], 1)


def test_a_cohort_by_a_rule_has_no_list_and_a_list_no_rule(client):
    pros = create(client, "Pros", filter=PRO)
    answer = call(client, "POST", f"cohorts/{pros}/members", {"mode": "add", "distinct_ids": ["bob"]})
    assert (answer.status, "goes by its rule" in answer.json["_message"]) == (400, True)
    listed = create(client, "List", kind="static")
    assert call(client, "PUT", f"cohorts/{listed}", {"filter": PRO}).json["errors"][0]["path"] == "filter"
    both = call(client, "POST", "cohorts", {"name": "Both", "kind": "static", "filter": PRO})
    assert both.json["errors"][0]["path"] == "filter"


def test_freezing_keeps_those_who_were_in(client):
    pros = create(client, "Pros", filter=PRO)
    answer = call(client, "POST", f"cohorts/{pros}/freeze", {"name": "Pros of today"})
    assert (answer.status, answer.json["kind"], answer.json["last_count"]) == (201, "static", 2)
    client.post("set", {"distinct_id": "ann", "$set": {"plan": "free"}})
    assert members(client, answer.json["cohort_id"]) == ["ann", "cid"]
    assert members(client, pros) == ["cid"]


# --- files, queries, insight ---


@pytest.mark.parametrize("format_", ["ndjson", "csv", "parquet"])
def test_an_export_has_the_members_and_no_one_else(client, format_):
    pros = create(client, "Pros", filter=PRO)
    answer = client.get(f"cohorts/{pros}/export?format={format_}")
    assert answer.status == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="{pros}.{format_}"'
    found = [name for name in PEOPLE if name.encode() in answer.text]
    assert found == ["ann", "cid"]
    assert client.get(f"cohorts/{pros}/export?format=xls").status == 400


def test_a_query_takes_a_rule(client):
    def query(**body: object):
        return call(client, "POST", "profiles/query", {"filter": rules(rule("plan", "notNull")), **body})

    first = query(limit=2, columns=["plan"]).json
    second = query(limit=2, columns=["plan"], cursor=first["next_cursor"]).json
    items = [(item["distinct_id"], item["properties"]) for item in first["items"] + second["items"]]
    assert items == [("ann", {"plan": "pro"}), ("bob", {"plan": "free"}), ("cid", {"plan": "pro"})]
    assert query(sort="-distinct_id").json["errors"][0]["path"] == "filter"
    other = call(client, "POST", "profiles/query", {"filter": PRO, "cursor": first["next_cursor"]})
    assert (other.status, other.json["errors"][0]["path"]) == (400, "cursor")


def test_insight_tells_what_values_there_are(client):
    assert client.get("properties/ltv/insight").json == {
        "name": "ltv",
        "type": "number",
        "profiles": 4,
        "having": 3,
        "share": 0.75,
        "distinct": 3,
        "top": [{"value": -1, "profiles": 1}, {"value": 5.5, "profiles": 1}, {"value": 500, "profiles": 1}],
        "min": -1,
        "max": 500,
        "quantiles": {"p5": -1, "p25": -1, "p50": 5.5, "p75": 500, "p95": 500},
        "sum": 504.5,
    }
    assert client.get("properties/plan/insight?top=1").json["top"] == [{"value": "pro", "profiles": 2}]
    assert client.get("properties/tags/insight").json["sizes"] == {"min": 0, "max": 2}
    assert client.get("properties/none/insight").status == 404


# --- limits ---


def test_a_hundred_thousand_values_are_answered_and_more_refused(shared):
    ids = [f"nobody {number}" for number in range(99_998)] + ["ann", "bob"]
    assert sampled(shared, rules(rule("$distinct_id", "in", ids))) == ["ann", "bob"]
    assert sampled(shared, rules(rule("$distinct_id", "notIn", ids))) == ["cid", "dee"]
    assert sampled(shared, rules(rule("tags", "containsAny", [f"x{n}" for n in range(99_999)] + ["b"]))) == ["ann"]
    answer = call(shared, "POST", "cohorts/preview", {"filter": rules(rule("$distinct_id", "in", [*ids, "x"]))})
    assert (answer.status, "at most 100,000 values" in answer.json["_message"]) == (400, True)


def test_500_rules_ten_deep_are_answered(shared):
    tree = rules(*[rule("ltv", "!=", number) for number in range(499)])
    for _ in range(9):
        tree = rules(tree)
    tree["rules"].append(rule("plan", "=", "pro"))
    assert sampled(shared, tree) == ["ann", "cid"]
    answer = call(shared, "POST", "cohorts/preview", {"filter": rules(tree)})
    assert (answer.status, "go 10 deep at most" in answer.json["_message"]) == (400, True)


@pytest.mark.parametrize("text", ["' OR 1=1 --", '"; DROP TABLE p1', "%_\\", "$1", "$v0", "(a+)+$", "\\\\", "{}", "?"])
def test_texts_are_plain(client, text):  # I-57
    client.post("set", {"distinct_id": "odd", "$set": {text.replace("$", "_"): f"x{text}y", "plan": "odd"}})
    for operator, value in (("=", f"x{text}y"), ("contains", text), ("endsWith", f"{text}y"), ("in", [f"x{text}y"])):
        assert sampled(client, rules(rule(text.replace("$", "_"), operator, value))) == ["odd"]
    assert sampled(client, rules(rule("plan", "=", text))) == []
    assert sampled(client, rules(rule("$distinct_id", "contains", text))) == []
    create(client, text, filter=PRO)


def test_a_text_of_a_megabyte_is_refused(shared):
    answer = call(shared, "POST", "cohorts/preview", {"filter": rules(rule("plan", "contains", "x" * 1_000_000))})
    assert (answer.status, "at most 2,048 characters" in answer.json["_message"]) == (400, True)
