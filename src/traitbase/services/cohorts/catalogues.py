"""What rules can be about, from the store's rows."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from traitbase.domain.definitions import PropertyDefinition
from traitbase.domain.json_text import read_json
from traitbase.domain.rules.resolving import Catalogue, KnownCohort
from traitbase.domain.rules.tree import Group, parse_tree
from traitbase.services.ports import CohortRow, DefinitionRow


def catalogue_of(definitions: Iterable[DefinitionRow], cohorts: Iterable[CohortRow]) -> Catalogue:
    """Return the catalogue of a space."""
    return Catalogue(
        {row.name: PropertyDefinition(row.kind, row.state) for row in definitions},
        {row.cohort_id: KnownCohort(row.name, None if row.rule is None else tree_of(row.rule)) for row in cohorts},
    )


@lru_cache(maxsize=1_024)
def tree_of(rule: str) -> Group:
    """Return the tree of a stored rule."""
    return parse_tree(read_json(rule.encode()), may_be_empty=True)
