"""An operator's acts on a campaign under way, and what heals by itself."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from database import esp_performance as performance
from database import expiry, send_acts
from database.models import EventKind, subscribers
from feedback import Feedback
from list_manager import ListManager
from outbound import control
from services.esp import EspEvent, InDoubt, Rejected
from tests import house
from tests.house import House, all_get


@pytest.fixture
def build(database_url: str) -> Iterator[Callable[..., House]]:
    with house.on(database_url) as build:
        yield build


@pytest.fixture
def home(build: Callable[..., House]) -> House:
    return build()


def lists(home: House) -> ListManager:
    return ListManager(home.db, erasure_key="k" * 32, clock=home.clock)


@pytest.mark.parametrize("act, error", [("retry", Rejected("bad")), ("resend", InDoubt("lost"))])
def test_an_act_takes_each_send_once_even_if_it_stops_again_meanwhile(
    home: House, monkeypatch: pytest.MonkeyPatch, act: str, error: Any
) -> None:
    """Else one word of an operator would mail a doubtful person again and again."""
    home.add_people(30)
    home.esps["sendgrid"].always = all_get(error)
    home.esps["ses"].always = home.esps["postmark"].always = all_get(error)
    campaign = home.launch()
    for _ in range(60):
        home.sender.step(campaign)
        home.clock.forward(400)
    monkeypatch.setattr(control, "SLICE", 10)
    transact, before = home.db.transact, sum(sum(esp.batches) for esp in home.esps.values())

    def with_a_quick_worker(*args: Any, **how: Any) -> Any:
        result = transact(*args, **how)
        monkeypatch.setattr(home.db, "transact", transact)
        for _ in range(10):
            home.sender.step(campaign)
            home.clock.forward(400)
        monkeypatch.setattr(home.db, "transact", with_a_quick_worker)
        return result

    monkeypatch.setattr(home.db, "transact", with_a_quick_worker)
    if act == "retry":
        moved = home.control.retry_failed(campaign)
    else:
        moved = home.control.resolve_in_doubt(campaign, "resend", by="test")
    assert moved == 30
    tried = sum(sum(esp.batches) for esp in home.esps.values()) - before
    assert tried == 30


def test_who_left_the_topic_meanwhile_is_not_mailed_by_a_retry(home: House) -> None:
    home.add_people(3, tags={"news": 1.0})
    home.esps["sendgrid"].answers = [all_get(Rejected("bad"))]
    campaign = home.launch(segment="news")
    home.drain(campaign)
    with home.db.write() as connection:
        person = connection.scalar(
            sa.select(subscribers.c.id).where(subscribers.c.address == "person1@example.com")
        )
        assert person
        lists(home).opt_out_of_topic(connection, person, "news", by="person")
        lists(home).opt_out_of_topic(connection, person + 1, "other", by="person")
    assert home.control.retry_failed(campaign) == 3
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 2, "suppressed": 1}
    assert "Person1@example.com" not in home.esps["sendgrid"].taken
    with home.db.read() as connection:
        (row,) = send_acts.page(connection, campaign, 5, status="suppressed")
    assert row["reason"] == "topic opt-out: news"


def test_an_event_of_an_earlier_try_counts_where_it_belongs(home: House) -> None:
    """Sent again, and then it failed before it reached any ESP: no ESP's count may sink below 0."""
    home.add_people(1)
    esp = home.esps["sendgrid"]
    esp.answers = [esp.takes_but_hides_it]
    campaign = home.launch(html="<p>{{ plan }}</p>")
    home.drain(campaign)
    home.control.resolve_in_doubt(campaign, "resend", by="test")
    with home.db.write() as connection:
        connection.execute(subscribers.update().values(attributes={}))
    home.drain(campaign)
    assert home.ledger(campaign) == {"failed": 1}
    send = f"{home.campaign(campaign)['nonce']}-1"
    event = EspEvent(
        esp="sendgrid", key="k", kind=EventKind.DELIVERED, at=home.clock(), send_id=send
    )
    Feedback(home.db, lists(home)).apply([event])
    assert home.ledger(campaign) == {"delivered": 1}
    with home.db.read() as connection:
        counts = performance.by_esp(connection, campaign)["sendgrid"]
    assert {state: count for state, count in counts.items() if count} == {"delivered": 1}


def test_one_campaign_that_cannot_be_healed_keeps_none_from_healing(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.add_people(3)
    poison, fine = home.launch(), home.launch()
    for campaign in (poison, fine):
        home.sender._claim(campaign)
    home.clock.forward(61)
    expire = expiry.expire

    def explode(connection: sa.Connection, campaign_id: int, now: float) -> Any:
        if campaign_id == poison:
            raise ValueError("a row nobody understands")
        return expire(connection, campaign_id, now)

    monkeypatch.setattr(expiry, "expire", explode)
    home.control.heal()
    assert home.ledger(poison) == {"sending": 3}
    assert home.ledger(fine) == {"queued": 3}
