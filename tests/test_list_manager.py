"""WHO may be mailed: opt-outs stay, erased people stay away, suppression takes waiting sends."""

import threading
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
import sqlalchemy as sa

from database import models
from database.engine import Database
from database.merge import Verdict
from database.models import CampaignStatus, SendStatus, SubscriberStatus, campaigns, sends
from database.subscribers import Filter, Subscriber
from list_manager import ListManager
from tests.utils.test_addresses import ONE_PERSON
from utils.addresses import parse
from utils.errors import Conflict, Invalid, NotFound
from utils.person import Change
from utils.signing import new_nonce

NOW = 1_800_000_000.0
S = SubscriberStatus


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    models.metadata.create_all(database.engine)
    yield database
    database.dispose()


@pytest.fixture
def lists(db: Database) -> ListManager:
    return ListManager(db, erasure_key="secret", clock=lambda: NOW)


def say(email: str, **more: Any) -> Change:
    return Change(parse(email), **more)


def add(lists: ListManager, email: str = "ann@example.com", **more: Any) -> Subscriber:
    return lists.upsert(say(email, **more), by="tester")[0]


def import_csv(lists: ListManager, text: str, **more: Any) -> Any:
    return lists.import_stream(BytesIO(text.encode()), format="csv", by="tester", **more)


# Adding and changing


def test_every_spelling_is_one_person(lists: ListManager) -> None:
    verdicts = [lists.upsert(say(text), by="t")[1] for text in ONE_PERSON]
    assert verdicts == [Verdict.ADDED] + [Verdict.UNCHANGED] * (len(ONE_PERSON) - 1)
    assert lists.stats()["total"] == 1
    assert {lists.get(text).id for text in ONE_PERSON} == {lists.get(ONE_PERSON[0]).id}
    assert lists.get(ONE_PERSON[0]).email == "Jane.Doe+x@xn--bcher-kva.example.com"


def test_a_new_person_is_active_and_has_a_history(lists: ListManager) -> None:
    person = add(lists, name="Ann", tags=["beta"], attributes={"plan": "pro", "n": None})
    assert (person.status, person.name, person.created_at) == (S.ACTIVE, "Ann", NOW)
    assert person.tags == {"beta": NOW}
    assert person.attributes == {"plan": "pro"}
    entry = {"at": NOW, "what": "added", "by": "tester", "source": "api", "status": "active"}
    assert person.history == [entry]


def test_an_upsert_merges(lists: ListManager) -> None:
    add(lists, name="Ann", tags=["beta"], attributes={"plan": "pro", "n": 1, "flag": True})
    person, verdict = lists.upsert(
        say("ANN@example.com", tags=["news"], attributes={"plan": None, "n": True}), by="t"
    )
    assert verdict is Verdict.UPDATED
    assert person.name == "Ann"
    assert set(person.tags) == {"beta", "news"}
    assert person.attributes == {"n": True, "flag": True}
    assert lists.upsert(say("ann@example.com", tags=["news"]), by="t")[1] is Verdict.UNCHANGED


def test_a_patch_replaces_tags_and_clears(lists: ListManager) -> None:
    add(lists, name="Ann", tags=["a", "b"], attributes={"x": 1, "y": 2})
    change = say("ann@example.com", name="", tags=["b", "c"], drop_tags=True,
                 attributes={"z": [1, {"a": None}]}, drop_attributes=True)  # fmt: skip
    person = lists.patch("Ann@Example.com", change, by="t")
    assert (person.name, set(person.tags), person.attributes) == (
        "", {"b", "c"}, {"z": [1, {"a": None}]},
    )  # fmt: skip


@pytest.mark.parametrize("stored", [s for s in S if s not in {S.ACTIVE, S.PENDING, S.ERASED}])
def test_no_upsert_and_no_patch_lifts_an_opt_out(
    lists: ListManager, stored: SubscriberStatus
) -> None:
    add(lists, status=stored)
    for wanted in (S.ACTIVE, S.PENDING):
        assert add(lists, status=wanted).status == stored
        with pytest.raises(Conflict, match="resubscribe"):
            lists.patch("ann@example.com", say("ann@example.com", status=wanted), by="t")
    assert add(lists).status == stored


def test_nobody_is_there(lists: ListManager) -> None:
    for email in ("nobody@example.com", "no address", ""):
        with pytest.raises(NotFound):
            lists.get(email)
        with pytest.raises(NotFound):
            lists.erase(email, by="t")
        with pytest.raises(NotFound):
            lists.unsubscribe(email, reason="x", by="t")


