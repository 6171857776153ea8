"""The push-down engine: it agrees with the reference, answers of one moment, and tells types apart."""

from __future__ import annotations

import dataclasses
import itertools
from contextlib import closing
from random import Random

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segments import populations
from segments.test_agreement import SPACE, cohorts_of, resolved, row_of
from support.postgres import fresh_database
from traitbase.domain.attributes import decode_attributes, encode_attributes
from traitbase.domain.cohorts import CohortKind
from traitbase.domain.definitions import State
from traitbase.domain.errors import Refused
from traitbase.domain.rules.evaluating import is_member
from traitbase.domain.rules.fields import Person
from traitbase.domain.spaces import Workspace
from traitbase.segments.columnar import ColumnarEngine
from traitbase.segments.copy import Limits
from traitbase.segments.pushdown import PushdownEngine
from traitbase.segments.scanning import ScanningEngine
from traitbase.services.ports import CohortRow, DefinitionRow, WriteSet
from traitbase.store.postgres import open_postgres

COLUMNS = (
    "workspace_id, environment, distinct_id, profile_id, revision, document, created_at_us, updated_at_us, attributes, "
    "country"
)


@pytest.fixture(scope="module")
def url():
    with fresh_database() as made:
        yield made


@pytest.fixture(scope="module")
def store(url):
    with closing(open_postgres(url)) as opened:
        opened.add_workspace(Workspace(SPACE.workspace_id, "North", "UTC", 1))
        session = opened.open_session()
        new = [DefinitionRow(name, kind, State.ACTIVE, 1, "r") for name, kind in populations.KINDS.items()]
        session.write(WriteSet(definitions_at={SPACE: 0}, new_definitions={SPACE: new}), wait_seconds=5)
        session.close()
        for cohort_id in populations.STATIC:
            row = CohortRow(cohort_id, cohort_id, CohortKind.STATIC, None, None, 1, 1, 1)
            opened.add_cohort(SPACE, row, check=lambda _every: None)
        yield opened


@pytest.fixture(scope="module")
def engine(store):
    return PushdownEngine(store, answer_seconds=30)


def storable(person: Person) -> Person:
    """Return a person without the character that no stored text has."""

    def without(value):
        if isinstance(value, list):
            return [without(each) for each in value]
        return value.replace("\0", "") if isinstance(value, str) else value

    text = encode_attributes(person.attributes)
    return dataclasses.replace(
        person,
        properties={name: without(value) for name, value in person.properties.items()},
        attributes=decode_attributes(None if text is None else text.replace("\\u0000", "")),
    )


def fill(url, people, zone) -> None:
    """Put a population into the database, in place of the one before."""
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM profiles")
        connection.execute("DELETE FROM cohort_members")
        connection.execute("UPDATE workspaces SET timezone = %s", (str(zone),))
        with connection.cursor().copy(f"COPY profiles ({COLUMNS}) FROM STDIN") as copy:
            for person in people:
                row = row_of(person)
                at = (row.created_at_us, row.updated_at_us)
                whole = (*SPACE, row.distinct_id, row.profile_id, 1, row.document, *at, row.attributes, row.country)
                copy.write_row(whole)
        for person in people:
            for cohort_id in person.static_cohorts:
                key = (*SPACE, cohort_id, person.distinct_id)
                connection.execute("INSERT INTO cohort_members VALUES (%s, %s, %s, %s)", key)


def disagreements(engine, url, maker: populations.Maker, trees: int) -> list[object]:
    """Make a population and rules about it, and return the rules of which engine and reference name others."""
    moment = maker.moment()
    people = [storable(each) for each in maker.people(moment.zone)]
    dynamic = [maker.tree(("s1", "s2", *(f"d{at}" for at in range(number)))) for number in range(2)]
    known = cohorts_of(dynamic)
    fill(url, people, moment.zone)
    found = []
    with engine.open_view(SPACE) as view:
        for sent in (maker.tree(tuple(known)) for _ in range(trees)):
            plan = resolved(sent, moment, known)
            if plan is None:
                continue
            by_engine = [each for step in view.all_members(plan) for each in step]
            members = sorted(person.distinct_id for person in people if is_member(plan, person))
            if (by_engine, view.count(plan)) != (members, len(members)):
                found.append((moment, people, dynamic, sent, by_engine, members))
    return found


