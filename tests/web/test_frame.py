"""Around every view: mode, request id, headers, limits, proxies, and a log without secrets."""

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from tests.application import FULL, SECRETS, application_at, bearer, close
from utils import logs
from utils.errors import Invalid
from web.frame import TrustedProxies
from web.openapi import Api
from web.shapes import next_cursor, read_cursor, read_position

KEY = bearer(FULL)


@pytest.mark.parametrize("path", ["/health", "/nowhere", "/campaigns", "/docs", "/openapi.json"])
def test_every_answer_names_the_mode_and_the_request(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["X-Mode"] == "sandbox"
    assert len(answer.headers["X-Request-Id"]) == 16
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in answer.headers["Content-Security-Policy"] or path == "/docs"


def test_a_callers_request_id_is_kept_when_it_is_harmless(client: FlaskClient) -> None:
    kept = client.get("/health", headers={"X-Request-Id": "abc-123_DEF"})
    assert kept.headers["X-Request-Id"] == "abc-123_DEF"
    made = client.get("/health", headers={"X-Request-Id": "two words"})
    assert made.headers["X-Request-Id"] != "two words"


def test_a_body_over_the_limit_is_413_unless_it_is_streamed(tmp_path: Path) -> None:
    app = application_at(tmp_path, MAX_REQUEST_MB="1")
    client = app.test_client()
    large = json.dumps({"subject": "x" * 1_100_000}).encode()
    headers = {**KEY, "Content-Type": "application/json"}
    assert client.post("/send-campaign", data=large, headers=headers).status_code == 413
    rows = b"email\n" + b"".join(b"p%d@example.com\n" % n for n in range(80_000))
    assert len(rows) > 1_000_000
    answer = client.post(
        "/subscribers/import?dry_run=true", data=rows, headers={**KEY, "Content-Type": "text/csv"}
    )
    assert answer.status_code == 200
    assert answer.get_json()["received"] == 80_000
    close(app)


# --- bodies and addresses -----------------------------------------------------------------------


def ended_by_the_server(body: io.BytesIO) -> dict[str, Any]:
    """How gunicorn gives a body."""
    return {"wsgi.input": body, "wsgi.input_terminated": True}


def test_less_than_was_announced_is_no_body(client: FlaskClient) -> None:
    half = ended_by_the_server(io.BytesIO(b'{"email": "a@example.com"}')) | {"CONTENT_LENGTH": "99"}
    headers = {**KEY, "Content-Type": "application/json"}
    answer = client.post("/subscribers", headers=headers, environ_overrides=half)
    assert answer.status_code == 400
    assert client.get("/subscribers/a@example.com", headers=KEY).status_code == 404


def test_a_body_in_chunks_has_the_same_limit(tmp_path: Path) -> None:
    app = application_at(tmp_path, MAX_REQUEST_MB="1")
    answer = app.test_client().post(
        "/subscribers", headers={**KEY, "Content-Type": "application/json"},
        environ_overrides=ended_by_the_server(io.BytesIO(b"{" + b" " * 2**20)),
    )  # fmt: skip
    assert answer.status_code == 413
    close(app)


def test_chunks_that_are_none_are_the_clients_fault(client: FlaskClient) -> None:
    class Broken(io.BytesIO):
        def read(self, _: int | None = -1) -> bytes:
            raise RuntimeError("Invalid chunk size: b'ZZ'")

    headers = {**KEY, "Content-Type": "application/json"}
    answer = client.post(
        "/subscribers", headers=headers, environ_overrides=ended_by_the_server(Broken())
    )
    assert answer.status_code == 400
    assert "ZZ" not in answer.text


def test_slashes_in_an_address_are_its_own_and_lead_nowhere_else(client: FlaskClient) -> None:
    for email in ("a//b@example.com", "/c@example.com"):
        assert client.post("/subscribers", json={"email": email}, headers=KEY).status_code == 201
        found = client.get(f"/subscribers/{email}", headers=KEY)
        assert (found.status_code, found.get_json()["email"]) == (200, email)
    lost = client.get("//evil.example//health", headers={"Host": "evil.example"})
    assert lost.status_code == 404
    assert "Location" not in lost.headers


# --- proxies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "peer,seen",
    [
        ("127.0.0.1", "203.0.113.9 https mail.example.com"),
        ("10.1.2.3", "203.0.113.9 https mail.example.com"),
        ("192.0.2.1", "192.0.2.1 http localhost"),
        ("", " http localhost"),
    ],
)
def test_forwarded_headers_are_believed_from_named_proxies_only(peer: str, seen: str) -> None:
    app = Flask(__name__)
    app.add_url_rule(
        "/", view_func=lambda: f"{request.remote_addr} {request.scheme} {request.host}"
    )
    app.wsgi_app = TrustedProxies(  # type: ignore[method-assign]
        app.wsgi_app, ["127.0.0.1/32", "10.0.0.0/8"]
    )
    headers = {
        "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "mail.example.com",
    }  # fmt: skip
    answer = app.test_client().get("/", headers=headers, environ_base={"REMOTE_ADDR": peer})
    assert answer.text == seen


