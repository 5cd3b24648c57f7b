"""The shapes of campaigns that are looked at before they leave. Decides nothing."""

from typing import Annotated, Any

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


class TestIn(WrittenIn):
    """What `POST /campaigns/test` takes."""

    to: list[Annotated[str, Field(max_length=1000)]] = Field(min_length=1, max_length=10)
    reader: str | None = Field(
        None, alias="as", max_length=1000,
        description="The subscriber whose values are used; the first of its audience if absent",
    )  # fmt: skip


class TestedOut(Answer):
    """A test that is on its way to one address."""

    to: str
    send_id: str


class TestsOut(Answer):
    """Tests that are on their way."""

    sends: list[TestedOut]
    read_as: str = Field(description="Whose values are used")
    warnings: list[str]


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
