"""A store with one workspace, and an import of some bytes into it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from traitbase.domain.spaces import Space, Workspace
from traitbase.domain.values import Kind, decode_properties
from traitbase.services.imports.accounting import Finding, Tally
from traitbase.services.imports.importing import Import, Sources, Watch, check_import, plan_import, run_import
from traitbase.services.imports.sources import ImportOptions, open_source
from traitbase.services.ports import Store
from traitbase.store.memory import MemoryStore

NORTH = Space("north", "live")


@dataclass
class Importing:
    folder: Path
    store: Store = field(default_factory=MemoryStore)
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self):
        if self.store.find_workspace(NORTH.workspace_id) is None:
            self.store.add_workspace(Workspace(NORTH.workspace_id, "North", "UTC", 1))
        self._numbers = itertools.count(1)
        self.sources = Sources(
            now_us=lambda: next(self._numbers),
            new_request_id=lambda: f"request-{next(self._numbers)}",
            new_profile_id=lambda: f"{next(self._numbers):024x}",
        )

    def file(self, content: bytes | str, name: str) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def plan(self, content: bytes | str | Path, name: str = "file.csv", *, ask=None, **options) -> Import:
        path = content if isinstance(content, Path) else self.file(content, name)
        wishes = ImportOptions(**options)
        return plan_import(self.store, NORTH, open_source(path, wishes, ask=ask), asked=dict(wishes.kinds))

    def run(self, content: bytes | str | Path, name: str = "file.csv", **options) -> Tally:
        planned = self.plan(content, name, **options)
        return run_import(self.store, planned, given=self.sources, watch=Watch(report=self.findings.append))

    def check(self, content: bytes | str | Path, name: str = "file.csv", **options) -> Tally:
        return check_import(self.plan(content, name, **options), watch=Watch(report=self.findings.append))

    def properties(self, distinct_id: str) -> dict | None:
        rows = self.store.find_profiles(NORTH, [distinct_id])
        return decode_properties(rows[0].document) if rows else None

    def kinds(self) -> dict[str, Kind]:
        return {row.name: row.kind for row in self.store.get_definitions(NORTH)[1]}

    def sent(self, distinct_id: str) -> list[dict]:
        """The operations of every change of a profile, as the receipts have them."""
        changes = itertools.chain.from_iterable(self.store.tables.changes.values())
        return [msgspec.json.decode(change.operations) for change in changes if change.distinct_id == distinct_id]


def obeys_the_law(tally: Tally) -> bool:
    return (
        tally.applied + tally.ignored + tally.refused + tally.blank == tally.read
        and tally.applied_partly <= tally.ignored
        and sum(tally.refused_lines.values()) == tally.refused
    )
