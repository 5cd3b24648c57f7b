"""From sandbox to live: people and consent stay, the simulation goes."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from database import migrate
from database.audit import Facts, audit
from database.engine import Database
from database.models import BounceKind, EventKind, SubscriberStatus, subscribers
from database.promote import NotASandbox, Promoted, before_simulation, promote
from feedback import Feedback
from list_manager import ListManager
from outbound.draft import Draft
from services.esp import EspEvent
from tests import house as homes
from utils.signing import SendRef

ESPS = frozenset(homes.NAMES)


class Sandbox:
    """Ten people, a campaign, and what the simulator said about it."""

    def __init__(self, url: str) -> None:
        self.db = Database(url)
        migrate.upgrade(self.db)
        self.home = homes.enter(self.db)
        self.lists = ListManager(self.db, erasure_key="k" * 32, clock=self.home.clock)
        self.feedback = Feedback(self.db, self.lists, clock=self.home.clock)
        self.home.add_people(10)
        self.id = self.home.launch()
        self.home.drain(self.id)
        with self.db.write() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO esp_performance (scope, key, period, state, updated_at)"
                    " VALUES ('instance', 'keys', 'live', '{}', 1)"
                )
            )

    def told(self, number: int, kind: EventKind, **more: Any) -> None:
        """The simulator's event about the person's send."""
        ref = SendRef(str(self.home.campaign(self.id)["nonce"]), number + 1)
        self.feedback.apply(
            [EspEvent("ses", f"{kind}{number}", kind, self.home.clock(), str(ref), **more)]
        )

    def bounced(self, number: int) -> None:
        self.told(number, EventKind.BOUNCE, bounce=BounceKind.HARD)

    def promote(self) -> Promoted:
        return self.db.transact(lambda c: promote(c, homes.NAMES, self.home.clock()))

    def status(self, number: int) -> str:
        return str(self.person(number).status)

    def person(self, number: int) -> Any:
        with self.db.read() as connection:
            return connection.execute(
                sa.select(subscribers).where(subscribers.c.address == f"person{number}@example.com")
            ).one()

    def count(self, table: str) -> int:
        with self.db.read() as connection:
            return int(connection.execute(sa.text(f"SELECT COUNT(*) FROM {table}")).scalar_one())


@pytest.fixture
def sandbox(database_url: str) -> Iterator[Sandbox]:
    made = Sandbox(database_url)
    yield made
    made.db.dispose()


def test_people_stay_and_everything_simulated_goes(sandbox: Sandbox) -> None:
    sandbox.bounced(0)
    sandbox.told(1, EventKind.COMPLAINT)
    sandbox.told(2, EventKind.DELIVERED)
    sandbox.told(2, EventKind.OPEN)
    done = sandbox.promote()

    assert done == Promoted(people=10, restored=2, strangers=0, campaigns=1, sends=10, events=4)
    for table in ("campaigns", "sends", "bounces", "complaints", "engagement"):
        assert sandbox.count(table) == 0
    assert sandbox.count("esp_performance") == 1, "the keys of the instance"
    assert {sandbox.status(n) for n in range(10)} == {"active"}
    assert sandbox.person(0).history[-1]["by"] == "promote-sandbox"
    assert sandbox.person(2).last_delivered_at is None
    assert sandbox.person(2).engagement is None
    assert audit(sandbox.db, Facts(sandbox.home.clock(), "live", 60, worker_beats=True)).ok


def test_what_is_being_written_stays_and_scheduled_campaigns_go(sandbox: Sandbox) -> None:
    home = sandbox.home
    draft = home.drafts.create(Draft("Hello", text="Hi"))
    home.launcher.launch(Draft("Hello", text="Hi", scheduled_at=home.clock() + 3600))
    assert sandbox.promote().campaigns == 2
    assert sandbox.promote().campaigns == 0, "doing it again changes nothing"
    row = home.campaign(draft)
    assert (row["status"], row["mode"], sandbox.count("campaigns")) == ("draft", "live", 1)


def test_opt_outs_and_operators_acts_stay(sandbox: Sandbox) -> None:
    sandbox.told(0, EventKind.UNSUBSCRIBE)
    sandbox.lists.unsubscribe("person1@example.com", reason="by phone", by="ops")
    sandbox.told(1, EventKind.COMPLAINT)
    sandbox.bounced(2)
    sandbox.lists.unsubscribe("person2@example.com", reason="by phone", by="ops")
    sandbox.lists.erase("person3@example.com", by="ops")
    sandbox.promote()

    assert [sandbox.status(n) for n in range(3)] == ["unsubscribed"] * 3
    assert sandbox.count("subscribers WHERE status = 'erased'") == 1


def test_a_person_whom_only_the_simulation_named_is_forgotten(sandbox: Sandbox) -> None:
    event = EspEvent(
        "ses", "stranger", EventKind.COMPLAINT, sandbox.home.clock(), address="who@example.com"
    )
    sandbox.feedback.apply([event])
    assert sandbox.count("subscribers") == 11
    done = sandbox.promote()

    assert (done.strangers, done.people) == (1, 10)


def test_doing_it_again_changes_nothing(sandbox: Sandbox) -> None:
    sandbox.bounced(0)
    sandbox.promote()
    before = sandbox.person(0)

    assert sandbox.promote() == Promoted(10, 0, 0, 0, 0, 0)
    assert sandbox.person(0) == before


def test_a_live_database_is_refused_and_left_alone(sandbox: Sandbox) -> None:
    with sandbox.db.write() as connection:
        connection.execute(sa.text("UPDATE campaigns SET mode = 'live'"))

    with pytest.raises(NotASandbox, match="1 campaigns"):
        sandbox.promote()
    assert sandbox.count("sends") == 10


B, C, U, A = (
    SubscriberStatus.BOUNCED, SubscriberStatus.COMPLAINED, SubscriberStatus.UNSUBSCRIBED,
    SubscriberStatus.ACTIVE,
)  # fmt: skip


def _by(who: str, what: str, was: str, **more: str) -> dict[str, str]:
    return {"by": who, "what": what, "was": was, **more}


@pytest.mark.parametrize(
    "history,status,before",
    [
        ([_by("ses", B, A)], B, A),
        ([_by("ses", B, A), _by("sendgrid", C, B)], C, A),
        ([_by("ops", U, A), _by("ses", C, U)], C, U),
        ([_by("ses", B, A), {"what": "topic opt-out", "by": "page"}], B, A),
        ([_by("ops", B, A)], B, B),
        ([_by("import", C, A, source="list.csv")], C, C),
        ([_by("ses", C, A, source="list.csv")], C, C),
        ([_by("ses", U, A)], U, U),
        ([], B, B),
    ],
)
def test_the_status_before_the_simulation_is_read_from_the_history(
    history: list[dict[str, str]], status: str, before: str
) -> None:
    assert before_simulation(history, status, ESPS) == before
