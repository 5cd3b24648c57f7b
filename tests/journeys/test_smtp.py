"""A campaign through Amazon SES over SMTP: whatever breaks, nobody gets it twice."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.stage import Stage
from config.esp_config import SES_SMTP_FACTS
from database import migrate, send_acts
from database.engine import Database
from email_sender import Options
from services.amazon_ses import AmazonSes
from services.esp import Capabilities
from services.ses_client import AwsKeys
from services.ses_smtp import SesSmtp, endpoint
from tests import house
from tests.house import House
from tests.journeys.rehearsal import Rehearsal, real_esps
from tests.journeys.test_faults import CERTAIN, DOUBTFUL, drained
from tests.journeys.test_kills import add_people, copies, settled, stage, survive_kills, until

__all__ = ["stage"]

PEOPLE = 60


@pytest.fixture
def home(
    database_url: str, rehearsal: Rehearsal, request: pytest.FixtureRequest
) -> Iterator[House]:
    seconds = 1.5 if "hang" in request.node.callspec.params.get("kind", "") else 10.0
    database = Database(database_url)
    migrate.upgrade(database)
    keys, can = rehearsal.keys["ses"], Capabilities(**SES_SMTP_FACTS.fields())
    aws = AwsKeys(keys["access_key_id"], keys["secret_access_key"])
    its = endpoint(aws, keys["region"], keys["smtp_host"], keys["smtp_port"])
    smtp = SesSmtp(can, its, AmazonSes(can, keys=aws), timeout_seconds=seconds)
    others = real_esps(rehearsal.keys, rehearsal.running.url, timeout_seconds=seconds)
    yield house.enter(
        database, esps={**others, "ses": smtp}, priorities=dict.fromkeys(house.NAMES, 1),
        options=Options(timeout_seconds=seconds, lease_seconds=40), batch_size=20,
    )  # fmt: skip
    database.dispose()


@pytest.mark.parametrize("kind", [*CERTAIN, "refuse"])
def test_what_was_certainly_not_taken_leaves_through_the_others(
    home: House, rehearsal: Rehearsal, kind: str
) -> None:
    rehearsal.fault("ses", kind)
    campaign = drained(home, PEOPLE)
    assert home.ledger(campaign) == {"accepted": PEOPLE}
    assert "ses" not in {message["esp"] for message in rehearsal.taken()}


def test_a_reset_before_the_dot_is_certain_or_in_doubt_but_never_twice(
    home: House, rehearsal: Rehearsal
) -> None:
    """The dot may be written before our side hears of the reset: then it is in doubt."""
    rehearsal.fault("ses", "reset_early")
    campaign = drained(home, PEOPLE)
    ledger = home.ledger(campaign)
    assert ledger.get("accepted", 0) + ledger.get("in_doubt", 0) == PEOPLE
    taken = [message["to"] for message in rehearsal.taken()]
    assert len(taken) == len(set(taken)) == ledger["accepted"]
    assert max(rehearsal.copies().values()) == 1


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_what_is_ambiguous_stays_in_doubt_and_nobody_gets_two(
    home: House, rehearsal: Rehearsal, kind: str
) -> None:
    rehearsal.fault("ses", kind)
    campaign = drained(home, PEOPLE)
    ledger = home.ledger(campaign)
    assert set(ledger) == {"accepted", "in_doubt"}
    assert sum(ledger.values()) == PEOPLE
    assert max(rehearsal.copies().values()) == 1
    with home.db.read() as connection:
        doubts = send_acts.page(connection, campaign, PEOPLE, status="in_doubt")
    assert {row["esp"] for row in doubts} == {"ses"}
    taken = [message for message in rehearsal.taken() if message["esp"] == "ses"]
    assert len(taken) == (len(doubts) if DOUBTFUL[kind] else 0)


def test_kills_in_the_middle_of_smtp_dialogues(stage: Callable[..., Stage], long: bool) -> None:
    theatre = stage(
        SES_TRANSPORT="smtp", SES_RATE_PER_SECOND="300", SENDGRID_RATE_PER_SECOND="20",
        POSTMARK_RATE_PER_SECOND="20",
    )  # fmt: skip
    survive_kills(theatre, 2_000 if long else 800, 30 if long else 1)
    assert any("MIME-Version" in one["headers"] for one in of_ses(theatre)), "SES got it by SMTP"


def of_ses(theatre: Stage) -> list[dict[str, Any]]:
    return list(theatre.simulator("GET", "/_messages?limit=1&esp=ses").body["items"])


def test_a_campaign_leaves_by_smtp_and_is_told_of(tmp_path: Path) -> None:
    """Real processes: the worker finds the simulator's SMTP port, SNS tells what became of it."""
    theatre = Stage(tmp_path / "stage", {"SES_TRANSPORT": "smtp", "SES_DAILY_LIMIT": "none"})
    try:
        theatre.start()
        add_people(theatre, 200)
        body = {"subject": "Hello {{ name }}", "html": "<p>Hi {{ name }}</p>", "esp": "ses"}
        answer = theatre.call("POST", "/send-campaign", body)
        assert answer.status == 202, answer.body
        campaign = int(answer.body["campaign_id"])
        until(lambda: settled(theatre.campaign(campaign)), 60)
        until(lambda: theatre.campaign(campaign)["ledger"]["delivered"] == 200, 60)
        assert max(copies(theatre).values()) == 1
        assert "MIME-Version" in of_ses(theatre)[0]["headers"], "it came by SMTP"
    finally:
        theatre.close()
