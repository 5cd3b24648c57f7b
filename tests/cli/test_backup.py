"""The commands `backup`, `restore` and `db upgrade`, from a terminal's point of view."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result

from cli.backup import backup, restore
from cli.db import db as db_commands
from database import backup as backups
from database import migrate
from database.engine import Database
from list_manager import ListManager
from tests import house as homes
from tests.application import SECRETS
from tests.running import ROOT
from tests.served import app_of, house_of


class Terminal:
    """A house and its commands."""

    def __init__(self, url: str, *, heartbeat: float | None = None) -> None:
        self.db = Database(url)
        migrate.upgrade(self.db)
        self.home = homes.enter(self.db)
        self.home.add_people(5)
        self.lists = ListManager(self.db, erasure_key="k" * 32, clock=self.home.clock)
        self.runner = app_of(house_of(self.home, heartbeat=heartbeat)).test_cli_runner()

    def run(self, command: Any, *words: str, answer: str | None = None) -> Result:
        return self.runner.invoke(command, list(words), input=answer)


@pytest.fixture
def terminal(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Terminal]:
    monkeypatch.chdir(tmp_path)
    made = Terminal(database_url)
    yield made
    made.db.dispose()


def test_there_and_back(terminal: Terminal, tmp_path: Path) -> None:
    campaign = terminal.home.launch()
    taken = terminal.run(backup, "--json")
    terminal.lists.unsubscribe("person1@example.com", reason="asked", by="ops")
    assert taken.exit_code == 0, taken.output
    told = json.loads(taken.stdout)
    file = Path(told["file"])
    assert file.parent.name == "backups"
    assert file.is_relative_to(tmp_path)
    assert file.stat().st_size == told["bytes"]

    done = terminal.run(restore, str(file), "--yes")
    assert done.exit_code == 0, done.output
    assert "Held back: 1 campaigns paused, 4 sends in doubt, 0 sends suppressed." in done.stdout
    assert "Applied again: 1 people out of reach, 0 topic opt-outs, 0 erasures." in done.stdout
    assert "The replaced database is " in done.stdout
    assert terminal.home.ledger(campaign) == {"in_doubt": 4, "suppressed": 1}

    machine = terminal.run(restore, str(file), "--yes", "--json")
    figures = json.loads(machine.stdout)
    assert (figures["paused"], figures["in_doubt"], figures["out_of_reach"]) == (1, 4, 1)
    assert figures["not_applied"] == []
    assert figures["taken_at"] == told["at"]


def test_backup_writes_where_it_is_told_and_overwrites_on_demand(
    terminal: Terminal, tmp_path: Path
) -> None:
    file = str(tmp_path / "mine.bak")
    first = terminal.run(backup, file)
    refused = terminal.run(backup, file)
    again = terminal.run(backup, file, "--force")

    assert first.exit_code == again.exit_code == 0
    assert f"{file}: " in first.stdout
    assert refused.exit_code == 1
    assert "without --force" in refused.output


def test_restore_asks_first(terminal: Terminal, tmp_path: Path) -> None:
    file = str(tmp_path / "mine.bak")
    terminal.run(backup, file)
    terminal.lists.unsubscribe("person1@example.com", reason="asked", by="ops")
    refused = terminal.run(restore, file, answer="n\n")

    assert refused.exit_code == 1
    assert "is replaced by" in refused.output
    assert "***" in refused.output or terminal.db.is_sqlite
    assert not list(tmp_path.glob("*.replaced"))
    assert terminal.run(restore, file, answer="y\n").exit_code == 0


def test_nothing_is_restored_while_a_worker_beats(sqlite_url: str, tmp_path: Path) -> None:
    terminal = Terminal(sqlite_url, heartbeat=1.5)
    file = str(tmp_path / "mine.bak")
    assert terminal.run(backup, file).exit_code == 0, "a backup needs no quiet"
    result = terminal.run(restore, file, "--yes")

    assert result.exit_code == 1
    assert "A worker beats. Stop the service first" in result.output
    terminal.db.dispose()


def test_what_is_no_backup_is_refused_in_a_sentence(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("email,name\n")
    for name, words in (("text", "is no backup of a"), ("none", "cannot be read")):
        result = terminal.run(restore, str(tmp_path / name), "--yes")
        assert result.exit_code == 1
        assert result.output.startswith(f"Error: {tmp_path / name} {words}")


def test_what_could_not_be_applied_again_is_a_warning(sqlite_url: str, tmp_path: Path) -> None:
    terminal = Terminal(sqlite_url)
    file = str(tmp_path / "mine.bak")
    terminal.run(backup, file)
    terminal.db.dispose()
    (tmp_path / "test.db").write_bytes(b"no database at all" * 100)
    result = terminal.run(restore, file, "--yes")

    assert result.exit_code == 0, result.output
    assert "warning: not applied again, all or in part: opt-outs, bounces" in result.stderr
    terminal.db.dispose()


def test_an_upgrade_keeps_a_copy_unless_told_not_to(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = terminal.run(db_commands, "downgrade")
    assert kept.exit_code == 0, kept.output
    copy = Path(kept.stdout.rpartition(" ")[2].strip())
    assert copy.stat().st_size > 1_000
    plain = terminal.run(db_commands, "upgrade", "--no-copy")
    assert "went from" in plain.stdout
    assert "copy" not in plain.stdout
    if not terminal.db.is_sqlite:
        monkeypatch.setenv("PATH", str(tmp_path))
        refused = terminal.run(db_commands, "downgrade")
        assert refused.exit_code == 1
        assert "nothing was changed" in refused.output
        assert "apt-get install -y postgresql-client" in refused.output
        assert migrate.is_current(terminal.db)


def test_other_sessions_of_postgresql_are_refused_and_our_own_are_not(
    postgresql_url: str, tmp_path: Path
) -> None:
    """A real process: settings, parts and queue as in a service."""
    own = {**os.environ, **SECRETS, "DATABASE_URL": postgresql_url, "MODE": "sandbox"}
    file = str(tmp_path / "mine.bak")

    def flask(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "flask", "--app", "app", *words], cwd=ROOT, env=own,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    db = Database(postgresql_url)
    migrate.upgrade(db)
    backups.take(db, Path(file), time.time())
    with db.read() as connection:
        connection.execute(sa.text("SELECT 1 FROM campaigns")).all()
        refused = flask("restore", file, "--yes")
    db.dispose()
    assert refused.returncode == 1, refused.stdout
    assert "the database is in use" in refused.stderr
    done = flask("restore", file, "--yes")
    assert done.returncode == 0, done.stderr
    assert "Next: ./setup.sh verify" in done.stdout