@pytest.mark.parametrize(
    "forwarded,seen",
    [
        ("203.0.113.9", "203.0.113.9"), ("198.51.100.7, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"), ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1"),
        ("unknown", "127.0.0.1"), ("<script>", "127.0.0.1"), ("", "127.0.0.1"),
        ("203.0.113.9, _hidden", "127.0.0.1"),
    ],
)  # fmt: skip
def test_a_proxy_can_only_name_an_address(forwarded: str, seen: str) -> None:
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: str(request.remote_addr))
    app.wsgi_app = TrustedProxies(app.wsgi_app, ["127.0.0.1/32"])  # type: ignore[method-assign]
    answer = app.test_client().get("/", headers={"X-Forwarded-For": forwarded})
    assert answer.text == seen


# --- the log ------------------------------------------------------------------------------------


def lines_of(form: str, secrets: dict[str, str], level: int = logging.INFO) -> tuple[
    logging.Logger, io.StringIO
]:  # fmt: skip
    """A logger of our form that writes where a test can read."""
    formatter = logs.JsonFormatter if form == "json" else logs.LineFormatter
    handler = logging.StreamHandler(written := io.StringIO())
    handler.setFormatter(formatter(logs.Redactor(secrets.values())))
    logger = logging.Logger("test", level)  # noqa: LOG001 - nobody else's
    logger.addHandler(handler)
    return logger, written


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_secret_and_no_whole_address_reaches_a_line(form: str) -> None:
    logger, written = lines_of(form, {**SECRETS, "odd": "odd/key+with=signs"})
    for name, secret in SECRETS.items():
        logger.info("%s is %s", name, secret, extra={"given": secret})
    logger.info("in a link: odd%2Fkey%2Bwith%3Dsigns and odd/key+with=signs")
    logger.warning("mail to ann.smith@example.com failed")
    try:
        raise ValueError(f"the key was {SECRETS['SECRET_KEY']} for bob@example.org")
    except ValueError:
        logger.exception("failed")
    text = written.getvalue()
    assert not [secret for secret in SECRETS.values() if secret in text]
    assert "odd" not in text.replace("[secret]", "")
    assert "a…@example.com" in text
    assert "ann.smith" not in text
    assert "bob@" not in text


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_secret_with_odd_signs_is_found_however_it_is_written(form: str) -> None:
    secret = "pa\"ss\\word-needle'x"
    logger, written = lines_of(form, {"password": secret})
    logger.info("plain %s, repr %r", secret, secret, extra={"given": secret})
    logger.info("json %s", json.dumps({"password": secret}))
    assert "needle" not in written.getvalue()


def test_debug_shows_addresses_and_still_no_secret() -> None:
    logger, written = lines_of("console", SECRETS, logging.DEBUG)
    logger.debug("ann@example.com %s", SECRETS["SECRET_KEY"])
    assert "ann@example.com [secret]" in written.getvalue()


def test_json_lines_are_one_object_each() -> None:
    logger, written = lines_of("json", SECRETS)
    logger.info("two\nlines", extra={"ms": 3})
    (line,) = written.getvalue().splitlines()
    event = json.loads(line)
    assert (event["message"], event["ms"], event["level"]) == ("two\nlines", 3, "info")


def test_a_caller_cannot_forge_a_line() -> None:
    logger, written = lines_of("console", SECRETS)
    logger.info("hello\n12:00:00 ERROR forged", extra={"why": "a\x1b[2Jb\r\u2028c\u202ed"})
    assert len(written.getvalue().splitlines()) == 1
    assert not {"\x1b", "\r", "\u2028", "\u202e"} & set(written.getvalue())


def test_the_access_line_shows_the_route_and_never_what_is_in_it(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        client.get("/subscribers/needle@example.com?secret=needle", headers=KEY)
        client.get("/unsubscribe/needle")
        client.get("/needle")
    assert "/subscribers/<" in caplog.text
    assert "needle" not in caplog.text


def test_recognisable_secrets_are_in_no_answer_and_no_log(
    app: Api, caplog: pytest.LogCaptureFixture
) -> None:
    client = app.test_client()
    with caplog.at_level(logging.DEBUG):
        texts = []
        for rule in app.url_map.iter_rules():
            path = rule.rule.replace("<int:campaign_id>", "1").replace("<", "").replace(">", "")
            for method in ("GET", "POST"):
                answer = client.open(path, method=method, headers=KEY)
                texts.append(f"{answer.headers}{answer.get_data().decode('latin-1')}")
    shown = "\n".join([*texts, caplog.text, repr(app.extensions["house"])])
    secrets = [value.rpartition(":")[2] for value in SECRETS.values()]
    assert not [secret for secret in secrets if secret in shown]


# --- cursors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 7, 2**63 - 1])
def test_a_cursor_leads_back(position: int) -> None:
    assert read_position("sends", next_cursor("sends", position)) == position


def test_no_cursor_is_the_beginning_and_the_end() -> None:
    assert read_cursor("sends", None) is None
    assert next_cursor("sends", None) is None


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "!!", "é", "bnVsbA", next_cursor("campaigns", 3), next_cursor("sends", "a"),
     next_cursor("sends", -1), next_cursor("sends", True), next_cursor("sends", 2**63)],
)  # fmt: skip
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid):
        read_position("sends", cursor)
