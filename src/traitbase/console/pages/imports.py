"""Imports: a file is uploaded, its columns and their types are looked at, then its lines become updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.responses import Response

from traitbase.console import jobs, uploads
from traitbase.console.page import Desk, Faults, Page
from traitbase.console.values import KINDS
from traitbase.domain.errors import InvalidInput, NotFound, TraitbaseError
from traitbase.domain.spaces import Space
from traitbase.domain.values import Kind
from traitbase.services.accounts.ports import JobState
from traitbase.services.imports.accounting import Tally
from traitbase.services.imports.columns import Origin
from traitbase.services.imports.importing import Import, Sources, Watch, check_import, plan_import, run_import
from traitbase.services.imports.sources import Format, ImportOptions, open_source

_SHOWN = 20
_WHY = {
    Origin.DEFINED: "defined already",
    Origin.ASKED: "chosen here",
    Origin.EXPORT: "as the export says",
    Origin.FILE: "as the file says",
    Origin.TEXT: "text stays text, until you say otherwise",
}


async def show_all(page: Page) -> Response:
    """Show what was imported and what is being, and let a file be uploaded."""
    return await _show_all(page, Faults(), status=200)


async def _show_all(page: Page, faults: Faults, *, status: int) -> Response:
    rows = await page.run(page.desk.parts.store.list_jobs, page.space, limit=_SHOWN)
    found = [jobs.Job.of(row) for row in rows]
    return page.render("imports.html", status=status, faults=faults, jobs=found, given=page.fields(), formats=[*Format])


async def upload(page: Page) -> Response:
    """Take a file, and show what is in it before anything is written."""
    file = page.upload("file")
    if file is None:
        return await _show_all(page, Faults("", {"file": "choose a file first"}), status=400)
    name = Path(file.filename or "file").name[:200]
    folder = uploads.folder_of(page.desk.parts.uploads)
    stored = await page.run(uploads.keep, folder, file.file, name)
    about: dict[str, Any] = {
        "kind": "import",
        "file": name,
        "stored": stored,
        "format": page.text("format") or None,
        "encoding": page.line("encoding") or None,
        "delimiter": page.text("delimiter") or None,
        "types": {},
    }
    try:
        await page.run(_plan, page.desk, page.space, about)
    except TraitbaseError as error:
        (folder / stored).unlink(missing_ok=True)
        message = error.message.replace("--encoding", "the encoding").replace(stored, name)
        where = "encoding" if "encoding" in message else "file"
        return await _show_all(page, Faults("", {where: message}), status=400)
    job = jobs.new_job(page, about, state=JobState.WAITING)
    await jobs.keep(page.desk, page.space, job)
    page.about(name)
    return page.go("imports/plan", id=job.row.job_id)


async def show_plan(page: Page) -> Response:
    """Show the columns of an uploaded file with the types they are going to have."""
    job = await _waiting(page, page.query("id"))
    return await _show_plan(page, job, Faults(), status=200)


async def _show_plan(page: Page, job: jobs.Job, faults: Faults, *, status: int) -> Response:
    planned = await page.run(_plan, page.desk, page.space, {**job.about, "types": {}})
    samples = await page.run(_samples, planned)
    return page.render(
        "import_plan.html",
        status=status,
        faults=faults,
        job=job,
        planned=planned,
        why=_WHY,
        samples=samples,
        kinds=KINDS,
        given=page.fields(),
    )


async def start(page: Page) -> Response:
    """Read an uploaded file with the types that were chosen: for real, or only to see what would happen."""
    job = await _waiting(page, page.text("id"))
    is_trial = page.text("do") == "try"
    names, kinds = page.texts("column"), page.texts("kind")
    chosen = {name: kind for name, kind in zip(names, kinds, strict=False) if kind}
    about = {**job.about, "types": chosen, "is_trial": is_trial}
    try:
        planned = await page.run(_plan, page.desk, page.space, about)
    except TraitbaseError as error:
        return await _show_plan(page, job, Faults.in_error(error), status=400)
    running = jobs.new_job(page, about, state=JobState.RUNNING) if is_trial else job
    running.about = about
    given = _sources(page)
    desk = page.desk

    async def work(progress: jobs.Progress) -> dict[str, Any]:
        progress.total = planned.source.total

        def on_progress(position: int) -> None:
            progress.done = position

        def run() -> Tally:
            watch = Watch(on_progress=on_progress)
            if is_trial:
                return check_import(planned, watch=watch)
            return run_import(desk.parts.store, planned, given=given, watch=watch)

        try:
            tally = await jobs.in_thread_of_its_own(run)
        finally:
            if not is_trial:
                (uploads.folder_of(desk.parts.uploads) / about["stored"]).unlink(missing_ok=True)
        return _summary(tally)

    page.about(job.about["file"])
    await jobs.begin(page, running, work)
    return page.go("job", id=running.row.job_id, back=None if not is_trial else job.row.job_id)


async def show_job(page: Page) -> Response:
    """Show how far a piece of work is, or what came of it."""
    job = await jobs.find(page, page.query("id"))
    silent_us = page.desk.parts.now_us() - job.row.updated_at_us
    is_silent = job.row.state is JobState.RUNNING and silent_us > jobs.SILENT_SECONDS * 1_000_000
    template = "job_state.html" if page.is_fragment else "job.html"
    return page.render(template, job=job, is_silent=is_silent, back=page.query("back"))


def _sources(page: Page) -> Sources:
    parts = page.desk.parts
    return Sources(
        parts.now_us,
        parts.new_id,
        parts.new_profile_id,
        keeps_history=parts.keeps_history,
        key_id=page.signed_in.account.account_id,
    )


async def _waiting(page: Page, job_id: str) -> jobs.Job:
    """Return an import that waits to be begun. Raises NotFound."""
    job = await jobs.find(page, job_id)
    if job.row.state is not JobState.WAITING or job.about.get("kind") != "import":
        raise page.missing("import that waits to be begun: it was begun already")
    if not (uploads.folder_of(page.desk.parts.uploads) / str(job.about["stored"])).exists():
        message = "the file is not here any more (files wait for a day, on the server that took them): upload it again"
        raise NotFound(message)
    return job


def _plan(desk: Desk, space: Space, about: dict[str, Any]) -> Import:
    """Return the file as it would be read. Raises InvalidInput and Conflict naming the column."""
    kinds = {}
    for name, word in about["types"].items():
        if word not in set(Kind):
            message = f"{name}: expected one of the types"
            raise InvalidInput(message)
        kinds[name] = Kind(word)
    format_ = Format(about["format"]) if about["format"] in set(Format) else None
    options = ImportOptions(format_, about["delimiter"], about["encoding"], kinds)
    opened = open_source(uploads.folder_of(desk.parts.uploads) / about["stored"], options)
    return plan_import(desk.parts.store, space, opened, asked=kinds)


def _samples(planned: Import) -> dict[str, list[str]]:
    """Return for each column the first few values, as they would be sent."""
    found: dict[str, list[str]] = {}
    for chunk in planned.source.read(planned.columns, rows=20):
        for entry in chunk.entries:
            for _, payload in getattr(entry, "operations", ()):
                for name, value in payload.items() if isinstance(payload, dict) else ():
                    values = found.setdefault(name, [])
                    if len(values) < 3:
                        values.append(str(value)[:60])
        break
    return found


def _summary(tally: Tally) -> dict[str, Any]:
    """Return what became of a file's lines. Of samples only where, what and why: nothing of whom."""
    return {
        "read": tally.read,
        "applied": tally.applied,
        "applied_partly": tally.applied_partly,
        "ignored": tally.ignored,
        "refused": tally.refused,
        "blank": tally.blank,
        "ignored_values": dict(tally.ignored_values),
        "refused_lines": dict(tally.refused_lines),
        "samples": [
            {"line": each.line, "outcome": each.outcome, "property": each.property, "message": each.message}
            for each in tally.samples
        ],
    }
