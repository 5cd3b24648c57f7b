"""The careful start of a large campaign."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from database import migrate
from database.engine import Database
from outbound import canary, esp_states
from outbound.overview import CampaignReader, Overview
from services.esp_state import EspState
from services.policies import breakers, memory, stalls
from services.policies.breakers import Breaker
from services.policies.cells import Cell
from services.policies.memory import Heard
from services.quota import Limits
from tests import house
from tests.house import Clock, House

RATE = 500.0


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    migrate.upgrade(database)
    limits = dict.fromkeys(house.NAMES, Limits(None, RATE))
    yield house.enter(database, clock=Clock(), limits=limits)
    database.dispose()


def hear(home: House, name: str = "sendgrid") -> None:
    """Events of the ESP are known to come back."""
    now = home.clock()

    def heard(before: EspState) -> EspState:
        told = Heard([5.0] * stalls.ARMED_AFTER)
        return replace(before, memory=memory.heard(before.memory, told, now, b""))

    home.db.transact(lambda c: esp_states.change(c, name, heard, now))


def launch(home: House, people: int = canary.LARGE) -> int:
    home.add_people(people)
    return home.launch(esp="sendgrid")


def shown(home: House, campaign: int) -> Overview:
    return CampaignReader(home.db, home.manager, home.clock).get(campaign)


def sent_in(home: House, campaign: int, seconds: int) -> int:
    before = len(home.esps["sendgrid"].taken)
    for _ in range(seconds):
        for _ in range(5):
            home.sender.step(campaign)
        home.clock.forward(1)
    return len(home.esps["sendgrid"].taken) - before


def test_the_first_thousand_leave_at_a_tenth_of_the_rate(home: House) -> None:
    hear(home)
    campaign = launch(home)
    assert 450 <= sent_in(home, campaign, 10) <= 10 * RATE * 0.1 + RATE * 0.1 + 1
    assert shown(home, campaign).phase == "canary"
    sent_in(home, campaign, 12)
    assert shown(home, campaign).phase == "draining"
    assert sent_in(home, campaign, 2) >= 2 * RATE


def test_two_workers_share_one_allowance(home: House) -> None:
    hear(home)
    campaign = launch(home)
    other = house.enter(home.db, clock=home.clock, esps=home.esps,
                        limits=dict.fromkeys(house.NAMES, Limits(None, RATE)))  # fmt: skip
    for _ in range(5):
        for worker in (home, other):
            worker.sender.step(campaign)
        home.clock.forward(1)
    assert len(home.esps["sendgrid"].taken) <= 6 * RATE * 0.1 + 1


def test_what_lies_behind_blocked_mail_leaves_no_faster(home: House) -> None:
    hear(home)
    home.add_people(2 * int(RATE), domain="gmail.com")
    home.add_people(canary.LARGE, first=2 * int(RATE), domain="example.com")
    now = home.clock()
    shut = Cell(breaker=Breaker(breakers.OPEN, since=now, until=now + 3600, cause="blocked"))
    home.db.transact(
        lambda c: esp_states.change(
            c, "sendgrid", lambda state: replace(state, cells={"gmail": shut}), now
        )
    )
    campaign = home.launch(esp="sendgrid")
    assert 300 <= sent_in(home, campaign, 10) <= 11 * RATE * 0.1 + 1


@pytest.mark.parametrize("people", [canary.LARGE - 1, 200])
def test_a_smaller_campaign_leaves_at_once(home: House, people: int) -> None:
    hear(home)
    campaign = launch(home, people)
    assert sent_in(home, campaign, 2) >= min(people, 2 * RATE)
    assert shown(home, campaign).phase in ("draining", "done")


def test_where_no_events_come_back_there_is_nothing_to_wait_for(home: House) -> None:
    campaign = launch(home)
    assert sent_in(home, campaign, 2) >= 2 * RATE


def test_the_end_is_foretold_with_the_rate_that_comes_after_it(home: House) -> None:
    hear(home)
    campaign = launch(home)
    sent_in(home, campaign, 10)
    overview = shown(home, campaign)
    assert overview.rate_per_second is not None
    slowly = overview.row["n_queued"] / overview.rate_per_second
    assert overview.eta is not None
    assert overview.eta - home.clock() < slowly / 3


def test_slow_esps_are_not_made_slower_than_ten_minutes() -> None:
    assert canary.rate_of([14.0]) == pytest.approx(1_000 / 600)
    assert canary.rate_of([300.0, 200.0]) == 50.0
    assert canary.rate_of([None]) == 100.0


def test_a_clock_that_was_set_back_does_not_hold_it_up(home: House) -> None:
    hear(home)
    campaign = launch(home)
    home.sender.step(campaign)
    with home.db.write() as connection:
        connection.execute(
            sa.text("UPDATE esp_performance SET state = :state WHERE scope = 'canary'"),
            {"state": f'{{"arrival": {home.clock() + 86_400}}}'},
        )
    home.clock.forward(1)
    assert home.sender.step(campaign).taken > 0
