"""Profiles: finding them, what is kept about one, and what can be done to it."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from traitbase.console.naming import names_of
from traitbase.console.page import Faults, Page
from traitbase.console.values import KINDS, OPERATIONS, operations_of, read_element, read_value, typed
from traitbase.domain.destinations import TOKEN_CHANNELS, Channel
from traitbase.domain.errors import InvalidInput
from traitbase.domain.spaces import Environment
from traitbase.domain.updates import Operation
from traitbase.domain.values import Kind

_PAGE = 50
_COLUMNS_USUAL = 5
_COLUMNS_MAX = 20
_HISTORY = 50
_COHORTS_SHOWN = 60
_SORTS = (
    ("-created_at", "newest first"),
    ("created_at", "oldest first"),
    ("distinct_id", "by id"),
    ("-distinct_id", "by id, backwards"),
)
SINGLE_CHANNELS = tuple(each for each in Channel if each not in TOKEN_CHANNELS)


async def definitions_of(page: Page) -> list[dict[str, Any]]:
    """Return all property definitions, in order of name."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        answer = await page.get("properties", limit=1_000, cursor=cursor)
        found.extend(answer["items"])
        cursor = answer["next_cursor"]
        if cursor is None or len(found) >= 5_000:
            return found


async def cohorts_of(page: Page) -> list[dict[str, Any]]:
    """Return all cohorts, in order of name."""
    return list((await page.get("cohorts"))["items"])


async def show_table(page: Page) -> Response:
    """Show profiles: all, those that a search finds, or the members of a cohort; with the columns that are wanted."""
    definitions = await definitions_of(page)
    known = [each["name"] for each in definitions]
    chosen = [each for each in page.request.query_params.getlist("columns") if each in set(known)][:_COLUMNS_MAX]
    if not chosen:
        by_use = sorted(definitions, key=lambda each: (-each["profiles"], each["name"]))
        chosen = [each["name"] for each in by_use if each["state"] == "active"][:_COLUMNS_USUAL]
    sought, cohort_id = page.query("q").strip(), page.query("cohort")
    sort, cursor = page.query("sort", _SORTS[0][0]), page.query("cursor") or None
    if cohort_id and sought:
        body = {"filter": _sought_in(cohort_id, sought), "limit": _PAGE, "cursor": cursor}
        answer = await page.ask("POST", "profiles", "query", body=body)
    elif cohort_id:
        answer = await page.ask("GET", "cohorts", cohort_id, "members", limit=_PAGE, cursor=cursor)
    elif sought:
        answer = await page.ask("GET", "profiles", q=sought, limit=_PAGE, cursor=cursor)
    else:
        answer = await page.ask("GET", "profiles", sort=sort, limit=_PAGE, cursor=cursor)
    found = page.needed(answer)
    template = "profiles_rows.html" if page.is_fragment else "profiles.html"
    return page.render(
        template,
        items=found["items"],
        next_cursor=found["next_cursor"],
        cursor=cursor,
        columns=chosen,
        known=known,
        sought=sought,
        sort=sort,
        sorts=_SORTS,
        cohort_id=cohort_id,
        cohorts=[] if page.is_fragment else await cohorts_of(page),
        kinds={each["name"]: each["type"] for each in definitions},
    )


def _sought_in(cohort_id: str, sought: str) -> dict[str, Any]:
    """Return the rule of those members of a cohort whose id, name or email address begins so."""
    begins = [
        {"field": name, "operator": "beginsWith", "value": sought, "ignoreCase": name != "$distinct_id"}
        for name in ("$distinct_id", "$name", "$channel.email")
    ]
    member = {"field": "$cohort", "operator": "in", "value": [cohort_id]}
    return {"combinator": "and", "rules": [member, {"combinator": "or", "rules": begins}]}


async def show_new(page: Page) -> Response:
    """Ask who a new profile is to be."""
    return page.render("profile_new.html", given={"environment": page.here.environment.value}, channels=SINGLE_CHANNELS)


async def create(page: Page) -> Response:
    """Create a profile, in the environment that is chosen: it cannot change over later."""
    given = page.fields()
    environment = given.get("environment", "")
    if environment not in set(Environment):
        faults = Faults("", {"environment": "expected live or test"})
        return page.render("profile_new.html", status=400, faults=faults, given=given, channels=SINGLE_CHANNELS)
    body: dict[str, object] = {"distinct_id": given.get("distinct_id", "").strip()}
    body |= {name: given[name].strip() for name in ("name", "timezone") if given.get(name, "").strip()}
    channel = {each.value: given[each.value].strip() for each in SINGLE_CHANNELS if given.get(each.value, "").strip()}
    if channel:
        body["channel"] = channel
    answer = await page.ask_in(environment, "POST", "profiles", body=body)
    faults = Faults.in_answer(answer)
    if faults:
        return page.render("profile_new.html", status=400, faults=faults, given=given, channels=SINGLE_CHANNELS)
    page.about(f"in {environment}", request_id=answer.json["request_id"])
    return page.go_to(page.url_in(environment, "profile", id=body["distinct_id"], said="created"))


