"""Real processes: an answer is lost, no webhook comes, and the ESP's own search ends the doubt."""

from collections.abc import Callable

import pytest

from cli.stage import Stage
from tests.journeys.test_kills import add_people, copies, launch, stage, until

__all__ = ["stage"]  # the fixture
PEOPLE = 40


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_doubts_end_by_the_esps_own_search_without_any_webhook(
    stage: Callable[..., Stage],
) -> None:
    theatre = stage(IN_DOUBT_WAIT_SECONDS="1", POSTMARK_PRIORITY="1", SES_PRIORITY="2",
                    SENDGRID_PRIORITY="2")  # fmt: skip
    theatre.start_simulator()
    theatre.simulator("PATCH", "/_webhooks", {"paused": True})
    theatre.fault("postmark", "accepted_reset", count=1)
    theatre.start_web()
    theatre.start_worker()
    add_people(theatre, PEOPLE)
    campaign = launch(theatre)
    until(lambda: theatre.campaign(campaign)["ledger"]["in_doubt"], 20)
    until(lambda: not theatre.campaign(campaign)["ledger"]["in_doubt"], 40)
    account = theatre.campaign(campaign)
    assert account["ledger"]["delivered"] > 0
    assert account["ledger"]["failed"] == 0
    assert account["balanced"]
    assert set(copies(theatre).values()) == {1}
    verified = theatre.run("verify")
    assert verified.returncode == 0, verified.stdout
