"""`traitbase cohort`: how many are in, who, why, and all of them as a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from traitbase import bootstrap
from traitbase.cli.options import AsJson, Data, existing_store_in, settings_for
from traitbase.domain.errors import InvalidInput, NotFound
from traitbase.domain.rules.explaining import ExplainedGroup, ExplainedRule
from traitbase.domain.spaces import Environment, Space
from traitbase.domain.values import written
from traitbase.services.cohorts.counting import Asking
from traitbase.services.cohorts.exporting import write_cohort
from traitbase.services.exports.files import whole_file
from traitbase.services.imports.sources import Format
from traitbase.services.ports import CohortRow
from traitbase.services.workspaces import get_workspace

app = typer.Typer(help="Count cohorts, list and export their members, explain who is in.", no_args_is_help=True)

Workspace = Annotated[str, typer.Option("--workspace", help="The workspace's id (WSID).")]
Version = Annotated[Environment, typer.Option("--environment", help="live or test.")]
Cohort = Annotated[str, typer.Argument(metavar="COHORT", help="The cohort's id or name.")]

_BY_SUFFIX = {".csv": Format.CSV, ".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON, ".parquet": Format.PARQUET}


@app.command("count")
def count(
    cohort: Cohort,
    workspace: Workspace,
    environment: Version = Environment.LIVE,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Print how many are in."""
    with _asking(data, workspace, environment, cohort) as (asking, space, row):
        counted = asking.count(space, row.cohort_id, now_us=bootstrap.now_us())
    if as_json:
        _print({"cohort_id": row.cohort_id, "name": row.name, "count": counted.count, "total": counted.total})
        return
    typer.echo(f"{counted.count:,} of {counted.total:,} profiles are in “{row.name}”.")


@app.command("members")
def members(
    cohort: Cohort,
    workspace: Workspace,
    environment: Version = Environment.LIVE,
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many at most. Default: all.", show_default=False)
    ] = None,
    data: Data = None,
) -> None:
    """Print the members' distinct_ids, one a line, in order."""
    with (
        _asking(data, workspace, environment, cohort) as (asking, space, row),
        asking.all_members(space, row.cohort_id, now_us=bootstrap.now_us()) as (view, plan),
    ):
        left = limit
        for ids in view.all_members(plan):
            shown = ids if left is None else ids[:left]
            for distinct_id in shown:
                typer.echo(distinct_id)
            left = None if left is None else left - len(shown)
            if left == 0:
                return


@app.command("export")
def export(
    cohort: Cohort,
    workspace: Workspace,
    out: Annotated[Path, typer.Option(help="The file to make: .ndjson, .csv or .parquet.")],
    environment: Version = Environment.LIVE,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if there is one.")] = False,
    data: Data = None,
) -> None:
    """Export the members with all that is known of them, as they are at this moment."""
    format_ = _BY_SUFFIX.get(out.suffix.lower())
    if format_ is None:
        raise InvalidInput(f"--out {out}: name the file .ndjson, .csv or .parquet: its format goes by that")
    with _asking(data, workspace, environment, cohort) as (asking, space, row), whole_file(out, replaces=force) as part:
        write_cohort(asking, space, row.cohort_id, format_, part, now_us=bootstrap.now_us())
    typer.echo(f"The members of “{row.name}” are in {out}.")


@app.command("explain")
def explain(
    cohort: Cohort,
    distinct_id: Annotated[str, typer.Argument(metavar="DISTINCT_ID", help="Whose membership.")],
    workspace: Workspace,
    environment: Version = Environment.LIVE,
    data: Data = None,
) -> None:
    """Say whether somebody is in, and why: every rule, what it saw, and whether it holds."""
    with _asking(data, workspace, environment, cohort) as (asking, space, row):
        explained = asking.explain(space, row.cohort_id, distinct_id, now_us=bootstrap.now_us())
    typer.echo(f"{explained.distinct_id} is {'' if explained.is_member else 'not '}in “{row.name}”.")
    if explained.tree is None:
        typer.echo("It is a list of members, without a rule.")
    else:
        for line in _lines(explained.tree, 0):
            typer.echo(line)


@contextmanager
def _asking(
    data: Data, workspace: str, environment: Environment, cohort: str
) -> Iterator[tuple[Asking, Space, CohortRow]]:
    """Open store and engine, and find the cohort. With a server on the same folder, the engine works in memory."""
    store = existing_store_in(data)
    try:
        get_workspace(store, workspace)
        space = Space(workspace, environment.value)
        row = _find(store.list_cohorts(space), cohort)
        engine = bootstrap.open_engine(store, settings_for(data), tell=_tell)
        try:
            yield Asking(store, engine), space, row
        finally:
            engine.close()
    finally:
        store.close()


def _find(rows: list[CohortRow], sought: str) -> CohortRow:
    for row in rows:
        if sought in (row.cohort_id, row.name):
            return row
    there = ", ".join(f"“{row.name}”" for row in rows[:10]) or "none"
    raise NotFound(f"there is no cohort {sought!r} here; there are: {there}", code="cohort_not_found")


def _tell(event: str, **fields: Any) -> None:
    """Say on a terminal how far a long work is."""
    if event == "cohorts_progress" and sys.stderr.isatty():
        typer.echo(f"{fields['doing']}: {fields['done']:,} of {fields['of']:,} profiles", err=True)


def _lines(node: ExplainedGroup | ExplainedRule, depth: int) -> Iterator[str]:
    mark = "✓" if node.holds else "✗"
    indent = "  " * depth
    if isinstance(node, ExplainedGroup):
        word = "all of" if node.combinator.value == "and" else "any of"
        yield f"{indent}{mark} {'not ' if node.negated else ''}{word}"
        for part in node.parts:
            yield from _lines(part, depth + 1)
        return
    value = "" if node.rule.value is None else f" {msgspec.json.encode(node.rule.value).decode()}"
    seen = "nothing" if node.seen is None else msgspec.json.encode(written(node.seen)).decode()
    if node.memberships is not None:
        seen = ", ".join(f"{each}: {'in' if is_in else 'out'}" for each, is_in in node.memberships.items())
    yield f"{indent}{mark} {node.rule.field} {node.rule.operator.value}{value} (saw {seen})"


def _print(answer: dict[str, Any]) -> None:
    typer.echo(msgspec.json.encode(answer).decode())
