"""Campaigns: written, looked at, launched, watched, and what became of every message."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from starlette.responses import Response

from traitbase.console.asking import Question
from traitbase.console.page import Failed, Faults, Page
from traitbase.console.pages.events import events_of
from traitbase.console.pages.profiles import cohorts_of
from traitbase.console.passing import Passed
from traitbase.domain.campaigns import CampaignState, ScheduleKind
from traitbase.domain.deliveries import DeliveryState
from traitbase.domain.destinations import Channel, find_key
from traitbase.domain.errors import InvalidInput

FILE_BYTES_MAX = 50 * 1024 * 1024
_SUPPRESSIONS_A_PAGE = 10_000
_SUPPRESSIONS_LOOKED_AT = 50_000
_DELIVERIES = 50
_COUNTED_AT_ONCE = 100_000
"""Of an audience that is larger, the page comes first and the report after it: a million messages take 2 s to count."""

_LOOK_SECONDS = 1.0
_SHARE_FOR_LOOKING = 0.1
"""How often a report is counted anew: each second, but in no more than a tenth of the time."""

_GOING = (CampaignState.RUNNING.value, CampaignState.SCHEDULED.value)
_STEERING = {
    "pause": "paused",
    "resume": "resumed",
    "cancel": "cancelled",
    "skip": "skipped",
    "unschedule": "unscheduled",
}
_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}
_GOOD = (DeliveryState.SENT.value, DeliveryState.DELIVERED.value)
_BAD = (DeliveryState.FAILED.value, DeliveryState.BOUNCED.value, DeliveryState.UNCONFIRMED.value)


async def show_all(page: Page) -> Response:
    """Show all campaigns, the newest first."""
    names = {each["event_id"]: each["name"] for each in await events_of(page)}
    cohorts = {each["cohort_id"]: each["name"] for each in await cohorts_of(page)}
    campaigns = (await page.get("campaigns"))["items"]
    return page.render("campaigns.html", campaigns=campaigns, names=names, cohorts=cohorts)


async def show_new(page: Page) -> Response:
    """Begin a campaign, to a cohort if one was chosen already."""
    given = {"cohort_id": page.query("cohort"), "event_id": page.query("event"), "kind": "now", "zone": page.zone.key}
    return await _show_form(page, given, Faults(), status=200)


async def show_edit(page: Page) -> Response:
    """Show a draft for editing."""
    campaign = await page.get("campaigns", page.query("id"))
    return await _show_form(page, _given_of(campaign, page), Faults(), status=200)


async def _show_form(page: Page, given: dict[str, Any], faults: Faults, *, status: int) -> Response:
    return page.render(
        "campaign_edit.html",
        status=status,
        faults=faults,
        given=given,
        events=await events_of(page),
        cohorts=await cohorts_of(page),
        zones=sorted(available_timezones()),
        excluded=given.get("exclude") or [],
    )


def _given_of(campaign: dict[str, Any], page: Page) -> dict[str, Any]:
    """Return a stored campaign as its form has it."""
    schedule, options = campaign["schedule"], campaign["options"]
    quiet, cap = options.get("quiet_hours") or {}, options.get("cap") or {}
    zone = schedule.get("zone") or page.zone.key
    return {
        **{name: campaign[name] for name in ("campaign_id", "revision", "name", "event_id")},
        **campaign["audience"],
        "kind": schedule["kind"],
        "zone": zone,
        "when": _local_of(schedule, zone),
        "rule": schedule.get("rule", ""),
        "rate": options.get("rate"),
        "quiet_from": quiet.get("from"),
        "quiet_to": quiet.get("to"),
        "quiet_then": quiet.get("then"),
        "cap_messages": cap.get("messages"),
        "cap_days": cap.get("days"),
        "sample": _percent(options.get("sample")),
        "control": _percent(options.get("control")),
    }


def _percent(share: Any) -> str:
    return "" if share is None else f"{float(share) * 100:g}"


def _local_of(schedule: dict[str, Any], zone: str) -> str:
    if schedule.get("local"):
        return str(schedule["local"])[:16]
    if schedule.get("at"):
        return datetime.fromisoformat(schedule["at"]).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M")
    return ""


async def save(page: Page) -> Response:
    """Store a campaign as a draft."""
    given: dict[str, Any] = {**page.fields(), "exclude": page.texts("exclude")}
    campaign_id = page.text("campaign_id")
    try:
        body = await _campaign_in(page, given)
    except InvalidInput as error:
        return await _show_form(page, given, Faults.in_error(error), status=400)
    if campaign_id:
        answer = await page.ask("PUT", "campaigns", campaign_id, body={**body, "revision": page.revision()})
    else:
        answer = await page.ask("POST", "campaigns", body=body)
    faults = Faults.in_answer(answer)
    if faults:
        return await _show_form(page, given, faults, status=400)
    page.about(str(body["name"]))
    return page.go("campaign", id=answer.json["campaign_id"], said="saved" if campaign_id else "created")


async def _campaign_in(page: Page, given: dict[str, Any]) -> dict[str, Any]:
    """Return the campaign that a form holds, as the API takes it. Raises InvalidInput."""
    audience: dict[str, Any] = {}
    file = page.upload("file")
    if file is not None:
        given["file_id"], given["file_name"] = await _uploaded(page, file), file.filename
        given["cohort_id"], given["exclude"] = "", []
    if given.get("file_id") and not given.get("cohort_id"):
        audience = {"file_id": given["file_id"], "file_name": given.get("file_name") or None}
    else:
        audience = {"cohort_id": given.get("cohort_id") or None, "exclude": given["exclude"]}
    return {
        "name": given.get("name", "").strip(),
        "event_id": given.get("event_id", ""),
        "audience": {name: found for name, found in audience.items() if found},
        "schedule": _schedule_in(given),
        "options": _options_in(given),
    }


def _schedule_in(given: dict[str, Any]) -> dict[str, str]:
    kind, when, zone = given.get("kind", "now"), given.get("when", ""), given.get("zone", "")
    match kind:
        case "at":
            return {"kind": "at", "at": when, "zone": zone}
        case "local":
            return {"kind": "local", "local": when}
        case "recurring":
            return {"kind": "recurring", "local": when, "zone": zone, "rule": given.get("rule", "").strip()}
        case _:
            return {"kind": "now"}


def _options_in(given: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if given.get("rate", "").strip():
        options["rate"] = _number(given["rate"], "rate")
    if given.get("quiet_from") or given.get("quiet_to"):
        then = given.get("quiet_then") or "delay"
        options["quiet_hours"] = {"from": given.get("quiet_from"), "to": given.get("quiet_to"), "then": then}
    if given.get("cap_messages", "").strip() or given.get("cap_days", "").strip():
        messages, days = _number(given.get("cap_messages", ""), "cap"), _number(given.get("cap_days", ""), "cap")
        options["cap"] = {"messages": messages, "days": days}
    for name in ("sample", "control"):
        if given.get(name, "").strip():
            options[name] = _number(given[name], name) / 100
    return options


def _number(text: str, path: str) -> Any:
    try:
        found = float(text.replace("%", "").strip())
    except ValueError as error:
        message = f"{path}: expected a number"
        raise InvalidInput(message) from error
    return int(found) if found.is_integer() and path not in ("sample", "control") else found


async def _uploaded(page: Page, file: Any) -> str:
    """Store a file as an audience and return its id. Raises InvalidInput, with what is wrong and in which line."""
    suffix = str(file.filename).rpartition(".")[2].lower()
    if suffix not in _TYPES:
        raise InvalidInput("file: expected a file whose name ends in .csv, .ndjson or .parquet")
    content = await file.read()
    question = Question("POST", ("v1", *page.space, "audiences"), (), content, _TYPES[suffix])
    answer = await page.desk.parts.api.ask(page.caller, question)
    if not answer.is_good:
        message = f"file: {answer.message}"
        raise InvalidInput(message)
    found = answer.json
    if found.get("not_valid") and not found.get("ready"):
        message = f"file: no row of it can be used; the first: {found['not_valid'][0]}"
        raise InvalidInput(message)
    return str(found["file_id"])


async def show(page: Page) -> Response:
    """Show a campaign: what it is, how far it is, and what became of it."""
    campaign = await page.get("campaigns", page.query("id"))
    runs = (await page.get("campaigns", campaign["campaign_id"], "runs"))["items"]
    members = max((run["members"] for run in runs), default=0)
    is_later = not page.is_fragment and members > _COUNTED_AT_ONCE
    context = await _progress(page, campaign, runs, is_later=is_later)
    if page.is_fragment:
        return page.render("campaign_progress.html", **context)
    names = {each["event_id"]: each for each in await events_of(page)}
    cohorts = {each["cohort_id"]: each["name"] for each in await cohorts_of(page)}
    return page.render("campaign.html", event=names.get(campaign["event_id"]), cohorts=cohorts, **context)


async def _progress(
    page: Page, campaign: dict[str, Any], runs: list[dict[str, Any]], *, is_later: bool
) -> dict[str, Any]:
    run_id = page.query("run") or None
    report, began = None, time.monotonic()
    if not is_later:
        answer = await page.ask("GET", "campaigns", campaign["campaign_id"], "report", run_id=run_id)
        report = answer.json if answer.is_good else None
    took = time.monotonic() - began
    is_soon = campaign["state"] == CampaignState.RUNNING or campaign["schedule"]["kind"] == "now"
    return {
        "is_later": is_later,
        "again_ms": int(1_000 * max(_LOOK_SECONDS if is_soon else 5.0, took / _SHARE_FOR_LOOKING)),
        "campaign": campaign,
        "runs": runs,
        "report": report,
        "is_going": campaign["state"] in _GOING,
        "hours": None if report is None else _hours(report["hours"]),
        "tones": {**dict.fromkeys(_GOOD, ""), **dict.fromkeys(_BAD, "bad")},
    }


def _hours(rows: list[dict[str, Any]]) -> list[tuple[str, int, int, int]]:
    """Return for each hour how many deliveries ended well, badly, or without being sent."""
    found: dict[str, list[int]] = {}
    for each in rows:
        counts = found.setdefault(each["from"], [0, 0, 0])
        counts[0 if each["state"] in _GOOD else 1 if each["state"] in _BAD else 2] += each["deliveries"]
    return [(hour, good, bad, unsent) for hour, (good, bad, unsent) in sorted(found.items())]


async def show_launch(page: Page) -> Response:
    """Show the check list: whom it reaches, whom not and why, and when."""
    campaign = await page.get("campaigns", page.query("id"))
    event = await page.ask("GET", "events", campaign["event_id"])
    counted = await page.ask("POST", "campaigns", campaign["campaign_id"], "audience", "count")
    checks = await _checks(page, campaign, event.json if event.is_good else None)
    return page.render(
        "campaign_launch.html",
        campaign=campaign,
        event=event.json if event.is_good else None,
        count=counted.json if counted.is_good else None,
        why_not=counted.message,
        checks=checks,
        recurs=_recurs(campaign),
        faults=Faults(),
    )


def _recurs(campaign: dict[str, Any]) -> bool:
    """Tell whether a campaign has an audience of its own for each run, so that none can be told beforehand."""
    return bool(campaign["schedule"]["kind"] == ScheduleKind.RECURRING)


async def _checks(page: Page, campaign: dict[str, Any], event: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return what to know before a launch, each `good`, `warn` or `bad`, and a sentence."""
    found: list[tuple[str, str]] = []
    if event is None:
        return [("bad", "Its event is gone: choose another one.")]
    audience = campaign["audience"]
    if audience.get("cohort_id"):
        within = [{"field": "$cohort", "operator": "in", "value": [audience["cohort_id"]]}]
        if audience.get("exclude"):
            within.append({"field": "$cohort", "operator": "notIn", "value": audience["exclude"]})
        found.extend(await _reach(page, within, list(event["channels"])))
    carriers = [each["integration_id"] for each in event["channels"].values()]
    if all(each == "sandbox" for each in carriers):
        found.append(("warn", "It goes to the sandbox: recorded, and sent to nobody."))
    quiet = campaign["options"].get("quiet_hours")
    if quiet:
        then = "sent when they are over" if quiet["then"] == "delay" else "not sent at all"
        found.append(
            ("good", f"Quiet hours {quiet['from']} to {quiet['to']} in each recipient's zone: then it is {then}.")
        )
    elif event["type"] == "marketing":
        found.append(("warn", "No quiet hours: it is sent at any time of the recipient's day."))
    return found


