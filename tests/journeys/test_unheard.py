"""In live mode nobody ever set up a webhook: the campaign leaves whole all the same, says from the
start that nothing is heard of it, and silence opens no breaker."""

import time
from collections.abc import Callable

from cli.stage import Stage
from tests import house
from tests.journeys.test_kills import add_people, copies, launched, settled, stage, until

__all__ = ["stage"]

BEYOND_THE_DEADLINE = 75.0  #: seconds after which silence would count, if anything had armed it


def go_live(theatre: Stage) -> None:
    """Live mode with the simulator in the place of the real ESPs, and no key of any webhook."""
    keys = theatre.simulator("GET", "/_keys").body
    own = {
        "MODE": "live", "MAIL_FROM": "news@example.com",
        "SENDGRID_API_KEY": keys["sendgrid"]["api_key"],
        "AWS_ACCESS_KEY_ID": keys["ses"]["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": keys["ses"]["secret_access_key"],
        "AWS_REGION": keys["ses"]["region"],
        "POSTMARK_API_KEY": keys["postmark"]["server_token"],
    }  # fmt: skip
    urls = ("SENDGRID_BASE_URL", "SES_ENDPOINT_URL", "POSTMARK_BASE_URL")
    theatre.environment.update(own | dict.fromkeys(urls, theatre.simulator_url))
    del theatre.environment["SIMULATOR_URL"]


def test_a_live_campaign_without_any_webhook_leaves_whole_and_says_so(
    stage: Callable[..., Stage], long: bool
) -> None:
    people = 10_000 if long else 1_000
    theatre = stage()
    theatre.start_simulator()
    go_live(theatre)
    theatre.start_web()
    theatre.start_worker()
    add_people(theatre, people)
    answer = launched(theatre)
    for words, name in zip(answer["warnings"], ("SendGrid", "Amazon SES", "Postmark"), strict=True):
        assert f"what {name} does with your mail is heard" in words
    campaign = int(answer["campaign_id"])
    until(lambda: settled(theatre.campaign(campaign)), 300)
    assert theatre.campaign(campaign)["ledger"]["accepted"] == people
    assert max(copies(theatre).values()) == 1
    if long:
        time.sleep(BEYOND_THE_DEADLINE)
    esps = theatre.call("GET", "/esp-status").body["esps"]
    assert [(esp["state"], esp["eligible"]) for esp in esps] == [("closed", True)] * len(
        house.NAMES
    )
    assert all("is heard" in esp["alert"] for esp in esps)
    assert all("WEBHOOK" in esp["alert"] or "TOPIC" in esp["alert"] for esp in esps)
