"""What has changed in the store since a moment, as its feed says it."""

from __future__ import annotations

from dataclasses import dataclass, field

from traitbase.domain.spaces import Space
from traitbase.services.ports import FeedEnd, Moment


@dataclass(slots=True)
class Changes:
    """What has changed in one space: ids of written profiles, internal ids of deleted ones, static cohorts.

    Of `updated` profiles no more than `properties` has changed, and when; one that is also `written` may be anything.
    """

    written: dict[str, None] = field(default_factory=dict)
    updated: dict[str, None] = field(default_factory=dict)
    properties: set[str] = field(default_factory=set)
    deleted: list[str] = field(default_factory=list)
    members: dict[str, dict[str, None]] = field(default_factory=dict)
    cohorts_gone: list[str] = field(default_factory=list)

    def count_profiles(self) -> int:
        """Return how many profiles are to be taken in."""
        return len(self.written.keys() | self.updated.keys())


def read_changes(moment: Moment, after: FeedEnd) -> dict[Space, Changes]:
    """Return what has changed in each space, since the end of the feed at an earlier moment and up to this one."""
    found: dict[Space, Changes] = {}
    for row in moment.read_feed(after):
        pending = found.setdefault(Space(row.workspace_id, row.environment), Changes())
        if row.cohort_id is None:
            if row.properties is None:
                pending.written.update(dict.fromkeys(row.written))
            else:
                pending.updated.update(dict.fromkeys(row.written))
                pending.properties.update(row.properties)
            pending.deleted.extend(row.deleted)
        elif row.written:
            pending.members.setdefault(row.cohort_id, {}).update(dict.fromkeys(row.written))
        else:
            pending.members.pop(row.cohort_id, None)
            pending.cohorts_gone.append(row.cohort_id)
    return found
