"""The whole application on a database of its own, for tests: no simulator, no network."""

from pathlib import Path

from app import create_app
from config.settings import Settings, load
from database import migrate
from database.engine import Database
from web.context import House
from web.openapi import Api

FULL = "full-key-0123456789abcdef-full"
SEND = "send-key-0123456789abcdef-send"
READ = "read-key-0123456789abcdef-read"
SECRETS = {
    "API_KEY": f"ada:{FULL}",
    "API_KEY_SEND": SEND,
    "API_KEY_READ": f"grafana:{READ}",
    "SECRET_KEY": "sign-key-0123456789abcdef-sign",
    "ERASURE_KEY": "erasure-0123456789abcdef-erasure",
}


def bearer(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"Authorization": f"Bearer {key}"}


def settings_at(folder: Path, **values: str) -> Settings:
    """Settings of a test: keys, and a database in its folder."""
    return load({**SECRETS, "DATABASE_URL": f"sqlite:///{folder}/test.db", **values}, None)


def application_at(folder: Path, **values: str) -> Api:
    """The application on a fresh database."""
    settings = settings_at(folder, **values)
    db = Database(settings.database_url)
    migrate.upgrade(db)
    db.dispose()
    return create_app(settings)


def close(app: Api) -> None:
    """Let go of files, so that no warning is left."""
    house: House = app.extensions["house"]
    house.sender.close()
    house.close()
