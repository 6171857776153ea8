"""Text files: which encoding they are in, and their physical lines. Nothing is decoded by a guess nobody agreed to."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO, TypeAlias

from charset_normalizer import from_bytes

from traitbase.domain.errors import InvalidInput

LINE_MAX_CHARACTERS = 16 * 1024 * 1024

# UTF-32 before UTF-16: the mark of the one begins with that of the other.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_STEP_BYTES = 1024 * 1024
_GUESSED_FROM_BYTES = 128 * 1024
_NUL_PATTERN_BYTES = 4096


class Guess(NamedTuple):
    """What an encoding seems to be (None: no idea), and a line read that way for a person to judge."""

    encoding: str | None
    sample: str


Ask: TypeAlias = Callable[[Guess], bool]
"""Asks a person whether the guess is right."""


def find_encoding(path: Path, *, asked: str | None, ask: Ask | None) -> str:
    """Return the name of the encoding in which the whole file can be read.

    That is the one asked for; else the one its byte order mark says, UTF-16 if every other byte is NUL, UTF-8 if all
    of it is valid; else the best guess, if `ask` agrees. Raises InvalidInput that names the guess.
    """
    if asked is not None:
        encoding = _looked_up(asked)
        fault = _first_fault(path, encoding)
        if fault is not None:
            message = (
                f"{path.name} is not {asked}: the bytes at offset {fault:,} mean nothing there; try another --encoding"
            )
            raise InvalidInput(message, code="wrong_encoding")
        return encoding
    encoding = _declared(path) or "utf-8"
    fault = _first_fault(path, encoding)
    if fault is None:
        return encoding
    guess = _guess(path, fault)
    if guess.encoding is not None and ask is not None and ask(guess) and _first_fault(path, guess.encoding) is None:
        return guess.encoding
    if guess.encoding is None:
        advice = "its encoding cannot be guessed: save it as UTF-8, or name the encoding, such as --encoding cp1252"
    else:
        advice = (
            f"it may be {guess.encoding}, and then says: {guess.sample!r}. If that reads well, say "
            f"--encoding {guess.encoding}, else try another, such as cp1250, cp1251, big5 or shift_jis"
        )
    message = f"{path.name} is not valid {encoding} (at offset {fault:,}); {advice}"
    raise InvalidInput(message, code="unknown_encoding")


def open_text(path: Path, encoding: str) -> TextIO:
    """Open a file for reading text with its line ends untouched."""
    return path.open(encoding=encoding, newline="")


def physical_lines(stream: TextIO) -> Iterator[str]:
    r"""Yield the lines of a text, ended by `\n`, `\r\n` or `\r`, each with its end.

    Raises InvalidInput for one longer than `LINE_MAX_CHARACTERS`: memory stays flat whatever the file is.
    """
    read = stream.readline
    number = 0
    while line := read(LINE_MAX_CHARACTERS):
        number += 1
        if len(line) == LINE_MAX_CHARACTERS and line[-1] not in "\r\n":
            message = f"line {number:,} is longer than {LINE_MAX_CHARACTERS:,} characters; is this the right format?"
            raise InvalidInput(message, code="line_too_long")
        yield line


def _looked_up(name: str) -> str:
    try:
        codecs.lookup(name)
        "".encode(name)  # refuses codecs that are none of text
    except (LookupError, ValueError):
        message = f"--encoding {name}: unknown; use a name such as utf-8, cp1252, iso-8859-15 or utf-16"
        raise InvalidInput(message, code="unknown_encoding") from None
    return "utf-8-sig" if codecs.lookup(name).name == "utf-8" else name


def _declared(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(_NUL_PATTERN_BYTES)
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding
    # Text in Latin letters as UTF-16 has a NUL in nearly every other place, and is valid UTF-8 too.
    half = len(start) // 2
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.4 * half and odd < 0.05 * half:
        return "utf-16-be"
    return None


def _first_fault(path: Path, encoding: str) -> int | None:
    """Return the offset of the first bytes that cannot be decoded, or None if all can."""
    decoder = codecs.getincrementaldecoder(encoding)()
    before = 0
    with path.open("rb") as file:
        while True:
            step = file.read(_STEP_BYTES)
            try:
                decoder.decode(step, final=not step)
            except UnicodeError as error:
                return before + max(getattr(error, "start", 0), 0)
            if not step:
                return None
            before += len(step)


def _guess(path: Path, fault: int) -> Guess:
    start = max(0, fault - _GUESSED_FROM_BYTES // 2)
    with path.open("rb") as file:
        file.seek(start)
        part = file.read(_GUESSED_FROM_BYTES)
    encoding = "cp1252" if _reads_as_western(part) else _statistically(part)
    if encoding is None:
        return Guess(None, "")
    around = part[max(0, fault - start - 40) : fault - start + 40].decode(encoding, errors="replace")
    sample = "".join(character if character.isprintable() else " " for character in around)
    return Guess(encoding, " ".join(sample.split()))


def _reads_as_western(part: bytes) -> bool:
    """Tell whether what is not ASCII stands alone between ASCII letters and is a letter itself in Windows' Western set.

    Statistics take a handful of umlauts for Chinese; scripts other than Latin have such bytes in rows.
    """
    try:
        text = part.decode("cp1252")
    except UnicodeDecodeError:
        return False
    rows = re.findall(r"[^\x00-\x7f]+", text)
    alone = sum(len(row) == 1 for row in rows)
    inside = re.findall(r"(?<=[A-Za-z])[^\x00-\x7f](?=[A-Za-z])", text)
    return alone >= 0.8 * len(rows) and all(character.isalpha() or character == "\u2019" for character in inside)


def _statistically(part: bytes) -> str | None:
    best = from_bytes(part).best()
    return None if best is None else best.encoding
