"""What a sharded PostgreSQL (Citus) refuses or should not be asked, recognised by a statement's form.

The source of the rules is Citus's documentation, "SQL Support and Workarounds" (11 to 13), and what its planner says
when it refuses. Where that depends on details, the rule here is the stricter one. A statement is either *routable*
(each of the spread tables that it names is bound to one value of its shard key), a write whose rows say where they
belong, or a plain query that every shard can answer for itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import ErrorLevel, exp, parse
from sqlglot.errors import ParseError

from traitbase.store.citus import ON_EACH_SERVER, ON_THE_COORDINATOR, SHARD_KEYS

_NO_TABLE = re.compile(
    r"(BEGIN|START|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET|SHOW|RESET|DEALLOCATE|FETCH|CLOSE)\b", re.IGNORECASE
)
_STRUCTURE = re.compile(r"(CREATE|ALTER|DROP|COMMENT|VACUUM|ANALYZE)\b", re.IGNORECASE)
_CURSOR = re.compile(r'DECLARE\s+("[^"]+"|\w+)\s+(?:\w+\s+)*?CURSOR\s+(?:\w+\s+)*?FOR\s+', re.IGNORECASE)
_VOLATILE = {
    "clock_timestamp",
    "gen_random_uuid",
    "nextval",
    "pg_current_xact_id",
    "random",
    "setval",
    "timeofday",
    "txid_current",
    "uuidv7",
}
_WORDS = re.compile(r"[a-z_][a-z0-9_]*")
_TABLES = {*SHARD_KEYS, *ON_EACH_SERVER, *ON_THE_COORDINATOR}
_RISKY = {
    *("update", "share", "insert", "delete", "merge", "with", "join", "lateral", "exists", "union", "except"),
    *("intersect", "over", "tablesample", "sets", "rollup", "cube", "lock", "call"),
}
_GROUPINGS = (exp.GroupingSets, exp.Rollup, exp.Cube)


def faults_of(text: str) -> list[str]:
    """Return what is wrong with a statement (or several, separated by semicolons)."""
    text = text.strip().removeprefix("EXPLAIN ")
    if _NO_TABLE.match(text) and ";" not in text.rstrip(";"):
        return []
    if declared := _CURSOR.match(text):
        return faults_of(text[declared.end() :])
    if _STRUCTURE.match(text) or _is_plain(text):
        return []
    try:
        statements = parse(text, read="postgres", error_level=ErrorLevel.RAISE)
    except ParseError as error:
        return [f"not understood: {error.errors[0]['description'] if error.errors else error}"]
    return [fault for statement in statements if statement is not None for fault in _faults_in(statement)]


def _is_plain(text: str) -> bool:
    """Tell whether a text is a query of one table, and can be nothing else: parsing takes as long as the query."""
    words = _WORDS.findall(text.lower())
    tables = sum(word in _TABLES for word in words)
    return words[:1] == ["select"] and not _RISKY.intersection(words) and tables == 1 and ";" not in text


def _faults_in(statement: exp.Expression) -> Iterator[str]:
    if isinstance(statement, (exp.Set, exp.Transaction, exp.Commit, exp.Rollback, exp.Copy, exp.Create, exp.Show)):
        return
    tables = _tables_in(statement)
    spread = [table for table in tables if table.name in SHARD_KEYS]
    yield from (f"{table.name} has no place" for table in tables if not _is_placed(table))
    if isinstance(statement, exp.Command):
        yield f"not understood: {statement.sql('postgres')[:60]}"
        return
    if not spread:
        return
    if isinstance(statement, exp.Insert):
        yield from _faults_of_insert(statement)
        return
    if isinstance(statement, exp.Update):
        yield from _faults_of_update(statement)
    if beside := [table.name for table in tables if table.name in ON_THE_COORDINATOR]:
        yield f"{', '.join(beside)}, which is on the coordinator only, is joined with {spread[0].name}"
    if isinstance(statement, (exp.Update, exp.Delete)) and len(spread) > 1:
        yield "a write that looks into a spread table"
    if not all(_is_bound(table) for table in spread):
        yield from _faults_across_shards(statement, spread)


def _tables_in(statement: exp.Expression) -> list[exp.Table]:
    named = {each.alias_or_name for each in statement.find_all(exp.CTE)}
    found = [table for table in statement.find_all(exp.Table) if isinstance(table.this, exp.Identifier)]
    return [table for table in found if table.name not in named]


def _is_placed(table: exp.Table) -> bool:
    placed = {*SHARD_KEYS, *ON_EACH_SERVER, *ON_THE_COORDINATOR}
    return table.name in placed or table.db in ("pg_catalog", "information_schema") or table.name.startswith("pg_")


def _is_value(node: exp.Expression) -> bool:
    while isinstance(node, (exp.Cast, exp.Collate, exp.Paren)):
        node = node.this
    return isinstance(node, (exp.Parameter, exp.Placeholder, exp.Literal))


def _conditions(node: exp.Expression | None) -> Iterator[exp.Expression]:
    """Yield what must be true, each by itself."""
    while isinstance(node, (exp.Where, exp.Paren)):
        node = node.this
    if isinstance(node, exp.And):
        yield from _conditions(node.left)
        yield from _conditions(node.right)
    elif node is not None:
        yield node


def _is_key_of(node: exp.Expression, table: exp.Table) -> bool:
    if not isinstance(node, exp.Column) or node.name != SHARD_KEYS[table.name]:
        return False
    return node.table in ("", table.alias_or_name)


def _is_bound(table: exp.Table) -> bool:
    """Tell whether a table's rows are those of one value of its shard key."""
    around = table.find_ancestor(exp.Select, exp.Update, exp.Delete)
    for each in _conditions(around.args.get("where")):
        if isinstance(each, exp.EQ):
            for one, other in ((each.left, each.right), (each.right, each.left)):
                if _is_key_of(one, table) and _is_value(other):
                    return True
    return False


