"""One campaign through three real adapters while each ESP in turn breaks in every way: it completes
through the others, and nothing ambiguous is resent."""

from collections.abc import Iterator

import pytest

from database import migrate, send_acts
from database.engine import Database
from email_sender import Options
from tests import house
from tests.house import House
from tests.journeys.rehearsal import Rehearsal, real_esps

PEOPLE = 120
CERTAIN = ("error_503", "throttle", "bad_key", "quota")
#: Whether the request was written before the connection broke is a race; both answers are right.
AT_THE_DOOR = ("refuse", "reset_early")
#: Faults after which nobody can know, and whether the ESP has the messages.
DOUBTFUL = {
    "reset": False, "accepted_reset": True,
    "error_500": False, "accepted_500": True, "error_502": False, "error_504": False,
    "hang": False, "accepted_hang": True, "malformed": True, "truncated": True, "empty_200": True,
}  # fmt: skip


@pytest.fixture
def home(
    database_url: str, rehearsal: Rehearsal, request: pytest.FixtureRequest
) -> Iterator[House]:
    """Time-outs are short only where an ESP hangs: a busy machine must not meet one elsewhere."""
    hangs = "hang" in request.node.callspec.params.get("kind", "")
    seconds = 1.5 if hangs else 10.0
    database = Database(database_url)
    migrate.upgrade(database)
    yield house.enter(
        database,
        esps=real_esps(
            rehearsal.keys, rehearsal.running.url, timeout_seconds=seconds, batch_size=50
        ),
        priorities=dict.fromkeys(house.NAMES, 1),
        options=Options(timeout_seconds=seconds, lease_seconds=40),
        batch_size=50,
    )
    database.dispose()


def drained(home: House, people: int) -> int:
    """A campaign to so many new people, as far as it leaves by itself."""
    home.add_people(people)
    campaign = home.launch()
    home.drain(campaign, seconds=30)
    return campaign


def test_a_campaign_leaves_through_all_three(home: House, rehearsal: Rehearsal) -> None:
    campaign = drained(home, PEOPLE)
    assert home.ledger(campaign) == {"accepted": PEOPLE}
    taken = rehearsal.taken()
    assert {message["esp"] for message in taken} == set(house.NAMES)
    assert len(taken) == PEOPLE
    assert max(rehearsal.copies().values()) == 1


@pytest.mark.parametrize("esp", house.NAMES)
@pytest.mark.parametrize("kind", CERTAIN)
def test_what_was_certainly_not_taken_leaves_through_the_others(
    home: House, rehearsal: Rehearsal, esp: str, kind: str
) -> None:
    rehearsal.fault(esp, kind)
    campaign = drained(home, PEOPLE)
    assert home.ledger(campaign) == {"accepted": PEOPLE}
    assert home.campaign(campaign)["status"] == "sent"
    assert esp not in {message["esp"] for message in rehearsal.taken()}
    assert max(rehearsal.copies().values()) == 1


@pytest.mark.parametrize("esp", house.NAMES)
@pytest.mark.parametrize("kind", AT_THE_DOOR)
def test_a_connection_that_breaks_at_the_door_is_certain_or_in_doubt_but_never_twice(
    home: House, rehearsal: Rehearsal, esp: str, kind: str
) -> None:
    rehearsal.fault(esp, kind)
    campaign = drained(home, PEOPLE)
    ledger = home.ledger(campaign)
    assert set(ledger) <= {"accepted", "in_doubt"}
    assert sum(ledger.values()) == PEOPLE
    assert len(rehearsal.taken()) == ledger["accepted"]
    assert max(rehearsal.copies().values()) == 1


@pytest.mark.parametrize("esp", house.NAMES)
@pytest.mark.parametrize("kind", DOUBTFUL)
def test_what_is_ambiguous_stays_in_doubt_and_the_rest_leaves(
    home: House, rehearsal: Rehearsal, esp: str, kind: str
) -> None:
    if (esp, kind) == ("sendgrid", "malformed") or (esp, kind) in EMPTY_IS_FINE:
        pytest.skip("SendGrid's 202 needs no body: any 202 is an acceptance")
    rehearsal.fault(esp, kind)
    campaign = drained(home, PEOPLE)
    ledger = home.ledger(campaign)
    assert home.campaign(campaign)["status"] == "sent"
    assert set(ledger) == {"accepted", "in_doubt"}
    assert sum(ledger.values()) == PEOPLE
    copies = rehearsal.copies()
    assert max(copies.values()) == 1
    with home.db.read() as connection:
        doubts = send_acts.page(connection, campaign, PEOPLE, status="in_doubt")
    assert {row["esp"] for row in doubts} == {esp}
    taken = {message["send_id"] for message in rehearsal.taken() if message["esp"] == esp}
    nonce = home.campaign(campaign)["nonce"]
    at_the_esp = [row for row in doubts if f"{nonce}-{row['id']}" in taken]
    assert len(at_the_esp) == (len(doubts) if DOUBTFUL[kind] else 0)


EMPTY_IS_FINE = {("sendgrid", "empty_200"), ("sendgrid", "truncated")}
