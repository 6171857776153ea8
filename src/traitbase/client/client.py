"""The client that users make: the operations, the profile calls and the reading calls of one workspace."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from datetime import tzinfo
from types import TracebackType
from typing import Literal, Self, TypeVar

import httpx

from traitbase.client.answers import (
    Accepted,
    Definition,
    DefinitionPage,
    HistoryEntry,
    HistoryPage,
    Profile,
    ProfilePage,
    Receipt,
    profiles_in,
    read,
    read_profile,
)
from traitbase.client.batching import Batch, Bounds, batch_not_sent
from traitbase.client.calling import Address, Caller, segment
from traitbase.client.errors import BatchNotSent, ClientError, InvalidValue, NotFound
from traitbase.client.forking import begin_anew_after_forks
from traitbase.client.items import Item, Portion
from traitbase.client.operations import PropertyOperations
from traitbase.client.profile_calls import ProfileCalls
from traitbase.client.retrying import REAL, Patience, Surroundings
from traitbase.client.values import Conversion, checked_text, encode
from traitbase.domain.updates import Operation

_ENDPOINTS = {
    Operation.SET: "set",
    Operation.ONCE: "set-once",
    Operation.ADD: "numerical-add",
    Operation.APPEND: "list-append",
    Operation.REMOVE: "list-remove",
    Operation.UNSET: "unset",
}
_ITEMS_A_PAGE = 1_000

_Page = TypeVar("_Page", DefinitionPage, HistoryPage, ProfilePage)


class Client(PropertyOperations[str], ProfileCalls):
    """Calls one workspace and environment of a Traitbase server. Safe to use from several threads.

    Each call returns when the server has it on its disk, or raises a ClientError:

        from traitbase import Client

        with Client("http://127.0.0.1:8080", "shop", api_key) as client:
            request_id = client.set("user-42", {"plan": "pro", "signed_up": date(2026, 11, 25)})
            client.add("user-42", {"ltv": Decimal("19.99"), "visits": 1})
            client.append("user-42", {"tags": "vip"})
            client.get_profile("user-42").properties["ltv"]   # Decimal('19.99')
            client.receipt(request_id).ignored                # what was not applied, and why

    Many updates go together, in the order in which they are given:

            with client.batch() as batch:
                for row in rows:
                    batch.set(row.id, {"city": row.city})

    Args:
        base_url: the server's address, such as `https://traits.example.com`.
        workspace_id: the workspace's id.
        api_key: a key for it; `ingest` keys may write, `read` keys read, `admin` keys both.
        environment: `live` or `test`.
        timeout_seconds: how long a server may be silent in one try.
        max_retries: tries after the first, on failed connections, timeouts, 5xx and 429; never on other 4xx.
        retry_seconds: no wait between two tries ends later than this after the first began.
        batch_size: gathered updates that are sent at once, at most 10,000.
        batch_bytes: gathered bytes that are sent at once, at most 8 MiB.
        batch_seconds: how old a gathered update may get, None for any age.
        naive_datetimes: `"refuse"`, or the zone in which datetimes without one are read.
        transport: an httpx transport in place of the usual one: own certificates, a proxy, a test. Its connections are
            yours to renew after a fork.
        surroundings: the clock, chance, sleep and keys to use, for tests.

    Raises:
        ClientError: for arguments that cannot be.
    """

    def __init__(
        self,
        base_url: str,
        workspace_id: str,
        api_key: str,
        *,
        environment: Literal["live", "test"] = "live",
        timeout_seconds: float = 30.0,
        max_retries: int = 5,
        retry_seconds: float = 120.0,
        batch_size: int = 1_000,
        batch_bytes: int = 1024 * 1024,
        batch_seconds: float | None = 1.0,
        naive_datetimes: Literal["refuse"] | tzinfo = "refuse",
        transport: httpx.BaseTransport | None = None,
        surroundings: Surroundings = REAL,
    ) -> None:
        if naive_datetimes != "refuse" and not isinstance(naive_datetimes, tzinfo):
            raise ClientError(f"naive_datetimes must be 'refuse' or a ZoneInfo, not {naive_datetimes!r}")
        conversion = Conversion(naive_datetimes)
        caller = Caller(
            Address(base_url=base_url, workspace_id=workspace_id, environment=environment, api_key=api_key),
            timeout_seconds=timeout_seconds,
            patience=Patience(max_retries, retry_seconds),
            surroundings=surroundings,
            transport=transport,
        )
        PropertyOperations.__init__(self, conversion)
        ProfileCalls.__init__(self, caller, conversion)
        self._surroundings = surroundings
        self._bounds = Bounds(batch_size, batch_bytes, batch_seconds)
        self._batches: weakref.WeakSet[Batch] = weakref.WeakSet()
        begin_anew_after_forks(caller)

    def batch(self) -> Batch:
        """Return a batch, which gathers updates and sends them together; use it in a `with` block, or `close` it."""
        made = Batch(self._deliver, self._conversion, bounds=self._bounds, surroundings=self._surroundings)
        self._batches.add(made)
        return made

    def with_key(self, idempotency_key: str) -> PropertyOperations[str]:
        """Return the six operations for one call under a key of your own, as `with_key(f"order-{id}").add(…)`.

        For 24 hours the same key and content count once, whichever process sends them: a job that is run again may call
        it again. The same key with other content is a Conflict. A key has 1 to 255 printable ASCII characters.
        """
        if not (1 <= len(idempotency_key) <= 255 and idempotency_key.isascii() and idempotency_key.isprintable()):
            raise InvalidValue("idempotency_key", "expected 1 to 255 printable ASCII characters")
        return _KeyedOperations(self._send, self._conversion, idempotency_key)

    def resend(self, unsent: BatchNotSent | Sequence[Portion]) -> tuple[str, ...]:
        """Send what a batch could not, in order and under the same keys, and return the request ids.

        What had arrived after all counts once, if it is sent again within 24 hours. A first portion that the server
        refused (`__cause__` is an InvalidRequest) is left out by giving `error.portions[1:]`. Raises BatchNotSent with
        what is left.
        """
        portions = tuple(unsent.portions if isinstance(unsent, BatchNotSent) else unsent)
        request_ids: list[str] = []
        for portion in portions:
            try:
                request_ids.append(self._deliver(portion))
            except ClientError as cause:
                raise batch_not_sent(portions[len(request_ids) :], cause) from cause
        return tuple(request_ids)

    def receipt(self, request_id: str) -> Receipt:
        """Return what became of each operation of a request. Raises NotFound once it is gone (after 7 days)."""
        return read(self._caller.read(f"requests/{segment(checked_text(request_id, 'request_id'))}"), Receipt)

    def find_profile(self, distinct_id: str) -> Profile | None:
        """Return a profile, or None if there is none."""
        if not checked_text(distinct_id, "distinct_id"):
            raise InvalidValue("distinct_id", "it must not be empty")
        try:
            return read_profile(self._caller.read(f"profiles/{segment(distinct_id)}"))
        except NotFound as error:
            if error.status == 404:  # no such path: a wrong base_url must not look like an unknown profile
                raise
            return None

    def get_profile(self, distinct_id: str) -> Profile:
        """Return a profile. Raises NotFound if there is none."""
        found = self.find_profile(distinct_id)
        if found is None:
            raise NotFound(f"there is no profile {distinct_id!r} in this environment", status=400)
        return found

    def profiles(self, *, q: str | None = None) -> Iterator[Profile]:
        """Yield every profile in order of distinct_id; with `q`, those whose id, name or address begins so."""
        asked = {} if q is None else {"q": q}
        for page in self._pages("profiles", ProfilePage, **asked):
            yield from profiles_in(page)

    def history(self, distinct_id: str) -> Iterator[HistoryEntry]:
        """Yield what changed on a profile, newest first. Raises NotFound if there is no such profile."""
        path = f"profiles/{segment(checked_text(distinct_id, 'distinct_id'))}/history"
        for page in self._pages(path, HistoryPage):
            yield from page.items

    def definitions(self) -> Iterator[Definition]:
        """Yield every property with its type, in order of name, asking for a page of 1,000 at a time."""
        for page in self._pages("properties", DefinitionPage):
            yield from page.items

    def _pages(self, path: str, kind: type[_Page], **asked: str) -> Iterator[_Page]:
        parameters = {"limit": str(_ITEMS_A_PAGE), **asked}
        while True:
            page = read(self._caller.read(path, parameters), kind)
            yield page
            if page.next_cursor is None:
                return
            parameters = {**parameters, "cursor": page.next_cursor}

    def close(self) -> None:
        """Send what open batches hold and close the connections. Raises BatchNotSent, after closing all."""
        failures: list[BatchNotSent] = []
        try:
            for batch in list(self._batches):
                try:
                    batch.close()
                except BatchNotSent as error:
                    failures.append(error)
        finally:
            self._caller.close()
        if failures:
            portions = tuple(portion for error in failures for portion in error.portions)
            raise batch_not_sent(portions, failures[0].__cause__ or failures[0]) from failures[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _take(self, item: Item) -> str:
        return self._send(item, self._surroundings.new_key())

    def _send(self, item: Item, key: str) -> str:
        word = item.operation.value
        body = encode({"distinct_id": item.distinct_id, word: item.payload}, path=word)
        return self._post(_ENDPOINTS[item.operation], body, key)

    def _deliver(self, portion: Portion) -> str:
        return self._post("batch", portion.body, portion.idempotency_key)

    def _post(self, endpoint: str, body: bytes, key: str) -> str:
        path = f"profiles/properties/{endpoint}"
        return read(self._caller.write("POST", path, body, idempotency_key=key), Accepted).request_id


class _KeyedOperations(PropertyOperations[str]):
    """The operations under one idempotency key."""

    def __init__(self, send: Callable[[Item, str], str], conversion: Conversion, key: str) -> None:
        super().__init__(conversion)
        self._send = send
        self._key = key

    def _take(self, item: Item) -> str:
        return self._send(item, self._key)
