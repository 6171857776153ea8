"""A stored profile as rules see it."""

from __future__ import annotations

from collections.abc import Iterable

from traitbase.domain.attributes import decode_attributes
from traitbase.domain.rules.fields import Person
from traitbase.domain.values import decode_properties
from traitbase.services.ports import ProfileRow


def person_of(row: ProfileRow, static_cohorts: Iterable[str] = ()) -> Person:
    """Return all that a rule may ask about a profile. `static_cohorts` are the ids of those it is in."""
    return Person(
        row.distinct_id,
        decode_properties(row.document),
        decode_attributes(row.attributes),
        row.created_at_us,
        row.updated_at_us,
        frozenset(static_cohorts),
    )
