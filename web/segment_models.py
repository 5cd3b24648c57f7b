"""The shapes of segments in HTTP. Decides nothing."""

from typing import Any

from pydantic import Field

from database.segment_view import Size, Verdict
from utils.times import rfc3339
from web.campaign_models import Line
from web.shapes import Answer, Query

#: A query's text may be as long as gunicorn's line for a request allows.
_RULE = Field(description="A rule tree as JSON, or the name of a saved segment or tag")


class CountQuery(Query):
    """Which segment to count."""

    segment: Line = _RULE
    fresh: bool = Field(False, description="Count again, however lately it was counted")


class ExplainQuery(Query):
    """Whom to look for in which segment."""

    segment: Line = _RULE
    email: Line = Field(max_length=1000)


class SegmentOut(Answer):
    """A saved segment."""

    name: str
    rule: Any


class SegmentsOut(Answer):
    """All of them."""

    items: list[SegmentOut]


class CountOut(Answer):
    """How many people a segment has."""

    people: int = Field(description="Whatever their status")
    reached: int = Field(description="Active: whom a campaign reaches now")
    counted_at: str
    seconds: float = Field(description="How long counting took")


class VerdictOut(Answer):
    """A node of the rule, and whether it is true of the person."""

    rule: dict[str, Any] = Field(description="The rule of a field; else `rule`: all, any or not")
    holds: bool
    found: Any = Field(None, description="What the person has in the field")
    nodes: list["VerdictOut"] = Field(default_factory=list)


class ExplainOut(Answer):
    """Why somebody is in a segment, or is not."""

    email: str
    status: str
    in_segment: bool
    reached: bool = Field(description="In it and active")
    verdict: VerdictOut


def count_out(size: Size, at: float, seconds: float) -> CountOut:
    """The answer to a count."""
    return CountOut(
        people=size.people, reached=size.reached, counted_at=rfc3339(at), seconds=round(seconds, 4)
    )


def verdict_out(verdict: Verdict) -> VerdictOut:
    """A node with those in it."""
    return VerdictOut(
        rule=verdict.rule, holds=verdict.holds, found=verdict.found,
        nodes=[verdict_out(node) for node in verdict.nodes],
    )  # fmt: skip
