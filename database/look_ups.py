"""Sends in doubt whose ESP can be asked: which are due, whose turn it is, and what was answered.

An answer is written only where the send is still as it was when the ESP was asked.
"""

from typing import NamedTuple

import sqlalchemy as sa

from database import esp_performance as performance
from database import ledger, send_acts
from database.campaigns import forget_attachments
from database.ledger import Move
from database.models import Lane, campaigns, sends
from database.models import SendStatus as S
from database.send_acts import NOT_FOUND, Lift
from database.sends import longer

#: `reason` of a send that its ESP, asked twice, does not know.
NOT_ACCEPTED = "not_accepted: twice not found at the ESP"
FOUND = "found at the ESP"
_SCOPE = "outgoing"
_s = sends.c


class Doubt(NamedTuple):
    """A send in doubt as it was when it was chosen."""

    id: int
    campaign_id: int
    nonce: str
    lane: Lane
    reason: str | None
    updated_at: float

    @property
    def not_found_before(self) -> bool:
        """Whether the ESP was asked already and had none."""
        return self.reason == NOT_FOUND


class Span(NamedTuple):
    """Which doubts are due: by the moment of their hand-over, and of the first "not found"."""

    handed_over_from: float
    handed_over_until: float
    asked_until: float


def due(
    connection: sa.Connection, esp: str, span: Span, *, after: int, limit: int
) -> list[Doubt]:  # fmt: skip
    """Sends in doubt at `esp` to ask about, in the order of their ids from `after` on."""
    rows = connection.execute(
        sa.select(_s.id, _s.campaign_id, campaigns.c.nonce, _s.lane, _s.reason, _s.updated_at)
        .join(campaigns, campaigns.c.id == _s.campaign_id)
        .where(
            _s.status == sa.literal_column("'in_doubt'"), _s.esp == esp, _s.id > after,
            _s.handed_over_at.between(span.handed_over_from, span.handed_over_until),
            sa.or_(
                _s.reason.is_(None), _s.reason != NOT_FOUND, _s.updated_at <= span.asked_until
            ),
        )
        .order_by(_s.id)
        .limit(limit)
    )  # fmt: skip
    return [Doubt(*row[:3], Lane(row.lane), row.reason, row.updated_at) for row in rows]


def take_turn(connection: sa.Connection, esp: str, now: float, until: float) -> bool:
    """Whether this process may ask `esp` now; then nobody else may before `until`."""
    held = performance.lock_state(connection, _SCOPE, _key(esp), now)
    if now < float(held.get("until", 0.0)) <= now + _LONGEST_TURN:
        return False
    hold_off(connection, esp, now, until)
    return True


def hold_off(connection: sa.Connection, esp: str, now: float, until: float) -> None:
    """Nobody asks `esp` before `until`."""
    performance.put_state(connection, _SCOPE, _key(esp), {"until": until}, now)


#: A turn that ends later than this was written by a clock that was wrong.
_LONGEST_TURN = 86_400.0


def _key(esp: str) -> str:
    return f"look-up/{esp}"


def found(
    connection: sa.Connection, doubt: Doubt, esp: str, target: S, message_id: str, now: float
) -> bool:
    """The ESP has it: lift the send like an event does. False = somebody was first."""
    row = send_acts.for_events(connection, [doubt.id]).get(doubt.id)
    if row is None or row.status is not S.IN_DOUBT or row.esp != esp or row.nonce != doubt.nonce:
        return False
    send_acts.lift(connection, [Lift(row, target, esp, message_id, FOUND)], now)
    return True


def not_found(connection: sa.Connection, doubt: Doubt, esp: str, now: float) -> S | None:
    """The ESP has none: the first time noted, the second time the end. Returns the state that the
    send is in now; None = somebody was first, or an answer came meanwhile."""
    unchanged = sa.and_(
        _s.id == doubt.id, _s.status == S.IN_DOUBT, _s.esp == esp,
        _s.updated_at == doubt.updated_at, _s.reason.is_not_distinct_from(doubt.reason),
    )  # fmt: skip
    trail = connection.execute(sa.select(_s.trail).where(unchanged).with_for_update()).one_or_none()
    if trail is None:
        return None
    target = S.FAILED if doubt.not_found_before else S.IN_DOUBT
    reason = NOT_ACCEPTED if doubt.not_found_before else NOT_FOUND
    line = {"at": now, "esp": esp, "to": target, "why": reason, "was": doubt.reason}
    connection.execute(
        sends.update()
        .where(_s.id == doubt.id)
        .values(status=target, reason=reason, trail=longer(trail[0], line), updated_at=now)
    )
    if target is S.FAILED:
        ledger.apply(connection, doubt.campaign_id, {Move(S.IN_DOUBT, target, esp): 1})
        if doubt.lane is Lane.TRANSACTIONAL:
            forget_attachments(connection, [doubt.campaign_id])
    return target
