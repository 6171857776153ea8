"""The small family of errors that every layer raises and one table per surface turns into an answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input: where it is (`batch[3].action.$set.address`) and what was expected there."""

    path: str
    message: str


class TraitbaseError(Exception):
    """Something a person or program should be told. `code` is stable, `message` is written for its reader."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class InvalidInput(TraitbaseError):
    """The input cannot be accepted as it is; sending it again unchanged will fail again."""

    def __init__(self, message: str, *, faults: tuple[Fault, ...] = (), code: str = "invalid_input") -> None:
        super().__init__(message, code=code)
        self.faults = faults


class NotFound(TraitbaseError):
    """What was asked for does not exist (or its reader may not know that it does)."""

    def __init__(self, message: str, *, code: str = "not_found") -> None:
        super().__init__(message, code=code)


class Conflict(TraitbaseError):
    """The request contradicts what is stored, such as a name that is taken."""

    def __init__(self, message: str, *, code: str = "conflict") -> None:
        super().__init__(message, code=code)


class Refused(TraitbaseError):
    """Well-formed, but not now or not for this caller: no right to it, or no room for it at this moment."""
