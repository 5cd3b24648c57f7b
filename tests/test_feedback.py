"""What comes back: every event once, whatever its order, repetition, delay or claim."""

import dataclasses
import random
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from database import engagement as marks
from database import events
from database.lifecycle import PROVEN
from database.models import BounceKind as B
from database.models import EventKind as E
from database.models import bounces, complaints, engagement, sends
from feedback import Applied
from services.esp import EspEvent
from tests.mailed import ESP, LATER, NONCE, NOW, Mailed
from utils.score import added, forward, score

BROWSER = "Mozilla/5.0 (Windows NT 10.0) Chrome/126.0"


@pytest.fixture
def mailed(database_url: str) -> Iterator[Mailed]:
    made = Mailed(database_url)
    yield made
    made.db.dispose()


def untracked(url: str, people: int = 10) -> Mailed:
    """The ESP's opens and clicks count."""
    return Mailed(url, people, track_opens=False, track_clicks=False)


def statuses(mailed: Mailed) -> list[str]:
    return [row.status for row in sorted(mailed.rows(sends), key=lambda row: row.id)]


# States


@pytest.mark.parametrize(
    "kind,fields,status",
    [
        (E.ACCEPTED, {}, "accepted"),
        (E.DEFERRED, {}, "accepted"),
        (E.UNKNOWN, {}, "accepted"),
        (E.DELIVERED, {}, "delivered"),
        (E.OPEN, {}, "delivered"),
        (E.BOUNCE, {"bounce": B.SOFT, "final": False}, "accepted"),
        (E.BOUNCE, {"bounce": B.SOFT, "final": True}, "bounced"),
        (E.BOUNCE, {"bounce": B.BLOCK}, "bounced"),
        (E.BOUNCE, {"bounce": B.HARD}, "bounced"),
        (E.FAILED, {}, "bounced"),
        (E.COMPLAINT, {}, "complained"),
    ],
)
def test_an_event_proves_a_state_before_our_own_record(
    mailed: Mailed, kind: E, fields: dict[str, Any], status: str
) -> None:
    assert mailed.feedback.apply([mailed.event(kind, **fields)]) == Applied(new=1)
    assert mailed.row().status == status
    mailed.accept()
    assert mailed.row().status == status
    assert mailed.row().message_id == f"m{mailed.ids[0]}"
    assert mailed.row(1).status == "accepted"
    mailed.check_ledger()


def test_a_state_never_goes_back(mailed: Mailed) -> None:
    mailed.accept()
    for kind, status in [
        (E.DELIVERED, "delivered"), (E.ACCEPTED, "delivered"), (E.COMPLAINT, "complained"),
        (E.BOUNCE, "complained"), (E.DELIVERED, "complained"), (E.OPEN, "complained"),
    ]:  # fmt: skip
        mailed.feedback.apply([mailed.event(kind, bounce=B.HARD, key=f"{kind} after {status}")])
        assert mailed.row().status == status
    mailed.check_ledger()


@pytest.mark.parametrize("state", ["queued", "cancelled", "suppressed", "failed", "in_doubt"])
def test_any_state_is_lifted(mailed: Mailed, state: str) -> None:
    with mailed.db.write() as connection:
        connection.execute(
            sa.text(
                "UPDATE sends SET status = :s, lease_token = NULL, esp ="
                " CASE WHEN :s IN ('in_doubt', 'failed') THEN esp END WHERE id = :id"
            ),
            {"s": state, "id": mailed.ids[0]},
        )
        from database import ledger
        from database.models import SendStatus as S

        esp = ESP if state in {"in_doubt", "failed"} else None
        ledger.move(connection, mailed.id, S.SENDING, S(state), 1, esp)
    mailed.feedback.apply([mailed.event(E.DELIVERED)])
    assert (mailed.row().status, mailed.row().esp) == ("delivered", ESP)
    mailed.check_ledger()


