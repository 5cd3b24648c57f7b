"""kill -9 of real processes in the middle of a campaign, over and over: nobody twice at the ESPs,
nobody lost, and every lease settled in time."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.stage import Stage

LEASE = 6
FAST = {
    **{f"{esp}_DAILY_LIMIT": "none" for esp in ("SENDGRID", "SES", "POSTMARK")},
    **{f"{esp}_PRIORITY": "1" for esp in ("SENDGRID", "SES", "POSTMARK")},
    **{f"{esp}_TIMEOUT_SECONDS": "1" for esp in ("SENDGRID", "SES", "POSTMARK")},
    "TRANSACTIONAL_RESERVE_PERCENT": "0",
    "LEASE_SECONDS": str(LEASE + 1),
}
BODY = {
    "subject": "Hello {{ name }}", "html": "<p>Hi {{ name }}, <a href='https://example.com'>x</a></p>"
}  # fmt: skip


@pytest.fixture
def stage(database_url: str, tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Raises a stage on this test's database; the logs are shown when the test fails."""
    made: list[Stage] = []

    def raise_stage(**settings: str) -> Stage:
        own = FAST | settings | {"DATABASE_URL": database_url}
        made.append(Stage(tmp_path / "stage", own))
        upgraded = made[-1].run("db", "upgrade")
        assert upgraded.returncode == 0, upgraded.stderr
        return made[-1]

    yield raise_stage
    for each in made:
        each.close()
        for actor in each.actors.values():
            print(f"--- {actor.name} ---\n{actor.last_words(40)}")


def add_people(stage: Stage, count: int) -> None:
    rows = "\n".join(f"Person{n}@example.com,Person {n}" for n in range(count))
    answer = stage.call(
        "POST", "/subscribers/import", f"email,name\n{rows}\n".encode(), Content_Type="text/csv"
    )
    assert (answer.status, answer.body["added"]) == (200, count)


def launch(stage: Stage) -> int:
    return int(launched(stage)["campaign_id"])


def launched(stage: Stage) -> dict[str, Any]:
    answer = stage.call("POST", "/send-campaign", BODY, Idempotency_Key="once")
    assert answer.status == 202, answer.body
    return dict(answer.body)