def _faults_of_insert(statement: exp.Insert) -> Iterator[str]:
    into = statement.this
    table = into.this if isinstance(into, exp.Schema) else into
    if table.name not in SHARD_KEYS:
        yield "an INSERT that looks into a spread table"
        return
    key = SHARD_KEYS[table.name]
    columns = [each.name for each in into.expressions] if isinstance(into, exp.Schema) else []
    if key not in columns:
        yield f"an INSERT that does not say the {key}"
        return
    source = statement.expression
    if not isinstance(source, exp.Values):
        yield "an INSERT of anything but VALUES"
        return
    at = columns.index(key)
    if any(not _is_value(row.expressions[at]) for row in source.expressions):
        yield f"an INSERT whose {key} is no plain value"
    if statement.find(exp.Subquery, exp.Select):
        yield "a subquery in an INSERT"
    conflict = statement.args.get("conflict")
    if conflict is not None:
        if (named := conflict.args.get("conflict_keys")) and key not in [each.name for each in named]:
            yield f"a conflict over other columns than the {key}"
        if key in [each.this.name for each in conflict.expressions if isinstance(each, exp.EQ)]:
            yield f"an update of the {key}"
    yield from _volatile_in(statement)


def _faults_of_update(statement: exp.Update) -> Iterator[str]:
    key = SHARD_KEYS.get(statement.this.name)
    if key in [each.this.name for each in statement.expressions if isinstance(each, exp.EQ)]:
        yield f"an update of the {key}"
    if statement.args.get("from_"):
        yield "an UPDATE that is joined"
    yield from _volatile_in(statement)


def _volatile_in(statement: exp.Expression) -> Iterator[str]:
    for each in statement.find_all(exp.Func):
        name = each.sql("postgres").partition("(")[0].lower()
        if name in _VOLATILE:
            yield f"a volatile function, {name}, in a write"


def _faults_across_shards(statement: exp.Expression, spread: list[exp.Table]) -> Iterator[str]:
    if any(select.args.get("locks") for select in statement.find_all(exp.Select)):
        yield "locks on the rows of several profiles"
    yield from ("TABLESAMPLE across shards" for _ in statement.find_all(exp.TableSample))
    yield from ("grouping sets across shards" for _ in statement.find_all(*_GROUPINGS))
    yield from ("a recursive query across shards" for each in statement.find_all(exp.With) if each.recursive)
    yield from ("set operations across shards" for _ in statement.find_all(exp.SetOperation))
    for window in statement.find_all(exp.Window):
        parts = [each for each in window.args.get("partition_by") or [] if isinstance(each, exp.Column)]
        if not any(each.name in SHARD_KEYS.values() for each in parts):
            yield "a window over several shards"
    for table in spread:
        if table.find_ancestor(exp.In, exp.Exists, exp.Any, exp.Where):
            yield f"a subquery of {table.name} in a condition"
        elif not _is_joined_by_key(table):
            yield f"{table.name} is joined by something else than the shard key"
    if isinstance(statement, (exp.Update, exp.Delete)) and statement.find(exp.Limit):
        yield "a write to what a LIMIT leaves of several shards"


def _is_joined_by_key(table: exp.Table) -> bool:
    """Tell whether a table is the first of its query, or its shard key is said to be that of another one."""
    select = table.find_ancestor(exp.Select, exp.Update, exp.Delete)
    joins = [join for join in select.args.get("joins") or [] if join.find(exp.Table)]
    if not any(table is each for join in joins for each in join.find_all(exp.Table)):
        return True
    conditions = list(_conditions(select.args.get("where")))
    for join in joins:
        conditions += _conditions(join.args.get("on"))
    for each in conditions:
        if isinstance(each, exp.EQ):
            for one, other in ((each.left, each.right), (each.right, each.left)):
                if _is_key_of(one, table) and isinstance(other, exp.Column) and other.name in SHARD_KEYS.values():
                    return True
    return False
