"""Subscription topics, and which messages about them people want: the law, apart from how it is told."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from traitbase.domain.attributes import Choice, Preference, Preferences
from traitbase.domain.destinations import Channel

ALL_TOPICS = "all"
"""What stands for every topic, also those to come: a choice `opted-out` for it is the global opt-out."""


class Setting(StrEnum):
    """What holds for a topic on a channel: always sent, or sent unless (`on`) or only if (`off`) somebody chose."""

    REQUIRED = "required"
    ON = "on"
    OFF = "off"


class Topic(msgspec.Struct, frozen=True):
    """Something that messages are about, on the channels of `channel_config` (by their wire names) and no others."""

    subscription_id: str
    name: str
    description: str | None
    channel_config: dict[str, Setting]


class Section(msgspec.Struct, frozen=True):
    """Topics that are shown together. Names are unique: they are the keys of what people's pages are made from."""

    name: str
    description: str | None
    topics: tuple[Topic, ...]


class SubscriptionSettings(msgspec.Struct, frozen=True):
    """All topics of an environment, in the order in which they are shown."""

    sections: tuple[Section, ...] = ()

    def find_topic(self, subscription_id: str) -> Topic | None:
        """Return the topic with that id, or None."""
        found = (topic for section in self.sections for topic in section.topics)
        return next((topic for topic in found if topic.subscription_id == subscription_id), None)


NO_SETTINGS = SubscriptionSettings()

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SubscriptionSettings).decode


def encode_settings(settings: SubscriptionSettings) -> str:
    """Return the JSON object that is stored and shown."""
    return _encode(settings).decode()


def decode_settings(document: str | None) -> SubscriptionSettings:
    """Return what `encode_settings` was given; None: nothing was configured yet."""
    return NO_SETTINGS if document is None else _decode(document)


def allows(
    settings: SubscriptionSettings, preferences: Preferences, subscription_id: str | None, channel: Channel
) -> bool:
    """Tell whether somebody may be sent a message about a topic (None: about none in particular) on a channel.

    `required` always; otherwise the global opt-out wins, then the person's choice, then what the topic says. What is
    about no topic may be sent unless they opted out globally. A topic that does not exist, or does not have the
    channel, may not: whoever chose did not choose that.
    """
    opted_out = is_opted_out(preferences, ALL_TOPICS, channel)
    if subscription_id is None:
        return not opted_out
    topic = settings.find_topic(subscription_id)
    setting = None if topic is None else topic.channel_config.get(channel.value)
    if setting is None or setting is Setting.REQUIRED:
        return setting is Setting.REQUIRED
    return not opted_out and choice_of(setting, preferences.get(subscription_id, {}).get(channel)) is Choice.OPTED_IN


def choice_of(setting: Setting, chosen: Preference | None) -> Choice:
    """Return what holds for a topic on a channel by itself: somebody's choice, or what the topic says."""
    if setting is Setting.REQUIRED:
        return Choice.OPTED_IN
    if chosen is not None:
        return chosen.choice
    return Choice.OPTED_IN if setting is Setting.ON else Choice.OPTED_OUT


def is_opted_out(preferences: Preferences, subscription_id: str, channel: str) -> bool:
    """Tell whether somebody opted out of a topic (or `all`) on a channel."""
    chosen = preferences.get(subscription_id, {}).get(channel)
    return chosen is not None and chosen.choice is Choice.OPTED_OUT
