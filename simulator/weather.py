"""Changes what becomes of mail that an ESP has taken, when a fault says so. Whatever it decides is
kept with the message, so a restart changes none of it."""

from collections.abc import Sequence

from simulator.addresses import domain_of
from simulator.faults import Faults
from simulator.wire import Accepted

#: A fault's kind -> the outcome (`outcomes`).
_OUTCOMES = {"lost": "lost", "blocked": "block"}
#: What the ESP stops itself never reaches a mailbox provider that could block it.
_NEVER_LEFT = frozenset(("lost", "content", "suppressed", "render_failure"))


def over(faults: Faults, esp: str, rows: Sequence[Accepted]) -> Sequence[Accepted]:
    """The messages with the outcomes that the faults leave them."""
    if not faults.touch_fates():
        return rows
    return [_after(faults, esp, row) for row in rows]


def _after(faults: Faults, esp: str, row: Accepted) -> Accepted:
    if row.outcome in _NEVER_LEFT:
        return row
    kind = faults.fate(esp, domain_of(row.address))
    return row if kind is None else row._replace(outcome=_OUTCOMES[kind])