def test_an_own_hit_on_a_send_without_an_esp_finds_it_in_the_trail(mailed: Mailed) -> None:
    with mailed.db.write() as connection:
        connection.execute(
            sends.update()
            .where(sends.c.id == mailed.ids[0])
            .values(esp=None, trail=[{"esp": "ses", "to": "in_doubt"}, {"esp": None}])
        )
        assert marks.esp_of(connection, mailed.ids[0]) == "ses"
    hit = mailed.event(E.OPEN, esp=events.OWN, address=None, user_agent=BROWSER)
    mailed.feedback.apply([hit], durable=False)
    assert (mailed.row().status, mailed.row().esp) == ("delivered", "ses")
    mailed.check_ledger()


# Once


def story(mailed: Mailed) -> list[EspEvent]:
    """All that can happen to ten people."""
    told = [mailed.event(E.ACCEPTED, n) for n in range(10)]
    told += [mailed.event(E.DEFERRED, n, at=NOW + 50) for n in (0, 1)]
    told += [mailed.event(E.DELIVERED, n) for n in range(6)]
    told += [
        mailed.event(E.OPEN, n, key=f"o{n}-{k}", at=NOW + 200 + 7 * k, user_agent=agent)
        for n in range(3)
        for k, agent in enumerate([BROWSER, "Mozilla/5.0", BROWSER, "Barracuda"])
    ]
    told += [
        mailed.event(E.CLICK, n, key=f"c{n}-{k}", at=NOW + 300 + k, user_agent=BROWSER)
        for n in range(2)
        for k in range(2)
    ]
    told.append(mailed.event(E.CLICK, 5, key="scanner", at=NOW + 500, machine=True))
    told.append(mailed.event(E.UNSUBSCRIBE, 2))
    told.append(mailed.event(E.UNSUBSCRIBE, 2, key="again", at=NOW + 900))
    told.append(mailed.event(E.COMPLAINT, 3))
    told.append(mailed.event(E.BOUNCE, 6, bounce=B.HARD, reason="550 no such user", code="5.1.1"))
    told.append(mailed.event(E.BOUNCE, 7, bounce=B.SOFT, final=True, reason="mailbox full"))
    told.append(mailed.event(E.BOUNCE, 8, bounce=B.BLOCK, reason="policy"))
    told.append(mailed.event(E.BOUNCE, 0, bounce=B.SOFT, final=False, at=NOW + 60))
    told.append(mailed.event(E.REPLY, 4))
    told.append(mailed.event(E.UNKNOWN, 9))
    return told


EXPECTED = {
    "opens_human": 6, "opens_privacy": 3, "opens_machine": 3, "unique_opens": 3,
    "clicks_human": 4, "clicks_privacy": 0, "clicks_machine": 1, "unique_clicks": 2,
    "unsubscribes": 1, "replies": 1,
    "n_accepted": 1, "n_delivered": 5, "n_bounced": 3, "n_complained": 1, "n_sending": 0,
}  # fmt: skip


def assert_told_once(mailed: Mailed) -> None:
    campaign = mailed.campaign()
    assert {name: campaign[name] for name in EXPECTED} == EXPECTED
    assert mailed.esp_counters() == {
        "delivered": 6, "hard": 1, "soft": 2, "block": 1, "deferred": 2, "complained": 1,
        "opened": 6, "clicked": 4, "unsubscribed": 1,
    }  # fmt: skip
    people = [mailed.person(n) for n in range(10)]
    assert [p.status for p in people] == [
        "active", "active", "unsubscribed", "complained", "active", "active", "bounced", "active",
        "active", "active",
    ]  # fmt: skip
    assert [p.soft_bounce_run for p in people] == [0, 0, 0, 0, 0, 0, 0, 1, 0, 0]
    assert people[7].soft_bounce_since == NOW + 100
    assert [p.last_delivered_at is not None for p in people] == [n < 6 for n in range(10)]
    clicks = [forward(5.0, NOW + 300), forward(5.0, NOW + 301)]
    opens = [forward(1.0, NOW + 200), forward(1.0, NOW + 214)]
    assert people[0].engagement == pytest.approx(added(None, *clicks, *opens), abs=1e-9)
    assert people[2].engagement == pytest.approx(added(None, *opens), abs=1e-9)
    assert people[5].engagement is None
    assert mailed.row(0).opened_at == NOW + 200
    assert mailed.row(0).clicked_at == NOW + 300
    assert len(mailed.rows(bounces)) == 4
    assert len(mailed.rows(complaints)) == 1
    mailed.check_ledger()
    mailed.check_promises()


