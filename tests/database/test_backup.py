"""Backing up: one consistent snapshot while others write, or nothing under that name."""

import os
import resource
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from database import backup, migrate, pg_tools
from database.backup import BackupFailed
from database.engine import Database
from tests.database.restore_scene import Scene, broken

PEOPLE = 3_000


def test_a_backup_taken_while_a_campaign_leaves_keeps_every_promise(
    database_url: str, tmp_path: Path
) -> None:
    scene = Scene(database_url, tmp_path, people=0)
    scene.home.add_people(PEOPLE)
    campaign = scene.home.launch()
    files: list[Path] = []

    def send() -> None:
        while scene.home.sender.step(campaign).taken:
            begun.set()

    begun = threading.Event()
    sender = threading.Thread(target=send)
    sender.start()
    begun.wait(20)
    while sender.is_alive() and len(files) < 3:
        files.append(scene.folder / f"{len(files)}.bak")
        backup.take(scene.db, files[-1], scene.clock())
    sender.join(60)
    assert files, "the campaign was over before the first backup"
    assert broken(scene.db, scene.clock()) == [], "the original"
    for file in files:
        scene.restore(file)
        assert scene.broken() == []
        ledger = scene.again().ledger(campaign)
        assert sum(ledger.values()) == PEOPLE
        assert ledger.keys() <= {"accepted", "in_doubt"}
    scene.db.dispose()


def test_writers_never_make_a_copy_begin_anew(
    on_sqlite: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_PAGES", 1)
    told: list[str] = []

    def write(words: str) -> None:
        told.append(words)
        on_sqlite.act("UPDATE subscribers SET name = :name", name=f"{len(told)}")
        assert len(told) < 1_000

    path, target = on_sqlite.db.path, on_sqlite.folder / "copy"
    assert path is not None
    backup.copy_sqlite(path, target, write)
    assert len(told) > 10
    assert backup.damage(target) == ""
    copied = Database(f"sqlite:///{target}")
    with copied.read() as connection:
        names = connection.execute(sa.text("SELECT name FROM subscribers WHERE id = 1")).all()
    copied.dispose()
    assert names == [("Person 0",)]


def test_a_backup_is_one_file_that_only_its_owner_reads(scene: Scene) -> None:
    target = scene.folder / "new" / "folder" / "copy.bak"
    taken = backup.take(scene.db, target, 1_800_000_000.0)

    assert (taken.path, taken.at) == (target, 1_800_000_000.0)
    assert taken.bytes == target.stat().st_size > 1_000
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in target.parent.iterdir()] == ["copy.bak"]


def test_it_says_when_it_was_taken_and_the_database_in_use_does_not(scene: Scene) -> None:
    before = scene.clock()
    file = scene.backup()
    after = scene.clock()
    with scene.db.read() as connection:
        assert backup.taken_at(connection) is None
    done = scene.restore(file)
    assert before <= done.taken_at < after - 9
    with scene.db.read() as connection:
        assert backup.taken_at(connection) is None


def test_a_file_is_overwritten_on_demand_only_and_the_database_never(scene: Scene) -> None:
    target = scene.folder / "copy.bak"
    target.write_text("something dear")
    with pytest.raises(BackupFailed, match="not overwritten without --force"):
        backup.take(scene.db, target, scene.clock())
    assert target.read_text() == "something dear"
    backup.take(scene.db, target, scene.clock(), overwrite=True)
    assert target.stat().st_size > 1_000
    if scene.db.path is not None:
        with pytest.raises(BackupFailed, match="is the database itself"):
            backup.take(scene.db, scene.db.path, scene.clock(), overwrite=True)


def test_where_nothing_is_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(BackupFailed, match=r"there is no database at .*none\.db"):
        backup.take(db, tmp_path / "copy.bak", 0.0)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_damaged_database_is_not_backed_up_in_silence(on_sqlite: Scene) -> None:
    path = on_sqlite.db.path
    assert path is not None
    on_sqlite.db.dispose()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(BackupFailed, match=r"damaged|cannot be copied"):
        backup.take(on_sqlite.db, on_sqlite.folder / "copy.bak", 0.0)
    assert not (on_sqlite.folder / "copy.bak").exists()


