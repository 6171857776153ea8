"""Profiles while a group of requests is applied to them: what is stored, what became of it, and under which ids."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from traitbase.domain.attributes import Attributes, decode_attributes, encode_attributes
from traitbase.domain.profiles import Profile
from traitbase.domain.spaces import Space
from traitbase.domain.values import Value, decode_properties

Key: TypeAlias = tuple[str, str, str]
"""A profile's key: workspace, environment, distinct_id."""

_CACHED_PROFILES = 100_000
_CACHED_BYTES = 32 * 1024 * 1024
_NO_PROPERTIES: dict[str, Value] = {}


class Stored(NamedTuple):
    """The row of an id as it is in the store, or will be once the group before is written."""

    document: str
    revision: int
    profile_id: str
    created_at_us: int
    attributes: str | None
    alias_of: str | None
    last_change: str | None


class Working:
    """One id's row while a group is prepared.

    It is a profile, an alias (`alias_of`), or nothing (both None). `stored` is what it was (None: there was no row);
    `document` is that of the profile as stored, and of the new one once it is collected. `edited`: more than properties
    changed, so that all of it is written.
    """

    __slots__ = (
        "_attributes",
        "alias_of",
        "attributes_document",
        "changed_at_us",
        "created_at_us",
        "document",
        "edited",
        "key",
        "last_change",
        "profile",
        "profile_id",
        "stored",
        "stored_properties",
    )

    def __init__(self, key: Key, stored: Stored | None) -> None:
        self.key = key
        self.stored = stored
        self.changed_at_us = 0
        self.edited = False
        self._attributes: Attributes | None = None
        self.profile: Profile | None = None
        self.stored_properties = _NO_PROPERTIES
        if stored is None:
            self.document, self.profile_id, self.created_at_us = "", "", 0
            self.attributes_document: str | None = None
            self.alias_of: str | None = None
            self.last_change: str | None = None
            return
        text, _, self.profile_id, self.created_at_us, self.attributes_document, self.alias_of, self.last_change = stored
        self.document = text
        if self.alias_of is None:
            self.stored_properties = decode_properties(text)
            size = len(text) if text.isascii() else len(text.encode())
            self.profile = Profile(self.stored_properties, size, is_exact=True)

    @property
    def distinct_id(self) -> str:
        """The id itself."""
        return self.key[2]

    @property
    def stored_revision(self) -> int:
        """The revision of the stored row (0: there is none)."""
        return 0 if self.stored is None else self.stored.revision

    @property
    def attributes(self) -> Attributes:
        """What the profile has beside its properties."""
        if self._attributes is None:
            self._attributes = decode_attributes(self.attributes_document)
        return self._attributes

    def put(self, profile: Profile, attributes: Attributes, *, at_us: int) -> None:
        """Make this id's row that profile."""
        self.profile, self._attributes = profile, attributes
        self.attributes_document = encode_attributes(attributes)
        self.alias_of = None
        self.edited = True
        self.changed_at_us = at_us

    def retire(self, *, alias_of: str | None, at_us: int) -> None:
        """Take the profile out of this id's row; it leads to another one, or (None) nowhere."""
        self.profile, self._attributes, self.attributes_document = None, None, None
        self.document = "{}"
        self.alias_of = alias_of
        self.edited = True
        self.changed_at_us = at_us


class People:
    """The profiles of one space that a group deals with.

    `by_id` has every id that was asked for and the profile (or its absence) that it leads to; `aliases` the rows of
    those ids that lead elsewhere; `left` rows that are erased. `repointed` says where aliases lead from now on, also
    ones that were never looked at.
    """

    __slots__ = ("aliases", "by_id", "left", "repointed", "space")

    def __init__(self, space: Space) -> None:
        self.space = space
        self.by_id: dict[str, Working] = {}
        self.aliases: dict[str, Working] = {}
        self.left: list[Working] = []
        self.repointed: dict[str, str] = {}

    def rows(self) -> Iterator[Working]:
        """Yield every row once, in order of ids (so that no two writers ever wait crosswise)."""
        if not self.aliases and not self.left:
            by_id = self.by_id
            for distinct_id in sorted(by_id):
                yield by_id[distinct_id]
            return
        own = [work for distinct_id, work in self.by_id.items() if work.key[2] == distinct_id]
        yield from sorted([*own, *self.aliases.values(), *self.left], key=_distinct_id_of)

    def repoint(self, alias: str, target: Working) -> None:
        """Let an alias lead to another profile from now on."""
        self.repointed[alias] = target.distinct_id
        row = self.aliases.get(alias)
        if row is not None:
            row.alias_of = target.distinct_id
        if alias in self.by_id:
            self.by_id[alias] = target


def _distinct_id_of(work: Working) -> str:
    return work.key[2]


class ProfileCache:
    """The rows written last, bounded in number and in bytes.

    It keeps documents, not decoded profiles: decoding one again takes a tenth of the time of asking the database, and a
    hundred thousand documents are a hundred thousand strings that the garbage collector never has to walk through.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[Key, Stored] = OrderedDict()
        self._bytes = 0
        self.get = self._entries.get

    def put(self, key: Key, stored: Stored) -> None:
        """Remember what a row is, or will be once its group is written."""
        before = self._entries.get(key)
        if before is None:
            self._bytes += _size_of(stored)
        else:
            self._bytes += _size_of(stored) - _size_of(before)
            self._entries.move_to_end(key)
        self._entries[key] = stored

    def drop(self, key: Key) -> None:
        """Forget a row."""
        stored = self._entries.pop(key, None)
        if stored is not None:
            self._bytes -= _size_of(stored)

    def shrink(self) -> None:
        """Let the oldest go. Only called after a commit: until then the newest exist nowhere else."""
        while len(self._entries) > _CACHED_PROFILES or self._bytes > _CACHED_BYTES:
            _, stored = self._entries.popitem(last=False)
            self._bytes -= _size_of(stored)


def _size_of(stored: Stored) -> int:
    return len(stored[0]) + (0 if stored[4] is None else len(stored[4]))
