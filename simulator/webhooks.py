"""Tells the product what became of its mail: posts due events, retries as the ESPs do, loses none.

Events wait in the log's outbox, so that neither a slow receiver nor a restart costs one.
"""

import random
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol
from urllib.parse import urlsplit

from simulator import outbox, postmark_events, sendgrid_events, ses_events, sns
from simulator.courier import UNREACHED, Courier
from simulator.log import ESP_CODE
from simulator.state import State
from simulator.wire import Event, Settled

FETCHED = 1000


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


class Teller(Courier):
    """Posts one ESP's events."""

    # "Amazon SNS message delivery": a receiver has 15 seconds to answer.
    timeout_seconds = 15.0

    def __init__(self, state: State, esp: str) -> None:
        self._esp, self._voice = esp, VOICES[esp]
        super().__init__(state, f"webhooks-{esp}", self._voice.LANES)
        self._queue = ESP_CODE[esp]
        self._dice = random.Random(esp)

    def _round(self, lanes: Executor, connection: sqlite3.Connection) -> bool:
        settings = self._state.webhooks
        if self._is_held or not settings.target:
            return False
        until = int((time.time() - settings.delay) * 1000)
        events = outbox.due(self._state.log, connection, self._queue, until, FETCHED)
        if not events:
            return False
        if settings.shuffle:
            self._dice.shuffle(events)
        size = self._voice.BATCH
        batches = [events[n : n + size] for n in range(0, len(events), size)]
        # A slice at a time, so that a stop or a pause in between loses no more than that slice.
        for n in range(0, len(batches), 10 * self._voice.LANES):
            if self._ended.is_set() or self._is_held:
                break
            self._settle(list(lanes.map(self._tell, batches[n : n + 10 * self._voice.LANES])))
        return True

    @property
    def _is_held(self) -> bool:
        settings = self._state.webhooks
        return settings.paused or self._esp in settings.held

    def _tell(self, events: list[Event]) -> tuple[list[Event], int]:
        status = UNREACHED
        for _ in range(self._state.webhooks.repeat):
            status = self.post(*self._voice.post(self._state, events))
        return events, status

    def _settle(self, answered: list[tuple[list[Event], int]]) -> None:
        done: list[Settled] = []
        again: list[Settled] = []
        for events, status in answered:
            for event in events:
                tries = event.attempts + 1
                if self._voice.finished(status) or tries >= self._voice.MAX_TRIES:
                    done.append((event, status, tries))
                else:
                    again.append((event, self._again_at(event.attempts), tries))
        outbox.settle(self._state.log, self._queue, done, again)

    def post(self, headers: dict[str, str], body: bytes) -> int:
        """One POST to this ESP's place under the target."""
        below = urlsplit(self._state.webhooks.target or "").path.rstrip("/")
        return self._call("POST", below + self._voice.PATH, headers, body)


def subscribe(state: State) -> int:
    """Send SNS's SubscriptionConfirmation to the target; the receiver's status."""
    teller = Teller(state, "ses")
    try:
        return teller.post(*sns.confirmation(state))
    finally:
        teller.hang_up()