def test_a_list_goes_page_by_page(lists: ListManager) -> None:
    for number in range(7):
        add(lists, f"p{number}@example.com", tags=["odd"] if number % 2 else [])
    seen, after = [], 0
    while True:
        page = lists.page(Filter(), after=after, limit=3)
        seen += [person.email for person in page.items]
        if page.next_cursor is None:
            break
        after = page.next_cursor
    assert seen == [f"p{number}@example.com" for number in range(7)]
    assert len(lists.page(Filter(tag="odd")).items) == 3
    assert len(lists.page(Filter(prefix="p3")).items) == 1
    assert lists.page(Filter(status=S.BOUNCED)).items == []


# Consent


def test_an_operator_unsubscribes_and_brings_back(lists: ListManager) -> None:
    add(lists)
    person = lists.unsubscribe("ann@example.com", reason="asked by phone", by="desk")
    assert (person.status, person.status_reason) == (S.UNSUBSCRIBED, "asked by phone")
    person = lists.resubscribe("ann@example.com", reason="asked again", by="desk")
    assert person.status is S.ACTIVE
    assert [entry["what"] for entry in person.history] == ["added", "unsubscribed", "active"]
    assert person.history[1] == {
        "at": NOW, "what": "unsubscribed", "by": "desk", "reason": "asked by phone",
        "was": "active",
    }  # fmt: skip
    with pytest.raises(Invalid):
        lists.resubscribe("ann@example.com", reason="  ", by="desk")


def test_unsubscribing_never_brings_somebody_nearer(lists: ListManager) -> None:
    add(lists, status=S.COMPLAINED)
    assert lists.unsubscribe("ann@example.com", reason="x", by="t").status is S.COMPLAINED


def test_an_event_only_moves_away(db: Database, lists: ListManager) -> None:
    person = add(lists)

    def event(status: SubscriberStatus) -> bool:
        with db.write() as connection:
            return lists.suppress(
                connection, status=status, reason="550 no", source="ses", subscriber_id=person.id
            )

    assert event(S.UNSUBSCRIBED)
    assert not event(S.BOUNCED)
    assert not event(S.UNSUBSCRIBED)
    assert event(S.COMPLAINED)
    assert lists.get("ann@example.com").status is S.COMPLAINED
    assert lists.get("ann@example.com").status_reason == "550 no"


def test_an_unknown_address_is_kept_suppressed(db: Database, lists: ListManager) -> None:
    with db.write() as connection:
        for text, new in (("New@Example.com", True), ("new@example.com", False), ("odd", False)):
            done = lists.suppress(
                connection, status=S.BOUNCED, reason="550", source="ses", address=text
            )
            assert done is new
    assert add(lists, "new@example.com").status is S.BOUNCED
    assert lists.get("new@example.com").status_reason == "550"


# What is waiting for them


def campaign(
    db: Database, states: list[tuple[SendStatus, bool]], who: Subscriber, **more: Any
) -> int:
    """A campaign with one send per state (the first one to `who`); True = handed over."""
    counts = {f"n_{s}": sum(1 for t, _ in states if t is s) for s in SendStatus}
    values = {
        "status": CampaignStatus.SENDING, "mode": "sandbox", "subject": "s", "created_at": NOW,
        "from_email": "a@b.de", "nonce": new_nonce(), "audience": len(states),
    } | counts | more  # fmt: skip
    with db.write() as connection:
        number: int = connection.execute(
            campaigns.insert().values(**values).returning(campaigns.c.id)
        ).scalar_one()
        for place, (status, handed) in enumerate(states):
            connection.execute(
                sends.insert().values(
                    campaign_id=number, address=who.address if not place else f"x{place}@y.de",
                    subscriber_id=None if place else who.id, status=status, updated_at=NOW,
                    lane="transactional" if more.get("kind") == "transactional" else "campaign",
                    handed_over_at=NOW if handed else None, reason=f"to {who.address}",
                )
            )  # fmt: skip
    return number


def ledger(db: Database, number: int) -> dict[str, int]:
    with db.read() as connection:
        row = (
            connection.execute(sa.select(campaigns).where(campaigns.c.id == number)).one()._asdict()
        )
        states = connection.execute(
            sa.select(sends.c.status, sa.func.count())
            .where(sends.c.campaign_id == number)
            .group_by(sends.c.status)
        )
        counted: dict[str, int] = dict(states.all())
    told = {str(s): row[f"n_{s}"] for s in SendStatus if row[f"n_{s}"]}
    assert told == counted
    return told


