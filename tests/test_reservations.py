"""What a claim reserves of the day's limit is used or given back, exactly once, whatever becomes of
its sends on the way (contract promise 4)."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from database import esp_performance as performance
from database import send_acts
from database.models import SendStatus, sends
from list_manager import ListManager
from services.esp import Accepted
from services.quota import Limits
from tests import house
from tests.house import Clock, House

MIDNIGHT = 1_795_564_800.0  # 2026-11-25T00:00:00Z
NOTHING = Limits(0, None)
Build = Callable[..., House]


@pytest.fixture
def build(database_url: str) -> Iterator[Build]:
    with house.on(database_url) as build:
        yield build


@pytest.fixture
def clock() -> Clock:
    return Clock(MIDNIGHT - 43_200)


@pytest.fixture
def home(build: Build, clock: Clock) -> House:
    return build(clock=clock)


def used(home: House, esp: str = "sendgrid") -> int:
    """What counts against the day's limit."""
    with home.db.read() as connection:
        return performance.read(connection, [esp], home.clock())[esp].used_today


def lists(home: House) -> ListManager:
    return ListManager(home.db, erasure_key="k" * 32, clock=home.clock)


def unsubscribe(home: House, *numbers: int) -> None:
    for number in numbers:
        lists(home).unsubscribe(f"person{number}@example.com", reason="asked", by="test")


def meanwhile(monkeypatch: pytest.MonkeyPatch, home: House, act: Callable[[], None]) -> None:
    """Let `act` happen once, between a claim and its hand-over."""
    rendered, acts = home.sender._rendered, [act]

    def after_act(*args: Any) -> object:
        if acts:
            acts.pop()()
        return rendered(*args)

    monkeypatch.setattr(home.sender, "_rendered", after_act)


def test_each_parcel_of_a_claim_gives_back_only_its_own(
    build: Build, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = build(clock=clock, priorities=dict.fromkeys(house.NAMES, 1))
    home.add_people(90)
    campaign = home.launch()
    meanwhile(monkeypatch, home, lambda: unsubscribe(home, *range(80, 90)))
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 80, "suppressed": 10}
    assert [used(home, name) for name in house.NAMES] == [
        len(home.esps[name].taken) for name in house.NAMES
    ]


@pytest.mark.parametrize("broken", [0, 4], ids=["hand-over", "render"])
def test_a_worker_that_comes_too_late_gives_nothing_back_again(
    home: House, clock: Clock, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    """The sweep has given it back already, and others may have taken it since."""
    home.add_people(10, attributes={"plan": "pro"})
    campaign = home.launch(html="<p>{{ plan }}</p>")
    with home.db.write() as connection:
        connection.exec_driver_sql(
            f"UPDATE subscribers SET attributes = '{{}}' WHERE id <= {broken}"
        )

    def lose_the_lease() -> None:
        clock.forward(61)
        home.control.heal()
        assert used(home) == 0

    meanwhile(monkeypatch, home, lose_the_lease)
    home.sender.step(campaign)
    assert home.ledger(campaign) == {"queued": 10}
    assert used(home) == 0


@pytest.mark.parametrize("act", ["unsubscribe", "erase"])
def test_who_leaves_while_claimed_is_given_back_although_the_worker_dies(
    home: House, clock: Clock, act: str
) -> None:
    home.add_people(10)
    campaign = home.launch()
    home.sender._claim(campaign)  # and then the process died
    if act == "erase":
        lists(home).erase("person3@example.com", by="test")
    else:
        unsubscribe(home, 3)
    assert home.ledger(campaign) == {"sending": 9, "suppressed": 1}
    assert used(home) == 9
    clock.forward(61)
    home.control.heal()
    assert home.ledger(campaign) == {"queued": 9, "suppressed": 1}
    assert used(home) == 0


def test_who_leaves_while_claimed_is_given_back_once_by_a_living_worker(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.add_people(10)
    campaign = home.launch()
    meanwhile(monkeypatch, home, lambda: unsubscribe(home, 3))
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 9, "suppressed": 1}
    assert used(home) == 9


def test_a_claimed_send_that_an_event_proves_needs_no_quota(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its earlier try did arrive; what was reserved for another is not used."""
    home.add_people(10)
    campaign = home.launch()

    def hear() -> None:
        with home.db.write() as connection:
            (row,) = send_acts.for_events(connection, [4]).values()
            lift = send_acts.Lift(row, SendStatus.DELIVERED, "ses", None, None)
            send_acts.lift(connection, [lift], home.clock())

    meanwhile(monkeypatch, home, hear)
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 9, "delivered": 1}
    assert used(home) == 9


def test_a_claim_that_had_to_wait_over_midnight_counts_on_the_day_it_was_planned_for(
    home: House, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it takes of a day whose limit it never looked at."""
    home.add_people(10)
    campaign = home.launch()
    clock.forward(43_199)
    lock = performance.lock

    def slowly(*args: Any) -> object:
        found = lock(*args)
        clock.forward(5)
        return found

    monkeypatch.setattr(performance, "lock", slowly)
    (claim,) = home.sender._claim(campaign)[0]
    assert (claim.day, used(home)) == ("2026-11-24", 0)


def test_limits_hold_and_nothing_is_kept_back_after_a_day_of_mishaps(
    build: Build, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"sendgrid": Limits(30, None), "ses": Limits(30, None), "postmark": NOTHING}
    home = build(clock=clock, limits=limits, priorities=dict.fromkeys(house.NAMES, 1))
    home.add_people(100)
    campaign = home.launch()
    for round_ in range(4):
        home.sender._claim(campaign)  # a worker dies
        unsubscribe(home, round_ * 2, round_ * 2 + 1)
        clock.forward(61)
        home.control.heal()
        home.esps["ses"].answers = [lambda batch: [Accepted("x")] * len(batch.messages)]
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 60, "suppressed": 8, "queued": 32}
    assert [used(home, name) for name in house.NAMES] == [30, 30, 0]
    with home.db.read() as connection:
        assert not connection.scalar(sa.select(sa.func.count()).where(sends.c.status == "sending"))
