"""Indexes of single properties: made and taken away beside the rest, used where they lead to few, and never wrong."""

from __future__ import annotations

import itertools
import json
from contextlib import closing
from random import Random

import psycopg
import pytest

from segments import populations
from segments.test_agreement import SPACE, cohorts_of, resolved
from segments.test_pushdown import disagreements
from support.postgres import fresh_database
from traitbase.domain.cohorts import CohortKind
from traitbase.domain.definitions import State
from traitbase.domain.errors import NotFound, Refused
from traitbase.domain.spaces import Space, Workspace
from traitbase.domain.values import Kind
from traitbase.segments.documents import DIALECT, DocumentCompiler, is_found_by_value
from traitbase.segments.pushdown import PushdownEngine
from traitbase.services.ports import CohortRow, DefinitionRow, WriteSet
from traitbase.store.postgres import PostgresDatabase, open_postgres
from traitbase.store.property_indexes import create_index, drop_index, list_indexes

INDEXED = [name for name, kind in populations.KINDS.items() if kind is not Kind.DATE]
TEXT, OTHER, NUMBER, LIST = (
    next(itertools.islice((name for name, each in populations.KINDS.items() if each is kind), at, None))
    for kind, at in ((Kind.STRING, 0), (Kind.STRING, 1), (Kind.NUMBER, 0), (Kind.LIST, 0))
)
DATE = next(name for name, kind in populations.KINDS.items() if kind is Kind.DATE)


@pytest.fixture
def url():
    with fresh_database() as made:
        with psycopg.connect(made, autocommit=True) as connection:  # a small table would be read as a whole
            database = connection.info.dbname
            connection.execute(f'ALTER DATABASE "{database}" SET enable_seqscan = off')
        yield made
        with psycopg.connect(made, autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{database}" RESET enable_seqscan')


@pytest.fixture
def store(url):
    with closing(open_postgres(url)) as opened, closing(opened.open_session()) as session:
        opened.add_workspace(Workspace(SPACE.workspace_id, "North", "UTC", 1))
        new = [DefinitionRow(name, kind, State.ACTIVE, 1, "r") for name, kind in populations.KINDS.items()]
        session.write(WriteSet(definitions_at={SPACE: 0}, new_definitions={SPACE: new}), wait_seconds=5)
        for cohort_id in populations.STATIC:
            row = CohortRow(cohort_id, cohort_id, CohortKind.STATIC, None, None, 1, 1, 1)
            opened.add_cohort(SPACE, row, check=lambda _every: None)
        yield opened


@pytest.fixture
def database(url, store):  # noqa: ARG001  # which has made the definitions
    with closing(PostgresDatabase(url)) as opened:
        yield opened
        for space, name, _ in indexes(opened):  # the next test may get the same database
            drop_index(opened, space, name)


def indexes(database):
    with database.reading() as connection:
        return [(each.space, each.name, each.is_usable) for each in list_indexes(connection)]


def is_used(store, sent) -> bool:
    """Tell whether the database finds who meets a rule by an index of ours."""
    moment = populations.Maker(Random(1)).moment()
    compiler = DocumentCompiler(SPACE)
    query = compiler.filtered(resolved(sent, moment, cohorts_of([]))).sql(DIALECT)
    with store.open_snapshot(SPACE) as snapshot:
        rows = snapshot.ask(f"EXPLAIN {query}", compiler.parameters, seconds=9)
    return any("Index Cond:" in row[0] and "document ->" in row[0] for row in rows)


def rules(*each, combinator="and"):
    listed = [{"field": field, "operator": operator, "value": value} for field, operator, value in each]
    return {"combinator": combinator, "rules": listed}


def test_an_index_is_made_listed_used_and_taken_away(url, store, database):
    with psycopg.connect(url) as connection:  # in few rows nothing leads to fewer
        document = f"jsonb_build_object('{TEXT}', 'x' || n, '{LIST}', jsonb_build_array('x' || n), '{NUMBER}', n)"
        connection.execute(
            "INSERT INTO profiles (workspace_id, environment, distinct_id, profile_id, revision, document, "
            f"created_at_us, updated_at_us) SELECT %s, %s, 'u' || n, 'p' || n, 1, {document}, 1, 1 "
            "FROM generate_series(1, 5000) AS s(n)",
            SPACE,
        )
    assert create_index(database, SPACE, LIST)
    assert is_used(store, rules((LIST, "contains", "a")))
    assert not is_used(store, rules((TEXT, "=", "a")))
    assert create_index(database, SPACE, TEXT)
    assert not create_index(database, SPACE, TEXT)
    assert indexes(database) == sorted([(SPACE, TEXT, True), (SPACE, LIST, True)])
    assert is_used(store, rules((TEXT, "=", "a")))
    assert is_used(store, rules((TEXT, "in", ["a", "b"]), (NUMBER, ">", 4)))
    assert not is_used(store, rules((NUMBER, "=", 4)))
    assert drop_index(database, SPACE, TEXT)
    assert not drop_index(database, SPACE, TEXT)
    assert not is_used(store, rules((TEXT, "=", "a")))
    assert drop_index(database, SPACE, LIST)
    assert indexes(database) == []


def test_values_of_any_length_are_kept_and_the_others_found(url, store, database):
    long = "éé" + "".join(
        Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=50_000)
    )  # which nothing compresses
    with psycopg.connect(url) as connection:
        insert = (
            "INSERT INTO profiles (workspace_id, environment, distinct_id, profile_id, revision, document, "
            "created_at_us, updated_at_us) VALUES (%s, %s, %s, 'p', 1, %s, 1, 1)"
        )
        connection.execute(insert, (*SPACE, "before", json.dumps({TEXT: long, LIST: [long]})))
    create_index(database, SPACE, TEXT)
    create_index(database, SPACE, LIST)
    with psycopg.connect(url) as connection:
        connection.execute(insert, (*SPACE, "after", json.dumps({TEXT: long, LIST: ["a", long]})))
        connection.execute(insert, (*SPACE, "short", json.dumps({TEXT: "é", LIST: ["é"]})))
    moment = populations.Maker(Random(1)).moment()
    with PushdownEngine(store, answer_seconds=9).open_view(SPACE) as view:
        for sent in (rules((TEXT, "=", "é")), rules((LIST, "contains", "é")), rules((TEXT, "in", ["é", "x"]))):
            plan = resolved(sent, moment, cohorts_of([]))
            assert (view.members(plan, limit=9), view.count(plan)) == (["short"], 1)
        beginning = resolved(rules((TEXT, "beginsWith", "éé")), moment, cohorts_of([]))
        assert view.members(beginning, limit=9) == ["after", "before"]


