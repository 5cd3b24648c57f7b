"""/health, /ready and /metrics: what they ask, and what they say when it is not there."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from config.settings import load
from database import migrate
from database.engine import Database
from tests.application import FULL, SECRETS, bearer, close
from web.context import House
from web.openapi import Api

KEY = bearer(FULL)


def house(app: Api) -> House:
    parts: House = app.extensions["house"]
    return parts


def checks(client: FlaskClient, status: int) -> dict[str, Any]:
    answer = client.get("/ready")
    assert answer.status_code == status
    found: dict[str, Any] = answer.get_json()["checks"]
    return found


def test_health_asks_nothing(app: Api) -> None:
    house(app).heartbeat_age = lambda: 1 / 0
    answer = app.test_client().get("/health")
    assert answer.status_code == 200
    assert answer.get_json()["status"] == "ok"
    assert answer.get_json()["mode"] == "sandbox"


def test_ready_when_database_migrations_and_worker_are(app: Api) -> None:
    house(app).heartbeat_age = lambda: 1.0
    found = checks(app.test_client(), 200)
    assert all(check["ok"] for check in found.values())
    assert set(found) == {"database", "migrations", "worker"}


@pytest.mark.parametrize("age", [None, 16.0])
def test_without_a_worker_it_is_not_ready(app: Api, age: float | None) -> None:
    house(app).heartbeat_age = lambda: age
    assert not checks(app.test_client(), 503)["worker"]["ok"]


def test_a_queue_that_cannot_be_read_is_said(app: Api) -> None:
    house(app).heartbeat_age = lambda: 1 / 0
    assert "queue" in checks(app.test_client(), 503)["worker"]["detail"]


def test_a_schema_of_another_version_is_said(app: Api) -> None:
    house(app).heartbeat_age = lambda: 1.0
    migrate.downgrade(house(app).db, "base")
    found = checks(app.test_client(), 503)
    assert found["database"]["ok"]
    assert "db upgrade" in found["migrations"]["detail"]


def test_a_database_that_is_gone_is_said_without_details(app: Api, tmp_path: Path) -> None:
    house(app).heartbeat_age = lambda: 1.0
    house(app).db.dispose()
    house(app).db = Database(f"sqlite:///{tmp_path}/folder/x.db")
    (tmp_path / "folder" / "x.db").mkdir()
    found = checks(app.test_client(), 503)
    assert not found["database"]["ok"]
    assert str(tmp_path) not in str(found)


def test_a_locked_database_answers_503_and_not_500(app: Api, tmp_path: Path) -> None:
    path = house(app).db.path
    assert path is not None
    house(app).db.dispose()
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE campaigns")
    answer = app.test_client().get("/campaigns", headers=KEY)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_metrics_count_states_esps_and_the_queue(app: Api) -> None:
    house(app).heartbeat_age = lambda: 2.5
    client = app.test_client()
    client.post("/subscribers", json={"email": "a@example.com"}, headers=KEY)
    client.post("/send-campaign", json={"subject": "x", "text": "y"}, headers=KEY)
    answer = client.get("/metrics", headers=KEY)
    assert answer.mimetype == "text/plain"
    for line in (
        'email_campaigns{state="sending"} 1.0', 'email_sends{state="in_doubt"} 0.0',
        'email_subscribers{status="active"} 1.0', "email_worker_heartbeat_age_seconds 2.5",
        'email_esp_used_today{esp="sendgrid"} 0.0', 'email_esp_breaker{esp="ses"} 0.0',
        "process_resident_memory_bytes",
    ):  # fmt: skip
        assert line in answer.text
    assert "a@example.com" not in answer.text


def test_a_scrape_survives_a_queue_that_cannot_be_read(app: Api) -> None:
    house(app).heartbeat_age = lambda: 1 / 0
    answer = app.test_client().get("/metrics", headers=KEY)
    assert answer.status_code == 200
    assert "heartbeat" not in answer.text


def test_the_mailbox_is_only_there_in_sandbox(tmp_path: Path) -> None:
    from app import create_app

    live = {
        **SECRETS, "MODE": "live", "SENDGRID_API_KEY": "SG.0123456789.abcdefghij",
        "DATABASE_URL": f"sqlite:///{tmp_path}/live.db",
    }  # fmt: skip
    app = create_app(load(live, None))
    answer = app.test_client().get("/sandbox/messages", headers=KEY)
    assert answer.status_code == 404
    assert answer.headers["X-Mode"] == "live"
    close(app)


def test_a_simulator_that_is_not_there_is_503(client: FlaskClient) -> None:
    answer = client.get("/sandbox/messages?to=a@example.com&esp=ses", headers=KEY)
    assert answer.status_code == 503
    assert "simulator" in answer.get_json()["detail"]
