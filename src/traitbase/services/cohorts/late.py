"""An engine that is opened in the background: a server answers updates before the engine's libraries are loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from traitbase.domain.errors import Refused
from traitbase.domain.spaces import Space
from traitbase.services.cohorts.ports import CohortEngine, CohortView, EngineState

_PATIENCE_SECONDS = 10.0
_STARTING = EngineState("starting")


class LateEngine:
    """The cohort engine port, by an engine that `start` opens in a thread. See the port for what methods promise."""

    def __init__(self, open_engine: Callable[[], CohortEngine]) -> None:
        self._open_engine = open_engine
        self._engine: CohortEngine | None = None
        self._is_open = threading.Event()
        self._thread = threading.Thread(target=self._open, name="cohorts-opening", daemon=True)

    def start(self) -> None:
        """Open the engine in the background, and have it keep up from then on."""
        self._thread.start()

    @contextmanager
    def open_view(self, space: Space) -> Iterator[CohortView]:
        """Open a view of a space as it is now, when the engine is open."""
        engine = self._wait()
        if engine is None:
            message = "cohorts cannot be counted at the moment: the engine is starting; try again then"
            raise Refused(message, code="cohorts_not_ready")
        with engine.open_view(space) as view:
            yield view

    def state(self) -> EngineState:
        """Tell how the engine is."""
        return _STARTING if self._engine is None else self._engine.state()

    def clear_traces(self) -> bool:
        """See to it that nothing of erased profiles can be read from the engine's files."""
        engine = self._wait()
        return engine is not None and engine.clear_traces()

    def close(self) -> None:
        """End all work and give everything back."""
        if self._thread.ident is not None:
            self._thread.join()
        if self._engine is not None:
            self._engine.close()

    def _open(self) -> None:
        engine = self._open_engine()
        engine.start()
        self._engine = engine
        self._is_open.set()

    def _wait(self) -> CohortEngine | None:
        self._is_open.wait(_PATIENCE_SECONDS)
        return self._engine
