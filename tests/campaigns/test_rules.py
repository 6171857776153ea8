"""Who is sent what: the audience as it was when the run began, everything else as it is right before the send."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from support.campaigning import ACCEPTED, SPACE, START_US, World
from traitbase.domain.attributes import Attributes, Choice, Preference
from traitbase.domain.campaigns import CampaignState, decode_campaign
from traitbase.domain.deliveries import DeliveryState
from traitbase.domain.destinations import Channel
from traitbase.domain.errors import Conflict, InvalidInput, Refused
from traitbase.domain.suppressions import SuppressionBody
from traitbase.services.campaigns import sending
from traitbase.services.campaigns.feedback import Feedback
from traitbase.services.campaigns.ports import Message, Outcome, OutcomeKind
from traitbase.services.campaigns.preparing import Audiences
from traitbase.services.campaigns.reporting import counts_of
from traitbase.services.campaigns.sealing import Vault, new_key
from traitbase.services.ports import ErasedPerson, Erasure, WriteSet
from traitbase.services.suppressions import suppress

HOUR = 3_600


def email_of(distinct_id: str) -> dict[str, str]:
    return {"email": f"{distinct_id}@x.test"}


def prepared(world: World, campaign_id: str):
    """Launch a campaign and resolve its audience, and send nothing yet."""
    world.launch(campaign_id)
    worker = world.worker()
    worker.keep_lease()
    worker.do_chores()
    assert worker.prepare_one()
    return worker


class TestTheAudience:
    def test_is_who_was_in_when_the_run_began(self, world: World) -> None:
        for each in ("in", "leaves"):
            world.person(each, email_of(each), name="x")
        world.person("joins", email_of("joins"))
        campaign_id = world.campaign(world.cohort({"rules": [{"field": "$name", "operator": "notNull"}]}))
        worker = prepared(world, campaign_id)
        world.person("joins", email_of("joins"), name="x")
        world.person("leaves", email_of("leaves"))
        world.run_out(worker)
        assert world.provider.times() == {"in@x.test": 1, "leaves@x.test": 1}

    def test_is_without_other_cohorts(self, world: World) -> None:
        ids = world.people(30)
        cohort_id = world.static_cohort(ids)
        others = [world.static_cohort(ids[:10]), world.static_cohort(ids[5:12])]
        campaign_id = world.campaign("", audience={"cohort_id": cohort_id, "exclude": others})
        world.launch(campaign_id)
        world.run_out(world.worker())
        assert sorted(world.provider.times()) == [f"{each}@x.test" for each in ids[12:]]

    def test_is_sampled_and_controlled_by_buckets(self, world: World) -> None:
        ids = world.people(400)
        campaign_id = world.campaign(world.static_cohort(ids), options={"control": 0.25, "sample": 0.5})
        world.launch(campaign_id)
        world.run_out(world.worker())
        (run,) = world.store.list_runs(SPACE, campaign_id, limit=10)
        assert run.members == 400
        sent = world.states(campaign_id)["sent"]
        assert 90 < sent < 210  # three eighths, as the buckets happen to be
        again = world.campaign(world.static_cohort(ids), options={"control": 0.25, "sample": 0.5})
        before = set(world.provider.times())
        world.launch(again)
        world.run_out(world.worker())
        assert set(world.provider.times()) == before, "the same people are in the sample"

    @pytest.mark.parametrize("options", [{}, {"control": 0.25}, {"sample": 0.5}, {"control": 0.1, "sample": 0.01}])
    def test_is_counted_ahead_as_it_is_resolved(self, world: World, options: dict[str, float]) -> None:
        ids = world.people(300)
        audience = {"cohort_id": world.static_cohort(ids), "exclude": [world.static_cohort(ids[:50])]}
        campaign_id = world.campaign("", audience=audience, options=options)
        audiences = Audiences(world.store, world.asking, lambda: world.now)
        counted = audiences.count(SPACE, decode_campaign(world.found(campaign_id).document))
        world.launch(campaign_id)
        world.run_out(world.worker())
        (run,) = world.store.list_runs(SPACE, campaign_id, limit=10)
        assert counts_of(run) == counted
        assert counted.members == 250
        assert sum(world.states(campaign_id).values()) == 250 - counted.control - counted.outside

    @pytest.mark.parametrize(("expected", "is_held"), [(20, False), (22, False), (23, True), (18, True), (0, True)])
    def test_that_is_not_as_large_as_expected_is_held(self, world: World, expected: int, *, is_held: bool) -> None:
        campaign_id = world.campaign(world.static_cohort(world.people(20)))
        world.launch(campaign_id, expected, 0.1)
        world.run_out(world.worker())
        row = world.found(campaign_id)
        assert row.state is (CampaignState.PAUSED if is_held else CampaignState.FINISHED)
        assert len(world.provider.taken) == (0 if is_held else 20)
        if is_held:
            assert f"and {expected} were expected" in (row.held or "")
            world.steering.resume(SPACE, campaign_id)
            world.run_out(world.worker())
            assert len(world.provider.taken) == 20

    def test_that_is_empty_finishes(self, world: World) -> None:
        campaign_id = world.campaign(world.static_cohort([]))
        world.launch(campaign_id)
        world.run_out(world.worker())
        assert world.found(campaign_id).state is CampaignState.FINISHED


class TestRightBeforeTheSend:
    def test_whoever_may_not_get_it_by_then_does_not(self, world: World) -> None:
        for each in ("fine", "gone", "off", "opted-out", "suppressed", "at-address", "moved", "no-address"):
            world.person(each, email_of(each))
        campaign_id = world.campaign(world.static_cohort(
            ["fine", "gone", "off", "opted-out", "suppressed", "at-address", "moved", "no-address"]
        ))  # fmt: skip
        worker = prepared(world, campaign_id)
        world.forget("gone")
        world.person("off", email_of("off"), status=0)
        choice = {"all": {"email": Preference(Choice.OPTED_OUT, world.now)}}
        world.person("opted-out", email_of("opted-out"), preferences=choice)
        for number, body in enumerate(
            (
                SuppressionBody(Channel.EMAIL, "suppressed", None, None, None),
                SuppressionBody(Channel.EMAIL, None, "at-address@X.test", None, None),
            )
        ):
            suppress(
                world.store, SPACE.workspace_id, body, now_us=world.now, new_id=lambda number=number: f"{number:024}"
            )
        world.person("moved", {"email": "elsewhere@x.test"})
        world.person("no-address", {})
        world.run_out(worker)
        assert world.provider.times() == {"fine@x.test": 1, "elsewhere@x.test": 1}
        assert world.states(campaign_id) == {
            "sent": 2,
            "no_destination/profile_deleted": 1,
            "no_destination/no_destination": 1,
            "inactive/inactive": 1,
            "opted_out/opted_out": 1,
            "suppressed/suppressed": 2,
        }
        assert world.found(campaign_id).state is CampaignState.FINISHED

    def test_whoever_became_one_person_gets_one_message(self, world: World) -> None:
        for each in ("a", "b", "c"):
            world.person(each, email_of(each))
        campaign_id = world.campaign(world.static_cohort(["a", "b", "c"]))
        worker = prepared(world, campaign_id)
        world.alias("a", "b", Attributes(channel=email_of("b"), aliases=("a",)), {})
        world.run_out(worker)
        assert world.provider.times() == {"b@x.test": 1, "c@x.test": 1}
        assert world.states(campaign_id) == {"sent": 2, "skipped/merged": 1}

    def test_whoever_is_erased_is_forgotten_and_the_report_adds_up(self, world: World) -> None:
        ids = world.people(5)
        campaign_id = world.campaign(world.static_cohort(ids))
        worker = prepared(world, campaign_id)
        person = ErasedPerson(("p-00002",), ())
        rows = WriteSet(erasures=[Erasure(SPACE, "r-1", world.now, "key", (person,))], must_hold=True)
        world._save(rows)
        world.forget("p-00002")
        world.run_out(worker)
        assert world.states(campaign_id) == {"sent": 4, "skipped/erased": 1}
        assert not [row for row in world.deliveries(campaign_id) if "p-00002" in str(row)]
        assert world.found(campaign_id).state is CampaignState.FINISHED

    def test_at_most_so_many_marketing_messages_in_so_many_days(self, world: World) -> None:
        ids = world.people(10)
        cap = {"cap": {"messages": 2, "days": 7}}
        for day in (0, 1, 2):
            campaign_id = world.campaign(world.static_cohort(ids), options=cap)
            world.launch(campaign_id)
            world.run_out(world.worker())
            assert world.states(campaign_id) == ({"sent": 10} if day < 2 else {"capped/capped": 10})
            world.wait(24 * HOUR)
        world.wait(5 * 24 * HOUR)
        campaign_id = world.campaign(world.static_cohort(ids), options=cap)
        world.launch(campaign_id)
        world.run_out(world.worker())
        assert world.states(campaign_id) == {"sent": 10}

    def test_a_transactional_message_ignores_choices_about_marketing(self, world: World) -> None:
        choice = {"all": {"email": Preference(Choice.OPTED_OUT, world.now)}}
        world.person("a", email_of("a"), preferences=choice)
        campaign_id = world.campaign(world.static_cohort(["a"]), event_id=world.event(type="transactional"))
        world.launch(campaign_id)
        world.run_out(world.worker())
        assert world.states(campaign_id) == {"sent": 1}

    def test_the_first_channel_that_reaches_somebody_is_taken(self, world: World) -> None:
        world.person("both", {**email_of("both"), "sms": "+491701234567"})
        world.person("mail", email_of("mail"))
        world.person("none")
        text = {"integration_id": world.integration_id, "text": "Hi"}
        channels = {"sms": text, "email": {**text, "subject": "Hi"}}
        event_id = world.event(channels=channels, strategy="first_available")
        campaign_id = world.campaign(world.static_cohort(["both", "mail", "none"]), event_id=event_id)
        world.launch(campaign_id)
        world.run_out(world.worker())
        assert world.provider.times() == {"+491701234567": 1, "mail@x.test": 1}
        assert [(row.distinct_id, row.via) for row in world.deliveries(campaign_id)] == [
            ("both", "sms"),
            ("mail", "email"),
            ("none", "sms"),
        ]

    def test_unknown_variables_are_empty_or_a_reason_to_skip(self, world: World) -> None:
        world.person("a", email_of("a"), {"plan": "pro"})
        world.person("b", email_of("b"))
        for on_unknown, states in (("empty", {"sent": 2}), ("skip", {"sent": 1, "skipped/unknown_variable": 1})):
            email = {"integration_id": world.integration_id, "subject": "x", "text": "{{ properties.plan }}"}
            event_id = world.event(channels={"email": email}, on_unknown=on_unknown)
            campaign_id = world.campaign(world.static_cohort(["a", "b"]), event_id=event_id)
            world.launch(campaign_id)
            world.run_out(world.worker())
            assert world.states(campaign_id) == states

    @pytest.mark.parametrize(
        ("template", "told"),
        [
            ("{% for i in (1..100000000) %}x{% endfor %}", "rounds"),
            ("{% assign x = 'ab' %}{% for i in (1..9000) %}{% assign x = x | append: x %}{% endfor %}", ""),
            ("{{ properties.plan | plus: 1 | date: '%Y' }}", ""),
        ],
    )
    def test_a_template_that_goes_too_far_stops_nobody_else(self, world: World, template: str, told: str) -> None:
        world.person("a", email_of("a"), {"plan": "pro"})
        email = {
            "integration_id": world.integration_id,
            "subject": "x",
            "text": f"{{% if profile.name %}}{template}{{% endif %}}.",
        }
        world.person("b", email_of("b"), name="B")
        campaign_id = world.campaign(world.static_cohort(["a", "b"]), event_id=world.event(channels={"email": email}))
        world.launch(campaign_id)
        world.run_out(world.worker())
        rows = {row.distinct_id: row for row in world.deliveries(campaign_id)}
        assert rows["a"].state.value == "sent"
        assert rows["b"].state.value in ("skipped", "sent")
        assert told in (rows["b"].detail or "")

    def test_a_name_is_escaped_and_begins_no_header(self, world: World) -> None:
        world.person("a", email_of("a"), name="<b>A</b>\r\nBcc: victim@x.test")
        email = {
            "integration_id": world.integration_id,
            "subject": "Hi {{ profile.name }}",
            "html": "<p>{{ profile.name }}</p>",
        }
        campaign_id = world.campaign(world.static_cohort(["a"]), event_id=world.event(channels={"email": email}))
        world.launch(campaign_id)
        world.run_out(world.worker())
        (message,) = world.provider.taken
        assert message.subject == "Hi <b>A</b> Bcc: victim@x.test"
        assert "<p>&lt;b&gt;A&lt;/b&gt;" in (message.html or "")


class TestTime:
    def test_quiet_hours_wait_or_drop_in_the_recipients_zone(self, world: World) -> None:
        # 2026-09-21 14:13 UTC: 16:13 in Berlin, 23:13 in Tokyo.
        assert datetime.fromtimestamp(world.now / 1e6, UTC).hour == 14
        world.person("here", email_of("here"))
        world.person("tokyo", email_of("tokyo"), timezone="Asia/Tokyo")
        quiet = {"from": "22:00", "to": "08:00"}
        for then, first in (("delay", {"sent": 1, "planned": 1}), ("drop", {"sent": 1, "skipped/quiet_hours": 1})):
            options = {"quiet_hours": {**quiet, "then": then}}
            campaign_id = world.campaign(world.static_cohort(["here", "tokyo"]), options=options)
            world.launch(campaign_id)
            worker = world.worker()
            world.run_out(worker)
            assert world.states(campaign_id) == first
            if then == "delay":
                world.run_out(worker, seconds=9 * HOUR, step=600)
                assert world.states(campaign_id) == {"sent": 2}
                at_us = world.deliveries(campaign_id)[1].handed_at_us or 0
                assert 8 * 60 <= (at_us - START_US) / 60e6 < 9 * 60  # at eight in Tokyo
                world.now = START_US

    def test_a_local_time_comes_in_each_zone_and_strange_zones_are_counted(self, world: World) -> None:
        zones = {"apia": "Pacific/Apia", "kolkata": "Asia/Kolkata", "old": "Asia/Calcutta", "la": "America/Los_Angeles"}
        for each, zone in zones.items():
            world.person(each, email_of(each), timezone=zone)
        world.person("none", email_of("none"))
        world._write("mars", Attributes(channel=email_of("mars"), timezone="Mars/X"), {})
        everybody = [*zones, "none", "mars"]
        campaign_id = world.campaign(
            world.static_cohort(everybody), schedule={"kind": "local", "local": "2026-09-23T10:00"}
        )
        world.launch(campaign_id)
        worker = world.worker()
        world.run_out(worker, seconds=4 * 24 * HOUR, step=HOUR / 2)
        assert world.states(campaign_id) == {"sent": 6}
        handed = {
            row.distinct_id: datetime.fromtimestamp((row.handed_at_us or 0) / 1e6, UTC)
            for row in world.deliveries(campaign_id)
        }
        due = {
            "apia": datetime(2026, 9, 22, 21, tzinfo=UTC),
            "kolkata": datetime(2026, 9, 23, 4, 30, tzinfo=UTC),
            "old": datetime(2026, 9, 23, 4, 30, tzinfo=UTC),
            "none": datetime(2026, 9, 23, 8, tzinfo=UTC),
            "mars": datetime(2026, 9, 23, 8, tzinfo=UTC),
            "la": datetime(2026, 9, 23, 17, tzinfo=UTC),
        }
        assert all(0 <= (handed[each] - due[each]).total_seconds() <= HOUR / 2 for each in everybody)
        (run,) = world.store.list_runs(SPACE, campaign_id, limit=10)
        assert '"zones_replaced":2' in (run.counts or "")

    def test_a_recurring_campaign_keeps_its_local_time_across_a_change_of_the_clocks(self, world: World) -> None:
        world.people(3)
        schedule = {"kind": "recurring", "rule": "FREQ=WEEKLY", "local": "2026-10-18T02:30", "zone": "Europe/Berlin"}
        campaign_id = world.campaign(world.static_cohort([f"p-{n:05}" for n in range(3)]), schedule=schedule)
        world.launch(campaign_id)
        worker = world.worker()
        world.run_out(worker, seconds=45 * 24 * HOUR, step=HOUR)
        runs = world.store.list_runs(SPACE, campaign_id, limit=10)
        times = [datetime.fromtimestamp(run.planned_at_us / 1e6, UTC) for run in reversed(runs)]
        # The last Sunday of October has 02:30 twice: the first of them counts, and only that.
        assert times == [
            datetime(2026, 10, 18, 0, 30, tzinfo=UTC),
            datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
            datetime(2026, 11, 1, 1, 30, tzinfo=UTC),
        ]
        assert world.states(campaign_id) == {"sent": 9}

    def test_what_is_late_by_more_than_an_hour_waits_for_a_person(self, world: World) -> None:
        world.people(3)
        at = datetime.fromtimestamp(world.now / 1e6 + HOUR, UTC).isoformat()
        campaign_id = world.campaign(world.static_cohort(["p-00000"]), schedule={"kind": "at", "at": at})
        world.launch(campaign_id)
        world.wait(3 * HOUR)
        worker = world.worker()
        world.run_out(worker)
        row = world.found(campaign_id)
        assert (row.state, len(world.provider.taken)) == (CampaignState.SCHEDULED, 0)
        assert "more than an hour ago" in (row.held or "")
        world.steering.resume(SPACE, campaign_id)
        world.run_out(worker)
        assert world.states(campaign_id) == {"sent": 1}

    def test_what_was_interrupted_for_more_than_an_hour_waits_for_a_person(self, world: World) -> None:
        world.people(40)
        campaign_id = world.campaign(world.static_cohort([f"p-{n:05}" for n in range(40)]), options={"rate": 1})
        world.launch(campaign_id)
        world.run_out(world.worker(), seconds=5)
        sent = len(world.provider.taken)
        assert 0 < sent < 40
        world.wait(2 * HOUR)
        worker = world.worker()
        world.run_out(worker, seconds=60)
        row = world.found(campaign_id)
        assert (row.state, len(world.provider.taken)) == (CampaignState.PAUSED, sent)
        assert "interrupted" in (row.held or "")
        world.steering.resume(SPACE, campaign_id)
        world.run_out(worker, seconds=60)
        assert world.states(campaign_id) == {"sent": 40}

    def test_a_restored_copy_sends_nothing_by_itself(self, world: World) -> None:
        world.people(40)
        everybody = [f"p-{n:05}" for n in range(40)]
        running = world.campaign(world.static_cohort(everybody), options={"rate": 1})
        at = datetime.fromtimestamp(world.now / 1e6 + 10, UTC).isoformat()
        planned = world.campaign(world.static_cohort(everybody), schedule={"kind": "at", "at": at})
        for each in (running, planned):
            world.launch(each)
        world.run_out(world.worker(), seconds=3)
        sent = len(world.provider.taken)
        world.steering.begin_epoch("a backup was restored")
        worker = world.worker()
        world.run_out(worker, seconds=60)
        assert len(world.provider.taken) == sent
        assert {world.found(each).state.value for each in (running, planned)} == {"paused", "scheduled"}
        for each in (running, planned):
            world.steering.resume(SPACE, each)
        world.run_out(worker, seconds=60)
        assert world.states(running) == world.states(planned) == {"sent": 40}

    def test_a_time_that_passed_cannot_be_launched(self, world: World) -> None:
        schedule = {"kind": "at", "at": "2020-01-01T10:00:00Z"}
        campaign_id = world.campaign(world.static_cohort([]), schedule=schedule)
        with pytest.raises(InvalidInput, match="more than an hour ago"):
            world.launch(campaign_id)

    def test_a_rate_is_kept_by_all_workers_together(self, world: World) -> None:
        ids = world.people(60)
        campaign_id = world.campaign(world.static_cohort(ids), options={"rate": 10})
        world.launch(campaign_id)
        workers = [world.worker(), world.worker()]
        for _ in range(3):
            for worker in workers:
                world.run_out(worker)
            world.wait(1)
        assert 20 <= len(world.provider.taken) <= 41


class TestProviders:
    def run(self, world: World, answer, people: int = 200, **event) -> str:
        ids = world.people(people)
        campaign_id = world.campaign(world.static_cohort(ids), event_id=world.event(**event))
        world.provider.answer = answer
        world.launch(campaign_id)
        return campaign_id

    def test_one_in_a_hundred_that_is_put_off_comes_later(self, world: World) -> None:
        put_off: set[str] = set()

        def answer(message: Message) -> Outcome:
            who = message.destinations[0]
            if who.endswith("7@x.test") and who not in put_off:
                put_off.add(who)
                return Outcome(OutcomeKind.DEFERRED, "451 try later")
            return ACCEPTED

        campaign_id = self.run(world, answer)
        worker = world.worker()
        world.run_out(worker)
        assert world.states(campaign_id) == {"sent": 180, "planned/deferred": 20}
        assert world.found(campaign_id).state is CampaignState.RUNNING
        world.run_out(worker, seconds=120, step=5)
        assert world.states(campaign_id) == {"sent": 200}

    def test_one_that_is_put_off_for_a_day_fails(self, world: World) -> None:
        campaign_id = self.run(world, lambda _m: Outcome(OutcomeKind.DEFERRED, "451 no"), people=3)
        worker = world.worker()
        world.run_out(worker, seconds=30 * HOUR, step=600)
        assert world.states(campaign_id) == {"failed/gave_up": 3}
        assert world.found(campaign_id).state is CampaignState.FINISHED

    def test_who_is_rejected_stops_nobody_else(self, world: World) -> None:
        def answer(message: Message) -> Outcome:
            bad = message.destinations[0].endswith("3@x.test")
            return Outcome(OutcomeKind.REJECTED, "550 no such user") if bad else ACCEPTED

        campaign_id = self.run(world, answer)
        world.run_out(world.worker())
        assert world.states(campaign_id) == {"sent": 180, "failed/rejected": 20}

    def test_a_provider_that_is_away_for_a_minute_delays(self, world: World) -> None:
        back_at = world.now + 60_000_000

        def answer(_message: Message) -> Outcome:
            return ACCEPTED if world.now >= back_at else Outcome(OutcomeKind.UNREACHABLE, "connection refused")

        campaign_id = self.run(world, answer)
        world.run_out(world.worker(), seconds=180)
        assert world.states(campaign_id) == {"sent": 200}
        assert set(world.provider.times().values()) == {1}

    def test_a_provider_that_stays_away_pauses_the_run_with_a_reason(self, world: World) -> None:
        campaign_id = self.run(world, lambda _m: Outcome(OutcomeKind.UNREACHABLE, "connection refused"))
        worker = world.worker()
        world.run_out(worker, seconds=400, step=2)
        row = world.found(campaign_id)
        assert row.state is CampaignState.PAUSED
        assert "connection refused" in (row.held or "")
        assert {row.state.value for row in world.deliveries(campaign_id)} == {"planned"}
        world.provider.answer = lambda _m: ACCEPTED
        world.steering.resume(SPACE, campaign_id)
        world.run_out(worker, seconds=60)
        assert world.states(campaign_id) == {"sent": 200}

    def test_a_provider_that_refuses_the_login_pauses_the_run_at_once(self, world: World) -> None:
        campaign_id = self.run(world, lambda _m: Outcome(OutcomeKind.MISCONFIGURED, "535 no"))
        world.run_out(world.worker(), seconds=10)
        assert world.found(campaign_id).state is CampaignState.PAUSED

    def test_a_provider_that_rejects_everybody_pauses_the_run(self, world: World) -> None:
        campaign_id = self.run(world, lambda _m: Outcome(OutcomeKind.REJECTED, "550 blocked"), people=400)
        world.run_out(world.worker(), seconds=10)
        row = world.found(campaign_id)
        assert row.state is CampaignState.PAUSED
        assert "in a row" in (row.held or "")
        assert world.states(campaign_id)["failed/rejected"] < 200

    @pytest.mark.parametrize(("policy", "state"), [("hold", "unconfirmed/no_answer"), ("resend", "sent")])
    def test_one_that_nobody_answered_for_goes_by_the_events_policy(
        self, world: World, policy: str, state: str
    ) -> None:
        unanswered: set[str] = set()

        def answer(message: Message) -> Outcome:
            who = message.destinations[0]
            if who == "p-00001@x.test" and who not in unanswered:
                unanswered.add(who)
                return Outcome(OutcomeKind.UNKNOWN, "no answer")
            return ACCEPTED

        campaign_id = self.run(world, answer, people=3, after_crash=policy)
        world.run_out(world.worker(), seconds=60)
        assert world.states(campaign_id) == ({"sent": 2, state: 1} if policy == "hold" else {"sent": 3})
        assert world.provider.times()["p-00001@x.test"] == (1 if policy == "hold" else 2)
        ids = {message.delivery_id for message in world.provider.taken if message.destinations[0] == "p-00001@x.test"}
        assert len(ids) == 1, "sent again with the same id"


def test_states_that_do_not_follow_one_another_are_refused(world: World) -> None:
    campaign_id = world.campaign(world.static_cohort(world.people(2)))
    steering = world.steering
    for step in (steering.pause, steering.resume, steering.skip, steering.unschedule):
        with pytest.raises(Conflict, match="the campaign is draft"):
            step(SPACE, campaign_id)
    world.launch(campaign_id)
    with pytest.raises(Conflict, match="scheduled"):
        world.launch(campaign_id)
    world.run_out(world.worker())
    for step in (steering.pause, steering.resume, steering.cancel, steering.unschedule):
        with pytest.raises(Conflict, match="the campaign is finished"):
            step(SPACE, campaign_id)
    with pytest.raises(Conflict):
        steering.delete(SPACE, campaign_id)


def test_a_cancelled_campaign_says_of_everybody_what_became_of_them(world: World) -> None:
    campaign_id = world.campaign(world.static_cohort(world.people(50)), options={"rate": 1})
    world.launch(campaign_id)
    worker = world.worker()
    world.run_out(worker, seconds=3)
    world.steering.cancel(SPACE, campaign_id)
    world.run_out(worker, seconds=10)
    states = world.states(campaign_id)
    assert sum(states.values()) == 50
    assert states == {"sent": len(world.provider.taken), "cancelled/cancelled": 50 - len(world.provider.taken)}


def test_what_may_have_been_sent_is_not_said_to_be_cancelled(world: World) -> None:
    campaign_id = world.campaign(world.static_cohort(world.people(3)), event_id=world.event(after_crash="resend"))
    world.provider.answer = lambda _message: Outcome(OutcomeKind.UNKNOWN, "no answer")
    world.launch(campaign_id)
    world.run_out(world.worker())
    assert world.states(campaign_id) == {"planned/unknown": 3}
    world.steering.cancel(SPACE, campaign_id)
    assert world.states(campaign_id) == {"unconfirmed/no_answer": 3}


def test_what_nothing_carries_any_more_fails_and_does_not_go_round_for_ever(world: World) -> None:
    world.integration_id = world.integrate({"name": "for a while", "kind": "sandbox", "settings": {}})
    campaign_id = world.campaign(world.static_cohort(world.people(30)))
    worker = prepared(world, campaign_id)
    world.store.delete_integration(SPACE, world.integration_id)
    world.run_out(worker)
    assert world.states(campaign_id) == {"failed/integration_missing": 30}
    assert world.found(campaign_id).state is CampaignState.FINISHED


def test_what_is_known_is_written_down_after_a_moment_in_which_nothing_can_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_SETTLED_AGAIN_SECONDS", (0.0, 0.0))
    campaign_id = world.campaign(world.static_cohort(world.people(10)))
    worker = prepared(world, campaign_id)
    turns, usual = [0], world.store.turn

    def turn():
        turns[0] += 1
        if turns[0] == 3:  # the claim, the mark, and then what became of it
            raise Refused("the disk is full", code="store_unavailable")
        return usual()

    monkeypatch.setattr(world.store, "turn", turn)
    with pytest.raises(Refused):
        worker.send_one()
    monkeypatch.setattr(world.store, "turn", usual)
    assert world.states(campaign_id) == {"sent": 10}
    world.run_out(worker, seconds=5)  # its page is an orphan, and is found
    assert world.found(campaign_id).state is CampaignState.FINISHED
    assert set(world.provider.times().values()) == {1}


@pytest.mark.parametrize(
    ("state", "states", "times"),
    [
        (DeliveryState.SENT, {"sent": 2, "sent/resolved": 1}, 1),
        (DeliveryState.FAILED, {"sent": 2, "failed/resolved": 1}, 1),
        (DeliveryState.PLANNED, {"sent": 3}, 2),
    ],
)
def test_a_person_decides_about_what_nobody_knows(
    world: World, state: DeliveryState, states: dict[str, int], times: int
) -> None:
    campaign_id = world.campaign(world.static_cohort(world.people(3)))
    odd = "p-00001@x.test"
    world.provider.answer = lambda message: (
        Outcome(OutcomeKind.UNKNOWN, "no answer")
        if message.destinations[0] == odd and not world.provider.times()[odd]
        else ACCEPTED
    )
    world.launch(campaign_id)
    worker = world.worker()
    world.run_out(worker)
    assert world.states(campaign_id) == {"sent": 2, "unconfirmed/no_answer": 1}
    (row,) = [each for each in world.deliveries(campaign_id) if each.state is DeliveryState.UNCONFIRMED]
    feedback = Feedback(world.store, lambda: world.now, lambda: "0" * 24)
    feedback.resolve(SPACE, row.delivery_id, state)
    with pytest.raises(InvalidInput, match="only one that is unconfirmed"):
        feedback.resolve(SPACE, row.delivery_id, state)
    world.run_out(worker)
    assert world.states(campaign_id) == states
    assert world.provider.times()[odd] == times
    assert all(run.state.value == "finished" for run in world.store.list_runs(SPACE, campaign_id, limit=5))


def test_secrets_that_were_sealed_with_another_key_pause_the_run_and_fail_nobody(world: World) -> None:
    body = {"name": "sealed", "kind": "sandbox", "settings": {}, "secrets": {"signing_secret": "whsec"}}
    world.integration_id = world.integrate(body)
    campaign_id = world.campaign(world.static_cohort(world.people(30)))
    world.launch(campaign_id)
    usual, world.vault = world.vault, Vault([new_key()])
    world.run_out(world.worker(), seconds=20)
    row = world.found(campaign_id)
    assert row.state is CampaignState.PAUSED
    assert "encrypted with another key" in (row.held or "")
    assert {each.state.value for each in world.deliveries(campaign_id)} == {"planned"}
    world.vault = usual
    world.steering.resume(SPACE, campaign_id)
    world.run_out(world.worker(), seconds=60)
    assert world.states(campaign_id) == {"sent": 30}