async def show(page: Page) -> Response:
    """Show everything that is kept about one person."""
    return await _show(page, page.query("id"), Faults(), {})


async def _show(page: Page, wanted: str, faults: Faults, given: dict[str, str], *, status: int = 200) -> Response:
    profile = await page.get("profiles", wanted)
    distinct_id = profile["distinct_id"]
    history = await page.get("profiles", distinct_id, "history", limit=_HISTORY, cursor=page.query("history") or None)
    suppressions = await page.ask_workspace("GET", "suppressions", distinct_id=distinct_id)
    by_destination = [
        each
        for channel in SINGLE_CHANNELS
        if channel.value in profile["channel_raw"]
        for each in page.needed(
            await page.ask_workspace(
                "GET", "suppressions", destination=profile["channel_raw"][channel.value], channel=channel.value
            )
        )
    ]
    held = {each["_id"]: each for each in [*page.needed(suppressions), *by_destination]}
    definitions = {each["name"]: each for each in await definitions_of(page)}
    return page.render(
        "profile.html",
        status=status,
        faults=faults,
        given=given,
        profile=profile,
        history=history,
        changes=_last_changes(history["items"]),
        is_whole_history=history["next_cursor"] is None and not page.query("history"),
        names=await names_of(page, {each["key_id"] for each in history["items"]}),
        suppressions=list(held.values()),
        kinds={name: each["type"] for name, each in definitions.items()},
        tokens=[each.value for each in TOKEN_CHANNELS],
        channels=SINGLE_CHANNELS,
    )


