"""The group-commit writer: what is done on the loop, and what is not."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing

import pytest

from ingest.submitting import exhaust, ingest_on, properties_in, sent
from store.backends import BACKENDS, fresh
from traitbase.api.metrics import Metrics
from traitbase.api.writer import GroupCommitWriter
from traitbase.services.ingest import Group, Ingest

SMALL = {"$set": {"a": 1}}
LARGE = {"$set": {f"n{number}": number for number in range(3_000)}}


async def threads_that_prepare(store, *actions):
    """Put actions through a writer at once and return in which threads their profiles were made, and the outcomes."""
    threads = []

    def new_profile_id():
        threads.append(threading.current_thread())
        return f"profile {len(threads)}"

    metrics = Metrics()
    writer = GroupCommitWriter(
        Ingest(store, new_profile_id=new_profile_id), metrics, updates_max=100_000, bytes_max=10**9
    )
    writer.start()
    settled = [asyncio.get_running_loop().create_future() for _ in actions]
    for number, (action, size) in enumerate(actions):
        writer.submit(sent((f"u{number}", action)), size=size, settled=settled[number].set_result)
    outcomes = await asyncio.gather(*settled)
    await writer.stop()
    assert all(isinstance(outcome, str) for outcome in outcomes)
    return [thread is threading.main_thread() for thread in threads], metrics


@pytest.mark.parametrize("backend", BACKENDS)
def test_prepares_what_takes_long_in_a_thread_and_the_rest_on_the_loop(backend):
    with fresh(backend) as opened:
        actions = [(SMALL, 50), (SMALL, 50), (LARGE, 50_000), (SMALL, 50)]
        on_loop, metrics = asyncio.run(threads_that_prepare(opened.store, *actions))
        assert on_loop == [True, True, False, True]
        assert (metrics.updates, metrics.groups, metrics.ignored) == (4, 3, {"profile_full": 1_000})
        assert [len(properties_in(opened.store, f"u{number}")) for number in range(4)] == [1, 1, 2_000, 1]


def test_an_ingest_can_be_left_after_every_update(backend):
    with closing(ingest_on(backend.store)) as ingest:
        submission = sent(*[(f"u{number}", SMALL) for number in range(50)])
        steps = ingest.prepare(Group([submission]))
        assert sum(1 for _ in steps) >= 50
        exhaust(steps)


def test_an_ingest_can_be_left_while_it_reads_large_profiles(backend):
    text = {f"p{number}": "x" * 250 for number in range(900)}
    with closing(ingest_on(backend.store)) as ingest:
        ids = [f"u{number}" for number in range(20)]
        ingest.run([sent(*[(distinct_id, {"$set": text}) for distinct_id in ids])], wait_seconds=10)
        group = Group([sent(*[(distinct_id, SMALL) for distinct_id in ids])])
        assert sum(1 for _ in ingest._load(group, group.submissions)) >= 6
    with closing(ingest_on(backend.store)) as another:
        group = Group([sent(*[(distinct_id, SMALL) for distinct_id in ids])])
        assert sum(1 for _ in another._load(group, group.submissions)) >= 6