def test_it_is_of_one_space_and_of_a_property_that_has_values_to_ask_for(database):
    with pytest.raises(NotFound, match="there is no property 'nobody' in"):
        create_index(database, SPACE, "nobody")
    with pytest.raises(NotFound):
        create_index(database, Space(SPACE.workspace_id, "test"), TEXT)
    with pytest.raises(Refused, match="is a Date: rules ask for days"):
        create_index(database, SPACE, DATE)
    assert indexes(database) == []


def test_what_an_interrupted_call_left_is_made_anew(url, store, database):
    create_index(database, SPACE, TEXT)
    with psycopg.connect(url) as connection:
        query = "SELECT indexrelid::regclass::text FROM pg_index WHERE starts_with(indexrelid::regclass::text, %s)"
        [(name,)] = connection.execute(query, ("ix_profiles_of_",)).fetchall()
        connection.execute(f"COMMENT ON INDEX {name} IS NULL")  # as between the two steps
        connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (name,))
    assert not is_used(store, rules((TEXT, "=", "a")))
    assert indexes(database) == [(SPACE, TEXT, False)]
    assert create_index(database, SPACE, TEXT)
    assert indexes(database) == [(SPACE, TEXT, True)]
    assert is_used(store, rules((TEXT, "=", "a")))


def test_who_is_in_is_the_same_with_indexes(url, store, database):
    for name in INDEXED:
        create_index(database, SPACE, name)
    engine = PushdownEngine(store, answer_seconds=30)
    for seed in range(1_000, 1_010):
        assert disagreements(engine, url, populations.Maker(Random(seed)), 20) == [], f"seed {seed}"


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (rules((TEXT, "=", "a")), True),
        (rules((TEXT, "=", "a"), (OTHER, "notNull", None)), True),
        (rules((TEXT, "=", "a"), (OTHER, "=", "b"), combinator="or"), False),
        (rules((TEXT, "=", "a"), (LIST, "contains", "b"), combinator="or"), True),
        (rules((TEXT, "!=", "a")), False),
        (rules((OTHER, "=", "a")), False),
        (rules((TEXT, "contains", "a")), False),
        (rules((LIST, "contains", "a")), True),
        ({"combinator": "and", "rules": [rules((TEXT, "=", "a"))]}, True),
        ({"combinator": "and", "not": True, "rules": [rules((TEXT, "=", "a"))]}, False),
        ({"combinator": "and", "rules": [{**rules((TEXT, "=", "a"))["rules"][0], "ignoreCase": True}]}, False),
    ],
)
def test_it_is_known_when_an_index_leads_to_all_who_are_in(sent, found):
    moment = populations.Maker(Random(1)).moment()
    assert is_found_by_value(resolved(sent, moment, cohorts_of([])).root, {TEXT, LIST}) is found
