"""A campaign whose bounces or complaints are clearly too many stops by itself, and only then."""

import random
from collections.abc import Iterator

import pytest

from database import esp_performance as performance
from database.models import BounceKind, EventKind, Lane, sends
from outbound.control import CampaignControl
from outbound.guard import of
from services.esp import EspEvent
from services.policies.guard import PAUSE, WARN
from tests.mailed import ESP, LATER, Mailed

PEOPLE = 700


@pytest.fixture
def mailed(database_url: str) -> Iterator[Mailed]:
    made = Mailed(database_url, PEOPLE)
    made.accept()
    with made.db.write() as connection:  # the ESP has told of deliveries before
        performance.count(connection, ESP, {"delivered": 50}, LATER)
    yield made
    made.db.dispose()


def outcome(mailed: Mailed, number: int, hard: bool) -> EspEvent:
    if hard:
        return mailed.event(EventKind.BOUNCE, number, bounce=BounceKind.HARD)
    return mailed.event(EventKind.DELIVERED, number)


def tell(mailed: Mailed, share: float, step: int = 20) -> int:
    """Outcomes in random order until the campaign stops; how many were told."""
    chance = random.Random(3)
    told = [outcome(mailed, number, chance.random() < share) for number in range(PEOPLE)]
    for start in range(0, PEOPLE, step):
        mailed.feedback.apply(told[start : start + step])
        if mailed.campaign()["status"] != "sending":
            return start + step
    return PEOPLE


def test_a_bad_list_is_stopped_early(mailed: Mailed) -> None:
    assert tell(mailed, share=0.15) < 300
    row = mailed.campaign()
    assert row["status"] == "paused"
    assert row["status_reason"].startswith("stopped by the guard: ")
    assert "hard bounces of" in row["status_reason"]
    mailed.check_ledger()
    mailed.check_promises()


def test_a_good_list_goes_on(mailed: Mailed) -> None:
    assert tell(mailed, share=0.015) == PEOPLE
    assert mailed.campaign()["status"] == "sending"


def test_complaints_stop_a_campaign_too(mailed: Mailed) -> None:
    mailed.feedback.apply([mailed.event(EventKind.DELIVERED, n) for n in range(300)])
    complaints = [mailed.event(EventKind.COMPLAINT, n) for n in range(12)]
    for complaint in complaints:
        mailed.feedback.apply([complaint])
    row = mailed.campaign()
    assert row["status"] == "paused"
    assert "complaints about" in row["status_reason"]


def test_a_repeated_event_counts_once(mailed: Mailed) -> None:
    bounces = [outcome(mailed, number, hard=True) for number in range(8)]
    for _ in range(5):
        mailed.feedback.apply(bounces)
    with mailed.db.read() as connection:
        guard = of(connection, mailed.id)
    assert guard is not None
    assert guard.hard == 8
    assert mailed.campaign()["status"] == "sending"


def test_a_single_mail_leaves_no_row(mailed: Mailed) -> None:
    with mailed.db.write() as connection:
        connection.execute(sends.update().values(lane=Lane.TRANSACTIONAL))
    mailed.feedback.apply([outcome(mailed, number, hard=number < 40) for number in range(60)])
    with mailed.db.read() as connection:
        assert of(connection, mailed.id) is None
    assert mailed.campaign()["status"] == "sending"


def test_an_esp_that_tells_of_bounces_alone_proves_nothing(database_url: str) -> None:
    mailed = Mailed(database_url, 60)
    mailed.accept()
    for number in range(60):
        mailed.feedback.apply([outcome(mailed, number, hard=True)])
    assert mailed.campaign()["status"] == "sending"
    mailed.db.dispose()


def test_whoever_resumes_begins_the_tests_anew(mailed: Mailed) -> None:
    told = tell(mailed, share=0.15)
    control = CampaignControl(mailed.db, wake=lambda _: None, clock=lambda: LATER)
    control.resume(mailed.id, by="test")
    mailed.feedback.apply([outcome(mailed, n, hard=False) for n in range(told, told + 50)])
    mailed.feedback.apply([outcome(mailed, told + 60, hard=True)])
    assert mailed.campaign()["status"] == "sending"
    with mailed.db.read() as connection:
        guard = of(connection, mailed.id)
    assert guard is not None
    assert guard.verdict not in (WARN, PAUSE)
    assert guard.deliveries > 50
