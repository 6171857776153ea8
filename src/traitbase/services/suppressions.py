"""Suppressions of a workspace: putting them up, listing and lifting them, and telling whom they hold for.

A suppression by distinct_id holds for the person: also if the id became an alias, by a merge or a new name. In which
environment, does not matter: suppressions belong to the workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from traitbase.domain.attributes import Attributes, decode_attributes
from traitbase.domain.destinations import Channel, digest_of_destination, find_key
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.spaces import Environment, Space
from traitbase.domain.suppressions import SuppressionBody, digests_of, new_suppression_id
from traitbase.services.aliases import find_profile_behind
from traitbase.services.ports import Store, SuppressionFilter, SuppressionRow


class Whom(NamedTuple):
    """Which suppressions somebody asks for; None: any."""

    distinct_id: str | None = None
    destination: str | None = None
    channel: Channel | None = None


class Person(NamedTuple):
    """A profile as far as suppressions are concerned."""

    distinct_id: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class SuppressedChannel:
    """What suppresses a channel of a profile: the whole of it (`destinations` None), or only these destinations."""

    by: tuple[SuppressionRow, ...]
    destinations: tuple[str, ...] | None

    def covers(self, destination: str) -> bool:
        """Tell whether that destination (or token) of the profile must not be used."""
        return self.destinations is None or destination in self.destinations


def suppress(store: Store, workspace_id: str, body: SuppressionBody, *, now_us: int, new_id: Callable[[], str]) -> None:
    """Put up a suppression, or change the one that there is: who or what is suppressed once has one record a channel.

    `new_id` returns 24 random hexadecimal digits.
    """
    destination, digest = body.destination, None
    if destination is not None:
        (digest,) = digests_of(workspace_id, destination, channel=body.channel)
    row = SuppressionRow(
        workspace_id,
        new_suppression_id(new_id(), at_us=now_us),
        body.channel.value,
        body.distinct_id,
        destination,
        digest,
        body.description,
        now_us,
        body.expires_at_us,
    )
    store.put_suppression(row)


def list_suppressions(
    store: Store, workspace_id: str, whom: Whom, *, now_us: int, after: str | None, limit: int
) -> tuple[list[SuppressionRow], str | None]:
    """Return up to `limit` suppressions that hold, from behind the id `after`, and the last one's id if there are more.

    Of a person: also those under the other ids they have in either environment. Raises InvalidInput for a destination
    that is none of the channel.
    """
    which = _filter(store, workspace_id, whom)
    rows = store.list_suppressions(workspace_id, which, now_us=now_us, after=after, limit=limit + 1)
    page = rows[:limit]
    return page, page[-1].suppression_id if len(rows) > limit else None


def lift_suppressions(
    store: Store,
    workspace_id: str,
    *,
    suppression_id: str | None,
    distinct_id: str | None,
    destination: str | None,
    now_us: int,
) -> int:
    """Delete suppressions by the first of the three that is given, and return how many it were.

    Of a person: also those under their other ids, but for an id that is somebody else's in the other environment.
    Raises InvalidInput if there are none.
    """
    which: SuppressionFilter | None = None
    named = "_id"
    if suppression_id is not None:
        which = SuppressionFilter(suppression_id=suppression_id)
    elif distinct_id is not None:
        named, ids = "distinct_id", _find_ids_of_nobody_else(store, workspace_id, distinct_id)
        which = SuppressionFilter(distinct_ids=ids)
    elif destination is not None:
        named, which = "destination", SuppressionFilter(digests=digests_of(workspace_id, destination))
    deleted = 0 if which is None else store.delete_suppressions(workspace_id, which, now_us=now_us)
    if not deleted:
        expected = "expected the _id, distinct_id or destination of a suppression; GET …/suppressions lists them"
        faults = (Fault(named, expected),)
        raise InvalidInput("Unable to delete non existing data!", faults=faults, code="suppression_not_found")
    return deleted


def find_suppressed_channels(
    store: Store, space: Space, people: Sequence[Person], *, now_us: int
) -> list[dict[Channel, SuppressedChannel]]:
    """Return for each of the profiles, in their order, which channels are suppressed at that moment and by what.

    A suppression by one of the profile's ids holds for the whole channel, whatever the profile has there; one by
    destination for this destination or token, and so for the whole of a channel that has one destination.
    """
    ids = [each for person in people for each in _ids_of(person)]
    reached = [list(_destinations_of(space.workspace_id, person.attributes)) for person in people]
    digests = [each.digest for destinations in reached for each in destinations]
    rows = store.find_suppressions(space.workspace_id, distinct_ids=ids, digests=digests, now_us=now_us)
    by_id: dict[str, list[SuppressionRow]] = {}
    by_digest: dict[str, list[SuppressionRow]] = {}
    for row in rows:
        if row.distinct_id is not None:
            by_id.setdefault(row.distinct_id, []).append(row)
        elif row.digest is not None:
            by_digest.setdefault(row.digest, []).append(row)
    return [
        _suppressed_of([row for each in _ids_of(person) for row in by_id.get(each, ())], destinations, by_digest)
        for person, destinations in zip(people, reached, strict=True)
    ]


def forget_expired(store: Store, *, now_us: int, at_most: int) -> int:
    """Delete up to that many suppressions that do not hold any more. Returns how many."""
    return store.forget_suppressions(expired_by_us=now_us, at_most=at_most)


class _Reached(NamedTuple):
    """A destination or token of a profile."""

    channel: Channel
    destination: str
    digest: str
    is_token: bool


def _ids_of(person: Person) -> tuple[str, ...]:
    return (person.distinct_id, *person.attributes.aliases)


def _destinations_of(workspace_id: str, attributes: Attributes) -> Iterator[_Reached]:
    for name, held in attributes.channel.items():
        channel = Channel(name)
        for destination in [held] if isinstance(held, str) else [token.token for token in held]:
            key = find_key(channel, destination)
            if key is not None:
                digest = digest_of_destination(workspace_id, channel, key)
                yield _Reached(channel, destination, digest, not isinstance(held, str))


def _suppressed_of(
    by_person: Sequence[SuppressionRow], reached: Sequence[_Reached], by_digest: dict[str, list[SuppressionRow]]
) -> dict[Channel, SuppressedChannel]:
    reasons: dict[Channel, list[SuppressionRow]] = {}
    for row in by_person:
        reasons.setdefault(Channel(row.channel), []).append(row)
    whole = set(reasons)
    destinations: dict[Channel, list[str]] = {}
    for each in reached:
        rows = by_digest.get(each.digest, [])
        if rows:
            reasons.setdefault(each.channel, []).extend(rows)
            destinations.setdefault(each.channel, []).append(each.destination)
            if not each.is_token:
                whole.add(each.channel)
    return {
        channel: SuppressedChannel(tuple(rows), None if channel in whole else tuple(destinations[channel]))
        for channel, rows in reasons.items()
    }


def _filter(store: Store, workspace_id: str, whom: Whom) -> SuppressionFilter:
    distinct_ids = digests = None
    if whom.distinct_id is not None:
        distinct_ids = tuple(sorted(_find_ids(store, workspace_id, whom.distinct_id)))
    if whom.destination is not None:
        digests = digests_of(workspace_id, whom.destination, channel=whom.channel)
    channel = None if whom.channel is None else whom.channel.value
    return SuppressionFilter(distinct_ids=distinct_ids, digests=digests, channel=channel)


def _find_ids(store: Store, workspace_id: str, distinct_id: str) -> set[str]:
    """Return all ids that the person of an id has in either environment."""
    ids = {distinct_id}
    for environment in Environment:
        row = find_profile_behind(store, Space(workspace_id, environment.value), distinct_id)
        if row is not None:
            ids.update((row.distinct_id, *decode_attributes(row.attributes).aliases))
    return ids


def _find_ids_of_nobody_else(store: Store, workspace_id: str, distinct_id: str) -> tuple[str, ...]:
    """Return the same without ids that lead to another person in one of the environments: they stay protected."""
    ids = _find_ids(store, workspace_id, distinct_id)
    for environment in Environment:
        space = Space(workspace_id, environment.value)
        mine = find_profile_behind(store, space, distinct_id)
        for row in store.find_profiles(space, sorted(ids)):
            if mine is None or mine.distinct_id not in (row.distinct_id, row.alias_of):
                ids.discard(row.distinct_id)
    return tuple(sorted(ids))
