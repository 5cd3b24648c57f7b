"""Transactional mail: on its own lane, to whom it may go, and how each mail ends."""

import threading
from collections.abc import Iterator

import pytest

from database import audit, migrate, send_acts
from database.engine import Database
from database.models import Lane
from database.sends import TRAIL_LENGTH
from list_manager import ListManager
from services.esp import Accepted, Batch, EspError, Refused, Suspended, Unavailable
from tests import house
from tests.house import House, all_get
from utils.errors import Conflict


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    migrate.upgrade(database)
    made = house.enter(database)
    yield made
    facts = audit.Facts(made.clock(), "sandbox", 60, worker_beats=False)
    assert [one for one in audit.audit(database, facts).findings if not one.ok] == []
    database.dispose()


def send_of(home: House, campaign: int) -> dict[str, object]:
    with home.db.read() as connection:
        return dict(send_acts.page(connection, campaign, 1)[0])


def test_it_leaves_in_its_own_lane_to_who_is_no_subscriber(home: House) -> None:
    lanes: list[Lane] = []

    def answer(batch: Batch) -> list[Accepted]:
        lanes.append(batch.lane)
        return [Accepted("id")]

    home.esps["sendgrid"].always = answer
    campaign = home.post(to="Ann@Example.net")
    assert home.drain(campaign) is None
    assert (home.esps["sendgrid"].taken, lanes) == (["Ann@example.net"], [Lane.TRANSACTIONAL])
    assert home.campaign(campaign)["status"] == "sent"


@pytest.mark.parametrize("status", ["pending", "unsubscribed", "inactive"])
def test_it_reaches_who_gets_no_campaigns(home: House, status: str) -> None:
    home.add_people(1, status=status)
    campaign = home.post(to="person0@example.com")
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 1}


@pytest.mark.parametrize("status", ["bounced", "complained"])
def test_it_is_refused_for_who_may_get_nothing(home: House, status: str) -> None:
    home.add_people(1, status=status)
    with pytest.raises(Conflict):
        home.post(to="PERSON0@example.com")


@pytest.mark.parametrize("error", [Unavailable("down"), Suspended("under review")])
def test_what_was_not_accepted_leaves_through_the_next_esp(home: House, error: EspError) -> None:
    home.esps["sendgrid"].always = all_get(error)
    campaign = home.post()
    home.drain(campaign)
    assert home.esps["ses"].taken == ["ann@example.net"]
    assert home.ledger(campaign) == {"accepted": 1}


def test_a_refused_mail_ends_with_the_esps_words_and_stops_nobody_else(home: House) -> None:
    home.esps["sendgrid"].answers = [all_get(Refused("From is not verified"))]
    refused, fine = home.post(), home.post()
    home.drain(refused)
    home.drain(fine)
    assert send_of(home, refused)["reason"] == "refused: From is not verified"
    assert (home.ledger(refused), home.ledger(fine)) == ({"failed": 1}, {"accepted": 1})


def test_a_mail_whose_time_is_over_is_never_sent(home: House) -> None:
    campaign = home.post(expires_at=home.clock() + 60)
    home.clock.forward(61)
    home.drain(campaign)
    assert send_of(home, campaign)["reason"] == "expired"
    assert (home.ledger(campaign), home.esps["sendgrid"].batches) == ({"failed": 1}, [])


def test_a_mail_whose_time_ends_after_its_claim_is_not_handed_over(home: House) -> None:
    campaign = home.post(expires_at=home.clock() + 30)
    claims, render, _ = home.sender._claim(campaign)
    home.clock.forward(31)
    assert home.sender._hand_over([home.sender._rendered(one, render) for one in claims]) == []
    assert home.ledger(campaign) == {"failed": 1}
    home.drain(campaign)


def test_a_doubt_is_held(home: House) -> None:
    home.esps["sendgrid"].always = home.esps["sendgrid"].takes_but_hides_it
    campaign = home.post()
    home.drain(campaign)
    assert home.ledger(campaign) == {"in_doubt": 1}
    assert home.esps["ses"].taken == []


def test_a_doubt_is_resent_once_by_another_esp_when_the_request_wants_it(home: House) -> None:
    for esp in home.esps.values():
        esp.always = esp.takes_but_hides_it
    campaign = home.post(on_doubt="resend")
    home.drain(campaign)
    taken = {name: len(esp.taken) for name, esp in home.esps.items()}
    assert taken == {"sendgrid": 1, "ses": 1, "postmark": 0}
    assert home.ledger(campaign) == {"in_doubt": 1}


def test_a_doubt_is_resent_once_however_much_happens_in_between(home: House) -> None:
    """A trail forgets its oldest lines; what was done must be known all the same."""
    first, *others = home.esps.values()
    first.answers = [first.takes_but_hides_it]
    for esp in (first, *others):
        esp.always = all_get(Unavailable("down"))
    campaign = home.post(on_doubt="resend")
    for _ in range(TRAIL_LENGTH + 10):
        home.drain(campaign)
        home.clock.forward(400)
    assert "resend by on_doubt" not in str(send_of(home, campaign)["trail"])
    for esp in home.esps.values():
        esp.always = esp.takes_but_hides_it
    home.drain(campaign)
    assert home.ledger(campaign) == {"in_doubt": 1}
    assert sum(len(esp.taken) for esp in home.esps.values()) == 2


def test_the_doubt_of_a_lost_worker_is_resent_as_well(home: House) -> None:
    campaign = home.post(on_doubt="resend")
    claims, render, _ = home.sender._claim(campaign)
    home.sender._hand_over([home.sender._rendered(one, render) for one in claims])
    home.clock.forward(61)
    home.control.heal()
    assert home.ledger(campaign) == {"queued": 1}
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 1}


def test_a_doubt_whose_time_is_over_is_held_although_the_request_wants_it_resent(
    home: House,
) -> None:
    campaign = home.post(on_doubt="resend", expires_at=home.clock() + 30)
    claims, render, _ = home.sender._claim(campaign)
    home.sender._hand_over([home.sender._rendered(one, render) for one in claims])
    home.clock.forward(61)
    home.control.heal()
    assert home.ledger(campaign) == {"in_doubt": 1}


def test_the_doubt_of_who_was_erased_meanwhile_is_held(home: House) -> None:
    """Nothing of the request is left, not even whom it was for."""
    home.add_people(1)
    campaign = home.post(to="person0@example.com", on_doubt="resend")
    claims, render, _ = home.sender._claim(campaign)
    home.sender._hand_over([home.sender._rendered(one, render) for one in claims])
    ListManager(home.db, erasure_key="k" * 32).erase("person0@example.com", by="ops")
    home.clock.forward(61)
    home.control.heal()
    assert home.ledger(campaign) == {"in_doubt": 1}
    assert home.campaign(campaign)["options"] == {}


def test_the_lane_serves_what_is_due_although_no_hint_came(home: House) -> None:
    stopping = threading.Event()
    campaigns = [home.post(to=f"p{n}@example.net") for n in range(20)]
    serving = threading.Thread(target=home.lane.serve, args=(stopping,))
    serving.start()
    end = threading.Event()
    for _ in range(200):
        if all(home.campaign(one)["status"] == "sent" for one in campaigns):
            break
        end.wait(0.05)
    stopping.set()
    serving.join()
    assert home.nobody_twice()
    assert [home.ledger(one) for one in campaigns] == [{"accepted": 1}] * 20
