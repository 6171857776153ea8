"""Batches: gathered in order, sent at their bounds, nothing twice and nothing lost without being told."""

from __future__ import annotations

import threading
import uuid
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.receiver import Reply, accepted, cut, in_turn, refusing
from traitbase.client import BatchNotSent, ClientError, InvalidRequest, InvalidValue, Unavailable
from traitbase.client.batching import Batch, Bounds
from traitbase.client.retrying import REAL
from traitbase.client.values import Conversion
from traitbase.domain.updates import Operation

DOWN = refusing(503, "down")


def numbers_in(request) -> list[int]:
    """Return what was set, item by item, in a request of items `$set n`."""
    return [item["action"]["$set"]["n"] for item in request.json["batch"]]


def test_it_sends_all_six_operations_in_order(client, me):
    with client.batch() as batch:
        batch.set(me, {"plan": "free", "gone": 1})
        batch.set_once(me, {"plan": "pro", "first": True})
        batch.add(me, {"n": 1})
        batch.append(me, {"tags": "a"})
        batch.append(me, {"tags": "b"})
        batch.remove(me, {"tags": "a"})
        batch.unset(me, ["gone"])
        batch.add(me, {"n": 2})
        assert client.find_profile(me) is None
    assert client.get_profile(me).properties == {"plan": "free", "first": True, "n": 3, "tags": ["b"]}
    (request_id,) = batch.request_ids
    assert len(client.receipt(request_id).items) == 8


def test_it_sends_when_so_many_are_gathered(receiver, client_of):
    with client_of(batch_size=3).batch() as batch:
        for number in range(7):
            batch.set("u", {"n": number})
        assert [numbers_in(request) for request in receiver.requests] == [[0, 1, 2], [3, 4, 5]]
    assert numbers_in(receiver.requests[2]) == [6]
    assert [request.path for request in receiver.requests] == ["/v1/north/live/profiles/properties/batch"] * 3


def test_it_sends_when_so_many_bytes_are_gathered(receiver, client_of):
    with client_of(batch_bytes=1_000).batch() as batch:
        for number in range(60):
            batch.set("u", {"n": number})
    sizes = [len(request.body) for request in receiver.requests]
    assert max(sizes) <= 1_000 + len('{"batch":[]}')
    assert [number for request in receiver.requests for number in numbers_in(request)] == list(range(60))
    assert len(sizes) == 3


def test_it_sends_by_itself_an_update_that_is_larger_than_the_bound(receiver, client_of):
    with client_of(batch_bytes=100).batch() as batch:
        batch.set("u", {"n": 1})
        batch.set("u", {"n": 2, "text": "x" * 200})
        batch.set("u", {"n": 3})
    assert [numbers_in(request) for request in receiver.requests] == [[1], [2], [3]]


def test_it_sends_when_the_oldest_is_old_enough(receiver, client_of):
    client = client_of(batch_seconds=0.01, surroundings=REAL)
    batch = client.batch()
    for number in range(3):
        batch.set("u", {"n": number})
        assert receiver.came.acquire(timeout=30)
    assert [numbers_in(request) for request in receiver.requests] == [[0], [1], [2]]


def test_it_has_one_thread_at_most_and_none_when_closed(client_of):
    batch = client_of().batch()
    assert _threads() == 0
    for number in range(10):
        batch.set("u", {"n": number})
    assert _threads() == 1
    batch.close()
    for thread in threading.enumerate():
        if thread.name == "traitbase-batch":
            thread.join(30)
    assert _threads() == 0


def test_it_sends_nothing_when_nothing_was_given(receiver, client_of):
    with client_of().batch() as batch:
        batch.flush()
    assert receiver.requests == []


def test_it_refuses_a_value_at_the_call_and_keeps_the_rest(receiver, client_of):
    with client_of().batch() as batch:
        batch.set("u", {"n": 1})
        with pytest.raises(InvalidValue, match=r"\$set.n"):
            batch.set("u", {"n": None})
        batch.set("u", {"n": 2})
    assert [numbers_in(request) for request in receiver.requests] == [[1, 2]]


def test_it_hands_over_everything_that_was_not_sent(receiver, client_of):
    receiver.answering = in_turn(accepted, DOWN)
    batch = client_of(batch_size=2, max_retries=1).batch()
    for number in range(3):
        batch.set("u", {"n": number})
    with pytest.raises(BatchNotSent, match=r"2 updates are not known to be applied \(gave up") as failed:
        batch.set("u", {"n": 3})
    assert isinstance(failed.value.__cause__, Unavailable)
    assert failed.value.status == 503
    assert [(item.distinct_id, item.operation, item.payload) for item in failed.value.unsent] == [
        ("u", Operation.SET, {"n": 2}),
        ("u", Operation.SET, {"n": 3}),
    ]


def test_it_is_empty_and_usable_after_it_failed(receiver, client_of):
    receiver.answering = DOWN
    batch = client_of(max_retries=0).batch()
    batch.set("u", {"n": 1})
    with pytest.raises(BatchNotSent):
        batch.flush()
    receiver.answering = accepted
    batch.set("u", {"n": 2})
    batch.close()
    assert [numbers_in(request) for request in receiver.requests] == [[1], [2]]


