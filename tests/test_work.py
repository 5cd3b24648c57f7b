"""The work engine: hints may be lost, doubled or late, and the sweep makes up for all of it."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from database import migrate
from database.engine import Database
from outbound.draft import Draft
from services.esp import Accepted, Batch, NotTried
from tests import house
from tests.house import House
from work import Parts, Work


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    migrate.upgrade(database)
    yield house.enter(database)
    database.dispose()


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def work(queue: Path) -> Iterator[Work]:
    engine = Work(f"sqlite:///{queue}", workers=2)
    yield engine
    engine.stop()


def parts(home: House) -> Parts:
    return Parts(home.launcher, home.sender, home.control, home.lane, home.scheduler)


def hints(work: Work) -> list[int]:
    """The campaigns that a hint waits for."""
    return [task.args[0] for task in work.huey.pending()]


def within(seconds: float, done: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_a_lost_hint_is_found_by_the_sweep(home: House, work: Work) -> None:
    home.add_people(20)
    campaign = home.launch()
    work.start(parts(home))
    assert within(10, lambda: home.campaign(campaign)["status"] == "sent")
    assert home.ledger(campaign) == {"accepted": 20}


def test_a_scheduled_campaign_leaves_at_its_time_whoever_was_restarted(
    home: House, work: Work
) -> None:
    """Nothing of it is in the queue: a time that comes while no worker runs is found afterwards."""
    home.add_people(20)
    at = home.clock() + 600
    launched = home.launcher.launch(Draft("Hi", text="Hello", scheduled_at=at))
    work._sweep(parts(home))
    assert hints(work) == []
    home.clock.forward(700)
    work.start(parts(home))
    assert within(10, lambda: home.campaign(launched.campaign_id)["status"] == "sent")
    assert home.ledger(launched.campaign_id) == {"accepted": 20}


def test_hints_of_long_campaigns_do_not_keep_the_sweep_from_others(home: House, work: Work) -> None:
    """Two campaigns that run for hours always have hints waiting; a third must not wait for them
    to end when its own hint was lost, or its ESPs had no room at the time."""
    home.add_people(3)
    long, other = home.launch(), home.launch()
    for _ in range(8):
        work.wake(long)
    before = hints(work)
    work._sweep(parts(home))
    assert hints(work) == [*before, other]
    work._sweep(parts(home))
    assert hints(work) == [*before, other]


def test_a_campaign_that_always_fails_stops_no_other(
    home: House, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.add_people(20)
    poison, fine = home.launch(), home.launch()
    drain = home.sender.drain

    def explode(campaign_id: int, **how: object) -> float | None:
        if campaign_id == poison:
            raise RuntimeError("a fault of this campaign alone")
        return drain(campaign_id, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(home.sender, "drain", explode)
    work.start(parts(home))
    assert within(10, lambda: home.campaign(fine)["status"] == "sent")
    assert home.ledger(poison) == {"queued": 20}


def test_the_sweep_heals_although_the_queue_is_broken(home: House, work: Work, queue: Path) -> None:
    home.add_people(3)
    campaign = home.launch()
    home.sender._claim(campaign)
    home.clock.forward(61)
    with sqlite3.connect(queue) as other:
        other.execute("DROP TABLE kv")
        other.execute("DROP TABLE task")
    work._sweep(parts(home))
    assert home.ledger(campaign) == {"queued": 3}


@pytest.mark.parametrize("fault", ["deleted", "overwritten", "emptied"])
def test_a_queue_that_is_lost_while_running_loses_nothing(
    home: House, work: Work, queue: Path, fault: str
) -> None:
    home.add_people(20)
    work.start(parts(home))
    assert within(5, lambda: work.heartbeat_age() is not None)
    if fault == "deleted":
        for path in queue.parent.glob("queue.db*"):
            path.unlink()
    elif fault == "overwritten":
        queue.write_bytes(b"no database at all" * 500)
    else:
        queue.write_bytes(b"")
    campaign = home.launch()
    assert within(15, lambda: home.campaign(campaign)["status"] == "sent")
    assert home.ledger(campaign) == {"accepted": 20}
    assert within(5, lambda: (work.heartbeat_age() or 99) < 3)


def test_two_processes_find_each_other_after_the_queue_was_deleted(
    home: House, work: Work, queue: Path
) -> None:
    """Else the web would say for ever that no worker beats."""
    work._beat()
    queue.unlink()
    web = Work(f"sqlite:///{queue}")
    assert web.heartbeat_age() is None
    work._sweep(parts(home))
    assert web.heartbeat_age() is not None


def test_a_queue_that_is_no_database_any_more_is_begun_anew(queue: Path) -> None:
    queue.write_bytes(b"no database at all" * 500)
    work = Work(f"sqlite:///{queue}")
    work.wake(7)
    assert hints(work) == [7] * 4


def test_stopping_waits_for_what_is_in_flight(home: House, work: Work) -> None:
    home.add_people(20)
    campaign = home.launch()
    sent = threading.Event()

    def slowly(batch: object) -> list[Accepted]:
        sent.set()
        time.sleep(1)
        return [Accepted("x")] * 20

    home.esps["sendgrid"].answers = [slowly]
    work.start(parts(home))
    assert sent.wait(10)
    work.stop()
    assert home.ledger(campaign) == {"accepted": 20}


def test_stopping_gives_back_what_has_not_left_yet(home: House, work: Work) -> None:
    home.add_people(20)
    campaign = home.launch()
    sent = threading.Event()

    def one_by_one(batch: Batch) -> list[Accepted | NotTried]:
        sent.set()
        assert within(10, batch.ending)
        return [Accepted("x"), *[NotTried("the house is about to end")] * 19]

    home.esps["sendgrid"].answers = [one_by_one]
    work.start(parts(home))
    assert sent.wait(10)
    work.stop()
    assert home.ledger(campaign) == {"accepted": 1, "queued": 19}


def test_a_chore_that_hangs_or_fails_keeps_nobody_waiting(home: House, work: Work) -> None:
    home.add_people(3)
    campaign = home.launch()
    over, turns = threading.Event(), threading.Semaphore(0)

    def fail() -> None:
        turns.release()
        raise RuntimeError("a fault of this chore")

    def hang() -> None:
        over.wait(60)

    work.start(replace(parts(home), chores=(fail, turns.release, hang)))
    try:
        assert turns.acquire(timeout=10)
        assert turns.acquire(timeout=10)
        assert within(10, lambda: home.campaign(campaign)["status"] == "sent")
        first = work.huey.get("heartbeat", peek=True)
        assert within(10, lambda: work.huey.get("heartbeat", peek=True) != first)
    finally:
        over.set()
