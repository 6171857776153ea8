"""The Python client: typed calls of the HTTP API, with exact values, safe retries and batches that lose nothing."""

from __future__ import annotations

from traitbase.client.answers import (
    Applied,
    Change,
    Definition,
    Done,
    HistoryEntry,
    Ignored,
    Profile,
    Receipt,
    ReceiptItem,
)
from traitbase.client.batching import Batch
from traitbase.client.client import Client
from traitbase.client.errors import (
    BatchNotSent,
    ClientError,
    Conflict,
    InvalidRequest,
    InvalidValue,
    NotAuthorised,
    NotFound,
    Unavailable,
    UnexpectedAnswer,
)
from traitbase.client.items import Item, Portion
from traitbase.client.retrying import Surroundings
from traitbase.client.values import PropertyValue

__all__ = [
    "Applied",
    "Batch",
    "BatchNotSent",
    "Change",
    "Client",
    "ClientError",
    "Conflict",
    "Definition",
    "Done",
    "HistoryEntry",
    "Ignored",
    "InvalidRequest",
    "InvalidValue",
    "Item",
    "NotAuthorised",
    "NotFound",
    "Portion",
    "Profile",
    "PropertyValue",
    "Receipt",
    "ReceiptItem",
    "Surroundings",
    "Unavailable",
    "UnexpectedAnswer",
]
