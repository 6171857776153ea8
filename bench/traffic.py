"""The traffic: who is updated with what, and the same as HTTP requests ready to be sent."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

WORKSPACE_ID = "bench"
BATCH_ITEMS = 1_000

Properties: TypeAlias = dict[str, str | float | bool]

_CITIES = ("Berlin", "Pune", "São Paulo", "Osaka", "Nairobi", "Lyon", "Austin", "Tallinn")
_PLANS = ("free", "starter", "pro", "enterprise")


class Address(msgspec.Struct, frozen=True):
    """Where requests go, always on 127.0.0.1, and the key they carry."""

    port: int
    api_key: str
    environment: str = "live"


def set_requests(address: Address, *, count: int, profiles: int, seed: int) -> list[bytes]:
    """Return `count` requests to `set`, each with a body of about 200 bytes, for profiles picked at random."""
    rng = random.Random(seed)
    return [
        _request(
            address,
            "set",
            {
                "distinct_id": distinct_id(rng.randrange(profiles)),
                "$set": {**five_properties(rng), "newsletter": rng.random() < 0.5, "locale": "pt-BR"},
            },
        )
        for _ in range(count)
    ]


def batch_requests(address: Address, *, profiles: int, seed: int) -> list[bytes]:
    """Return the requests to `batch`, 1,000 items each, that set five properties of every profile once."""
    people = list(updates_of_all(profiles, seed=seed))
    return [
        _request(
            address,
            "batch",
            {
                "batch": [
                    {"distinct_id": who, "action": {"$set": what}} for who, what in people[start : start + BATCH_ITEMS]
                ]
            },
        )
        for start in range(0, len(people), BATCH_ITEMS)
    ]


def updates_of_all(profiles: int, *, seed: int) -> Iterator[tuple[str, Properties]]:
    """Yield every profile once, in random order, each with five properties."""
    rng = random.Random(seed)
    numbers = list(range(profiles))
    rng.shuffle(numbers)
    for number in numbers:
        yield distinct_id(number), five_properties(rng)


def distinct_id(number: int) -> str:
    """Return the id of one profile."""
    return f"customer-{number:08}"


def five_properties(rng: random.Random) -> Properties:
    """Return a text, a choice, a date, a whole number and an amount."""
    return {
        "city": rng.choice(_CITIES),
        "plan": rng.choice(_PLANS),
        "last_seen_at": f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:30:00Z",
        "logins": rng.randint(1, 5_000),
        "total_spent": rng.randint(100, 99_999) / 100,
    }


def _request(address: Address, endpoint: str, content: dict[str, object]) -> bytes:
    body = msgspec.json.encode(content)
    head = (
        f"POST /v1/{WORKSPACE_ID}/{address.environment}/profiles/properties/{endpoint} HTTP/1.1\r\n"
        f"host: 127.0.0.1:{address.port}\r\n"
        f"authorization: Bearer {address.api_key}\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
