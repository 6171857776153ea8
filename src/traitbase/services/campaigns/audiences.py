"""What stands in the ledger for whom a message is for."""

from __future__ import annotations

from traitbase.domain.campaign_bodies import Recipient
from traitbase.domain.destinations import Channel, find_key
from traitbase.services.campaigns.ports import WITHOUT_ID


def member_key(recipient: Recipient) -> str:
    """Return the id under which a recipient stands in the ledger: theirs, or what their destinations make."""
    if recipient.distinct_id is not None:
        return recipient.distinct_id
    return key_of_destinations(recipient.destinations)


def key_of_destinations(destinations: dict[str, str]) -> str:
    """Return what stands in the ledger for destinations without a profile: equal ones are one."""
    parts = [f"{name}:{find_key(Channel(name), destinations[name])}" for name in sorted(destinations)]
    return WITHOUT_ID + WITHOUT_ID.join(parts)
