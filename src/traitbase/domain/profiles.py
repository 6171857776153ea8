"""A profile as the operations see it: the properties of one person and how much room they take."""

from __future__ import annotations

from typing import NamedTuple

from traitbase.domain.values import Value

PROPERTIES_MAX = 2_000
"""Properties a profile may have (`profile_full` beyond)."""

PROFILE_MAX_BYTES = 256 * 1024
"""Size of the JSON document (UTF-8) of a profile's properties (`profile_full` beyond)."""


class Profile(NamedTuple):
    """Properties by name. Never changed in place: `apply` returns another one.

    `size_bound` is at least the size in bytes of the properties' JSON document: cheap to keep up to date, and exact
    size is only worked out where the bound comes near the limit. `is_exact` says that it is the size itself.
    """

    properties: dict[str, Value]
    size_bound: int = 2
    is_exact: bool = False


EMPTY_PROFILE = Profile({}, is_exact=True)
