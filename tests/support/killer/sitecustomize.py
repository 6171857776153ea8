"""Loaded by a server process under test (PYTHONPATH): ends it the moment its first group is durable.

Nothing of the product is replaced; the session's `commit` is let run to its end, and the process dies before anybody is
answered. That is the crash no test could hit by waiting.
"""

from __future__ import annotations

import os
import signal

if os.environ.get("TRAITBASE_TEST_DIE_AFTER_COMMIT"):
    from traitbase.store.sql import SqlWriteSession

    commit = SqlWriteSession.commit

    def commit_and_die(self):
        commit(self)
        os.kill(os.getpid(), signal.SIGKILL)

    SqlWriteSession.commit = commit_and_die
