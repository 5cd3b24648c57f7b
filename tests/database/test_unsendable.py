"""What ends between claim and hand-over: suppression wins over whatever else is wrong."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from database import audit, migrate, send_acts
from database import esp_performance as performance
from database.engine import Database
from database.models import subscribers
from services.esp import Rejected
from tests import house
from tests.house import House, all_get


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    migrate.upgrade(database)
    made = house.enter(database)
    yield made
    facts = audit.Facts(made.clock(), "sandbox", 60, worker_beats=False)
    assert [one for one in audit.audit(database, facts).findings if not one.ok] == []
    database.dispose()


def change(home: House, *, whose: sa.ColumnElement[bool], **columns: Any) -> None:
    with home.db.write() as connection:
        connection.execute(subscribers.update().where(whose).values(**columns))


def test_who_lacks_a_variable_and_may_not_be_mailed_is_suppressed(home: House) -> None:
    home.add_people(4)
    home.esps["sendgrid"].answers = [all_get(Rejected("bad"))]
    campaign = home.launch(html="<p>{{ plan }}</p>")
    home.drain(campaign)
    lacking = subscribers.c.address.in_(["person1@example.com", "person2@example.com"])
    change(home, whose=lacking, attributes={})
    left = subscribers.c.address.in_(["person2@example.com", "person3@example.com"])
    change(home, whose=left, status="unsubscribed", status_reason="by phone")
    assert home.control.retry_failed(campaign) == 4
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 1, "failed": 1, "suppressed": 2}
    with home.db.read() as connection:
        (failed,) = send_acts.page(connection, campaign, 5, status="failed")
        suppressed = send_acts.page(connection, campaign, 5, status="suppressed")
        used = performance.read(connection, ["sendgrid"], home.clock())["sendgrid"].used_today
    assert (failed["address"], failed["reason"]) == (
        "person1@example.com", "missing_variable: plan"
    )  # fmt: skip
    assert {row["reason"] for row in suppressed} == {"unsubscribed: by phone"}
    assert used == 1, "whoever was not handed over took nothing of the limit"


def test_a_mail_whose_time_is_over_and_whose_person_is_out_of_reach_is_suppressed(
    home: House,
) -> None:
    home.add_people(1)
    mail = home.post(to="person0@example.com", expires_at=home.clock() + 60)
    change(home, whose=sa.true(), status="bounced", status_reason="550 no such user")
    home.clock.forward(61)
    home.drain(mail)
    assert home.ledger(mail) == {"suppressed": 1}
    assert home.esps["sendgrid"].batches == []
