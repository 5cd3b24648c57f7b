"""Several worker processes on one database, while ESPs fail, workers are killed and the database
itself goes away: limits hold exactly, nobody is mailed twice, nobody is lost."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.stage import Stage
from tests import postgres
from tests.conftest import required
from tests.journeys.test_kills import (
    FAST,
    add_people,
    copies,
    launch,
    settled,
    stage,
    until,
)
from tests.postgres import Server

__all__ = ["stage"]

#: One fault of every class, each for a part of the requests.
STORM = (
    ("sendgrid", "accepted_500"), ("sendgrid", "throttle"), ("sendgrid", "reset_early"),
    ("ses", "accepted_reset"), ("ses", "error_503"), ("ses", "malformed"),
    ("postmark", "partial"), ("postmark", "reset"), ("postmark", "throttle"),
)  # fmt: skip
LIMITS = {"sendgrid": 300, "ses": 200, "postmark": 150}


def storm(theatre: Stage, probability: float) -> None:
    for seed, (esp, kind) in enumerate(STORM):
        theatre.fault(esp, kind, probability=probability, seed=seed)


def taken(theatre: Stage) -> Counter[str]:
    """Messages that each ESP took, by its own account."""
    return Counter(message["esp"] for message in theatre.ledger_of_simulator())


def test_limits_hold_over_racing_workers_that_are_killed_in_a_storm(
    stage: Callable[..., Stage], long: bool
) -> None:
    """Four processes of four threads each. What is in doubt counts as used."""
    limits = {f"{esp.upper()}_DAILY_LIMIT": str(limit) for esp, limit in LIMITS.items()}
    theatre = stage(**limits, **{f"{esp.upper()}_BATCH_SIZE": "20" for esp in LIMITS})
    theatre.start_simulator()
    theatre.start_web()
    add_people(theatre, 1_000)
    storm(theatre, 0.1)
    chance = random.Random(7)
    names = [f"worker {number}" for number in range(4)]
    for name in names:
        theatre.start_worker(name)
    campaign = launch(theatre)
    until(lambda: taken(theatre), 60)
    for _ in range(40 if long else 8):
        time.sleep(chance.uniform(1.0, 3.0))
        name = chance.choice(names)
        theatre.actors[name].kill()
        gone = f"Person{chance.randrange(1_000)}@example.com"
        answer = theatre.call("POST", f"/subscribers/{gone}/unsubscribe", {"reason": "asked"})
        assert answer.status == 200
        theatre.start_worker(name)
        assert theatre.campaign(campaign)["balanced"]
        assert all(taken(theatre)[esp] <= limit for esp, limit in LIMITS.items())
    theatre.heal()
    until(lambda: _spent(theatre, campaign), 150)
    account = theatre.campaign(campaign)
    assert account["balanced"]
    assert sum(account["ledger"].values()) == account["audience"] == 1_000
    assert max(copies(theatre).values()) == 1
    used = {
        esp["name"]: esp["sent_today"] for esp in theatre.call("GET", "/esp-status").body["esps"]
    }
    assert used == LIMITS
    assert all(taken(theatre)[esp] <= limit for esp, limit in LIMITS.items())
    verified = theatre.run("verify")
    assert verified.returncode == 0, verified.stdout


def _spent(theatre: Stage, campaign: int) -> bool:
    """Whether nothing more can leave today and nothing is on the road."""
    esps = theatre.call("GET", "/esp-status").body["esps"]
    ledger = theatre.campaign(campaign)["ledger"]
    return not ledger["sending"] and all(esp["remaining_today"] == 0 for esp in esps)


@pytest.fixture
def server() -> Iterator[Server]:
    try:
        with postgres.running_server(durable=True) as made:
            yield made
    except postgres.NoServer as reason:
        if required("REQUIRE_POSTGRES"):
            raise
        pytest.skip(f"no PostgreSQL server here: {reason}")


def test_a_postgresql_that_crashes_mid_campaign_costs_a_pause_and_nothing_else(
    server: Server, tmp_path: Path
) -> None:
    name = server.cluster.create()
    rates = {f"{esp}_RATE_PER_SECOND": "60" for esp in ("SENDGRID", "SES", "POSTMARK")}
    theatre = Stage(tmp_path / "stage", FAST | rates | {"DATABASE_URL": server.cluster.url(name)})
    try:
        assert theatre.run("db", "upgrade").returncode == 0
        theatre.start_simulator()
        theatre.start_web()
        add_people(theatre, 1_200)
        for worker in ("worker 1", "worker 2"):
            theatre.start_worker(worker)
        campaign = launch(theatre)
        until(lambda: len(copies(theatre)) > 200, 30)
        server.crash()
        assert theatre.call("GET", f"/campaigns/{campaign}").status == 503
        time.sleep(2)
        server.start()
        account = until(lambda: _over(theatre, campaign), 90)
        assert account["balanced"]
        assert sum(account["ledger"].values()) == account["audience"] == 1_200
        assert max(copies(theatre).values()) == 1
        missing = 1_200 - len(copies(theatre))
        assert missing <= account["ledger"]["in_doubt"]
        assert theatre.run("verify").returncode == 0
    finally:
        theatre.close()


def _over(theatre: Stage, campaign: int) -> dict[str, Any] | None:
    answer = theatre.call("GET", f"/campaigns/{campaign}")
    return answer.body if answer.status == 200 and settled(answer.body) else None