def until(done: Callable[[], Any], seconds: float) -> Any:
    """What `done` returns as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := done():
            return result
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def copies(stage: Stage) -> Counter[str]:
    """How many copies of each send the ESPs took, by their own account."""
    return Counter(message["send_id"] for message in stage.ledger_of_simulator())


def settled(campaign: dict[str, Any]) -> bool:
    return campaign["status"] in {"sent", "failed"} and not campaign["ledger"]["sending"]


def test_kills_at_random_moments(stage: Callable[..., Stage], long: bool) -> None:
    theatre = stage(**{f"{esp}_RATE_PER_SECOND": "150" for esp in ("SENDGRID", "SES", "POSTMARK")})
    survive_kills(theatre, 5_000, 100 if long else 10)


def survive_kills(theatre: Stage, people: int, kills: int) -> None:
    """Kill worker, and now and then the web, at random moments of a campaign, and another one if
    that is over; then let it end."""
    chance = random.Random(20261124)
    theatre.start_simulator()
    theatre.start_web()
    add_people(theatre, people)
    campaign = launch(theatre)
    killed = 0
    while killed < kills:
        worker = theatre.start_worker()
        time.sleep(chance.uniform(1.0, 3.0))
        worker.kill()
        if chance.random() < 0.2:  # the web as well: one process tree, one power cut
            theatre.actors["web"].kill()
            theatre.start_web()
        killed += 1
        account = theatre.campaign(campaign)
        assert account["balanced"], account
        assert max(copies(theatre).values(), default=1) == 1
        if settled(account):  # nothing is left to interrupt: the next campaign goes on
            campaign = int(theatre.call("POST", "/send-campaign", BODY).body["campaign_id"])
    theatre.start_worker()
    account = until(lambda: _over(theatre, campaign), 120)
    assert account["balanced"]
    assert account["ledger"]["queued"] == account["ledger"]["sending"] == 0
    assert sum(account["ledger"].values()) == account["audience"] == people
    assert max(copies(theatre).values()) == 1
    assert theatre.run("verify").returncode == 0


def _over(theatre: Stage, campaign: int) -> dict[str, Any] | None:
    account = theatre.campaign(campaign)
    return account if settled(account) else None


def test_a_kill_between_acceptance_and_our_commit_leaves_one_copy_in_doubt(
    stage: Callable[..., Stage],
) -> None:
    lease = 12
    slow = {f"{esp}_TIMEOUT_SECONDS": "6" for esp in ("SENDGRID", "SES", "POSTMARK")}
    theatre = stage(LEASE_SECONDS=str(lease), **slow)
    theatre.start_simulator()
    theatre.simulator("PATCH", "/_webhooks", {"paused": True})
    theatre.start_web()
    add_people(theatre, 150)
    for esp in ("sendgrid", "ses", "postmark"):
        theatre.fault(esp, "accepted_hang", hold_seconds=20)
    worker = theatre.start_worker()
    campaign = launch(theatre)
    until(lambda: len(copies(theatre)) == 150, 20)  # all taken, and no answer has come back
    worker.kill()
    killed_at = time.monotonic()
    theatre.heal()
    theatre.start_worker()
    until(lambda: not theatre.campaign(campaign)["ledger"]["sending"], lease + 5)
    assert time.monotonic() - killed_at < lease + 5
    account = theatre.campaign(campaign)
    assert account["ledger"]["in_doubt"] == 150
    assert set(copies(theatre).values()) == {1}
    theatre.simulator("PATCH", "/_webhooks", {"paused": False})
    account = until(lambda: _no_doubt(theatre, campaign), 60)
    assert account["balanced"]
    assert max(copies(theatre).values()) == 1
    assert len(copies(theatre)) == 150


def _no_doubt(theatre: Stage, campaign: int) -> dict[str, Any] | None:
    account = theatre.campaign(campaign)
    return account if not account["ledger"]["in_doubt"] else None


def test_what_was_answered_with_2xx_is_there_after_a_kill(stage: Callable[..., Stage]) -> None:
    theatre = stage()
    theatre.start_simulator()
    theatre.start_web()
    add_people(theatre, 40)
    assert (
        theatre.call("POST", "/subscribers", {"email": "ann@example.com", "name": "Ann"}).status
        == 201
    )
    theatre.actors["web"].kill()
    theatre.start_web()
    campaign = launch(theatre)  # reaches those of the import and the one added last
    theatre.actors["web"].kill()
    theatre.start_web()
    assert theatre.call("GET", "/subscribers/ann@example.com").status == 200
    assert launch(theatre) == campaign  # the key is known, nothing starts twice
    theatre.start_worker()
    account = until(lambda: _over(theatre, campaign), 60)
    assert account["audience"] == 41
    theatre.actors["web"].kill()  # webhooks answered with 200 are kept, the others come again
    theatre.start_web()
    until(lambda: theatre.campaign(campaign)["ledger"]["delivered"] == 41, 60)
    assert set(copies(theatre).values()) == {1}


def test_an_unsubscribe_during_a_campaign_stops_every_later_hand_over(
    stage: Callable[..., Stage],
) -> None:
    theatre = stage(**{f"{esp}_RATE_PER_SECOND": "20" for esp in ("SENDGRID", "SES", "POSTMARK")})
    theatre.start()
    add_people(theatre, 300)
    campaign = launch(theatre)
    until(lambda: theatre.campaign(campaign)["ledger"]["accepted"], 20)
    answer = theatre.call(
        "POST", "/subscribers/person299@example.com/unsubscribe", {"reason": "asked by phone"}
    )
    assert answer.status == 200, answer.body
    until(lambda: _over(theatre, campaign), 60)
    assert theatre.campaign(campaign)["ledger"]["suppressed"] == 1
    addresses = {message["to"] for message in theatre.ledger_of_simulator()}
    assert "Person299@example.com" not in addresses
    assert len(addresses) == 299


def test_a_worker_that_is_told_to_stop_leaves_nothing_in_doubt(
    stage: Callable[..., Stage],
) -> None:
    theatre = stage(**{f"{esp}_RATE_PER_SECOND": "100" for esp in ("SENDGRID", "SES", "POSTMARK")})
    theatre.start()
    add_people(theatre, 2_000)
    campaign = launch(theatre)
    until(lambda: theatre.campaign(campaign)["by_esp"], 20)
    assert theatre.actors["worker"].stop() == 0
    account = theatre.campaign(campaign)
    assert account["ledger"]["sending"] == account["ledger"]["in_doubt"] == 0
    assert account["ledger"]["queued"] > 0
    theatre.start_worker()
    account = until(lambda: _over(theatre, campaign), 60)
    assert len(copies(theatre)) == 2_000
    assert max(copies(theatre).values()) == 1
