"""The description is valid, complete, and what fuzzing finds conforms to it."""

import re
from typing import Any

import hypothesis
import pytest
import schemathesis
from flask import Flask
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app import create_app
from app.context import Server
from tests.evidence import report, size
from tests.making import Cast
from tests.wire import Wire

CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance, content_type_conformance]


def test_the_description_is_valid(wire: Wire) -> None:
    validate(wire.ok(wire.get("/openapi.json")))


def test_every_route_is_described_and_nothing_else(server: Server, wire: Wire) -> None:
    app: Flask = create_app(server)
    routes = set()
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule.rule.replace("authenticator_id", "id"))
        routes |= {(path, method.lower()) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    paths = wire.ok(wire.get("/openapi.json"))["paths"]
    assert routes == {(path, method) for path, operations in paths.items() for method in operations}


@pytest.mark.slow
def test_fuzzing_finds_only_documented_answers(server: Server, cast: Cast) -> None:
    app = create_app(server)
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        # Each operation of the management API has a few: they are many, and read by the same lines.
        few = operation.path.startswith("/api/v2/")

        @hypothesis.settings(
            max_examples=size(5, 50) if few else size(40, 2000),
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            derandomize=True,
            database=None,
        )
        @hypothesis.given(case=operation.as_strategy())
        def run(case: schemathesis.Case[Any]) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(checks=CHECKS)

        run()
    report("fuzzing from the description", tried=f"{tried} requests", held="0 undocumented answers")
