"""The law: what is exported and imported into an empty workspace is the same, and is exported the same again."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings

from exports.populations import bring_in, content_of, everything, export, fill, new_space, populations
from traitbase.services.imports.sources import Format

RELAXED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.mark.parametrize("format_", [Format.CSV, Format.NDJSON])
@example(population=everything())
@given(population=populations())
@settings(max_examples=150, suppress_health_check=RELAXED)
def test_it_brings_everything_back(store, tmp_path, format_, population):
    comes_back_the_same(store, tmp_path, format_, population)


@example(population=everything())
@given(population=populations())
@settings(max_examples=30, suppress_health_check=RELAXED)  # the engine takes 0.4 s to open and read a file
def test_it_brings_everything_back_from_parquet(store, tmp_path, population):
    comes_back_the_same(store, tmp_path, Format.PARQUET, population)


def comes_back_the_same(store, folder, format_, population):
    here, there = new_space(store), new_space(store, "test")
    fill(store, here, population)
    path = export(store, here, folder / f"people.{format_}")
    tally = bring_in(store, there, path)
    people = len(population.people)
    assert (tally.read, tally.applied, tally.ignored, tally.refused, tally.blank) == (people, people, 0, 0, 0)
    assert content_of(store, there) == content_of(store, here)
    again = export(store, there, folder / f"again.{format_}")
    assert again.read_bytes() == path.read_bytes()
