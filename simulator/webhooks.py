"""Tells the product what became of its mail: posts due events, retries as the ESPs do, loses none.

Events wait in the log's outbox, so that neither a slow receiver nor a restart costs one.
"""

import http.client
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Protocol
from urllib.parse import urlsplit

from simulator import outbox, postmark_events, sendgrid_events, ses_events, sns
from simulator.log import ESPS
from simulator.state import State
from simulator.wire import Event, Settled

# "Amazon SNS message delivery": a receiver has 15 seconds to answer.
TIMEOUT_SECONDS = 15
LONGEST_WAIT_SECONDS = 60.0
IDLE_SECONDS = 0.05
FETCHED = 1000
UNREACHED = 0


class Voice(Protocol):
    """How one ESP posts: where, how many events at once, and which answers end delivery."""

    PATH: str
    BATCH: int
    LANES: int
    MAX_TRIES: int

    @property
    def post(self) -> Callable[[State, list[Event]], tuple[dict[str, str], bytes]]: ...
    @property
    def finished(self) -> Callable[[int], bool]: ...


VOICES: dict[str, Voice] = {
    "sendgrid": sendgrid_events,
    "ses": ses_events,
    "postmark": postmark_events,
}


class Courier(threading.Thread):
    """Posts one ESP's events in the background."""

    def __init__(self, state: State, esp: str) -> None:
        super().__init__(name=f"simulator-webhooks-{esp}", daemon=True)
        self._state, self._esp, self._voice = state, esp, VOICES[esp]
        self._ended = threading.Event()
        self._lane = threading.local()
        self._lines: list[http.client.HTTPConnection] = []
        self._dice = random.Random(esp)

    def stop(self) -> None:
        self._ended.set()

    def run(self) -> None:
        lanes = ThreadPoolExecutor(self._voice.LANES, f"{self.name}-lane")
        with lanes, closing(self._state.log.connect()) as connection:
            while not self._ended.is_set():
                if not self._round(lanes, connection):
                    self._ended.wait(IDLE_SECONDS)
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connections of all lanes."""
        for line in self._lines:
            line.close()

    def _round(self, lanes: ThreadPoolExecutor, connection: sqlite3.Connection) -> bool:
        """Post what is due; whether there was anything."""
        settings = self._state.webhooks
        if settings.paused or not settings.target:
            return False
        until = int((time.time() - settings.delay) * 1000)
        events = outbox.due(self._state.log, connection, self._esp, until, FETCHED)
        if not events:
            return False
        if settings.shuffle:
            self._dice.shuffle(events)
        size = self._voice.BATCH
        batches = [events[n : n + size] for n in range(0, len(events), size)]
        # A slice at a time, so that a stop or a pause in between loses no more than that slice.
        for n in range(0, len(batches), 10 * self._voice.LANES):
            if self._ended.is_set() or settings.paused:
                break
            self._settle(list(lanes.map(self._tell, batches[n : n + 10 * self._voice.LANES])))
        return True

    def _tell(self, events: list[Event]) -> tuple[list[Event], int]:
        status = UNREACHED
        for _ in range(self._state.webhooks.repeat):
            headers, body = self._voice.post(self._state, events)
            status = self.send(headers, body)
        return events, status

    def _settle(self, answered: list[tuple[list[Event], int]]) -> None:
        done: list[Settled] = []
        again: list[Settled] = []
        now = time.time()
        for events, status in answered:
            for event in events:
                tries = event.attempts + 1
                if self._voice.finished(status) or tries >= self._voice.MAX_TRIES:
                    done.append((event, status, tries))
                    continue
                wait = min(
                    self._state.webhooks.retry_seconds * 2 ** min(event.attempts, 10),
                    LONGEST_WAIT_SECONDS,
                )
                again.append((event, int((now + wait) * 1000), tries))
        outbox.settle(self._state.log, self._esp, done, again)

    def send(self, headers: dict[str, str], body: bytes) -> int:
        """One POST over this lane's connection; its status, or UNREACHED."""
        target = self._state.webhooks.target
        if not target:
            return UNREACHED
        address = urlsplit(target)
        path = address.path.rstrip("/") + self._voice.PATH
        for fresh in (False, True):
            line = self._line(address.hostname or "", address.port or 80, fresh)
            used = line.sock is not None
            try:
                line.request("POST", path, body, headers)
                answer = line.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                line.close()
                # A kept connection may have been closed while idle; only then try once more.
                if used:
                    continue
                return UNREACHED
            return answer.status
        return UNREACHED

    def _line(self, host: str, port: int, fresh: bool) -> http.client.HTTPConnection:
        kept: http.client.HTTPConnection | None = getattr(self._lane, "line", None)
        if kept is None or fresh or (kept.host, kept.port) != (host, port):
            if kept is not None:
                kept.close()
                self._lines.remove(kept)
            kept = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
            self._lane.line = kept
            self._lines.append(kept)
        return kept


def start(state: State) -> list[Courier]:
    """One courier per ESP, running."""
    couriers = [Courier(state, esp) for esp in ESPS]
    for courier in couriers:
        courier.start()
    return couriers


def subscribe(state: State) -> int:
    """Send SNS's SubscriptionConfirmation to the target; the receiver's status."""
    courier = Courier(state, "ses")
    try:
        return courier.send(*sns.confirmation(state))
    finally:
        courier.hang_up()
