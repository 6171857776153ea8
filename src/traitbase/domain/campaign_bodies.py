"""Reading the bodies of the campaign calls: decoded JSON into forms that cannot be wrong, every fault at once."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from traitbase.domain.campaigns import (
    EXCLUDED_MAX,
    TOLERANCE_USUAL,
    Audience,
    Campaign,
    Cap,
    Options,
    QuietHours,
    Schedule,
    ScheduleKind,
)
from traitbase.domain.destinations import Channel, find_key
from traitbase.domain.errors import InvalidInput
from traitbase.domain.forms import Form
from traitbase.domain.profile_bodies import check_distinct_id
from traitbase.domain.schedules import RULE_CHARACTERS_MAX, instant_of, parse_recurrence
from traitbase.domain.spaces import find_zone
from traitbase.domain.values import JsonValue, kind_of_json

TESTED_AT_ONCE_MAX = 20
CALLED_AT_ONCE_MAX = 1_000
DATA_BYTES_MAX = 64 * 1024

_ID_CHARACTERS_MAX = 64
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class CampaignDraft(NamedTuple):
    """A campaign as it was sent. `revision`: only in the place of that one."""

    name: str
    campaign: Campaign
    revision: int | None = None


class Launch(NamedTuple):
    """With what a campaign is launched: how many a person expects to reach, and how far off that may be (a share).

    `revision`, `event_revision`: only if the campaign and its event are still as they were looked at.
    """

    expected_count: int | None
    tolerance: float
    revision: int | None = None
    event_revision: int | None = None


class Recipient(NamedTuple):
    """Whom a call or a row is for: a profile, destinations by channel, or both; and what it says about them."""

    distinct_id: str | None
    destinations: dict[str, str]
    data: dict[str, JsonValue]


class EventCall(NamedTuple):
    """A call that fires an event."""

    event: str
    recipients: tuple[Recipient, ...]


def parse_campaign(body: JsonValue, *, is_edit: bool = False) -> CampaignDraft:
    """Read `{"name", "event_id", "audience", "schedule"?, "options"?}`, of an edit `"revision"?`, too.

    Raises InvalidInput naming every fault.
    """
    form = Form(body)
    name = form.name("name")
    event_id = form.line("event_id", characters=_ID_CHARACTERS_MAX) or ""
    if not event_id:
        form.refuse("event_id", "expected the id of an event; GET …/events lists them")
    audience = _read_audience(form.inner("audience"))
    schedule = _read_schedule(form.inner("schedule"))
    options = _read_options(form.inner("options"))
    revision = form.revision() if is_edit else None
    form.end()
    return CampaignDraft(name, Campaign(event_id, audience, schedule, options), revision)


def parse_launch(body: JsonValue) -> Launch:
    """Read `{"expected_count"?, "tolerance"?, "revision"?, "event_revision"?}`. Raises InvalidInput."""
    form = Form({} if body is None else body)
    expected = form.whole("expected_count", least=0, most=10**9, otherwise=-1)
    tolerance = form.value("tolerance")
    share = TOLERANCE_USUAL
    if tolerance == 0 and type(tolerance) is int:
        share = 0.0
    elif tolerance is not None:
        share = form.number("tolerance", above=0, most=1) or TOLERANCE_USUAL
    revision, event_revision = form.revision(), form.revision("event_revision")
    form.end()
    return Launch(None if expected < 0 else expected, share, revision, event_revision)


def parse_test(body: JsonValue) -> tuple[Recipient, ...]:
    """Read `{"distinct_ids": […]}`: to whom a campaign is sent for a test. Raises InvalidInput."""
    form = Form(body)
    ids = form.texts("distinct_ids", most=TESTED_AT_ONCE_MAX, characters=255)
    if not ids and not form.faults:
        form.refuse("distinct_ids", f"expected 1 to {TESTED_AT_ONCE_MAX} distinct_ids")
    form.end()
    return tuple(Recipient(each, {}, {}) for each in ids)


def parse_call(body: JsonValue) -> EventCall:
    """Read `{"event", "distinct_id" | "to", "data"?, "callback"?}`. Raises InvalidInput."""
    form = Form(body)
    event = form.name("event")
    _read_callback(form)
    recipient = _read_recipient(form)
    form.end()
    return EventCall(event, (recipient,))


def parse_bulk_call(body: JsonValue) -> EventCall:
    """Read `{"event", "batch": [{"distinct_id" | "to", "data"?}], "callback"?}`. Raises InvalidInput."""
    form = Form(body)
    event = form.name("event")
    _read_callback(form)
    batch = form.value("batch")
    recipients: list[Recipient] = []
    if type(batch) is not list or not 1 <= len(batch) <= CALLED_AT_ONCE_MAX:
        form.refuse("batch", f"expected an array of 1 to {CALLED_AT_ONCE_MAX:,} items")
    else:
        for position, each in enumerate(batch):
            item = Form(each, f"batch[{position}]", form.faults)
            recipients.append(_read_recipient(item))
            item.close()
    form.end()
    return EventCall(event, tuple(recipients))


def read_local(text: str) -> datetime | None:
    """Return a local time such as `2026-12-01T09:00`, None if it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is None and len(text) > len("2026-12-01") else None


