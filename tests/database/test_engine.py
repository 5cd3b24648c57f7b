"""Transactions in the face of a process that freezes and a server that goes away."""

import threading
import time

import pytest
import sqlalchemy as sa

from database import engine, migrate
from database import esp_performance as performance
from database.engine import Database, DatabaseUnavailable

NOW = 1_800_000_000.0


def test_a_process_that_freezes_inside_a_transaction_holds_others_up_for_a_while_only(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "IDLE_SECONDS", 1)
    database = Database(postgresql_url)
    migrate.upgrade(database)
    held = threading.Event()
    told: list[Exception] = []

    def freeze() -> None:
        try:
            with database.write() as connection:
                performance.lock(connection, ["ses"], NOW)
                held.set()
                time.sleep(3)
                connection.execute(sa.text("SELECT 1"))
        except DatabaseUnavailable as error:
            told.append(error)

    frozen = threading.Thread(target=freeze)
    frozen.start()
    assert held.wait(10)
    began = time.monotonic()
    database.transact(lambda connection: performance.lock(connection, ["ses"], NOW))
    assert time.monotonic() - began < 2.5
    frozen.join()
    assert len(told) == 1
    database.dispose()


def test_a_server_that_ends_our_connections_is_found_again(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    migrate.upgrade(database)

    def end_my_own(connection: sa.Connection) -> None:
        mine = connection.scalar(sa.text("SELECT pg_backend_pid()"))
        with database.read() as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": mine})
        connection.execute(sa.text("SELECT 1"))

    with pytest.raises(DatabaseUnavailable):
        database.transact(end_my_own)
    with database.write() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    database.dispose()
