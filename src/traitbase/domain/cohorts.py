"""Cohorts: named sets of profiles, by a rule or as a list."""

from __future__ import annotations

import re
import secrets
from enum import StrEnum

from traitbase.domain.errors import Fault, InvalidInput

NAME_MAX_CODE_POINTS = 255
DESCRIPTION_MAX_CODE_POINTS = 2_000

MEMBERS_A_CALL_MAX = 1_000_000
"""Ids in one change of a static cohort's members."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class CohortKind(StrEnum):
    """How a cohort says who is in: by a rule that is always current, or as a list of ids."""

    DYNAMIC = "dynamic"
    STATIC = "static"


class MemberMode(StrEnum):
    """What a list of ids does to the members of a static cohort."""

    ADD = "add"
    REPLACE = "replace"
    REMOVE = "remove"


def new_cohort_id() -> str:
    """Return a fresh cohort id: `co_` and 16 hexadecimal digits."""
    return f"co_{secrets.token_hex(8)}"


def check_name(name: object) -> str:
    """Return a cohort's name. Raises InvalidInput: it is 1 to 255 characters, not only blanks, none of them control."""
    if type(name) is str and name.strip() and len(name) <= NAME_MAX_CODE_POINTS and not _CONTROL.search(name):
        return name
    message = f"expected a name of 1 to {NAME_MAX_CODE_POINTS} characters, without control characters"
    raise InvalidInput(f"name: {message}", faults=(Fault("name", message),))


def check_description(description: object) -> str | None:
    """Return a cohort's description, None for none. Raises InvalidInput for what is no text, or too long."""
    if description is None or (type(description) is str and len(description) <= DESCRIPTION_MAX_CODE_POINTS):
        return description or None
    message = f"expected a text of at most {DESCRIPTION_MAX_CODE_POINTS:,} characters"
    raise InvalidInput(f"description: {message}", faults=(Fault("description", message),))
