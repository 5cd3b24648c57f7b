"""Restores over and over in children that kill themselves (-9), each one step later, and looks
after each what is there. A program of its own, because its children are forks.

Usage: restore_killed.py URL FILE KILLS. Prints a line of JSON for each child.
"""

import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from database import restore_postgresql, restore_sqlite
from database.engine import Database
from database.restore import Here

#: What changes a folder, as Python's audit events name it; every one of these is a step.
FILES = {"os.rename", "os.link", "os.remove", "os.chmod", "os.chown", "shutil.copyfile"}
QUESTIONS = (
    "SELECT status, count(*) FROM subscribers GROUP BY 1 ORDER BY 1",
    "SELECT id, status, audience, n_queued, n_accepted, n_in_doubt FROM campaigns ORDER BY 1",
    "SELECT campaign_id, status, count(*) FROM sends GROUP BY 1, 2 ORDER BY 1, 2",
)


class Steps:
    """Counts what a restore does, and kills it before one of those steps."""

    def __init__(self, chosen: int | None, seen: Callable[[str], None]) -> None:
        self.number, self.chosen, self.seen = 0, chosen, seen
        sys.addaudithook(self._audit)
        sa.event.listen(sa.Engine, "commit", lambda _connection: self.step("commit"))
        sa.event.listen(sa.Engine, "before_cursor_execute", lambda *_: self.step("statement"))

    def _audit(self, name: str, _arguments: object) -> None:
        if name in FILES:
            self.step(name)

    def step(self, name: str) -> None:
        self.number += 1
        self.seen(name)
        if self.number == self.chosen:
            os.kill(os.getpid(), signal.SIGKILL)


def restored(url: str, file: Path, chosen: int | None) -> tuple[int, list[str]]:
    """Restore in a child that ends before its step `chosen`; its status, and its steps."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            Steps(chosen, lambda name: void(os.write(writer, f"{name}\n".encode())))
            restore(url, file)
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    os.close(writer)
    with os.fdopen(reader) as words:
        steps = words.read().split()
    return os.waitpid(child, 0)[1], steps


def void(_value: object) -> None:
    """A callback gives nothing back."""


def restore(url: str, file: Path) -> None:
    here = Here("sandbox", "fp", lambda address: f"erased:{address}", time.time(), void)
    db = Database(url)
    if db.path is not None:
        restore_sqlite.restore(db.path, file, here)
    else:
        restore_postgresql.restore(db, file, here)


def answers(url: str) -> list[Any]:
    """What is there, as anybody finds it who opens the database now."""
    made = sa.make_url(url)
    if made.get_backend_name() == "sqlite":
        assert made.database
        with closing(sqlite3.connect(made.database)) as opened:
            assert opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return [opened.execute(question).fetchall() for question in QUESTIONS]
    plain = made.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        return [connection.execute(question).fetchall() for question in QUESTIONS]


class Room:
    """The database, put back as it was whenever a child has changed it."""

    def __init__(self, url: str) -> None:
        database = sa.make_url(url).database or ""
        self.folder = Path(database).parent if url.startswith("sqlite") else None
        if self.folder is not None:
            shutil.copytree(self.folder, f"{self.folder}.before")

    def tidy(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder)
            shutil.copytree(f"{self.folder}.before", self.folder)


def main(url: str, file: Path, kills: int) -> None:
    """All of it."""
    room, before = Room(url), answers(url)
    status, steps = restored(url, file, None)
    after = answers(url)
    assert status == 0
    assert before != after
    if room.folder is None:
        undo(url, before)
    for chosen in chosen_of(steps, kills):
        room.tidy()
        status, done = restored(url, file, chosen)
        now = answers(url)
        which = "old" if now == before else "new" if now == after else f"half: {now}"
        print(json.dumps({"status": status, "step": done[-1], "which": which}), flush=True)
    room.tidy()
    status, _ = restored(url, file, None)
    which = "new" if answers(url) == after else "?"
    print(json.dumps({"status": status, "step": "end", "which": which}), flush=True)


def undo(url: str, before: list[Any]) -> None:
    """Bring back the tables that a restore put away."""
    plain = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        rows = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'before_restore%'"
        ).fetchall()
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute(f'ALTER SCHEMA "{rows[0][0]}" RENAME TO public')
    assert answers(url) == before


def chosen_of(steps: list[str], kills: int) -> list[int]:
    """Every step that touches a file or commits, and some of the statements between."""
    numbered = list(enumerate(steps, 1))
    firm = [number for number, name in numbered if name != "statement"]
    rest = [number for number, name in numbered if name == "statement"]
    stride = max(1, len(rest) // max(1, kills - len(firm)))
    return sorted({*firm, *rest[::stride]})


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
