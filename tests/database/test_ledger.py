"""Counters move with the rows they count, last of all: a campaign's row is wanted by everybody."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from database import campaigns, ledger
from database import esp_performance as performance
from database.models import SendStatus
from database.models import campaigns as table
from tests.mailed import ESP, NOW, Mailed


@pytest.fixture
def mailed(database_url: str) -> Iterator[Mailed]:
    mailed = Mailed(database_url)
    yield mailed
    mailed.db.dispose()


def accepted(mailed: Mailed) -> int:
    with mailed.db.read() as connection:
        row = campaigns.get(connection, mailed.id)
    assert row is not None
    return int(row["n_accepted"])


def test_a_transaction_holds_its_campaign_only_at_its_end(mailed: Mailed) -> None:
    with mailed.db.write() as connection:
        ledger.move(connection, mailed.id, SendStatus.SENDING, SendStatus.ACCEPTED, 2, ESP)
        performance.count(connection, ESP, {"used": 3}, NOW)
        performance.give_back(connection, ESP, performance.day_of(NOW), 1)
        if not mailed.db.is_sqlite:  # SQLite has one writer at a time anyway
            with mailed.db.engine.begin() as other:
                other.execute(sa.select(table.c.id).with_for_update(nowait=True)).all()
    assert accepted(mailed) == 2
    with mailed.db.read() as connection:
        assert performance.read(connection, [ESP], NOW)[ESP].used_today == 10 + 3 - 1
        assert performance.by_esp(connection, mailed.id)[ESP]["accepted"] == 2


def test_a_transaction_that_fails_counts_nothing_not_even_in_the_next(mailed: Mailed) -> None:
    def count_and_fail(connection: sa.Connection) -> None:
        ledger.move(connection, mailed.id, SendStatus.SENDING, SendStatus.ACCEPTED, 2, ESP)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        mailed.db.transact(count_and_fail)
    with mailed.db.write() as connection:
        ledger.move(connection, mailed.id, SendStatus.SENDING, SendStatus.ACCEPTED, 1, ESP)
    assert accepted(mailed) == 1


@pytest.mark.parametrize(
    "source, target",
    [
        (SendStatus.COMPLAINED, SendStatus.DELIVERED),
        (SendStatus.DELIVERED, SendStatus.QUEUED),
        (SendStatus.ACCEPTED, SendStatus.FAILED),
        (SendStatus.SUPPRESSED, SendStatus.QUEUED),
        (None, SendStatus.ACCEPTED),
    ],
)
def test_a_move_that_the_lifecycle_does_not_know_is_not_counted(
    mailed: Mailed, source: SendStatus | None, target: SendStatus
) -> None:
    with mailed.db.write() as connection, pytest.raises(ValueError, match="may not go"):
        ledger.move(connection, mailed.id, source, target)
