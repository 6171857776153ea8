"""A worker that is taken for dead while it is at a page, and has noticed nothing of that."""

from __future__ import annotations

import pytest

from support.campaigning import ACCEPTED, World
from traitbase.services.campaigns import preparing, sending


@pytest.mark.parametrize("policy", ["hold", "resend"])
@pytest.mark.parametrize("message_number", [1, 3, 7, 12])
def test_sends_nothing_that_the_other_one_sent(
    world: World, monkeypatch: pytest.MonkeyPatch, policy: str, message_number: int
) -> None:
    monkeypatch.setattr(sending, "MESSAGES_AT_ONCE", 5)
    monkeypatch.setattr(preparing, "PAGE_DELIVERIES", 15)
    ids = world.people(30)
    campaign_id = world.campaign(world.static_cohort(ids), event_id=world.event(after_crash=policy))
    slow, other = world.worker(), world.worker()
    world.launch(campaign_id)
    slow.keep_lease()
    slow.do_chores()
    while slow.prepare_one():
        pass
    handed: list[str] = []

    def answer(message):
        handed.append(message.destinations[0])
        if len(handed) == message_number:
            world.wait(40)
            other.keep_lease()
            other.do_chores()
            other.send_one()  # that page, and no other: the run goes on
        return ACCEPTED

    world.provider.answer = answer
    slow._leased_until = float("inf")
    while slow.send_one():
        pass
    world.run_out(other, seconds=60)
    times = world.provider.times()
    assert sorted(times) == sorted(f"{each}@x.test" for each in ids)
    at_once = sending.MESSAGES_AT_ONCE
    twice = [who for who, number in times.items() if number > 1]
    states = world.states(campaign_id)
    if policy == "hold":
        assert not twice
        assert states == {"sent": 30}, "what was found as being sent was sent after all, and that was written down"
    else:
        assert len(twice) <= at_once, "only what was being handed over, with the same id"
        assert states == {"sent": 30}
    assert world.found(campaign_id).state.value == "finished"
