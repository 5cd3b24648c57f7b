"""The campaign guard as an operator meets it: what it says of a campaign, and letting one go on.

What it learns is kept by `inbound.guard`.
"""

import sqlalchemy as sa

from database import esp_performance as performance
from services.policies import guard as policy
from services.policies.guard import Guard


def of(connection: sa.Connection, campaign_id: int) -> Guard | None:
    """What the guard knows of a campaign; None = nothing came back yet."""
    kept = performance.get_state(connection, performance.GUARD, str(campaign_id))
    return None if kept is None else Guard.from_json(kept)


def forget_alarm(connection: sa.Connection, campaign_id: int, now: float) -> None:
    """A person lets the campaign go on: the tests begin anew."""
    if of(connection, campaign_id) is None:
        return
    kept = performance.lock_state(connection, performance.GUARD, str(campaign_id), now)
    guard = policy.resumed(Guard.from_json(kept))
    performance.put_state(connection, performance.GUARD, str(campaign_id), guard.to_json(), now)
