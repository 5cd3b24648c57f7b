"""Who may become what, as total tables and pure functions. Knows no database, no clock, no ESP."""

from database.models import CampaignStatus as C
from database.models import EventKind, SubscriberStatus
from database.models import SendStatus as S

#: What an authentic event may lift a send to, lowest first; a send never goes back down this line.
PROVEN = (S.ACCEPTED, S.DELIVERED, S.BOUNCED, S.COMPLAINED)

#: Moves that our own code makes. Lifts by an ESP's event are not here: see `lifted`.
SEND_MOVES: dict[S, frozenset[S]] = {
    S.QUEUED: frozenset({S.SENDING, S.SUPPRESSED, S.CANCELLED}),
    S.SENDING: frozenset({S.QUEUED, S.SUPPRESSED, S.CANCELLED, S.FAILED, S.ACCEPTED, S.IN_DOUBT}),
    S.IN_DOUBT: frozenset({S.ACCEPTED, S.FAILED, S.QUEUED}),
    S.FAILED: frozenset({S.QUEUED}),
    S.ACCEPTED: frozenset(),
    S.DELIVERED: frozenset(),
    S.BOUNCED: frozenset(),
    S.COMPLAINED: frozenset(),
    S.SUPPRESSED: frozenset(),
    S.CANCELLED: frozenset(),
}

#: What only a restore does (database/fence.py): what waited in a backup may have left after it.
RESTORE_MOVES: dict[S, frozenset[S]] = {S.QUEUED: frozenset({S.IN_DOUBT})}

CAMPAIGN_MOVES: dict[C, frozenset[C]] = {
    C.DRAFT: frozenset({C.SCHEDULED, C.SENDING, C.CANCELLED}),
    C.SCHEDULED: frozenset({C.SENDING, C.PAUSED, C.CANCELLED}),
    C.SENDING: frozenset({C.PAUSED, C.SENT, C.FAILED, C.CANCELLED}),
    # Back to `scheduled` only before its launch, while its time is still ahead.
    C.PAUSED: frozenset({C.SCHEDULED, C.SENDING, C.SENT, C.FAILED, C.CANCELLED}),
    C.SENT: frozenset({C.SENDING}),
    C.FAILED: frozenset({C.SENDING}),
    C.CANCELLED: frozenset(),
}

#: How firmly a person is out of reach; imports, upserts and events move only down this line.
#: `active` and `pending` are equal: only the person's own confirmation moves between them.
SUBSCRIBER_RANK: dict[SubscriberStatus, int] = {
    SubscriberStatus.PENDING: 0,
    SubscriberStatus.ACTIVE: 0,
    SubscriberStatus.INACTIVE: 1,
    SubscriberStatus.BOUNCED: 2,
    SubscriberStatus.UNSUBSCRIBED: 3,
    SubscriberStatus.COMPLAINED: 4,
    SubscriberStatus.ERASED: 5,
}

#: The state that each event proves; an event that is not here proves only that the ESP took it.
_PROOF = {
    EventKind.DELIVERED: S.DELIVERED,
    EventKind.BOUNCE: S.BOUNCED,
    EventKind.FAILED: S.BOUNCED,
    EventKind.COMPLAINT: S.COMPLAINED,
    EventKind.OPEN: S.DELIVERED,
    EventKind.CLICK: S.DELIVERED,
    EventKind.UNSUBSCRIBE: S.DELIVERED,
    EventKind.REPLY: S.DELIVERED,
}


def proof_of(kind: EventKind, *, final: bool = True) -> S:
    """The send state that an authentic event proves.

    `final` is False for a bounce that the ESP goes on retrying or that is only temporary:
    contract §3 says that deferred and soft bounces are events on an accepted send.
    """
    if kind is EventKind.BOUNCE and not final:
        return S.ACCEPTED
    return _PROOF.get(kind, S.ACCEPTED)


def lifted(status: S, proof: S) -> S | None:
    """The state a send in `status` takes when an authentic event proves `proof`; None = it stays.

    Total over every pair: an early, late or repeated event is never an error. Any state outside
    `PROVEN` is lifted, because the ESP has the mail whatever our own record says (contract §3).
    """
    if status not in PROVEN:
        return proof
    return proof if PROVEN.index(proof) > PROVEN.index(status) else None


def may_become(status: S | None, target: S, *, restoring: bool = False) -> bool:
    """Whether a send may go from `status` (None = it is new) to `target`: by a move of ours, or
    lifted by an event."""
    if status is None:
        return target is S.QUEUED
    if restoring and target in RESTORE_MOVES.get(status, ()):
        return True
    return target in SEND_MOVES[status] or (target in PROVEN and lifted(status, target) is target)


def sources_of(target: C) -> tuple[C, ...]:
    """Every campaign state that may become `target`, for the WHERE clause of the move."""
    return tuple(status for status, targets in CAMPAIGN_MOVES.items() if target in targets)


def moves_away(status: SubscriberStatus, target: SubscriberStatus) -> bool:
    """Whether `target` puts a person further out of reach than `status`: all that an import,
    an upsert or an ESP's event may do (contract §3)."""
    return SUBSCRIBER_RANK[target] > SUBSCRIBER_RANK[status]


def further(*statuses: str | None) -> str | None:
    """Of what is said about one person, that which keeps them furthest out of reach; of equals the
    first. None says nothing."""
    said = [status for status in statuses if status]
    return max(said, key=lambda status: SUBSCRIBER_RANK[SubscriberStatus(status)], default=None)
