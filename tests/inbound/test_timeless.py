"""Events of which an ESP tells no time: counted once, and shown when we heard of them."""

from collections.abc import Iterator

import pytest

from database.models import BounceKind, EventKind, engagement
from database.timeline import timeline
from feedback import Applied
from services.events import NO_TIME, told_at, unknown
from tests.mailed import LATER, NONCE, NOW, Mailed


@pytest.fixture
def mailed(database_url: str) -> Iterator[Mailed]:
    made = Mailed(database_url, track_opens=False, track_clicks=False)
    made.accept()
    yield made
    made.check_promises()
    made.db.dispose()


def test_what_is_told_again_is_counted_once(mailed: Mailed) -> None:
    told = [
        unknown("sendgrid", {"event": "teleported", "send_id": f"{NONCE}-1"}, "odd"),
        mailed.event(EventKind.DEFERRED, 1, at=NO_TIME),
        mailed.event(EventKind.OPEN, 2, at=NO_TIME),
    ]
    assert mailed.feedback.apply(told) == Applied(new=2, unknown=1)
    assert mailed.feedback.apply(told) == Applied(repeated=3)
    assert len(mailed.rows(engagement)) == 3
    assert mailed.campaign()["opens_human"] == 1


def test_an_open_without_a_time_is_as_old_as_its_mail_and_yields_to_one_with_a_time(
    mailed: Mailed,
) -> None:
    mailed.feedback.apply([mailed.event(EventKind.OPEN, 2, at=NO_TIME)])
    assert mailed.row(2).opened_at == NOW
    mailed.feedback.apply([mailed.event(EventKind.OPEN, 3, at=NOW + 50)])
    mailed.feedback.apply([mailed.event(EventKind.OPEN, 3, at=NO_TIME, key="again")])
    assert mailed.row(3).opened_at == NOW + 50
    assert mailed.campaign()["unique_opens"] == 2


def test_a_persons_timeline_shows_it_when_we_heard_of_it(mailed: Mailed) -> None:
    mailed.feedback.apply([mailed.event(EventKind.DEFERRED, 1, at=NO_TIME)])
    person = mailed.lists.get("p1@example.com")
    with mailed.db.read() as connection:
        shown = [line for line in timeline(connection, person) if line["what"] == "deferred"]
    assert [line["at"] for line in shown] == [LATER]


def test_a_bounce_without_a_time_was_now_and_is_known_by_its_key(mailed: Mailed) -> None:
    kind = EventKind.BOUNCE
    bounces = [mailed.event(kind, 1, bounce=BounceKind.SOFT, at=told_at(kind)) for _ in range(2)]
    assert bounces[0].at > 1_700_000_000
    answers = [mailed.feedback.apply([one]) for one in bounces]
    assert answers == [Applied(new=1), Applied(repeated=1)]
