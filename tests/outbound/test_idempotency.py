"""One key names one request, whichever route it came by, for seven days."""

from collections.abc import Iterator

import pytest

from database import migrate
from database.engine import Database
from outbound.draft import Draft
from outbound.idempotency import KEY_KEPT_SECONDS, fingerprint
from outbound.transactional import Mail
from tests import house
from tests.house import House
from utils.errors import Conflict

CAMPAIGN = Draft("Hello", text="Hi")
MAIL = Mail("ann@example.net", "Hello", text="Hi")


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    migrate.upgrade(database)
    made = house.enter(database)
    made.add_people(1)
    yield made
    database.dispose()


def test_a_key_of_a_campaign_is_none_for_a_mail_and_the_other_way_round(home: House) -> None:
    home.launcher.launch(CAMPAIGN, idempotency_key="a")
    home.mailer.post(MAIL, idempotency_key="b")
    with pytest.raises(Conflict):
        home.mailer.post(MAIL, idempotency_key="a")
    with pytest.raises(Conflict):
        home.launcher.launch(CAMPAIGN, idempotency_key="b")


def test_after_seven_days_a_key_may_be_used_anew_and_no_other_key_is_touched(home: House) -> None:
    first = home.launcher.launch(CAMPAIGN, idempotency_key="a")
    mail = home.mailer.post(MAIL, idempotency_key="b")
    other = home.launcher.launch(CAMPAIGN, idempotency_key="c")
    home.clock.forward(KEY_KEPT_SECONDS - 60)
    assert home.launcher.launch(CAMPAIGN, idempotency_key="a").repeated
    home.clock.forward(120)
    again = home.launcher.launch(CAMPAIGN, idempotency_key="a")
    assert (again.repeated, again.campaign_id != first.campaign_id) == (False, True)
    assert home.mailer.post(MAIL, idempotency_key="b").send_id != mail.send_id
    assert home.campaign(first.campaign_id)["idempotency_key"] is None
    assert home.campaign(other.campaign_id)["idempotency_key"] == "c"


def test_a_request_of_before_is_the_same_when_newer_fields_are_left_open() -> None:
    known = fingerprint({"subject": "Hello", "esp": None})
    newer: dict[str, object] = {"preheader": None, "headers": {}, "scheduled_at": None}
    assert fingerprint({"subject": "Hello", "esp": None} | newer) == known
    assert fingerprint({"subject": "Hello", "esp": None} | newer | {"preheader": "Yes"}) != known
    assert fingerprint({"subject": "Hello"}) != known