@pytest.mark.parametrize("seed", range(5))
def test_any_order_and_repetition_counts_each_event_once(database_url: str, seed: int) -> None:
    mailed = untracked(database_url)
    chance = random.Random(seed)
    told = story(mailed)
    calls = [event for event in told for _ in range(chance.randint(1, 5))]
    chance.shuffle(calls)
    commit = chance.randrange(len(calls))
    applied = Counter[str]()
    while calls:
        size = chance.randint(1, 12)
        answer = mailed.feedback.apply(calls[:size])
        applied.update(answer._asdict())
        calls = calls[size:]
        if 0 <= len(calls) <= commit:
            mailed.accept()
            commit = -1
    assert applied["new"] == len(told)
    assert applied["unknown"] == applied["ignored"] == 0
    assert_told_once(mailed)
    mailed.db.dispose()


def test_two_calls_at_once_apply_a_batch_once(database_url: str) -> None:
    mailed = untracked(database_url)
    told = story(mailed)
    answers: list[Applied] = []
    start = threading.Barrier(4)

    def call(seed: int) -> None:
        mine = told.copy()
        random.Random(seed).shuffle(mine)
        start.wait()
        answers.extend(mailed.feedback.apply(mine) for _ in range(3))

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    mailed.accept()
    for thread in threads:
        thread.join()
    assert sum(answer.new for answer in answers) == len(told)
    assert sum(answer.repeated for answer in answers) == 11 * len(told)
    assert_told_once(mailed)
    mailed.db.dispose()


def test_more_events_than_one_slice_are_one_transaction(mailed: Mailed) -> None:
    told = [
        mailed.event(E.DELIVERED, n % 10, key=f"d{n}", at=NOW + n)  # (one call, three slices)
        for n in range(2500)
    ]
    assert mailed.feedback.apply(told).new == 2500
    assert len(mailed.rows(engagement)) == 2500
    assert statuses(mailed) == ["delivered"] * 10


# Whose


@pytest.mark.parametrize(
    "send_id",
    [
        None, "", "nonsense", "zzzzzzzz-1", f"{NONCE}-999999999", f"{NONCE}-0", f"{NONCE}--1",
        f"{NONCE}-1'; DROP TABLE sends", f"{NONCE}-" + "9" * 40,
    ],
)  # fmt: skip
def test_a_send_id_that_is_not_ours_is_kept_and_moves_nothing(
    mailed: Mailed, send_id: str | None
) -> None:
    answer = mailed.feedback.apply([mailed.event(E.DELIVERED, send_id=send_id)])
    assert answer == Applied(unknown=1)
    assert statuses(mailed) == ["sending"] * 10
    (kept,) = mailed.rows(engagement)
    assert (kept.send_id, kept.campaign_id, kept.subscriber_id) == (None, None, None)
    assert kept.detail["send_id"] == send_id
    assert kept.detail["raw"] == {"what": "delivered"}
    assert mailed.esp_counters() == {}


def test_an_unknown_send_suppresses_whom_a_hard_bounce_or_complaint_names(mailed: Mailed) -> None:
    answer = mailed.feedback.apply(
        [
            mailed.event(
                E.BOUNCE, 0, send_id="zzzzzzzz-1", bounce=B.HARD, address="P0@EXAMPLE.com"
            ),
            mailed.event(E.COMPLAINT, 1, send_id=None, address="stranger@example.net"),
            mailed.event(E.BOUNCE, 2, send_id=None, bounce=B.SOFT, key="soft"),
            mailed.event(E.BOUNCE, 3, send_id=None, bounce=B.BLOCK, key="block"),
        ]
    )
    assert answer == Applied(unknown=4)
    assert mailed.person(0).status == "bounced"
    assert mailed.lists.get("stranger@example.net").status == "complained"
    assert mailed.person(2).status == mailed.person(3).status == "active"
    assert {row.subscriber_id for row in mailed.rows(bounces) if row.kind == "hard"} == {1}
    assert mailed.rows(complaints)[0].subscriber_id == mailed.lists.get("stranger@example.net").id
    mailed.check_ledger()