def _read_audience(form: Form) -> Audience:
    cohort_id = form.line("cohort_id", characters=_ID_CHARACTERS_MAX)
    exclude = form.texts("exclude", most=EXCLUDED_MAX, characters=_ID_CHARACTERS_MAX)
    file_id = form.line("file_id", characters=_ID_CHARACTERS_MAX)
    file_name = form.line("file_name")
    if (cohort_id is None) == (file_id is None):
        form.refuse("", "expected cohort_id (with exclude, other cohorts' ids, if wanted), or the file_id of a file")
    if exclude and cohort_id is None:
        form.refuse("exclude", "expected none: who is in a file is in it")
    form.close()
    return Audience(cohort_id, exclude, file_id, file_name)


def _read_schedule(form: Form) -> Schedule:
    kind = form.word("kind", ScheduleKind, otherwise=ScheduleKind.NOW)
    zone_name = form.line("zone", characters=_ID_CHARACTERS_MAX)
    zone = None if zone_name is None else find_zone(zone_name)
    if zone_name is not None and zone is None:
        form.refuse("zone", "expected an IANA time zone, such as Europe/Berlin")
    at, local, rule = form.line("at"), form.line("local"), form.line("rule", characters=RULE_CHARACTERS_MAX + 10)
    form.close()
    match kind:
        case ScheduleKind.NOW:
            _refuse_others(form, ("at", "local", "rule"), kind)
            return Schedule(kind, zone_name)
        case ScheduleKind.AT:
            _refuse_others(form, ("local", "rule"), kind)
            return Schedule(kind, zone_name, at_us=_read_instant(form, at, zone))
        case ScheduleKind.LOCAL:
            _refuse_others(form, ("at", "rule", "zone"), kind)
            return Schedule(kind, local=_read_local(form, local))
        case ScheduleKind.RECURRING:
            _refuse_others(form, ("at",), kind)
            starts = _read_local(form, local)
            if zone is None:
                form.refuse("zone", "expected the IANA time zone whose clocks count, such as Europe/Berlin")
            if rule is None:
                form.refuse("rule", "expected a rule of RFC 5545, such as FREQ=WEEKLY;BYDAY=MO")
            if starts is not None and zone is not None and rule is not None:
                _check_rule(form, rule, starts, zone)
            return Schedule(kind, zone_name, local=starts, rule=rule)


def _check_rule(form: Form, rule: str, starts: str, zone: ZoneInfo) -> None:
    try:
        parse_recurrence(rule, starts_at=datetime.fromisoformat(starts), zone=zone)
    except InvalidInput as error:
        form.faults.extend(error.faults)


def _refuse_others(form: Form, names: tuple[str, ...], kind: ScheduleKind) -> None:
    for name in names:
        if form.has(name):
            form.refuse(name, f"expected none with the kind {kind}")


