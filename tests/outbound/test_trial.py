"""Test sends: a campaign at a few addresses, as one subscriber, acting for nobody."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from database import audit, migrate
from database.engine import Database
from database.models import campaigns, subscribers
from feedback import Feedback
from inbound.consent import Consent, Visit
from list_manager import ListManager
from mail.message import Message, fill
from outbound.draft import Draft
from outbound.trial import Trial
from services.esp import Accepted, Batch, Unavailable
from tests import house
from tests.house import House, all_get
from utils.errors import Conflict, Invalid
from utils.signing import read_send_id

LETTER = Draft(
    "Hi {{ first_name }}",
    "<p>{{ name }} at {{ email }} is {{ plan }}</p><a href='https://shop.example/'>Shop</a>"
    "<a href='{{ unsubscribe_url }}'>Leave</a>",
)


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    migrate.upgrade(database)
    made = house.enter(database)
    made.add_people(5)
    yield made
    facts = audit.Facts(made.clock(), "sandbox", 60, worker_beats=False)
    assert [one for one in audit.audit(database, facts).findings if not one.ok] == []
    database.dispose()


def lists(home: House) -> ListManager:
    return ListManager(home.db, erasure_key="k" * 32, clock=home.clock)


def sent(home: House) -> list[dict[str, Any]]:
    """Drain every test and give what the ESPs got."""
    taken: list[dict[str, Any]] = []

    def keep(batch: Batch) -> list[Accepted]:
        taken.extend(_seen(batch, message) for message in batch.messages)
        return [Accepted("id")] * len(batch.messages)

    for esp in home.esps.values():
        esp.always = keep
    for number in hidden(home):
        home.drain(number)
    return taken


def _seen(batch: Batch, message: Message) -> dict[str, Any]:
    content = batch.content
    return {
        "to": message.to, "subject": fill(content.subject, message.slots),
        "html": fill(content.html or (), message.slots), "headers": dict(content.headers),
        "lane": batch.lane, "tag": content.tag, "send_id": message.send_id,
    }  # fmt: skip


def hidden(home: House) -> list[int]:
    with home.db.read() as connection:
        query = sa.select(campaigns.c.id).where(campaigns.c.kind == "test")
        return list(connection.scalars(query.order_by(campaigns.c.id)))


def refused(home: House, trial: Trial) -> dict[str, str]:
    with pytest.raises(Invalid) as error:
        home.tester.send(trial)
    assert hidden(home) == [], "all of them or none"
    return {found.field: found.message for found in error.value.errors}


def test_it_says_to_each_address_what_it_says_to_the_subscriber(home: House) -> None:
    to = ("ada@office.example", "Person4@example.com")
    tried = home.tester.send(Trial(LETTER, to, "person2@example.com"))
    taken = sent(home)

    assert [one["to"] for one in tried.sends] == list(to)
    assert [one["to"] for one in taken] == list(to)
    for message in taken:
        assert message["subject"] == "[Test] Hi Person"
        assert "<p>Person 2 at Person2@example.com is pro</p>" in message["html"]
        assert "href='https://shop.example/'" in message["html"], "links are not tracked"
        assert "<img" not in message["html"]
        assert "1 Main Street" in message["html"], "it looks like the campaign"
        assert "List-Unsubscribe-Post" in message["headers"]
        assert (message["lane"], message["tag"]) == ("transactional", "test")
    assert {one["send_id"] for one in taken} == {one["send_id"] for one in tried.sends}
    assert [home.campaign(number)["status"] for number in hidden(home)] == ["sent", "sent"]
    assert home.control.due() == ([], [])


def test_without_a_name_it_is_read_as_the_first_of_its_audience(home: House) -> None:
    tried = home.tester.send(Trial(LETTER, ("ada@office.example",)))
    assert tried.reader == "Person0@example.com"
    assert "Person 0" in sent(home)[0]["html"]


def test_its_links_unsubscribe_nobody(home: House) -> None:
    """Neither the addressee, though they are a subscriber, nor whom it was read as."""
    home.tester.send(Trial(LETTER, ("person4@example.com",), "person2@example.com"))
    ref = read_send_id(sent(home)[0]["send_id"])
    assert ref is not None
    manager = lists(home)
    consent = Consent(home.db, manager, Feedback(home.db, manager, home.clock), home.clock)
    visit = Visit("192.0.2.1", "curl", "one-click")

    assert consent.standing(ref) is None
    assert consent.unsubscribe(ref, visit) is None
    assert consent.choose(ref, []) is None
    assert consent.undo(ref, visit) is False
    with home.db.read() as connection:
        states = list(connection.scalars(sa.select(subscribers.c.status)))
    assert states == ["active"] * 5


@pytest.mark.parametrize(
    "status,words", [("bounced", "bounced for good"), ("complained", "reported our mail as spam")]
)
def test_who_may_get_nothing_gets_no_test(home: House, status: str, words: str) -> None:
    home.add_people(1, first=7, status=status)
    found = refused(home, Trial(LETTER, ("ada@office.example", "PERSON7@example.com")))
    assert found.keys() == {"to.1"}
    assert words in found["to.1"]


def test_who_was_erased_gets_no_test(home: House) -> None:
    lists(home).erase("person3@example.com", by="ops")
    found = refused(home, Trial(LETTER, ("person3@example.com",)))
    assert "asked to be forgotten" in found["to.0"]


def test_who_opted_out_may_test(home: House) -> None:
    """It is work and no newsletter."""
    home.add_people(1, first=7, status="unsubscribed")
    home.tester.send(Trial(LETTER, ("person7@example.com",)))
    assert len(sent(home)) == 1


def test_whose_values_are_gone_when_it_leaves_is_not_mailed_about(home: House) -> None:
    """Nothing of the person was copied, so an erasure reaches what waits."""
    home.tester.send(Trial(LETTER, ("ada@office.example",), "person2@example.com"))
    lists(home).erase("person2@example.com", by="ops")
    assert sent(home) == []
    [number] = hidden(home)
    assert home.campaign(number)["status_reason"].endswith("missing_variable: first_name")
    assert "Person 2" not in str(home.campaign(number))


@pytest.mark.parametrize(
    "trial,field",
    [
        (Trial(LETTER, ("nobody",)), "to.0"),
        (Trial(LETTER, ("a@x.example", "A@X.example")), "to.1"),
        (Trial(LETTER, ("a@x.example",), "stranger@example.net"), "as"),
        (Trial(Draft("Hi", "{% if %}"), ("a@x.example",)), "html"),
        (Trial(Draft("Hi", "<p>{{ city }}</p>"), ("a@x.example",)), "html"),
        (Trial(Draft(""), ("a@x.example",)), "subject"),
        (Trial(Draft("Hi", "x", from_email="x@elsewhere.example"), ("a@x.example",)), "from_email"),
        (Trial(Draft("Hi", "x", segment="nobody"), ("a@x.example",)), "as"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(
    home: House, trial: Trial, field: str
) -> None:
    assert field in refused(home, trial)


def test_a_repeated_request_sends_nothing_more(home: House) -> None:
    trial = Trial(LETTER, ("ada@office.example", "bob@office.example"))
    first = home.tester.send(trial, idempotency_key="k")
    again = home.tester.send(trial, idempotency_key="k")
    assert (again.repeated, again.sends) == (True, first.sends)
    with pytest.raises(Conflict):
        home.tester.send(Trial(LETTER, ("eve@office.example",)), idempotency_key="k")
    assert len(hidden(home)) == 2


def test_it_fails_over_like_any_single_mail(home: House) -> None:
    home.tester.send(Trial(LETTER, ("ada@office.example",)))
    [number] = hidden(home)
    home.esps["sendgrid"].always = all_get(Unavailable("down"))
    home.drain(number)
    assert home.esps["ses"].taken == ["ada@office.example"]
