"""Making, changing and deleting cohorts. A rule is checked as it is saved, against what there is at that moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from traitbase.domain.cohorts import CohortKind
from traitbase.domain.errors import Conflict, Fault, InvalidInput, NotFound
from traitbase.domain.revisions import check_revision
from traitbase.domain.rules.cycles import cohorts_named
from traitbase.domain.rules.moments import Moment
from traitbase.domain.rules.resolving import Catalogue, resolve
from traitbase.domain.rules.tree import Group, leaves, to_json
from traitbase.domain.spaces import Space, zone_of
from traitbase.services.cohorts.catalogues import catalogue_of, tree_of
from traitbase.services.ports import CohortCheck, CohortRow, MembersChanged, Store

COHORTS_MAX = 1_000
"""Cohorts that a space may have."""

_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class Draft:
    """A cohort as it is to be. `tree` None: a static one, with these members to begin with.

    `path` is where the tree stands in what was sent, in front of the paths of faults.
    """

    name: str
    description: str | None
    tree: Group | None
    members: tuple[str, ...] = ()
    path: str = "filter"


class Edit(NamedTuple):
    """What to change of a cohort; unset: leave it. `revision`: only if it is still that one."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    tree: Group | msgspec.UnsetType = msgspec.UNSET
    revision: int | None = None


class Saved(NamedTuple):
    """A cohort after it was saved, and what is odd about its rule or its members but no fault."""

    cohort: CohortRow
    warnings: tuple[Fault, ...]


def create_cohort(store: Store, space: Space, draft: Draft, *, cohort_id: str, now_us: int) -> Saved:
    """Store a new cohort.

    Raises InvalidInput (`invalid_rule`) naming every fault of its rule, Conflict if its name is taken or there are
    `COHORTS_MAX` already.
    """
    kind = CohortKind.STATIC if draft.tree is None else CohortKind.DYNAMIC
    rule = None if draft.tree is None else text_of(draft.tree)
    row = CohortRow(cohort_id, draft.name, kind, rule, draft.description, 1, now_us, now_us)
    checking = _Checking(store, space, cohort_id, draft.tree, path=draft.path, now_us=now_us)
    added = store.add_cohort(space, row, check=checking.check, members=draft.members)
    return Saved(row, (*checking.warnings, *_left_out(added)))


def edit_cohort(store: Store, space: Space, cohort_id: str, edit: Edit, *, now_us: int) -> Saved:
    """Change a cohort.

    Raises NotFound, InvalidInput as `create_cohort`, Conflict if its name is taken or it is another revision by now.
    """
    row = get_cohort(store, space, cohort_id)
    check_revision("cohort", row.revision, edit.revision)
    tree = None
    if edit.tree is not msgspec.UNSET:
        if row.kind is CohortKind.STATIC:
            message = "the cohort is a list of members and has no rule; make a new one for the rule"
            raise InvalidInput(f"filter: {message}", faults=(Fault("filter", message),), code="cohort_is_static")
        tree = edit.tree
        row = row._replace(rule=text_of(tree), last_count=None, last_counted_at_us=None)
    if edit.name is not msgspec.UNSET:
        row = row._replace(name=edit.name)
    if edit.description is not msgspec.UNSET:
        row = row._replace(description=edit.description)
    row = row._replace(revision=row.revision + 1, updated_at_us=now_us)
    checking = _Checking(store, space, cohort_id, tree, path="filter", now_us=now_us)
    store.put_cohort(space, row, check=checking.check)
    return Saved(row, checking.warnings)


def delete_cohort(store: Store, space: Space, cohort_id: str) -> None:
    """Delete a cohort. Raises NotFound, or Conflict (`cohort_in_use`) naming the cohorts that name it."""

    def check(every: list[CohortRow]) -> None:
        users = [row.name for row in every if row.rule is not None and cohort_id in cohorts_named(tree_of(row.rule))]
        if users:
            message = f"the cohort is used by {named(users)}: take it out of their rules first"
            raise Conflict(message, code="cohort_in_use")

    if not store.delete_cohort(space, cohort_id, check=check):
        raise unknown_cohort(cohort_id)


def get_cohort(store: Store, space: Space, cohort_id: str) -> CohortRow:
    """Return a cohort. Raises NotFound."""
    row = store.find_cohort(space, cohort_id)
    if row is None:
        raise unknown_cohort(cohort_id)
    return row


def find_uses_of_property(store: Store) -> _UsesOfProperty:
    """Return a function that names the cohorts whose rules are about a property."""
    return _UsesOfProperty(store)


def text_of(tree: Group) -> str:
    """Return a tree as it is stored."""
    return _encode(to_json(tree)).decode()


def unknown_cohort(cohort_id: str) -> NotFound:
    """Return the error for an id that is no cohort's."""
    return NotFound(f"there is no cohort {cohort_id[:80]!r} here", code="cohort_not_found")


def named(names: Sequence[str]) -> str:
    """Return a few of the names, and how many more there are."""
    shown = ", ".join(f"“{name}”" for name in names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"


_NAMES_SHOWN = 5


def _left_out(added: MembersChanged | None) -> tuple[Fault, ...]:
    if added is None or not added.unknown_count:
        return ()
    which = ", ".join(repr(each[:80]) for each in added.unknown[:_NAMES_SHOWN])
    lead = "1 id leads" if added.unknown_count == 1 else f"{added.unknown_count:,} ids lead"
    message = f"{lead} to no profile and cannot be in ({which}): make the profiles first, then add them"
    return (Fault("members", message),)


@dataclass(frozen=True, slots=True)
class _UsesOfProperty:
    store: Store

    def __call__(self, space: Space, name: str) -> list[str]:
        rows = self.store.list_cohorts(space)
        return [f"the cohort “{row.name}”" for row in rows if row.rule is not None and _is_about(row.rule, name)]


def _is_about(rule: str, name: str) -> bool:
    return any(leaf.field == name for leaf in leaves(tree_of(rule)))


class _Checking:
    """Checks a cohort inside the transaction that stores it, so that two edits at once make no loop together."""

    def __init__(
        self, store: Store, space: Space, cohort_id: str, tree: Group | None, *, path: str, now_us: int
    ) -> None:
        self._cohort_id = cohort_id
        self._tree = tree
        self._path = path
        with store.open_snapshot(space) as snapshot:
            self._definitions = snapshot.get_definitions()
            self._moment = Moment(now_us, zone_of(snapshot.get_workspace()))
        self.warnings: tuple[Fault, ...] = ()

    @property
    def check(self) -> CohortCheck:
        return self._check

    def _check(self, every: list[CohortRow]) -> None:
        if len(every) >= COHORTS_MAX and all(row.cohort_id != self._cohort_id for row in every):
            message = f"there are {COHORTS_MAX:,} cohorts already, as many as there may be: delete some first"
            raise Conflict(message, code="too_many_cohorts")
        if self._tree is not None:
            catalogue: Catalogue = catalogue_of(self._definitions, every)
            plan = resolve(self._tree, catalogue, self._moment, path=self._path, cohort_id=self._cohort_id)
            self.warnings = plan.warnings
