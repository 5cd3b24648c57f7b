"""What runs again and again, or under SQLite's write lock, reads no more as tables grow."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from database import campaigns, migrate, progress, send_acts, sends, suppression, transactional
from database.engine import Database
from database.models import SubscriberStatus
from tests import house
from tests.house import House


@pytest.fixture
def home(sqlite_url: str) -> Iterator[House]:
    database = Database(sqlite_url)
    migrate.upgrade(database)
    home = house.enter(database)
    home.add_people(300)
    for _ in range(3):
        home.launch()
    yield home
    database.dispose()


Act = Callable[[sa.Connection], object]
ACTS: dict[str, Act] = {
    "pick": lambda c: sends.pick(c, 2, 10),
    "build list": campaigns.to_build,
    "drain list": campaigns.to_drain,
    "lease list": campaigns.with_leases,
    "finish list": campaigns.to_finish,
    "cancel list": campaigns.cancelled_with_queued,
    "progress": lambda c: progress.recent(c, 2, 100, 1e9),
    "strangers": lambda c: suppression.stop_strangers_sends(
        c, "x@example.com", SubscriberStatus.BOUNCED, at=1.0
    ),
    "people": lambda c: suppression.stop_sends(c, [7], SubscriberStatus.BOUNCED, at=1.0),
    "cancel": lambda c: campaigns.cancel_queued(c, 3, 1.0, 10),
    "known key": lambda c: campaigns.by_idempotency_key(c, "k"),
    "old key": lambda c: campaigns.forget_idempotency_key(c, "k", 1.0),
    "mail that is due": lambda c: transactional.due(c, 1e9, without=["ses"]),
    "mail in doubt": lambda c: transactional.resend_doubt(c, 1, 1e9),
    "sends to somebody": lambda c: transactional.to_address(
        c, "person7@example.com", since=1.0, before=900, limit=10
    ),
    "files": lambda c: campaigns.forget_attachments(c, [1, 2]),
}


#: Values that were bound, or what another step of the plan has found.
_NO_TABLE = re.compile(r"json_each|\banon_\d")


@pytest.mark.parametrize("act", ACTS.values(), ids=list(ACTS))
def test_no_table_is_read_whole(home: House, act: Act) -> None:
    said: list[tuple[str, Any]] = []
    with home.db.write() as connection:
        sa.event.listen(
            connection, "before_cursor_execute",
            lambda _c, _cursor, statement, values, _context, _many: said.append(
                (statement, values)
            ),
        )  # fmt: skip
        act(connection)
        asked = list(said)
        assert asked
        for statement, values in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            steps = [row[3] for row in plan]
            scans = [step for step in steps if step.startswith("SCAN") and "INDEX" not in step]
            assert not [step for step in scans if not _NO_TABLE.search(step)], (statement, steps)


@pytest.mark.parametrize("status,esp", [(None, None), ("failed", None), ("queued", "ses")])
def test_a_page_of_sends_is_read_in_the_order_of_their_index(
    database_url: str, status: str | None, esp: str | None
) -> None:
    """From where the page begins, and without sorting."""
    database = Database(database_url)
    migrate.upgrade(database)
    with database.read() as connection:
        steps = " ".join(_steps(connection, lambda c: send_acts.page(c, 2, 50, "m", status, esp)))
    database.dispose()
    assert "SORT" not in steps.upper()
    assert "TEMP B-TREE" not in steps
    by_index = ("campaign_id=? AND address>?", "(campaign_id = '2'::bigint) AND (address > 'm'")
    assert any(words in steps for words in by_index), steps


def _steps(connection: sa.Connection, act: Act) -> list[str]:
    """The plan of the one statement of an act; on PostgreSQL as if the tables were large."""
    said: list[tuple[str, Any]] = []
    sa.event.listen(
        connection, "before_cursor_execute",
        lambda _c, _cursor, statement, values, _context, _many: said.append((statement, values)),
    )  # fmt: skip
    act(connection)
    ((statement, values),) = said
    if connection.dialect.name == "sqlite":
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        return [row[3] for row in plan]
    for path in ("seqscan", "bitmapscan", "sort"):
        connection.exec_driver_sql(f"SET enable_{path} = off")
    return [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", values)]


def test_a_campaigns_progress_looks_at_a_window_of_ids(home: House) -> None:
    with home.db.read() as connection:
        query = sa.text(
            "EXPLAIN QUERY PLAN SELECT count(*) FROM sends"
            " WHERE campaign_id + 0 = 1 AND id BETWEEN 1 AND 9"
        )
        assert "INTEGER PRIMARY KEY" in connection.execute(query).one()[3]
        assert progress.recent(connection, 2, 100, home.clock()).number == 0
