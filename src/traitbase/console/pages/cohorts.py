"""Cohorts: the rule builder with its live count, and what can be done with those who are in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from traitbase.console import drafts
from traitbase.console.asking import Question
from traitbase.console.drafts import DraftGroup, DraftRule, Made
from traitbase.console.page import Faults, Page
from traitbase.console.pages.profiles import cohorts_of, definitions_of
from traitbase.console.passing import Passed
from traitbase.console.values import typed
from traitbase.domain.rules.fields import Field
from traitbase.domain.values import Kind

_OFFERED = 30
_SAMPLE = 8
_MEMBERS = 50
_OFFERED_FIELDS_MAX = 25
_NAMES_MAX = 200
"""Of more properties, each rule does not list all: they would be 500 times some thousand choices on a page."""

FORMATS = ("csv", "ndjson", "parquet")


@dataclass(slots=True)
class Builder:
    """What the builder shows: the draft, and what there is to choose from."""

    draft: DraftGroup
    kinds: dict[str, Kind]
    cohorts: list[dict[str, Any]]
    offered: dict[str, list[str]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    def kind(self, name: str) -> Kind | None:
        """Return the type of a field."""
        return drafts.kind_of_field(name, self.kinds)

    def operators(self, name: str) -> list[tuple[str, str]]:
        """Return the operators of a field."""
        return drafts.operators_for(name, self.kind(name))

    def fault(self, path: str) -> str:
        """Return what is wrong with a node."""
        return self.faults.get(path, "")

    def may_fold(self, rule: DraftRule) -> bool:
        """Tell whether a rule can be asked without regard to case."""
        return drafts.may_fold(rule, self.kind(rule.field))

    def form(self, rule: DraftRule) -> str:
        """Return which inputs a rule's value has."""
        return rule.form_of_value(self.kind(rule.field))


def _draft_in(page: Page) -> DraftGroup:
    fields = page.fields()
    chosen = {name: page.texts(name) for name in fields if name.endswith(".cohorts")}
    return drafts.read_draft(fields, chosen)


async def _kinds(page: Page) -> dict[str, Kind]:
    return {each["name"]: Kind(each["type"]) for each in await definitions_of(page)}


async def _builder(
    page: Page, draft: DraftGroup, *, but: str | None = None, faults: dict[str, str] | None = None
) -> Builder:
    """Return the builder of a draft, with values of the data offered for the properties that it is about."""
    kinds = await _kinds(page)
    others = [each for each in await cohorts_of(page) if each["cohort_id"] != but]
    builder = Builder(draft, kinds, others, faults=faults or {})
    for rule in drafts.rules(draft):
        kind = builder.kind(rule.field)
        words = [word for word, _ in builder.operators(rule.field)]
        if rule.field and rule.operator not in words:
            rule.operator, rule.values = words[0], {}
        if rule.field in kinds and kind is not Kind.BOOLEAN and len(builder.offered) < _OFFERED_FIELDS_MAX:
            builder.offered.setdefault(rule.field, [])
    for name in builder.offered:
        answer = await page.ask("GET", "properties", name, "insight", top=_OFFERED)
        if answer.is_good:
            builder.offered[name] = [typed(each["value"]) for each in answer.json["top"]]
    return builder


async def show_all(page: Page) -> Response:
    """Show all cohorts."""
    return page.render("cohorts.html", cohorts=await cohorts_of(page))


async def show_new(page: Page) -> Response:
    """Begin a cohort: with nothing, or with one rule about a property."""
    draft = DraftGroup(parts=[DraftRule("r-0", page.query("field"))])
    return await _show_builder(page, draft, given={})


async def show_edit(page: Page) -> Response:
    """Show a stored cohort in the builder."""
    cohort = await page.get("cohorts", page.query("id"))
    if cohort["kind"] != "dynamic":
        raise page.missing("rule: this cohort is a list")
    draft = drafts.draft_of(cohort["filter"], await _kinds(page))
    return await _show_builder(page, draft, cohort=cohort, given=cohort)


async def _show_builder(
    page: Page,
    draft: DraftGroup,
    *,
    given: dict[str, Any],
    cohort: dict[str, Any] | None = None,
    faults: Faults | None = None,
    made: Made | None = None,
    status: int = 200,
) -> Response:
    but = None if cohort is None else cohort["cohort_id"]
    builder = await _builder(page, draft, but=but, faults=None if made is None else made.faults)
    return page.render(
        "cohort_edit.html",
        status=status,
        faults=faults or Faults(),
        builder=builder,
        cohort=cohort,
        given=given,
        **_words(),
    )


def _words() -> dict[str, Any]:
    return {
        "built_in": drafts.BUILT_IN,
        "units": drafts.UNITS,
        "days": drafts.DAYS,
        "sizes": drafts.size_operators(),
        "cohort_field": Field.COHORT.value,
        "depth_max": drafts.DEPTH_MAX,
        "names_max": _NAMES_MAX,
    }


async def build(page: Page) -> Response:
    """Draw the builder anew after a click in it."""
    draft = drafts.changed(_draft_in(page), page.text("act"))
    builder = await _builder(page, draft, but=page.text("cohort_id") or None)
    return page.render("builder.html", builder=builder, focus=drafts.added_by(draft, page.text("act")), **_words())


