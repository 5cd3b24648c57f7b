"""A campaign whose mail is out, for tests of what comes back: people, sends, tokens, events."""

from collections import Counter
from typing import Any

import sqlalchemy as sa

from database import campaigns as campaign_store
from database import esp_performance as performance
from database import ledger, migrate, sends
from database.audit import Facts, audit
from database.engine import Database
from database.models import LEDGER, EventKind, campaigns, subscribers
from database.models import sends as sends_table
from database.sends import Lease
from feedback import Feedback
from list_manager import ListManager
from services.esp import EspEvent
from utils.addresses import canonical
from utils.signing import SendRef

NOW = 1_800_000_000.0
#: When events arrive.
LATER = NOW + 3600
NONCE = "abcdefgh"
ESP = "sendgrid"


class Mailed:
    """One campaign on one database. Sends are `sending` until `accept` is called."""

    def __init__(self, url: str, people: int = 10, **options: Any) -> None:
        self.db = Database(url)
        migrate.upgrade(self.db)
        self.lists = ListManager(self.db, erasure_key="k" * 32, clock=lambda: NOW)
        self.feedback = Feedback(self.db, self.lists, clock=lambda: LATER)
        with self.db.write() as connection:
            self._people(connection, people)
            self.id = self._campaign(connection, options)
            sends.build(connection, self.id, sa.true(), 0, people, NOW)
            picked = sends.pick(connection, self.id, people)
            self.ids = [send.id for send in picked]
            self.addresses = {send.id: canonical(send.to) for send in picked}
            self.lease = Lease(self.id, "lease", NOW + 60)
            sends.take(connection, self.lease, ESP, self.ids, NOW)
            sends.hand_over(connection, self.lease, self.ids, NOW)
            performance.count(connection, ESP, {"used": people}, NOW)

    def _people(self, connection: sa.Connection, count: int) -> None:
        rows = [
            {
                "address": f"p{n}@example.com", "email": f"P{n}@example.com",
                "name": f"Person {n}", "status": "active", "status_at": NOW - 86400,
                "created_at": NOW - 86400, "updated_at": NOW - 86400,
            }
            for n in range(count)
        ]  # fmt: skip
        connection.execute(subscribers.insert(), rows)

    def _campaign(self, connection: sa.Connection, options: dict[str, Any]) -> int:
        values = {
            "nonce": NONCE, "status": "sending", "phase": "draining", "mode": "sandbox",
            "subject": "Hello {{ name }}", "from_email": "news@example.com", "created_at": NOW,
            "launched_at": NOW, "max_subscriber_id": 10**6,
            "html": "<p>Hi {{ name }}</p><a href='https://example.org/a?n={{ name }}'>go</a>"
                    "<a href='https://example.org/b'>there</a>",
            "links": ["https://example.org/a?n={{ name }}", "https://example.org/b"],
            "options": {"track_opens": True, "track_clicks": True, **options},
        }  # fmt: skip
        return campaign_store.insert(connection, values)

    def accept(self) -> None:
        """Our own record of the ESP's answer."""
        with self.db.write() as connection:
            rows = [(id_, f"m{id_}") for id_ in self.ids]
            sends.record_accepted(connection, self.lease, ESP, rows, NOW)

    def ref(self, number: int = 0) -> SendRef:
        return SendRef(NONCE, self.ids[number])

    def event(self, kind: EventKind, number: int = 0, **fields: Any) -> EspEvent:
        """An event of the send `number`, with a key of its own unless given."""
        send = self.ids[number]
        values: dict[str, Any] = {
            "esp": ESP, "key": f"{kind}-{send}", "at": NOW + 100, "send_id": f"{NONCE}-{send}",
            "address": self.addresses[send], "raw": {"what": kind},
        }  # fmt: skip
        return EspEvent(kind=kind, **(values | fields))

    def row(self, number: int = 0) -> Any:
        with self.db.read() as connection:
            query = sa.select(sends_table).where(sends_table.c.id == self.ids[number])
            return connection.execute(query).one()

    def person(self, number: int = 0) -> Any:
        with self.db.read() as connection:
            query = sa.select(subscribers).where(subscribers.c.id == number + 1)
            return connection.execute(query).one()

    def campaign(self) -> dict[str, Any]:
        with self.db.read() as connection:
            row = connection.execute(sa.select(campaigns)).mappings().one()
            return dict(row)

    def rows(self, table: sa.Table) -> list[Any]:
        with self.db.read() as connection:
            return list(connection.execute(sa.select(table)).all())

    def esp_counters(self, esp: str = ESP) -> dict[str, int]:
        with self.db.read() as connection:
            rows = connection.execute(
                sa.text(
                    "SELECT sum(delivered) delivered, sum(hard) hard, sum(soft) soft,"
                    " sum(block) block, sum(deferred) deferred, sum(complained) complained,"
                    " sum(opened) opened, sum(clicked) clicked, sum(unsubscribed) unsubscribed"
                    " FROM esp_performance WHERE scope = 'esp' AND key = :esp"
                ),
                {"esp": esp},
            ).mappings()
            return {name: int(count) for name, count in rows.one().items() if count}

    def check_promises(self) -> None:
        """What `verify` would say."""
        facts = Facts(LATER, "sandbox", 60, worker_beats=True)
        assert [finding for finding in audit(self.db, facts).findings if not finding.ok] == []

    def check_ledger(self) -> None:
        """Counters equal the rows."""
        campaign = self.campaign()
        states = Counter(row.status for row in self.rows(sends_table))
        counted = {name[2:]: campaign[name] for name in LEDGER if campaign[name]}
        assert counted == dict(states)
        assert campaign["audience"] == sum(states.values())
        at_esps: Counter[str] = Counter()
        with self.db.read() as connection:
            for counts in performance.by_esp(connection, self.id).values():
                at_esps.update(counts)
        expected = {s: n for s, n in states.items() if s in ledger.PER_ESP}
        assert {name: count for name, count in at_esps.items() if count} == expected
