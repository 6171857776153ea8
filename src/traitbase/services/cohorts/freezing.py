"""Freezing: a static cohort of those who are in a cohort at this moment."""

from __future__ import annotations

from traitbase.domain.cohorts import CohortKind
from traitbase.domain.spaces import Space
from traitbase.services.cohorts.counting import Asking
from traitbase.services.cohorts.stored import Draft, create_cohort, get_cohort
from traitbase.services.ports import CohortRow


def freeze(
    asking: Asking, space: Space, cohort_id: str, *, new_id: str, name: str, description: str | None, now_us: int
) -> CohortRow:
    """Store a static cohort of the members that a cohort has now, all of them at once, and return it.

    Raises NotFound; Conflict for a name that is taken; Refused if the members cannot be computed. Whoever is deleted
    while this goes on is not in it.
    """
    with asking.all_members(space, cohort_id, now_us=now_us) as (view, plan):
        members = tuple(each for step in view.all_members(plan) for each in step)
    draft = Draft(name, description, None, members)
    create_cohort(asking.store, space, draft, cohort_id=new_id, now_us=now_us)
    # Its list is what it is: counted at once, so that it never shows less than it has.
    asking.store.note_count(space, new_id, count=asking.store.count_members(space, new_id), at_us=now_us)
    row = get_cohort(asking.store, space, new_id)
    assert row.kind is CohortKind.STATIC
    return row