@pytest.mark.parametrize("how", ["unsubscribe", "event", "import", "upsert", "erase"])
def test_waiting_sends_are_suppressed_with_the_ledger(
    db: Database, lists: ListManager, how: str
) -> None:
    person = add(lists)
    waiting = [
        campaign(db, [(state, False), (SendStatus.QUEUED, False)], person, name=state)
        for state in (SendStatus.QUEUED, SendStatus.SENDING)
    ]
    gone = campaign(db, [(SendStatus.SENDING, True)], person, name="gone")
    done = campaign(db, [(SendStatus.ACCEPTED, True)], person, name="done!")
    if how == "unsubscribe":
        lists.unsubscribe(person.email, reason="x", by="t")
    elif how == "event":
        with db.write() as connection:
            lists.suppress(
                connection, status=S.BOUNCED, reason="x", source="ses", subscriber_id=person.id
            )
    elif how == "import":
        assert import_csv(lists, "email,status\nANN@example.com,unsubscribed").updated == 1
    elif how == "upsert":
        add(lists, status=S.INACTIVE)
    else:
        lists.erase(person.email, by="t")
    assert [ledger(db, number) for number in waiting] == [{"suppressed": 1, "queued": 1}] * 2
    assert ledger(db, gone) == {"sending": 1}
    assert ledger(db, done) == {"accepted": 1}


@pytest.mark.parametrize("status,left", [(S.UNSUBSCRIBED, "queued"), (S.COMPLAINED, "suppressed")])
def test_transactional_mail_waits_for_those_whom_it_may_reach(
    db: Database, lists: ListManager, status: SubscriberStatus, left: str
) -> None:
    person = add(lists)
    number = campaign(db, [(SendStatus.QUEUED, False)], person, kind="transactional")
    add(lists, status=status)
    assert ledger(db, number) == {left: 1}


def test_a_strangers_transactional_mail_is_stopped_by_address(
    db: Database, lists: ListManager
) -> None:
    person = add(lists, "other@example.com")
    states = [(SendStatus.QUEUED, False)] * 2
    number = campaign(db, states, person, kind="transactional")
    with db.write() as connection:
        lists.suppress(connection, status=S.BOUNCED, reason="x", source="ses", address="x1@Y.de")
    assert ledger(db, number) == {"queued": 1, "suppressed": 1}


def test_a_topic_opt_out_stops_that_topic_only(db: Database, lists: ListManager) -> None:
    person = add(lists, tags=["news", "offers"])
    about = campaign(db, [(SendStatus.QUEUED, False)], person, topic="news")
    other = campaign(db, [(SendStatus.QUEUED, False)], person, topic="offers", name="o")
    with db.write() as connection:
        assert lists.opt_out_of_topic(connection, person.id, "news", by="person")
        assert not lists.opt_out_of_topic(connection, person.id, "news", by="person")
    assert ledger(db, about) == {"suppressed": 1}
    assert ledger(db, other) == {"queued": 1}
    import_csv(lists, "email,tags,status\nann@example.com,news,active", tags=("news",))
    add(lists, tags=["news"])
    assert lists.get(person.email).topic_opt_outs == {"news": NOW}
    with db.write() as connection:
        assert lists.opt_in_to_topic(connection, person.id, "news", by="person")
    assert lists.get(person.email).topic_opt_outs == {}
    assert [e["what"] for e in lists.get(person.email).history][-2:] == [
        "topic opt-out", "topic opt-in",
    ]  # fmt: skip


# Forgetting


def test_an_erased_person_leaves_no_trace_and_stays_away(db: Database, lists: ListManager) -> None:
    person = add(lists, name="Ann Secret", tags=["secret"], attributes={"x": "secret"},
                 opt_in_at=5.0, opt_in_ip="10.1.2.3")  # fmt: skip
    campaign(db, [(SendStatus.DELIVERED, True)], person)
    campaign(db, [(SendStatus.DELIVERED, True)], person, kind="transactional",
             subject="Dear Ann Secret", options={"to": "ann@example.com"})  # fmt: skip
    stranger = add(lists, "z@example.com")
    campaign(db, [(SendStatus.DELIVERED, True)] * 2, stranger, kind="test", subject="secret")
    with db.write() as connection:
        connection.execute(
            sends.update().where(sends.c.address == "x1@y.de").values(address="ann@example.com")
        )
        connection.execute(
            models.bounces.insert().values(
                esp="ses", event_key="1", at=1, received_at=1, subscriber_id=person.id,
                address="ann@example.com", kind="hard", reason="ann@", raw={"to": "ann@"},
            )
        )  # fmt: skip
    lists.erase("ANN@example.com", by="desk")
    assert everything(db).lower().count("ann") == 0
    assert "secret" not in everything(db)
    assert "10.1.2.3" not in everything(db)
    with pytest.raises(NotFound, match="erased"):
        lists.get("ann@example.com")
    with pytest.raises(NotFound, match="erased"):
        lists.resubscribe("ann@example.com", reason="x", by="t")
    for text in ("ann@example.com", "Ann@Example.COM.", '"ann"@example.com'):
        with pytest.raises(Conflict, match="forgotten"):
            add(lists, text)
    report = import_csv(lists, "email\nANN@example.com\nbob@example.com")
    assert (report.added, report.skipped, report.rejected) == (1, 1, 0)
    assert (report.errors[0].row, report.errors[0].field) == (2, "email")
    with db.write() as connection:
        assert not lists.suppress(
            connection, status=S.COMPLAINED, reason="x", source="s", address="ann@example.com"
        )
    assert lists.stats()["by_status"]["erased"] == 1


