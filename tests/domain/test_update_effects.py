"""The law of an update's history: what it did follows from what it found, what was sent, and what was ignored."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from domain.strategies import items, plain_items, zones
from traitbase.domain.definitions import Definitions
from traitbase.domain.effects import LISTS_SHOWN_WHOLE_MAX, before_update, effect_on_properties, effects_of_update
from traitbase.domain.operations import apply
from traitbase.domain.updates import Operation, parse_item

_read = msgspec.json.Decoder(dict, float_hook=Decimal).decode
_write = msgspec.json.Encoder(decimal_format="number").encode


def stored(operations):
    """Return operations as they are read back from a change record."""
    sent = _read(_write(dict(operations)))
    return [(operation, sent[operation.value]) for operation in Operation if operation.value in sent]


def names_in(operations):
    return dict.fromkeys(name for _, payload in operations for name in payload)


@given(st.lists(st.one_of(plain_items, items), min_size=1, max_size=5), zones)
def test_an_update_can_be_told_from_what_it_found(batch, zone):
    profile, definitions = None, Definitions({}, zone)
    for item in batch:
        update = parse_item({**item, "distinct_id": "u"})
        applied = apply(profile, update, definitions)
        definitions = definitions.with_new(applied.new_kinds, revision=1)
        before = {} if profile is None else profile.properties
        after = {} if applied.profile is None else applied.profile.properties
        left_out = {(entry.operation, entry.property) for entry in applied.ignored}
        found = _read(before_update(before, update.operations))
        told = effects_of_update(found, stored(update.operations), left_out, zone)
        expected = _read(effect_on_properties(before, after, names_in(update.operations)) or "{}")
        assert _read(_write(told)) == expected
        profile = applied.profile


@given(
    st.integers(LISTS_SHOWN_WHOLE_MAX + 1, 200),
    st.one_of(
        st.just({"$append": {"l": "new"}}),
        st.just({"$remove": {"l": "e1"}}),
        st.just({"$append": {"l": "new"}, "$remove": {"l": "e1"}}),
        st.just({"$set": {"l": ["only"]}, "$append": {"l": "new"}}),
        st.just({"$unset": ["l"]}),
    ),
    zones,
)
def test_of_a_long_list_what_came_and_went_is_told(size, action, zone):
    elements = [f"e{number}" for number in range(size)]
    first = apply(None, parse_item({"distinct_id": "u", "action": {"$set": {"l": elements}}}), Definitions({}, zone))
    definitions = Definitions({}, zone).with_new(first.new_kinds, revision=1)
    update = parse_item({"distinct_id": "u", "action": action})
    applied = apply(first.profile, update, definitions)
    before, after = first.profile.properties, applied.profile.properties
    found = _read(before_update(before, update.operations))
    told = effects_of_update(found, stored(update.operations), set(), zone)
    assert _read(_write(told)) == _read(effect_on_properties(before, after, ["l"]))
