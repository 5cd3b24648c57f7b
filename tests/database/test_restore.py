"""Restoring: whole or not at all, nobody is mailed twice, and nobody who opted out is mailed."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from database import backup, migrate
from database import esp_performance as performance
from database.engine import Database
from database.models import CampaignStatus, SubscriberStatus
from database.restore import RestoreRefused
from outbound.draft import Draft
from tests.database.restore_scene import DAY, Scene, broken
from utils import addresses
from utils.person import Change

Made = Callable[..., Scene]


# --- campaigns -----------------------------------------------------------------------------------


def test_who_waited_while_it_was_sending_is_in_doubt_and_never_mailed_again(scene: Scene) -> None:
    campaign = scene.home.launch(esp="sendgrid")
    scene.home.sender.step(campaign)
    before = len(scene.taken())
    file = scene.backup()
    scene.clock.forward(DAY)
    scene.home.sender.step(campaign)
    assert len(scene.taken()) > before
    done = scene.restore(file)

    home = scene.again()
    row = home.campaign(campaign)
    assert 0 < before < 20
    assert row["status"] == "paused"
    assert "restored from a backup of 20" in row["status_reason"]
    assert home.ledger(campaign) == {"accepted": before, "in_doubt": 20 - before}
    assert (done.fenced.paused, done.fenced.in_doubt) == (1, 20 - before)
    assert scene.broken() == []
    scene.clock.forward(DAY)
    home.control.resume(campaign, by="ops")
    home.drain(campaign)
    home.control.heal()
    assert home.campaign(campaign)["status"] == "sent"
    assert home.nobody_twice()


def test_what_was_claimed_or_handed_over_is_in_doubt(scene: Scene) -> None:
    campaign = scene.home.launch(esp="sendgrid")
    scene.home.sender.step(campaign)
    # As a worker leaves them that works while the backup is taken.
    scene.act("UPDATE sends SET status = 'sending', lease_token = 'a', lease_until = :until"
              " WHERE status = 'queued' AND id % 2 = 0", until=scene.clock() + 60)  # fmt: skip
    claimed = scene.rows("SELECT count(*) AS n FROM sends WHERE status = 'sending'")[0]["n"]
    scene.act("UPDATE campaigns SET n_sending = :n, n_queued = n_queued - :n", n=claimed)
    file = scene.backup()
    scene.restore(file)

    ledger = scene.again().ledger(campaign)
    assert claimed > 0
    assert set(ledger) == {"accepted", "in_doubt"}
    assert scene.rows("SELECT 1 AS x FROM sends WHERE lease_token IS NOT NULL") == []


def test_a_paused_campaign_that_stayed_so_waits_on(scene: Scene) -> None:
    campaign = scene.home.launch(esp="sendgrid")
    scene.home.sender.step(campaign)
    scene.home.control.pause(campaign, by="ann", reason="a typo")
    left = 20 - len(scene.taken())
    file = scene.backup()
    scene.lists.unsubscribe("person19@example.com", reason="asked", by="ops")
    scene.restore(file)

    home = scene.again()
    assert home.ledger(campaign)["queued"] == left - 1
    reason = home.campaign(campaign)["status_reason"]
    assert "it was paused: paused by ann: a typo" in reason
    home.control.resume(campaign, by="ops")
    for _ in range(3):
        scene.clock.forward(DAY)
        home.sender.step(campaign)
    assert len(scene.taken()) == 19
    assert home.nobody_twice()


def test_a_paused_campaign_that_went_on_since_is_in_doubt(scene: Scene) -> None:
    campaign = scene.home.launch()
    scene.home.control.pause(campaign, by="ann")
    file = scene.backup()
    scene.home.control.resume(campaign, by="ann")
    scene.home.sender.step(campaign)
    scene.home.control.pause(campaign, by="ann")
    assert scene.taken()
    scene.restore(file)

    assert scene.again().ledger(campaign) == {"in_doubt": 20}
    assert scene.broken() == []


def test_a_paused_campaign_of_which_nobody_knows_is_in_doubt(
    scene: Scene, sqlite_url: str, tmp_path: Path
) -> None:
    """Its database is gone; the one that is replaced is new."""
    campaign = scene.home.launch()
    scene.home.control.pause(campaign, by="ann")
    file = scene.backup()
    scene.home.control.resume(campaign, by="ann")
    scene.home.drain(campaign)
    _empty(scene)
    done = scene.restore(file)

    assert done.carried is not None
    assert done.carried.waited == frozenset()
    assert scene.again().ledger(campaign) == {"in_doubt": 20}
    assert scene.broken() == []


def _empty(scene: Scene) -> None:
    migrate.downgrade(scene.db, "base", keep_copy=False)
    migrate.upgrade(scene.db)


def test_a_campaign_that_was_being_built_is_built_and_in_doubt(scene: Scene) -> None:
    campaign = scene.home.launcher.launch(Draft(subject="Hello", html="<p>Hi</p>")).campaign_id
    file = scene.backup()
    assert scene.home.launcher.build(campaign)
    scene.home.drain(campaign)
    scene.restore(file)

    home = scene.again()
    assert home.ledger(campaign) == {"in_doubt": 20}
    assert home.campaign(campaign)["status"] == "paused"
    home.control.resume(campaign, by="ops")
    assert home.launcher.build(campaign)
    home.drain(campaign)
    assert home.nobody_twice()


def test_a_scheduled_campaign_waits_for_a_person(scene: Scene) -> None:
    campaign = scene.home.launch()
    scene.act("UPDATE campaigns SET status = 'scheduled', phase = NULL, n_queued = 0, audience = 0")
    scene.act("DELETE FROM sends")
    scene.restore(scene.backup())

    row = scene.again().campaign(campaign)
    assert row["status"] == CampaignStatus.PAUSED
    assert "it was scheduled, and may have been sent since" in row["status_reason"]


def test_a_single_mail_is_not_paused_and_not_sent_again(scene: Scene) -> None:
    mail = scene.home.post(to="ann@example.net")
    file = scene.backup()
    scene.home.drain(mail)
    assert scene.taken() == ["ann@example.net"]
    done = scene.restore(file)

    home = scene.again()
    assert done.fenced.paused == 0
    assert home.ledger(mail) == {"in_doubt": 1}
    home.control.heal()
    assert home.campaign(mail)["status"] == "sent"
    home.drain(mail)
    assert home.nobody_twice()


def test_a_single_mail_that_had_rather_come_twice_leaves_again(scene: Scene) -> None:
    mail = scene.home.post(to="ann@example.net", on_doubt="resend")
    file = scene.backup()
    scene.home.drain(mail)
    done = scene.restore(file)

    assert done.fenced.in_doubt == 0
    assert scene.broken() == []
    scene.again().drain(mail)
    assert scene.taken() == ["ann@example.net"] * 2


# --- people --------------------------------------------------------------------------------------


def test_whoever_left_since_the_backup_stays_out_of_reach(scene: Scene) -> None:
    file = scene.backup()
    scene.lists.unsubscribe("person1@example.com", reason="asked", by="ops")
    _proven(scene, SubscriberStatus.BOUNCED, 2)
    _proven(scene, SubscriberStatus.COMPLAINED, 3)
    _proven(scene, SubscriberStatus.BOUNCED, 77)  # whom the backup does not know
    with scene.db.write() as connection:
        scene.lists.opt_out_of_topic(connection, 5, "news", by="person")
    done = scene.restore(file)

    assert [scene.status(n) for n in (1, 2, 3, 4)] == [
        "unsubscribed", "bounced", "complained", "active"
    ]  # fmt: skip
    assert scene.status(77) == "bounced"
    assert scene.lists.get("person4@example.com").topic_opt_outs.keys() == {"news"}
    assert done.carried is not None
    assert (done.carried.out_of_reach, done.carried.topics) == (4, 1)
    assert scene.broken() == []
    campaign = scene.again().launch()
    scene.home.drain(campaign)
    assert len(scene.taken()) == 17


def _proven(scene: Scene, status: SubscriberStatus, number: int) -> None:
    """By an event of an ESP."""
    with scene.db.write() as connection:
        scene.lists.suppress(
            connection, status=status, reason="550", source="ses",
            address=f"person{number}@example.com",
        )  # fmt: skip


def test_whoever_was_erased_since_the_backup_is_erased_in_it(scene: Scene) -> None:
    campaign = scene.home.launch()
    scene.home.drain(campaign)
    file = scene.backup()
    scene.lists.erase("person4@example.com", by="ops")
    done = scene.restore(file)

    assert done.carried is not None
    assert done.carried.erased == 1
    for table in ("subscribers", "sends", "bounces", "complaints"):
        rows = scene.rows(f"SELECT * FROM {table}")
        assert "person4@" not in str(rows).lower(), table
    alias = scene.lists.alias("person4@example.com")
    assert [r["status"] for r in scene.rows(
        "SELECT status FROM subscribers WHERE address = :alias", alias=alias
    )] == ["erased"]  # fmt: skip
    assert scene.broken() == []


def test_a_stranger_who_became_known_and_was_erased_since_is_erased(scene: Scene) -> None:
    """The backup knows them by a single mail alone, or not at all."""
    scene.home.drain(scene.home.post(to="ann@example.net"))
    file = scene.backup()
    for name in ("ann", "bob"):
        scene.lists.upsert(Change(addresses.parse(f"{name}@example.net")), by="ops")
        scene.lists.erase(f"{name}@example.net", by="ops")
    scene.restore(file)

    rows = scene.rows("SELECT * FROM subscribers") + scene.rows("SELECT * FROM sends")
    assert "@example.net" not in str(rows)
    aliases = {scene.lists.alias(f"{name}@example.net") for name in ("ann", "bob")}
    assert aliases <= {row["address"] for row in rows}
    assert scene.broken() == []


def test_an_opt_out_that_the_backup_holds_is_not_lifted_by_a_later_return(scene: Scene) -> None:
    """Consent that the restored database has no record of does not count."""
    scene.lists.unsubscribe("person1@example.com", reason="asked", by="ops")
    file = scene.backup()
    scene.lists.resubscribe("person1@example.com", reason="asked again", by="ops")
    scene.restore(file)

    assert scene.status(1) == "unsubscribed"


def test_what_was_used_of_a_day_stays_used(scene: Scene) -> None:
    file = scene.backup()
    campaign = scene.home.launch(esp="ses")
    scene.home.drain(campaign)
    scene.restore(file)

    with scene.db.read() as connection:
        used = performance.read(connection, ["ses"], scene.clock())["ses"].used_today
    assert used == 20


# --- what is replaced ----------------------------------------------------------------------------


def test_what_is_replaced_is_kept(scene: Scene) -> None:
    file = scene.backup()
    scene.lists.unsubscribe("person1@example.com", reason="asked", by="ops")
    done = scene.restore(file)

    assert done.kept is not None
    if scene.db.is_sqlite:
        kept = Database(f"sqlite:///{done.kept}")
        with kept.read() as connection:
            rows = connection.execute(sa.text("SELECT count(*) FROM subscribers")).scalar()
        kept.dispose()
    else:
        schema = done.kept.partition('"')[2].rstrip('"')
        rows = scene.rows(f'SELECT count(*) AS n FROM "{schema}".subscribers')[0]["n"]
    assert rows == 20
    assert scene.restore(file).kept not in (None, done.kept), "the next one has another name"


def test_it_can_be_restored_where_nothing_is(scene: Scene, tmp_path: Path) -> None:
    campaign = scene.home.launch()
    file = scene.backup()
    if scene.db.path is not None:
        scene.db.dispose()
        scene.db.path.unlink()
    else:
        migrate.downgrade(scene.db, "base", keep_copy=False)
        scene.act("DROP TABLE alembic_version")
    done = scene.restore(file)

    assert (done.kept, done.carried) == (None, None)
    assert scene.again().ledger(campaign) == {"in_doubt": 20}
    assert scene.broken() == []


@pytest.mark.parametrize("damage", ["header", "middle", "empty"])
def test_a_damaged_database_can_be_replaced(on_sqlite: Scene, damage: str) -> None:
    scene = on_sqlite
    campaign = scene.home.launch()
    file = scene.backup()
    scene.lists.unsubscribe("person1@example.com", reason="asked", by="ops")
    scene.db.dispose()
    path = scene.db.path
    assert path is not None
    _damage(path, damage)
    done = scene.restore(file)

    assert done.carried is None or done.carried.unread
    assert done.kept is not None
    assert Path(done.kept).exists()
    assert scene.again().ledger(campaign) == {"in_doubt": 20}
    assert scene.broken() == []


def _damage(path: Path, where: str) -> None:
    if where == "empty":
        path.write_bytes(b"")
        return
    with path.open("r+b") as file:
        file.seek(0 if where == "header" else 4096)
        file.write(b"\xff" * (64 if where == "header" else path.stat().st_size - 4096))


def test_what_can_be_read_of_a_damaged_database_is_applied(on_sqlite: Scene) -> None:
    scene = on_sqlite
    file = scene.backup()
    scene.lists.unsubscribe("person1@example.com", reason="asked", by="ops")
    scene.act("DROP TABLE esp_performance")
    scene.act("CREATE TABLE esp_performance (x INTEGER)")
    done = scene.restore(file)

    assert scene.status(1) == "unsubscribed"
    assert done.carried is not None
    assert done.carried.unread == ("what was used of the ESPs' limits, and who is paused",)


def test_whoever_ran_the_service_can_open_what_another_restored(on_sqlite: Scene) -> None:
    scene = on_sqlite
    path = scene.db.path
    assert path is not None
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
    scene.restore(scene.backup())

    assert path.stat().st_mode & 0o777 == 0o640
    if os.geteuid() == 0:
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12345)


# --- refusals ------------------------------------------------------------------------------------


def refused(scene: Scene, file: Path, **changed: str) -> str:
    """The words; nothing was changed."""
    before = _contents(scene)
    with pytest.raises(RestoreRefused) as error:
        scene.restore(file, **changed)
    assert _contents(scene) == before
    if scene.db.path is not None:
        left = {p.name for p in scene.db.path.parent.iterdir()}
        assert not {n for n in left if "restoring" in n or "replaced" in n}
    else:
        assert scene.rows(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'before_restore%'"
        ) == []  # fmt: skip
    return str(error.value)


def _contents(scene: Scene) -> object:
    return [scene.rows(f"SELECT * FROM {table} ORDER BY 1")
            for table in ("subscribers", "campaigns", "sends")]  # fmt: skip


def test_another_kind_of_file_is_refused(scene: Scene) -> None:
    nothing, text = scene.folder / "nothing", scene.folder / "text"
    text.write_text("email,name\n")
    other = scene.folder / "other"
    other.write_bytes(b"PGDMP\x01" if scene.db.is_sqlite else b"SQLite format 3\0")
    assert "cannot be read: No such file" in refused(scene, nothing)
    assert "is no backup of a" in refused(scene, text)
    assert "and DATABASE_URL names" in refused(scene, other)


def test_a_damaged_file_is_refused(scene: Scene) -> None:
    campaign = scene.home.launch()
    file = scene.backup()
    whole = file.read_bytes()
    for size in (20, len(whole) // 2, len(whole) - 200):
        file.write_bytes(whole[:size])
        assert refused(scene, file)
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + b"\xff" * 3000 + whole[middle + 3000 :])
    assert str(file) in refused(scene, file)
    assert scene.again().ledger(campaign) == {"queued": 20}


def test_a_database_that_is_not_ours_is_refused(on_sqlite: Scene) -> None:
    file = on_sqlite.folder / "theirs"
    with sqlite3.connect(file) as theirs:
        theirs.execute("CREATE TABLE t (x)")
    theirs.close()
    assert "holds no database of this product" in refused(on_sqlite, file)


def test_a_newer_versions_file_is_refused(scene: Scene) -> None:
    before = scene.rows("SELECT version_num FROM alembic_version")[0]["version_num"]
    scene.act("UPDATE alembic_version SET version_num = '9999'")
    file = scene.backup()
    scene.act("UPDATE alembic_version SET version_num = :v", v=before)
    assert "(9999) is a newer version's" in refused(scene, file)


def test_an_older_versions_file_is_upgraded(scene: Scene) -> None:
    head = migrate.head()
    migrate.downgrade(scene.db, keep_copy=False)
    file = scene.folder / "older.bak"
    backup.copy_before(scene.db, file)
    migrate.upgrade(scene.db, keep_copy=False)
    assert migrate.current(scene.db) == head
    scene.restore(file)
    assert migrate.current(scene.db) == head
    assert scene.status(0) == "active"
    assert scene.broken() == []


def test_another_mode_or_erasure_key_is_refused(scene: Scene) -> None:
    scene.home.launch()
    with scene.db.write() as connection:
        performance.add_state(connection, "instance", "keys", {"erasure": "fp"}, scene.clock())
    file = scene.backup()
    assert "MODE=live, but the file holds 1 campaign " in refused(scene, file, mode="live")
    assert "ERASURE_KEY is not the one" in refused(scene, file, erasure_fingerprint="other")


def test_a_file_in_use_is_refused(on_sqlite: Scene) -> None:
    file = on_sqlite.backup()
    other = Database(on_sqlite.url)
    with other.read() as connection:
        connection.execute(sa.text("SELECT 1 FROM campaigns")).all()
        assert "the database is in use: stop the service" in refused(on_sqlite, file)
    other.dispose()


def test_a_live_sqlite_file_is_no_backup(on_sqlite: Scene) -> None:
    on_sqlite.home.launch()
    other = on_sqlite.folder / "other.db"
    db = Database(f"sqlite:///{other}")
    migrate.upgrade(db)
    assert "is a database in use, not a backup" in refused(on_sqlite, other)
    db.dispose()


def test_a_full_disk_changes_nothing(on_sqlite: Scene) -> None:
    import resource

    scene = on_sqlite
    scene.home.launch()
    file = scene.backup()
    size = file.stat().st_size
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (size // 2, size + 4096):
        scene.db.dispose()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, former[1]))
        try:
            with pytest.raises(RestoreRefused, match=r"cannot be copied|nothing was changed"):
                scene.restore(file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert broken(scene.db, scene.clock()) == []
    assert not [p for p in scene.folder.iterdir() if "restoring" in p.name]


def test_a_schema_with_an_odd_name_comes_back(postgresql_url: str, tmp_path: Path) -> None:
    name = sa.make_url(postgresql_url).database
    db = Database(postgresql_url)
    with db.write() as connection:
        connection.execute(sa.text('CREATE SCHEMA "odd-name"'))
        connection.execute(sa.text(f'ALTER DATABASE "{name}" SET search_path = "odd-name"'))
    db.dispose()
    scene = Scene(postgresql_url, tmp_path)
    campaign = scene.home.launch()
    scene.restore(scene.backup())

    assert scene.again().ledger(campaign) == {"in_doubt": 20}
    assert scene.rows("SELECT current_schema() AS s")[0]["s"] == "odd-name"
    assert scene.broken() == []
    scene.db.dispose()
