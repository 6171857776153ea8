"""How the integrations are, as one worker sees it: when to wait before trying again, and when to stop a run.

What concerns one recipient says that the provider works. What concerns nobody in particular counts against it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from traitbase.domain.campaigns import Reason
from traitbase.domain.spaces import Space
from traitbase.services.campaigns.ports import Outcome, OutcomeKind

FAILING_SECONDS_MAX = 300.0
"""For so long a provider may not be reached before its runs pause."""

MISCONFIGURED_MAX = 3
REJECTED_IN_A_ROW_MAX = 100

_FIRST_PAUSE_SECONDS = 1.0
_PAUSE_SECONDS_MAX = 30.0
_FAILURES_MIN = 5


@dataclass(slots=True)
class _State:
    failing_since: float | None = None
    failures: int = 0
    misconfigured: int = 0
    opens_at: float = 0.0


class Health:
    """What is known of the integrations. Safe to use from several threads. `now`: seconds that only grow."""

    def __init__(self, now: Callable[[], float], *, failing_seconds: float = FAILING_SECONDS_MAX) -> None:
        self._now = now
        self._failing_seconds = failing_seconds
        self._lock = threading.Lock()
        self._states: dict[tuple[Space, str], _State] = {}
        self._rejected: dict[tuple[Space, str, str], int] = {}

    def seconds_to_wait(self, space: Space, integration_id: str) -> float:
        """Return for how long an integration is better left alone; 0: not at all."""
        with self._lock:
            state = self._states.get((space, integration_id))
            return 0.0 if state is None else max(state.opens_at - self._now(), 0.0)

    def note(self, space: Space, integration_id: str, run_id: str, outcome: Outcome) -> Reason | None:
        """Take in what came of a message; return why the run is to pause, or None."""
        with self._lock:
            state = self._states.setdefault((space, integration_id), _State())
            match outcome.kind:
                case OutcomeKind.UNREACHABLE:
                    return self._failed(state, outcome)
                case OutcomeKind.MISCONFIGURED:
                    state.misconfigured += 1
                    state.opens_at = self._now() + _FIRST_PAUSE_SECONDS
                    if state.misconfigured >= MISCONFIGURED_MAX:
                        state.misconfigured = 0  # whoever lets it go on has mended it
                        return Reason("integration_refuses", f"the provider takes nothing: {outcome.detail}")
                    return None
                case OutcomeKind.UNKNOWN:
                    return None
            self._states[space, integration_id] = _State()
            return self._rejected_in_a_row((space, integration_id, run_id), outcome)

    def _failed(self, state: _State, outcome: Outcome) -> Reason | None:
        now = self._now()
        state.failures += 1
        state.failing_since = now if state.failing_since is None else state.failing_since
        if now >= state.opens_at:  # those that were under way beside it tell nothing new
            pause = min(_FIRST_PAUSE_SECONDS * 2 ** min(state.failures - 1, 8), _PAUSE_SECONDS_MAX)
            state.opens_at = now + pause
        seconds = now - state.failing_since
        if state.failures >= _FAILURES_MIN and seconds >= self._failing_seconds:
            state.failing_since, state.failures, state.opens_at = None, 0, 0.0
            return Reason("integration_unreachable", f"the provider failed for {int(seconds)} s: {outcome.detail}")
        return None

    def _rejected_in_a_row(self, key: tuple[Space, str, str], outcome: Outcome) -> Reason | None:
        if outcome.kind is not OutcomeKind.REJECTED:
            self._rejected.pop(key, None)
            return None
        rejected = self._rejected.get(key, 0) + 1
        self._rejected[key] = rejected
        if rejected < REJECTED_IN_A_ROW_MAX:
            return None
        del self._rejected[key]
        message = f"the provider rejected {rejected} recipients in a row, the last one so: {outcome.detail}"
        return Reason("integration_rejects", message)
