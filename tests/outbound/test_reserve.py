"""The share of limits and rates that campaigns never take is there for single mails."""

from collections.abc import Callable, Iterator

import pytest

from database import audit
from database import esp_performance as performance
from services.quota import Limits, day_ends_at
from tests import house
from tests.house import Clock, House

NOON = 1_800_014_400.0  #: 2027-01-15 12:00 UTC


class Still(Clock):
    """A clock that only a test moves."""

    def __call__(self) -> float:
        return NOON + self.offset

    def __init__(self) -> None:
        self.offset = 0.0


@pytest.fixture
def build(database_url: str) -> Iterator[Callable[[Limits], House]]:
    """A house whose only way out is one ESP with these limits."""
    with house.on(database_url) as make:
        yield lambda limits: make(
            limits={"sendgrid": limits} | dict.fromkeys(("ses", "postmark"), Limits(0, None)),
            clock=Still(),
        )


def used(home: House) -> int:
    with home.db.read() as connection:
        return performance.read(connection, ["sendgrid"], home.clock())["sendgrid"].used_today


def drain(home: House, campaign: int) -> float | None:
    """All that fits at this moment."""
    while (step := home.sender.step(campaign)).taken:
        pass
    return step.wait_until


def promises_hold(home: House, **limits: int) -> None:
    facts = audit.Facts(home.clock(), "sandbox", 60, worker_beats=False, daily_limits=limits)
    assert [one for one in audit.audit(home.db, facts).findings if not one.ok] == []


def test_a_campaign_leaves_the_reserve_of_the_day_and_single_mails_take_it(
    build: Callable[[Limits], House],
) -> None:
    home = build(Limits(20, None, 10))
    home.add_people(50)
    campaign = home.launch()
    again = drain(home, campaign)
    assert home.ledger(campaign) == {"accepted": 18, "queued": 32}
    assert again == day_ends_at(NOON)
    mails = [home.post(to=f"m{n}@example.net") for n in range(3)]
    waits = [drain(home, mail) for mail in mails]
    assert waits == [None, None, day_ends_at(NOON)]
    assert [home.ledger(mail) for mail in mails] == [{"accepted": 1}] * 2 + [{"queued": 1}]
    assert used(home) == 20
    promises_hold(home, sendgrid=20)
    home.clock.forward(day_ends_at(NOON) - NOON)
    assert drain(home, mails[2]) is None
    drain(home, campaign)
    assert home.ledger(campaign) == {"accepted": 18 + 17, "queued": 15}, "a mail took one of 18"
    promises_hold(home, sendgrid=20)


def test_single_mails_take_of_the_campaigns_share_as_well(
    build: Callable[[Limits], House],
) -> None:
    home = build(Limits(20, None, 10))
    home.add_people(50)
    for number in range(15):
        assert drain(home, home.post(to=f"m{number}@example.net")) is None
    campaign = home.launch()
    drain(home, campaign)
    assert home.ledger(campaign) == {"accepted": 3, "queued": 47}
    assert used(home) == 18
    promises_hold(home, sendgrid=20)


def test_a_campaign_at_its_full_rate_leaves_room_for_single_mails(
    build: Callable[[Limits], House],
) -> None:
    home = build(Limits(None, 10.0, 20))
    home.add_people(200)
    campaign = home.launch()
    seconds = 5
    taken = []
    for _ in range(seconds):
        drain(home, campaign)
        mails = [home.post(to=f"m{home.clock.offset}-{n}@example.net") for n in range(2)]
        waits = [drain(home, mail) for mail in mails]
        taken.append(waits)
        home.clock.forward(1)
    assert taken == [[None, None]] * seconds, "each left in its own second"
    accepted = home.ledger(campaign)["accepted"]
    assert 8 * (seconds - 1) <= accepted <= 8 * (seconds + 1)
    assert used(home) == accepted + 2 * seconds <= 10 * (seconds + 1)


def test_single_mails_keep_to_the_rate_together(build: Callable[[Limits], House]) -> None:
    home = build(Limits(None, 10.0, 20))
    mails = [home.post(to=f"m{n}@example.net") for n in range(12)]
    waits = [drain(home, mail) for mail in mails]
    assert [wait is None for wait in waits] == [True] * 10 + [False] * 2
    assert all(wait is not None and NOON < wait <= NOON + 0.2 for wait in waits[10:])
    home.clock.forward(0.2)
    assert [drain(home, mail) for mail in mails[10:]] == [None, None]
