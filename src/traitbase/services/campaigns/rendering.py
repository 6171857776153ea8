"""Turning an event's templates into a message for one recipient."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any

from traitbase.domain.attributes import NO_ATTRIBUTES, Attributes
from traitbase.domain.destinations import Channel
from traitbase.domain.events import ChannelTemplate, Event, parsed_template
from traitbase.services.campaigns.links import Links, Named, Unsubscription, with_unsubscribe_link
from traitbase.services.campaigns.ports import Message

SUBJECT_CHARACTERS_MAX = 900
"""A header line may have 998 (RFC 5322, 2.1.1)."""

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_BLANKS = re.compile(r"[ \t]+")
_EMPTY_LINES = re.compile(r"\n\s*\n\s*")
_UNSEEN = frozenset({"script", "style", "head", "title"})
_BLOCKS = frozenset(
    {"p", "div", "br", "tr", "li", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "blockquote", "hr"}
)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a message is for, and what is known of them. `distinct_id` None: a destination without a profile."""

    distinct_id: str | None
    properties: Mapping[str, Any]
    attributes: Attributes = NO_ATTRIBUTES
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a message is sent with. `run_id` and `number` make its delivery id."""

    named: Named
    channel: str
    destinations: tuple[str, ...]
    campaign: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RenderedMessage:
    """A message, and what its templates showed as empty text because it is not there."""

    message: Message
    unknown: tuple[str, ...]


def render(event: Event, subject: Subject, envelope: Envelope, links: Links) -> RenderedMessage:
    """Return the message for a recipient. Raises Refused (`template_failed`) if a template goes too far."""
    template = event.channels[envelope.channel]
    parsed = parsed_template(template, f"channels.{envelope.channel}")
    url = links.unsubscribe_url(
        Unsubscription(
            envelope.named, subject.distinct_id or envelope.destinations[0], envelope.channel, event.subscription_id
        )
    )
    values = _values(subject, envelope, url)
    unknown: dict[str, None] = {}
    texts: dict[str, str | None] = {}
    for part, source in (("subject", parsed.subject), ("html", parsed.html), ("text", parsed.text)):
        if source is None:
            texts[part] = None
            continue
        rendered = source.render(values)
        unknown.update(dict.fromkeys(rendered.unknown))
        texts[part] = rendered.text
    message = _message(event, template, envelope, links, texts, url)
    about = {
        "distinct_id": subject.distinct_id,
        "event": event.name,
        "campaign_id": envelope.campaign.get("id"),
        "data": subject.data,
    }
    return RenderedMessage(replace(message, about=about), tuple(unknown))


def one_line(text: str) -> str:
    """Return a text as one line: what would end it becomes a blank, so that it cannot begin a header of its own."""
    return _BREAKS.sub(" ", text).strip()[:SUBJECT_CHARACTERS_MAX]


def text_of_html(source: str) -> str:
    """Return what an HTML text says, with the addresses of its links."""
    reader = _Reader()
    reader.feed(source)
    reader.close()
    text = _BLANKS.sub(" ", "".join(reader.pieces))
    return _EMPTY_LINES.sub("\n\n", "\n".join(line.strip() for line in text.split("\n"))).strip()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._unseen = 0
        self._links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._unseen += 1
        if tag in _BLOCKS:
            self.pieces.append("\n")
        if tag == "a":
            self._links.append(dict(attrs).get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN and self._unseen:
            self._unseen -= 1
        if tag == "a" and self._links:
            url = self._links.pop()
            if url.startswith(("http://", "https://")):
                self.pieces.append(f" ({url})")
        if tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(re.sub(r"\s+", " ", data))


def _values(subject: Subject, envelope: Envelope, unsubscribe_url: str) -> dict[str, Any]:
    attributes = subject.attributes
    destinations = {name: held for name, held in attributes.channel.items() if isinstance(held, str)}
    profile = {
        "distinct_id": subject.distinct_id,
        "name": attributes.name,
        "timezone": attributes.timezone,
        "channel": {**destinations, envelope.channel: envelope.destinations[0]},
    }
    return {
        # What is not there is unknown, and not the word null.
        "profile": {name: value for name, value in profile.items() if value is not None},
        "properties": subject.properties,
        "data": dict(subject.data),
        "campaign": {name: value for name, value in envelope.campaign.items() if value is not None},
        "unsubscribe_url": unsubscribe_url,
    }


def _message(
    event: Event,
    template: ChannelTemplate,
    envelope: Envelope,
    links: Links,
    texts: Mapping[str, str | None],
    unsubscribe_url: str,
) -> Message:
    shown, text = texts["html"], texts["text"]
    subject = None if texts["subject"] is None else one_line(texts["subject"])
    headers: list[tuple[str, str]] = []
    if envelope.channel == Channel.EMAIL:
        if text is None and shown is not None:
            text = text_of_html(shown)
        if event.is_marketing:
            headers += [
                ("List-Unsubscribe", f"<{unsubscribe_url}>"),
                ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ]
            if shown is not None and unsubscribe_url not in shown:
                shown = with_unsubscribe_link(shown, unsubscribe_url)
            if text is not None and unsubscribe_url not in text:
                text = f"{text}\n\nUnsubscribe: {unsubscribe_url}\n"
        if shown is not None:
            if event.track_clicks:
                shown = links.with_clicks(shown, template.html or "", envelope.named)
            if event.track_opens:
                shown = links.with_pixel(shown, envelope.named)
    delivery_id = f"{envelope.named.run_id}-{envelope.named.number}"
    return Message(delivery_id, envelope.channel, envelope.destinations, subject, shown, text, tuple(headers))
