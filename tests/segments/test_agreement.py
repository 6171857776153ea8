"""The law: for any profiles and any valid rule, the columnar engine names the same members as the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segments import populations
from traitbase.domain.attributes import country_code, encode_attributes
from traitbase.domain.errors import InvalidInput
from traitbase.domain.rules.evaluating import is_member
from traitbase.domain.rules.fields import Person
from traitbase.domain.rules.moments import Moment
from traitbase.domain.rules.plan import Plan
from traitbase.domain.rules.resolving import Catalogue, KnownCohort, resolve
from traitbase.domain.rules.tree import parse_tree
from traitbase.domain.spaces import Space
from traitbase.domain.values import encode_properties
from traitbase.segments.compile import DIALECT, Compiler
from traitbase.segments.copy import Copy, Limits
from traitbase.segments.layout import ID, SpaceTable
from traitbase.segments.loading import readable
from traitbase.services.ports import CopiedRow, FeedEnd, copied_text

SPACE = Space("north", "live")


@pytest.fixture(scope="module")
def copy():
    made = Copy.create(None, Limits(threads=1))
    yield made
    made.close()


def row_of(person: Person) -> CopiedRow:
    return CopiedRow(
        person.distinct_id,
        f"profile of {person.distinct_id}",
        person.created_at_us,
        person.updated_at_us,
        country_code(person.attributes),
        encode_properties(dict(person.properties)).decode(),
        encode_attributes(person.attributes),
    )


def fill(copy: Copy, people: Sequence[Person]) -> SpaceTable:
    """Bring a population into the copy, in place of the one before."""
    with copy.moving(FeedEnd(1, "t")):
        table = copy.table_of(SPACE, populations.KINDS)
        for name in (table.profiles, table.members):
            copy._connection.execute(f"DELETE FROM {name}")
        copy.insert(table, readable(copied_text(map(row_of, people))))
        for cohort_id in populations.STATIC:
            members = [person.distinct_id for person in people if cohort_id in person.static_cohorts]
            if members:
                copy.add_members(table, cohort_id, members)
    return table


def members_by_engine(copy: Copy, table: SpaceTable, plans: Mapping[str, Plan]) -> dict[str, set[str]]:
    compiler = Compiler(table)
    query = compiler.source(plans).sql(dialect=DIALECT)
    found = copy._connection.execute(f"SELECT {ID}, {', '.join(plans)} FROM ({query})", compiler.parameters).fetchall()
    return {name: {row[0] for row in found if row[at] is True} for at, name in enumerate(plans, 1)}


def resolved(sent: object, moment: Moment, cohorts: Mapping[str, KnownCohort]) -> Plan | None:
    tree = parse_tree(sent, may_be_empty=False)
    try:
        return resolve(tree, Catalogue(populations.DEFINITIONS, cohorts), moment)
    except InvalidInput:
        return None  # a size of more than a number can be, say


def cohorts_of(dynamic: Sequence[object]) -> dict[str, KnownCohort]:
    """Static ones, and dynamic ones each of which may name those before it."""
    known = {cohort_id: KnownCohort(cohort_id, None) for cohort_id in populations.STATIC}
    for number, sent in enumerate(dynamic):
        known[f"d{number}"] = KnownCohort(f"d{number}", parse_tree(sent, may_be_empty=False))
    return known


def disagreements(copy: Copy, maker: populations.Maker, trees: int) -> list[object]:
    """Make a population and rules about it, and return the rules of which engine and reference name others."""
    moment = maker.moment()
    people = maker.people(moment.zone)
    dynamic = [maker.tree(("s1", "s2", *(f"d{at}" for at in range(number)))) for number in range(2)]
    known = cohorts_of(dynamic)
    table = fill(copy, people)
    sent = [maker.tree(tuple(known)) for _ in range(trees)]
    plans = {f"r{at}": plan for at, each in enumerate(sent) if (plan := resolved(each, moment, known)) is not None}
    assert len(plans) > trees * 0.8, "hardly any of the rules can be asked"
    by_engine = members_by_engine(copy, table, plans)
    return [
        (moment, people, dynamic, sent[int(name[1:])], by_engine[name], members)
        for name, plan in plans.items()
        if (members := {person.distinct_id for person in people if is_member(plan, person)}) != by_engine[name]
    ]


# 20,000 rules, each asked of one of 1,000 populations. Of what fails, the number is the seed.
@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(10))
def test_it_names_the_members_that_the_reference_names(copy, hundred):
    for seed in range(hundred * 100, hundred * 100 + 100):
        assert disagreements(copy, populations.Maker(Random(seed)), 20) == [], f"seed {seed}"


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.randoms(use_true_random=False))
def test_it_does_so_in_whatever_hypothesis_finds(copy, random):
    assert disagreements(copy, populations.Maker(random), 2) == []
