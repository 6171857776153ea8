"""Making one profile of two: the target's values win, the source fills gaps, lists and tokens are united.

What two profiles say about the same person is never thrown away unseen: a merge that would not fit is refused.
"""

from __future__ import annotations

from datetime import tzinfo

import msgspec

from traitbase.domain import values
from traitbase.domain.attributes import (
    ALIASES_MAX,
    Attributes,
    Choice,
    Destinations,
    Preference,
    Preferences,
    find_excess,
)
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.profiles import PROFILE_MAX_BYTES, PROPERTIES_MAX, Profile
from traitbase.domain.values import Value


def merge_properties(target: Profile, source: Profile, zone: tzinfo) -> Profile:
    """Return the target's properties, with the source's where it has none, and lists united (the target's first).

    Raises InvalidInput if a list, or the whole, would be larger than it may be.
    """
    merged: dict[str, Value] = dict(target.properties)
    for name, value in source.properties.items():
        held = merged.get(name)
        if held is None:
            merged[name] = value
        elif isinstance(held, list) and isinstance(value, list):
            merged[name] = values.unique([*held, *value], zone)
            if len(merged[name]) > values.LIST_MAX_ELEMENTS:  # type: ignore[arg-type]  # a list
                raise _too_large(f"the list {name!r} would have more than {values.LIST_MAX_ELEMENTS:,} elements")
    size_bound = target.size_bound + source.size_bound
    if size_bound > PROFILE_MAX_BYTES:
        size_bound = len(values.encode_properties(merged))
    if len(merged) > PROPERTIES_MAX or size_bound > PROFILE_MAX_BYTES:
        what = f"more than {PROPERTIES_MAX:,} properties or {PROFILE_MAX_BYTES // 1024} KB"
        raise _too_large(f"the profile would have {what}")
    return Profile(merged, size_bound)


def merge_attributes(
    target: Attributes, source: Attributes, *, source_distinct_id: str, source_profile_id: str
) -> Attributes:
    """Return the target's attributes with the source's in the gaps, and the source's ids added.

    Tokens are united; an opt-out of either stays one. Raises InvalidInput if there would be too many ids or tokens.
    """
    aliases = tuple(dict.fromkeys((*target.aliases, source_distinct_id, *source.aliases)))
    if len(aliases) > ALIASES_MAX:
        raise _too_large(f"the profile would have more than {ALIASES_MAX:,} other ids")
    return msgspec.structs.replace(
        target,
        name=target.name if target.name is not None else source.name,
        timezone=target.timezone if target.timezone is not None else source.timezone,
        channel=_merge_destinations(target.channel, source.channel),
        preferences=_merge_preferences(target.preferences, source.preferences),
        aliases=aliases,
        id_list=tuple(dict.fromkeys((*target.id_list, source_profile_id, *source.id_list))),
    )


def _merge_destinations(target: Destinations, source: Destinations) -> Destinations:
    merged = dict(target)
    for name, destination in source.items():
        held = merged.get(name)
        if held is None:
            merged[name] = destination
        elif isinstance(held, list) and isinstance(destination, list):
            known = {token.token for token in held}
            merged[name] = [*held, *(token for token in destination if token.token not in known)]
    excess = find_excess(merged)
    if excess is not None:
        raise _too_large(": ".join(excess))
    return merged


def _merge_preferences(target: Preferences, source: Preferences) -> Preferences:
    merged = {topic: dict(channels) for topic, channels in target.items()}
    for topic, channels in source.items():
        held = merged.setdefault(topic, {})
        for channel, preference in channels.items():
            held[channel] = _more_reserved(held.get(channel), preference)
    return merged


def _more_reserved(held: Preference | None, other: Preference) -> Preference:
    # Who said no anywhere must not be mailed because of a merge.
    if held is None or (other.choice is Choice.OPTED_OUT and held.choice is not Choice.OPTED_OUT):
        return other
    return held


def _too_large(what: str) -> InvalidInput:
    fault = Fault("merge", f"{what}; take some away from one of the two first")
    return InvalidInput(f"these profiles cannot be merged: {fault.message}", faults=(fault,), code="merge_too_large")
