"""What answers look like: views of the services turned into JSON, numbers exact and times in UTC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from traitbase.api.cursors import cursor_of
from traitbase.domain.attributes import (
    Preference,
    Preferences,
    country_code,
    shown_destinations,
    timezone_offset,
)
from traitbase.domain.spaces import Space
from traitbase.domain.subscriptions import ALL_TOPICS, Setting, Topic, choice_of, is_opted_out
from traitbase.domain.values import Kind, written
from traitbase.services.definitions import DefinitionView
from traitbase.services.history import HistoryPage
from traitbase.services.ports import IgnoredRow, KeptAsideRow, SuppressionRow
from traitbase.services.profiles import ProfileView
from traitbase.services.receipts import Receipt
from traitbase.services.replaying import Replayed
from traitbase.services.retyping import Retyped, Sample, values_of
from traitbase.services.subscriptions import PreferenceView

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENTRIES_A_PIECE = 1_024

_encoder = msgspec.json.Encoder(decimal_format="number")


def encode(answer: Any) -> bytes:
    """Return an answer as JSON (UTF-8)."""
    return _encoder.encode(answer)


def time_of(at_us: int) -> str:
    """Return a time (microseconds since 1970 UTC) as `2026-11-25T08:30:00.123Z`."""
    at = _EPOCH + timedelta(microseconds=at_us)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def profile_answer(
    space: Space, profile: ProfileView, *, now_us: int, columns: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """Return a profile as `GET …/profiles/{distinct_id}` shows it; with `columns`, only those of its properties."""
    attributes, held = profile.attributes, profile.properties
    if columns is not None:
        held = {name: held[name] for name in columns if name in held}
    return {
        "distinct_id": profile.distinct_id,
        "profile_id": profile.profile_id,
        "version": space.environment,
        "name": attributes.name,
        "status": attributes.status,
        "timezone": attributes.timezone,
        "timezone_offset": timezone_offset(attributes, now_us=now_us),
        "country_code": country_code(attributes),
        "channel": shown_destinations(attributes.channel),
        "channel_raw": attributes.channel,
        "properties": {name: written(value) for name, value in held.items()},
        "id_list": attributes.id_list,
        "aliases": attributes.aliases,
        "created_at": time_of(profile.created_at_us),
        "updated_at": time_of(profile.updated_at_us),
    }


def history_answer(page: HistoryPage) -> dict[str, Any]:
    """Return the answer to `GET …/profiles/{distinct_id}/history`."""
    return {
        "items": [
            {
                "request_id": entry.request_id,
                "at": time_of(entry.at_us),
                "key_id": entry.key_id,
                "action": entry.action,
                "distinct_id": entry.distinct_id,
                "changes": [_effect_answer(name, effect) for name, effect in entry.effects.items()],
            }
            for entry in page.entries
        ],
        "next_cursor": cursor_of(page.places) if page.places else None,
    }


def _effect_answer(name: str, effect: Any) -> dict[str, Any]:
    of = {"attribute": name[1:]} if name.startswith("$") else {"property": name}
    if isinstance(effect, dict):
        added, removed = written(effect["added"]), written(effect["removed"])
        return {**of, "added": added, "removed": removed, "size": effect["size"]}
    return {**of, "before": written(effect[0]), "after": written(effect[1])}


def definition_answer(view: DefinitionView) -> dict[str, Any]:
    """Return one item of the answer to `GET …/properties`."""
    row = view.row
    return {
        "name": row.name,
        "type": row.kind.value,
        "state": row.state.value,
        "description": row.description,
        "first_seen_at": time_of(row.first_seen_at_us),
        "first_seen_in": row.first_seen_in,
        "profiles": row.profiles,
        "ignored": row.ignored,
        "last_ignored": None if view.last_ignored is None else ignored_answer(view.last_ignored),
    }


def ignored_answer(row: IgnoredRow) -> dict[str, Any]:
    """Return one item of the answer to `GET …/properties/{name}/ignored`."""
    return {
        "value": None if row.value is None else msgspec.Raw(row.value.encode()),
        "reason": row.reason,
        "operation": row.operation,
        "distinct_id": row.distinct_id,
        "at": time_of(row.received_at_us),
        "request_id": row.request_id,
    }


def kept_aside_answer(row: KeptAsideRow) -> dict[str, Any]:
    """Return one item of the answer to `GET …/properties/{name}/kept-aside`."""
    return {
        "distinct_id": row.distinct_id,
        "values": [written(value) for value in values_of(row)],
        "kept_at": time_of(row.kept_at_us),
        "request_id": row.request_id,
    }


def retyped_answer(retyped: Retyped, kind: Kind) -> dict[str, Any]:
    """Return what a retype did, or would do."""
    return {
        "to": kind.value,
        "profiles": retyped.profiles,
        "converted": retyped.converted,
        "kept_aside": retyped.kept_aside,
        "came_back": retyped.came_back,
        "samples": {
            "converted": [_sample(each) for each in retyped.converted_samples],
            "kept_aside": [_sample(each) for each in retyped.kept_aside_samples],
        },
    }


def _sample(sample: Sample) -> dict[str, Any]:
    after = None if sample.after is None else written(sample.after)
    return {"distinct_id": sample.distinct_id, "before": written(sample.before), "after": after}


def replayed_answer(replayed: Replayed) -> dict[str, Any]:
    """Return what a replay did."""
    return {
        "applied": replayed.applied,
        "superseded": replayed.superseded,
        "still_ignored": dict(replayed.still_ignored),
        "remaining": replayed.remaining,
    }


def receipt_pieces(receipt: Receipt) -> Iterator[bytes]:
    """Yield the answer to `GET …/requests/{request_id}`, in pieces of some 100 KB: it can have a hundred megabytes."""
    gathered = [encode({"request_id": receipt.request_id, "received_at": time_of(receipt.received_at_us)})[:-1]]
    gathered.append(b',"items":[')
    for number, item in enumerate(receipt.items):
        gathered.append(
            b'%s{"distinct_id":%s,"applied":[' % (b"," if number else b"", _encoder.encode(item.distinct_id))
        )
        yield from _gather(
            gathered, [{"operation": entry.operation, "property": entry.property} for entry in item.applied]
        )
        gathered.append(b'],"ignored":[')
        yield from _gather(gathered, item.ignored)
        gathered.append(b"]}" if item.action is None else b'],"action":%s}' % _encoder.encode(item.action))
    gathered.append(b"]}" if receipt.erased is None else b'],"erased":%s}' % _encoder.encode(receipt.erased))
    yield b"".join(gathered)


def _gather(gathered: list[bytes], entries: Sequence[object]) -> Iterator[bytes]:
    """Add entries, encoded and with commas between, to what is gathered, and yield that whenever it is a piece."""
    for start in range(0, len(entries), _ENTRIES_A_PIECE):
        if start:
            gathered.append(b",")
        gathered.append(_encoder.encode(entries[start : start + _ENTRIES_A_PIECE])[1:-1])
        if start or len(gathered) > _ENTRIES_A_PIECE:
            yield b"".join(gathered)
            gathered.clear()


def suppression_answer(row: SuppressionRow) -> dict[str, Any]:
    """Return one item of the answer to `GET …/suppressions`."""
    return {
        "_id": row.suppression_id,
        "destination": row.destination,
        "distinct_id": row.distinct_id,
        "channel": row.channel,
        "description": row.description,
        "created_at": time_of(row.created_at_us),
        "expiry_ts": None if row.expires_at_us is None else time_of(row.expires_at_us),
    }


def preferences_answer(view: PreferenceView) -> dict[str, Any]:
    """Return the answer to `GET …/subscriptions/preference`."""
    everywhere = view.preferences.get(ALL_TOPICS, {})
    return {
        "meta": {ALL_TOPICS: {"preference": _choices(everywhere), "updated_at": _times(everywhere)}},
        "result": {
            section.name: [_topic_answer(topic, view.preferences) for topic in section.topics]
            for section in view.settings.sections
        },
    }


def chosen_answer(preferences: Preferences) -> dict[str, dict[str, str]]:
    """Return the answer to a call that recorded these choices."""
    return {subscription_id: _choices(chosen) for subscription_id, chosen in preferences.items()}


def _topic_answer(topic: Topic, preferences: Preferences) -> dict[str, Any]:
    chosen = preferences.get(topic.subscription_id, {})
    changeable = {channel: chosen[channel] for channel in topic.channel_config if channel in chosen}
    return {
        "subscription_id": topic.subscription_id,
        "name": topic.name,
        "description": topic.description,
        "channel_config": topic.channel_config,
        "is_global_opted_out": {
            channel: setting is not Setting.REQUIRED and is_opted_out(preferences, ALL_TOPICS, channel)
            for channel, setting in topic.channel_config.items()
        },
        "preference": {
            channel: choice_of(setting, chosen.get(channel)).value for channel, setting in topic.channel_config.items()
        },
        "updated_at": _times(changeable),
    }


def _choices(chosen: dict[str, Preference]) -> dict[str, str]:
    return {channel: preference.choice.value for channel, preference in chosen.items()}


def _times(chosen: dict[str, Preference]) -> dict[str, str]:
    return {channel: time_of(preference.at_us) for channel, preference in chosen.items()}
