"""`traitbase campaign`: see and steer campaigns where the data is. A server or worker on the same data sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from traitbase import bootstrap
from traitbase.cli.options import AsJson, Data, existing_store_in, settings_for, show_table
from traitbase.domain.campaign_bodies import Launch
from traitbase.domain.campaigns import TOLERANCE_USUAL, decode_campaign, decode_reason
from traitbase.domain.errors import NotFound
from traitbase.domain.spaces import Environment, Space
from traitbase.services.campaigns.ports import CampaignRow, CampaignStore
from traitbase.services.campaigns.reporting import ChannelReport, RunReport, report_of
from traitbase.services.campaigns.steering import Steering
from traitbase.services.workspaces import get_workspace

app = typer.Typer(help="List campaigns, launch, pause, resume and cancel them, and report.", no_args_is_help=True)

Workspace = Annotated[str, typer.Option("--workspace", help="The workspace's id (WSID).")]
Version = Annotated[Environment, typer.Option("--environment", help="live or test.")]
_TOLD = ("sending", "delivered", "bounced", "failed", "unconfirmed")

Named = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's id or name.")]


@app.command("list")
def list_campaigns(
    workspace: Workspace, environment: Version = Environment.LIVE, data: Data = None, as_json: AsJson = False
) -> None:
    """List all campaigns, the newest first."""
    with _opened(data, workspace, environment) as (store, space, _):
        rows = store.list_campaigns(space)
    if as_json:
        _print({"campaigns": [_shown(row) for row in rows]})
        return
    table = Table("id", "name", "state", "next run (UTC)", "held because")
    for row in rows:
        held = decode_reason(row.held)
        table.add_row(
            row.campaign_id, row.name, row.state.value, _time(row.next_at_us), "" if held is None else held.message
        )
    show_table(table)


@app.command("show")
def show(
    campaign: Named,
    workspace: Workspace,
    environment: Version = Environment.LIVE,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show one campaign."""
    with _opened(data, workspace, environment) as (store, space, _):
        row = _find(store.list_campaigns(space), campaign)
    _tell(row, as_json=as_json)


@app.command("launch")
def launch(
    campaign: Named,
    workspace: Workspace,
    environment: Version = Environment.LIVE,
    expected_count: Annotated[
        int | None, typer.Option(min=0, help="Hold it if its audience is another size.", show_default=False)
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="How far off that may be (a share).")
    ] = TOLERANCE_USUAL,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Launch a draft: now, or when it is due."""
    with _opened(data, workspace, environment) as (store, space, steering):
        row = _find(store.list_campaigns(space), campaign)
        row = steering.launch(space, row.campaign_id, Launch(expected_count, tolerance))
    _tell(row, as_json=as_json)


@app.command("pause")
def pause(
    campaign: Named,
    workspace: Workspace,
    environment: Version = Environment.LIVE,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Stop handing over messages; what is under way is written down."""
    _steer(Steering.pause, campaign, workspace, environment, data, as_json=as_json)


