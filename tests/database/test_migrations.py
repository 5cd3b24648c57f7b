"""Migrations over tables that are in use, down and up again, on both databases."""

import base64
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from database import audit, migrate, send_acts
from database.engine import Database
from tests import house
from tests.house import House

FILE = {"filename": "a.pdf", "content_type": "application/pdf",
        "content": base64.b64encode(b"%PDF").decode()}  # fmt: skip


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    migrate.upgrade(database)
    yield house.enter(database)
    database.dispose()


def shape(home: House) -> tuple[set[str], set[str]]:
    """The columns of campaigns and the indexes of sends."""
    with home.db.read() as connection:
        told = sa.inspect(connection)
        columns = {column["name"] for column in told.get_columns("campaigns")}
        indexes = {str(index["name"]) for index in told.get_indexes("sends")}
    return columns, indexes


def promises_hold(home: House) -> None:
    facts = audit.Facts(home.clock(), "sandbox", 60, worker_beats=False)
    assert [one for one in audit.audit(home.db, facts).findings if not one.ok] == []


def test_what_came_with_single_mails_goes_and_comes_with_rows_in_the_tables(home: House) -> None:
    home.add_people(3)
    campaign = home.launch()
    home.drain(campaign)
    done, plain = home.post(attachments=(FILE,)), home.post(to="bob@example.net")
    home.drain(done)
    queued = home.post(to="cid@example.net", attachments=(FILE,))
    claimed = home.post(to="dan@example.net", attachments=(FILE,))
    home.sender._claim(claimed)
    before = shape(home)
    migrate.downgrade(home.db, "0001")
    columns, indexes = shape(home)
    assert before[0] - columns == {"attachments"}
    assert before[1] - indexes == {"ix_sends_strangers"}
    migrate.upgrade(home.db)
    assert shape(home) == before
    home.control.heal()
    home.drain(plain)
    ended = [home.ledger(one) for one in (campaign, done, plain, queued, claimed)]
    assert ended == [{"accepted": 3}, *[{"accepted": 1}] * 2, *[{"failed": 1}] * 2]
    assert [home.campaign(one)["status"] for one in (queued, claimed)] == ["failed"] * 2
    with home.db.read() as connection:
        (row,) = send_acts.page(connection, queued, 5)
    assert row["reason"] == "its files were dropped by a downgrade"
    promises_hold(home)


def test_a_mail_with_files_that_may_have_left_stays_in_doubt(home: House) -> None:
    first = home.esps["sendgrid"]
    first.always = first.takes_but_hides_it
    mail = home.post(attachments=(FILE,))
    home.drain(mail)
    migrate.downgrade(home.db, "0001")
    migrate.upgrade(home.db)
    assert home.ledger(mail) == {"in_doubt": 1}
    promises_hold(home)


def test_all_the_way_down_and_up_again(home: House) -> None:
    before = shape(home)
    migrate.downgrade(home.db, "base")
    assert migrate.current(home.db) is None
    migrate.upgrade(home.db)
    assert shape(home) == before