def test_a_full_disk_leaves_the_former_backup(scene: Scene) -> None:
    file = scene.backup()
    former, size = file.read_bytes(), file.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1]))
    try:
        with pytest.raises(BackupFailed):
            backup.take(scene.db, file, scene.clock(), overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == former
    assert not [path for path in scene.folder.iterdir() if ".part" in path.name]
    with scene.db.read() as connection:
        assert backup.taken_at(connection) is None


def test_a_folder_that_cannot_be_made_is_named(on_sqlite: Scene) -> None:
    (on_sqlite.folder / "file").touch()
    with pytest.raises(BackupFailed, match=r"file/copy\.bak cannot be written: "):
        backup.take(on_sqlite.db, on_sqlite.folder / "file" / "copy.bak", 0.0)


_KILLED = """
import os, signal, sys
from pathlib import Path
from database import backup
from database.engine import Database
def kill(_path):
    os.kill(os.getpid(), signal.SIGKILL)
backup._sync = kill
backup.take(Database(sys.argv[1]), Path(sys.argv[2]), 0.0, overwrite=True)
"""


def test_a_killed_backup_leaves_the_former_one_and_is_cleared_away(on_sqlite: Scene) -> None:
    file = on_sqlite.backup()
    former = file.read_bytes()
    dead = subprocess.run(
        [sys.executable, "-c", _KILLED, on_sqlite.url, str(file)], check=False,
        cwd=Path(__file__).parents[2], env=dict(os.environ),
    )  # fmt: skip
    assert dead.returncode == -9
    assert file.read_bytes() == former
    assert [path for path in on_sqlite.folder.iterdir() if ".part" in path.name]
    on_sqlite.backup()
    assert not [path for path in on_sqlite.folder.iterdir() if ".part" in path.name]


def test_without_pg_dump_it_says_how_to_get_it(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(postgresql_url, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupFailed, match="Install it: sudo apt-get install") as error:
        backup.take(scene.db, tmp_path / "copy.bak", 0.0)
    assert error.value.missing
    scene.db.dispose()


def _shown(pid: int) -> bytes:
    """What everybody may see of a program; nothing for the moment in which it begins."""
    seen, end = b"", time.monotonic() + 10
    while b"pg_dump" not in seen and time.monotonic() < end:
        parts = [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
        seen = b"".join(parts) if all(parts) else b""
    return seen


def test_the_password_reaches_pg_dump_but_neither_its_words_nor_its_environment(
    postgresql_url: str, tmp_path: Path
) -> None:
    url = sa.make_url(postgresql_url)
    secret = str(url.password)
    database = Database(postgresql_url)
    with database.write() as held:
        held.exec_driver_sql("CREATE TABLE held (id int)")
    with ExitStack() as lock:  # pg_dump waits for the table, so that it is there to be seen
        lock.enter_context(database.write()).exec_driver_sql("LOCK TABLE held")
        with pg_tools.dumping(url, "public", tmp_path / "x") as process:
            seen = _shown(process.pid)
            lock.close()
            pg_tools.check(process)
    database.dispose()
    assert b"pg_dump" in seen
    assert secret.encode() not in seen
    wrong = url.set(password="wrong:\\one")
    with (
        pytest.raises(pg_tools.ToolFailed, match="password authentication failed") as error,
        pg_tools.dumping(wrong, "public", tmp_path / "x") as process,
    ):
        pg_tools.check(process)
    assert "wrong:" not in str(error.value)


def test_a_copy_is_kept_before_the_schema_changes(scene: Scene) -> None:
    copy = migrate.downgrade(scene.db, folder=scene.folder)
    assert copy is not None
    assert copy.parent == scene.folder
    assert copy.stat().st_mode & 0o777 == 0o600
    assert migrate.upgrade(scene.db, folder=scene.folder) is not None
    scene.restore(copy)
    assert migrate.is_current(scene.db)
    assert scene.status(0) == "active"