def _read_instant(form: Form, text: str | None, zone: ZoneInfo | None) -> int | None:
    found = None
    if text is not None and len(text) > len("2026-12-01"):
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            found = None
    if found is not None and found.tzinfo is None:
        found = None if zone is None else instant_of(found, zone)
    if found is None:
        form.refuse("at", "expected an instant such as 2026-12-01T09:00:00+01:00, or a local time beside a zone")
        return None
    return int(found.astimezone(UTC).timestamp()) * 1_000_000 + found.microsecond


def _read_local(form: Form, text: str | None) -> str | None:
    found = None if text is None else read_local(text)
    if found is None:
        form.refuse("local", "expected a local time such as 2026-12-01T09:00, without Z or an offset")
        return None
    return found.isoformat()


def _read_options(form: Form) -> Options:
    rate = form.number("rate", above=0, most=100_000)
    quiet = _read_quiet(form.inner("quiet_hours")) if form.has("quiet_hours") else None
    cap = _read_cap(form.inner("cap")) if form.has("cap") else None
    sample = form.number("sample", above=0, most=1)
    control = form.number("control", above=0, most=1)
    form.close()
    return Options(rate, quiet, cap, sample, control)


def _read_quiet(form: Form) -> QuietHours:
    clocks = []
    for name in ("from", "to"):
        found = form.line(name)
        if found is None or not _CLOCK.fullmatch(found):
            form.refuse(name, "expected a time of the day, such as 22:00")
        clocks.append(found or "00:00")
    what = form.line("then") or "delay"
    if what not in ("delay", "drop"):
        form.refuse("then", "expected delay or drop")
    form.close()
    if not form.faults and time.fromisoformat(clocks[0]) == time.fromisoformat(clocks[1]):
        form.refuse("to", "expected another time than from")
    return QuietHours(clocks[0], clocks[1], what == "drop")


def _read_cap(form: Form) -> Cap:
    messages = form.whole("messages", least=1, most=1_000, otherwise=0)
    days = form.whole("days", least=1, most=365, otherwise=0)
    for name, found in (("messages", messages), ("days", days)):
        if not form.has(name):
            form.refuse(name, "expected a whole number: at most so many messages in so many days")
        assert found >= 0, "it was read"
    form.close()
    return Cap(messages, days)


def _read_recipient(form: Form) -> Recipient:
    sent = form.value("distinct_id")
    distinct_id = None
    if sent is not None:
        try:
            distinct_id = check_distinct_id(sent, form.at("distinct_id"))  # type: ignore[arg-type]  # which it checks
        except InvalidInput as error:
            form.faults.extend(error.faults)
    destinations = _read_to(form.inner("to"))
    if sent is None and not destinations and not form.faults:
        form.refuse("distinct_id", "expected whom it is for: a distinct_id, or to with a destination by channel")
    return Recipient(distinct_id, destinations, read_data(form, form.value("data")))


def _read_to(form: Form) -> dict[str, str]:
    found: dict[str, str] = {}
    for channel in Channel:
        name = channel.value
        if not form.has(name):
            continue
        sent = form.line(name, characters=2_048)
        if sent is None or find_key(channel, sent) is None:
            form.refuse(name, f"expected a destination of the channel {name}")
        else:
            found[name] = sent
    form.close()
    return found


def read_data(form: Form, sent: JsonValue) -> dict[str, JsonValue]:
    """Return what a call says for its templates, an object of any values."""
    if sent is None:
        return {}
    if type(sent) is not dict:
        form.refuse("data", f"expected an object, not {kind_of_json(sent)}")
        return {}
    if len(msgspec.json.encode(sent)) > DATA_BYTES_MAX:
        form.refuse("data", f"expected at most {DATA_BYTES_MAX // 1024} KB")
        return {}
    return sent


def _read_callback(form: Form) -> None:
    """Take what Fyno's callers send along; what became of a message is told by GET …/deliveries."""
    callback = form.value("callback")
    if callback is not None and type(callback) not in (str, dict):
        form.refuse("callback", "expected a text or an object")
