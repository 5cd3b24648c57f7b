"""Taking people out of reach: one compare-and-set, and their waiting sends with it.

The hand-over statement (database/sends.py) checks the status again, so suppression wins anyway;
moving the waiting rows at once keeps the campaign's ledger true to what will happen.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from database import bulk, ledger, subscribers
from database import esp_performance as performance
from database.models import CampaignStatus, Lane, SendStatus, SubscriberStatus, campaigns, sends
from database.subscribers import Subscriber

#: What transactional mail may not reach either (contract §4, /send-email).
UNREACHABLE = frozenset(
    {SubscriberStatus.BOUNCED, SubscriberStatus.COMPLAINED, SubscriberStatus.ERASED}
)
_OPEN = (SendStatus.QUEUED, SendStatus.SENDING)


def stop_sends(
    connection: sa.Connection, people: Sequence[int], status: SubscriberStatus, *, at: float,
    topic: str | None = None,
) -> int:  # fmt: skip
    """Suppress every send to `people` that was not handed to an ESP; how many there were."""
    if not people:
        return 0
    among = sa.text(f"subscriber_id {bulk.listed(connection)}").bindparams(ids=bulk.packed(people))
    conditions: list[sa.ColumnElement[bool]] = [among]  # type: ignore[list-item]
    if status not in UNREACHABLE:
        conditions.append(sends.c.lane == Lane.CAMPAIGN)
    if topic is not None:
        conditions.append(sends.c.campaign_id.in_(_open_campaigns_about(topic)))
    why = status if topic is None else f"topic opt-out: {topic}"
    return _suppress(connection, conditions, why, at)


def stop_strangers_sends(
    connection: sa.Connection, address: str, status: SubscriberStatus, *, at: float
) -> int:
    """The same for transactional mail to an address that was no subscriber when it was queued."""
    conditions = [
        sends.c.lane == sa.literal_column("'transactional'"),  # literal: for the partial index
        sends.c.address == address,
    ]
    return _suppress(connection, conditions, status, at)


def _suppress(
    connection: sa.Connection, conditions: Sequence[sa.ColumnElement[bool]], why: str, at: float
) -> int:
    moved: Counter[tuple[int, SendStatus]] = Counter()
    claims: list[tuple[str | None, float]] = []
    for source in _OPEN:
        rows = _waiting(connection, conditions, source)
        if not rows:
            continue
        connection.execute(
            sends.update()
            .where(_numbered(connection, [row.id for row in rows]))
            .values(
                status=SendStatus.SUPPRESSED, reason=why, updated_at=at, esp=None,
                lease_token=None, lease_until=None,
            )
        )  # fmt: skip
        moved.update((row.campaign_id, source) for row in rows)
        claims += [(row.esp, row.updated_at) for row in rows if source is SendStatus.SENDING]
    # In the order of the campaigns: two transactions never wait for each other.
    for (campaign, source), count in sorted(moved.items()):
        ledger.move(connection, campaign, source, SendStatus.SUPPRESSED, count)
    performance.give_back_claimed(connection, claims)
    return moved.total()


def _waiting(
    connection: sa.Connection, conditions: Sequence[sa.ColumnElement[bool]], source: SendStatus
) -> Sequence[Any]:
    """Sends that were not handed over, locked in the order of their ids."""
    s = sends.c
    among = _CLAIMED if source is SendStatus.SENDING else sa.true()
    return connection.execute(
        sa.select(s.id, s.campaign_id, s.esp, s.updated_at)
        .where(
            *conditions,
            among,
            s.status == sa.literal_column(f"'{source}'"),
            s.handed_over_at.is_(None),
        )
        .order_by(s.id)
        .with_for_update()
    ).all()


#: Few campaigns have claimed sends, and both tables have an index over just those: without this,
#: looking for an address among them would read every send there ever was.
_CLAIMED = sends.c.campaign_id.in_(
    sa.select(campaigns.c.id).where(campaigns.c.n_sending > sa.literal_column("0"))
)


def _numbered(connection: sa.Connection, numbers: Sequence[int]) -> sa.TextClause:
    return sa.text(f"id {bulk.listed(connection)}").bindparams(ids=bulk.packed(numbers))


def _open_campaigns_about(topic: str) -> sa.Select[Any]:
    open_states = (CampaignStatus.SCHEDULED, CampaignStatus.SENDING, CampaignStatus.PAUSED)
    return sa.select(campaigns.c.id).where(
        campaigns.c.topic == topic, campaigns.c.status.in_(open_states)
    )


def opt_out_of_topic(
    connection: sa.Connection, person: Subscriber, topic: str, *, entry: dict[str, Any], at: float
) -> bool:
    """No more campaigns about `topic`; `person` must be locked. False when it was so already."""
    if topic in person.topic_opt_outs:
        return False
    values = {"topic_opt_outs": {**person.topic_opt_outs, topic: at}}
    subscribers.note(connection, person.id, entry=entry, at=at, values=values)
    stop_sends(connection, [person.id], SubscriberStatus.UNSUBSCRIBED, at=at, topic=topic)
    return True


def opt_in_to_topic(
    connection: sa.Connection, person: Subscriber, topic: str, *, entry: dict[str, Any], at: float
) -> bool:
    """The person's or an operator's own act; `person` must be locked."""
    if topic not in person.topic_opt_outs:
        return False
    left = {name: since for name, since in person.topic_opt_outs.items() if name != topic}
    subscribers.note(connection, person.id, entry=entry, at=at, values={"topic_opt_outs": left})
    return True
