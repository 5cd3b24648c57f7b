"""Which mailbox provider receives an address: known by its domain, or by where its MX points.

Nobody waits for DNS: a domain that is not known yet counts as `other`, and is looked up meanwhile.
"""

import time
from collections.abc import Callable, Iterable

from database import mailboxes as rows
from database.engine import Database
from services.policies import mailbox_providers as providers
from utils.mx import LookUp

#: What an MX said is believed for so long: mail moves rarely, and nothing breaks when it did.
GOOD_SECONDS = 30 * 86_400.0
#: A question without an answer is asked again after so long.
AGAIN_SECONDS = 600.0
#: Looking up may take so long at a time; the rest has its turn after the other chores.
TURN_SECONDS = 2.0
_AT_ONCE = 500
_MOST = 200_000  #: domains kept in memory
_MOST_WANTED = 5_000


class Mailboxes:
    """Knows mailbox providers. Thread-safe: each step is one operation of a dict or set."""

    def __init__(
        self, database: Database, look_up: LookUp | None,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """Without `look_up` (in sandbox, which asks nobody outside) domains alone decide."""
        self._db = database
        self._look_up = look_up
        self._clock = clock
        self._known: dict[str, str] = {}
        self._wanted: set[str] = set()
        self._later: dict[str, float] = {}  #: domain -> when to ask again
        self._forgot = False

    def of(self, address: str) -> str:
        """The mailbox provider of a deliverable address."""
        return self.of_domain(address.rpartition("@")[2])

    def of_domain(self, domain: str) -> str:
        """The same for its domain."""
        known = self._known.get(domain)
        if known is not None:
            return known
        lower = domain.lower()
        found = self._known.get(lower) or providers.by_domain(lower)
        if found is not None:
            self._keep({domain: found})
            return found
        if self._look_up and len(self._wanted) < _MOST_WANTED and self._may_ask(lower):
            self._wanted.add(lower)
        return providers.OTHER

    def _may_ask(self, domain: str) -> bool:
        return self._later.get(domain, 0.0) <= self._clock()

    def recall(self, domains: Iterable[str]) -> None:
        """Learn of the database what any process has looked up."""
        if self._look_up is None:
            return
        unknown = [d for d in set(domains) if d not in self._known and not providers.by_domain(d)]
        if unknown:
            with self._db.read() as connection:
                since = self._clock() - GOOD_SECONDS
                self._keep(rows.read(connection, unknown, since))

    def tick(self) -> None:
        """Look up what was wanted, for a moment."""
        if self._look_up is None:
            return
        if not self._forgot:
            before = self._clock() - 2 * GOOD_SECONDS
            self._db.transact(lambda c: rows.forget(c, before), durable=False)
            self._forgot = True
        now = self._clock()
        due = list(self._wanted)[:_AT_ONCE]
        self.recall(due)
        found = self._asked([d for d in due if d not in self._known], self._look_up, now)
        if found:
            self._db.transact(lambda c: rows.put(c, found, now), durable=False)
            self._keep(found)
        self._wanted.difference_update(d for d in due if d in self._known or not self._may_ask(d))

    def _asked(self, domains: Iterable[str], look_up: LookUp, now: float) -> dict[str, str]:
        found, end = {}, time.monotonic() + TURN_SECONDS
        for domain in domains:
            if time.monotonic() > end:
                break
            hosts = look_up(domain)
            if hosts is None:
                self._later[domain] = now + AGAIN_SECONDS
            else:
                found[domain] = providers.by_mx(hosts)
        return found

    def _keep(self, found: dict[str, str]) -> None:
        if len(self._known) > _MOST:
            self._known, self._later = {}, {}
        self._known.update(found)
