"""Who did what: written down for each action of the console, shown to those who run a workspace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from traitbase.services.accounts.ports import AccountStore, AuditRow


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, to what, in which environment, by which request."""

    action: str
    target: str | None = None
    environment: str | None = None
    request_id: str | None = None


class Audit:
    """Writes down what was done."""

    def __init__(self, store: AccountStore, *, now_us: Callable[[], int], new_id: Callable[[], str]) -> None:
        self._store = store
        self._now_us = now_us
        self._new_id = new_id

    def note(self, workspace_id: str, account_id: str | None, done: Done) -> None:
        """Write down what somebody did (`account_id` None: on the command line)."""
        row = AuditRow(
            workspace_id,
            self._new_id(),
            self._now_us(),
            account_id,
            done.environment,
            done.action,
            done.target,
            done.request_id,
        )
        self._store.add_audit(row)
