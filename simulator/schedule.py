"""Decides when what becomes of a message is due: its ESP's events, then what its reader does."""

import random
from collections.abc import Sequence

from simulator.outcomes import (
    EVENTS,
    KIND_CODE,
    KINDS,
    PROCESSED,
    VISIT_MACHINE_OPEN,
    VISIT_OPEN,
    VISITS,
    events_for,
)
from simulator.wire import Accepted

# A row of the outbox: queue, due, message, kind, attempt, at.
Row = tuple[int, int, int, int, int, int]

_IS_VISIT = frozenset(KIND_CODE[kind] for kind in VISITS.values())
_IS_OPEN = frozenset((KIND_CODE[VISIT_OPEN], KIND_CODE[VISIT_MACHINE_OPEN]))
# Mail is opened before a link in it is clicked: after such a part of the time until the click.
OPENED = (0.2, 0.5)


class Schedule:
    """Turns accepted messages into rows of the outbox."""

    def __init__(self, esps: Sequence[str]) -> None:
        self.latency: tuple[float, float] = (0.0, 0.0)
        self.reading_seconds: tuple[float, float] = (0.0, 0.0)
        self.engagement = 0.0
        self._random = random.Random(1)
        self._visits = len(esps)
        # By ESP: Postmark tells nothing when it takes a message, its answer has said it.
        self._codes = [
            {
                kind: KIND_CODE[VISITS.get(kind, kind)]
                for kind in KINDS
                if (esp, kind) != ("postmark", PROCESSED)
            }
            for esp in esps
        ]
        self._by_outcome = [
            {outcome: tuple(of[k] for k in kinds if k in of) for outcome, kinds in EVENTS.items()}
            for of in self._codes
        ]

    def rows(self, code: int, at: int, first: int, accepted: Sequence[Accepted]) -> list[Row]:
        """What will follow the messages that one ESP takes now, under ids from `first` on."""
        low, high = self.latency
        instant = high <= 0
        rows: list[Row] = []
        for message, row in enumerate(accepted, first):
            due, reading = at, None
            for kind in self._kinds(code, row):
                # A millisecond apart keeps an ESP's own order of one message's events.
                due += 1 if instant else 1 + int(1000 * self._random.uniform(low, high))
                if kind not in _IS_VISIT:
                    rows.append((code, due, message, kind, 0, due))
                    continue
                if reading is None:
                    reading = self._random.uniform(*self.reading_seconds)
                part = self._random.uniform(*OPENED) if kind in _IS_OPEN else 1.0
                seen = due + int(1000 * reading * part)
                rows.append((code + self._visits, seen, message, kind, 0, seen))
        return rows

    def _kinds(self, code: int, row: Accepted) -> tuple[int, ...]:
        if self.engagement <= 0:
            return self._by_outcome[code][row.outcome]
        named = events_for(row.outcome, row.send_id or row.address, self.engagement)
        codes = self._codes[code]
        return tuple(codes[kind] for kind in named if kind in codes)
