"""What went wrong is problem+json, names the field, and repeats nothing of the input."""

import gzip
import logging
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from config.environment import Problem
from database.engine import DatabaseUnavailable
from outbound.draft import NotReady
from services.esp import WebhookNotConfigured, WebhookRefused
from tests.application import FULL, bearer
from utils.errors import Conflict, FieldError, Invalid, NotFound
from web.openapi import Api

KEY = bearer(FULL)


def raising(app: Api, error: Exception) -> FlaskClient:
    def view() -> str:
        raise error

    app.add_url_rule("/webhooks/raise", view_func=view)
    return app.test_client()


@pytest.mark.parametrize(
    "error,status,words",
    [
        (NotFound("there is no campaign 7"), 404, "there is no campaign 7"),
        (Conflict("campaign 7 is sent"), 409, "campaign 7 is sent"),
        (Invalid.of("subject", "is empty"), 422, "fields"),
        (DatabaseUnavailable("could not connect to host db.internal"), 503, "try again"),
        (WebhookRefused("bad signature", status=403), 403, "bad signature"),
        (WebhookNotConfigured("x"), 503, "configured"),
    ],
)
def test_the_table(app: Api, error: Exception, status: int, words: str) -> None:
    answer = raising(app, error).get("/webhooks/raise")
    body = answer.get_json()
    assert answer.status_code == body["status"] == status
    assert answer.mimetype == "application/problem+json"
    assert words in body["detail"]
    assert body["type"] == "about:blank"
    assert "db.internal" not in answer.text


def test_invalid_names_every_field(app: Api) -> None:
    error = Invalid([FieldError("html", "line 3: x"), FieldError("segment.all.0", "y")])
    body = raising(app, error).get("/webhooks/raise").get_json()
    assert body["errors"] == [
        {"field": "html", "message": "line 3: x"}, {"field": "segment.all.0", "message": "y"},
    ]  # fmt: skip


def test_not_ready_has_a_type_of_its_own(app: Api) -> None:
    blocker = Problem("MAIL_FROM", "is not set")
    error = NotReady([FieldError(blocker.name, blocker.message)])
    body = raising(app, error).get("/webhooks/raise").get_json()
    assert (body["type"], body["status"]) == ("not-ready", 422)
    assert body["errors"] == [{"field": "MAIL_FROM", "message": "is not set"}]


