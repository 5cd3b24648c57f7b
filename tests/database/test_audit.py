"""`verify` finds nothing in a database that was used hard, and names whatever is planted in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from database import migrate
from database.audit import CHECKS, ELSEWHERE, Facts, Report, audit, audit_in
from database.audit_ledger import wrong_in
from database.audit_mail import wrong_in as wrong_in_mail
from database.audit_people import last_word
from database.engine import Database
from database.models import BounceKind, EventKind, sends
from feedback import Feedback
from list_manager import ListManager
from services.esp import Accepted, EspEvent, InDoubt, Rejected, Unavailable
from tests import house as homes
from utils.signing import SendRef

ROOT = Path(__file__).parents[2]


class World:
    """A campaign that met everything: failover, rejection, doubt, an operator, events, erasure."""

    def __init__(self, url: str) -> None:
        self.db = Database(url)
        migrate.upgrade(self.db)
        self.home = homes.enter(self.db, priorities=dict.fromkeys(homes.NAMES, 1))
        self.lists = ListManager(self.db, erasure_key="k" * 32, clock=self.home.clock)
        self.feedback = Feedback(self.db, self.lists, clock=self.home.clock)
        self.home.add_people(60)
        self.lists.unsubscribe("person59@example.com", reason="asked by phone", by="ops")
        self.id = self._send()
        self._come_back()
        self.lists.erase("person7@example.com", by="ops")
        self._leave_one_open()
        self._send_mails()

    def _send_mails(self) -> None:
        """One arrives late, one in doubt is held, one goes once more, one has expired."""
        now, sendgrid = self.home.clock(), self.home.esps["sendgrid"]
        for on_doubt in ("hold", "resend"):
            asked: dict[str, Any] = {"expires_at": now + 9999, "on_doubt": on_doubt}
            sendgrid.answers = [sendgrid.takes_but_hides_it]
            self.home.drain(self.home.post(esp="sendgrid", **asked))
        late = self.home.post(expires_at=self.home.clock() + 60)
        self.home.clock.forward(61)
        self.home.drain(late)

    def _send(self) -> int:
        self.home.esps["sendgrid"].answers = [homes.all_get(Unavailable("503"))]
        self.home.esps["ses"].answers = [
            lambda batch: [
                Rejected("no such mailbox"),
                *[Accepted("id")] * (len(batch.messages) - 1),
            ]
        ]
        self.home.esps["postmark"].answers = [homes.all_get(InDoubt("reset"))]
        id_ = self.home.launch(html="<p>Hi {{ name }}</p><a href='https://example.org'>go</a>")
        self.home.drain(id_)
        self.home.control.resolve_in_doubt(id_, "mark_sent", by="ops")
        self.home.control.retry_failed(id_)
        self.home.drain(id_)
        return id_

    def _leave_one_open(self) -> None:
        """One person cannot be rendered, some are in doubt, the rest waits."""
        id_ = self.home.launch(html="<p>{{ plan }}</p>", esp="postmark")
        with self.db.write() as connection:
            connection.execute(sa.text("UPDATE subscribers SET attributes = '{}' WHERE id = 12"))
        self.home.esps["postmark"].answers = [
            lambda batch: [InDoubt("reset"), *[Unavailable("503")] * (len(batch.messages) - 1)]
        ]
        self.home.sender.step(id_)
        self.home.control.pause(id_, by="ops")

    def _come_back(self) -> None:
        told: list[tuple[int, EventKind, dict[str, Any]]] = [
            (0, EventKind.DELIVERED, {}), (0, EventKind.OPEN, {}), (0, EventKind.CLICK, {}),
            (1, EventKind.BOUNCE, {"bounce": BounceKind.HARD}), (2, EventKind.COMPLAINT, {}),
            (3, EventKind.UNSUBSCRIBE, {}), (4, EventKind.DEFERRED, {}), (5, EventKind.REPLY, {}),
            (6, EventKind.BOUNCE, {"bounce": BounceKind.SOFT, "final": False}),
        ]  # fmt: skip
        for esp in ("own", "sendgrid"):
            self.feedback.apply([self._event(n, kind, esp, **more) for n, kind, more in told])

    def _event(self, number: int, kind: EventKind, esp: str, **more: Any) -> EspEvent:
        with self.db.read() as connection:
            row = connection.execute(sa.select(sends).order_by(sends.c.id).offset(number)).first()
        assert row is not None
        ref = SendRef(str(self.home.campaign(self.id)["nonce"]), row.id)
        return EspEvent(
            esp, f"{kind}-{number}", kind, self.home.clock(), str(ref), row.address, **more
        )

    def facts(self, **changes: Any) -> Facts:
        told: dict[str, Any] = {
            "now": self.home.clock(), "mode": "sandbox", "lease_seconds": 0.0,
            "worker_beats": True, "daily_limits": dict.fromkeys(homes.NAMES, 1000),
        }  # fmt: skip
        return Facts(**(told | changes))

    def audit_with(self, *statements: str) -> Report:
        """What the audit says after these statements; nothing of them stays."""
        with self.db.write() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))
            report = audit_in(connection, self.facts())
            connection.rollback()
        return report


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url)
    yield made
    made.db.dispose()


def _without_constraints(table: str) -> tuple[str, ...]:
    return (
        f"CREATE TABLE plain AS SELECT * FROM {table}",
        f"DROP TABLE {table}",
        f"ALTER TABLE plain RENAME TO {table}",
    )


_FIRST = "(SELECT MIN(id) FROM sends WHERE status = 'accepted' AND message_id IS NOT NULL)"
_LAST = _FIRST.replace("MIN", "MAX")
_MAIL = "(SELECT MIN(id) FROM sends WHERE lane = 'transactional')"
_RESENT = '{"why": "resend by on_doubt"}'
_EXPIRED = "(SELECT id FROM sends WHERE reason = 'expired')"
#: For each check, ways to break what it watches.
PLANTS: dict[str, list[tuple[str, ...]]] = {
    "one-send-per-address": [
        (
            *_without_constraints("sends"),
            f"UPDATE sends SET address = (SELECT address FROM sends WHERE id = {_FIRST})",
        ),
    ],
    "no-second-acceptance": [
        ("""UPDATE sends SET trail = '[{"to": "accepted"}, {"to": "accepted"}]'""",),
        ("""UPDATE sends SET trail = '[{"to": "in_doubt", "at": 1}]'""",),
    ],
    "queued-never-left": [
        (f"UPDATE sends SET status = 'queued' WHERE id = {_FIRST}",),
        (f"UPDATE sends SET status = 'in_doubt', handed_over_at = NULL WHERE id = {_FIRST}",),
    ],
    "counters-equal-rows": [
        (f"UPDATE sends SET status = 'delivered' WHERE id = {_FIRST}",),
        (f"DELETE FROM sends WHERE id = {_FIRST}",),
        ("UPDATE campaigns SET n_accepted = n_accepted + 1",),
    ],
    "audience-equals-states": [("UPDATE campaigns SET audience = audience + 1",)],
    "by-esp-equals-rows": [
        (f"UPDATE sends SET esp = 'unheard' WHERE id = {_FIRST}",),
        ("UPDATE esp_performance SET accepted = accepted + 1 WHERE scope = 'campaign'",),
    ],
    "over-means-over": [
        (f"UPDATE sends SET status = 'sending', lease_until = 9e9 WHERE id = {_FIRST}",),
    ],
    "no-lease-outlived": [
        (f"UPDATE sends SET status = 'sending', lease_until = 5 WHERE id = {_FIRST}",),
        (f"UPDATE sends SET status = 'sending', lease_until = NULL WHERE id = {_FIRST}",),
    ],
    "accepted-has-an-id": [(f"UPDATE sends SET message_id = NULL WHERE id = {_LAST}",)],
    "quota-covers-what-left": [("UPDATE esp_performance SET used = 1 WHERE scope = 'esp'",)],
    "daily-limits-hold": [("UPDATE esp_performance SET used = 1001 WHERE scope = 'esp'",)],
    "suppression-wins": [
        ("UPDATE subscribers SET status = 'unsubscribed', status_at = 5 WHERE status = 'active'",),
    ],
    "bounces-and-complaints-suppress": [
        ("UPDATE subscribers SET status = 'active', status_at = 5 WHERE status = 'bounced'",),
        ("UPDATE subscribers SET status = 'active', status_at = 5 WHERE status = 'complained'",),
    ],
    "opt-outs-hold": [
        ("UPDATE subscribers SET status = 'active' WHERE status = 'unsubscribed'",),
        ("UPDATE subscribers SET status = 'active' WHERE status = 'bounced'",),
    ],
    "events-once": [
        (*_without_constraints(table), f"INSERT INTO {table} SELECT * FROM {table}")
        for table in ("bounces", "complaints", "engagement")
    ],
    "events-lift-their-sends": [
        (f"UPDATE sends SET status = 'accepted' WHERE status = '{status}'",)
        for status in ("complained", "bounced", "delivered")
    ],
    "engagement-equals-events": [
        (f"UPDATE campaigns SET {counter} = {counter} + 1",)
        for counter in ("opens_human", "unique_clicks", "unsubscribes", "replies")
    ],
    "erased-means-gone": [
        ("UPDATE subscribers SET email = 'a@b.example' WHERE status = 'erased'",),
        ("UPDATE sends SET address = 'a@b.example' WHERE address LIKE 'erased:%'",),
    ],
    "expiry-holds": [
        (f"UPDATE sends SET handed_over_at = 9e9 WHERE id = {_MAIL}",),
        (f"UPDATE sends SET handed_over_at = 5 WHERE id = {_EXPIRED}",),
        (f"UPDATE sends SET updated_at = 5 WHERE id = {_EXPIRED}",),
        (f"UPDATE sends SET status = 'failed', reason = 'expired' WHERE id = {_MAIL}",),
    ],
    "doubt-as-asked": [
        ("""UPDATE campaigns SET options = '{"on_doubt": "hold"}' WHERE kind = 'transactional'""",),
        ("""UPDATE campaigns SET options = '{"on_doubt": "resend"}'""",),
        (
            """UPDATE campaigns SET options = '{"on_doubt": "resent"}'""",
            f"UPDATE sends SET trail = '[{_RESENT}, {_RESENT}]' WHERE lane = 'transactional'",
        ),
        ("""UPDATE campaigns SET options = '{"on_doubt": "resent", "expires_at": 5}'""",),
    ],
    "states-are-legal": [
        (f"UPDATE sends SET status = 'lost' WHERE id = {_FIRST}",),
        ("UPDATE campaigns SET status = 'sending'",),
        ("UPDATE campaigns SET finished_at = NULL",),
        ("UPDATE campaigns SET phase = 'napping'",),
    ],
    "one-mode": [("UPDATE campaigns SET mode = 'live'",)],
    "no-orphans": [
        (f"UPDATE sends SET subscriber_id = 999999 WHERE id = {_FIRST}",),
        ("UPDATE bounces SET send_id = 999999",),
        ("UPDATE esp_performance SET period = '99999' || period WHERE scope = 'campaign'",),
    ],
}  # fmt: skip


def test_a_database_that_was_used_hard_keeps_every_promise(world: World) -> None:
    report = audit(world.db, world.facts())

    assert [f for f in report.findings if not f.ok or f.skipped] == []
    assert report.ok
    assert [f.name for f in report.findings if not f.looked_at] == ["no-lease-outlived"]


def test_every_check_names_what_is_planted(world: World, subtests: pytest.Subtests) -> None:
    assert {check.name for check in CHECKS} == set(PLANTS)
    for name, plants in PLANTS.items():
        for statements in plants:
            with subtests.test(check=name, plant=statements[-1]):
                report = world.audit_with(*statements)
                found = next(f for f in report.findings if f.name == name)
                assert found.violations
                assert 1 <= len(found.evidence) <= 5
                assert not report.ok

    assert audit(world.db, world.facts()).ok, "the plants are gone again"


def test_all_violations_are_counted_and_five_are_shown(world: World) -> None:
    report = world.audit_with("UPDATE sends SET message_id = NULL")

    found = next(f for f in report.findings if f.name == "accepted-has-an-id")
    assert found.violations > len(found.evidence) == 5


def test_what_cannot_be_asked_now_is_skipped_with_the_reason(world: World) -> None:
    report = audit(world.db, world.facts(worker_beats=False, daily_limits={}))

    skipped = {f.name: f.skipped for f in report.findings if f.skipped}
    assert set(skipped) == {"no-lease-outlived", "daily-limits-hold"}
    assert report.ok


def test_an_empty_database_keeps_every_promise(database_url: str) -> None:
    database = Database(database_url)
    migrate.upgrade(database)

    assert audit(database, Facts(0.0, "live", 60, worker_beats=True)).ok
    database.dispose()


def test_what_a_database_cannot_show_names_a_test_that_is_there() -> None:
    assert {item.promise for item in ELSEWHERE} == set("1234567")
    for item in ELSEWHERE:
        assert (ROOT / item.proven_by).is_file(), item


@pytest.mark.parametrize(
    "trail,wrong",
    [
        ([], None),
        ([("queued", "throttled")], None),
        ([("in_doubt", "reset"), ("accepted", "mark_sent by ops")], None),
        ([("in_doubt", "reset"), ("queued", "resend by ops")], None),
        ([("in_doubt", "reset"), ("failed", "mark_failed by ops"), ("queued", "retried")], None),
        ([("in_doubt", "reset"), ("queued", "unavailable")], "queued again"),
        ([("accepted", "x"), ("accepted", "y")], "accepted twice"),
    ],
)
def test_a_trail_shows_whether_somebody_may_have_been_mailed_twice(
    trail: list[tuple[str, str]], wrong: str | None
) -> None:
    found = wrong_in([{"at": 10, "to": to, "why": why} for to, why in trail], 5)

    assert (found or "").startswith(wrong or "")
    assert (found is None) is (wrong is None)


def test_a_hand_over_after_the_doubt_is_a_second_one() -> None:
    trail = [{"at": 10.0, "to": "in_doubt", "why": "reset"}]

    assert wrong_in(trail, 9.0) is None
    assert wrong_in(trail, 11.0) == "handed over again after it was in doubt"


RESENT = {"at": 10.0, "to": "queued", "why": "resend by on_doubt"}


@pytest.mark.parametrize(
    "trail,options,wrong",
    [
        ([], {}, None),
        ([RESENT], {"on_doubt": "resent"}, None),
        ([RESENT], {"on_doubt": "resent", "expires_at": 11.0}, None),
        ([RESENT], {}, "did not ask"),
        ([RESENT, RESENT], {"on_doubt": "resent"}, "more than once"),
        ([RESENT], {"on_doubt": "resent", "expires_at": 10.0}, "after its time"),
    ],
)
def test_a_mails_trail_shows_whether_it_was_resent_as_it_asked(
    trail: list[dict[str, Any]], options: dict[str, Any], wrong: str | None
) -> None:
    found = wrong_in_mail(trail, options)

    assert (wrong or "") in (found or "")
    assert (found is None) is (wrong is None)


def test_the_last_word_of_a_history_is_a_status() -> None:
    added = {"what": "added", "status": "active"}

    assert last_word([]) is None
    assert last_word([added]) == "active"
    assert last_word([added, {"what": "unsubscribed"}, {"what": "topic opt-in"}]) == "unsubscribed"
    assert last_word([added, {"what": "unsubscribed"}, {"what": "active"}]) == "active"
