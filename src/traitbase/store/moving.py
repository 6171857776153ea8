"""Where values kept aside go when an id becomes an alias."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traitbase.domain.spaces import Space
from traitbase.services.ports import EditedRow

_ASIDE = "\x01"  # no id has control characters; PostgreSQL keeps every character but U+0000


def moves_of(edited: Sequence[EditedRow]) -> Iterator[tuple[Space, str, str]]:
    """Yield where to move values kept aside as ids become aliases: the space, from which id to which.

    A value is moved only if the other id holds none of its property: in a merge, the target's own value wins. A profile
    that takes the id of one of its aliases brings its own along, and the alias's go where that came from.
    """
    profile_ids = {each.row[:3]: each.row.profile_id for each in edited if each.row.alias_of is None}
    for each in edited:
        workspace_id, environment, old = each.row[:3]
        new = each.row.alias_of
        if new is None:
            continue
        space = Space(workspace_id, environment)
        if profile_ids.get((*space, new)) == each.row.profile_id:
            yield from ((space, new, _ASIDE), (space, old, new), (space, _ASIDE, old))
        else:
            yield space, old, new
