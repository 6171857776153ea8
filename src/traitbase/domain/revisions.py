"""What several people edit has a revision, so that nobody overwrites unseen what somebody else saved meanwhile."""

from __future__ import annotations

from traitbase.domain.errors import Conflict


def check_revision(what: str, found: int, expected: int | None) -> None:
    """Raise Conflict (`lost_race`) if something is at another revision than was expected. None: any will do."""
    if expected is not None and expected != found:
        message = f"the {what} was changed meanwhile (it is at revision {found}, not {expected}): read it again"
        raise Conflict(message, code="lost_race")
