"""What the processes of one server count together."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from traitbase.api.metrics import Metrics
from traitbase.api.sharing import SharedCounts


def counts(*, updates=0, answers=(), ignored=()) -> Metrics:
    metrics = Metrics(updates=updates)
    metrics.answers.update(answers)
    metrics.ignored.update(ignored)
    return metrics


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "counts"


def test_all_that_told_are_summed(folder):
    one, two = SharedCounts(folder, 0), SharedCounts(folder, 1)
    two.tell(counts(updates=5, answers=[("set", 202)] * 2, ignored=["bad_date"]), 7)
    told = one.of_all(counts(updates=3, answers=[("set", 202), ("unset", 400)]), 2)
    assert (told.metrics.updates, told.waiting) == (8, 9)
    assert told.metrics.answers == {("set", 202): 3, ("unset", 400): 1}
    assert told.metrics.ignored == {"bad_date": 1}


def test_nothing_that_is_counted_is_left_out(folder):
    plain = [each.name for each in dataclasses.fields(Metrics) if isinstance(getattr(Metrics(), each.name), int)]
    SharedCounts(folder, 1).tell(Metrics(**dict.fromkeys(plain, 2)), 0)
    total = SharedCounts(folder, 0).of_all(Metrics(**dict.fromkeys(plain, 1)), 0).metrics
    assert total == Metrics(**dict.fromkeys(plain, 3))


def test_a_successor_goes_on_from_what_was_told(folder):
    SharedCounts(folder, 0).tell(counts(updates=5, answers=[("set", 202)]), 3)
    metrics = Metrics()
    successor = SharedCounts(folder, 0)
    successor.resume(metrics)
    metrics.updates += 1
    told = successor.of_all(metrics, 0)
    assert (told.metrics.updates, told.metrics.answers, told.waiting) == (6, {("set", 202): 1}, 0)


def test_the_first_one_begins_at_nothing(folder):
    metrics = Metrics()
    SharedCounts(folder, 0).resume(metrics)
    assert metrics == Metrics()


def test_a_folder_that_is_tidied_away_or_cannot_be_written_costs_nothing_else(folder):
    shared = SharedCounts(folder, 0)
    shared.tell(counts(updates=1), 0)
    shutil.rmtree(folder)
    assert shared.of_all(counts(updates=2), 0).metrics.updates == 2
    shared.tell(counts(updates=2), 0)
    shutil.rmtree(folder)
    folder.write_text("in the way")
    shared.tell(counts(updates=3), 0)
    assert shared.of_all(counts(updates=3), 0).metrics.updates == 3
