"""Whether the person of a send may be mailed, as SQL: for the statement that commits a hand-over.

The one place that says so; taking people out of reach is `suppression`'s matter.
"""

from functools import lru_cache
from typing import NamedTuple

#: Who may not be mailed. Transactional mail also reaches people who are only pending,
#: unsubscribed or inactive (contract: `/send-email`).
_OUT_OF_REACH = (
    "(sends.lane = 'campaign' AND (p.status <> 'active' OR {opted_out})"
    " OR sends.lane = 'transactional' AND p.status IN ('bounced', 'complained', 'erased'))"
)
#: Whether the person wants no more about the campaign's topic. Hardly anybody has opt-outs.
_OPTED_OUT = {
    "sqlite": "EXISTS (SELECT 1 FROM campaigns t, json_each(p.topic_opt_outs) o"
    " WHERE t.id = sends.campaign_id AND o.key = t.topic)",
    "postgresql": "EXISTS (SELECT 1 FROM campaigns t"
    " WHERE t.id = sends.campaign_id AND jsonb_exists(p.topic_opt_outs, t.topic))",
}
_WORDS = (
    "SELECT CASE WHEN p.status = 'active' THEN 'topic opt-out: '"
    " || (SELECT t.topic FROM campaigns t WHERE t.id = sends.campaign_id)"
    " ELSE p.status || COALESCE(': ' || NULLIF(p.status_reason, ''), '') END"
)


class Suppression(NamedTuple):
    """SQL about a send whose person may not be mailed."""

    condition: str
    words: str


@lru_cache
def suppression_sql(dialect: str) -> Suppression:
    """For conditions and values of statements over `sends`."""
    opted_out = f"p.topic_opt_outs <> '{{}}' AND {_OPTED_OUT[dialect]}"
    person = f"FROM subscribers p WHERE {_OUT_OF_REACH.format(opted_out=opted_out)} AND "
    by_id = f"{person} p.id = sends.subscriber_id"
    by_address = f"{person} p.address = sends.address"
    return Suppression(
        # Two look-ups by key, not one with OR, which PostgreSQL would answer with a scan.
        f"(EXISTS (SELECT 1 {by_id})"
        f" OR sends.subscriber_id IS NULL AND EXISTS (SELECT 1 {by_address}))",
        f"COALESCE(({_WORDS} {by_id}), ({_WORDS} {by_address}))",
    )
