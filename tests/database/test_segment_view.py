"""An explanation agrees with the audience, on both databases and for every kind of rule."""

from typing import Any

import pytest

from database import models, segment_view, subscribers
from database.engine import Database
from database.segments import parse
from tests.database.test_segments import NOW, db, people

__all__ = ["db"]

RULES: list[Any] = [
    {"field": "name", "op": "contains", "value": "nn"},
    {"field": "email", "op": "in", "value": ["P3.X@gmail.com", "p4.x@gmail.com"]},
    {"field": "status", "op": "!=", "value": "active"},
    {"field": "tags", "op": "in", "value": ["beta"]},
    {"field": "engagement_score", "op": "exists"},
    {"field": "created_at", "op": "older_than", "value": "1d"},
    {"field": "attributes.plan", "op": ">", "value": 4},
    {"not": {"field": "attributes.plan", "op": ">", "value": 4}},
    {"any": ["beta", {"all": [{"not": "0"}, {"field": "last_open_at", "op": "exists"}]}]},
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_whose_explanation_says_so_is_who_is_counted(db: Database, rule: Any) -> None:
    tree = parse(rule)
    with db.write() as connection:
        connection.execute(models.subscribers.insert(), people())
    with db.read() as connection:
        everybody = subscribers.page(connection, subscribers.Filter())
        inside = [segment_view.explain(connection, tree, one, NOW).holds for one in everybody]
        counted = segment_view.size(connection, tree, NOW)
    active = [one.status is models.SubscriberStatus.ACTIVE for one in everybody]
    assert counted == (sum(inside), sum(map(min, inside, active)))
    assert 0 < sum(inside) < len(inside)


def test_what_somebody_has_is_shown_for_every_kind_of_field(db: Database) -> None:
    with db.write() as connection:
        connection.execute(models.subscribers.insert(), people()[3:4])
        [one] = subscribers.page(connection, subscribers.Filter())
        tree = parse({"any": RULES[:7]})
        found = [node.found for node in segment_view.explain(connection, tree, one, NOW).nodes]
    name, email, status, tags, score, created_at, plan = found
    assert (name, email, status) == (one.name, one.email, one.status)
    assert (tags, plan) == (sorted(one.tags), one.attributes.get("plan"))
    assert 0 <= score <= 100
    assert created_at.endswith("Z")