def test_it_sends_again_under_the_same_keys(receiver, client_of):
    receiver.answering = in_turn(DOWN, DOWN, accepted, DOWN, accepted)
    client = client_of(batch_size=2, max_retries=0)
    batch = client.batch()
    batch.set("u", {"n": 1})
    with pytest.raises(BatchNotSent) as failed:
        batch.set("u", {"n": 2})
    with pytest.raises(BatchNotSent) as again:
        client.resend(failed.value)
    assert again.value.unsent == failed.value.unsent
    assert len(client.resend(again.value)) == 1
    assert [numbers_in(request) for request in receiver.requests] == [[1, 2]] * 3
    assert len({request.headers["idempotency-key"] for request in receiver.requests}) == 1
    assert len({request.body for request in receiver.requests}) == 1


def test_sending_again_leaves_out_what_arrived(receiver, client_of):
    client = client_of(batch_size=1, max_retries=0)
    failures = []
    receiver.answering = DOWN
    for number in range(3):
        with pytest.raises(BatchNotSent) as failed:
            client.batch().set("u", {"n": number})
        failures.extend(failed.value.portions)
    receiver.answering = in_turn(accepted, DOWN)
    with pytest.raises(BatchNotSent) as left:
        client.resend(BatchNotSent("all", portions=tuple(failures)))
    assert left.value.portions == tuple(failures[1:])


def test_it_raises_in_the_next_call_what_failed_in_the_background(receiver, client_of):
    receiver.answering = DOWN
    batch = client_of(batch_seconds=0.01, max_retries=0, surroundings=REAL).batch()
    batch.set("u", {"n": 1})
    _wait_until_failed(batch)
    with pytest.raises(BatchNotSent) as failed:
        batch.set("u", {"n": 2})
    assert [item.payload for item in failed.value.unsent] == [{"n": 1}, {"n": 2}]
    batch.close()
    assert len(receiver.requests) == 1


def test_it_raises_at_the_end_what_failed_in_the_background(receiver, client_of):
    receiver.answering = DOWN
    batch = client_of(batch_seconds=0.01, max_retries=0, surroundings=REAL).batch()
    batch.set("u", {"n": 1})
    _wait_until_failed(batch)
    with pytest.raises(BatchNotSent) as failed:
        batch.close()
    assert [item.payload for item in failed.value.unsent] == [{"n": 1}]
    batch.close()


def test_it_raises_at_the_end_of_the_block(receiver, client_of):
    receiver.answering = cut
    with pytest.raises(BatchNotSent) as failed, client_of(max_retries=0).batch() as batch:
        batch.set("u", {"n": 1})
    assert [item.payload for item in failed.value.unsent] == [{"n": 1}]


def test_it_sends_what_was_given_before_an_error_ended_the_block(receiver, client_of):
    def work() -> None:
        with client_of().batch() as batch:
            batch.set("u", {"n": 1})
            raise LookupError

    with pytest.raises(LookupError):
        work()
    assert numbers_in(receiver.requests[0]) == [1]


def test_it_keeps_what_an_interrupt_left_in_the_air(receiver, client_of, clock):
    receiver.answering = DOWN

    def interrupted(_):
        raise KeyboardInterrupt

    surroundings = type(clock.surroundings)(sleep=interrupted)
    batch = client_of(surroundings=surroundings).batch()
    batch.set("u", {"n": 1})
    with pytest.raises(KeyboardInterrupt):
        batch.flush()
    with pytest.raises(BatchNotSent, match="KeyboardInterrupt") as failed:
        batch.close()
    assert [item.payload for item in failed.value.unsent] == [{"n": 1}]


def test_a_batch_that_the_server_refuses_is_told_of_with_its_faults(receiver, client_of):
    body = b'{"status":"error","_message":"no","errors":[{"path":"batch[0]","message":"bad"}]}'
    receiver.answering = lambda _: Reply(400, body)
    batch = client_of().batch()
    batch.set("u", {"n": 1})
    with pytest.raises(BatchNotSent) as failed:
        batch.flush()
    assert isinstance(failed.value.__cause__, InvalidRequest)
    assert failed.value.__cause__.faults[0].path == "batch[0]"
    assert str(failed.value).startswith("1 update is not known to be applied (no)")
    assert len(receiver.requests) == 1


def test_a_portion_that_was_refused_can_be_left_out(receiver, client_of):
    client = client_of(batch_bytes=60)
    batch = client.batch()
    receiver.answering = in_turn(refusing(413, "too large"), accepted)
    batch.set("u", {"n": 1})
    with pytest.raises(BatchNotSent) as failed:
        batch.set("u", {"n": 2})
    client.resend(failed.value.portions[1:])
    assert [numbers_in(request) for request in receiver.requests] == [[1], [2]]


def test_a_closed_batch_takes_nothing_more(client_of):
    batch = client_of().batch()
    batch.close()
    with pytest.raises(ClientError, match="closed"):
        batch.set("u", {"n": 1})


