"""The shapes of campaigns that are looked at before they leave. Decides nothing."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from outbound.dry_run import DryRun
from outbound.preview import Preview
from utils.errors import FieldError
from web.campaign_models import HIGHEST_ID, CampaignIn
from web.draft_models import DraftIn
from web.shapes import Answer, FieldProblem, moment


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


class SendIn(CampaignIn):
    """What `POST /send-campaign` takes."""

    dry_run: bool = Field(False, description="Tell what would become of it, and send nothing")


class LackingOut(Answer):
    """A variable that some of the audience lack, without excuse."""

    name: str
    count: int
    examples: list[str]


class ShareOut(Answer):
    """What one ESP would take of it."""

    esp: str
    recipients: int
    rate_per_second: float | None
    remaining_today: int | None
    daily_limit: int | None
    why_not: str | None


class FinishOut(Answer):
    """When the last message leaves, at the earliest."""

    not_before: str | None = Field(description="null: not known, or never")
    binds: str = Field(description="What keeps it from being earlier")


class DryRunOut(Answer):
    """What would become of a campaign."""

    audience: int
    problems: list[FieldProblem]
    warnings: list[str]
    missing: list[LackingOut]
    split: list[ShareOut]
    finish: FinishOut
    sample: PreviewOut | None


def dry_run_out(seen: DryRun) -> DryRunOut:
    """A dry run as the API shows it."""
    outlook = seen.outlook
    return DryRunOut(
        audience=seen.audience, problems=_problems(seen.problems), warnings=seen.warnings,
        missing=[
            LackingOut(name=one.name, count=one.count, examples=list(one.examples))
            for one in seen.missing
        ],
        split=[
            ShareOut(**one._asdict() | {"why_not": one.why_not or None}) for one in outlook.shares
        ],
        finish=FinishOut(not_before=moment(outlook.finish), binds=outlook.binds),
        sample=None if seen.sample is None else preview_out(seen.sample),
    )  # fmt: skip


def preview_out(seen: Preview) -> PreviewOut:
    """A preview as the API shows it."""
    same = ("subject", "html", "text", "links", "missing", "warnings")
    return PreviewOut(
        **{name: getattr(seen, name) for name in same},
        person=ReaderOut(email=seen.reader.email, name=seen.reader.name),
        headers=dict(seen.headers),
        problems=_problems(seen.problems),
        size_bytes=seen.size,
    )


def _problems(found: Sequence[FieldError]) -> list[FieldProblem]:
    return [FieldProblem(field=one.field, message=one.message) for one in found]
