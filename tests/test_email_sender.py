"""The journey of a batch, with ESPs whose answers are scripted, on both databases."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from database import esp_performance as performance
from database import send_acts, sends
from database.models import SendStatus, campaigns, subscribers
from database.models import sends as sends_table
from email_sender import Options
from list_manager import ListManager
from mail.compiled import Compiled
from services.esp import (
    Accepted,
    Batch,
    EspError,
    InDoubt,
    Misconfigured,
    NotTried,
    Refused,
    Rejected,
    Report,
    Suspended,
    Throttled,
    Unavailable,
)
from services.policies import breakers
from services.quota import Limits
from tests import house
from tests.house import Clock, House, all_get

NOON = 1_795_521_600.0  # 2026-11-24T12:00:00Z
#: Failed requests that open the breaker of a new ESP.
FAILURES_IN_A_ROW = 5


Build = Callable[..., House]


@pytest.fixture
def build(database_url: str) -> Iterator[Build]:
    """Makes houses on one fresh database and closes what they opened."""
    with house.on(database_url) as build:
        yield build


@pytest.fixture
def home(build: Build) -> House:
    return build()


def test_everybody_gets_the_campaign_once(home: House) -> None:
    home.add_people(1234)
    campaign = home.launch()
    assert home.drain(campaign) is None
    assert home.ledger(campaign) == {"accepted": 1234}
    assert home.campaign(campaign)["status"] == "sent"
    assert len(home.esps["sendgrid"].taken) == 1234
    assert home.nobody_twice()


def test_equal_priorities_share_a_campaign(build: Build) -> None:
    home = build(priorities=dict.fromkeys(house.NAMES, 1), batch_size=100)
    home.add_people(900)
    campaign = home.launch()
    home.drain(campaign)
    assert [len(home.esps[name].taken) for name in house.NAMES] == [300, 300, 300]
    with home.db.read() as connection:
        by_esp = performance.by_esp(connection, campaign)
    assert {name: row["accepted"] for name, row in by_esp.items()} == dict.fromkeys(
        house.NAMES, 300
    )


def test_four_threads_mail_nobody_twice(home: House) -> None:
    home.add_people(3000)
    campaign = home.launch()
    threads = [threading.Thread(target=home.drain, args=(campaign,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    home.control.heal()
    assert home.ledger(campaign) == {"accepted": 3000}
    assert home.nobody_twice()


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("down", code="503"),
        Throttled("too fast", code="429", retry_after=60),
        Misconfigured("bad key", code="401"),
        NotTried("deadline"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_was_certainly_not_accepted_goes_to_the_next_esp(home: House, error: EspError) -> None:
    home.add_people(300)
    home.esps["sendgrid"].always = all_get(error)
    if isinstance(error, NotTried):
        home.esps["sendgrid"].answers = [all_get(error)]
        home.esps["sendgrid"].always = None
    campaign = home.launch()
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 300}
    assert home.nobody_twice()


def test_what_is_in_doubt_is_never_resent(home: House) -> None:
    home.add_people(1200)
    home.esps["sendgrid"].always = home.esps["sendgrid"].takes_but_hides_it
    campaign = home.launch()
    home.drain(campaign)
    doubtful = len(home.esps["sendgrid"].taken)
    assert home.esps["sendgrid"].batches == [1000] + [1] * (doubtful - 1000)
    assert home.ledger(campaign) == {"accepted": 1200 - doubtful, "in_doubt": doubtful}
    assert home.campaign(campaign)["status"] == "sent"
    assert home.nobody_twice()


def test_ambiguous_answers_in_a_row_open_the_breaker(build: Build) -> None:
    clock = Clock()
    home = build(clock=clock)
    home.add_people(1200)
    home.esps["sendgrid"].always = home.esps["sendgrid"].takes_but_hides_it
    campaign = home.launch(esp="sendgrid")  # nowhere else to go
    come_back = None
    for _ in range(FAILURES_IN_A_ROW + 1):
        come_back = home.drain(campaign, seconds=2)
        clock.forward(4)
    assert come_back is not None
    assert come_back > clock()
    # One batch, then one message at a time until the breaker opens.
    assert home.esps["sendgrid"].batches == [1000] + [1] * (FAILURES_IN_A_ROW - 1)
    assert home.ledger(campaign) == {"in_doubt": 1004, "queued": 196}


def test_what_an_esp_did_not_take_leaves_through_the_next_at_once(home: House) -> None:
    home.add_people(1)
    home.esps["sendgrid"].always = all_get(Unavailable("down", code="503"))
    campaign = home.launch()
    home.drain(campaign)
    assert home.esps["sendgrid"].batches == [1]
    assert home.esps["ses"].batches == [1]


def test_one_message_at_a_time_until_an_answer_is_clean(home: House) -> None:
    home.add_people(1200)
    home.esps["sendgrid"].answers = [home.esps["sendgrid"].takes_but_hides_it]
    campaign = home.launch(esp="sendgrid")
    home.drain(campaign)
    assert home.esps["sendgrid"].batches == [1000, 1, 199]


def test_a_rejected_recipient_fails_alone(home: House) -> None:
    home.add_people(10)
    home.esps["sendgrid"].answers = [
        lambda batch: [
            Rejected("no such mailbox", code="300") if "erson3@" in m.to else Accepted("x")
            for m in batch.messages
        ]
    ]
    campaign = home.launch()
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 9, "failed": 1}
    with home.db.read() as connection:
        (failed,) = send_acts.page(connection, campaign, 10, status="failed")
    assert failed["reason"] == "rejected: 300: no such mailbox"


def test_a_refused_message_pauses_its_campaign_alone(home: House) -> None:
    home.add_people(10)
    refused = home.launch(subject="bad")
    fine = home.launch(subject="good")
    home.esps["sendgrid"].answers = [all_get(Refused("unverified sender", code="403"))]
    home.drain(refused)
    home.drain(fine)
    assert home.ledger(refused) == {"queued": 10}
    row = home.campaign(refused)
    assert row["status"] == "paused"
    assert row["status_reason"] == "sendgrid refused the message: 403: unverified sender"
    assert home.ledger(fine) == {"accepted": 10}
    home.control.resume(refused)
    home.drain(refused)
    assert home.ledger(refused) == {"accepted": 10}


def test_a_suspension_is_not_an_outage(home: House) -> None:
    home.add_people(10)
    campaign = home.launch()
    home.esps["sendgrid"].answers = [all_get(Suspended("account under review"))]
    home.drain(campaign)
    assert home.campaign(campaign)["status"] == "paused"
    assert not home.esps["ses"].taken


def test_on_suspension_failover_moves_on(build: Build) -> None:
    home = build(options=Options(pause_on_suspension=False))
    home.add_people(10)
    campaign = home.launch()
    home.esps["sendgrid"].answers = [all_get(Suspended("account under review"))]
    home.drain(campaign)
    assert len(home.esps["ses"].taken) == 10


@pytest.mark.parametrize(
    "reserve, today", [(10, [1350, 900, 450]), (0, [1500, 1000, 500])], ids=["10 %", "0 %"]
)
def test_the_default_limits_let_exactly_so_many_leave_today(
    build: Build, reserve: int, today: list[int]
) -> None:
    limits = {
        name: Limits(daily, None, reserve)
        for name, daily in zip(house.NAMES, (1500, 1000, 500), strict=True)
    }
    clock = Clock(NOON)
    home = build(clock=clock, limits=limits)
    home.add_people(3500)
    campaign = home.launch()
    come_back = home.drain(campaign)
    assert come_back == NOON + 12 * 3600
    assert [len(home.esps[name].taken) for name in house.NAMES] == today
    again = build(clock=clock, limits=limits)  # a restart
    again.drain(campaign)
    assert sum(len(esp.taken) for esp in again.esps.values()) == 0
    assert again.ledger(campaign) == {"accepted": sum(today), "queued": 3500 - sum(today)}
    clock.forward(12 * 3600)
    again.drain(campaign)
    assert again.ledger(campaign) == {"accepted": 3500}


def test_a_refusal_gives_its_quota_back_and_a_doubt_does_not(build: Build) -> None:
    home = build(
        limits={"sendgrid": Limits(100, None), "ses": Limits(0, None), "postmark": Limits(0, None)},
    )
    home.add_people(200)
    esp = home.esps["sendgrid"]
    esp.answers = [all_get(NotTried("x")), esp.takes_but_hides_it]
    campaign = home.launch()
    home.drain(campaign)
    assert home.ledger(campaign) == {"in_doubt": 100, "queued": 100}


def test_several_threads_keep_a_daily_limit_exactly(build: Build) -> None:
    home = build(
        limits={"sendgrid": Limits(777, None), "ses": Limits(0, None), "postmark": Limits(0, None)},
        batch_size=50,
    )
    home.add_people(1500)
    campaign = home.launch()
    threads = [threading.Thread(target=home.drain, args=(campaign,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(home.esps["sendgrid"].taken) == 777
    assert home.ledger(campaign) == {"accepted": 777, "queued": 723}


def test_suppression_wins_until_the_statement_that_hands_over(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.add_people(20)
    campaign = home.launch()
    rendered = home.sender._rendered

    def opt_out_meanwhile(*args: Any) -> object:
        with home.db.write() as connection:
            connection.execute(
                subscribers.update()
                .where(subscribers.c.address == "person7@example.com")
                .values(status="unsubscribed", status_reason="one-click")
            )
        return rendered(*args)

    monkeypatch.setattr(home.sender, "_rendered", opt_out_meanwhile)
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 19, "suppressed": 1}
    assert "Person7@example.com" not in home.esps["sendgrid"].taken
    with home.db.read() as connection:
        (row,) = send_acts.page(connection, campaign, 5, status="suppressed")
    assert row["reason"] == "unsubscribed: one-click"


@pytest.mark.parametrize("act, left", [("pause", "queued"), ("cancel", "cancelled")])
def test_pause_and_cancel_win_until_hand_over(
    home: House, monkeypatch: pytest.MonkeyPatch, act: str, left: str
) -> None:
    home.add_people(20)
    campaign = home.launch()
    rendered = home.sender._rendered

    def act_meanwhile(*args: Any) -> object:
        getattr(home.control, act)(campaign, by="test")
        return rendered(*args)

    monkeypatch.setattr(home.sender, "_rendered", act_meanwhile)
    home.drain(campaign)
    assert not home.esps["sendgrid"].taken
    assert home.ledger(campaign) == {left: 20}


def test_a_lease_that_ran_out_before_hand_over_goes_back_with_its_quota(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    home = build(
        clock=clock,
        limits={"sendgrid": Limits(10, None), "ses": Limits(0, None), "postmark": Limits(0, None)},
    )  # fmt: skip
    home.add_people(10)
    campaign = home.launch()
    home.sender._claim(campaign)  # and then the process died
    home.control.heal()
    assert home.ledger(campaign) == {"sending": 10}
    clock.forward(61)
    home.control.heal()
    assert home.ledger(campaign) == {"queued": 10}
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 10}


def test_a_lease_that_ran_out_after_hand_over_is_in_doubt(build: Build) -> None:
    clock = Clock()
    home = build(clock=clock)
    home.add_people(10)
    campaign = home.launch()
    claims, render, _ = home.sender._claim(campaign)
    home.sender._hand_over([home.sender._rendered(claim, render) for claim in claims])
    clock.forward(61)
    home.control.heal()
    assert home.ledger(campaign) == {"in_doubt": 10}
    assert home.campaign(campaign)["status"] == "sent"


def test_a_worker_that_wakes_after_its_lease_changes_nothing(build: Build) -> None:
    clock = Clock()
    home = build(clock=clock)
    home.add_people(10)
    campaign = home.launch()
    claims, render, _ = home.sender._claim(campaign)
    parcels = home.sender._hand_over([home.sender._rendered(claim, render) for claim in claims])
    clock.forward(61)
    home.control.heal()
    home.control.resolve_in_doubt(campaign, "resend", by="test")
    for parcel in parcels:
        home.sender._send_and_record(parcel)
    assert home.ledger(campaign) == {"queued": 10}


def test_an_event_that_comes_before_our_own_commit_is_kept(home: House) -> None:
    home.add_people(3)
    campaign = home.launch()
    esp = home.esps["sendgrid"]

    def delivered_already(batch: object) -> list[Accepted]:
        with home.db.write() as connection:
            rows = send_acts.for_events(connection, [1, 2])
            lifts = [
                send_acts.Lift(row, SendStatus.DELIVERED, "sendgrid", None, None)
                for row in rows.values()
            ]
            send_acts.lift(connection, lifts, home.clock())
        return [Accepted("mid")] * 3

    esp.answers = [delivered_already]
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 1, "delivered": 2}
    with home.db.read() as connection:
        assert {row["message_id"] for row in send_acts.page(connection, campaign, 5)} == {"mid"}


def test_retry_failed_and_resolve_reopen_a_campaign(home: House) -> None:
    home.add_people(5)
    home.esps["sendgrid"].answers = [all_get(Rejected("bad"))]
    campaign = home.launch()
    home.drain(campaign)
    row = home.campaign(campaign)
    assert (row["status"], home.ledger(campaign)) == ("failed", {"failed": 5})
    assert "rejected: bad" in row["status_reason"]
    assert home.control.retry_failed(campaign) == 5
    home.esps["sendgrid"].answers = [all_get(InDoubt("?"))]
    home.drain(campaign)
    assert home.ledger(campaign) == {"in_doubt": 5}
    assert home.control.resolve_in_doubt(campaign, "mark_sent", by="test") == 5
    assert home.ledger(campaign) == {"accepted": 5}
    with home.db.read() as connection:
        assert performance.by_esp(connection, campaign)["sendgrid"]["accepted"] == 5


def test_a_rate_is_kept_over_threads(build: Build) -> None:
    home = build(
        limits={
            "sendgrid": Limits(None, 50.0),
            "ses": Limits(0, None),
            "postmark": Limits(0, None),
        },
    )
    home.add_people(400)
    campaign = home.launch()
    threads = [threading.Thread(target=home.drain, args=(campaign, 2.0)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 50 <= len(home.esps["sendgrid"].taken) <= 50 * 4 + 50
    assert max(home.esps["sendgrid"].batches) <= 50


def test_an_open_breaker_probes_and_comes_back(build: Build) -> None:
    clock = Clock()
    home = build(clock=clock)
    home.add_people(200)
    esp = home.esps["sendgrid"]
    esp.always = all_get(Unavailable("down"))
    campaign = home.launch(esp="sendgrid")
    for _ in range(FAILURES_IN_A_ROW):
        home.sender.step(campaign)
        clock.forward(3)
    assert home.ledger(campaign) == {"queued": 200}
    assert len(esp.batches) == FAILURES_IN_A_ROW
    esp.always = None
    clock.forward(37)
    for probe in range(breakers.API.successes):
        assert home.sender.step(campaign).taken == 1
        if probe < breakers.API.successes - 1:
            assert home.sender.step(campaign).taken == 0  # not before the next probe is due
            clock.forward(2)
    for _ in range(200):  # its only ESP comes back: at first for a tenth of the messages
        home.sender.drain(campaign, seconds=10.0, patience=0.0)  # the clock moves, not the time
        clock.forward(1)
    assert home.ledger(campaign) == {"accepted": 200}
    with home.db.read() as connection:
        state = performance.read(connection, ["sendgrid"], clock())["sendgrid"].state
    switches = [line["what"] for line in state["log"]]
    assert switches[:3] == ["open", "half_open", "ramp"]
    assert set(switches[3:]) <= {"closed"}
    assert max(esp.batches[-20:]) < 200, "not all at once"


def test_a_person_who_cannot_be_rendered_fails_alone(home: House) -> None:
    home.add_people(5)
    campaign = home.launch(html="<p>{{ plan }}</p>")
    with home.db.write() as connection:
        connection.execute(subscribers.update().where(subscribers.c.id == 2).values(attributes={}))
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 4, "failed": 1}
    with home.db.read() as connection:
        (row,) = send_acts.page(connection, campaign, 5, status="failed")
    assert row["reason"] == "missing_variable: plan"
    assert row["esp"] is None


def test_building_twice_makes_no_row_twice(home: House) -> None:
    home.add_people(50)
    campaign = home.launch()
    with home.db.write() as connection:
        sends.build(connection, campaign, None, 0, 100, home.clock())
        rows = connection.execute(sends_table.select()).all()
    assert len(rows) == 50
    assert home.ledger(campaign) == {"queued": 50}


def test_an_adapter_that_raises_leaves_a_doubt_as_small_as_an_ambiguous_answer(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can know what was sent: it must neither be resent nor go on like that."""
    home = build(batch_size=50)
    home.add_people(1200)

    def crash(_batch: Batch) -> list[Accepted]:
        raise MemoryError

    home.esps["sendgrid"].always = crash
    campaign = home.launch()
    home.drain(campaign)
    ledger = home.ledger(campaign)
    assert ledger["in_doubt"] <= home.manager.claim_size() + FAILURES_IN_A_ROW - 1
    assert ledger["accepted"] == 1200 - ledger["in_doubt"]


