"""Effects: applied to what was before, they give what is after; nothing else is written down."""

from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import given

from domain.profile_strategies import attributes, lists, properties
from traitbase.domain.attributes import NO_ATTRIBUTES, Attributes, Token
from traitbase.domain.effects import LISTS_SHOWN_WHOLE_MAX, effect_on_profile, effect_on_properties


def as_json(value):
    """As it is once it was written and read again."""
    if isinstance(value, list):
        return list(map(as_json, value))
    if isinstance(value, Token):
        return {"token": value.token, "integration_id": value.integration_id, "status": value.status}
    return value


def read(effect):
    return {} if effect is None else json.loads(effect, parse_float=Decimal)


def applied(before, effect):
    """Return what is after, of what was before and an effect (long lists: which elements, in any order)."""
    after = dict(before)
    for name, change in read(effect).items():
        if isinstance(change, dict):
            kept = [element for element in after[name] if element not in change["removed"]]
            assert change["size"] == [len(after[name]), len(kept) + len(change["added"])]
            after[name] = [*kept, *change["added"]]
        else:
            was, now = change
            assert before.get(name) == was
            if now is None:
                del after[name]
            else:
                after[name] = now
    return after


def in_order(held):
    """Long lists without their order, which an effect on them does not tell."""
    return {
        name: sorted(map(repr, value)) if isinstance(value, list) and len(value) > LISTS_SHOWN_WHOLE_MAX else value
        for name, value in held.items()
    }


@given(properties, properties)
def test_gives_what_is_after_of_what_was_before(before, after):
    effect = effect_on_properties(before, after, {**before, **after})
    made = applied({name: as_json(value) for name, value in before.items()}, effect)
    assert in_order(made) == in_order({name: as_json(value) for name, value in after.items()})


@given(properties, properties)
def test_names_what_changed_and_nothing_else(before, after):
    effect = effect_on_properties(before, after, {**before, **after})
    changed = {name for name in {**before, **after} if repr(before.get(name)) != repr(after.get(name))}
    assert set(read(effect)) == changed
    assert (effect is None) == (not changed)


@given(properties, properties)
def test_looks_at_the_names_it_is_given_only(before, after):
    assert effect_on_properties(before, after, ()) is None
    assert set(read(effect_on_properties(before, after, ["plan"]))) <= {"plan"}


@given(lists, lists)
def test_shows_short_lists_whole_and_of_long_ones_what_came_and_went(before, after):
    change = read(effect_on_properties({"l": before}, {"l": after}, ["l"])).get("l")
    if before == after:
        assert change is None
    elif max(len(before), len(after)) <= LISTS_SHOWN_WHOLE_MAX:
        assert change == [before, after]
    else:
        assert change["size"] == [len(before), len(after)]
        assert set(change["added"]).isdisjoint(before)
        assert set(change["removed"]).isdisjoint(after)


def entries(held):
    """The attributes as history calls them."""
    named = {"$name": held.name, "$timezone": held.timezone, "$aliases": list(held.aliases) or None}
    chosen = {
        f"$preference.{topic}.{channel}": preference.choice.value
        for topic, channels in held.preferences.items()
        for channel, preference in channels.items()
    }
    reached = {f"$channel.{name}": as_json(destination) for name, destination in held.channel.items()}
    present = {name: value for name, value in named.items() if value is not None}
    return {"$status": held.status, **present, **reached, **chosen}


@given(properties, attributes, properties, attributes)
def test_tells_of_attributes_too(before, held_before, after, held_after):
    effect = effect_on_profile((before, held_before), (after, held_after))
    was = {**{name: as_json(value) for name, value in before.items()}, **entries(held_before)}
    now = {**{name: as_json(value) for name, value in after.items()}, **entries(held_after)}
    assert in_order(applied(was, effect)) == in_order(now)


@given(properties, attributes)
def test_tells_all_of_a_profile_that_is_new(after, held):
    now = {**{name: as_json(value) for name, value in after.items()}, **entries(held)}
    assert applied({}, effect_on_profile(None, (after, held))) == now
    assert effect_on_profile((after, held), (after, held)) is None


def test_tells_which_tokens_came_and_went_of_many():
    many = [Token(str(number)) for number in range(LISTS_SHOWN_WHOLE_MAX + 1)]
    before, after = Attributes(channel={"push": many}), Attributes(channel={"push": [*many[1:], Token("0", status=0)]})
    assert read(effect_on_profile(({}, before), ({}, after))) == {
        "$channel.push": {
            "added": [{"token": "0", "integration_id": None, "status": 0}],
            "removed": [{"token": "0", "integration_id": None, "status": 1}],
            "size": [65, 65],
        }
    }
    assert effect_on_profile(({}, NO_ATTRIBUTES), ({}, NO_ATTRIBUTES)) is None