async def _reach(page: Page, within: list[dict[str, Any]], channels: list[str]) -> list[tuple[str, str]]:
    """Return who of an audience cannot be reached, as far as that can be known ahead."""
    found: list[tuple[str, str]] = []
    inactive = await _count(page, [*within, {"field": "$status", "operator": "=", "value": 0}])
    if inactive:
        found.append(("warn", f"{_so_many(inactive)} inactive and receive nothing."))
    for channel in channels:
        missing = await _count(page, [*within, {"field": f"$channel.{channel}", "operator": "null"}])
        if missing is not None:
            found.append(
                (
                    "warn" if missing else "good",
                    f"{missing:,} {'has' if missing == 1 else 'have'} no destination on {channel}.",
                )
            )
        suppressed = await _suppressed(page, within, channel)
        if suppressed is not None:
            text = (
                f"{_so_many(suppressed)} known to be suppressed on {channel}; all are looked at again when it is sent."
            )
            found.append(("warn" if suppressed else "good", text))
    return found


def _so_many(count: int) -> str:
    return f"{count:,} {'is' if count == 1 else 'are'}"


async def _suppressed(page: Page, within: list[dict[str, Any]], channel: str) -> int | None:
    """Return how many of an audience are suppressed on a channel, by what is known of them; None if nobody can tell."""
    rows = await _suppressions(page, channel)
    if rows is None:
        return None
    people = [each["distinct_id"] for each in rows if each["distinct_id"]]
    written = [each["destination"] for each in rows if each["destination"]]
    # As it was sent, and in its canonical form: profiles have either.
    destinations = sorted({form for each in written for form in (each, find_key(Channel(channel), each) or each)})
    either: list[dict[str, Any]] = []
    if people:
        either.append({"field": "$distinct_id", "operator": "in", "value": people})
    if destinations:
        rule = {"field": f"$channel.{channel}", "operator": "in", "value": destinations}
        either.append(rule)
    if not either:
        return 0
    return await _count(page, [*within, {"combinator": "or", "rules": either}])


