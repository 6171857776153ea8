"""Carrying out edits on the profiles of a group: who is meant, what becomes of each id, and what is recorded.

Each edit is looked at first and carried out then: one that raises has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, assert_never

import msgspec

from traitbase.domain.attributes import (
    ALIASES_MAX,
    NO_ATTRIBUTES,
    Attributes,
    Preferences,
    find_excess,
    patch_destinations,
    without_destinations,
)
from traitbase.domain.definitions import Definitions
from traitbase.domain.destinations import TOKEN_CHANNELS, Channel, digest_of_destination, find_key
from traitbase.domain.edits import Change, Create, DeleteChannel, Edit, Erase, Merge, PatchChannel, Prefer, Restore
from traitbase.domain.effects import State, effect_on_profile
from traitbase.domain.errors import Fault, InvalidInput, NotFound
from traitbase.domain.merging import merge_attributes, merge_properties
from traitbase.domain.profiles import EMPTY_PROFILE, Profile
from traitbase.domain.updates import FAULTS_SHOWN_MAX, Update
from traitbase.services.ports import ErasedPerson
from traitbase.services.working import People, Working

ApplyUpdate = Callable[[Profile, Update], Profile]
"""Applies an update of the request to a profile; definitions and ignored values are noted on the way."""


class Recorded(NamedTuple):
    """What an edit did: the profile's id and row, the action's name, and the effect (None: no history is kept).

    `is_change` False: everything is as it was, and the row need not be written.
    """

    work: Working
    action: str
    effect: str | None
    is_change: bool = True


class Erased(NamedTuple):
    """What an erasure takes away, and the aliases among it whose rows were not looked at."""

    people: tuple[ErasedPerson, ...]
    unseen_aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Editor:
    """Carries out the edits of one request on the profiles of its space."""

    people: People
    definitions: Definitions
    at_us: int
    keeps_history: bool
    new_profile_id: Callable[[], str]
    apply_update: ApplyUpdate

    def run(self, edit: Edit) -> Recorded | Erased:
        """Carry out an edit. Raises InvalidInput or NotFound; nothing has been changed then."""
        match edit:
            case Create():
                return self._create(edit)
            case Change():
                return self._change(edit)
            case PatchChannel():
                return self._patch_channel(edit)
            case DeleteChannel():
                return self._delete_channel(edit)
            case Prefer():
                return self._prefer(edit)
            case Merge():
                return self._merge(edit)
            case Erase():
                return self._erase(edit)
            case Restore():
                return self._restore(edit)
            case _:
                assert_never(edit)

    def _create(self, edit: Create) -> Recorded:
        work = self.people.by_id[edit.distinct_id]
        if work.profile is not None:
            raise self._taken(edit.distinct_id)
        self._give_identity(work)
        profile = EMPTY_PROFILE if edit.properties is None else self.apply_update(EMPTY_PROFILE, edit.properties)
        return self._put(work, "create", profile, edit.changes.apply_to(NO_ATTRIBUTES))

    def _change(self, edit: Change) -> Recorded:
        work = self._find(edit.distinct_id, "Unable to update the record since the record does not exist")
        profile, attributes = work.profile or EMPTY_PROFILE, edit.changes.apply_to(work.attributes)
        renames = edit.new_id not in (None, edit.distinct_id, work.distinct_id)
        if renames:
            self._check_free(edit.new_id or "", for_=work)
        if edit.properties is not None:
            profile = self.apply_update(profile, edit.properties)
        before = _state_of(work)
        if renames:
            work, attributes = self._move(work, edit.new_id or "", attributes)
        return self._put(work, "rename" if renames else "update", profile, attributes, before=before)

    def _patch_channel(self, edit: PatchChannel) -> Recorded:
        work = self._find(edit.distinct_id)
        channel = patch_destinations(work.attributes.channel, edit.channel)
        excess = find_excess(channel)
        if excess is not None:
            path, most = excess
            fault = Fault(path, f"{most}; delete some first")
            raise InvalidInput(f"{path}: {fault.message}", faults=(fault,), code="too_many_destinations")
        attributes = msgspec.structs.replace(work.attributes, channel=channel)
        return self._put(work, "channel", work.profile or EMPTY_PROFILE, attributes)

    def _delete_channel(self, edit: DeleteChannel) -> Recorded:
        message = "Unable to delete channel since the channel does not exist"
        work = self._find(edit.distinct_id, message)
        held = work.attributes.channel
        left = without_destinations(held, edit.deletion.channels, edit.deletion.tokens)
        if left == held:
            paths = [f"channel[{position}]" for position in range(min(len(edit.deletion.channels), FAULTS_SHOWN_MAX))]
            missing = tuple(Fault(path, "the profile has nothing there") for path in paths or edit.deletion.tokens)
            raise InvalidInput(message, faults=missing)
        return self._put(
            work,
            "channel",
            work.profile or EMPTY_PROFILE,
            msgspec.structs.replace(work.attributes, channel=left),
        )

    def _prefer(self, edit: Prefer) -> Recorded:
        work = self._find(edit.distinct_id)
        preferences: Preferences = {topic: dict(held) for topic, held in work.attributes.preferences.items()}
        for topic, channels in edit.preferences.items():
            preferences.setdefault(topic, {}).update(channels)
        attributes = msgspec.structs.replace(work.attributes, preferences=preferences)
        return self._put(work, "preference", work.profile or EMPTY_PROFILE, attributes)

    def _merge(self, edit: Merge) -> Recorded:
        source = self._find(edit.source, "merge from id does not exist")
        target = self.people.by_id[edit.target]
        if source is target:
            fault = Fault("target", "a profile cannot be merged into itself, and these two ids are the same profile")
            raise InvalidInput(fault.message, faults=(fault,), code="same_profile")
        before = _state_of(target if target.profile is not None else source)
        if target.profile is None:
            self._check_free(edit.target, for_=source)
            profile = source.profile or EMPTY_PROFILE
            work, attributes = self._move(source, edit.target, source.attributes)
            return self._put(work, "merge", profile, attributes, before=before)
        profile = merge_properties(target.profile, source.profile or EMPTY_PROFILE, self.definitions.zone)
        attributes = merge_attributes(
            target.attributes,
            source.attributes,
            source_distinct_id=source.distinct_id,
            source_profile_id=source.profile_id,
        )
        self._leave(source, target)
        return self._put(target, "merge", profile, attributes, before=before)

    def _erase(self, edit: Erase) -> Erased:
        people = self.people
        found = {id(work): work for work in (people.by_id[each] for each in edit.distinct_ids) if work.profile}
        if not found:
            raise NotFound("Cannot delete non existing user", code="profile_not_found")
        erased: list[ErasedPerson] = []
        unseen: list[str] = []
        for work in found.values():
            ids = (work.distinct_id, *work.attributes.aliases)
            unseen.extend(alias for alias in work.attributes.aliases if alias not in people.aliases)
            erased.append(ErasedPerson(ids, _digests_of(people.space.workspace_id, work)))
            self._forget(work, ids)
        return Erased(tuple(erased), tuple(unseen))

    def _restore(self, edit: Restore) -> Recorded:
        work, people = self.people.by_id[edit.distinct_id], self.people
        held, before = work.attributes, _state_of(work)
        new = [alias for alias in edit.aliases if people.by_id[alias] is not work]
        taken = [alias for alias in new if people.by_id[alias].profile is not None]
        if taken:
            raise self._taken(taken[0])
        aliases = tuple(dict.fromkeys(each for each in (*held.aliases, *edit.aliases) if each != work.distinct_id))
        if len(aliases) > ALIASES_MAX:
            fault = Fault("aliases", f"the profile would have more than {ALIASES_MAX:,} other ids")
            raise InvalidInput(fault.message, faults=(fault,), code="too_many_aliases")
        profile = work.profile or EMPTY_PROFILE
        if edit.properties is not None:
            profile = self.apply_update(profile, edit.properties)
        if work.profile is None:
            self._give_identity(work)
        for alias in new:
            row = people.by_id[alias]
            self._give_identity(row)
            row.retire(alias_of=work.distinct_id, at_us=self.at_us)
            people.aliases[alias], people.by_id[alias] = row, work
        preferences = {topic: {**held.preferences.get(topic, {}), **sent} for topic, sent in edit.preferences.items()}
        attributes = msgspec.structs.replace(
            edit.changes.apply_to(held), preferences={**held.preferences, **preferences}, aliases=aliases
        )
        return self._put(work, "import", profile, attributes, before=before)

    def _forget(self, work: Working, ids: tuple[str, ...]) -> None:
        people = self.people
        for each in ids:
            row = people.aliases.pop(each, None) or (work if each == work.distinct_id else None)
            if row is not None:
                row.retire(alias_of=None, at_us=self.at_us)
                people.left.append(row)
            people.repointed.pop(each, None)
            if each in people.by_id or row is not None:
                people.by_id[each] = Working((*people.space, each), None)

    def _find(self, distinct_id: str, message: str = "incorrect/non existing distinct_id provided") -> Working:
        work = self.people.by_id[distinct_id]
        if work.profile is None:
            raise NotFound(message, code="profile_not_found")
        return work

    def _taken(self, distinct_id: str) -> InvalidInput:
        environment = self.people.space.environment
        message = f"Distinct ID '{distinct_id}' already exists in the '{environment}' version of your workspace"
        return InvalidInput(message, faults=(Fault("distinct_id", message),), code="profile_exists")

    def _check_free(self, new_id: str, *, for_: Working) -> None:
        """Raise InvalidInput unless the profile may have that id: nobody has it, or it is one of its own aliases."""
        holder = self.people.by_id[new_id]
        if holder.profile is not None and holder is not for_:
            raise self._taken(new_id)
        if len(for_.attributes.aliases) >= ALIASES_MAX and new_id not in for_.attributes.aliases:
            fault = Fault("distinct_id", f"the profile has its {ALIASES_MAX:,} other ids already")
            raise InvalidInput(fault.message, faults=(fault,), code="too_many_aliases")

    def _give_identity(self, work: Working) -> None:
        """Give a profile that is new its profile_id and time of creation."""
        work.profile_id, work.created_at_us = self.new_profile_id(), self.at_us

    def _move(self, work: Working, new_id: str, attributes: Attributes) -> tuple[Working, Attributes]:
        """Give a profile another id; the one before becomes an alias. Return its new row and attributes."""
        people = self.people
        row = people.aliases.pop(new_id, None) or people.by_id[new_id]
        people.repointed.pop(new_id, None)
        people.by_id[new_id] = row
        row.profile_id, row.created_at_us = work.profile_id, work.created_at_us
        row.profile = work.profile  # it is not nobody from here on; the caller puts the rest
        aliases = tuple(dict.fromkeys((work.distinct_id, *(each for each in attributes.aliases if each != new_id))))
        self._leave(work, row)
        return row, msgspec.structs.replace(attributes, aliases=aliases)

    def _leave(self, work: Working, target: Working) -> None:
        """Make a profile's id, and all that lead to it, aliases of another profile."""
        for alias in work.attributes.aliases:
            if alias != target.distinct_id:
                self.people.repoint(alias, target)
        work.retire(alias_of=target.distinct_id, at_us=self.at_us)
        self.people.aliases[work.distinct_id] = work
        self.people.by_id[work.distinct_id] = target

    def _put(
        self,
        work: Working,
        action: str,
        profile: Profile,
        attributes: Attributes,
        *,
        before: State | None = None,
    ) -> Recorded:
        after = (profile.properties, attributes)
        if _state_of(work) == after:
            return Recorded(
                work, action, None, is_change=False
            )  # nothing to write, and nobody changed the profile at this time
        effect = effect_on_profile(_state_of(work) if before is None else before, after) if self.keeps_history else None
        work.put(profile, attributes, at_us=self.at_us)
        return Recorded(work, action, effect)


def _state_of(work: Working) -> State | None:
    return None if work.profile is None else (work.profile.properties, work.attributes)


def _digests_of(workspace_id: str, work: Working) -> tuple[tuple[str, str], ...]:
    """Return the channel and the digest of each single destination."""
    found = []
    for name, destination in work.attributes.channel.items():
        channel = Channel(name)
        if channel not in TOKEN_CHANNELS and isinstance(destination, str):
            key = find_key(channel, destination)
            if key is not None:
                found.append((name, digest_of_destination(workspace_id, channel, key)))
    return tuple(found)
