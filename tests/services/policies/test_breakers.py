"""Breakers: when they open, what they let through, how they come back."""

import random

import pytest

from services.policies import breakers, cells
from services.policies.breakers import API, CLOSED, HALF_OPEN, OPEN, RAMP, STALL, Breaker, Rules
from services.policies.cells import Cell

NOW = 1_000_000.0
TRIALS, TRIALS_LONG = 150_000, 3_000_000


def fed(breaker: Breaker, rules: Rules, bad: int, good: int, now: float = NOW) -> Breaker:
    return breakers.after(breaker, rules, bad, good, sent_at=now, now=now, seed=b"s", cause="why")


@pytest.mark.parametrize("rules,failures", [(API, 5), (STALL, 6)])
def test_so_many_in_a_row_open_it_and_one_less_does_not(rules: Rules, failures: int) -> None:
    assert fed(Breaker(), rules, failures - 1, 0).state == CLOSED
    opened = fed(Breaker(), rules, failures, 0)
    assert (opened.state, opened.cause) == (OPEN, "why")
    assert 24 <= opened.until - NOW <= 36


@pytest.mark.parametrize("rate", [0.002, 0.01, 0.02])
def test_usual_failures_never_open_it(rate: float, long: bool) -> None:
    """T4: at most one false trip in 10^6 requests."""
    rng, breaker, trips = random.Random(int(rate * 1e6)), Breaker(), 0
    trials = TRIALS_LONG if long else TRIALS
    for _ in range(trials):
        bad = int(rng.random() < rate)
        breaker = fed(breaker, API, bad, 1 - bad)
        if breaker.state == OPEN:
            trips, breaker = trips + 1, Breaker()
    assert trips <= max(0, trials // 1_000_000)


def test_the_way_back() -> None:
    breaker = fed(Breaker(), API, 5, 0)
    assert breakers.admission(breaker, API, NOW) == (0.0, 0, breaker.until)
    now = breaker.until
    breaker = breakers.at(breaker, API, now)
    assert breaker.state == HALF_OPEN
    for _ in range(5):
        assert breakers.admission(breaker, API, now).probes == 1
        breaker = breakers.probing(breaker, API, 1, now)
        assert breakers.admission(breaker, API, now + 5).probes == 0  # one in flight
        breaker = fed(breaker, API, 0, 1, now)
        now += 2
    assert breaker.state == RAMP
    for share in breakers.RAMP_SHARES:
        assert breakers.admission(breaker, API, now).share == share
        now += 60
        breaker = breakers.at(breaker, API, now)
    assert breaker.state == CLOSED


def test_the_first_failed_probe_opens_it_again_for_longer() -> None:
    breaker, pauses = fed(Breaker(), API, 5, 0), []
    for _ in range(20):
        pauses.append(breaker.until - breaker.since)
        breaker = breakers.at(breaker, API, breaker.until)
        breaker = fed(breaker, API, 1, 0, breaker.since)
        assert breaker.state == OPEN
    assert pauses[0] < pauses[1] < pauses[2]
    assert max(pauses) <= API.cap
    assert len(set(pauses)) == len(pauses)  # jitter


def test_an_hour_of_peace_forgives() -> None:
    peaceful = Breaker(trips=9, since=NOW - 3601)
    assert fed(peaceful, API, 5, 0).trips == 1
    assert fed(Breaker(trips=9, since=NOW - 3599), API, 5, 0).trips == 10


def test_answers_from_before_it_opened_say_nothing() -> None:
    breaker = fed(Breaker(), API, 5, 0)
    assert fed(breaker, API, 0, 100) == breaker
    now = breaker.until
    breaker = breakers.at(breaker, API, now)
    old = breakers.after(breaker, API, 3, 9, sent_at=NOW, now=now, seed=b"s", cause="")
    assert old == breaker


def test_a_probe_that_never_answers_is_forgotten() -> None:
    breaker = breakers.at(fed(Breaker(), API, 5, 0), API, NOW + 40)
    breaker = breakers.probing(breaker, API, 1, NOW + 40)
    later = NOW + 40 + API.lapse + API.probe_every + 1
    assert breakers.admission(breakers.at(breaker, API, later), API, later).probes == 1


def test_a_clock_that_was_set_back_does_not_keep_it_open() -> None:
    breaker = fed(Breaker(), API, 5, 0)
    now = NOW - 10_000
    breaker = breakers.at(breaker, API, now)
    assert breaker.until - now <= 1.2 * API.cool_down, "no longer than it would have waited"
    assert breakers.at(breaker, API, breaker.until).state == HALF_OPEN


def learnt(cell: Cell, good: int, bad: int, now: float = NOW, words: str = "") -> Cell:
    return cells.after(cell, good, bad, now, mean=0.96, seed=b"s", words=words)


def test_a_slump_is_believed_at_once_but_opens_nothing() -> None:
    cell, rng = learnt(Cell(), 2_000, 50), random.Random(3)
    for _ in range(60):
        bad = sum(rng.random() < 0.3 for _ in range(2))
        cell = learnt(cell, 2 - bad, bad)
    good, bad_ = cells.posterior(cell, 0.96, NOW)
    assert 0.6 < good / (good + bad_) < 0.87
    assert cell.breaker.state == CLOSED


@pytest.mark.parametrize("words,least", [("", 4_320), ("421 TS04 try later", 5_760)])
def test_a_mailbox_provider_that_refuses_most_is_left_alone(words: str, least: float) -> None:
    cell = learnt(Cell(), 500, 10)
    for _ in range(60):
        cell = learnt(cell, 0, 1, words=words)
    assert cell.breaker.state == OPEN
    assert "were blocked" in cell.breaker.cause
    assert least <= cell.breaker.until - NOW <= 8_640
    back = breakers.at(cell.breaker, breakers.CELL, cell.breaker.until)
    assert back.state == RAMP
    assert Cell.from_json(cell.to_json()) == cell
