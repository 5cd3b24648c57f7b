"""ESPs are asked for their own figures: by one process at a time, and to nobody's harm."""

import threading
from collections.abc import Iterator

import pytest

from database import esp_performance as performance
from database import migrate
from database.engine import Database
from outbound.accounts import AccountWatch
from services.account import ASK_EVERY_SECONDS, Account
from services.esp import EspError, Misconfigured
from services.esp_state import EspState
from tests import house
from tests.house import House, ScriptedEsp


class Telling(ScriptedEsp):
    """An ESP that tells figures."""

    def __init__(self, name: str, *answers: Account | EspError) -> None:
        super().__init__(name)
        self.figures = list(answers)
        self.asked = 0

    def account(self) -> Account:
        self.asked += 1
        answer = self.figures.pop(0) if len(self.figures) > 1 else self.figures[0]
        if isinstance(answer, EspError):
            raise answer
        return answer


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    migrate.upgrade(database)
    made = house.enter(database)
    yield made
    database.dispose()


def watch(home: House, *answers: Account | EspError) -> tuple[AccountWatch, Telling]:
    esp = Telling("ses", *answers)
    home.manager.esps["ses"] = esp
    return AccountWatch(home.db, home.manager, home.clock), esp


def state(home: House, name: str = "ses") -> EspState:
    with home.db.read() as connection:
        return EspState.from_json(performance.states(connection, [name]).get(name, {}))


def test_what_an_esp_tells_holds_for_the_next_claim(home: House) -> None:
    home.add_people(50)
    accounts, _ = watch(home, Account(quota=10, used=4))
    accounts.refresh()
    campaign = home.launch(esp="ses")
    home.sender.drain(campaign, seconds=5)
    assert home.ledger(campaign) == {"accepted": 6, "queued": 44}
    assert sum(count for _, count in state(home).account.reserved) == 6


def test_an_esp_is_asked_again_when_its_figures_are_due(home: House) -> None:
    accounts, esp = watch(home, Account(quota=10, used=10), Account(quota=10, used=2))
    accounts.refresh()
    accounts.refresh()
    assert esp.asked == 1
    home.clock.forward(ASK_EVERY_SECONDS)
    accounts.refresh()
    assert (esp.asked, state(home).account.used) == (2, 2)


def test_of_many_processes_one_asks(home: House) -> None:
    _, esp = watch(home, Account(rate=7.0))
    watches = [AccountWatch(home.db, home.manager, home.clock) for _ in range(8)]
    threads = [threading.Thread(target=one.refresh) for one in watches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert esp.asked == 1
    assert state(home).account.rate == 7


def test_an_esp_that_does_not_tell_sends_all_the_same_and_says_why(home: House) -> None:
    home.add_people(5)
    accounts, _ = watch(home, Misconfigured("not authorized to perform ses:GetAccount", code="403"))
    accounts.refresh()
    campaign = home.launch(esp="ses")
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 5}
    assert "ses:GetAccount" in state(home).account.error


def test_what_changes_at_the_esp_is_a_line_of_its_log(home: House) -> None:
    accounts, _ = watch(
        home, Account(rate=14.0, quota=100), Account(rate=50.0, quota=5000),
        Account(rate=50.0, quota=5000, closed="sending is paused"), Account(rate=50.0, quota=5000),
    )  # fmt: skip
    for _ in range(4):
        accounts.refresh()
        home.clock.forward(ASK_EVERY_SECONDS)
    lines = [line["why"] for line in state(home).log if line["what"] == "account"]
    assert lines == [
        "the ESP allows 50 a second, 5,000 a window", "sending is paused",
        "the account is open again",
    ]  # fmt: skip


def test_an_esp_without_figures_is_left_alone(home: House) -> None:
    AccountWatch(home.db, home.manager, home.clock).refresh()
    assert state(home, "sendgrid").account.asked_at == 0
