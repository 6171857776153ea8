"""Subscription settings of an environment, and what a person chose."""

from __future__ import annotations

from dataclasses import dataclass

from traitbase.domain.attributes import Preferences, decode_attributes
from traitbase.domain.errors import NotFound
from traitbase.domain.spaces import Space
from traitbase.domain.subscriptions import SubscriptionSettings, decode_settings, encode_settings
from traitbase.services.aliases import find_profile_behind
from traitbase.services.ports import Store


@dataclass(frozen=True, slots=True)
class PreferenceView:
    """What can be chosen, and what somebody chose of it. Choices for topics that are gone are among them."""

    settings: SubscriptionSettings
    preferences: Preferences


def get_settings(store: Store, space: Space) -> SubscriptionSettings:
    """Return the sections and topics of a space, none if nothing was configured yet."""
    return decode_settings(store.find_subscription_settings(space))


def replace_settings(store: Store, space: Space, settings: SubscriptionSettings, *, at_us: int) -> None:
    """Replace the sections and topics. What people chose for a topic stays, also while there is no such topic."""
    store.put_subscription_settings(space, encode_settings(settings), at_us=at_us)


def get_preferences(store: Store, space: Space, distinct_id: str) -> PreferenceView:
    """Return what a person chose, by any of their ids. Raises NotFound."""
    row = find_profile_behind(store, space, distinct_id)
    if row is None:
        raise NotFound("incorrect/non existing distinct_id provided", code="profile_not_found")
    return PreferenceView(get_settings(store, space), decode_attributes(row.attributes).preferences)
