"""Reads mail as its recipients do: fetches the product's pictures, follows its links, leaves lists.

Where the ESP tracks instead, or the mail holds nothing of the product's, the ESP tells of it.
"""

import sqlite3
import time
from concurrent.futures import Executor
from typing import NamedTuple

from simulator import outbox, people
from simulator.courier import UNREACHED, Courier
from simulator.esps import ESPS
from simulator.log import ESP_CODE, VISITS
from simulator.outcomes import TOLD_AS, VISIT_CLICK, VISIT_UNSUBSCRIBE
from simulator.state import State
from simulator.wire import Event, Settled

LANES = 4
# So many at a time and ESP: mail that has come in meanwhile goes first.
FETCHED = 100
# Nobody waits long for a picture, or presses a dead link again and again.
MAX_TRIES = 5
TOO_MANY_REQUESTS = 429
_ACCEPTED = {VISIT_CLICK: "text/html,application/xhtml+xml,*/*;q=0.8"}
_PICTURES = "image/avif,image/webp,image/*,*/*;q=0.8"
_FORM = "application/x-www-form-urlencoded"


class Seen(NamedTuple):
    """How a visit went: its last status, else whether the ESP sees it instead, or it is to wait."""

    visit: Event
    status: int | None = None
    by_esp: bool = False
    waits: bool = False


class Readers(Courier):
    """The recipients of all three ESPs' mail."""

    timeout_seconds = 5.0

    def __init__(self, state: State) -> None:
        super().__init__(state, "readers", LANES)

    def _round(self, lanes: Executor, connection: sqlite3.Connection) -> bool:
        # Every ESP's readers get their turn, whoever was busy before them.
        busy = [self._read_some(esp, lanes, connection) for esp in ESPS]
        return any(busy)

    def _read_some(self, esp: str, lanes: Executor, connection: sqlite3.Connection) -> bool:
        settings = self._state.webhooks
        if settings.paused or not settings.target:
            return False
        # Nobody reads before the ESP has told what came before: mail is delivered first, and while
        # webhooks pile up, visits leave the product to them.
        until = min(
            int((time.time() - settings.delay) * 1000), outbox.oldest(connection, ESP_CODE[esp])
        )
        queue = ESP_CODE[esp] + VISITS
        visits = outbox.due(self._state.log, connection, queue, until, FETCHED)
        if visits:
            self._settle(queue, list(lanes.map(self._visit, visits)))
        return bool(visits)

    def _visit(self, visit: Event) -> Seen:
        target = self._state.webhooks.target
        if self._ended.is_set() or not target:
            return Seen(visit, waits=True)
        esp = ESPS[visit.message.esp]
        owned = esp.owns(visit.message, TOLD_AS[visit.kind])
        paths = [] if owned else self._paths(visit, target)
        if not paths:
            return Seen(visit, by_esp=owned is not False)
        status = UNREACHED
        for path in paths:
            status = self._go(visit, path)
            if not _finished(status):
                break
        return Seen(visit, status)

    def _paths(self, visit: Event, target: str) -> list[str]:
        mail = ESPS[visit.message.esp].mail_of(self._state, visit.message)
        if visit.kind == VISIT_UNSUBSCRIBE:
            return people.way_out(mail, target)
        if visit.kind == VISIT_CLICK:
            return people.clicked(mail, visit.message, target)
        return people.pictures(mail, target)

    def _go(self, visit: Event, path: str) -> int:
        headers = {"User-Agent": people.visitor(visit).agent}
        if visit.kind == VISIT_UNSUBSCRIBE:
            return self._call(
                "POST", path, headers | {"Content-Type": _FORM}, people.ONE_CLICK.encode()
            )
        return self._call("GET", path, headers | {"Accept": _ACCEPTED.get(visit.kind, _PICTURES)})

    def _settle(self, queue: int, seen: list[Seen]) -> None:
        done: list[Settled] = []
        again: list[Settled] = []
        for visit, status, _, _ in seen:
            if status is None:
                continue
            tries = visit.attempts + 1
            if _finished(status) or tries >= MAX_TRIES:
                done.append((visit, status, tries))
            else:
                again.append((visit, self._again_at(visit.attempts), tries))
        rest = [one for one in seen if one.status is None and not one.waits]
        told = [one.visit for one in rest if one.by_esp]
        unseen = [one.visit for one in rest if not one.by_esp]
        outbox.settle(self._state.log, queue, done, again, told=told, unseen=unseen)


def _finished(status: int) -> bool:
    """Whatever a server says is said; only one that is down or overrun is asked again."""
    return status not in (UNREACHED, TOO_MANY_REQUESTS) and status < 500
