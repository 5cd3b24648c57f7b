"""Which sends a claim takes when some of them may go nowhere."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from database import esp_performance as performance
from database import migrate
from database.engine import Database
from list_manager import ListManager
from outbound import esp_states
from outbound.choice import PASSED_SECONDS
from outbound.esp_watch import EspWatch
from services.esp_state import EspState
from services.policies import breakers, memory
from services.policies.breakers import Breaker
from services.policies.cells import Cell
from services.quota import Limits
from tests import house
from tests.house import Clock, House


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    migrate.upgrade(database)
    limits = dict.fromkeys(house.NAMES, Limits(None, 20.0))
    yield house.enter(database, clock=Clock(), limits=limits)
    database.dispose()


def alter(home: House, name: str, **fields: object) -> None:
    def altered(state: EspState) -> EspState:
        return replace(state, **fields)  # type: ignore[arg-type]

    home.db.transact(lambda c: esp_states.change(c, name, altered, home.clock()))


def opened(home: House, seconds: float = 5400.0) -> Breaker:
    now = home.clock()
    return Breaker(breakers.OPEN, since=now, until=now + seconds, cause="blocked")


def shut_gmail(home: House) -> None:
    for name in house.NAMES:
        alter(home, name, cells={"gmail": Cell(breaker=opened(home))})


def state(home: House, name: str) -> EspState:
    with home.db.read() as connection:
        return EspState.from_json(performance.states(connection, [name])[name])


def run(home: House, campaign: int, seconds: int) -> None:
    for _ in range(seconds):
        for _ in range(3):
            home.sender.step(campaign)
        home.clock.forward(1)


def test_what_is_blocked_everywhere_holds_up_nobody_behind_it(home: House) -> None:
    home.add_people(300, domain="gmail.com")
    home.add_people(100, first=300, domain="example.com")
    shut_gmail(home)
    campaign = home.launch()
    run(home, campaign, 5)
    assert home.ledger(campaign) == {"accepted": 100, "queued": 300}
    step = home.sender.step(campaign)
    assert step.taken == 0
    assert step.wait_until is not None, "it is not over"
    home.clock.forward(5400 + PASSED_SECONDS)
    watch = EspWatch(home.db, home.manager, home.clock)
    for _ in range(4):  # the ramp: a minute for each stage
        watch.tick()
        run(home, campaign, 10)
        home.clock.forward(60)
    assert home.ledger(campaign) == {"accepted": 400}
    assert state(home, "ses").cells["gmail"].breaker.state == breakers.CLOSED
    assert home.nobody_twice()


def test_a_single_mail_leaves_although_its_mailbox_provider_blocks(home: House) -> None:
    shut_gmail(home)
    mail = home.post(to="ann@gmail.com")
    home.sender.drain(mail, seconds=2)
    assert home.ledger(mail) == {"accepted": 1}


def test_one_bad_list_holds_up_no_other_campaign(home: House) -> None:
    home.add_people(10)
    for name in house.NAMES:
        alter(home, name, memory=memory.EspMemory(reputation=opened(home, 21_600)))
    campaign = home.launch()
    run(home, campaign, 2)
    assert home.ledger(campaign) == {"accepted": 10}


def test_an_esp_in_bad_standing_gets_nothing_while_another_is_left(home: House) -> None:
    home.add_people(10)
    alter(home, "sendgrid", memory=memory.EspMemory(reputation=opened(home, 21_600)))
    campaign = home.launch()
    run(home, campaign, 2)
    assert home.ledger(campaign) == {"accepted": 10}
    assert home.esps["sendgrid"].taken == []


def test_a_probe_that_was_suppressed_on_its_way_makes_room_for_the_next(home: House) -> None:
    home.add_people(2)
    half = Breaker(breakers.HALF_OPEN, since=home.clock(), until=home.clock())
    alter(home, "sendgrid", memory=memory.EspMemory(api=half))
    campaign = home.launch(esp="sendgrid")
    claims, render, _ = home.sender._claim(campaign)
    lists = ListManager(home.db, erasure_key="k" * 32, clock=home.clock)
    lists.unsubscribe("person0@example.com", reason="asked", by="ops")
    leaving = home.sender._hand_over([home.sender._rendered(c, render) for c in claims])
    home.sender._give_probes_back(claims, leaving)
    assert leaving == []
    assert state(home, "sendgrid").memory.api.probes == 0
    home.clock.forward(3)
    assert home.sender.step(campaign).taken == 1
