"""The shapes of subscribers in HTTP, and how stored ones become them. Decides nothing."""

from typing import Any, Literal

from pydantic import Field

from database.models import SubscriberStatus
from database.subscribers import Subscriber
from utils import person
from utils.attributes import LONGEST_KEY, LONGEST_NAME, MOST_TAGS
from utils.errors import Invalid
from utils.person import BadField, Change
from utils.score import score
from utils.times import rfc3339
from web.campaign_models import Body, Line
from web.shapes import Answer, PageQuery, Path

#: What a caller may set; `erased` is reached by DELETE only.
Status = Literal["pending", "active", "unsubscribed", "bounced", "complained", "inactive"]


class SubscriberIn(Body):
    """What `POST /subscribers` takes. What is not given is kept; null clears."""

    email: str = Field(max_length=1000)
    name: str | None = Field(None, max_length=LONGEST_NAME)
    attributes: dict[str, Any] | None = Field(None, description="Merged; a null removes one")
    tags: list[str] | None = Field(None, max_length=MOST_TAGS, description="Added")
    status: Status | None = Field(None, description="New people: active. Only moves away from it")

    def change(self) -> Change:
        """What this says about the person."""
        return _change(self)


class SubscriberPatch(Body):
    """What `PATCH /subscribers/{email}` takes. What is not given is kept; null clears."""

    name: str | None = Field(None, max_length=LONGEST_NAME)
    attributes: dict[str, Any] | None = Field(None, description="Merged; a null removes one")
    tags: list[str] | None = Field(None, max_length=MOST_TAGS, description="Instead of the old")
    status: Status | None = None

    def change(self, email: str) -> Change:
        """What this says about the person with that address."""
        change = _change(self, email=email)
        change.drop_tags = "tags" in self.model_fields_set
        return change


class ReasonIn(Body):
    """Why an operator acts."""

    reason: Line = Field(min_length=1, max_length=1000)


class EmailPath(Path):
    """A subscriber by address, in any spelling."""

    # Only described: without an @ it is one of the routes beside, or nobody (404).
    email: str = Field(json_schema_extra={"pattern": "@"})


class SubscribersQuery(PageQuery):
    """Which subscribers to list."""

    status: SubscriberStatus | None = None
    tag: Line | None = Field(None, max_length=LONGEST_KEY)
    q: Line | None = Field(None, max_length=254, description="How the address begins")


class SubscriberOut(Answer):
    """A subscriber."""

    id: int
    email: str
    name: str
    status: SubscriberStatus
    status_reason: str
    status_at: str
    tags: list[str]
    attributes: dict[str, Any]
    topic_opt_outs: list[str]
    engagement_score: float
    opt_in_at: str | None
    opt_in_ip: str | None
    last_delivered_at: str | None
    last_open_at: str | None
    last_click_at: str | None
    created_at: str
    updated_at: str


class SubscriberWithTimelineOut(SubscriberOut):
    """A subscriber with what happened to them, newest first."""

    timeline: list[dict[str, Any]]


class SubscribersOut(Answer):
    """A page of subscribers."""

    items: list[SubscriberOut]
    next_cursor: str | None


class StatsOut(Answer):
    """How many subscribers there are."""

    total: int
    by_status: dict[str, int]
    by_mailbox_provider: dict[str, int] = Field(description="Active people")
    by_tag: dict[str, int] = Field(description="Active people, the 100 largest tags")


def subscriber_fields(found: Subscriber, now: float) -> dict[str, Any]:
    """The fields of `SubscriberOut`."""
    return {
        "id": found.id,
        "email": found.email,
        "name": found.name,
        "status": found.status,
        "status_reason": found.status_reason,
        "status_at": rfc3339(found.status_at),
        "tags": sorted(found.tags),
        "attributes": found.attributes,
        "topic_opt_outs": sorted(found.topic_opt_outs),
        "engagement_score": round(score(found.engagement, now), 1),
        "opt_in_at": _time(found.opt_in_at),
        "opt_in_ip": found.opt_in_ip,
        "last_delivered_at": _time(found.last_delivered_at),
        "last_open_at": _time(found.last_open_at),
        "last_click_at": _time(found.last_click_at),
        "created_at": rfc3339(found.created_at),
        "updated_at": rfc3339(found.updated_at),
    }


def timeline_out(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same entries with readable times."""
    return [{**entry, "at": rfc3339(float(entry["at"]))} for entry in entries]


def _change(body: SubscriberIn | SubscriberPatch, **more: str) -> Change:
    given = {name: getattr(body, name) for name in body.model_fields_set}
    try:
        return person.read(0, {**more, **given})
    except BadField as error:
        raise Invalid.of(error.field, str(error)) from None


def _time(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)