def everything(db: Database) -> str:
    with db.read() as connection:
        return "\n".join(
            repr(tuple(row))
            for table in models.metadata.tables.values()
            for row in connection.execute(sa.select(table))
        )


# Reading


def test_the_timeline_is_newest_first(db: Database, lists: ListManager) -> None:
    person = add(lists)
    number = campaign(db, [(SendStatus.BOUNCED, True)], person, name="May news")
    with db.write() as connection:
        connection.execute(
            models.bounces.insert().values(
                esp="ses",
                event_key="1",
                at=NOW + 2,
                received_at=1,
                subscriber_id=person.id,
                campaign_id=number,
                kind="hard",
                code="550",
                reason="no such user",
            )
        )
        connection.execute(
            models.complaints.insert().values(
                esp="ses",
                event_key="1",
                at=NOW + 3,
                received_at=1,
                subscriber_id=person.id,
            )
        )
        connection.execute(
            models.engagement.insert().values(
                esp="own", event_key="1", at=NOW + 1, received_at=1, subscriber_id=person.id,
                kind="open", label="human",
            )
        )  # fmt: skip
    entries = lists.timeline(lists.get(person.email))
    assert [entry["what"] for entry in entries] == ["complaint", "bounce", "open", "added", "send"]
    assert entries[-1]["campaign"] == "May news"
    assert len(lists.timeline(lists.get(person.email), limit=2)) == 2


def test_statistics(lists: ListManager) -> None:
    text = 'a@gmail.com,x;y,|b@googlemail.com,x,|"""a@b""@hotmail.com",,|d@firm.com,,|'
    text += "e@gmail.com,x,bounced"
    import_csv(lists, "email,tags,status\n" + text.replace("|", "\n"))
    stats = lists.stats()
    assert stats["total"] == 5
    assert stats["by_status"]["active"] == 4
    assert stats["by_status"]["erased"] == 0
    assert stats["by_mailbox_provider"] == {"gmail": 2, "outlook": 1, "other": 1}
    assert stats["by_tag"] == {"x": 2, "y": 1}


# Many at once


def test_two_imports_at_once_lose_nobody(lists: ListManager) -> None:
    """The same people from both sides, in opposite order; one of the files says goodbye."""
    size = 6000
    numbers = range(size)
    first = "email,a\n" + "\n".join(f"p{n}@example.com,1" for n in numbers)
    second = "email,b,status\n" + "\n".join(
        f"P{n}@example.com,2,{'unsubscribed' if n % 2 else 'active'}" for n in reversed(numbers)
    )
    reports: list[Any] = []
    threads = [
        threading.Thread(target=lambda text=text: reports.append(import_csv(lists, text)))
        for text in (first, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report.added for report in reports) == size
    assert sum(report.updated for report in reports) == size
    stats = lists.stats()["by_status"]
    assert (stats["active"], stats["unsubscribed"]) == (size / 2, size / 2)
    assert lists.get("p17@example.com").attributes == {"a": "1", "b": "2"}


def test_upserts_and_imports_at_once_never_lift_an_opt_out(lists: ListManager) -> None:
    text = "email,status\n" + "\n".join(f"p{n}@example.com,unsubscribed" for n in range(300))
    problems: list[BaseException] = []

    def api() -> None:
        try:
            for number in range(300):
                add(lists, f"p{number}@example.com", status=S.ACTIVE)
        except BaseException as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=api) for _ in range(3)]
    for thread in threads:
        thread.start()
    import_csv(lists, text)
    for thread in threads:
        thread.join()
    assert problems == []
    assert lists.stats()["by_status"]["unsubscribed"] == 300


def test_a_long_import_dates_what_it_stops_by_the_chunk_that_stopped_it(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else mail that left while the file was still being read would seem to break a promise."""
    monkeypatch.setattr("database.imports._WRITTEN", 1)
    moments = iter(range(1_000))
    lists = ListManager(db, erasure_key="secret", clock=lambda: NOW + next(moments))
    import_csv(lists, "email\na@example.com\nb@example.com")
    import_csv(lists, "email,status\na@example.com,unsubscribed\nb@example.com,unsubscribed")
    first, second = lists.get("a@example.com"), lists.get("b@example.com")
    assert first.status_at < second.status_at