def test_closing_the_client_sends_what_open_batches_hold(receiver, client_of):
    client = client_of()
    one, two = client.batch(), client.batch()
    one.set("u", {"n": 1})
    two.set("u", {"n": 2})
    client.close()
    assert sorted(numbers_in(request) for request in receiver.requests) == [[1], [2]]


def test_closing_the_client_tells_of_everything_that_was_not_sent(receiver, client_of):
    receiver.answering = DOWN
    client = client_of(max_retries=0)
    one, two = client.batch(), client.batch()
    one.set("u", {"n": 1})
    two.set("u", {"n": 2})
    with pytest.raises(BatchNotSent, match="2 updates") as failed:
        client.close()
    assert sorted(item.payload["n"] for item in failed.value.unsent) == [1, 2]


def test_threads_may_share_one(client):
    me = uuid.uuid4().hex
    with client.batch() as batch:

        def work(thread: int) -> None:
            for number in range(500):
                batch.add(me, {"total": 1})
                batch.set(f"{me}-{thread}", {"last": number})

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert client.get_profile(me).properties == {"total": 4_000}
    assert [client.get_profile(f"{me}-{thread}").properties for thread in range(8)] == [{"last": 499}] * 8


def test_threads_lose_nothing_when_a_server_fails_now_and_then(receiver, client_of):
    lock = threading.Lock()
    arrived: Counter[int] = Counter()
    calls = iter(range(10_000_000))

    def flaky(request):
        with lock:
            if next(calls) % 3 == 1:
                return DOWN(request)
            arrived.update(numbers_in(request))
            return accepted(request)

    receiver.answering = flaky
    batch = client_of(batch_size=7, batch_seconds=0.001, max_retries=0, surroundings=REAL).batch()
    told: Counter[int] = Counter()

    def give(number: int) -> None:
        try:
            batch.set("u", {"n": number})
        except BatchNotSent as error:
            with lock:
                told.update(item.payload["n"] for item in error.unsent)

    def work(thread: int) -> None:
        for number in range(200):
            give(thread * 1_000 + number)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        batch.close()
    except BatchNotSent as error:
        told.update(item.payload["n"] for item in error.unsent)
    assert arrived + told == Counter(thread * 1_000 + number for thread in range(4) for number in range(200))
    assert told


@given(
    sizes=st.lists(st.integers(0, 60), max_size=40),
    batch_size=st.integers(1, 10),
    batch_bytes=st.integers(1, 400),
)
def test_law_items_arrive_once_and_in_order_within_the_bounds(sizes, batch_size, batch_bytes):
    sent = []

    def deliver(portion):
        sent.append(portion)
        return str(len(sent))

    batch = Batch(deliver, Conversion(), bounds=Bounds(batch_size, batch_bytes, None), surroundings=REAL)
    with batch:
        for number, size in enumerate(sizes):
            batch.set("u", {"n": number, "text": "x" * size})
    assert [item.payload["n"] for portion in sent for item in portion.items] == list(range(len(sizes)))
    for portion in sent:
        assert len(portion.items) <= batch_size
        assert len(portion.items) == 1 or len(portion.body) <= batch_bytes + len('{"batch":[]}')
    assert len({portion.idempotency_key for portion in sent}) == len(sent)


@given(
    steps=st.lists(st.sampled_from(["give", "give", "give", "flush"]), max_size=40),
    works=st.lists(st.booleans(), max_size=20),
    batch_size=st.integers(1, 5),
)
def test_law_every_item_arrives_or_is_told_of_once_and_in_order(steps, works, batch_size):
    fates = iter(works)
    fate_of: list[tuple[int, str]] = []

    def deliver(portion):
        if not next(fates, True):
            raise Unavailable("down", attempts=1)
        fate_of.extend((item.payload["n"], "arrived") for item in portion.items)
        return "id"

    batch = Batch(deliver, Conversion(), bounds=Bounds(batch_size, 1_000, None), surroundings=REAL)

    def do(call, *arguments) -> None:
        try:
            call(*arguments)
        except BatchNotSent as error:
            fate_of.extend((item.payload["n"], "told of") for item in error.unsent)

    for number, step in enumerate(steps):
        do(*((batch.set, "u", {"n": number}) if step == "give" else (batch.flush,)))
    do(batch.close)
    assert [number for number, _ in fate_of] == [number for number, step in enumerate(steps) if step == "give"]


def test_it_finishes_first_what_an_interrupt_left_between_sending_and_noting_it(receiver, client_of):
    batch = client_of().batch()
    batch.set("u", {"n": 1})
    with batch._state:
        left = batch._in_flight = batch._next_portion()
    batch.set("u", {"n": 2})
    batch.close()
    assert [numbers_in(request) for request in receiver.requests] == [[1], [2]]
    assert receiver.requests[0].headers["idempotency-key"] == left.idempotency_key


def _threads() -> int:
    return sum(thread.name == "traitbase-batch" for thread in threading.enumerate())


def _wait_until_failed(batch) -> None:
    with batch._state:
        assert batch._state.wait_for(lambda: batch._failed is not None, timeout=30)
