"""Writing: groups overlap, lose races, and stop, and the account is right all the same."""

from __future__ import annotations

import threading

import pytest

from imports.importing import NORTH, Importing, obeys_the_law
from traitbase.domain.errors import Conflict, Refused
from traitbase.domain.updates import set_update
from traitbase.services.imports import importing as use_case
from traitbase.services.imports.importing import Watch, run_import
from traitbase.services.ingest import Ingest, Submission
from traitbase.store.memory import MemoryStore
from traitbase.store.sqlite import open_sqlite

LINES = "distinct_id,n\n" + "".join(f"u{n % 7},{n}\n" for n in range(60))


class TroubledStore(MemoryStore):
    """Raises what it is told before the n-th write."""

    def __init__(self, troubles):
        super().__init__()
        self.troubles = troubles
        self.writes = 0

    def open_session(self):
        return TroubledSession(self, super().open_session())


class TroubledSession:
    def __init__(self, store, session):
        self.store = store
        self.session = session

    def write(self, rows, *, wait_seconds):
        self.store.writes += 1
        trouble = self.store.troubles.get(self.store.writes)
        if trouble is not None:
            raise trouble
        self.session.write(rows, wait_seconds=wait_seconds)

    def close(self):
        self.session.close()


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    monkeypatch.setattr(use_case, "ROWS_A_GROUP", 10)


@pytest.mark.parametrize("lost", [{2}, {3}, {2, 3}, {4, 5, 6}, {7}, {2, 4, 6, 8}])
def test_it_does_a_group_again_that_lost_a_race(tmp_path, lost):
    store = TroubledStore({number: Conflict("another writer was faster") for number in lost})
    importing = Importing(tmp_path, store)
    tally = importing.run(LINES)
    assert (tally.applied, tally.read) == (60, 60)
    assert {f"u{n}": importing.properties(f"u{n}") for n in range(7)} == {
        f"u{n % 7}": {"n": str(n)} for n in range(53, 60)
    }
    assert sum(len(rows) for rows in store.tables.changes.values()) == 60


def test_it_says_how_far_it_got_when_the_disk_is_full(tmp_path):
    importing = Importing(tmp_path, TroubledStore({4: Refused("the disk is full", code="store_unavailable")}))
    with pytest.raises(Refused) as refusal:
        importing.run(LINES)
    assert refusal.value.message == (
        "stopped: the disk is full. Everything up to line 21 is durable (20 applied, 0 ignored, 0 refused), nothing "
        "after it was applied; the same file can be imported again: setting a value twice is setting it once"
    )
    assert sum(len(rows) for rows in importing.store.tables.changes.values()) == 20


def test_it_says_so_when_the_last_group_cannot_be_written(tmp_path):
    importing = Importing(tmp_path, TroubledStore({7: Refused("the disk is full", code="store_unavailable")}))
    with pytest.raises(Refused, match="Everything up to line 51 is durable"):
        importing.run(LINES)


def test_it_says_so_when_nothing_was_applied(tmp_path):
    importing = Importing(tmp_path, TroubledStore({2: Refused("the disk is full", code="store_unavailable")}))
    with pytest.raises(Refused, match="stopped before anything was applied: the disk is full"):
        importing.run(LINES)


def test_it_finishes_what_is_under_way_when_it_is_interrupted(importing):
    def interrupt(_position):
        raise KeyboardInterrupt

    planned = importing.plan(LINES)
    with pytest.raises(Refused, match=r"stopped: interrupted. Everything up to line (11|21) is durable"):
        run_import(importing.store, planned, given=importing.sources, watch=Watch(on_progress=interrupt))


def test_it_reports_progress_to_the_end(importing):
    seen = []
    planned = importing.plan(LINES)
    run_import(importing.store, planned, given=importing.sources, watch=Watch(on_progress=seen.append))
    assert seen == sorted(seen)
    assert seen[-1] == planned.source.total == len(LINES)


def test_it_shares_a_database_with_other_writers(tmp_path):
    path = tmp_path / "shared.db"
    importing = Importing(tmp_path, open_sqlite(path))
    planned = importing.plan("distinct_id,n\n" + "".join(f"u{n % 50},{n}\n" for n in range(2000)))
    stop = threading.Event()
    other = open_sqlite(path)

    def write_meanwhile():
        ingest = Ingest(other, new_profile_id=importing.sources.new_profile_id)
        number = 0
        while not stop.is_set():
            number += 1
            updates = [set_update(f"u{number % 50}", {"other": number})]
            ingest.run([Submission(NORTH, updates, f"other-{number}", 1, "key")], wait_seconds=30)
        ingest.close()

    thread = threading.Thread(target=write_meanwhile)
    thread.start()
    try:
        tally = run_import(importing.store, planned, given=importing.sources, watch=Watch())
    finally:
        stop.set()
        thread.join()
    assert tally.applied == 2000
    assert obeys_the_law(tally)
    assert importing.properties("u49")["n"] == "1999"
    assert importing.properties("u0")["n"] == "1950"
    importing.store.close()
    other.close()
