"""Undoing an import: only those go to whom nothing has happened since."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from database import models
from database.models import SubscriberStatus as S
from tests.database.import_desk import NOW, Desk
from tests.database.test_imports import put
from tests.test_list_manager import campaign
from utils.addresses import parse
from utils.errors import Conflict, NotFound
from utils.person import Change

ANN = "ann@example.com"


def undone(at: Desk, import_id: str) -> tuple[int, dict[str, int]]:
    known = at.lists.undo_import(import_id, by="desk")
    assert (known["undone"]["by"], known["undone"]["at"]) == ("desk", at.clock())
    kept = {why: number for why, number in known["undone"]["kept"].items() if number}
    return known["undone"]["removed"], kept


def there(at: Desk) -> int:
    return int(at.lists.stats()["total"])


def test_whom_only_the_import_brought_goes(desk: Desk) -> None:
    put(desk.lists, "email\nold@example.com\n")
    rows = "".join(f"p{n}@example.com,x\n" for n in range(2_500))
    report = put(desk.lists, f"email,plan\n{rows}OLD@example.com,x\np7@example.com,y\n")
    desk.clock.now += 5
    assert undone(desk, report.import_id) == (2_500, {})
    assert there(desk) == 1
    assert desk.lists.get("old@example.com").attributes == {"plan": "x"}
    assert undone(desk, report.import_id) == (2_500, {})
    assert put(desk.lists, f"email,plan\n{rows}").added == 2_500


Act = Callable[[Desk], object]


def unsubscribed(at: Desk) -> None:
    at.lists.unsubscribe(ANN, reason="x", by="t")


def came_back(at: Desk) -> None:
    at.lists.unsubscribe(ANN, reason="x", by="t")
    at.lists.resubscribe(ANN, reason="x", by="t")


def left_a_topic(at: Desk) -> None:
    person = at.lists.get(ANN)
    with at.db.write() as connection:
        at.lists.opt_out_of_topic(connection, person.id, "news", by="person")


def took_a_topic_back(at: Desk) -> None:
    left_a_topic(at)
    person = at.lists.get(ANN)
    with at.db.write() as connection:
        at.lists.opt_in_to_topic(connection, person.id, "news", by="person")


def bounced(at: Desk) -> None:
    with at.db.write() as connection:
        at.lists.suppress(connection, status=S.BOUNCED, reason="550", source="ses", address=ANN)


def mailed(at: Desk) -> None:
    campaign(at.db, [(models.SendStatus.QUEUED, False)], at.lists.get(ANN))


def spoken_of(at: Desk) -> None:
    person = at.lists.get(ANN)
    with at.db.write() as connection:
        connection.execute(
            models.engagement.insert().values(
                at=NOW, esp="ses", event_key="1", received_at=NOW, kind="deferred",
                subscriber_id=person.id,
            )
        )  # fmt: skip


def patched(at: Desk) -> None:
    at.lists.patch(ANN, Change(parse(ANN), attributes={"plan": "pro"}), by="t")


def imported_again(at: Desk) -> None:
    put(at.lists, f"email,plan\n{ANN},pro\n")


@pytest.mark.parametrize(
    "act,why",
    [
        (unsubscribed, "out_of_reach"), (bounced, "out_of_reach"), (left_a_topic, "out_of_reach"),
        (came_back, "acted"), (took_a_topic_back, "acted"), (mailed, "mailed"),
        (spoken_of, "mailed"), (patched, "changed"), (imported_again, "changed"),
    ],
)  # fmt: skip
def test_whoever_had_something_happen_stays(desk: Desk, act: Act, why: str) -> None:
    report = put(desk.lists, f"email\n{ANN}\nbob@example.com\n")
    act(desk)
    assert undone(desk, report.import_id) == (1, {why: 1})
    assert desk.lists.get(ANN).email == ANN
    assert there(desk) == 1


def test_a_row_that_says_nothing_new_changes_nobodys_import(desk: Desk) -> None:
    report = put(desk.lists, f"email,plan\n{ANN},x\n")
    again = put(desk.lists, f"email,plan\n{ANN},x\n")
    assert undone(desk, again.import_id) == (0, {})
    assert undone(desk, report.import_id) == (1, {})


@pytest.mark.parametrize("status", [s for s in S if s is not S.ERASED])
def test_no_suppression_is_lost(desk: Desk, status: S) -> None:
    report = put(desk.lists, f"email,status\n{ANN},{status}\n")
    gone = status in {S.ACTIVE, S.PENDING}
    assert undone(desk, report.import_id) == ((1, {}) if gone else (0, {"out_of_reach": 1}))
    put(desk.lists, f"email\n{ANN}\n")
    assert desk.lists.get(ANN).status is (S.ACTIVE if gone else status)


def test_an_erased_person_stays_erased(desk: Desk) -> None:
    report = put(desk.lists, f"email\n{ANN}\n")
    desk.lists.erase(ANN, by="t")
    assert undone(desk, report.import_id) == (0, {})
    assert put(desk.lists, f"email\n{ANN}\n").skipped == 1


def test_what_cannot_be_undone_now_says_why(desk: Desk) -> None:
    with pytest.raises(NotFound):
        desk.lists.undo_import("imp_x", by="t")
    report = put(desk.lists, f"email\n{ANN}\n")
    number = campaign(desk.db, [], desk.lists.get(ANN), phase="building")
    with pytest.raises(Conflict, match=f"Campaign {number}"):
        desk.lists.undo_import(report.import_id, by="t")
    with desk.db.write() as connection:
        connection.execute(sa.update(models.campaigns).values(phase="draining"))
        state = {"status": "running"}
        from_log = models.esp_performance.c.scope == "import"
        known = connection.execute(sa.select(models.esp_performance.c.state).where(from_log))
        connection.execute(
            sa.update(models.esp_performance)
            .where(from_log)
            .values(state=known.scalar_one() | state)
        )
    with pytest.raises(Conflict, match="still running"):
        desk.lists.undo_import(report.import_id, by="t")
    desk.clock.now += 601
    assert undone(desk, report.import_id) == (1, {})
