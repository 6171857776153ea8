"""Exporting: the members of a cohort as a file, in the layout in which all profiles are exported."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from traitbase.domain.rules.plan import Plan
from traitbase.domain.spaces import Space
from traitbase.services.cohorts.counting import Asking
from traitbase.services.cohorts.ports import CohortView
from traitbase.services.exports.delimited import write_csv
from traitbase.services.exports.layout import header_of
from traitbase.services.exports.ndjson import write_ndjson
from traitbase.services.exports.parquet import write_parquet
from traitbase.services.imports.sources import Format
from traitbase.services.ports import ProfileRow

_PROFILES_A_STEP = 500


def export_cohort(asking: Asking, space: Space, cohort_id: str, format_: Format, *, now_us: int) -> BinaryIO:
    """Return an open file with the members of a cohort and all that is known of them, as they are at one moment.

    It has no name any more, so that nothing is left of it when it is closed, or its process ends. Raises NotFound;
    Refused if the members cannot be computed or there is no room for the file.
    """
    descriptor, name = tempfile.mkstemp(prefix="traitbase-")
    path = Path(name)
    os.close(descriptor)
    try:
        write_cohort(asking, space, cohort_id, format_, path, now_us=now_us)
        return path.open("rb")
    finally:
        path.unlink()


def write_cohort(asking: Asking, space: Space, cohort_id: str, format_: Format, path: Path, *, now_us: int) -> None:
    """Write the same to a file that is there."""
    with asking.all_members(space, cohort_id, now_us=now_us) as (view, plan):
        workspace = view.snapshot.get_workspace()
        header = header_of(view.snapshot.get_definitions(), timezone=workspace.timezone)
        steps = _profiles(view, plan)
        if format_ is Format.PARQUET:
            write_parquet(header, steps, path)
            return
        write = write_csv if format_ is Format.CSV else write_ndjson
        with path.open("wb") as out:
            write(header, steps, out)


def _profiles(view: CohortView, plan: Plan) -> Iterator[Sequence[ProfileRow]]:
    for ids in view.all_members(plan):
        for start in range(0, len(ids), _PROFILES_A_STEP):
            step = ids[start : start + _PROFILES_A_STEP]
            found = {row.distinct_id: row for row in view.snapshot.find_profiles(step)}
            yield [found[each] for each in step]
