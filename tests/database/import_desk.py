"""A list on a database of its own, and what is known of its imports."""

from typing import Any

from database import import_log, models
from database.engine import Database
from database.import_log import PIECE, RowError
from list_manager import ListManager

NOW = 1_800_000_000.0


class Clock:
    """A moment that a test moves."""

    now = NOW

    def __call__(self) -> float:
        return self.now


class Desk:
    """A list and what is known of its imports."""

    def __init__(self, url: str) -> None:
        self.clock = Clock()
        self.db = Database(url)
        models.metadata.create_all(self.db.engine)
        self.lists = ListManager(self.db, erasure_key="secret", clock=self.clock)

    def known(self, import_id: str) -> dict[str, Any]:
        with self.db.read() as connection:
            found = import_log.get(connection, import_id, self.clock())
        assert found is not None
        return found

    def page(self, before: str | None = None, limit: int = 10) -> list[dict[str, Any]]:
        with self.db.read() as connection:
            return import_log.page(connection, before=before, limit=limit, now=self.clock())

    def errors(self, import_id: str, after: int = 0, limit: int = PIECE) -> list[RowError]:
        with self.db.read() as connection:
            return import_log.errors_of(connection, import_id, after=after, limit=limit)