# Of what fails, the number is the seed.
@pytest.mark.slow
@pytest.mark.parametrize("ten", range(5))
def test_it_names_the_members_that_the_reference_names(engine, url, ten):
    for seed in range(ten * 10, ten * 10 + 10):
        assert disagreements(engine, url, populations.Maker(Random(seed)), 20) == [], f"seed {seed}"


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
@given(st.randoms(use_true_random=False))
def test_it_does_so_in_whatever_hypothesis_finds(engine, url, random):
    assert disagreements(engine, url, populations.Maker(random), 2) == []


@pytest.mark.parametrize("seed", range(8))
def test_every_other_question_is_answered_as_the_reference_answers_it(engine, store, url, seed):
    maker = populations.Maker(Random(seed))
    moment = maker.moment()
    fill(url, [storable(each) for each in maker.people(moment.zone)], moment.zone)
    known = cohorts_of([])
    plans = [plan for _ in range(6) if (plan := resolved(maker.tree(tuple(known)), moment, known)) is not None]
    columnar = ColumnarEngine(store, None, Limits(), tell=lambda *_event, **_fields: None)
    with closing(columnar), engine.open_view(SPACE) as view, ScanningEngine(store).open_view(SPACE) as reference:
        assert view.total() == reference.total()
        for before, after in itertools.pairwise(plans):
            assert view.compare(before, after, sample=3) == reference.compare(before, after, sample=3)
            page = view.members(after, limit=4)
            assert page == reference.members(after, limit=4)
            if page:
                assert view.members(after, after=page[-1], limit=4) == reference.members(after, after=page[-1], limit=4)
        with columnar.open_view(SPACE) as other:
            for name in populations.KINDS:
                assert view.insight(name, top=5) == other.insight(name, top=5), name


def test_a_value_of_another_type_is_nobodys_and_no_error(engine, url):
    """Definitions and documents agree in one snapshot; a distributed database has none for all of its parts."""
    maker = populations.Maker(Random(1))
    moment = maker.moment()
    fill(url, [], moment.zone)
    strange = ["true", "1", '"x"', '"2024-02-30"', '"2024-02-29T10:00:00+23:59"', "[1,true,null,{},[]]", "{}", "null"]
    with psycopg.connect(url) as connection:
        for number, value in enumerate(strange):
            names = ", ".join(
                f"{psycopg.sql.Literal(name).as_string(None)}, {value!r}::jsonb" for name in populations.KINDS
            )
            connection.execute(
                f"INSERT INTO profiles VALUES ('north', 'live', 'u{number}', 'p', 1, jsonb_build_object({names}), 1, 1)"
            )
    known = cohorts_of([])
    with engine.open_view(SPACE) as view:
        for seed in range(60):
            plan = resolved(populations.Maker(Random(seed)).tree(tuple(known)), moment, known)
            if plan is not None:
                assert view.count(plan) <= len(strange)
        for name in populations.KINDS:
            view.insight(name, top=5)


def test_an_answer_that_takes_too_long_says_so(store):
    with store.open_snapshot(SPACE) as snapshot, pytest.raises(Refused) as caught:
        snapshot.ask("SELECT pg_sleep(30)", [], seconds=0.05)
    assert caught.value.code == "cohort_too_slow"
    with PushdownEngine(store, answer_seconds=5).open_view(SPACE) as view:
        assert view.total() >= 0


def test_what_is_read_in_steps_ends_with_its_snapshot(store):
    """Who is given up in the middle must not come back to a connection that others use by then."""
    numbers = "SELECT generate_series(1, 10)"
    with store.open_snapshot(SPACE) as snapshot:
        first, second = (snapshot.ask_in_steps(numbers, [], step=4, seconds=5) for _ in range(2))
        assert ([len(next(first)), len(next(second)), len(next(first))], snapshot.count_profiles() >= 0) == (
            [4] * 3,
            True,
        )
    assert (list(first), list(second)) == ([], [])
    with store.open_snapshot(SPACE) as snapshot:
        assert [len(rows) for rows in snapshot.ask_in_steps(numbers, [], step=4, seconds=5)] == [4, 4, 2]
