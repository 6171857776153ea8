"""`traitbase campaign`: seen, steered and reported from the command line."""

from __future__ import annotations

import pytest

from support.campaigning import SPACE, World
from support.data import open_store
from support.server import run_cli, run_json

IN = ("--workspace", SPACE.workspace_id)


@pytest.fixture
def world(tmp_path):
    opened = World(open_store(tmp_path / "data"), tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def campaign_id(world):
    return world.campaign(world.static_cohort(world.people(5)), options={"rate": 2})


def test_a_campaign_goes_from_draft_to_its_report(world, campaign_id):
    data = world.folder
    listed = run_json("campaign", "list", *IN, data=data)["campaigns"]
    assert [(each["campaign_id"], each["state"]) for each in listed] == [(campaign_id, "draft")]
    name = listed[0]["name"]
    launched = run_json("campaign", "launch", name, *IN, "--expected-count", "5", data=data)
    assert (launched["state"], launched["held"]) == ("scheduled", None)
    worker = world.worker()
    world.now = 4_000_000_000_000_000
    world.run_out(worker)
    world.steering.resume(SPACE, campaign_id)  # it is late by the clock of this test
    world.run_out(worker)
    paused = run_cli("campaign", "pause", campaign_id, *IN, data=data)
    assert (paused.returncode, "is paused" in paused.stdout) == (0, True), paused.stderr
    resumed = run_cli("campaign", "resume", campaign_id, *IN, data=data)
    assert (resumed.returncode, "is running" in resumed.stdout) == (0, True), resumed.stderr
    world.run_out(worker, seconds=10)
    report = run_cli("campaign", "report", campaign_id, *IN, data=data)
    assert report.returncode == 0, report.stderr
    assert "5 members" in report.stdout
    assert "email: 5 planned, 5 sent" in report.stdout
    assert run_json("campaign", "report", campaign_id, *IN, data=data)["states"] == {"sent": 5}
    assert "finished" in run_cli("campaign", "show", campaign_id, *IN, data=data).stdout


def test_what_cannot_be_is_told(world, campaign_id):
    data = world.folder
    done = run_cli("campaign", "pause", campaign_id, *IN, data=data)
    assert (done.returncode, "the campaign is draft" in done.stderr) == (2, True)
    done = run_cli("campaign", "show", "nothing", *IN, data=data)
    assert (done.returncode, "there is no campaign 'nothing' here; there are: “" in done.stderr) == (2, True)
    done = run_cli("campaign", "report", campaign_id, *IN, data=data)
    assert (done.returncode, "has not run yet" in done.stderr) == (2, True)
    assert run_cli("campaign", "cancel", campaign_id, *IN, data=data).returncode == 0


def test_a_restored_copy_is_held(world, campaign_id):
    run_json("campaign", "launch", campaign_id, *IN, data=world.folder)
    done = run_cli("campaign", "restored", data=world.folder)
    assert (done.returncode, "every scheduled campaign" in done.stdout) == (0, True)
    listed = run_cli("campaign", "list", *IN, data=world.folder)
    assert "a backup was restored" in listed.stdout
    done = run_cli("campaign", "calls", "--cancel", data=world.folder)
    assert (done.returncode, "0 calls are cancelled" in done.stdout) == (0, True)
