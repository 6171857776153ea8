"""After a fork: the child begins with nothing that is its parent's to finish."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class BeginsAnew(Protocol):
    """Something with locks, threads, connections or gathered work."""

    def begin_anew_after_fork(self) -> None:
        """Forget what the parent holds; called in the child, where no other thread runs."""


_known: weakref.WeakSet[BeginsAnew] = weakref.WeakSet()


def begin_anew_after_forks(something: BeginsAnew) -> None:
    """Have it told, in every child process, that it is in a child process; for as long as it lives."""
    _known.add(something)


def _tell_all() -> None:
    for something in list(_known):
        something.begin_anew_after_fork()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_tell_all)
