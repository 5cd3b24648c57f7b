"""ESPs are looked after between claims: silence, cool-downs, restarts."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from database import esp_performance as performance
from database import migrate
from database.engine import Database
from email_sender import Options
from outbound import esp_states
from outbound.esp_watch import EspWatch
from services.esp import Misconfigured
from services.esp_state import EspState
from services.policies import memory, stalls
from services.policies.memory import Heard
from services.quota import Limits
from tests import house
from tests.house import Clock, House


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    migrate.upgrade(database)
    yield house.enter(database, clock=Clock())
    database.dispose()


def state(home: House, name: str) -> EspState:
    with home.db.read() as connection:
        return EspState.from_json(performance.states(connection, [name]).get(name, {}))


def hear(home: House, name: str) -> None:
    """Enough events of an ESP to judge it by their absence."""
    now = home.clock()

    def heard(before: EspState) -> EspState:
        told = Heard([5.0] * stalls.ARMED_AFTER)
        return replace(before, memory=memory.heard(before.memory, told, now, b""))

    home.db.transact(lambda c: esp_states.change(c, name, heard, now))


def send(home: House, esp: str) -> None:
    campaign = home.launch(esp=esp)
    home.drain(campaign)


def test_mail_that_vanishes_takes_its_esp_out_of_the_next_campaign(home: House) -> None:
    home.add_people(30)
    watch = EspWatch(home.db, home.manager, home.clock)
    watch.tick()
    for name in ("sendgrid", "ses"):
        hear(home, name)
    send(home, "ses")
    send(home, "sendgrid")
    home.clock.forward(64)
    hear(home, "ses")
    watch.tick()
    stall = state(home, "sendgrid").memory.stall
    assert (stall.state, state(home, "ses").memory.stall.state) == ("open", "closed")
    assert "30 accepted messages without any event" in stall.cause

    taken = len(home.esps["sendgrid"].taken)
    campaign = home.launch()
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 30}
    assert len(home.esps["sendgrid"].taken) == taken


def test_webhooks_that_were_never_set_up_open_nothing(home: House) -> None:
    home.add_people(300)
    watch = EspWatch(home.db, home.manager, home.clock)
    for _ in range(5):
        send(home, "sendgrid")
        home.clock.forward(70)
        watch.tick()
    assert state(home, "sendgrid").memory.stall.state == "closed"
    assert state(home, "sendgrid").slices == ()


def test_webhooks_that_are_cut_off_for_an_hour_hold_nothing_up_and_raise_an_alert(
    database_url: str,
) -> None:
    """All ESPs at once: our own door is shut. One campaign goes on minute by minute."""
    database = Database(database_url)
    migrate.upgrade(database)
    equal = dict.fromkeys(house.NAMES, 1)
    slow = dict.fromkeys(house.NAMES, Limits(None, 1.0))
    home = house.enter(
        database, clock=Clock(), limits=slow, priorities=equal, batch_size=20,
        options=Options(lease_seconds=600.0),
    )  # fmt: skip
    home.add_people(3_000)
    watch, campaign = EspWatch(home.db, home.manager, home.clock), home.launch()
    left = [3_000]
    for minute in range(65):
        home.sender.drain(campaign, seconds=20, patience=0.0)
        left.append(home.ledger(campaign)["queued"])
        for _ in range(12):
            home.clock.forward(5)
            watch.tick()
        if minute < 5:
            for name in house.NAMES:
                hear(home, name)
    assert all(after < before for before, after in itertools.pairwise(left))
    for name in house.NAMES:
        known = state(home, name)
        assert known.memory.stall.state == known.memory.api.state == "closed"
        assert "our own webhook address" in known.alert
        assert [line["what"] for line in known.log].count("open") == 0
    database.dispose()


def test_a_new_process_forgets_that_events_were_arriving(home: House) -> None:
    hear(home, "sendgrid")
    EspWatch(home.db, home.manager, home.clock).tick()
    assert not stalls.armed(state(home, "sendgrid").memory.watch)
    hear(home, "sendgrid")
    assert stalls.armed(state(home, "sendgrid").memory.watch)


def test_a_breaker_that_time_has_moved_is_told_of(home: House) -> None:
    home.add_people(1)
    home.esps["sendgrid"].always = house.all_get(Misconfigured("bad key", code="401"))
    send(home, "sendgrid")
    assert state(home, "sendgrid").memory.api.state == "open"
    home.clock.forward(40)
    EspWatch(home.db, home.manager, home.clock).tick()
    assert [line["what"] for line in state(home, "sendgrid").log] == ["open", "half_open"]


def test_two_processes_judge_the_same_mail_once(home: House) -> None:
    home.add_people(3)
    watches = [EspWatch(home.db, home.manager, home.clock) for _ in range(2)]
    for watch in watches:
        watch.tick()
    for name in ("sendgrid", "ses"):
        hear(home, name)
    send(home, "ses")
    send(home, "sendgrid")
    home.clock.forward(64)
    hear(home, "ses")
    for watch in watches:
        watch.tick()
    watching = state(home, "sendgrid").memory.watch
    assert watching.silent == 3
