"""Fetching the profiles that a group of requests names: from the cache, else from the store, through aliases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto

from traitbase.services.ports import Store
from traitbase.services.working import People, ProfileCache, Stored, Working

_ROWS_A_STEP = 256
_DECODED_A_STEP = 512 * 1024  # bytes of documents: a few milliseconds
_HOPS_MAX = 20  # merges let aliases lead to the profile itself; a hop more only where a stale row is cached


class Step(Enum):
    """What comes next in work that is done in steps, for whoever drives it."""

    THINKS = auto()
    ASKS = auto()
    """The next step waits for the store."""


class Loading:
    """Gathers what is wanted, then fetches it."""

    def __init__(self, store: Store, cache: ProfileCache) -> None:
        self._store = store
        self._cache = cache
        self._missing: dict[int, tuple[People, list[str]]] = {}
        self._touched: dict[int, People] = {}
        self._decoded = 0

    def want(self, people: People, distinct_ids: Iterable[str]) -> Iterator[Step]:
        """Note that the profiles of these ids are needed. Yields between steps."""
        by_id, find_cached = people.by_id, self._cache.get
        workspace_id, environment = people.space
        for distinct_id in distinct_ids:
            if distinct_id not in by_id:
                key = (workspace_id, environment, distinct_id)
                stored = find_cached(key)
                by_id[distinct_id] = Working(key, stored)
                if stored is None:
                    self._missing.setdefault(id(people), (people, []))[1].append(distinct_id)
                else:
                    if stored[5] is not None:
                        self._touched[id(people)] = people
                    if self._is_step(stored):
                        yield Step.THINKS

    def run(self) -> Iterator[Step]:
        """Fetch what is missing, and what aliases lead to. Yields between steps."""
        yield from self._fetch()
        followed: dict[int, People] = {}
        while self._touched:
            touched, self._touched = self._touched, {}
            followed.update(touched)
            for people in touched.values():
                yield from self._want_targets(people)
            yield from self._fetch()
        for people in followed.values():
            _resolve(people)

    def _fetch(self) -> Iterator[Step]:
        missing, self._missing = self._missing, {}
        for people, distinct_ids in missing.values():
            for chunk in _in_steps(distinct_ids):
                yield Step.ASKS
                for row in self._store.find_profiles(people.space, chunk):
                    stored = Stored(
                        row.document,
                        row.revision,
                        row.profile_id,
                        row.created_at_us,
                        row.attributes,
                        row.alias_of,
                        row.last_change,
                    )
                    people.by_id[row.distinct_id] = Working((*people.space, row.distinct_id), stored)
                    if row.alias_of is not None:
                        self._touched[id(people)] = people
                    if self._is_step(stored):
                        yield Step.THINKS
                yield Step.THINKS

    def _is_step(self, stored: Stored) -> bool:
        """Count a decoded document, and tell whether so much was decoded that others should have a turn."""
        self._decoded += len(stored[0])
        if self._decoded <= _DECODED_A_STEP:
            return False
        self._decoded = 0
        return True

    def _want_targets(self, people: People) -> Iterator[Step]:
        """Note the aliases met since the last time, and that what they lead to is needed."""
        met = {each: row for each, row in people.by_id.items() if row.alias_of is not None}
        new = [row.alias_of for each, row in met.items() if each not in people.aliases and row.alias_of is not None]
        people.aliases.update(met)
        yield from self.want(people, new)


def _resolve(people: People) -> None:
    """Let every alias stand for the profile that it leads to in the end."""
    for alias, row in people.aliases.items():
        target = row.alias_of or ""
        for _ in range(_HOPS_MAX):
            if target not in people.aliases:
                break
            target = people.aliases[target].alias_of or ""
        people.by_id[alias] = people.by_id[target]


def _in_steps(rows: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(rows), _ROWS_A_STEP):
        yield rows[start : start + _ROWS_A_STEP]