async def _suppressions(page: Page, channel: str) -> list[dict[str, Any]] | None:
    """Return what is suppressed on a channel, the first 50,000; None if that cannot be told."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        answer = await page.ask_workspace(
            "GET", "suppressions", channel=channel, limit=_SUPPRESSIONS_A_PAGE, cursor=cursor
        )
        if not answer.is_good:
            return None
        rows.extend(answer.json)
        cursor = answer.next_cursor
        if cursor is None or len(rows) >= _SUPPRESSIONS_LOOKED_AT:
            return rows


async def _count(page: Page, rules: list[dict[str, Any]]) -> int | None:
    answer = await page.ask("POST", "cohorts", "preview", body={"filter": {"rules": rules}, "sample": 0})
    return int(answer.json["count"]) if answer.is_good else None


async def launch(page: Page) -> Response:
    """Launch a campaign as it was shown, to as many as were shown: an audience of another size is held, not sent."""
    campaign = await page.get("campaigns", page.text("id"))
    body = {"revision": page.revision(), "event_revision": page.revision("event_revision")}
    expected = page.text("expected_count")
    if expected.isdecimal():
        body["expected_count"] = int(expected)
    elif not _recurs(campaign):
        raise InvalidInput("nobody has seen how many it would reach: open its check list, and launch it from there")
    answer = await page.ask("POST", "campaigns", campaign["campaign_id"], "launch", body=body)
    page.about(campaign["name"])
    return await _steered(page, campaign, answer, "launched")


async def steer(page: Page) -> Response:
    """Pause, resume, cancel, skip or unschedule a campaign."""
    word = page.text("do")
    if word not in _STEERING:
        raise InvalidInput("do: expected one of " + ", ".join(_STEERING))
    campaign = await page.get("campaigns", page.text("id"))
    answer = await page.ask("POST", "campaigns", campaign["campaign_id"], word)
    page.about(f"{campaign['name']}: {word}")
    return await _steered(page, campaign, answer, _STEERING[word])


async def _steered(page: Page, campaign: dict[str, Any], answer: Any, said: str) -> Response:
    faults = Faults.in_answer(answer)
    if faults:
        return page.render("campaign_refused.html", status=409, campaign=campaign, faults=faults)
    return page.go("campaign", id=campaign["campaign_id"], said=said)


async def send_test(page: Page) -> Response:
    """Send a campaign's event to a few people, beside the campaign."""
    campaign = await page.get("campaigns", page.text("id"))
    ids = [each.strip() for each in page.text("distinct_ids").split("\n") if each.strip()]
    answer = await page.ask("POST", "campaigns", campaign["campaign_id"], "test", body={"distinct_ids": ids})
    faults = Faults.in_answer(answer)
    if faults:
        return page.render("campaign_refused.html", status=400, campaign=campaign, faults=faults)
    page.about(campaign["name"])
    return page.go("campaign/deliveries", id=campaign["campaign_id"], run=answer.json["run_id"], said="launched")


