"""The shapes of campaigns that are looked at before they leave. Decides nothing."""

from typing import Any

from pydantic import Field

from outbound.preview import Preview
from web.campaign_models import HIGHEST_ID
from web.draft_models import DraftIn
from web.shapes import Answer, FieldProblem


class WrittenIn(DraftIn):
    """A campaign by its content, by its id, or by its id with other content."""

    campaign_id: int | None = Field(
        None, ge=1, le=HIGHEST_ID, description="Of any campaign; other fields replace its own"
    )


class PreviewIn(WrittenIn):
    """What `POST /campaigns/preview` takes."""

    email: str | None = Field(None, max_length=1000, description="Read it as this subscriber")
    attributes: dict[str, Any] | None = Field(
        None, description="Made-up values; over those of `email`, if it is given"
    )


class ReaderOut(Answer):
    """As whom it is read."""

    email: str
    name: str


class PreviewOut(Answer):
    """What this person would get."""

    person: ReaderOut
    subject: str
    html: str | None
    text: str | None
    headers: dict[str, str]
    links: list[str] = Field(description="Where clicks lead, by number")
    missing: list[str] = Field(description="Variables that this person lacks, without excuse")
    warnings: list[str]
    problems: list[FieldProblem]
    size_bytes: int | None = Field(description="Of the whole message; null: it cannot be written")


def preview_out(seen: Preview) -> PreviewOut:
    """A preview as the API shows it."""
    same = ("subject", "html", "text", "links", "missing", "warnings")
    return PreviewOut(
        **{name: getattr(seen, name) for name in same},
        person=ReaderOut(email=seen.reader.email, name=seen.reader.name),
        headers=dict(seen.headers),
        problems=[FieldProblem(field=p.field, message=p.message) for p in seen.problems],
        size_bytes=seen.size,
    )
