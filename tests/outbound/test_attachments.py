"""Files of single mails leave the database when their mail has ended, whichever way, not before."""

import base64
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from database import campaigns, migrate
from database.engine import Database
from database.models import CampaignStatus, EventKind, SubscriberStatus
from database.models import campaigns as campaigns_table
from feedback import Feedback
from list_manager import ListManager
from outbound.reconcile import Reconciler
from services.esp import EspError, EspEvent, Known, Refused, Rejected
from tests import house
from tests.house import House, all_get

TO = "ann@example.net"
FILE = {"filename": "a.pdf", "content_type": "application/pdf",
        "content": base64.b64encode(b"%PDF").decode()}  # fmt: skip


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    migrate.upgrade(database)
    yield house.enter(database)
    database.dispose()


def posted(home: House, **fields: object) -> int:
    return home.post(to=TO, attachments=(FILE,), **fields)


def kept(home: House, mail: int) -> bool:
    """Whether the row still holds its files: in SQL, where JSON's null is something else."""
    with home.db.read() as connection:
        there = campaigns_table.c.attachments.is_not(None)
        query = sa.select(there).where(campaigns_table.c.id == mail)
        return bool(connection.execute(query).scalar_one())


def lists(home: House) -> ListManager:
    return ListManager(home.db, erasure_key="k" * 32, clock=home.clock)


def tell(home: House, mail: int, kind: EventKind) -> None:
    with home.db.read() as connection:
        ids = connection.execute(sa.text(f"SELECT id FROM sends WHERE campaign_id = {mail}"))
        send_id = f"{home.campaign(mail)['nonce']}-{ids.scalar_one()}"
    event = EspEvent("sendgrid", "k", kind, home.clock(), send_id, TO)
    Feedback(home.db, lists(home), home.clock).apply([event])


def in_doubt(home: House, **fields: object) -> int:
    for esp in home.esps.values():
        esp.always = esp.takes_but_hides_it
    mail = posted(home, **fields)
    home.drain(mail)
    assert home.ledger(mail) == {"in_doubt": 1}
    return mail


def test_they_are_kept_until_the_esp_has_the_mail(home: House) -> None:
    mail = posted(home)
    home.sender.step(mail)
    assert (home.ledger(mail), kept(home, mail)) == ({"accepted": 1}, True)
    home.control.heal()  # as if the worker had been lost before the mail's end was written
    assert (home.campaign(mail)["status"], kept(home, mail)) == ("sent", False)


@pytest.mark.parametrize("error", [Rejected("no such mailbox"), Refused("From is not verified")])
def test_a_mail_that_failed_keeps_none(home: House, error: EspError) -> None:
    home.esps["sendgrid"].always = all_get(error)
    mail = posted(home)
    home.drain(mail)
    assert (home.ledger(mail), kept(home, mail)) == ({"failed": 1}, False)


def test_a_mail_that_expired_keeps_none(home: House) -> None:
    mail = posted(home, expires_at=home.clock() + 60)
    home.clock.forward(61)
    home.drain(mail)
    assert (home.ledger(mail), kept(home, mail)) == ({"failed": 1}, False)


def test_a_mail_whose_person_went_out_of_reach_keeps_none(home: House) -> None:
    mail = posted(home)
    with home.db.write() as connection:
        lists(home).suppress(
            connection, status=SubscriberStatus.BOUNCED, reason="550", source="ses",
            subscriber_id=None, address=TO,
        )  # fmt: skip
    home.control.heal()
    assert (home.ledger(mail), kept(home, mail)) == ({"suppressed": 1}, False)


def test_a_cancelled_mail_keeps_none(home: House) -> None:
    mail = posted(home)
    with home.db.write() as connection:
        assert campaigns.move(connection, mail, CampaignStatus.CANCELLED)
    home.control.heal()
    assert (home.ledger(mail), kept(home, mail)) == ({"cancelled": 1}, False)


def test_a_mail_whose_person_was_erased_keeps_none(home: House) -> None:
    home.add_people(1, address=TO, email=TO)
    mail = posted(home)
    lists(home).erase(TO, by="ops")
    assert not kept(home, mail)


def test_a_doubt_keeps_them_until_an_event_ends_it(home: House) -> None:
    mail = in_doubt(home)
    home.control.heal()
    assert (home.campaign(mail)["status"], kept(home, mail)) == ("sent", True)
    tell(home, mail, EventKind.DELIVERED)
    assert (home.ledger(mail), kept(home, mail)) == ({"delivered": 1}, False)


def test_a_doubt_that_is_resent_needs_them_once_more(home: House) -> None:
    taken = home.esps["sendgrid"]
    taken.always = taken.takes_but_hides_it
    mail = posted(home, on_doubt="resend")
    home.sender.step(mail)
    assert (home.ledger(mail), kept(home, mail)) == ({"queued": 1}, True)
    home.drain(mail)
    assert (home.ledger(mail), kept(home, mail)) == ({"accepted": 1}, False)


@pytest.mark.parametrize("known,end", [(Known("mid"), "accepted"), (None, "failed")])
def test_a_doubt_that_its_esp_ends_keeps_none(
    home: House, monkeypatch: pytest.MonkeyPatch, known: Known | None, end: str
) -> None:
    mail = in_doubt(home, esp="sendgrid")
    monkeypatch.setattr(house.ScriptedEsp, "search_days", 45.0, raising=False)
    monkeypatch.setattr(house.ScriptedEsp, "look_up", lambda *_: known, raising=False)
    asking = Reconciler(home.db, home.esps, wait_seconds=60, clock=home.clock)
    assert kept(home, mail)
    for _ in range(3):  # a second "not found" counts; the list of doubts is gone through in between
        home.clock.forward(61)
        asking.run()
    assert (home.ledger(mail), kept(home, mail)) == ({end: 1}, False)
