"""Keys and scopes: what is open, what a key opens, and what is said to one that does not."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.application import FULL, READ, SEND, application_at, bearer, close
from web import auth
from web.keyring import KeyRing, Scope


def test_what_is_open_to_all_is_what_the_contract_lists() -> None:
    assert {
        "/health", "/ready", "/openapi.json", "/docs", "/docs/<path:asset>",
        "/static/<path:filename>", "/favicon.ico", "/subscribe",
    } == auth.OPEN  # fmt: skip
    assert set(auth.OPEN_BELOW) == {
        "/webhooks/", "/o/", "/c/", "/v/", "/unsubscribe/", "/preferences/", "/confirm/",
    }  # fmt: skip


def test_every_other_route_and_method_needs_a_key(client: FlaskClient) -> None:
    app = client.application
    closed = 0
    for rule in app.url_map.iter_rules():
        if auth.is_open(rule.rule):
            continue
        path = rule.rule.replace("<int:campaign_id>", "1").replace("<", "").replace(">", "")
        for method in (rule.methods or set()) - {"OPTIONS"}:
            answer = client.open(path, method=method)
            assert answer.status_code == 401, (method, rule.rule)
            closed += 1
    assert closed > 20


def test_a_key_opens_them(client: FlaskClient) -> None:
    assert client.get("/esp-status", headers=bearer(FULL)).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "Bearer wrong-key-0123456789abcdef", f"Basic {FULL}", FULL,
        f"Bearer {FULL} {FULL}", f"Bearer {FULL[:-1]}", f"Bearer {FULL}x", "Bearer \u00e9\u00e9",
    ],
)  # fmt: skip
def test_without_a_known_key_the_answer_is_401_and_says_how(
    client: FlaskClient, header: str
) -> None:
    answer = client.get("/esp-status", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.mimetype == "application/problem+json"
    assert FULL[:-1] not in answer.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(client: FlaskClient, scheme: str) -> None:
    assert (
        client.get("/campaigns", headers={"Authorization": f"{scheme} {FULL}"}).status_code == 200
    )


def test_a_reading_key_reads_and_nothing_else(client: FlaskClient) -> None:
    assert client.get("/campaigns", headers=bearer(READ)).status_code == 200
    assert client.get("/metrics", headers=bearer(READ)).status_code == 200
    answer = client.post("/send-campaign", json={}, headers=bearer(READ))
    assert answer.status_code == 403
    assert "`full`" in answer.get_json()["detail"]
    assert "`read`" in answer.get_json()["detail"]


def test_a_sending_key_reads_sends_and_not_campaigns(client: FlaskClient) -> None:
    assert client.get("/sends/abcdefgh-1", headers=bearer(SEND)).status_code == 404
    assert client.get("/campaigns", headers=bearer(SEND)).status_code == 403
    assert client.delete("/subscribers/a@example.com", headers=bearer(SEND)).status_code == 403


@pytest.mark.parametrize(
    "scope,method,rule,needed",
    [
        (Scope.FULL, "DELETE", "/subscribers/<email>", None),
        (Scope.READ, "GET", "/subscribers/<email>", None),
        (Scope.READ, "HEAD", "/subscribers/<email>", None),
        (Scope.READ, "POST", "/send-email", Scope.FULL),
        (Scope.SEND, "POST", "/send-email", None),
        (Scope.SEND, "GET", "/sends", None),
        (Scope.SEND, "GET", "/sends/<string:send_id>", None),
        (Scope.SEND, "POST", "/sends/<string:send_id>", Scope.FULL),
        (Scope.SEND, "GET", "/campaigns/<int:campaign_id>/sends", Scope.FULL),
        (Scope.SEND, "POST", "/send-campaign", Scope.FULL),
    ],
)
def test_scopes(scope: Scope, method: str, rule: str, needed: Scope | None) -> None:
    assert auth.missing_scope(scope, method, rule) == needed


def test_a_refused_request_has_no_body_read(client: FlaskClient) -> None:
    answer = client.post("/send-campaign", data=b"{" * 100, content_type="application/json")
    assert answer.status_code == 401


def test_the_label_of_the_key_is_recorded(client: FlaskClient) -> None:
    headers = bearer(FULL)
    client.post("/subscribers", json={"email": "a@example.com"}, headers=headers)
    client.post("/subscribers/a@example.com/unsubscribe", json={"reason": "asked by phone"},
                headers=headers)  # fmt: skip
    shown = client.get("/subscribers/a@example.com", headers=headers)
    assert "ada" in shown.text


def test_the_key_ring_keeps_no_key() -> None:
    ring = KeyRing([("ada", "full", FULL)])
    assert FULL not in repr(vars(ring))
    found = ring.find(FULL)
    assert found is not None
    assert (found.label, found.scope) == ("ada", Scope.FULL)
    assert ring.find("") is None


def test_several_keys_work_side_by_side(tmp_path: Path) -> None:
    second = "other-key-0123456789abcdef"
    app = application_at(tmp_path, API_KEY=f"ada:{FULL},bob:{second}")
    client = app.test_client()
    assert client.get("/campaigns", headers=bearer(second)).status_code == 200
    assert client.get("/campaigns", headers=bearer(FULL)).status_code == 200
    close(app)