def test_a_database_that_is_gone_says_when_to_come_back(app: Api) -> None:
    answer = raising(app, DatabaseUnavailable("locked")).get("/webhooks/raise")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_bug_becomes_a_number_that_the_log_has_too(
    app: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = raising(app, ZeroDivisionError("needle@example.com")).get("/webhooks/raise")
    assert answer.status_code == 500
    assert "needle" not in answer.text
    number = answer.get_json()["detail"].split()[-1].rstrip(".")
    assert number in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_an_unknown_path_and_a_wrong_method(client: FlaskClient) -> None:
    missing = client.get("/needle@example.com")
    assert missing.status_code == 404
    assert "needle" not in missing.text
    wrong = client.delete("/health")
    assert wrong.status_code == 405
    assert "GET" in wrong.headers["Allow"]
    assert wrong.get_json()["status"] == 405


@pytest.mark.parametrize(
    "call,allowed",
    [
        ("GET /subscribers/import", "OPTIONS, POST"),
        ("DELETE /subscribers/import", "OPTIONS, POST"),
        ("GET /subscribers/a@example.com/unsubscribe", "OPTIONS, POST"),
        ("DELETE /subscribers/a/b@example.com/resubscribe", "OPTIONS, POST"),
        ("POST /subscribers/a@example.com", "DELETE, GET, HEAD, OPTIONS, PATCH"),
    ],
)
def test_a_wrong_method_beside_an_address_is_told_from_a_wrong_address(
    client: FlaskClient, call: str, allowed: str
) -> None:
    method, path = call.split(" ")
    wrong = client.open(path, method=method, headers=KEY)
    assert wrong.status_code == 405
    assert ", ".join(sorted(wrong.headers["Allow"].split(", "))) == allowed


@pytest.mark.parametrize(
    "data,content_type,status",
    [
        (b"{}", "text/plain", 415), (b"{}", "", 415), (b"", "", 415),
        (b"subject=x", "application/x-www-form-urlencoded", 415),
        (b"{", "application/json", 400), (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400), (b'{"subject": NaN}', "application/json", 400),
        (b'{"subject": "\\ud800"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 422), (b'"{}"', "application/json", 422),
        (b"null", "application/json", 422), (b"{}", "application/json", 422),
        (b'{"subject": "a\\u0000b", "text": "x"}', "application/json; charset=utf-8", 422),
        (b'{"a\\u0000b": 1}', "application/json", 422),
    ],
)  # fmt: skip
def test_a_body_is_refused_for_what_it_is(
    client: FlaskClient, data: bytes, content_type: str, status: int
) -> None:
    headers = {**KEY, **({"Content-Type": content_type} if content_type else {})}
    answer = client.post("/send-campaign", data=data, headers=headers)
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    if status == 422:
        assert answer.get_json()["errors"]


def test_an_act_without_a_body_is_fine(client: FlaskClient) -> None:
    assert client.post("/campaigns/7/resume", headers=KEY).status_code == 404
    empty = {**KEY, "Content-Type": "application/json"}
    assert client.post("/campaigns/7/resume", headers=empty).status_code == 404
    assert client.post("/campaigns/7/resume", json={"x": 1}, headers=KEY).status_code == 422


def test_unknown_and_wrong_fields_are_named_together(client: FlaskClient) -> None:
    body = {"subject": 7, "needle_field": "needle", "track_opens": "needle"}
    answer = client.post("/send-campaign", json=body, headers=KEY)
    named = {error["field"] for error in answer.get_json()["errors"]}
    assert named >= {"subject", "needle_field", "track_opens"}
    assert '"needle"' not in answer.text


@pytest.mark.parametrize(
    "query,field",
    [("limit=0", "limit"), ("limit=x", "limit"), ("cursor=!!", "cursor"), ("color=red", "color")],
)
def test_a_query_is_checked_too(client: FlaskClient, query: str, field: str) -> None:
    for path in ("/campaigns", "/sandbox/messages"):
        answer = client.get(f"{path}?{query}", headers=KEY)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.get_json()["errors"]] == [field]


@pytest.mark.parametrize(
    "method,path",
    [("GET", "/subscriber-stats?segment=x"), ("GET", "/esp-status?segment=x"),
     ("POST", "/send-campaign?segment=x"), ("DELETE", "/subscribers/a@b.de?segment=x")],
)  # fmt: skip
def test_a_name_that_nobody_reads_is_refused(client: FlaskClient, method: str, path: str) -> None:
    answer = client.open(path, method=method, headers=KEY)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.get_json()["errors"]] == ["segment"]


def test_what_is_open_to_all_takes_any_name(client: FlaskClient) -> None:
    assert client.get("/health?utm_source=x").status_code == 200


def test_a_packed_body_is_refused_and_not_taken_for_an_empty_list(client: FlaskClient) -> None:
    packed = gzip.compress(b"email\nana@example.com\n")
    headers = {**KEY, "Content-Type": "text/csv", "Content-Encoding": "gzip"}
    answer = client.post("/subscribers/import", data=packed, headers=headers)
    assert answer.status_code == 415
    assert "Content-Encoding" in answer.get_json()["detail"]


def test_a_nul_in_the_address_is_refused(client: FlaskClient) -> None:
    assert client.get("/subscribers/a%00b@example.com", headers=KEY).status_code == 400
    assert client.get("/campaigns?status=a%00", headers=KEY).status_code == 400


def test_nothing_was_stored_by_a_refused_request(client: FlaskClient, tmp_path: Path) -> None:
    client.post("/send-campaign", json={"subject": "x", "html": "{% if %}"}, headers=KEY)
    assert client.get("/campaigns", headers=KEY).get_json()["items"] == []
