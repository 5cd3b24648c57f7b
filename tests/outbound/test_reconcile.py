"""Doubts that an ESP's own search ends: Postmark's real adapter asks the simulator over HTTP."""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from database import look_ups, migrate, send_acts
from database.audit import Facts, audit
from database.engine import Database
from database.models import Lane
from outbound.reconcile import GAP_SECONDS, HOLD_OFF_SECONDS, TURN_SECONDS, Reconciler
from services.esp import EspError, Known
from simulator import server
from tests import house
from tests.house import House
from tests.journeys.rehearsal import Rehearsal, real_esps

PEOPLE = 12
WAIT = 900.0


@pytest.fixture
def rehearsal(tmp_path: Path) -> Iterator[Rehearsal]:
    with server.start(tmp_path / "simulator.db") as running:
        yield Rehearsal(running)


@pytest.fixture
def home(database_url: str, rehearsal: Rehearsal) -> Iterator[House]:
    database = Database(database_url)
    migrate.upgrade(database)
    esps = real_esps(rehearsal.keys, rehearsal.running.url, timeout_seconds=5)
    yield house.enter(database, esps={"postmark": esps["postmark"]})
    database.dispose()


def reconciler(home: House, esps: Any = None) -> Reconciler:
    return Reconciler(home.db, esps or home.esps, wait_seconds=WAIT, clock=home.clock)


def in_doubt(home: House, rehearsal: Rehearsal, kind: str) -> int:
    """A campaign whose every send is in doubt: `accepted_reset`, or a `reset` that lost it."""
    rehearsal.fault("postmark", kind, count=1)
    home.add_people(PEOPLE)
    campaign = home.launch()
    home.drain(campaign)
    assert home.ledger(campaign) == {"in_doubt": PEOPLE}
    return campaign


def rows(home: House, campaign: int) -> list[Any]:
    with home.db.read() as connection:
        return list(send_acts.page(connection, campaign, PEOPLE))


def promises_hold(home: House) -> None:
    report = audit(home.db, Facts(home.clock(), "sandbox", 60, worker_beats=True))
    assert [finding for finding in report.findings if not finding.ok] == []


def test_what_the_esp_took_is_accepted_with_its_message_id(
    home: House, rehearsal: Rehearsal
) -> None:
    campaign = in_doubt(home, rehearsal, "accepted_reset")
    looking = reconciler(home)
    assert looking.run() == 0, "too early: nobody asks yet"
    home.clock.forward(WAIT + 1)
    assert looking.run() == PEOPLE
    assert home.ledger(campaign) == {"delivered": PEOPLE}, "its details told more than the search"
    found = {row["message_id"] for row in rows(home, campaign)}
    assert len(found) == PEOPLE
    assert None not in found
    assert {row["reason"] for row in rows(home, campaign)} == {look_ups.FOUND}
    promises_hold(home)


def test_not_found_counts_twice_with_a_gap_and_then_was_not_accepted(
    home: House, rehearsal: Rehearsal
) -> None:
    campaign = in_doubt(home, rehearsal, "reset")
    looking = reconciler(home)
    home.clock.forward(WAIT + 1)
    assert looking.run() == PEOPLE
    assert home.ledger(campaign) == {"in_doubt": PEOPLE}
    first = rows(home, campaign)[0]
    assert (first["reason"], first["trail"][-1]["to"]) == (send_acts.NOT_FOUND, "in_doubt")
    home.clock.forward(TURN_SECONDS)
    assert looking.run() == 0, "too soon after the first answer"
    home.clock.forward(GAP_SECONDS)
    reconciler(home).run()  # what was answered first is known to a process that starts now
    assert home.ledger(campaign) == {"failed": PEOPLE}
    assert rows(home, campaign)[0]["reason"].startswith("not_accepted")
    assert [line["to"] for line in rows(home, campaign)[0]["trail"]][-2:] == ["in_doubt", "failed"]
    promises_hold(home)
    assert home.control.retry_failed(campaign) == PEOPLE
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": PEOPLE}
    assert set(rehearsal.copies().values()) == {1}


def test_a_message_that_the_index_shows_late_is_found_the_second_time(
    home: House, rehearsal: Rehearsal
) -> None:
    campaign = in_doubt(home, rehearsal, "accepted_reset")
    limits = rehearsal.running.state.meters.limits["postmark"]
    limits.search_lag_seconds = 3600
    looking = reconciler(home)
    home.clock.forward(WAIT + 1)
    looking.run()
    assert home.ledger(campaign) == {"in_doubt": PEOPLE}
    limits.search_lag_seconds = 0
    home.clock.forward(GAP_SECONDS + 1)
    looking.run()
    looking.run()
    assert home.ledger(campaign) == {"delivered": PEOPLE}
    promises_hold(home)


