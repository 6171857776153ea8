"""What the tests' recorder of statements recognises, that it records, and that the tables can be spread at all."""

from __future__ import annotations

import os

import psycopg
import pytest
import sqlalchemy as sa

from support.postgres import VARIABLE, fresh_database, recorder
from support.sharding import faults_of
from traitbase.store.citus import ON_EACH_SERVER, ON_THE_COORDINATOR, SHARD_KEYS
from traitbase.store.tables import ONLY_ON, metadata

MINE = "workspace_id = $1 AND environment = $2"

REFUSED = [
    (f"SELECT revision FROM profiles WHERE {MINE} FOR UPDATE", "locks on the rows of several profiles"),
    (f"SELECT revision FROM profiles WHERE {MINE} FOR SHARE", "locks on the rows of several profiles"),
    (f"SELECT revision FROM profiles WHERE {MINE} AND distinct_id = ANY($3) FOR UPDATE", "locks"),
    (f"SELECT revision FROM profiles WHERE {MINE} AND distinct_id IN ($3, $4) FOR NO KEY UPDATE", "locks"),
    (f"SELECT 1 FROM profiles WHERE {MINE} AND (distinct_id = $3 OR revision = 2) FOR UPDATE", "locks"),
    (f"DECLARE c NO SCROLL CURSOR FOR SELECT 1 FROM profiles WHERE {MINE} FOR UPDATE", "locks"),
    ("SET LOCAL jit = off; SELECT 1 FROM profiles FOR UPDATE", "locks"),
    ("INSERT INTO profiles (workspace_id, distinct_id) SELECT * FROM unnest($1::text[], $2::text[])", "VALUES"),
    ("INSERT INTO profiles (workspace_id, distinct_id) SELECT workspace_id, distinct_id FROM changes", "VALUES"),
    ("INSERT INTO profiles (workspace_id, revision) VALUES ($1, $2)", "does not say the distinct_id"),
    ("INSERT INTO profiles (workspace_id, distinct_id) VALUES ($1, upper($2))", "no plain value"),
    ("INSERT INTO profiles (distinct_id, revision) VALUES ($1, (SELECT max(revision) FROM cohorts))", "subquery"),
    ("INSERT INTO changes (distinct_id, request_id) VALUES ($1, gen_random_uuid()::text)", "volatile"),
    (
        "INSERT INTO profiles (profile_id, distinct_id) VALUES ($1, $2) ON CONFLICT (profile_id) DO NOTHING",
        "conflict over other columns",
    ),
    (
        "INSERT INTO changes (distinct_id) VALUES ($1) ON CONFLICT (distinct_id) DO UPDATE SET distinct_id = $2",
        "an update of the distinct_id",
    ),
    (f"UPDATE kept_aside SET distinct_id = $3 WHERE {MINE} AND distinct_id = $4", "an update of the distinct_id"),
    (
        f"UPDATE profiles SET revision = v.r FROM (VALUES ($3, $4)) AS v(id, r) WHERE {MINE} AND distinct_id = v.id",
        "joined",
    ),
    (f"UPDATE profiles SET updated_at_us = random() WHERE {MINE} AND distinct_id = $3", "volatile"),
    ("DELETE FROM changes WHERE (request_id, item) IN (SELECT request_id, item FROM changes LIMIT 9)", "looks into"),
    (
        "DELETE FROM cohort_members WHERE cohort_id = $1 AND distinct_id IN (SELECT distinct_id FROM profiles)",
        "looks into",
    ),
    ("SELECT 1 FROM profiles AS p JOIN changes AS c ON c.request_id = p.last_change", "by something else"),
    (
        "SELECT 1 FROM profiles AS p, definition_revisions AS d WHERE d.workspace_id = p.workspace_id",
        "coordinator only",
    ),
    ("SELECT 1 FROM profiles WHERE profile_id IN (SELECT request_id FROM changes)", "in a condition"),
    (
        "SELECT id IN (SELECT distinct_id FROM cohort_members) FROM (SELECT distinct_id AS id FROM profiles) AS p",
        "in a",
    ),
    ("SELECT EXISTS(SELECT 1 FROM cohort_members AS m WHERE m.distinct_id = p.distinct_id) FROM profiles AS p", "in a"),
    ("SELECT 1 FROM profiles AS p LEFT JOIN changes AS c ON c.distinct_id = p.profile_id", "by something else"),
    ("SELECT count(*) FROM profiles GROUP BY GROUPING SETS ((country), (environment))", "grouping sets"),
    ("SELECT count(*) FROM profiles TABLESAMPLE SYSTEM (1)", "TABLESAMPLE"),
    ("SELECT rank() OVER (ORDER BY revision) FROM profiles", "window"),
    ("SELECT distinct_id FROM profiles UNION SELECT distinct_id FROM changes", "set operations"),
    (
        "WITH RECURSIVE w AS (SELECT item FROM changes UNION ALL SELECT item - 1 FROM w) SELECT * FROM w",
        "recursive",
    ),
    ("SELECT 1 FROM postcards", "postcards has no place"),
    ("SELECT FROM WHERE", "not understood"),
]

