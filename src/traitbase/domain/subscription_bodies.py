"""Reading the bodies of the subscription calls: decoded JSON into forms that cannot be wrong, every fault at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from traitbase.domain.attributes import Choice, Preference, Preferences
from traitbase.domain.destinations import Channel, find_channel
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.subscriptions import ALL_TOPICS, Section, Setting, SubscriptionSettings, Topic
from traitbase.domain.values import JsonValue, kind_of_json

SECTIONS_MAX = 100
"""Sections of topics in an environment."""

TOPICS_MAX = 500
"""Topics in an environment, over all sections."""

NAME_MAX_CODE_POINTS = 255
DESCRIPTION_MAX_CODE_POINTS = 1_000

_FAULTS_TOLD_MAX = 200
_TOPIC_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_Faults: TypeAlias = list[Fault]


def parse_settings(body: JsonValue) -> SubscriptionSettings:
    """Read `{"sections": [{"name", "description"?, "topics": [{"subscription_id", "name", …, "channel_config"}]}]}`.

    Raises InvalidInput that names all faults (the first 200).
    """
    faults: _Faults = []
    sent = _object(body)
    sections = tuple(_read_sections(sent.get("sections"), faults))
    faults.extend(_faults_of_whole(sections))
    _raise_if_any(faults)
    return SubscriptionSettings(sections)


def _read_sections(sent: JsonValue, faults: _Faults) -> Iterator[Section]:
    if type(sent) is not list or len(sent) > SECTIONS_MAX:
        faults.append(Fault("sections", f"expected an array of at most {SECTIONS_MAX} sections"))
        return
    for position, each in enumerate(sent):
        path = f"sections[{position}]"
        if type(each) is not dict:
            faults.append(Fault(path, f"expected an object with name and topics, not {kind_of_json(each)}"))
            continue
        yield Section(
            _read_name(each.get("name"), f"{path}.name", faults),
            _read_description(each.get("description"), f"{path}.description", faults),
            tuple(_read_topics(each.get("topics"), f"{path}.topics", faults)),
        )


def _read_topics(sent: JsonValue, path: str, faults: _Faults) -> Iterator[Topic]:
    if type(sent) is not list or len(sent) > TOPICS_MAX:
        faults.append(Fault(path, f"expected an array of at most {TOPICS_MAX} topics"))
        return
    for position, each in enumerate(sent):
        place = f"{path}[{position}]"
        if type(each) is not dict:
            message = f"expected an object with subscription_id, name and channel_config, not {kind_of_json(each)}"
            faults.append(Fault(place, message))
            continue
        yield Topic(
            _read_id(each.get("subscription_id"), f"{place}.subscription_id", faults),
            _read_name(each.get("name"), f"{place}.name", faults),
            _read_description(each.get("description"), f"{place}.description", faults),
            _read_channels(each.get("channel_config"), f"{place}.channel_config", faults),
        )


def _read_id(sent: JsonValue, path: str, faults: _Faults) -> str:
    if type(sent) is str and _TOPIC_ID.fullmatch(sent) and sent != ALL_TOPICS:
        return sent
    faults.append(Fault(path, f"expected 1 to 64 letters, digits, '-' or '_', and not '{ALL_TOPICS}'"))
    return ""


def _read_name(sent: JsonValue, path: str, faults: _Faults) -> str:
    if type(sent) is str and sent.strip() and len(sent) <= NAME_MAX_CODE_POINTS and not _CONTROL.search(sent):
        return sent
    faults.append(Fault(path, f"expected a text of 1 to {NAME_MAX_CODE_POINTS} characters"))
    return ""


def _read_description(sent: JsonValue, path: str, faults: _Faults) -> str | None:
    if sent is None:
        return None
    if type(sent) is str and len(sent) <= DESCRIPTION_MAX_CODE_POINTS and "\0" not in sent:
        return sent or None
    faults.append(Fault(path, f"expected a text of at most {DESCRIPTION_MAX_CODE_POINTS:,} characters, or null"))
    return None


def _read_channels(sent: JsonValue, path: str, faults: _Faults) -> dict[str, Setting]:
    words = ", ".join(Setting)
    if type(sent) is not dict or not sent:
        faults.append(Fault(path, f"expected an object of at least one channel and its setting: {words}"))
        return {}
    settings: dict[str, Setting] = {}
    for name, word in sent.items():
        place = f"{path}.{_shortened(name)}"
        if find_channel(name) is None:
            faults.append(Fault(place, f"there is no such channel; expected one of {', '.join(Channel)}"))
        elif word not in _SETTINGS:
            faults.append(Fault(place, f"expected one of {words}"))
        else:
            settings[name] = Setting(str(word))
    return settings


_SETTINGS: tuple[JsonValue, ...] = tuple(setting.value for setting in Setting)


def _faults_of_whole(sections: tuple[Section, ...]) -> Iterator[Fault]:
    named: dict[str, str] = {}
    taken: dict[str, str] = {}
    for position, section in enumerate(sections):
        path = f"sections[{position}]"
        yield from _fault_if_taken(named, section.name, f"{path}.name")
        for place, topic in enumerate(section.topics):
            yield from _fault_if_taken(taken, topic.subscription_id, f"{path}.topics[{place}].subscription_id")
    topics = sum(len(section.topics) for section in sections)
    if topics > TOPICS_MAX:
        yield Fault("sections", f"an environment has at most {TOPICS_MAX} topics, these are {topics:,}")


def _fault_if_taken(taken: dict[str, str], name: str, path: str) -> Iterator[Fault]:
    if name and taken.setdefault(name, path) != path:  # an empty one is at fault already
        yield Fault(path, f"{name!r} is taken by {taken[name]}; expected one that no other has")


def parse_preferences(body: JsonValue, settings: SubscriptionSettings, *, at_us: int) -> Preferences:
    """Read `{"user_preference": {"<subscription_id>" or "all": {"<channel>": "opted-in" or "opted-out"}}}`.

    Raises InvalidInput that names all faults: topics and channels that do not exist, channels that are required.
    """
    return _read_preferences(_object(body).get("user_preference"), settings, at_us=at_us)


def parse_topic_preferences(
    body: JsonValue, settings: SubscriptionSettings, subscription_id: str, *, at_us: int
) -> Preferences:
    """Read choices for one topic (or `all`): `{"channel", "status"}`, or `{"user_preference": …}` of just that topic.

    Raises InvalidInput as `parse_preferences` does.
    """
    sent = _object(body)
    several = sent.get("user_preference")
    if several is None:
        return _read_single(sent, settings, subscription_id, at_us=at_us)
    if type(several) is dict:
        others = [name for name in several if name != subscription_id]
        message = f"expected only {_shortened(subscription_id)!r}, which the path names"
        _raise_if_any([Fault(f"user_preference.{_shortened(name)}", message) for name in others[:_FAULTS_TOLD_MAX]])
    return _read_preferences(several, settings, at_us=at_us)


def _read_single(
    sent: Mapping[str, JsonValue], settings: SubscriptionSettings, subscription_id: str, *, at_us: int
) -> Preferences:
    channel, status = sent.get("channel"), sent.get("status")
    topic = settings.find_topic(subscription_id)
    faults: _Faults = []
    if topic is None and subscription_id != ALL_TOPICS:
        faults.append(Fault("subscription_id", f"{_shortened(subscription_id)!r}: {_NO_SUCH_TOPIC}"))
    elif type(channel) is not str:
        faults.append(Fault("channel", f"expected one of {', '.join(_channels_of(topic))}"))
    else:
        faults.extend(Fault("channel", message) for _, message in _faults_of_choices(topic, {channel: _VALID}))
    if status not in _CHOICES:
        faults.append(Fault("status", f"expected one of {', '.join(Choice)}"))
    _raise_if_any(faults)
    return {subscription_id: {str(channel): Preference(Choice(str(status)), at_us)}}


def _read_preferences(sent: JsonValue, settings: SubscriptionSettings, *, at_us: int) -> Preferences:
    if type(sent) is not dict or not sent:
        message = "expected an object of at least one subscription_id (or 'all') and the choices for its channels"
        raise _invalid([Fault("user_preference", message)])
    if len(sent) > TOPICS_MAX + 1:
        raise _invalid([Fault("user_preference", f"there are at most {TOPICS_MAX} topics, and 'all'")])
    faults: _Faults = []
    preferences: Preferences = {}
    for subscription_id, choices in sent.items():
        path = f"user_preference.{_shortened(subscription_id)}"
        topic = settings.find_topic(subscription_id)
        if topic is None and subscription_id != ALL_TOPICS:
            faults.append(Fault(path, _NO_SUCH_TOPIC))
        elif type(choices) is not dict or not choices:
            faults.append(Fault(path, f"expected an object of at least one channel and {' or '.join(Choice)}"))
        else:
            found = _faults_of_choices(topic, choices)
            faults.extend(Fault(f"{path}.{_shortened(name)}", message) for name, message in found)
            preferences[subscription_id] = {
                name: Preference(Choice(str(choice)), at_us) for name, choice in choices.items() if choice in _CHOICES
            }
    _raise_if_any(faults)
    return preferences


_VALID = Choice.OPTED_IN.value
_CHOICES: tuple[JsonValue, ...] = tuple(choice.value for choice in Choice)
_NO_SUCH_TOPIC = "there is no such subscription topic; GET …/subscriptions lists them"


def _channels_of(topic: Topic | None) -> tuple[str, ...]:
    """Return the channels of a topic (None: of all)."""
    return tuple(Channel) if topic is None else tuple(topic.channel_config)


def _faults_of_choices(topic: Topic | None, choices: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    """Yield the channels whose choice for a topic (None: for all) cannot be accepted, each with why."""
    known = _channels_of(topic)
    for name, choice in choices.items():
        if name not in known:
            yield name, f"{_shortened(name)!r} is no channel of this topic; expected one of {', '.join(known)}"
        elif topic is not None and topic.channel_config[name] is Setting.REQUIRED:
            yield name, f"the channel {name} is required for this topic and cannot be changed"
        elif choice not in _CHOICES:
            yield name, f"expected one of {', '.join(Choice)}"


def _object(body: JsonValue) -> Mapping[str, JsonValue]:
    if type(body) is not dict:
        raise _invalid([Fault("", f"the body must be a JSON object, not {kind_of_json(body)}")])
    return body


def _shortened(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:79]}…"


def _raise_if_any(faults: _Faults) -> None:
    if faults:
        raise _invalid(faults)


def _invalid(faults: _Faults) -> InvalidInput:
    first = faults[0]
    message = f"{first.path}: {first.message}" if first.path else first.message
    return InvalidInput(message, faults=tuple(faults[:_FAULTS_TOLD_MAX]))
