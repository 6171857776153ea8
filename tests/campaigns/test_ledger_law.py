"""The law of the ledger: whatever happens, nobody is sent a campaign twice, nobody is skipped, and it is known who was.

People launch, pause, resume and cancel; workers end at any step, also between handing a message over and writing that
down, and others take over; providers refuse, are away, or do not say whether they took it.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from support.campaigning import ACCEPTED, SPACE, Crash, World
from support.data import ON_POSTGRES, open_store
from traitbase.domain.campaigns import CampaignState
from traitbase.domain.deliveries import OPEN, UNSENT, DeliveryState
from traitbase.domain.errors import Conflict
from traitbase.services.campaigns import preparing, sending
from traitbase.services.campaigns.ports import AudienceRow, CampaignStore, Message, Outcome, OutcomeKind

PEOPLE = 60
LEASE_SECONDS = 30.0

_S = DeliveryState


class Fragile:
    """A store whose transactions end with a crash when told so: before what they wrote is durable, or right after."""

    def __init__(self, store: CampaignStore) -> None:
        self._store = store
        self.crashes_in: int | None = None
        self.after = False

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    @contextlib.contextmanager
    def turn(self):
        is_now = False
        if self.crashes_in is not None:
            is_now = self.crashes_in == 0
            self.crashes_in -= 1
        with self._store.turn() as turn:
            yield turn
            if is_now and not self.after:
                raise Crash
        if is_now:
            raise Crash


class LedgerMachine(RuleBasedStateMachine):
    """A campaign to sixty people, sent by workers that end at any moment."""

    @initialize(policy=st.sampled_from(["hold", "resend"]), strategy=st.sampled_from(["all", "first_available"]))
    def begin(self, policy: str, strategy: str) -> None:
        # Small steps, so that there is much to interrupt.
        self.usual = preparing.PAGE_DELIVERIES, sending.MESSAGES_AT_ONCE
        preparing.PAGE_DELIVERIES, sending.MESSAGES_AT_ONCE = 20, 5
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(open_store(Path(self.folder.name) / "data"), Path(self.folder.name))
        self.policy = policy
        self.ids = [f"p-{number:03}" for number in range(PEOPLE)]
        for number, each in enumerate(self.ids):
            channel = {} if number % 7 == 6 else {"email": f"{each}@x.test"}
            self.world.person(each, channel, status=0 if number % 11 == 10 else 1)
        self.world.store.add_audience(
            SPACE, "fi_1", [AudienceRow(each, n, None, None) for n, each in enumerate(self.ids)]
        )
        event_id = self.world.event(after_crash=policy, strategy=strategy)
        self.campaign_id = self.world.campaign("", event_id=event_id, audience={"file_id": "fi_1"})
        self.behaviours: list[OutcomeKind] = []
        self.handed: Counter[str] = Counter()
        self.crash_at: int | None = None
        self.meddling: tuple[int, Callable[[], None]] | None = None
        self.world.provider.answer = self._answer
        self.workers = [self._worker(), self._worker()]
        self.world.launch(self.campaign_id)

    def _worker(self):
        store = Fragile(self.world.store)
        worker = self.world.worker(store, with_engine=False, lease_seconds=LEASE_SECONDS)
        return worker, store

    def _answer(self, message: Message) -> Outcome:
        kind = self.behaviours.pop() if self.behaviours else OutcomeKind.SENT
        destination = message.destinations[0]
        if kind in (OutcomeKind.SENT, OutcomeKind.UNKNOWN):
            with self.world.provider.lock:
                self.handed[destination] += 1
        self._meddle_if_it_is_time()
        if self.crash_at is not None:
            self.crash_at -= 1
            if self.crash_at <= 0:
                raise Crash
        return ACCEPTED if kind is OutcomeKind.SENT else Outcome(kind, "as told")

    def _meddle_if_it_is_time(self) -> None:
        do = None
        with self.world.provider.lock:
            if self.meddling is not None:
                left, what = self.meddling
                self.meddling = None if left <= 1 else (left - 1, what)
                do = what if left <= 1 else None
        if do is not None:
            do()

    # --- what people do ---

    @rule()
    def pause(self) -> None:
        with contextlib.suppress(Conflict):
            self.world.steering.pause(SPACE, self.campaign_id)

    @rule()
    def resume(self) -> None:
        with contextlib.suppress(Conflict):
            self.world.steering.resume(SPACE, self.campaign_id)

    @rule(sure=st.integers(0, 3))
    def cancel(self, sure: int) -> None:
        if sure == 0:
            with contextlib.suppress(Conflict):
                self.world.steering.cancel(SPACE, self.campaign_id)

    @rule()
    def restore_a_copy(self) -> None:
        self.world.steering.begin_epoch("this is a copy")

    # --- what workers do ---

    @rule(which=st.integers(0, 1), steps=st.integers(1, 3))
    def work(self, which: int, steps: int) -> None:
        worker, _ = self.workers[which]
        for _ in range(steps):
            worker.keep_lease()
            worker.do_chores()
            worker.prepare_one()
            worker.send_one()

    @rule(which=st.integers(0, 1), turns=st.integers(0, 9), after=st.booleans())
    def end_in_a_transaction(self, which: int, turns: int, *, after: bool) -> None:
        worker, store = self.workers[which]
        store.crashes_in, store.after = turns, after
        self._work_until_crash(which, worker)

    @rule(which=st.integers(0, 1), messages=st.integers(1, 12))
    def end_while_handing_over(self, which: int, messages: int) -> None:
        self.crash_at = messages
        self._work_until_crash(which, self.workers[which][0])
        self.crash_at = None

    def _work_until_crash(self, which: int, worker) -> None:
        try:
            self.work(which, 2)
        except Crash:
            worker._pool.shutdown()  # what was under way beside it is done, or never was
            self.workers[which] = self._worker()
        self.workers[which][1].crashes_in = None

    @rule(
        which=st.integers(0, 1),
        messages=st.integers(1, 12),
        what=st.sampled_from(["pause", "cancel", "begin_epoch"]),
    )
    def be_stopped_while_handing_over(self, which: int, messages: int, what: str) -> None:
        stopped: list[int] = []

        def stop() -> None:
            with contextlib.suppress(Conflict):
                if what == "begin_epoch":
                    self.world.steering.begin_epoch("this is a copy")
                else:
                    getattr(self.world.steering, what)(SPACE, self.campaign_id)
                stopped.append(sum(self.handed.values()))

        self.meddling = (messages, stop)
        self.work(which, 1)
        self.meddling = None
        if stopped:
            after = sum(self.handed.values()) - stopped[0]
            assert after < sending.MESSAGES_AT_ONCE, "only what was being handed over went on"

    @rule(which=st.integers(0, 1), messages=st.integers(1, 12), pages=st.integers(1, 3))
    def be_taken_for_dead_while_handing_over(self, which: int, messages: int, pages: int) -> None:
        """Its lease ends, another takes over and sends, and it has noticed nothing of that."""
        worker, other = self.workers[which][0], self.workers[1 - which][0]

        def take_over() -> None:
            self.world.wait(LEASE_SECONDS + 1)
            other.keep_lease()
            other.do_chores()
            for _ in range(pages):
                other.send_one()

        worker.keep_lease()
        worker.do_chores()
        worker.prepare_one()
        worker._leased_until = float("inf")
        self.meddling = (messages, take_over)
        worker.send_one()
        self.meddling = None

    @rule(which=st.integers(0, 1))
    def end_well(self, which: int) -> None:
        self.workers[which][0].keep_lease()
        self.workers[which][0]._threads.append(_Ended())
        self.workers[which][0].stop()
        self.workers[which] = self._worker()

    @rule(seconds=st.sampled_from([1, 10, 31, 120, 1_000]))
    def time_passes(self, seconds: int) -> None:
        self.world.wait(seconds)

    @rule(kinds=st.lists(st.sampled_from(list(OutcomeKind)), max_size=30))
    def providers_misbehave(self, kinds: list[OutcomeKind]) -> None:
        self.behaviours = kinds

    # --- what holds ---

    @invariant()
    def nobody_is_sent_to_twice(self) -> None:
        if not hasattr(self, "world") or self.policy == "resend":
            return
        assert all(number == 1 for number in self.handed.values()), self.handed

    @invariant()
    def the_ledger_never_says_sent_of_what_was_not(self) -> None:
        if not hasattr(self, "world"):
            return
        for row in self.world.deliveries(self.campaign_id):
            destination = f"{row.distinct_id}@x.test"
            if row.state is _S.SENT:
                assert self.handed[destination], row
            if row.state in UNSENT or (row.state is _S.PLANNED and self.policy == "hold"):
                assert not self.handed[destination], row

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self._finish()
        finally:
            for worker, _ in self.workers:
                worker._pool.shutdown()
            self.world.close()
            self.folder.cleanup()
            preparing.PAGE_DELIVERIES, sending.MESSAGES_AT_ONCE = self.usual

    def _finish(self) -> None:
        """In the end, when somebody lets it go on and nothing is in the way, everybody is accounted for."""
        self.behaviours, self.crash_at = [], None
        self.workers[0][1].crashes_in = None
        worker = self.workers[0][0]
        for _ in range(60):
            state = self.world.found(self.campaign_id)
            if state.state in (CampaignState.PAUSED, CampaignState.SCHEDULED):
                with contextlib.suppress(Conflict):
                    self.world.steering.resume(SPACE, self.campaign_id)
            self.world.run_out(worker)
            if self.world.found(self.campaign_id).state in (CampaignState.FINISHED, CampaignState.CANCELLED):
                break
            self.world.wait(600)
        found = self.world.found(self.campaign_id)
        assert found.state in (CampaignState.FINISHED, CampaignState.CANCELLED, CampaignState.FAILED), found
        rows = self.world.deliveries(self.campaign_id)
        if found.state is CampaignState.FINISHED:
            assert sorted(row.distinct_id for row in rows) == self.ids
            assert not [row for row in rows if row.state in OPEN]
        self.nobody_is_sent_to_twice()
        self.the_ledger_never_says_sent_of_what_was_not()
        for row in rows:
            if self.handed[f"{row.distinct_id}@x.test"]:
                assert row.state in (_S.SENT, _S.UNCONFIRMED, _S.SENDING, _S.FAILED), row


class _Ended:
    def join(self) -> None:
        pass


LedgerMachine.TestCase.settings = settings(
    max_examples=10 if ON_POSTGRES else 60,
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.reuse),
)
TestLedger = LedgerMachine.TestCase


def test_no_more_may_be_unconfirmed_than_is_handed_over_at_once() -> None:
    assert sending.MESSAGES_AT_ONCE <= 25