TAKEN = [
    "BEGIN",
    "SET LOCAL lock_timeout = 15000",
    "SELECT pg_current_xact_id()::text, version_num FROM alembic_version",
    f"SELECT revision FROM definition_revisions WHERE {MINE} FOR SHARE",
    "SELECT workspace_id FROM workspaces WHERE workspace_id = $1 FOR UPDATE",
    f"SELECT document FROM profiles WHERE {MINE} AND distinct_id = $3 FOR UPDATE",
    f"SELECT document FROM profiles WHERE {MINE} AND distinct_id = ANY ($3)",
    f"SELECT document FROM profiles WHERE {MINE} AND alias_of IS NULL ORDER BY distinct_id LIMIT $3",
    f"SELECT count(*) FILTER (WHERE a), count(*) FROM (SELECT revision = 3 AS a FROM profiles WHERE {MINE}) AS asked",
    "SELECT m.distinct_id FROM profiles AS p LEFT JOIN cohort_members AS m ON m.distinct_id = p.distinct_id",
    "INSERT INTO transaction_feed (transaction, part) VALUES (pg_current_xact_id()::text::bigint, $1)",
    """INSERT INTO profiles (workspace_id, distinct_id) VALUES ($1, $2::VARCHAR COLLATE "C"), ($3, $4)
        ON CONFLICT (workspace_id, distinct_id) DO UPDATE SET revision = -excluded.revision RETURNING revision""",
    'COPY "changes" ("request_id", "distinct_id") FROM STDIN',
    f"DELETE FROM ignored_values WHERE {MINE} AND property = $3",
]


@pytest.mark.parametrize(("statement", "fault"), REFUSED, ids=[each[0][:60] for each in REFUSED])
def test_what_a_sharded_database_refuses_is_recognised(statement, fault):
    assert any(fault in each for each in faults_of(statement)), faults_of(statement)


@pytest.mark.parametrize("statement", TAKEN, ids=[each[:60] for each in TAKEN])
def test_what_it_takes_is_not_objected_to(statement):
    assert faults_of(statement) == []


@pytest.mark.skipif(VARIABLE in os.environ, reason="the log of another's server cannot be read")
def test_statements_are_recorded_whoever_sends_them():
    with fresh_database() as url:
        recorder().faults()
        with psycopg.connect(url, application_name="traitbase") as ours, psycopg.connect(url) as another:
            for connection in (ours, another):
                connection.execute(
                    "SELECT revision,\n  'of both' FROM profiles\n  WHERE revision = %s FOR UPDATE", (1,)
                )
        with psycopg.connect(url, application_name="traitbase") as ours:
            ours.execute("SELECT 1")
        found = recorder().faults()
    assert found == [
        "locks on the rows of several profiles: SELECT revision, 'of both' FROM profiles WHERE revision = $1 FOR UPDATE"
    ]


def test_every_table_has_one_place():
    tables = {name for name in metadata.tables if ONLY_ON.get(name, "postgresql") == "postgresql"} | {"alembic_version"}
    placed = [*SHARD_KEYS, *ON_EACH_SERVER, *ON_THE_COORDINATOR]
    assert sorted(placed) == sorted(tables)


@pytest.mark.parametrize("name", SHARD_KEYS)
def test_nothing_unique_reaches_over_shards(name):
    table = metadata.tables[name]
    unique = [table.primary_key, *(each for each in table.constraints if isinstance(each, sa.UniqueConstraint))]
    unique += [index for index in table.indexes if index.unique]
    assert all(SHARD_KEYS[name] in each.columns for each in unique)
    assert not any(column.foreign_keys or column.identity or column.unique for column in table.columns)
    assert not any(column.primary_key and column.autoincrement is True for column in table.columns)
