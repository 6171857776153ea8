"""Campaigns from launch to end, step by step: who gets what, and what is written down of each."""

from __future__ import annotations

from support.campaigning import World
from traitbase.domain.campaigns import CampaignState


def test_everybody_gets_one_message(world: World) -> None:
    ids = world.people(1_203)
    campaign_id = world.campaign(world.static_cohort(ids))
    world.launch(campaign_id)
    world.run_out(world.worker())
    assert world.states(campaign_id) == {"sent": 1_203}
    assert world.provider.times() == {f"{each}@x.test": 1 for each in ids}
    assert world.found(campaign_id).state is CampaignState.FINISHED
