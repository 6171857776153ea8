"""The list of faults that people met in other systems: which tests hold them, and names that were too odd for some."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ODD_NAMES = [
    "a-b",
    "a.b",
    "a b",
    "a'b",
    'a"b',
    "a[0]",
    "日本",
    "a$x",
    "__proto__",
    "constructor",
    "toString",
    "😀",
    "é",
    " ",
]


def named_tests(docstring: str) -> list[tuple[str, str]]:
    """Return the tests that a docstring names as holding rows of the list, by file and name. All of them must exist."""
    named = re.findall(r"^    I-\d+ +(\S+) +(test_\w+)$", docstring, re.MULTILINE)
    for file, name in named:
        assert f"def {name}(" in (TESTS / file).read_text(), (file, name)
    return named
