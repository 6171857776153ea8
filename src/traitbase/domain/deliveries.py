"""Deliveries: one message to one member of a campaign's audience, and what may become of it.

Every member ends in exactly one state, so that a run's report adds up to its audience. What a provider tells later
comes in any order and more than once; the state is the same whichever way it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

RETRYING_SECONDS_MAX = 24 * 3_600
"""For so long after the first attempt a temporary failure is tried again."""

_FIRST_PAUSE_SECONDS = 30.0
_PAUSE_SECONDS_MAX = 3_600.0


class DeliveryState(StrEnum):
    """What became of a delivery."""

    PLANNED = "planned"
    SENDING = "sending"
    UNCONFIRMED = "unconfirmed"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    OPTED_OUT = "opted_out"
    NO_DESTINATION = "no_destination"
    INACTIVE = "inactive"
    CAPPED = "capped"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


_S = DeliveryState

UNSENT = frozenset({_S.SUPPRESSED, _S.OPTED_OUT, _S.NO_DESTINATION, _S.INACTIVE, _S.CAPPED, _S.SKIPPED, _S.CANCELLED})
"""Ends without that a provider was called."""

OPEN = frozenset({_S.PLANNED, _S.SENDING})
"""A run is finished when none of its deliveries is in one of these."""

_NEXT: Mapping[DeliveryState, frozenset[DeliveryState]] = {
    _S.PLANNED: UNSENT | {_S.SENDING},
    # Back to planned: the provider said that it did not take it, and may later. What became of a message may be told
    # before the answer to the call that sent it was written down.
    _S.SENDING: frozenset({_S.SENT, _S.FAILED, _S.PLANNED, _S.UNCONFIRMED, _S.DELIVERED, _S.BOUNCED}),
    # A person decides, or the provider tells after all. Back to planned: it is to be sent (again).
    _S.UNCONFIRMED: frozenset({_S.SENT, _S.FAILED, _S.PLANNED, _S.DELIVERED, _S.BOUNCED}),
    _S.SENT: frozenset({_S.DELIVERED, _S.BOUNCED}),
    _S.DELIVERED: frozenset({_S.BOUNCED}),
}


def may_become(state: DeliveryState, next_state: DeliveryState) -> bool:
    """Tell whether a delivery may go from one state to another one."""
    return next_state in _NEXT.get(state, frozenset())


def after_crash(*, is_sent_again: bool) -> DeliveryState:
    """Return what a delivery is that was found `sending` when nobody was at it any more.

    `is_sent_again`: the event's policy, and the provider knows a delivery's id (mostly so for transactional ones).
    """
    return _S.PLANNED if is_sent_again else _S.UNCONFIRMED


def after_callback(state: DeliveryState, told: DeliveryState) -> DeliveryState:
    """Return the state after a provider told `delivered` or `bounced`: a bounce is the last word, in any order."""
    assert told in (_S.DELIVERED, _S.BOUNCED), "providers tell nothing else"
    return told if may_become(state, told) else state


def retry_at(attempts: int, *, first_at: datetime, now: datetime, chance: float) -> datetime | None:
    """Return when to try again after so many temporary failures; None: it is over.

    The pause doubles from half a minute to an hour; `chance` (0 to 1) spreads it between half and all of that, so that
    what failed together does not come back together.
    """
    assert attempts >= 1, "something failed"
    pause = min(_FIRST_PAUSE_SECONDS * 2 ** min(attempts - 1, 16), _PAUSE_SECONDS_MAX)
    at = now + timedelta(seconds=pause * (0.5 + chance / 2))
    return at if at - first_at <= timedelta(seconds=RETRYING_SECONDS_MAX) else None
