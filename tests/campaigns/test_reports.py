"""What users of comparable systems reported, and does not happen here. Numbers are those of the list of reports."""

from __future__ import annotations

import pytest

from support.campaigning import ACCEPTED, SPACE, World
from traitbase.domain.campaigns import CampaignState
from traitbase.domain.cohorts import MemberMode
from traitbase.services.campaigns.ports import Message, Outcome, OutcomeKind
from traitbase.services.campaigns.reporting import report_of


def email_of(distinct_id: str) -> dict[str, str]:
    return {"email": f"{distinct_id}@x.test"}


def test_i67_a_provider_that_drops_and_five_pauses_leave_each_with_exactly_one(world: World) -> None:
    ids = world.people(1_500)
    campaign_id = world.campaign(world.static_cohort(ids), options={"rate": 200})
    dropped = 0

    def answer(_message: Message) -> Outcome:
        nonlocal dropped
        if len(world.provider.taken) >= 800 and dropped < 60:
            dropped += 1
            return Outcome(OutcomeKind.UNREACHABLE, "connection reset")
        return ACCEPTED

    world.provider.answer = answer
    world.launch(campaign_id)
    worker = world.worker()
    for _ in range(5):
        world.run_out(worker, seconds=1)
        world.steering.pause(SPACE, campaign_id)
        world.run_out(worker, seconds=1)
        world.steering.resume(SPACE, campaign_id)
    world.run_out(worker, seconds=90)
    assert dropped
    assert world.states(campaign_id) == {"sent": 1_500}
    assert set(world.provider.times().values()) == {1}


def test_i68_a_first_page_in_which_nobody_can_be_reached_does_not_end_it(world: World) -> None:
    for number in range(1_200):
        each = f"p-{number:05}"
        world.person(each, email_of(each), status=0 if number < 700 else 1)
    campaign_id = world.campaign(world.static_cohort([f"p-{number:05}" for number in range(1_200)]))
    world.launch(campaign_id)
    world.run_out(world.worker())
    assert world.states(campaign_id) == {"inactive/inactive": 700, "sent": 500}
    assert world.found(campaign_id).state is CampaignState.FINISHED


@pytest.mark.parametrize("zone", ["Asia/Calcutta", "GMT+5", "", "Mars/X"])
def test_i72_a_zone_that_is_none_costs_nobody_their_message(world: World, zone: str) -> None:
    world.person("good", email_of("good"), timezone="Asia/Kolkata")
    world.person("strange", email_of("strange"), timezone=zone)
    schedule = {"kind": "local", "local": "2026-09-23T10:00"}
    campaign_id = world.campaign(world.static_cohort(["good", "strange"]), schedule=schedule)
    world.launch(campaign_id)
    world.run_out(world.worker(), seconds=3 * 86_400, step=3_600)
    assert world.states(campaign_id) == {"sent": 2}


def test_i77_a_report_is_of_who_was_sent_it_and_not_of_who_is_in_the_cohort_now(world: World) -> None:
    ids = world.people(20)
    cohort_id = world.static_cohort(ids)
    campaign_id = world.campaign(cohort_id)
    world.launch(campaign_id)
    world.run_out(world.worker())

    world.store.change_members(SPACE, cohort_id, MemberMode.REPLACE, ids[:3])
    (run,) = world.store.list_runs(SPACE, campaign_id, limit=10)
    report = report_of(world.store, SPACE, run)
    assert (report.total.planned, report.total.sent, report.run.members) == (20, 20, 20)
    assert sum(number for _, _, number in report.hours) == 20
    assert report.zone == "Europe/Berlin"
