"""The worker: threads that start what is due, resolve audiences, send, and take over from workers that ended.

Any number of workers do this at once. None leads: each step is claimed in the ledger by whoever comes first.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

from traitbase.domain.deliveries import after_crash
from traitbase.domain.errors import Refused
from traitbase.domain.events import AfterCrash
from traitbase.domain.spaces import Space
from traitbase.services.campaigns.deciding import Deciding
from traitbase.services.campaigns.health import Health
from traitbase.services.campaigns.links import Links
from traitbase.services.campaigns.outlets import Outlets
from traitbase.services.campaigns.ports import CampaignStore, OpenSender, PageRow, Turn, WorkerRow
from traitbase.services.campaigns.preparing import Audiences
from traitbase.services.campaigns.sealing import Vault
from traitbase.services.campaigns.sending import MESSAGES_AT_ONCE, PageWork, SendingParts, plan_of
from traitbase.services.campaigns.steering import Steering
from traitbase.services.cohorts.counting import Asking

LANES = 2
"""Pages that a worker is at, at once."""

_IDLE_SECONDS = 0.5
_CHORES_SECONDS = 1.0
_STALE_SECONDS = 60.0
_BACK_OFF_SECONDS = 2.0


PageKey: TypeAlias = tuple[str, str, str, int]
"""Which page: of which space and run."""


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What a worker needs. `tell` is given an event's name and its fields; `lease_seconds`: see `Worker`."""

    store: CampaignStore
    asking: Asking
    vault: Vault
    open_sender: OpenSender
    public_url: str
    now_us: Callable[[], int]
    tell: Callable[..., Any]
    lease_seconds: float = 30.0
    monotonic: Callable[[], float] = time.monotonic


