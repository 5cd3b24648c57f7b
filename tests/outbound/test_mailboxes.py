"""Mailbox providers by MX, asked of a real DNS server on loopback."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from dnslib import MX, QTYPE, RCODE, RR
from dnslib.server import BaseResolver, DNSServer

from database import mailboxes as rows
from database import migrate
from database.engine import Database
from outbound.mailboxes import AGAIN_SECONDS, GOOD_SECONDS, Mailboxes
from tests.house import Clock
from utils.mx import LookUp, asking

ZONES = {
    "shop.example": [(10, "shop-example.mail.protection.outlook.com")],
    "club.example": [(20, "alt1.aspmx.l.google.com"), (10, "aspmx.l.google.com")],
    "own.example": [(10, "mx.own.example")],
}


class Zone(BaseResolver):  # type: ignore[misc]
    """Answers for `ZONES`, counts questions, fails when told."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.broken = False

    def resolve(self, request: Any, _handler: Any) -> Any:
        name = str(request.q.qname).rstrip(".")
        self.asked[name] += 1
        reply = request.reply()
        if self.broken:
            reply.header.rcode = RCODE.SERVFAIL
        elif name not in ZONES:
            reply.header.rcode = RCODE.NXDOMAIN
        for preference, host in [] if self.broken else ZONES.get(name, []):
            reply.add_answer(RR(name, QTYPE.MX, rdata=MX(host, preference), ttl=60))
        return reply


@pytest.fixture
def zone() -> Iterator[tuple[Zone, LookUp]]:
    resolver = Zone()
    server = DNSServer(resolver, address="127.0.0.1", port=0, logger=_Quiet())
    server.start_thread()
    yield resolver, asking(["127.0.0.1"], server.server.server_address[1])
    server.stop()
    server.server.server_close()


class _Quiet:
    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    migrate.upgrade(made)
    yield made
    made.dispose()


def test_a_domain_is_other_until_its_mx_has_told(
    database: Database, zone: tuple[Zone, LookUp]
) -> None:
    mailboxes = Mailboxes(database, zone[1])
    people = ["a@shop.example", "b@CLUB.example", "c@own.example", "d@nowhere.example", "e@aol.com"]
    assert [mailboxes.of(person) for person in people] == ["other"] * 4 + ["yahoo"]
    mailboxes.tick()
    assert [mailboxes.of(person) for person in people] == ["o365", "gws", "other", "other", "yahoo"]


def test_each_domain_is_asked_once_for_all_processes(
    database: Database, zone: tuple[Zone, LookUp]
) -> None:
    first, second = (Mailboxes(database, zone[1]) for _ in range(2))
    for mailboxes in (first, second):
        for n in range(100):
            mailboxes.of(f"p{n}@shop.example")
        mailboxes.tick()
    assert zone[0].asked == {"shop.example": 1}
    assert second.of("x@shop.example") == "o365"
    web = Mailboxes(database, zone[1])
    web.recall(["shop.example", "gmail.com"])
    assert web.of("x@shop.example") == "o365"


def test_what_was_looked_up_is_asked_again_in_a_month(
    database: Database, zone: tuple[Zone, LookUp]
) -> None:
    clock = Clock()
    for _ in range(2):
        mailboxes = Mailboxes(database, zone[1], clock)
        mailboxes.of("x@shop.example")
        mailboxes.tick()
        clock.forward(GOOD_SECONDS + 1)
    assert zone[0].asked["shop.example"] == 2
    clock.forward(2 * GOOD_SECONDS)
    Mailboxes(database, zone[1], clock).tick()
    with database.read() as connection:
        assert rows.read(connection, ["shop.example"], 0.0) == {}


def test_a_question_without_an_answer_is_no_answer_and_is_asked_later(
    database: Database, zone: tuple[Zone, LookUp]
) -> None:
    clock = Clock()
    mailboxes = Mailboxes(database, zone[1], clock)
    zone[0].broken = True
    mailboxes.of("x@shop.example")
    mailboxes.tick()
    asked = zone[0].asked["shop.example"]
    zone[0].broken = False
    mailboxes.tick()
    assert zone[0].asked["shop.example"] == asked
    assert mailboxes.of("x@shop.example") == "other"
    clock.forward(AGAIN_SECONDS + 1)
    mailboxes.of("x@shop.example")
    mailboxes.tick()
    assert mailboxes.of("x@shop.example") == "o365"


def test_a_name_that_dns_cannot_hold_harms_nobody(
    database: Database, zone: tuple[Zone, LookUp]
) -> None:
    mailboxes = Mailboxes(database, zone[1])
    for domain in ("x" * 80 + ".example", "a..b", "böse.example", ""):
        mailboxes.of(f"p@{domain}")
    mailboxes.tick()
    assert mailboxes.of("p@a..b") == "other"


def test_in_sandbox_nobody_is_asked(database: Database) -> None:
    mailboxes = Mailboxes(database, None)
    assert mailboxes.of("x@shop.example") == "other"
    assert mailboxes.of("x@gmail.com") == "gmail"
    mailboxes.tick()
    mailboxes.recall(["shop.example"])
