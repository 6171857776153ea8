"""How things look on a page: templates, and what they need to show numbers, times and values."""

from __future__ import annotations

import json
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from markupsafe import Markup

import traitbase
from traitbase.domain.values import Kind

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"

SAID = {
    "saved": "Saved.",
    "created": "Created.",
    "deleted": "Deleted.",
    "archived": "Archived: it takes no new values.",
    "restored": "It takes new values again.",
    "merged": "Merged: the old id leads here from now on.",
    "suppressed": "Suppressed.",
    "lifted": "The suppression was lifted.",
    "erased": "Erased, with everything that was kept of this person.",
    "launched": "Launched.",
    "paused": "Paused: what was handed over already is on its way, nothing else is.",
    "resumed": "Resumed.",
    "cancelled": "Cancelled: nothing more is sent.",
    "unscheduled": "It is a draft again.",
    "skipped": "The next run is skipped.",
    "resolved": "Noted.",
    "revoked": "Revoked: it is refused from now on.",
    "removed": "Removed.",
    "ended": "Ended.",
    "password": "The password is changed, and all other sessions are ended.",
    "frozen": "Frozen: these are the members of this moment, whatever happens to them.",
    "nothing": "There was nothing to change.",
}
"""What a page says after something was done; nothing else can be put into its mouth."""


def when(at: str | int | None, zone: tzinfo) -> Markup:
    """Return a moment (as the API writes it, or microseconds since 1970 UTC) in a zone, which is always named."""
    if at is None or at == "":
        return Markup('<span class="dim">–</span>')
    moment = datetime.fromtimestamp(at / 1_000_000, UTC) if isinstance(at, int) else datetime.fromisoformat(at)
    local = moment.astimezone(zone)
    name = local.tzname() or ""
    return Markup('<time datetime="{}" title="{} UTC">{} <span class="zone">{}</span></time>').format(
        moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        local.strftime("%d %b %Y, %H:%M:%S"),
        name if name[:1] not in "+-" else f"UTC{local:%z}",
    )


def day(at: str | int | None, zone: tzinfo) -> str:
    """Return the day of a moment in a zone."""
    if at is None:
        return "–"
    moment = datetime.fromtimestamp(at / 1_000_000, UTC) if isinstance(at, int) else datetime.fromisoformat(at)
    return moment.astimezone(zone).strftime("%d %b %Y")


def counted(number: object, *, of: str = "", many: str = "") -> str:
    """Return a count with its thousands set apart, and what it counts (`many`: if that is not with an s)."""
    if number is None:
        return "–"
    text = f"{number:,}"
    if not of:
        return text
    return f"{text} {of if number == 1 else many or of + 's'}"


def percent(share: float | Decimal | None) -> str:
    """Return a share as a percentage, with as many digits as tell something."""
    if share is None:
        return "–"
    value = float(share) * 100
    if value in (0, 100):
        return f"{value:.0f} %"
    return f"{value:.1f} %" if value >= 0.1 else "< 0.1 %"


def plain(value: Any) -> str:
    """Return a value as a text, exactly: numbers with all their digits."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return f"{value:f}"
        case list() | dict():
            return json.dumps(value, ensure_ascii=False, default=_number)
        case _:
            return str(value)


def kind_of(value: Any, kinds: dict[str, str], name: str) -> str:
    """Return the type of a property that a profile has, by its definition or else by what it looks like."""
    if name in kinds:
        return kinds[name]
    match value:
        case bool():
            return Kind.BOOLEAN
        case int() | Decimal() | float():
            return Kind.NUMBER
        case list():
            return Kind.LIST
        case _:
            return Kind.STRING


def zone_label(zone: ZoneInfo, at: datetime | None = None) -> str:
    """Return a zone's name with its offset at a moment (now, if none is given)."""
    local = (at or datetime.now(UTC)).astimezone(zone)
    offset = local.strftime("%z")
    return f"{zone.key} (UTC{offset[:3]}:{offset[3:5]})"


def _number(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(type(value).__name__)


_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=jinja2.Undefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals.update(
    when=when,
    day=day,
    counted=counted,
    percent=percent,
    plain=plain,
    kind_of=kind_of,
    zone_label=zone_label,
    said=SAID,
    version=traitbase.__version__,
)


def drawn(template: str, **context: Any) -> str:
    """Return a page. Whatever is put into it is text; nothing that comes from outside is taken for HTML."""
    return _environment.get_template(template).render(**context)
