"""The six operations as methods, once for everything that takes them: a client and a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from traitbase.client.items import Item
from traitbase.client.values import Conversion, PropertyValue
from traitbase.domain.updates import Operation

Taken = TypeVar("Taken")


class PropertyOperations(ABC, Generic[Taken]):
    """Methods that change the properties of one profile.

    A client sends each at once and returns the request id, for `Client.receipt`; a batch gathers it and returns None.
    All raise InvalidValue, before anything is sent, for a value that has no honest form on the wire.
    """

    def __init__(self, conversion: Conversion) -> None:
        self._conversion = conversion

    def set(self, distinct_id: str, properties: Mapping[str, PropertyValue]) -> Taken:
        """Replace the values of properties."""
        return self._take(self._conversion.item(distinct_id, Operation.SET, properties))

    def set_once(self, distinct_id: str, properties: Mapping[str, PropertyValue]) -> Taken:
        """Give values to those properties that have none."""
        return self._take(self._conversion.item(distinct_id, Operation.ONCE, properties))

    def add(self, distinct_id: str, properties: Mapping[str, PropertyValue]) -> Taken:
        """Add to numbers, exactly; one that is missing counts as 0, negative numbers subtract."""
        return self._take(self._conversion.item(distinct_id, Operation.ADD, properties))

    def append(self, distinct_id: str, properties: Mapping[str, PropertyValue]) -> Taken:
        """Add one value to the end of each list, unless it is in it."""
        return self._take(self._conversion.item(distinct_id, Operation.APPEND, properties))

    def remove(self, distinct_id: str, properties: Mapping[str, PropertyValue]) -> Taken:
        """Take one value out of each list."""
        return self._take(self._conversion.item(distinct_id, Operation.REMOVE, properties))

    def unset(self, distinct_id: str, names: Iterable[str]) -> Taken:
        """Make properties absent."""
        return self._take(self._conversion.item(distinct_id, Operation.UNSET, names))

    @abstractmethod
    def _take(self, item: Item) -> Taken:
        """Send or gather one operation."""
