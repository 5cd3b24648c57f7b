"""What events teach about ESPs, on both databases."""

from collections.abc import Iterator
from typing import Any

import pytest

from database import esp_performance as performance
from database.events import OWN
from database.models import BounceKind, EventKind
from feedback import Feedback
from inbound.lessons import Learner, Lesson, by_esp, learn
from outbound.mailboxes import Mailboxes
from services.esp_state import EspState
from tests.mailed import ESP, LATER, NOW, Mailed


class Taught(Mailed):
    """A campaign whose events teach."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self.lessons: list[Lesson] = []
        self.learner = Learner(self.db, Mailboxes(self.db, None), clock=lambda: LATER)
        self.feedback = Feedback(self.db, self.lists, lambda: LATER, teach=self.teach)
        self.accept()

    def teach(self, lessons: list[Lesson]) -> None:
        self.lessons += lessons
        self.learner.add(lessons)

    def state(self) -> EspState:
        self.learner.flush()
        with self.db.read() as connection:
            return EspState.from_json(performance.states(connection, [ESP]).get(ESP, {}))


@pytest.fixture
def mailed(database_url: str) -> Iterator[Taught]:
    made = Taught(database_url)
    yield made
    made.learner.close()
    made.db.dispose()


def test_every_kind_counts_where_it_belongs(mailed: Taught) -> None:
    mailed.feedback.apply([
        mailed.event(EventKind.DELIVERED, 0),
        mailed.event(EventKind.DELIVERED, 1),
        mailed.event(EventKind.COMPLAINT, 1),
        mailed.event(EventKind.BOUNCE, 2, bounce=BounceKind.HARD),
        mailed.event(EventKind.BOUNCE, 3, bounce=BounceKind.BLOCK, code="5.7.1", reason="spam"),
        mailed.event(EventKind.BOUNCE, 4, bounce=BounceKind.SOFT),
        mailed.event(EventKind.DEFERRED, 5),
        mailed.event(EventKind.OPEN, 0),
    ])  # fmt: skip
    memory = mailed.state().memory
    assert memory.evidence.messages == 4, "delivered, hard and blocked"
    assert (memory.track.belief.good, memory.track.belief.bad) == (2, 1)
    assert memory.evidence.complaint.belief.bad == 1
    assert memory.evidence.defer.belief.bad == 1
    assert mailed.state().cells["other"].track.belief.bad == 1


def test_only_the_first_word_about_a_message_tells_its_delay(mailed: Taught) -> None:
    mailed.feedback.apply([mailed.event(EventKind.DELIVERED)])
    mailed.feedback.apply([mailed.event(EventKind.OPEN)])
    mailed.feedback.apply([mailed.event(EventKind.DELIVERED, key="again")])
    assert [one.handed_over_at for one in mailed.lessons] == [NOW, None, None]
    watch = mailed.state().memory.watch
    assert watch.events == 1
    assert watch.last_event_at == LATER


def test_a_repeated_webhook_teaches_nothing(mailed: Taught) -> None:
    told = [mailed.event(EventKind.DELIVERED)]
    mailed.feedback.apply(told)
    mailed.feedback.apply(told)
    assert len(mailed.lessons) == 1


def test_a_deferral_is_a_sign_of_life_before_the_delivery(mailed: Taught) -> None:
    mailed.feedback.apply([mailed.event(EventKind.DEFERRED)])
    assert [one.answered for one in mailed.state().slices] == [1]


def test_our_own_pixel_says_nothing_about_the_webhooks(mailed: Taught) -> None:
    mailed.feedback.apply([mailed.event(EventKind.OPEN, esp=OWN, address=None)])
    assert mailed.state().memory.watch.events == 0
    assert [one.answered for one in mailed.state().slices] == [1]


def test_what_an_event_about_another_address_says_is_not_believed(mailed: Taught) -> None:
    mailed.feedback.apply([mailed.event(EventKind.DELIVERED, address="someone@else.example")])
    assert mailed.lessons == []


def test_learning_that_fails_costs_no_webhook(
    mailed: Taught, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("inbound.lessons.learn", broken)
    applied = mailed.feedback.apply([mailed.event(EventKind.DELIVERED)])
    mailed.learner.flush()
    assert applied.new == 1
    assert mailed.row().status == "delivered"


def test_a_mail_that_is_deferred_again_and_again_is_one_deferral(mailed: Taught) -> None:
    for n in range(3):
        mailed.feedback.apply([mailed.event(EventKind.DEFERRED, key=f"deferred-{n}", at=NOW + n)])
    mailed.feedback.apply([mailed.event(EventKind.DELIVERED)])
    assert [one.field for one in mailed.lessons] == ["deferred", "", "", "delivered"]
    assert [one.handed_over_at for one in mailed.lessons] == [NOW, None, None, None]
    assert [one.answered for one in mailed.state().slices] == [1]


def test_what_switches_by_events_reaches_the_log(
    mailed: Taught, caplog: pytest.LogCaptureFixture
) -> None:
    with mailed.db.write() as connection:
        lesson = Lesson(ESP, "yahoo.com", "block", "TS04", None, False, LATER)
        news = by_esp([lesson] * 60, lambda _: "yahoo")
        learn(connection, news, LATER)
    assert any("yahoo" in record.message and "open" in record.message for record in caplog.records)
