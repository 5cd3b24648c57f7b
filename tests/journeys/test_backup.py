"""A backup while web and worker send, and the way back: real processes, real command lines."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.stage import Stage
from tests.journeys.test_kills import BODY, add_people, copies, settled, until

PEOPLE = 400
#: So slow that the backup is certainly taken in the middle.
SLOW = {f"{esp}_RATE_PER_SECOND": "5" for esp in ("SENDGRID", "SES", "POSTMARK")}
PLENTY = {f"{esp}_DAILY_LIMIT": "none" for esp in ("SENDGRID", "SES", "POSTMARK")}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path / "stage", SLOW | PLENTY | {"TRANSACTIONAL_RESERVE_PERCENT": "0"})
    assert made.run("db", "upgrade").returncode == 0
    yield made
    made.close()
    for actor in made.actors.values():
        print(f"--- {actor.name} ---\n{actor.last_words(40)}")


def test_backed_up_while_sending_restored_and_nobody_is_mailed_twice(
    stage: Stage, tmp_path: Path
) -> None:
    file = str(tmp_path / "mine.bak")
    stage.start()
    add_people(stage, PEOPLE)
    answer = stage.call("POST", "/send-campaign", BODY)
    campaign = int(answer.body["campaign_id"])
    until(lambda: _left(stage.campaign(campaign)["ledger"]) > 0, 60)

    taken = stage.run("backup", file)
    assert taken.returncode == 0, taken.stderr
    refused = stage.run("restore", file, "--yes")
    assert refused.returncode == 1
    assert "A worker beats" in refused.stderr
    assert stage.campaign(campaign)["ledger"]["queued"] > 0
    for esp in ("sendgrid", "ses", "postmark"):
        assert stage.call("PATCH", f"/esps/{esp}", {"rate_per_second": 1000}).status == 200
    until(lambda: settled(stage.campaign(campaign)), 120)
    unsubscribed = "/subscribers/person7@example.com/unsubscribe"
    assert stage.call("POST", unsubscribed, {"reason": "asked"}).status == 200

    stage.actors["web"].stop()
    stage.actors["worker"].stop()
    done = until(lambda: _restored(stage, file), 90)
    assert "Applied again: 1 people out of reach" in done
    audit = stage.run("verify")
    assert audit.returncode == 0, audit.stdout

    stage.start_web()
    stage.start_worker()
    back = stage.campaign(campaign)
    assert back["status"] == "paused"
    assert back["ledger"]["in_doubt"] > 0
    assert back["ledger"]["queued"] == back["ledger"]["sending"] == 0
    assert stage.call("POST", f"/campaigns/{campaign}/resume").status == 200
    until(lambda: settled(stage.campaign(campaign)), 120)
    counts = copies(stage)
    assert len(counts) == PEOPLE
    assert max(counts.values()) == 1, "who was mailed after the backup was not mailed again"


def _left(ledger: dict[str, int]) -> int:
    return ledger["accepted"] + ledger["delivered"]


def _restored(stage: Stage, file: str) -> str | None:
    """A worker that has just ended is still in the books for some seconds."""
    done = stage.run("restore", file, "--yes")
    return done.stdout if done.returncode == 0 else None
