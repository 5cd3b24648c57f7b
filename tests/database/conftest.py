"""What backups, restores and imports are tried on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from database import models
from database.engine import Database
from list_manager import ListManager
from tests.database.import_desk import Desk
from tests.database.restore_scene import Scene


@pytest.fixture
def scene(database_url: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(database_url, tmp_path)
    yield made
    made.db.dispose()


@pytest.fixture
def on_sqlite(sqlite_url: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(sqlite_url, tmp_path)
    yield made
    made.db.dispose()


@pytest.fixture
def on_postgresql(postgresql_url: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(postgresql_url, tmp_path)
    yield made
    made.db.dispose()


@pytest.fixture
def lists(database_url: str) -> Iterator[ListManager]:
    """A list on either database."""
    yield from _lists_at(database_url)


@pytest.fixture
def sqlite_lists(sqlite_url: str) -> Iterator[ListManager]:
    """For what is decided before any database is asked."""
    yield from _lists_at(sqlite_url)


def _lists_at(url: str) -> Iterator[ListManager]:
    database = Database(url)
    models.metadata.create_all(database.engine)
    yield ListManager(database, erasure_key="secret", clock=lambda: 1_800_000_000.0)
    database.dispose()


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    made = Desk(database_url)
    yield made
    made.db.dispose()
