"""Real purchases (the public CDNOW set, Fader and Hardie) as updates: every figure comes out exactly.

Once in one go, and once split by customer over eight connections that send at the same time.
"""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from support.data import open_store
from support.server import Client, make_cast, serving
from traitbase.domain.spaces import Space
from traitbase.domain.values import decode_properties

PURCHASES = Path(__file__).parents[1] / "data" / "cdnow.csv"
BATCH = 2_000


def rule(field: str, operator: str, value: object) -> dict[str, object]:
    return {"field": field, "operator": operator, "value": value}


EAGER = {"combinator": "or", "rules": [rule("cds", ">=", 10), rule("orders", ">=", 5)]}
GONE = {"combinator": "and", "not": True, "rules": [rule("last_purchase", "<", "1998-01-01")]}
COHORTS = {
    2_180: [rule("ltv", ">", 200), rule("last_purchase", ">=", "1998-01-01")],
    11_908: [rule("orders", "=", 1)],
    3_537: [EAGER, GONE],
    54: [rule("purchase_days", "contains", "1997-12-24")],
    68: [rule("ltv", "=", 0)],
}
"""How many are in, of 23,570, by which rules."""


def count(client: Client, *rules: dict[str, object]) -> int:
    body = {"filter": {"combinator": "and", "rules": list(rules)}, "sample": 0}
    answer = client.call("POST", f"{client.base}/cohorts/preview", body).json
    assert answer["total"] == 23_570
    return answer["count"]


def updates() -> Iterator[tuple[str, str]]:
    with PURCHASES.open(newline="") as file:
        for row in csv.DictReader(file):
            day = json.dumps(row["date"])
            # Written as text: the amounts go over the wire with the digits of the file.
            yield (
                row["customer_id"],
                (
                    f'{{"distinct_id":"{row["customer_id"]}","action":{{"$once":{{"first_purchase":{day}}},'
                    f'"$set":{{"last_purchase":{day}}},"$add":{{"ltv":{row["dollars"]},"cds":{row["cds"]},"orders":1}},'
                    f'"$append":{{"purchase_days":{day}}}}}}}'
                ),
            )


def send(client: Client, items: list[str]) -> None:
    for start in range(0, len(items), BATCH):
        body = f'{{"batch":[{",".join(items[start : start + BATCH])}]}}'.encode()
        answer = client.post("batch", body)
        assert answer.status == 202, answer.text
        assert len(answer.json["batch"]) == len(items[start : start + BATCH])


def all_profiles(data: Path) -> dict[str, dict]:
    with PURCHASES.open(newline="") as file:
        customers = sorted({row["customer_id"] for row in csv.DictReader(file)})
    store = open_store(data)
    rows = []
    for start in range(0, len(customers), 500):
        rows += store.find_profiles(Space("north", "live"), customers[start : start + 500])
    store.close()
    return {row.distinct_id: decode_properties(row.document) for row in rows}


@pytest.mark.parametrize("connections", [1, 8])
def test_it_keeps_real_purchases_exactly(tmp_path, connections):
    data = tmp_path / "data"
    cast = make_cast(data)
    shares: list[list[str]] = [[] for _ in range(connections)]
    for customer_id, item in updates():
        shares[int(customer_id) % connections].append(item)
    with serving(data) as server:
        clients = [server.client(cast.ada, "north") for _ in shares]
        threads = [threading.Thread(target=send, args=pair) for pair in zip(clients, shares, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        shown = json.loads(clients[0].get("profiles/07592").text, parse_float=Decimal)["properties"]
        counts = [count(clients[0], *each) for each in COHORTS.values()]
        total = json.loads(clients[0].get("properties/ltv/insight").text, parse_float=Decimal)["sum"]
        kinds = {row["name"]: row["type"] for row in clients[0].get("properties").json["items"]}
    assert counts == list(COHORTS)
    assert total == Decimal("2500315.63")
    profiles = all_profiles(data)
    assert len(profiles) == 23_570
    assert sum(profile["ltv"] for profile in profiles.values()) == Decimal("2500315.63")
    assert sum(profile["orders"] for profile in profiles.values()) == 69_659
    assert sum(profile["orders"] == 1 for profile in profiles.values()) == 11_908
    assert sum(profile["ltv"] == 0 for profile in profiles.values()) == 68
    assert sum("1997-12-24" in profile["purchase_days"] for profile in profiles.values()) == 54
    days = shown.pop("purchase_days")
    assert len(days) == 146
    assert shown == {
        "ltv": Decimal("13990.93"),
        "orders": 201,
        "cds": profiles["07592"]["cds"],
        "first_purchase": "1997-01-29",
        "last_purchase": "1998-06-29",
    }
    assert kinds == {
        "cds": "number",
        "first_purchase": "date",
        "last_purchase": "date",
        "ltv": "number",
        "orders": "number",
        "purchase_days": "list",
    }