@pytest.mark.parametrize("kind", [E.BOUNCE, E.COMPLAINT, E.UNSUBSCRIBE, E.DELIVERED, E.CLICK])
def test_a_known_send_with_another_address_has_no_effect(mailed: Mailed, kind: E) -> None:
    told = mailed.event(kind, 0, address="p5@example.com", bounce=B.HARD)
    assert mailed.feedback.apply([told]) == Applied(ignored=1)
    assert mailed.feedback.apply([told]) == Applied(repeated=1)
    assert statuses(mailed) == ["sending"] * 10
    assert mailed.person(0).status == mailed.person(5).status == "active"
    assert mailed.esp_counters() == {}
    table = {E.BOUNCE: bounces, E.COMPLAINT: complaints}.get(kind, engagement)
    assert [row.send_id for row in mailed.rows(table)] == [None]


def test_the_address_may_be_spelt_differently(mailed: Mailed) -> None:
    assert mailed.feedback.apply([mailed.event(E.COMPLAINT, address='"P0"@EXAMPLE.COM.')]).new == 1
    assert mailed.person(0).status == "complained"


def test_an_erased_person_is_still_counted_and_stays_forgotten(mailed: Mailed) -> None:
    mailed.accept()
    mailed.lists.erase("p0@example.com", by="test")
    told = [
        mailed.event(E.DELIVERED, address="p0@example.com"),
        mailed.event(E.BOUNCE, address="p0@example.com", bounce=B.HARD, reason="p0@example.com?"),
        mailed.event(E.COMPLAINT, address="p0@example.com"),
        mailed.event(E.CLICK, address="p0@example.com", ip="198.51.100.1", key="c"),
    ]  # fmt: skip
    assert mailed.feedback.apply(told).new == 4
    assert mailed.row().status == "complained"
    assert mailed.person(0).status == "erased"
    assert mailed.person(0).last_delivered_at is None
    for table in (bounces, complaints, engagement, sends):
        for row in mailed.rows(table):
            if getattr(row, "send_id", row.id if table is sends else None) == mailed.ids[0]:
                assert "p0@" not in str(row)
                assert "198.51" not in str(row)
    mailed.check_promises()


# People


def test_nobody_is_lifted_out_of_an_opt_out(mailed: Mailed) -> None:
    mailed.accept()
    mailed.feedback.apply([mailed.event(E.COMPLAINT)])
    mailed.feedback.apply(
        [
            mailed.event(E.RESUBSCRIBE), mailed.event(E.BOUNCE, bounce=B.HARD),
            mailed.event(E.UNSUBSCRIBE), mailed.event(E.CLICK, esp=events.OWN, user_agent=BROWSER),
        ]
    )  # fmt: skip
    assert mailed.person(0).status == "complained"


def test_a_human_click_wakes_who_was_inactive_and_an_open_does_not(mailed: Mailed) -> None:
    with mailed.db.write() as connection:
        connection.execute(sa.text("UPDATE subscribers SET status = 'inactive' WHERE id < 4"))
    own = {"esp": events.OWN, "user_agent": BROWSER}
    mailed.feedback.apply(
        [
            mailed.event(E.CLICK, 0, **own), mailed.event(E.OPEN, 1, **own),
            mailed.event(E.CLICK, 2, **own | {"machine": True}),
        ]
    )  # fmt: skip
    assert [mailed.person(n).status for n in range(3)] == ["active", "inactive", "inactive"]
    assert mailed.person(0).history[-1]["by"] == "click"
    assert score(mailed.person(0).engagement, LATER) == pytest.approx(50, abs=0.1)


