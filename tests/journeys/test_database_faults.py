"""The database is locked, full, or a worker freezes: callers are told to come back, nothing is lost
or sent twice, and work goes on by itself once the fault is over."""

import os
import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from cli.stage import Stage
from tests.journeys.test_kills import LEASE, add_people, copies, launch, settled, stage, until

__all__ = ["stage"]  # the fixture
Raise = Callable[..., Stage]
SLOW = {f"{esp}_RATE_PER_SECOND": "60" for esp in ("SENDGRID", "SES", "POSTMARK")}
PEOPLE = 600
#: One request for each ESP.
FROZEN = 120


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Somebody else keeps every writer out."""
    if url.startswith("sqlite"):
        path = sa.make_url(url).database or ""
        other = sqlite3.connect(path, isolation_level=None, timeout=30)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()
    else:
        dsn = sa.make_url(url).set(drivername="postgresql").render_as_string(False)
        with psycopg.connect(dsn) as connection:
            connection.execute("LOCK TABLE subscribers IN ACCESS EXCLUSIVE MODE")
            yield


@contextmanager
def no_room(*processes: int) -> Iterator[None]:
    """No file of these processes may grow beyond a little, as on a full disk."""
    for process in processes:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for process in processes:
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(process, resource.RLIMIT_FSIZE, unlimited)


def tree(process: int) -> list[int]:
    """A process and all that it started."""
    told = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    children = [int(child) for child in told.split()]
    return [process, *(each for child in children for each in tree(child))]


def add_one(theatre: Stage, name: str) -> int:
    answer = theatre.call("POST", "/subscribers", {"email": f"{name}@example.org"}, timeout=120)
    return answer.status


def everybody_once(theatre: Stage, campaign: int, people: int = PEOPLE) -> None:
    """The campaign ends by itself; nobody is missing, nobody has two copies."""
    account = until(lambda: _done(theatre, campaign), 60)
    assert account["balanced"]
    found = copies(theatre)
    assert (len(found), max(found.values())) == (people, 1)
    verified = theatre.run("verify")
    assert verified.returncode == 0, verified.stdout


def _done(theatre: Stage, campaign: int) -> dict[str, Any] | None:
    account = theatre.campaign(campaign)
    return account if settled(account) and not account["ledger"]["in_doubt"] else None


def test_a_locked_database_holds_work_up_and_no_longer(
    stage: Raise, database_url: str, long: bool
) -> None:
    """Callers wait half a minute before they are told to come back: only the long run waits so."""
    seconds = 35 if long else 3
    theatre = stage(LEASE_SECONDS="60", **SLOW)
    theatre.start()
    add_people(theatre, PEOPLE)
    campaign = launch(theatre)
    until(lambda: theatre.campaign(campaign)["ledger"]["accepted"], 20)
    with locked(database_url):
        began = time.monotonic()
        assert theatre.campaign(campaign)["balanced"]
        if long:
            assert add_one(theatre, "early") == 503
        time.sleep(max(0, seconds - (time.monotonic() - began)))
    assert add_one(theatre, "late") == 201
    everybody_once(theatre, campaign)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_full_disk_is_answered_with_503_and_work_goes_on_once_there_is_room(
    stage: Raise,
) -> None:
    theatre = stage(LEASE_SECONDS="30", **SLOW)
    theatre.start()
    add_people(theatre, PEOPLE)
    campaign = launch(theatre)
    until(lambda: theatre.campaign(campaign)["ledger"]["accepted"], 20)
    everything = [
        each for name in ("web", "worker") for each in tree(theatre.actors[name].process.pid)
    ]
    with no_room(*everything):
        names = (f"early{n}" for n in range(1_000))
        until(lambda: add_one(theatre, next(names)) == 503, 15)
        assert theatre.campaign(campaign)["balanced"]
        time.sleep(1)
        assert add_one(theatre, "full") == 503
    assert add_one(theatre, "late") == 201
    everybody_once(theatre, campaign)


def test_a_worker_that_freezes_beyond_its_lease_mails_nobody_again(stage: Raise) -> None:
    theatre = stage()
    theatre.start_simulator()
    theatre.simulator("PATCH", "/_webhooks", {"paused": True})
    theatre.start_web()
    add_people(theatre, FROZEN)
    for esp in ("sendgrid", "ses", "postmark"):
        theatre.fault(esp, "accepted_hang", hold_seconds=20)
    frozen = theatre.start_worker()
    campaign = launch(theatre)
    until(lambda: len(copies(theatre)) == FROZEN, 20)  # taken, and the answers have not come back
    os.killpg(frozen.process.pid, signal.SIGSTOP)
    try:
        theatre.heal()
        theatre.actors["frozen"] = theatre.actors.pop("worker")
        theatre.start_worker()
        until(lambda: not theatre.campaign(campaign)["ledger"]["sending"], LEASE + 1 + 5 + 20)
        account = theatre.campaign(campaign)
        assert account["ledger"]["in_doubt"] == FROZEN
    finally:
        os.killpg(frozen.process.pid, signal.SIGCONT)
    until(lambda: settled(theatre.campaign(campaign)), 30)
    time.sleep(2)  # what the frozen one remembers must change nothing
    assert max(copies(theatre).values()) == 1
    theatre.simulator("PATCH", "/_webhooks", {"paused": False})
    everybody_once(theatre, campaign, FROZEN)
