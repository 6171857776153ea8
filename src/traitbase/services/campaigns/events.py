"""Notification events of a space: made, changed, deleted, and looked at before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from traitbase.domain.attributes import decode_attributes
from traitbase.domain.campaigns import OVER, decode_campaign
from traitbase.domain.destinations import Channel
from traitbase.domain.errors import Conflict, NotFound, Refused
from traitbase.domain.events import (
    Event,
    check_topic,
    decode_event,
    encode_event,
    new_event_id,
    parse_event,
    parse_event_edit,
)
from traitbase.domain.forms import raise_faults
from traitbase.domain.revisions import check_revision
from traitbase.domain.spaces import Space
from traitbase.domain.values import JsonValue, decode_properties
from traitbase.services.aliases import find_profile_behind
from traitbase.services.campaigns.integrations import Integrations
from traitbase.services.campaigns.links import Links, Named
from traitbase.services.campaigns.ports import CampaignStore, EventRow, Message
from traitbase.services.campaigns.rendering import Envelope, Subject, render
from traitbase.services.campaigns.steering import faults_of_channels
from traitbase.services.cohorts.stored import named
from traitbase.services.subscriptions import get_settings

_NOWHERE = {Channel.EMAIL.value: "nobody@example.com"}


class Preview(NamedTuple):
    """What a message on one channel would be. `error`: why it could not be made; `unknown`: shown as empty text."""

    channel: str
    message: Message | None
    unknown: tuple[str, ...]
    error: str | None
    has_destination: bool


@dataclass(frozen=True, slots=True)
class Events:
    """What a person does with events."""

    store: CampaignStore
    integrations: Integrations
    links: Links
    now_us: Callable[[], int]

    def get(self, space: Space, event_id: str) -> EventRow:
        """Return an event. Raises NotFound."""
        row = self.store.find_event(space, event_id)
        if row is None:
            raise NotFound(f"there is no event {event_id[:80]!r} here", code="event_not_found")
        return row

    def create(self, space: Space, body: JsonValue) -> EventRow:
        """Store a new event. Raises InvalidInput naming every fault, Conflict if its name is taken."""
        event = parse_event(body)
        self._check(space, event)
        now_us = self.now_us()
        row = EventRow(new_event_id(), event.name, encode_event(event), 1, now_us, now_us)
        self.store.save_event(space, row)
        return row

    def replace(self, space: Space, event_id: str, body: JsonValue) -> EventRow:
        """Replace an event. Runs that began keep what it was.

        Raises as `create`, NotFound, and Conflict if it is at another revision than the one that was sent.
        """
        row = self.get(space, event_id)
        event, revision = parse_event_edit(body)
        self._check(space, event)
        check_revision("event", row.revision, revision)
        row = row._replace(
            name=event.name, document=encode_event(event), revision=row.revision + 1, updated_at_us=self.now_us()
        )
        self.store.save_event(space, row)
        return row

    def delete(self, space: Space, event_id: str) -> None:
        """Delete an event. Raises NotFound, Conflict (`event_in_use`) naming the campaigns that are to send it."""
        users = [
            row.name
            for row in self.store.list_campaigns(space)
            if row.state not in OVER and decode_campaign(row.document).event_id == event_id
        ]
        if users:
            message = f"the event is used by {named(users)}: cancel or delete them first"
            raise Conflict(message, code="event_in_use")
        if not self.store.delete_event(space, event_id):
            raise NotFound(f"there is no event {event_id[:80]!r} here", code="event_not_found")

    def preview(self, space: Space, event: Event, distinct_id: str | None, data: Mapping[str, Any]) -> list[Preview]:
        """Return what somebody would be sent, by channel, and send nothing. Raises NotFound without such a profile."""
        subject = Subject(None, {}, data=data)
        if distinct_id is not None:
            row = find_profile_behind(self.store, space, distinct_id)
            if row is None:
                raise NotFound("there is no profile with this distinct_id", code="profile_not_found")
            attributes = decode_attributes(row.attributes)
            subject = Subject(row.distinct_id, decode_properties(row.document), attributes, data)
        return [self._preview(space, event, channel, subject) for channel in event.channels]

    def _preview(self, space: Space, event: Event, channel: str, subject: Subject) -> Preview:
        held = subject.attributes.channel.get(channel)
        destinations = () if held is None else (held,) if isinstance(held, str) else tuple(t.token for t in held)
        shown = destinations or (_NOWHERE.get(channel, ""),)
        envelope = Envelope(Named(space, "preview", 0), channel, shown, {"name": "Preview"})
        try:
            rendered = render(event, subject, envelope, self.links)
        except Refused as error:
            return Preview(channel, None, (), error.message, bool(destinations))
        return Preview(channel, rendered.message, rendered.unknown, None, bool(destinations))

    def _check(self, space: Space, event: Event) -> None:
        self.integrations.list(space)  # a new space has a sandbox from now on
        raise_faults(faults_of_channels(self.store, space, event))
        settings = get_settings(self.store, space)
        topics = {
            topic.subscription_id: frozenset(topic.channel_config)
            for section in settings.sections
            for topic in section.topics
        }
        check_topic(event, topics)


def event_of(row: EventRow) -> Event:
    """Return an event as it was stored."""
    return decode_event(row.document)
