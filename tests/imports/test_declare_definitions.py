"""Declaring definitions: all or nothing, whatever other writers do."""

from __future__ import annotations

import pytest

from imports.importing import NORTH
from traitbase.domain.errors import Conflict, InvalidInput
from traitbase.domain.values import Kind
from traitbase.services.definitions import declare_definitions
from traitbase.store.memory import MemoryStore


def declare(store, **kinds):
    return declare_definitions(store, NORTH, kinds, at_us=7, first_seen_in="test")


def test_it_declares_only_what_is_new():
    store = MemoryStore()
    assert declare(store, a=Kind.STRING) == ["a"]
    assert declare(store, a=Kind.STRING, b=Kind.DATE) == ["b"]
    assert declare(store, a=Kind.STRING) == []
    revision, rows = store.get_definitions(NORTH)
    assert (revision, [row[:2] + row[3:5] for row in rows]) == (
        2,
        [("a", Kind.STRING, 7, "test"), ("b", Kind.DATE, 7, "test")],
    )


def test_it_names_both_kinds_and_declares_nothing():
    store = MemoryStore()
    declare(store, a=Kind.STRING)
    with pytest.raises(Conflict, match="'a' is defined as string, and cannot be declared as number"):
        declare(store, b=Kind.DATE, a=Kind.NUMBER)
    assert len(store.get_definitions(NORTH)[1]) == 1


def test_it_refuses_names_that_no_property_may_have():
    with pytest.raises(InvalidInput, match=r"'\$a' cannot be a property name"):
        declare_definitions(MemoryStore(), NORTH, {"$a": Kind.STRING}, at_us=1, first_seen_in="test")


class OvertakenStore(MemoryStore):
    """Another writer declares something between the first look and the first write."""

    def __init__(self, **meanwhile):
        super().__init__()
        self.meanwhile = meanwhile

    def get_definitions(self, space):
        answer = super().get_definitions(space)
        meanwhile, self.meanwhile = self.meanwhile, {}
        if meanwhile:
            declare(self, **meanwhile)
        return answer


def test_it_looks_again_after_a_lost_race():
    store = OvertakenStore(a=Kind.STRING, c=Kind.LIST)
    assert declare(store, a=Kind.STRING, b=Kind.DATE) == ["b"]
    assert {row.name for row in store.get_definitions(NORTH)[1]} == {"a", "b", "c"}


def test_it_tells_of_a_contradiction_after_a_lost_race():
    with pytest.raises(Conflict, match="'a' is defined as list, and cannot be declared as string"):
        declare(OvertakenStore(a=Kind.LIST), a=Kind.STRING)
