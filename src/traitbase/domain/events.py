"""Notification events: what is sent when something happened, a template for each channel and who carries it there."""

from __future__ import annotations

import functools
import secrets
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from traitbase.domain.destinations import Channel, find_channel
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.forms import Form, raise_faults
from traitbase.domain.templates import TEMPLATE_CHARACTERS_MAX, Template, parse_template
from traitbase.domain.values import JsonValue

FIRST = "first"
"""Stands for the channel of a delivery that goes over the first one that reaches its recipient."""


class EventType(StrEnum):
    """Why it is sent: because of something that its recipient did, or because the sender wants to."""

    TRANSACTIONAL = "transactional"
    MARKETING = "marketing"


class Strategy(StrEnum):
    """Over which of its channels an event goes: each of them, or the first that the recipient has."""

    ALL = "all"
    FIRST_AVAILABLE = "first_available"


class OnUnknown(StrEnum):
    """What is done with a message that shows something its recipient does not have."""

    EMPTY = "empty"
    SKIP = "skip"


class AfterCrash(StrEnum):
    """What is done with a message of which nobody knows whether it was sent: a person decides, or it is sent again."""

    HOLD = "hold"
    RESEND = "resend"


class ChannelTemplate(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is sent on one channel. An email has a subject, and HTML or text or both; others have a text."""

    integration_id: str
    subject: str | None = None
    html: str | None = None
    text: str | None = None


class Event(msgspec.Struct, frozen=True, rename={"type_": "type"}):
    """An event as it is stored. The order of `channels` is that in which they are tried."""

    name: str
    type_: EventType
    subscription_id: str | None
    strategy: Strategy
    on_unknown: OnUnknown
    after_crash: AfterCrash
    track_opens: bool
    track_clicks: bool
    channels: dict[str, ChannelTemplate]

    @property
    def is_marketing(self) -> bool:
        """Whether people can choose not to get it."""
        return self.type_ is EventType.MARKETING

    @property
    def ledger_channels(self) -> tuple[str, ...]:
        """The channels under which each recipient has a delivery."""
        return (FIRST,) if self.strategy is Strategy.FIRST_AVAILABLE else tuple(self.channels)


@dataclass(frozen=True, slots=True)
class ParsedTemplate:
    """The templates of one channel, ready to be rendered."""

    subject: Template | None
    html: Template | None
    text: Template | None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


def new_event_id() -> str:
    """Return a fresh event id: `ev_` and 16 hexadecimal digits."""
    return f"ev_{secrets.token_hex(8)}"


def encode_event(event: Event) -> str:
    """Return the JSON object that is stored."""
    return _encode(event).decode()


def decode_event(document: str) -> Event:
    """Return what `encode_event` was given."""
    return _decode(document)


@functools.lru_cache(maxsize=256)
def parsed_template(template: ChannelTemplate, path: str) -> ParsedTemplate:
    """Return the templates of a channel. Raises InvalidInput that names the line at fault."""
    sources = {"subject": template.subject, "html": template.html, "text": template.text}
    return ParsedTemplate(*(_parsed(source, f"{path}.{part}", part) for part, source in sources.items()))


def _parsed(source: str | None, path: str, part: str) -> Template | None:
    return None if source is None else parse_template(source, path=path, html=part == "html")


def parse_event(body: JsonValue) -> Event:
    """Read what is sent of an event: name, type and channels, each with its integration_id and template, and options.

    Raises InvalidInput naming every fault, those in templates with their line.
    """
    form = Form(body)
    event = _read_event(form)
    form.end()
    return event


def parse_event_edit(body: JsonValue) -> tuple[Event, int | None]:
    """Read an event that takes the place of one, and of which revision if that was sent. Raises as `parse_event`."""
    form = Form(body)
    event, revision = _read_event(form), form.revision()
    form.end()
    return event, revision


def _read_event(form: Form) -> Event:
    name = form.name("name")
    type_ = form.word("type", EventType)
    topic = form.line("subscription_id", characters=64)
    strategy = form.word("strategy", Strategy, otherwise=Strategy.ALL)
    on_unknown = form.word("on_unknown", OnUnknown, otherwise=OnUnknown.EMPTY)
    usual = AfterCrash.HOLD if type_ is EventType.MARKETING else AfterCrash.RESEND
    after_crash = form.word("after_crash", AfterCrash, otherwise=usual)
    opens, clicks = form.yes("track_opens", otherwise=False), form.yes("track_clicks", otherwise=False)
    inner = form.inner("channels")
    channels = {}
    for channel_name, each in inner.members():
        channel = find_channel(channel_name)
        if channel is None:
            inner.refuse(channel_name[:80], f"there is no such channel; expected one of {', '.join(Channel)}")
        else:
            channels[channel.value] = _read_template(each, channel)
    if not channels:
        form.refuse("channels", "expected at least one channel with its integration_id and template")
    return Event(name, type_, topic, strategy, on_unknown, after_crash, opens, clicks, channels)


def _read_template(form: Form, channel: Channel) -> ChannelTemplate:
    read = functools.partial(form.maybe_text, characters=TEMPLATE_CHARACTERS_MAX)
    template = ChannelTemplate(
        form.line("integration_id", characters=64) or "", read("subject"), read("html"), read("text")
    )
    if not template.integration_id:
        form.refuse("integration_id", "expected the id of an integration; GET …/integrations lists them")
    if channel is Channel.EMAIL:
        if template.subject is None:
            form.refuse("subject", "expected the subject of the email")
        if template.html is None and template.text is None:
            form.refuse("html", "expected the email as html, or as text, or as both")
    elif template.html is not None:
        form.refuse("html", "only an email has html; expected a text")
    elif template.text is None:
        form.refuse("text", "expected the text of the message")
    for part, source in (("subject", template.subject), ("html", template.html), ("text", template.text)):
        try:
            _parsed(source, form.at(part), part)
        except InvalidInput as error:
            form.faults.extend(error.faults)
    form.close()
    return template


def check_topic(event: Event, topics: dict[str, frozenset[str]]) -> None:
    """Raise InvalidInput if an event's topic is none of these, or is not about one of its channels."""
    if event.subscription_id is None:
        return
    channels = topics.get(event.subscription_id)
    if channels is None:
        raise_faults([Fault("subscription_id", "there is no such topic; GET …/subscriptions lists them")])
    elif strangers := [each for each in event.channels if each not in channels]:
        message = f"the topic is not about {', '.join(strangers)}: nobody could get it there"
        raise_faults([Fault("subscription_id", message)])
