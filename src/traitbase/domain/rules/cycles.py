"""Cohorts of cohorts: which a tree names, and whether one leads back to itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from traitbase.domain.rules.fields import Field
from traitbase.domain.rules.tree import Group, leaves


def cohorts_named(tree: Group) -> Iterator[str]:
    """Yield the ids of the cohorts that a tree's rules name, as far as they are texts."""
    for rule in leaves(tree):
        if rule.field == Field.COHORT.value:
            sent = rule.value if isinstance(rule.value, list) else [rule.value]
            yield from (each for each in sent if isinstance(each, str))


def find_cycle(cohort_id: str, trees: Mapping[str, Group]) -> list[str] | None:
    """Return a loop that a cohort leads into, from one cohort along those that name each other back to it; or None.

    `trees` are those of the dynamic cohorts, by id. Takes time with the number of cohorts, not with the ways through
    them.
    """
    done: set[str] = set()
    path: list[str] = [cohort_id]
    iterators = [iter(_named_by(cohort_id, trees))]
    while path:
        following = next(iterators[-1], None)
        if following is None:
            done.add(path.pop())
            iterators.pop()
        elif following in path:
            return [*path[path.index(following) :], following]
        elif following not in done:
            path.append(following)
            iterators.append(iter(_named_by(following, trees)))
    return None


def _named_by(cohort_id: str, trees: Mapping[str, Group]) -> list[str]:
    tree = trees.get(cohort_id)
    return [] if tree is None else list(dict.fromkeys(cohorts_named(tree)))
