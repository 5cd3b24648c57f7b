"""The shapes of sends in HTTP, of campaigns and of single mails alike, and how rows become them.
Decides nothing."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from utils.signing import SendRef
from web.shapes import Answer, Body, Moment, PageQuery, Path, moment


class SendPath(Path):
    """A send in the path, by the id that travels with its message."""

    send_id: str


class MailResolveIn(Body):
    """How the doubt ends."""

    action: Literal["resend", "mark_sent", "mark_failed"]


class AddressedQuery(PageQuery):
    """Sends to whom, and since when."""

    to: str = Field(max_length=1000, description="An address, in any spelling")
    since: Moment | None = Field(None, description="Only what changed at or after it")


class SendOut(Answer):
    """One recipient of one campaign."""

    send_id: str
    campaign_id: int
    address: str
    subscriber_id: int | None
    status: str
    esp: str | None
    message_id: str | None
    attempts: int
    handed_over_at: str | None
    updated_at: str | None
    opened_at: str | None
    clicked_at: str | None
    reason: str | None


class StepOut(Answer):
    """One thing that happened to a send off the happy path."""

    at: str | None
    esp: str | None = None
    to: str | None = None
    why: str | None = None


class SendDetailsOut(SendOut):
    """One recipient, with what happened off the happy path, and what a single mail came with."""

    kind: str = Field(description="campaign, transactional or test")
    subject: str = Field(description="As it was written: Liquid")
    created_at: str | None
    expires_at: str | None
    metadata: dict[str, Any]
    tags: list[str]
    trail: list[StepOut]


class ReceivedOut(SendOut):
    """A send to an address, whichever kind it is of."""

    kind: str = Field(description="campaign, transactional or test")
    subject: str = Field(description="As it was written: Liquid")


class AddressedOut(Answer):
    """A page of the sends to an address, newest first."""

    items: list[ReceivedOut]
    next_cursor: str | None


class SendsOut(Answer):
    """A page of sends in the order of their addresses."""

    items: list[SendOut]
    next_cursor: str | None


def send_fields(row: Mapping[Any, Any], nonce: str) -> dict[str, Any]:
    """A send's fields as the API and the CSV show them."""
    return {
        "send_id": str(SendRef(nonce, row["id"])),
        **{name: row[name] for name in SendOut.model_fields if name in _AS_STORED},
        **{name: moment(row[name]) for name in _MOMENTS},
    }


_AS_STORED = frozenset(
    {
        "campaign_id", "address", "subscriber_id", "status", "esp", "message_id", "attempts",
        "reason",
    }
)  # fmt: skip
_MOMENTS = ("handed_over_at", "updated_at", "opened_at", "clicked_at")


def send_details(row: Mapping[Any, Any], campaign: Mapping[Any, Any]) -> SendDetailsOut:
    """A send with what happened to it, and what its request said."""
    steps = [
        StepOut(at=moment(step.get("at")), **{k: step.get(k) for k in ("esp", "to", "why")})
        for step in row["trail"] or []
    ]
    options = campaign["options"]
    return SendDetailsOut(
        **send_fields(row, campaign["nonce"]), kind=campaign["kind"], subject=campaign["subject"],
        created_at=moment(campaign["created_at"]),
        expires_at=moment(options.get("expires_at")),
        metadata=options.get("metadata") or {}, tags=options.get("tags") or [], trail=steps,
    )  # fmt: skip


def received(row: Mapping[Any, Any]) -> ReceivedOut:
    """A send as the list of an address shows it."""
    return ReceivedOut(**send_fields(row, row["nonce"]), kind=row["kind"], subject=row["subject"])