async def delete(page: Page) -> Response:
    """Delete a draft."""
    campaign = await page.get("campaigns", page.text("id"))
    answer = await page.ask("DELETE", "campaigns", campaign["campaign_id"])
    page.about(campaign["name"])
    faults = Faults.in_answer(answer)
    if faults:
        return page.render("campaign_refused.html", status=409, campaign=campaign, faults=faults)
    return page.go("campaigns", said="deleted")


async def show_deliveries(page: Page) -> Response:
    """Show a run's deliveries, all or those in one state."""
    campaign = await page.get("campaigns", page.query("id"))
    state = page.query("state") or None
    answer = await page.ask(
        "GET",
        "campaigns",
        campaign["campaign_id"],
        "deliveries",
        run_id=page.query("run") or None,
        state=state,
        limit=_DELIVERIES,
        cursor=page.query("cursor") or None,
    )
    found = answer.json if answer.is_good else {"items": [], "next_cursor": None}
    return page.render(
        "campaign_deliveries.html",
        campaign=campaign,
        items=found["items"],
        next_cursor=found["next_cursor"],
        message=answer.message if not answer.is_good else "",
        state=state,
        run=page.query("run"),
        states=[each.value for each in DeliveryState],
    )


async def export(page: Page) -> Response:
    """Send a run's deliveries as a file."""
    campaign = await page.get("campaigns", page.query("id"))
    query = (("format", page.query("format", "csv")), ("run_id", page.query("run") or None))
    path = ("v1", *page.space, "campaigns", campaign["campaign_id"], "deliveries", "export")
    return Passed(page.desk.parts.api, page.caller, Question("GET", path, query))


async def resolve(page: Page) -> Response:
    """Say what became of a message of which nobody knows whether it was sent."""
    answer = await page.ask("POST", "deliveries", page.text("delivery_id"), "resolve", body={"as": page.text("as")})
    if not answer.is_good:
        raise Failed(answer)
    page.about(f"{page.text('delivery_id')} as {page.text('as')}")
    return page.go(
        "campaign/deliveries", id=page.text("id"), run=page.text("run"), state="unconfirmed", said="resolved"
    )
