"""Asking for cohorts over HTTP: rules in short, and the calls that must succeed."""

from __future__ import annotations

import json

from support.server import Client


def rules(*sent: dict[str, object], **others: object) -> dict[str, object]:
    return {"combinator": "and", "rules": list(sent), **others}


def rule(field: str, operator: str, value: object = None) -> dict[str, object]:
    return {"field": field, "operator": operator, "value": value}


def encode(body: object) -> bytes:
    return json.dumps(body, default=float).encode()


def call(client: Client, method: str, path: str, body: object = None, **headers: str):
    return client.call(method, f"{client.base}/{path}", body, headers or None)


def create(client: Client, name: str, **body: object) -> str:
    answer = call(client, "POST", "cohorts", {"name": name, **body})
    assert answer.status == 201, answer
    return answer.json["cohort_id"]


def members(client: Client, cohort_id: str, **query: str) -> list[str]:
    answer = client.get(f"cohorts/{cohort_id}/members" + "".join(f"?{key}={value}" for key, value in query.items()))
    assert answer.status == 200, answer
    return [item["distinct_id"] for item in answer.json["items"]]


def count(client: Client, cohort_id: str) -> int:
    answer = client.get(f"cohorts/{cohort_id}/count")
    assert answer.status == 200, answer
    return answer.json["count"]


def preview(client: Client, tree: object, **others: object) -> dict:
    answer = call(client, "POST", "cohorts/preview", encode({"filter": tree, "sample": 100, **others}))
    assert answer.status == 200, answer
    return answer.json


def sampled(client: Client, tree: object) -> list[str]:
    return [item["distinct_id"] for item in preview(client, tree)["sample"]]
