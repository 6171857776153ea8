"""The OpenAPI document holds: generated requests meet no 5xx and no answer that is not described."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support.data import ON_POSTGRES

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = 85
"""How many the document describes; a test a number, so that each is named when it fails."""

MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@pytest.fixture(scope="module")
def operations(server):
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
    return [result.ok() for result in schema.get_all_operations()]


@pytest.mark.parametrize("mode", MODES, ids=["as described", "not as described"])
@pytest.mark.parametrize("number", range(OPERATIONS))
def test_it_answers_generated_requests_as_described(operations, server, cast, number, mode):
    """With a key: in North, whatever the generator puts into the rest of the request."""
    assert len(operations) == OPERATIONS
    operation = operations[number]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=15 if ON_POSTGRES else 60, suppress_health_check=list(HealthCheck))
    def ask(case):
        case.path_parameters["WSID"] = "north"
        headers = {**(case.headers or {}), "Authorization": f"Bearer {cast.ada}"}
        case.call_and_validate(base_url=f"http://127.0.0.1:{server.port}", headers=headers, checks=CHECKS, timeout=30)

    ask()


@pytest.mark.parametrize("number", range(OPERATIONS))
def test_it_answers_strangers_as_described(operations, server, number):
    @given(case=operations[number].as_strategy())
    @settings(max_examples=10, suppress_health_check=list(HealthCheck))
    def ask(case):
        case.call_and_validate(base_url=f"http://127.0.0.1:{server.port}", checks=CHECKS, timeout=30)

    ask()
