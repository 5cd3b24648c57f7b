"""What a segment means for the list as it is: how many people it has, and why somebody is in it or
is not. Changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from database import audience
from database.models import subscribers
from database.segment_sql import condition
from database.segments import ATTRIBUTE, Tree, kind_of
from database.subscribers import Subscriber
from utils.score import score
from utils.times import rfc3339


class Size(NamedTuple):
    """How many people a segment has."""

    people: int  #: whatever their status
    reached: int  #: active: whom a campaign reaches


@dataclass(frozen=True, slots=True)
class Verdict:
    """One node of a rule, and whether it is true of somebody."""

    rule: Tree  #: the node without the nodes in it
    holds: bool
    found: Any = None  #: what the person has there; of rules with a field
    nodes: tuple["Verdict", ...] = ()


def size(connection: sa.Connection, tree: Tree, now: float) -> Size:
    """Count everybody: a look at each person unless an index serves the rule."""
    inside = condition(tree, now=now, sqlite=connection.dialect.name == "sqlite")
    reached = sa.func.count().filter(audience.reachable())
    query = sa.select(sa.func.count(), reached).select_from(subscribers).where(inside)
    return Size._make(connection.execute(query).one())


def explain(connection: sa.Connection, tree: Tree, person: Subscriber, now: float) -> Verdict:
    """Whether each node of the rule is true of a person, by the very conditions that choose a
    campaign's audience."""
    sqlite = connection.dialect.name == "sqlite"
    conditions = [condition(node, now=now, sqlite=sqlite) for node in _nodes(tree)]
    query = sa.select(*(sa.func.coalesce(one, sa.false()) for one in conditions))
    row = connection.execute(query.where(subscribers.c.id == person.id)).one()
    return _verdict(tree, iter(map(bool, row)), person, now)


def _nodes(tree: Tree) -> Iterator[Tree]:
    """The node and all nodes in it, from above."""
    yield tree
    for inner in _inner(tree):
        yield from _nodes(inner)


def _inner(tree: Tree) -> list[Tree]:
    if "not" in tree:
        return [tree["not"]]
    rules: list[Tree] = tree.get("all") or tree.get("any") or []
    return rules


def _verdict(tree: Tree, answers: Iterator[bool], person: Subscriber, now: float) -> Verdict:
    """`answers` are those of `_nodes`, in their order."""
    holds = next(answers)
    if "field" in tree:
        return Verdict(tree, holds, _found(tree["field"], person, now))
    [word] = tree
    return Verdict(
        {"rule": word}, holds,
        nodes=tuple(_verdict(inner, answers, person, now) for inner in _inner(tree)),
    )  # fmt: skip


def _found(field: str, person: Subscriber, now: float) -> Any:
    kind = kind_of(field)
    if kind == "attribute":
        return person.attributes.get(field.removeprefix(ATTRIBUTE))
    if kind == "tags":
        return sorted(person.tags)
    if kind == "score":
        return round(score(person.engagement, now), 1)
    value = getattr(person, field)
    return rfc3339(value) if kind == "time" and value is not None else value