def test_an_adapter_that_answers_for_others_leaves_a_doubt(home: House) -> None:
    home.add_people(3)
    home.esps["sendgrid"].send = lambda _: Report([Accepted("one")])
    campaign = home.launch()
    home.drain(campaign)
    assert home.ledger(campaign) == {"in_doubt": 3}


def test_no_request_begins_once_the_lease_may_end_before_it(build: Build) -> None:
    """A worker that was frozen after hand-over: its sends are in doubt for everybody else."""
    home = build(options=Options(lease_seconds=35.2))
    home.add_people(3)
    campaign = home.launch()
    claims, render, _ = home.sender._claim(campaign)
    (parcel,) = home.sender._hand_over([home.sender._rendered(c, render) for c in claims])
    time.sleep(0.3)  # longer than lease less time-out less margin
    deadlines: list[float] = []

    def look(batch: Batch) -> list[Accepted]:
        deadlines.append(batch.deadline)
        return [Accepted("x")] * 3

    home.esps["sendgrid"].answers = [look]
    home.sender._send_and_record(parcel)
    assert deadlines[0] < time.monotonic()


@pytest.mark.parametrize("broken", ["compile", "render"])
def test_a_campaign_that_cannot_be_rendered_pauses_alone_and_says_why(
    home: House, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.add_people(10)
    poison = home.launch(subject="poison")
    fine = home.launch(subject="fine")
    if broken == "compile":  # as a later version, or a hand in the database, may find it
        with home.db.write() as connection:
            connection.execute(
                campaigns.update().where(campaigns.c.id == poison).values(html="{% if %}")
            )
        home.sender._composer._kept.clear()
    else:
        render = Compiled.render_many

        def explode(self: Compiled, rows: Any) -> Any:
            if self.content.subject[0] == "poison":
                raise RecursionError("too deep")
            return render(self, rows)

        monkeypatch.setattr(Compiled, "render_many", explode)
    assert home.drain(poison) is None
    assert home.drain(fine) is None
    row = home.campaign(poison)
    assert row["status"] == "paused"
    assert row["status_reason"].startswith("it cannot be rendered: ")
    assert home.ledger(poison) == {"queued": 10}
    assert home.ledger(fine) == {"accepted": 10}
    with home.db.read() as connection:
        assert performance.read(connection, ["sendgrid"], home.clock())["sendgrid"].used_today == 10


def test_erased_people_are_suppressed_when_their_failed_sends_are_retried(home: House) -> None:
    home.add_people(2)
    home.esps["sendgrid"].answers = [all_get(Rejected("bad"))]
    campaign = home.launch(subject="Hello", html="<p>Hi</p>")
    home.drain(campaign)
    lists = ListManager(home.db, erasure_key="k" * 32)
    lists.erase("person0@example.com", by="test")
    lists.unsubscribe("person1@example.com", reason="asked", by="test")
    assert home.control.retry_failed(campaign) == 2
    home.drain(campaign)
    assert home.ledger(campaign) == {"suppressed": 2}
    assert not home.esps["sendgrid"].taken


@pytest.mark.parametrize("words", ["a\0b", "a\ud800b"], ids=["nul", "surrogate"])
@pytest.mark.parametrize("error", [Rejected, InDoubt, Unavailable, Suspended, Throttled])
def test_words_that_a_database_refuses_keep_no_answer_from_being_recorded(
    home: House, error: type[EspError], words: str
) -> None:
    home.add_people(3)
    home.esps["sendgrid"].answers = [all_get(error(words, code=words))]
    campaign = home.launch()
    home.drain(campaign)
    assert "sending" not in home.ledger(campaign)
    with home.db.read() as connection:
        state = performance.states(connection, ["sendgrid"])["sendgrid"]
    assert state["last_error"] == "a b: a b"


@pytest.mark.parametrize("words", ["a\0b", "a\ud800b"], ids=["nul", "surrogate"])
def test_a_message_id_that_a_database_refuses_loses_a_character(home: House, words: str) -> None:
    home.add_people(3)
    home.esps["sendgrid"].answers = [lambda _: [Accepted(words), Accepted("x"), Accepted(None)]]
    campaign = home.launch()
    home.drain(campaign)
    with home.db.read() as connection:
        rows = send_acts.page(connection, campaign, 5)
    assert [(row["status"], row["message_id"]) for row in rows] == [
        ("accepted", "a b"), ("accepted", "x"), ("accepted", None)
    ]  # fmt: skip
