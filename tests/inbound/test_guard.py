"""A campaign whose bounces or complaints are clearly too many stops by itself, and only then."""

import random
from collections.abc import Iterator
from dataclasses import replace

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


@pytest.fixture
def unheard(database_url: str) -> Iterator[Mailed]:
    """The ESP has told of no delivery yet: it is new, or never does."""
    made = Mailed(database_url, PEOPLE)
    made.accept()
    yield made
    made.db.dispose()


def test_an_esp_that_tells_of_bounces_alone_stops_no_healthy_campaign(unheard: Mailed) -> None:
    for number in range(int(PEOPLE * 0.03)):
        unheard.feedback.apply([outcome(unheard, number, hard=True)])
    assert unheard.campaign()["status"] == "sending"
    with unheard.db.read() as connection:
        guard = of(connection, unheard.id)
    assert guard is not None
    assert (guard.hard, guard.taken) == (21, PEOPLE)


def test_a_list_that_does_nothing_but_bounce_is_stopped_before_anything_was_delivered(
    unheard: Mailed,
) -> None:
    told = 0
    while unheard.campaign()["status"] == "sending":
        unheard.feedback.apply([outcome(unheard, told, hard=True)])
        told += 1
    assert 35 < told < 70  # of 700 that the ESP took
    row = unheard.campaign()
    assert row["status_reason"].startswith(
        f"stopped by the guard: {told} hard bounces of {PEOPLE} messages"
    )
    unheard.check_ledger()
    unheard.check_promises()


def test_whoever_resumes_it_is_asked_again_only_by_new_evidence(unheard: Mailed) -> None:
    unheard.feedback.apply([outcome(unheard, number, hard=True) for number in range(70)])
    control = CampaignControl(unheard.db, wake=lambda _: None, clock=lambda: LATER)
    control.resume(unheard.id, by="test")
    unheard.feedback.apply([outcome(unheard, number, hard=True) for number in range(70, 74)])
    assert unheard.campaign()["status"] == "sending"


def test_news_of_both_kinds_come_in_one_call(unheard: Mailed) -> None:
    with unheard.db.write() as connection:
        performance.count(connection, "ses", {"delivered": 50}, LATER)
    told = [outcome(unheard, number, hard=True) for number in range(60)]
    mixed = [replace(one, esp="ses") if n % 2 else one for n, one in enumerate(told)]
    unheard.feedback.apply(mixed)
    assert unheard.campaign()["status"] == "paused"


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