class Worker:
    """Sends campaigns. While it holds its lease, what it has claimed is its own; it holds it for as long as it lives.

    Whoever finds a lease that ended takes its pages over. That the time is told differently somewhere, or a worker
    stood still for a while, delays or hastens that, and nothing else: each write asks whose the page is.
    """

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts
        self.worker_id = f"wo_{secrets.token_hex(8)}"
        self._stop = threading.Event()
        self._work = threading.Event()
        self._leased_until = 0.0
        self._threads: list[threading.Thread] = []
        store, now_us = parts.store, parts.now_us
        self._outlets = Outlets(store, parts.vault, parts.open_sender)
        self._steering = Steering(store, now_us, parts.public_url)
        self._audiences = Audiences(store, parts.asking, now_us)
        self._pool = ThreadPoolExecutor(LANES * MESSAGES_AT_ONCE, thread_name_prefix="send")
        links = Links(parts.vault, parts.public_url)
        self._sending = SendingParts(
            store,
            Deciding(store, links, now_us=now_us),
            self._outlets,
            Health(parts.monotonic),
            self._pool,
            now_us,
            self._may_begin,
            self._holds_lease,
        )
        self._chores_done = threading.Event()
        self._active: set[PageKey] = set()
        self._orphaned: set[PageKey] = set()

    def start(self) -> None:
        """Begin. It works until it is stopped."""
        lanes = [self.send_one] * LANES
        for name, do, idle in (
            ("lease", self.keep_lease, self._parts.lease_seconds / 5),
            ("clock", self.do_chores, _CHORES_SECONDS),
            ("audience", self.prepare_one, _IDLE_SECONDS),
            *((f"lane-{number}", lane, _IDLE_SECONDS) for number, lane in enumerate(lanes)),
        ):
            thread = threading.Thread(target=self._repeat, args=(name, do, idle), name=f"campaigns-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def wake(self) -> None:
        """Look for work now, because there is some."""
        self._work.set()

    def stop(self) -> None:
        """Finish what is being handed over, give everything back, and end."""
        self._stop.set()
        self._work.set()
        for thread in self._threads:
            thread.join()
        self._pool.shutdown()
        self._outlets.close()
        if not self._threads:
            return
        try:
            self._recover(WorkerRow(self.worker_id, "", 0, 0))
        except Refused as error:
            self._parts.tell("worker_not_given_back", message=error.message)

    def _repeat(self, name: str, do: Callable[[], bool], idle_seconds: float) -> None:
        while not self._stop.is_set():
            seconds = idle_seconds
            try:
                if do():
                    continue
            except Refused as error:
                self._parts.tell("campaign_work_postponed", what=name, message=error.message)
                seconds = _BACK_OFF_SECONDS
            except Exception as error:  # noqa: BLE001  # one page that cannot be sent must not end all sending
                self._parts.tell("campaign_work_failed", what=name, error=type(error).__name__, exc_info=True)
                seconds = _BACK_OFF_SECONDS
            if name.startswith("lane"):
                self._work.wait(seconds)
                self._work.clear()
            else:
                self._stop.wait(seconds)

    def _may_begin(self) -> bool:
        return not self._stop.is_set() and self._holds_lease()

    def _holds_lease(self) -> bool:
        return self._parts.monotonic() < self._leased_until

    def keep_lease(self) -> bool:
        """Prolong the lease."""
        began = self._parts.monotonic()
        now_us = self._parts.now_us()
        until_us = now_us + int(self._parts.lease_seconds * 1_000_000)
        self._parts.store.keep_worker(WorkerRow(self.worker_id, socket.gethostname(), now_us, until_us))
        self._leased_until = began + self._parts.lease_seconds * 0.8
        return False

    def do_chores(self) -> bool:
        """Take over from workers that ended, hold what stood still, and start what is due."""
        for worker in self._parts.store.list_workers():
            if worker.lease_until_us < self._parts.now_us() and worker.worker_id != self.worker_id:
                self._recover(worker)
        self._give_back_orphans()
        self._steering.hold_stale()
        self._steering.start_due()
        self._chores_done.set()
        return False

    def prepare_one(self) -> bool:
        """Resolve an audience; False: there was none to resolve."""
        found = self._parts.store.find_unprepared(limit=1)
        for space, run in found:
            self._audiences.prepare(space, run, self.worker_id)
            self._work.set()
        return bool(found)

    def send_one(self) -> bool:
        """Send what is due of a page; False: there was none."""
        # Whatever stood still for too long is held before anything of it is sent.
        if not self._may_begin() or not self._chores_done.is_set():
            return False
        with self._parts.store.turn() as turn:
            claimed = turn.claim_page(self.worker_id, now_us=self._parts.now_us(), epoch=turn.epoch())
        if claimed is None:
            return False
        key = _key_of(claimed.space, claimed.page)
        self._active.add(key)
        try:
            PageWork(self._sending, claimed).do()
        finally:
            self._active.discard(key)
        return True

    def _give_back_orphans(self) -> None:
        """Give back pages that are ours but that no lane is at: it failed there, and could not say so."""
        with self._parts.store.turn() as turn:
            mine = {_key_of(*each): each for each in turn.pages_of(self.worker_id)}
            orphaned = mine.keys() - self._active
            for key in orphaned & self._orphaned:  # a claim takes a moment to be known here
                self._take_back(turn, *mine[key])
            self._orphaned = orphaned

    def _recover(self, worker: WorkerRow) -> None:
        """Give back what a worker had that ended, and write down of what nobody knows whether it was sent."""
        with self._parts.store.turn() as turn:
            for space, page in turn.pages_of(worker.worker_id):
                self._take_back(turn, space, page)
            turn.drop_worker(worker.worker_id)

    def _take_back(self, turn: Turn, space: Space, page: PageRow) -> None:
        now_us = self._parts.now_us()
        run = self._parts.store.find_run(space, page.run_id)
        resend = run is not None and plan_of(run).event.after_crash is AfterCrash.RESEND
        turn.recover_page(space, page, state=after_crash(is_sent_again=resend), at_us=now_us)
        turn.release_page(space, page, due_at_us=page.due_at_us or now_us)


def _key_of(space: Space, page: PageRow) -> PageKey:
    return (*space, page.run_id, page.page)
