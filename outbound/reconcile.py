"""Asks an ESP that can be asked what became of sends in doubt. Knows no ESP.

Found: it was accepted. Not found counts twice, with a gap, and long enough after hand-over; then it
certainly was not. Runs beside sending and never in its way.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from database import look_ups
from database.engine import Database
from database.look_ups import Doubt, Span
from database.models import SendStatus as S
from services.esp import Esp, EspError, Known, Searchable, Throttled
from utils.signing import SendRef

log = logging.getLogger(__name__)

#: A search index lags behind acceptance by an unknown time (Postmark does not say): a second "not
#: found" so much later, or IN_DOUBT_WAIT_SECONDS if that is less, is believed.
GAP_SECONDS = 300.0
#: All processes together ask an ESP about so many sends in so many seconds: 5/s, a quarter of the
#: slowest default rate for sending.
PER_TURN, TURN_SECONDS = 50, 10.0
#: After an answer that says nothing, nobody asks for so long, unless the ESP names a time.
HOLD_OFF_SECONDS = 60.0
#: An answer that comes later than this after the end is lost, and asked for again.
CLOSE_SECONDS = 5.0


class Reconciler:
    """Ends doubts by the ESPs' own searches. Thread-safe."""

    def __init__(
        self, database: Database, esps: Mapping[str, Esp], *, wait_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """`wait_seconds` after hand-over the first question is asked (IN_DOUBT_WAIT_SECONDS)."""
        self._db = database
        self._esps = {name: esp for name, esp in esps.items() if isinstance(esp, Searchable)}
        self._wait = wait_seconds
        self._gap = min(GAP_SECONDS, wait_seconds)
        self._clock = clock
        self._after = dict.fromkeys(self._esps, 0)  # where each ESP's next turn begins
        self._next = 0.0
        self._busy = threading.Lock()
        self._closed = threading.Event()

    def tick(self) -> None:
        """Called with every sweep: starts a turn beside it when the last one is long enough ago."""
        if not self._esps or self._closed.is_set() or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + TURN_SECONDS
        threading.Thread(target=self._run, name="look-up", daemon=True).start()

    def close(self) -> None:
        """Ask no more; waits a moment for the answer to the question that is being asked."""
        self._closed.set()
        if self._busy.acquire(timeout=CLOSE_SECONDS):
            self._busy.release()

    def run(self) -> int:
        """One turn at every ESP; returns how many sends it said something new about."""
        return sum(self._turn(name, esp) for name, esp in sorted(self._esps.items()))

    def _run(self) -> None:
        if not self._busy.acquire(blocking=False):
            return  # the last turn still waits for an answer
        try:
            self.run()
        except Exception:
            log.exception("sends in doubt could not be looked up now; it is tried again")
        finally:
            self._busy.release()

    def _turn(self, name: str, esp: Searchable) -> int:
        doubts = self._due(name, esp)
        now = self._clock()
        until = now + TURN_SECONDS
        if not doubts or not self._db.transact(
            lambda c: look_ups.take_turn(c, name, now, until), durable=False
        ):
            return 0
        said = 0
        for doubt in doubts:
            if self._closed.is_set():
                break
            try:
                known = esp.look_up(str(SendRef(doubt.nonce, doubt.id)), doubt.lane)
            except EspError as error:
                self._hold_off(name, error)
                break
            said += self._record(name, doubt, known)
            self._after[name] = doubt.id
        return said

    def _due(self, name: str, esp: Searchable) -> list[Doubt]:
        """From where the last turn ended, so that no send keeps others from being asked about."""
        now = self._clock()
        oldest = now - timedelta(days=esp.search_days).total_seconds() + self._gap
        span = Span(oldest, now - self._wait, now - self._gap)
        with self._db.read() as connection:
            found = look_ups.due(connection, name, span, after=self._after[name], limit=PER_TURN)
        if not found:
            self._after[name] = 0
        return found

    def _record(self, name: str, doubt: Doubt, known: Known | None) -> bool:
        now = self._clock()
        if known is None:
            state = self._db.transact(lambda c: look_ups.not_found(c, doubt, name, now))
            if state is S.FAILED:
                log.info("send %s: twice not found at %s, so not accepted", doubt.id, name)
            return state is not None
        target = S.DELIVERED if known.delivered else S.ACCEPTED
        return self._db.transact(
            lambda c: look_ups.found(c, doubt, name, target, known.message_id, now)
        )

    def _hold_off(self, name: str, error: EspError) -> None:
        wait = error.retry_after if isinstance(error, Throttled) else None
        wait = HOLD_OFF_SECONDS if wait is None else max(wait, TURN_SECONDS)
        log.warning("%s does not say what became of sends in doubt; asked again in %.0f s: %s",
                    name, wait, error)  # fmt: skip
        now = self._clock()
        self._db.transact(
            lambda c: look_ups.hold_off(c, name, now, now + wait), durable=False
        )  # fmt: skip
