"""Reading JSON objects that people write, such as a campaign: every fault at once, each with what was expected.

A `Form` is an object at a path. Each member is asked for by name and kind; what was not asked for is a fault, too, so
that a misspelt option is never silently left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.values import JsonValue, kind_of_json

FAULTS_TOLD_MAX = 200
NAME_CHARACTERS_MAX = 255
_REVISION_MAX = 2**53

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_Word = TypeVar("_Word", bound=StrEnum)


class Form:
    """A JSON object that is read. `faults` is shared by all that is inside one another."""

    def __init__(self, sent: JsonValue, path: str = "", faults: list[Fault] | None = None) -> None:
        self.path = path
        self.faults: list[Fault] = [] if faults is None else faults
        self._asked: list[str] = []
        self._sent: dict[str, JsonValue] = {}
        if type(sent) is dict:
            self._sent = sent
        else:
            self._fault(path, f"expected an object, not {kind_of_json(sent)}")

    def has(self, name: str) -> bool:
        """Tell whether there is such a member, and not null."""
        self._ask(name)
        return self._sent.get(name) is not None

    def value(self, name: str) -> JsonValue:
        """Return a member as it is; None if it is not there."""
        self._ask(name)
        return self._sent.get(name)

    def name(self, name: str) -> str:
        """Return a text that names something: 1 to 255 characters, not only blanks, none of them control."""
        found = self.value(name)
        if type(found) is str and found.strip() and len(found) <= NAME_CHARACTERS_MAX and not _CONTROL.search(found):
            return found
        self.refuse(name, f"expected a text of 1 to {NAME_CHARACTERS_MAX} characters, without control characters")
        return ""

    def text(self, name: str, *, characters: int) -> str:
        """Return a text that must be there and not be empty."""
        found = self.maybe_text(name, characters=characters)
        if found is None and not self._is_refused(name):
            self.refuse(name, f"is missing: expected a text of 1 to {characters:,} characters")
        return found or ""

    def maybe_text(self, name: str, *, characters: int) -> str | None:
        """Return a text; None if there is none or it is empty."""
        found = self.value(name)
        if found is None or (type(found) is str and len(found) <= characters and "\0" not in found):
            return found or None
        self.refuse(name, f"expected a text of at most {characters:,} characters")
        return None

    def line(self, name: str, *, characters: int = NAME_CHARACTERS_MAX) -> str | None:
        """Return a text of one line; None if there is none or it is empty."""
        found = self.maybe_text(name, characters=characters)
        if found is not None and _CONTROL.search(found):
            self.refuse(name, "expected one line, without control characters")
            return None
        return found

    def word(self, name: str, words: type[_Word], *, otherwise: _Word | None = None) -> _Word:
        """Return one of some words. `otherwise`: what holds if none was sent."""
        found = self.value(name)
        if found is None and otherwise is not None:
            return otherwise
        if type(found) is str and found in tuple(words):
            return words(found)
        self.refuse(name, f"expected one of {', '.join(words)}")
        return next(iter(words))

    def whole(self, name: str, *, least: int, most: int, otherwise: int) -> int:
        """Return a whole number."""
        found = self.value(name)
        if found is None:
            return otherwise
        if type(found) is int and least <= found <= most:
            return found
        self.refuse(name, f"expected a whole number from {least:,} to {most:,}")
        return otherwise

    def revision(self, name: str = "revision") -> int | None:
        """Return the revision of something that was read before it is changed; None: whichever it is at."""
        found = self.whole(name, least=0, most=_REVISION_MAX, otherwise=-1)
        return None if found < 0 else found

    def number(self, name: str, *, above: float, most: float) -> float | None:
        """Return a number; None if there is none."""
        found = self.value(name)
        if found is None:
            return None
        if type(found) in (int, float, Decimal) and above < found <= most:  # type: ignore[operator]  # one of the two
            return float(found)  # type: ignore[arg-type]  # as above
        self.refuse(name, f"expected a number above {above:,g}, at most {most:,g}")
        return None

    def yes(self, name: str, *, otherwise: bool) -> bool:
        """Return a boolean."""
        found = self.value(name)
        if type(found) is bool:
            return found
        if found is not None:
            self.refuse(name, "expected true or false")
        return otherwise

    def texts(self, name: str, *, most: int, characters: int = NAME_CHARACTERS_MAX) -> tuple[str, ...]:
        """Return a list of texts, each once; none if there is no such member."""
        found = self.value(name)
        if found is None:
            return ()
        if (
            type(found) is list
            and len(found) <= most
            and all(type(each) is str and 0 < len(each) <= characters for each in found)
        ):
            return tuple(dict.fromkeys(str(each) for each in found))
        self.refuse(name, f"expected an array of at most {most:,} texts of 1 to {characters} characters")
        return ()

    def inner(self, name: str) -> Form:
        """Return the form of an object inside; an empty one if there is none."""
        found = self.value(name)
        return Form({} if found is None else found, self.at(name), self.faults)

    def members(self) -> Iterator[tuple[str, Form]]:
        """Yield all members, each an object."""
        for name, found in self._sent.items():
            self._ask(name)
            yield name, Form(found, self.at(name[:80]), self.faults)

    def at(self, name: str) -> str:
        """Return the path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def refuse(self, name: str, message: str) -> None:
        """Note that a member cannot be as it is."""
        self._fault(self.at(name) if name else self.path, message)

    def close(self) -> None:
        """Note what nobody asked for."""
        for name in self._sent.keys() - set(self._asked):
            expected = ", ".join(self._asked)
            self._fault(self.at(name[:80]), f"there is no such member; expected {expected}" if expected else "unknown")

    def end(self) -> None:
        """Close it, and raise InvalidInput if there were faults."""
        self.close()
        raise_faults(self.faults)

    def _ask(self, name: str) -> None:
        if name not in self._asked:
            self._asked.append(name)

    def _is_refused(self, name: str) -> bool:
        return any(fault.path == self.at(name) for fault in self.faults)

    def _fault(self, path: str, message: str) -> None:
        self.faults.append(Fault(path, message))


def raise_faults(faults: list[Fault], *, code: str = "invalid_input") -> None:
    """Raise InvalidInput for some faults; do nothing for none."""
    if faults:
        shown = tuple(faults[:FAULTS_TOLD_MAX])
        message = "; ".join(f"{fault.path}: {fault.message}" if fault.path else fault.message for fault in shown[:3])
        raise InvalidInput(message, faults=shown, code=code)