def test_a_delivery_ends_a_run_of_soft_bounces_even_when_told_late(mailed: Mailed) -> None:
    soft = [
        mailed.event(E.BOUNCE, key=f"s{n}", bounce=B.SOFT, at=NOW - 100 + n, final=False)
        for n in range(4)
    ]
    mailed.feedback.apply([soft[0], soft[3]])
    assert mailed.person(0).soft_bounce_run == 2
    mailed.feedback.apply([mailed.event(E.DELIVERED, at=NOW - 98.5)])
    assert (mailed.person(0).soft_bounce_run, mailed.person(0).soft_bounce_since) == (1, NOW - 97)
    mailed.feedback.apply([soft[1], soft[2]])
    assert mailed.person(0).soft_bounce_run == 2
    mailed.feedback.apply([mailed.event(E.DELIVERED, key="later", at=NOW)])
    assert (mailed.person(0).soft_bounce_run, mailed.person(0).soft_bounce_since) == (0, None)


def test_a_click_right_at_delivery_is_a_scanners(database_url: str) -> None:
    mailed = untracked(database_url)
    mailed.feedback.apply([mailed.event(E.DELIVERED, 0), mailed.event(E.DELIVERED, 1)])
    mailed.feedback.apply(
        [
            mailed.event(E.CLICK, 0, at=NOW + 101.5, user_agent=BROWSER),
            mailed.event(E.CLICK, 1, at=NOW + 110, user_agent=BROWSER),
        ]
    )
    assert (mailed.campaign()["clicks_machine"], mailed.campaign()["clicks_human"]) == (1, 1)
    mailed.db.dispose()


def test_an_esps_opens_do_not_double_our_own(mailed: Mailed) -> None:
    mailed.feedback.apply(
        [
            mailed.event(E.OPEN, user_agent=BROWSER), mailed.event(E.CLICK, user_agent=BROWSER),
            mailed.event(E.OPEN, esp=events.OWN, user_agent=BROWSER, key="own"),
        ]
    )  # fmt: skip
    campaign = mailed.campaign()
    assert (campaign["opens_human"], campaign["clicks_human"], campaign["unique_opens"]) == (
        1,
        0,
        1,
    )
    assert mailed.esp_counters() == {"opened": 1}
    assert mailed.esp_counters(events.OWN) == {}
    assert len(mailed.rows(engagement)) == 3


# Junk


def test_what_no_database_can_hold_is_kept_without_it(mailed: Mailed) -> None:
    bad = "a\0b\ud800c"
    told = [
        mailed.event(
            kind,
            bounce=B.HARD,
            key=f"{kind}\0",
            code=bad,
            reason=bad,
            user_agent=bad,
            url=bad,
            ip=bad,
            message_id=bad,
            raw={bad: [bad, {"n": 2**70}, float("nan")]},
            at=float("nan"),
        )
        for kind in E
    ]
    assert mailed.feedback.apply(told).new == len(E)
    assert mailed.feedback.apply(told).repeated == len(E)
    assert mailed.row().message_id == "abc"
    assert mailed.row().status == "complained"


def test_a_huge_raw_event_is_cut(mailed: Mailed) -> None:
    mailed.feedback.apply([mailed.event(E.UNKNOWN, raw={"x": "y" * 10**6})])
    assert len(str(mailed.rows(engagement)[0].detail)) < 40_000


def test_no_events_are_nothing(mailed: Mailed) -> None:
    assert mailed.feedback.apply([]) == Applied()


def test_what_an_esp_told_lately_is_known(mailed: Mailed) -> None:
    mailed.feedback.apply([mailed.event(E.UNKNOWN), mailed.event(E.DELIVERED)])
    mailed.feedback.apply([mailed.event(E.DELIVERED)])
    with mailed.db.write() as connection:
        events.note_refused(connection, ESP, 4, LATER)
        assert events.heard(connection, ESP, LATER + 60) == events.Heard(LATER, 3, 4)
        assert events.heard(connection, ESP, LATER + 25 * 3600) == events.Heard(None, 0, 0)
        assert events.heard(connection, "ses", NOW) == events.Heard(None, 0, 0)


def test_proven_states_are_in_the_order_of_the_contract() -> None:
    assert [str(state) for state in PROVEN] == ["accepted", "delivered", "bounced", "complained"]
    assert dataclasses.is_dataclass(EspEvent)