def _last_changes(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return for each property the newest change in a part of a history, which is newest first."""
    found: dict[str, dict[str, Any]] = {}
    for entry in items:
        for change in entry["changes"]:
            if "property" in change:
                found.setdefault(change["property"], entry)
    return found


async def show_cohorts(page: Page) -> Response:
    """Show in which cohorts somebody is, and why."""
    distinct_id = page.query("id")
    rows = []
    cohorts = await cohorts_of(page)
    for cohort in cohorts[:_COHORTS_SHOWN]:
        answer = await page.ask("GET", "cohorts", cohort["cohort_id"], "members", distinct_id)
        rows.append((cohort, answer.json if answer.is_good else None, answer.message))
    rows.sort(key=lambda row: not (row[1] or {}).get("member"))
    return page.render("profile_cohorts.html", rows=rows, more=len(cohorts) - len(rows))


async def show_deliveries(page: Page) -> Response:
    """Show what somebody was sent."""
    answer = await page.get("deliveries", distinct_id=page.query("id"), limit=25, cursor=page.query("cursor") or None)
    return page.render("profile_deliveries.html", items=answer["items"], next_cursor=answer["next_cursor"])


async def show_property(page: Page) -> Response:
    """Ask what is to become of one property of a profile, or for a new one."""
    profile = await page.get("profiles", page.query("id"))
    return await _ask_property(page, profile, page.query("name"), {}, Faults())


async def _ask_property(
    page: Page, profile: dict[str, Any], name: str, given: dict[str, str], faults: Faults, *, status: int = 200
) -> Response:
    definitions = await definitions_of(page)
    known = {each["name"]: each for each in definitions}
    kind = known[name]["type"] if name in known else given.get("type", Kind.STRING.value)
    value = profile["properties"].get(name)
    return page.render(
        "profile_property.html",
        status=status,
        faults=faults,
        profile=profile,
        name=name,
        definition=known.get(name),
        names=[each["name"] for each in definitions if each["state"] == "active"],
        kind=kind,
        kinds=KINDS,
        operations=operations_of(kind),
        has_value=name in profile["properties"],
        value=value,
        given={"operation": Operation.SET.value, "value": typed(value), "type": kind, **given},
    )


async def change_property(page: Page) -> Response:
    """Apply one operation to one property, by the rules of the API; a new property gets the type that was chosen."""
    given = page.fields()
    distinct_id, name = given.get("id", ""), given.get("name", "")
    profile = await page.get("profiles", distinct_id)
    is_new = given.get("is_new") == "yes"
    try:
        request_id = await _apply(page, distinct_id, name.strip() if is_new else name, given)
    except InvalidInput as error:
        shown = "" if is_new else name
        return await _ask_property(page, profile, shown, given, Faults.in_error(error), status=400)
    page.about(name, request_id=request_id)
    return page.go("profile", id=distinct_id, said="saved", request=request_id)


async def _apply(page: Page, distinct_id: str, name: str, given: dict[str, str]) -> str:
    """Apply an operation and return its request's id. Raises InvalidInput if it is not applied, with the reason."""
    try:
        operation = Operation(given.get("operation", Operation.SET.value))
    except ValueError as error:
        raise InvalidInput("operation: expected one of those in the list") from error
    definition = await page.ask("GET", "properties", name) if name else None
    is_defined = definition is not None and definition.is_good
    kind_text = definition.json["type"] if definition is not None and is_defined else given.get("type", "")
    if kind_text not in set(Kind):
        raise InvalidInput("type: expected one of those in the list")
    kind = Kind(kind_text)
    if given.get("is_new") == "yes" and is_defined and given.get("type") not in ("", kind_text):
        message = f"type: {name} is defined already, as {kind_text}: choose that, or another name"
        raise InvalidInput(message)
    body: dict[str, object] = {"distinct_id": distinct_id}
    if operation is Operation.UNSET:
        body[operation.value] = [name]
    else:
        text = given.get("value", "")
        is_element = operation in (Operation.APPEND, Operation.REMOVE)
        body[operation.value] = {name: read_element(text) if is_element else read_value(kind, text)}
    if not is_defined and operation is not Operation.UNSET:
        _refuse(Faults.in_answer(await page.ask("POST", "properties", body={"name": name, "type": kind.value})))
    endpoint = OPERATIONS[operation][0]
    answer = await page.ask_once(given.get("form_key", ""), "POST", "profiles", "properties", endpoint, body=body)
    _refuse(Faults.in_answer(answer))
    request_id = str(answer.json["request_id"])
    receipt = await page.get("requests", request_id)
    for item in receipt["items"]:
        for ignored in item["ignored"]:
            raise InvalidInput(f"value: {ignored['message']} (request {request_id})")
    return request_id


def _refuse(faults: Faults) -> None:
    if faults:
        path, message = next(iter(faults.fields.items()), ("", faults.message))
        where = path if path in ("name", "type") else "value" if path else "name"
        raise InvalidInput(f"{where}: {message}")


async def change(page: Page) -> Response:
    """Change a profile's name, status and time zone."""
    given = page.fields()
    body: dict[str, object] = {"name": given.get("name", "").strip() or None}
    body["timezone"] = given.get("timezone", "").strip() or None
    body["status"] = 0 if given.get("status") == "0" else 1
    return await _changed(page, await page.ask("PUT", "profiles", given.get("id", ""), body=body))


async def change_channel(page: Page) -> Response:
    """Write down where somebody is reached on a channel, or forget it."""
    given = page.fields()
    distinct_id, channel = given.get("id", ""), given.get("channel", "")
    destination = given.get("destination", "").strip()
    if destination:
        body = {"channel": {channel: destination}}
        answer = await page.ask("PATCH", "profiles", distinct_id, "channel", body=body)
    else:
        answer = await page.ask("POST", "profiles", distinct_id, "channel", "delete", body={"channel": [channel]})
    return await _changed(page, answer)


async def _changed(page: Page, answer: Any) -> Response:
    distinct_id, faults = page.text("id"), Faults.in_answer(answer)
    if faults:
        return await _show(page, distinct_id, faults, page.fields(), status=400)
    request_id = answer.json.get("request_id")
    page.about(request_id=request_id)
    return page.go("profile", id=distinct_id, said="saved", request=request_id)


async def show_merge(page: Page) -> Response:
    """Show two profiles beside each other that are about to become one."""
    source = await page.get("profiles", page.query("id"))
    into = page.query("into").strip()
    target, faults = None, Faults()
    if into:
        answer = await page.ask("GET", "profiles", into)
        target = answer.json if answer.is_good else None
        if target is not None and target["distinct_id"] == source["distinct_id"]:
            target, faults = None, Faults("", {"into": "this is the same profile"})
    return page.render("profile_merge.html", source=source, target=target, into=into, faults=faults)


async def merge(page: Page) -> Response:
    """Make one profile of two."""
    source, into = page.text("id"), page.line("into")
    answer = await page.ask("PATCH", "profiles", source, "merge", into)
    faults = Faults.in_answer(answer)
    if faults:
        return page.render("profile_refused.html", status=400, faults=faults, distinct_id=source)
    request_id = answer.json.get("request_id")
    page.about(request_id=request_id)
    return page.go("profile", id=into, said="merged", request=request_id)


async def show_erase(page: Page) -> Response:
    """Say what erasing somebody takes away, and ask for the id once more."""
    profile = await page.get("profiles", page.query("id"))
    return page.render("profile_erase.html", profile=profile)


async def erase(page: Page) -> Response:
    """Erase somebody, after their id was typed once more."""
    distinct_id, confirmed = page.text("id"), page.line("confirm")
    profile = await page.get("profiles", distinct_id)
    if confirmed != profile["distinct_id"]:
        faults = Faults("", {"confirm": "this is not the id of the profile: nothing was erased"})
        return page.render("profile_erase.html", status=400, faults=faults, profile=profile)
    answer = await page.ask("POST", "profiles", "delete", body={"distinct_id": [profile["distinct_id"]]})
    done = page.needed(answer)
    page.about(request_id=done["request_id"])
    return page.go("requests", id=done["request_id"], said="erased")
