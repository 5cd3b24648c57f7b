"""What backups and restores are tried on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

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
