"""Clearing traces away after erasures: one at a time, for all who wait."""

from __future__ import annotations

import asyncio
import time

from traitbase.services.cohorts.ports import CohortEngine
from traitbase.services.ports import Cleared, Store

_WAIT_SECONDS = 10.0


class Clearing:
    """Takes the traces of erasures out of the storage's files, in one thread however many wait for it."""

    def __init__(self, store: Store, engine: CohortEngine) -> None:
        self._store = store
        self._engine = engine
        self._lock = asyncio.Lock()
        self._began_at = float("-inf")
        self._cleared = Cleared(log=False, file=False)
        self._copy_cleared = False

    async def clear(self) -> tuple[Cleared, bool]:
        """Return what was cleared of all that was erased before the call, and whether the cohort engine's copy was."""
        asked_at = time.monotonic()
        async with self._lock:
            if self._began_at < asked_at:
                began_at = time.monotonic()
                self._cleared = await asyncio.to_thread(self._store.clear_traces, wait_seconds=_WAIT_SECONDS)
                self._copy_cleared = await asyncio.to_thread(self._engine.clear_traces)
                self._began_at = began_at
            return self._cleared, self._copy_cleared
