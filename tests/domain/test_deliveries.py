"""Deliveries: every one ends once, callbacks come in any order, and retries end."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traitbase.domain.deliveries import (
    OPEN,
    RETRYING_SECONDS_MAX,
    UNSENT,
    DeliveryState,
    after_callback,
    after_crash,
    may_become,
    retry_at,
)

S = DeliveryState
NOW = datetime(2026, 6, 1, 10, tzinfo=UTC)
paths = st.lists(st.sampled_from(S), max_size=30)


def walked(states, state=S.PLANNED):
    """Return the states that a delivery goes through if it is asked to go through these."""
    path = [state]
    for each in states:
        if may_become(path[-1], each):
            path.append(each)
    return path


@given(paths)
def test_what_ended_unsent_stays_so_and_no_provider_was_called(states):
    path = walked(states)
    for number, state in enumerate(path):
        if state in UNSENT:
            assert path[number:] == [state]
            assert path[number - 1] is S.PLANNED


@given(paths)
def test_nothing_is_sent_that_was_not_written_down_as_being_sent_before(states):
    path = walked(states)
    for before, state in itertools.pairwise(path):
        if state in (S.SENT, S.DELIVERED, S.BOUNCED):
            assert before in (S.SENDING, S.UNCONFIRMED, S.SENT, S.DELIVERED)
        if state is S.SENDING:
            assert before is S.PLANNED


@given(paths)
def test_what_was_sent_is_never_planned_again(states):
    path = walked(states)
    for number, state in enumerate(path):
        if state in (S.SENT, S.DELIVERED, S.BOUNCED):
            assert not OPEN & set(path[number:])


@pytest.mark.parametrize("state", [S.SENDING, S.SENT, S.UNCONFIRMED, S.DELIVERED, S.BOUNCED])
@given(told=st.lists(st.sampled_from([S.DELIVERED, S.BOUNCED]), max_size=8), random=st.randoms(use_true_random=False))
def test_callbacks_in_any_order_and_number_come_to_the_same(state, told, random):
    def after(these):
        found = state
        for each in these:
            found = after_callback(found, each)
        return found

    mixed = [*told, *told]
    random.shuffle(mixed)
    assert after(told) == after(mixed)
    if S.BOUNCED in told:
        assert after(told) is S.BOUNCED


@pytest.mark.parametrize("state", [*sorted(UNSENT), S.PLANNED, S.FAILED])
@pytest.mark.parametrize("told", [S.DELIVERED, S.BOUNCED])
def test_a_callback_about_what_was_not_sent_changes_nothing(state, told):
    assert after_callback(state, told) is state


def test_what_was_being_sent_in_a_crash_is_left_to_a_person_unless_it_may_be_repeated():
    assert after_crash(is_sent_again=False) is S.UNCONFIRMED
    assert after_crash(is_sent_again=True) is S.PLANNED
    assert all(may_become(S.SENDING, after_crash(is_sent_again=each)) for each in (False, True))


@given(st.lists(st.floats(0, 1), min_size=1_000, max_size=1_000))
def test_retries_wait_longer_and_longer_and_end_within_a_day(chances):
    now, pauses = NOW, []
    for attempts, chance in enumerate(chances, start=1):
        at = retry_at(attempts, first_at=NOW, now=now, chance=chance)
        if at is None:
            break
        pauses.append((at - now).total_seconds())
        now = at
    assert now - NOW <= timedelta(seconds=RETRYING_SECONDS_MAX)
    assert len(pauses) < len(chances)
    assert all(15 <= pause <= 3_600 for pause in pauses)
    assert max(pauses[:3]) <= 120
    assert min(pauses[8:]) >= 1_800