async def _cohort_in(page: Page) -> dict[str, Any] | None:
    cohort_id = page.text("cohort_id")
    return await page.get("cohorts", cohort_id) if cohort_id else None


async def count(page: Page) -> Response:
    """Say how many the draft finds now, some of them, and who would come and go if a stored cohort became it."""
    draft = _draft_in(page)
    kinds = await _kinds(page)
    made = drafts.made_of(draft, kinds)
    context: dict[str, Any] = {"made": made, "found": None, "difference": None, "paths": _paths(draft)}
    if not made.faults:
        answer = await page.ask("POST", "cohorts", "preview", body={"filter": made.tree, "sample": _SAMPLE})
        for path, message in answer.errors:
            made.take(path, message)
        if answer.is_good:
            context["found"] = answer.json
        elif not made.faults:
            made.faults[drafts.ROOT] = answer.message
        if answer.is_good and page.text("cohort_id") and page.may("editor") and draft.parts:
            body = {"filter": made.tree}
            dry = await page.ask("PUT", "cohorts", page.text("cohort_id"), body=body, dry_run="true")
            context["difference"] = dry.json if dry.is_good else None
            for path, message in dry.errors:
                made.take(path, message)
    return page.render("cohort_count.html", **context)


def _paths(draft: DraftGroup) -> list[str]:
    return [*(each.path for each in drafts.groups(draft)), *(each.path for each in drafts.rules(draft))]


async def save(page: Page) -> Response:
    """Store the draft as a new cohort, or in the place of one."""
    draft, cohort_id = _draft_in(page), page.text("cohort_id")
    kinds = await _kinds(page)
    made = drafts.made_of(draft, kinds)
    body: dict[str, object] = {"name": page.line("name"), "description": page.line("description") or None}
    faults = Faults()
    if not draft.parts:
        made.faults[drafts.ROOT] = "add a rule: without one it would be everybody"
    if not made.faults:
        body["filter"] = made.tree
        if cohort_id:
            body["revision"] = page.revision()
            answer = await page.ask("PUT", "cohorts", cohort_id, body=body)
        else:
            answer = await page.ask("POST", "cohorts", body=body)
        if answer.is_good:
            found = answer.json
            page.about(str(found["name"]))
            return page.go("cohort", id=found["cohort_id"], said="saved" if cohort_id else "created")
        faults = _sorted_out(Faults.in_answer(answer), made)
    return await _show_builder(
        page, draft, given=page.fields(), cohort=await _cohort_in(page), faults=faults, made=made, status=400
    )


def _sorted_out(faults: Faults, made: Made) -> Faults:
    """Give the faults of rules to the builder, and return the others."""
    for path, message in list(faults.fields.items()):
        if path.startswith("filter"):
            made.take(path, message)
            del faults.fields[path]
    return faults


async def show(page: Page) -> Response:
    """Show a cohort: its sentence, how many are in now, and who."""
    cohort = await page.get("cohorts", page.query("id"))
    cohort_id = cohort["cohort_id"]
    counted = await page.ask("GET", "cohorts", cohort_id, "count")
    cursor = page.query("cursor") or None
    members = await page.ask("GET", "cohorts", cohort_id, "members", limit=_MEMBERS, cursor=cursor)
    definitions = await definitions_of(page)
    by_use = sorted(definitions, key=lambda each: (-each["profiles"], each["name"]))
    about = _fields_of(cohort.get("filter"))
    known = {each["name"]: each["type"] for each in definitions}
    columns = list(dict.fromkeys([*(name for name in about if name in known), *(each["name"] for each in by_use)]))[:5]
    return page.render(
        "cohort.html",
        cohort=cohort,
        counted_now=counted.json if counted.is_good else None,
        why_not=counted.message if not counted.is_good else "",
        members=members.json if members.is_good else None,
        columns=columns,
        kinds=known,
        cursor=cursor,
        formats=FORMATS,
    )


def _fields_of(node: Any) -> list[str]:
    if not isinstance(node, dict):
        return []
    if "rules" in node:
        return [name for each in node["rules"] for name in _fields_of(each)]
    return [str(node.get("field", ""))]


async def explain(page: Page) -> Response:
    """Say whether somebody is in, and why."""
    answer = await page.ask("GET", "cohorts", page.query("id"), "members", page.query("who").strip() or "-")
    return page.render("cohort_explained.html", answer=answer.json if answer.is_good else None, message=answer.message)


async def freeze(page: Page) -> Response:
    """Make a list of those who are in now."""
    name = page.line("name")
    answer = await page.ask("POST", "cohorts", page.text("id"), "freeze", body={"name": name})
    made = page.needed(answer)
    page.about(name)
    return page.go("cohort", id=made["cohort_id"], said="frozen")


async def delete(page: Page) -> Response:
    """Delete a cohort."""
    cohort = await page.get("cohorts", page.text("id"))
    page.needed(await page.ask("DELETE", "cohorts", cohort["cohort_id"]))
    page.about(cohort["name"])
    return page.go("cohorts", said="deleted")


async def export(page: Page) -> Response:
    """Send everything of those who are in as a file."""
    format_ = page.query("format", FORMATS[0])
    cohort = await page.get("cohorts", page.query("id"))
    path = ("v1", *page.space, "cohorts", cohort["cohort_id"], "export")
    return Passed(page.desk.parts.api, page.caller, Question("GET", path, (("format", format_),)))
