"""The lane of transactional mail: threads of its own, so that it waits for no campaign.

It looks for what is due all the time, by an index over nothing else; a hint only saves the wait.
So nothing is lost with a hint, and there is nothing for the sweep to find.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from database import transactional
from database.engine import Database
from database.transactional import Due

log = logging.getLogger(__name__)

#: How often the lane looks; a mail leaves within a second of its 202.
LOOK_SECONDS = 0.2
#: Mails on their way at once. A thread waits for its ESP nearly all the time.
AT_ONCE = 8
#: What waits for an ESP, or has met a fault, is looked at again after so long at most: the reason
#: may have gone in another process.
AGAIN_SECONDS = 1.0

#: Sends one mail; returns when to come back (Unix seconds), None = it is done.
Send = Callable[[int], float | None]


class TransactionalLane:
    """Serves the lane of one process; several processes may."""

    def __init__(
        self, database: Database, send: Send, clock: Callable[[], float] = time.time,
        *, at_once: int = AT_ONCE,
    ) -> None:  # fmt: skip
        self._db = database
        self._send = send
        self._clock = clock
        self._at_once = at_once
        self._bell = threading.Event()
        self._lock = threading.Lock()
        self._busy: set[int] = set()
        self._faulty: dict[int, float] = {}  #: campaign -> when to try again
        self._waiting: dict[str, float] = {}  #: only ESP wanted -> when it may have room

    def wake(self) -> None:
        """Something is due. Never fails and is never needed."""
        self._bell.set()

    def serve(self, stopping: threading.Event) -> None:
        """Send until told to stop; then what is on its way ends first."""
        with ThreadPoolExecutor(self._at_once, "transactional") as pool:
            while not stopping.is_set():
                try:
                    self._look(pool)
                except Exception:
                    log.exception("transactional mail cannot be looked for; it is tried again")
                self._bell.wait(LOOK_SECONDS)
                self._bell.clear()

    def _look(self, pool: ThreadPoolExecutor) -> None:
        now = self._clock()
        with self._lock:
            self._faulty = {id_: until for id_, until in self._faulty.items() if until > now}
            self._waiting = {esp: until for esp, until in self._waiting.items() if until > now}
            passed_over = self._busy | self._faulty.keys()
            room, waiting = self._at_once - len(self._busy), list(self._waiting)
        if not room:
            return
        with self._db.read() as connection:
            limit = room + len(passed_over)
            found = transactional.due(connection, now, without=waiting, limit=limit)
        for mail in [mail for mail in found if mail.campaign_id not in passed_over][:room]:
            with self._lock:
                self._busy.add(mail.campaign_id)
            pool.submit(self._turn, mail)

    def _turn(self, mail: Due) -> None:
        try:
            again = self._send(mail.campaign_id)
        except Exception:
            log.exception("transactional mail %s failed; it is tried again", mail.campaign_id)
            with self._lock:
                self._faulty[mail.campaign_id] = self._clock() + AGAIN_SECONDS
        else:
            if again is not None:
                with self._lock:
                    self._waiting[mail.esp] = min(again, self._clock() + AGAIN_SECONDS)
        finally:
            with self._lock:
                self._busy.discard(mail.campaign_id)
            self._bell.set()