@app.command("resume")
def resume(
    campaign: Named,
    workspace: Workspace,
    environment: Version = Environment.LIVE,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a campaign that is paused, or start one that is held."""
    _steer(Steering.resume, campaign, workspace, environment, data, as_json=as_json)


@app.command("cancel")
def cancel(
    campaign: Named,
    workspace: Workspace,
    environment: Version = Environment.LIVE,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """End a campaign: what was not handed over is cancelled."""
    _steer(Steering.cancel, campaign, workspace, environment, data, as_json=as_json)


@app.command("report")
def report(
    campaign: Named,
    workspace: Workspace,
    environment: Version = Environment.LIVE,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Tell what became of a campaign's newest run."""
    with _opened(data, workspace, environment) as (store, space, _):
        row = _find(store.list_campaigns(space), campaign)
        run = None if row.run_id is None else store.find_run(space, row.run_id)
        if run is None:
            raise NotFound(f"“{row.name}” has not run yet: it is {row.state}", code="run_not_found")
        found = report_of(store, space, run)
    if as_json:
        _print({**_shown(row), "members": run.members, "states": dict(found.total.states)})
        return
    for line in report_lines(row.name, found):
        typer.echo(line)


@app.command("restored")
def restored(
    data: Data = None,
    reason: Annotated[str, typer.Option(help="What the people who decide are told.")] = "a backup was restored",
) -> None:
    """Say that this data is a restored copy: whatever was going on or is scheduled waits for a person.

    Run it before the first server starts on the copy.
    """
    with closing(existing_store_in(data)) as store:
        held = Steering(store, bootstrap.now_us, "").begin_epoch(reason)
    typer.echo(
        f"{held} runs are held, and so is every scheduled campaign. Look at each, then resume or cancel it; calls of "
        "the API: traitbase campaign calls --cancel, or --send"
    )


@app.command("calls")
def calls(
    send: Annotated[bool, typer.Option("--send/--cancel", help="Send what they asked for, or cancel it.")],
    data: Data = None,
) -> None:
    """Decide about the API's calls that were held when this data was restored."""
    with closing(existing_store_in(data)) as store:
        released = Steering(store, bootstrap.now_us, "").release_calls(cancel=not send)
    typer.echo(f"{released} calls {'go on' if send else 'are cancelled'}.")


def report_lines(name: str, found: RunReport) -> Iterator[str]:
    """Yield a report as people read it."""
    run = found.run
    members = "1 member" if run.members == 1 else f"{run.members:,} members"
    yield f"“{name}”, {run.state}: {members}, times in UTC (the workspace's zone is {found.zone})"
    yield f"  began {_time(run.started_at_us)}, ended {_time(run.finished_at_us) or '-'}"
    if found.counts is not None and (found.counts.control or found.counts.outside):
        counts = found.counts
        yield f"  not sent to: {counts.control:,} in the control group, {counts.outside:,} outside the sample"
    for channel, each in sorted(found.channels.items()):
        yield f"  {channel}: {_channel_line(each)}"
        for what, counted in (("failed", each.failed), ("not sent", each.not_sent)):
            for reason, number in sorted(counted.items()):
                yield f"    {what} ({reason}): {number:,}"


def _channel_line(report: ChannelReport) -> str:
    parts = [f"{report.planned:,} planned", f"{report.sent:,} sent"]
    shown = {"planned": "waiting", **{each: each for each in _TOLD}}
    parts += [f"{report.states[state]:,} {word}" for state, word in shown.items() if report.states.get(state)]
    for what, number in (
        ("opened", report.opened),
        ("clicked", report.clicked),
        ("unsubscribed", report.unsubscribed),
        ("complained", report.complained),
    ):
        if number:
            parts.append(f"{number:,} {what}")
    return ", ".join(parts)


def _steer(
    do: Callable[[Steering, Space, str], CampaignRow],
    campaign: str,
    workspace: str,
    environment: Environment,
    data: Data,
    *,
    as_json: bool,
) -> None:
    with _opened(data, workspace, environment) as (store, space, steering):
        row = do(steering, space, _find(store.list_campaigns(space), campaign).campaign_id)
    _tell(row, as_json=as_json)


@contextmanager
def _opened(data: Data, workspace: str, environment: Environment) -> Iterator[tuple[CampaignStore, Space, Steering]]:
    with closing(existing_store_in(data)) as store:
        get_workspace(store, workspace)
        steering = Steering(store, bootstrap.now_us, settings_for(data).public_url)
        yield store, Space(workspace, environment.value), steering


def _find(rows: list[CampaignRow], sought: str) -> CampaignRow:
    for row in rows:
        if sought in (row.campaign_id, row.name):
            return row
    there = ", ".join(f"“{row.name}”" for row in rows[:10]) or "none"
    raise NotFound(f"there is no campaign {sought!r} here; there are: {there}", code="campaign_not_found")


def _tell(row: CampaignRow, *, as_json: bool) -> None:
    if as_json:
        _print(_shown(row))
        return
    typer.echo(f"“{row.name}” ({row.campaign_id}) is {row.state}.")
    if row.next_at_us is not None:
        typer.echo(f"  Its next run is at {_time(row.next_at_us)} UTC.")
    held = decode_reason(row.held)
    if held is not None:
        typer.echo(f"  It waits for a person: {held.message}")


def _shown(row: CampaignRow) -> dict[str, Any]:
    held = decode_reason(row.held)
    return {
        "campaign_id": row.campaign_id,
        "name": row.name,
        "state": row.state.value,
        "held": None if held is None else {"code": held.code, "message": held.message},
        "next_run_at": _time(row.next_at_us) or None,
        "run_id": row.run_id,
        "campaign": msgspec.to_builtins(decode_campaign(row.document)),
    }


def _time(at_us: int | None) -> str:
    return "" if at_us is None else f"{datetime.fromtimestamp(at_us / 1_000_000, UTC):%Y-%m-%d %H:%M:%S}"


def _print(answer: dict[str, Any]) -> None:
    typer.echo(msgspec.json.encode(answer).decode())
