"""Looks after the ESPs between claims: mail of which nothing was heard in time, cool-downs that
end, and what a restart of the house means."""

import time
from collections.abc import Callable

import sqlalchemy as sa

from database import esp_performance as performance
from database.engine import Database
from outbound import esp_states
from outbound.batches import records_of
from services import learning
from services.esp_manager import EspManager
from services.esp_state import EspState
from services.policies import stalls


class EspWatch:
    """A chore of each worker; several may look at once."""

    def __init__(
        self, database: Database, manager: EspManager, clock: Callable[[], float] = time.time,
        *, floor: float = stalls.DEADLINE_FLOOR,
    ) -> None:  # fmt: skip
        """`floor` is the shortest deadline for a message's first event, in seconds."""
        self._db = database
        self._manager = manager
        self._clock = clock
        self._floor = floor
        self._began = False

    def tick(self) -> None:
        """Look once; the first look disarms the stall detectors until new events come."""
        if not self._began:
            self._db.transact(self._disarm, durable=False)
            self._began = True
        now = self._clock()
        with self._db.read() as connection:
            rows = performance.states(connection, self._manager.names)
        states = [EspState.from_json(row) for row in rows.values()]
        if any(learning.is_due(state, now, self._floor) for state in states):
            self._db.transact(self._judge, durable=False)

    def _disarm(self, connection: sa.Connection) -> None:
        now = self._clock()
        for name in sorted(self._manager.names):  # in the order of every lock
            esp_states.change(connection, name, learning.disarmed, now)

    def _judge(self, connection: sa.Connection) -> None:
        now = self._clock()
        records = records_of(performance.lock(connection, self._manager.names, now))
        for name, state in self._manager.judged(records, now, self._floor).items():
            before = records[name].state
            if state != before:
                performance.save_states(connection, {name: state.to_json()}, now)
                esp_states.tell(name, before, state)
