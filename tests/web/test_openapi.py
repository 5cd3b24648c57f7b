"""The description of the API says what the code does; random requests find no surprise."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from jsonschema.validators import Draft202012Validator
from schemathesis import checks

from tests.application import FULL, application_at, bearer, close
from web import auth
from web.openapi import Api

CHECKS = [
    checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
    checks.response_schema_conformance,
]  # fmt: skip
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def spec(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.get_json()
    return found


def operations(spec: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in spec["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_it_is_openapi_3_1_and_every_reference_leads_somewhere(spec: dict[str, Any]) -> None:
    assert spec["openapi"] == "3.1.0"
    schemas = spec["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    text = str(spec)
    for name in {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in schemas


def test_every_error_is_described_as_a_problem(spec: dict[str, Any]) -> None:
    for path, method, operation in operations(spec):
        errors = {s: r for s, r in operation["responses"].items() if s[0] in "45"}
        assert {"400", "404", "500", "503"} <= set(errors), (method, path)
        for status, response in errors.items():
            if (path, status) != ("/ready", "503"):
                types = set(response["content"]) - {"text/html"}
                assert types == {"application/problem+json"}, (path, status)
            if "security" in operation:
                assert "text/html" not in response["content"]


def test_what_needs_a_key_says_so(spec: dict[str, Any]) -> None:
    for path, _, operation in operations(spec):
        rule = path.replace("{", "<").replace("}", ">")
        assert ("security" in operation) == (not auth.is_open(rule)), path
        assert ("401" in operation["responses"]) == ("security" in operation)


def test_every_operation_says_what_it_does(spec: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(spec)]
    assert len(names) == len(set(names))
    assert all(operation["summary"] for _, _, operation in operations(spec))


def test_every_route_is_described(app: Api, spec: dict[str, Any]) -> None:
    undescribed = {"/openapi.json", "/docs", "/docs/<path:asset>", "/static/<path:filename>"}
    for rule in app.url_map.iter_rules():
        if rule.rule not in undescribed:
            path = "".join(
                f"{{{data.rpartition(':')[2]}}}" if part else data
                for part, data in _parts(rule.rule)
            )
            assert path in spec["paths"]


def _parts(rule: str) -> list[tuple[bool, str]]:
    pieces = rule.replace(">", "<").split("<")
    return [(bool(number % 2), piece) for number, piece in enumerate(pieces)]


def test_the_page_needs_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "http:" not in page.text
    assert "https:" not in page.text
    assert "<script>" not in page.text
    for asset in ("css/swagger-ui.css", "js/swagger-ui-bundle.js"):
        assert f"/docs/{asset}" in page.text
        assert _exists(client, f"/docs/{asset}")
    assert _exists(client, "/static/js/docs.js")
    assert client.get("/docs/../../plugins.py").status_code == 404


def _exists(client: FlaskClient, path: str) -> bool:
    with client.get(path) as answer:
        return answer.status_code == 200


def test_random_requests_meet_only_what_is_described(tmp_path: Path) -> None:
    app = application_at(tmp_path)
    app.extensions["house"].heartbeat_age = lambda: 1.0
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]
        if operation.path.startswith("/sandbox"):
            continue  # asks the simulator

        @settings(max_examples=15, deadline=None, database=None,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(case=operation.as_strategy())
        def try_it(case: Any) -> None:
            webhook = case.operation.path.startswith("/webhooks")  # no keys: described as 503
            fit = CHECKS[1:] if webhook else CHECKS
            answer = case.call_and_validate(headers=bearer(FULL), checks=fit)
            assert answer.status_code < 500 or (webhook and answer.status_code == 503)

        try_it()
        tried += 1
    assert tried > 15
    close(app)


def test_a_body_that_may_be_absent_is_described_so(client: FlaskClient) -> None:
    paths = client.get("/openapi.json").get_json()["paths"]
    required = {
        path: paths[path]["post"]["requestBody"]["required"]
        for path in ("/campaigns/{campaign_id}/pause", "/esps/{name}/resume", "/send-campaign")
    }
    assert list(required.values()) == [False, False, True]
