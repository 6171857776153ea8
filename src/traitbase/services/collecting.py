"""Turning what a group made of profiles into the rows that are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from traitbase.domain.attributes import country_code, search_keys
from traitbase.domain.values import encode_properties
from traitbase.services.ports import AliasRow, EditedRow, ProfileRow, SeenRow, WriteSet
from traitbase.services.working import People, Stored, Working

_ROWS_A_STEP = 256
_row = tuple.__new__  # of a NamedTuple: what its own constructor does, for a third of the time


def collect_rows(people: People, rows: WriteSet, *, new_profile_id: Callable[[], str]) -> Iterator[None]:
    """Add the rows of a space's profiles to what is written; yields every few hundred."""
    having: Counter[str] = Counter()
    collected = 0
    for work in people.rows():
        if not work.changed_at_us:
            profile_id = "" if work.stored is None else work.stored.profile_id
            rows.seen.append(SeenRow(*work.key, profile_id, work.stored_revision))
            continue
        profile = work.profile
        before = work.stored_properties
        after = {} if profile is None else profile.properties
        if not before:
            having.update(after.keys())
        elif before.keys() != after.keys():
            having.update(after.keys() - before.keys())
            having.subtract(before.keys() - after.keys())
        if work.edited:
            _collect_edited(work, rows)
        elif profile is not None:
            if work.stored is None:
                work.profile_id, work.created_at_us = new_profile_id(), work.changed_at_us
            work.document = encode_properties(profile.properties).decode()
            row = (*work.key, work.profile_id, work.stored_revision + 1, work.document, work.created_at_us)
            whole = (*row, work.changed_at_us, work.attributes_document, None, work.last_change)
            rows.profiles.append(_row(ProfileRow, whole))
        collected += 1
        if collected % _ROWS_A_STEP == 0:
            yield
    if having:
        rows.having[people.space] = having
    rows.repointed.extend(AliasRow(*people.space, alias, target) for alias, target in people.repointed.items())


def stored_as(work: Working, *, revision: int) -> Stored:
    """Return the row of an id as it will be once it is written, at that revision."""
    return Stored(
        work.document,
        revision,
        work.profile_id,
        work.created_at_us,
        work.attributes_document,
        work.alias_of,
        work.last_change,
    )


def _collect_edited(work: Working, rows: WriteSet) -> None:
    stored = work.stored
    if work.profile is None and work.alias_of is None:
        if stored is not None:
            rows.deleted.append(SeenRow(*work.key, stored.profile_id, stored.revision))
        return
    name_key, email_key, country = None, None, None
    if work.profile is not None:
        work.document = encode_properties(work.profile.properties).decode()
        name_key, email_key = search_keys(work.attributes)
        country = country_code(work.attributes)
    row = ProfileRow(
        *work.key,
        work.profile_id,
        work.stored_revision + 1,
        work.document,
        work.created_at_us,
        work.changed_at_us,
        work.attributes_document,
        work.alias_of,
        work.last_change,
    )
    stored_profile_id = "" if stored is None else stored.profile_id
    rows.edited.append(EditedRow(row, stored_profile_id, work.stored_revision, name_key, email_key, country))
