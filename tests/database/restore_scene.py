"""A house, a backup of it, and what restoring makes of it, on either database."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from database import backup, migrate, restore_postgresql, restore_sqlite
from database.audit import Facts, Finding, audit
from database.engine import Database
from database.restore import Here, Restored
from list_manager import ListManager
from services.quota import Limits
from tests import house as homes
from tests.house import House

#: So that a campaign for SendGrid alone is half done on its first day.
LIMITS = {"sendgrid": Limits(6, None)}
DAY = 86_400.0
ERASURE_KEY = "k" * 32


class Scene:
    """Twenty people; everything before the backup, and after it, is a test's."""

    def __init__(self, url: str, folder: Path, people: int = 20) -> None:
        self.url, self.folder = url, folder
        self.db = Database(url)
        migrate.upgrade(self.db)
        self.home: House = homes.enter(self.db, limits=LIMITS)
        self.clock = self.home.clock
        self.lists = ListManager(self.db, erasure_key=ERASURE_KEY, clock=self.clock)
        self.told: list[str] = []
        if people:
            self.home.add_people(people)

    @property
    def here(self) -> Here:
        return Here("sandbox", "fp", self.lists.alias, self.clock(), self.told.append)

    def backup(self) -> Path:
        """A backup of this moment; what comes later comes ten seconds later."""
        taken = backup.take(self.db, self.folder / "copy.bak", self.clock(), overwrite=True)
        self.clock.forward(10)
        return taken.path

    def restore(self, file: Path, **changed: Any) -> Restored:
        """By another process, as it were: ours has let go of the database."""
        self.db.dispose()
        here = replace(self.here, **changed)
        if self.db.path is not None:
            return restore_sqlite.restore(self.db.path, file, here)
        return restore_postgresql.restore(self.db, file, here)

    def again(self) -> House:
        """A new process on the database, with ESPs that remember."""
        self.home = homes.enter(self.db, clock=self.clock, limits=LIMITS, esps=self.home.esps)
        return self.home

    def broken(self) -> list[Finding]:
        """Promises that `verify` finds broken."""
        return broken(self.db, self.clock())

    def status(self, number: int) -> str:
        """Of person `number`."""
        return str(self.lists.get(f"person{number}@example.com").status)

    def rows(self, sql: str, **values: object) -> list[Mapping[str, Any]]:
        with self.db.read() as connection:
            return [dict(row) for row in connection.execute(sa.text(sql), values).mappings()]

    def act(self, sql: str, **values: object) -> None:
        with self.db.write() as connection:
            connection.execute(sa.text(sql), values)

    def taken(self) -> list[str]:
        """Whom the ESPs mailed."""
        return [address for esp in self.home.esps.values() for address in esp.taken]


def broken(db: Database, now: float) -> list[Finding]:
    report = audit(db, Facts(now + 1, "sandbox", 60, worker_beats=True))
    return [finding for finding in report.findings if not finding.ok]