def test_an_operator_may_end_what_was_not_found_once(home: House, rehearsal: Rehearsal) -> None:
    campaign = in_doubt(home, rehearsal, "reset")
    assert not home.control.resolve_in_doubt(campaign, "resend", by="ops", only_not_found=True)
    home.clock.forward(WAIT + 1)
    reconciler(home).run()
    resent = home.control.resolve_in_doubt(campaign, "resend", by="ops", only_not_found=True)
    assert resent == PEOPLE


def test_an_esp_that_does_not_say_is_left_alone_for_a_while(
    home: House, rehearsal: Rehearsal, caplog: pytest.LogCaptureFixture
) -> None:
    campaign = in_doubt(home, rehearsal, "reset")
    rehearsal.fault("postmark", "error_500", routes="read", count=1)
    looking = reconciler(home)
    home.clock.forward(WAIT + 1)
    with caplog.at_level(logging.WARNING):
        assert looking.run() == 0
    assert "does not say" in caplog.text
    assert rehearsal.keys["postmark"]["server_token"] not in caplog.text
    home.clock.forward(TURN_SECONDS + 1)
    assert looking.run() == 0
    assert reconciler(home).run() == 0, "it holds in every process"
    assert {row["reason"] for row in rows(home, campaign)} != {send_acts.NOT_FOUND}
    home.clock.forward(HOLD_OFF_SECONDS)
    assert looking.run() == PEOPLE


class Scripted:
    """Answers as a test says; everything else is a real part."""

    search_days = 7.0

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def look_up(self, send_id: str, _lane: Lane) -> Known | None:
        self.asked.append(send_id)
        answer = self.answers.pop(0) if self.answers else None
        if callable(answer):
            answer = answer()
        if isinstance(answer, EspError):
            raise answer
        return answer


def test_who_ends_a_doubt_first_wins(home: House, rehearsal: Rehearsal) -> None:
    """Between question and answer a person, or an event, may have ended it."""
    campaign = in_doubt(home, rehearsal, "reset")
    home.clock.forward(WAIT + 1)

    def meanwhile() -> None:
        home.control.resolve_in_doubt(campaign, "mark_sent", by="ops")

    looking = reconciler(home, {"postmark": Scripted(meanwhile, Known("m"))})
    assert looking.run() == 0
    assert home.ledger(campaign) == {"accepted": PEOPLE}
    assert {row["message_id"] for row in rows(home, campaign)} == {None}


def test_processes_take_turns_and_count_an_answer_once(home: House, rehearsal: Rehearsal) -> None:
    campaign = in_doubt(home, rehearsal, "reset")
    home.clock.forward(WAIT + 1)
    several = [Scripted() for _ in range(4)]
    lookers = [reconciler(home, {"postmark": each}) for each in several]
    for _ in range(2):
        threads = [threading.Thread(target=each.run) for each in lookers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        home.clock.forward(TURN_SECONDS + 1)
    asked = [send for each in several for send in each.asked]
    assert sorted(asked) == sorted(set(asked))
    assert len(asked) == PEOPLE
    assert home.ledger(campaign) == {"in_doubt": PEOPLE}
    assert {len(row["trail"]) for row in rows(home, campaign)} == {2}


def test_what_the_esp_may_have_forgotten_is_not_asked_about(
    home: House, rehearsal: Rehearsal
) -> None:
    in_doubt(home, rehearsal, "reset")
    home.clock.forward(8 * 86400)
    esp = Scripted()
    assert reconciler(home, {"postmark": esp}).run() == 0
    assert esp.asked == []


def test_a_sweep_starts_a_turn_and_waits_for_none(home: House, rehearsal: Rehearsal) -> None:
    campaign = in_doubt(home, rehearsal, "reset")
    home.clock.forward(WAIT + 1)
    asked, answer = threading.Event(), threading.Event()

    def slowly() -> Known:
        asked.set()
        assert answer.wait(20)
        return Known("late")

    looking = reconciler(home, {"postmark": Scripted(slowly)})
    looking.tick()
    assert asked.wait(10)
    looking.tick()  # returns although the ESP has not answered
    assert home.ledger(campaign) == {"in_doubt": PEOPLE}
    ender = threading.Timer(0.2, answer.set)
    ender.start()
    looking.close()
    ender.join()
    assert home.ledger(campaign) == {"accepted": 1, "in_doubt": PEOPLE - 1}
    looking.tick()
    time.sleep(0.05)
    assert home.ledger(campaign) == {"accepted": 1, "in_doubt": PEOPLE - 1}


def test_esps_that_cannot_be_asked_are_not(home: House) -> None:
    class Silent:
        name = "ses"

    looking = reconciler(home, {"ses": Silent()})
    assert looking.run() == 0
    looking.tick()
