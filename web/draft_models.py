"""The shapes of campaigns that are being written. Decides nothing."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from pydantic import Field

from outbound.draft import Draft, draft_of
from outbound.overview import Overview
from utils.errors import FieldError
from web.campaign_models import CampaignIn, CampaignOut, Line, campaign_out
from web.shapes import FieldProblem


class DraftIn(CampaignIn):
    """What `POST /campaigns` takes, or of it what `PATCH` changes: an author saves early."""

    subject: Line = Field("", description="Liquid")

    def changes(self) -> dict[str, Any]:
        """The fields that the request names; null goes back to what is usual."""
        return {
            f.name: getattr(self.draft(), f.name)
            for f in fields(Draft)
            if f.name in self.model_fields_set
        }


class CampaignDetailsOut(CampaignOut):
    """One campaign with its content, and what keeps it from being sent."""

    html: str | None
    text: str | None
    track_opens: bool
    track_clicks: bool
    allow_missing: bool
    esp: str | None
    problems: list[FieldProblem] | None = Field(
        description="All that a launch would refuse now; null once it was launched or cancelled"
    )


def details_out(overview: Overview, problems: Sequence[FieldError] | None) -> CampaignDetailsOut:
    """A campaign as its author sees it."""
    written = draft_of(overview.row)
    names = ("html", "text", "track_opens", "track_clicks", "allow_missing", "esp")
    return CampaignDetailsOut(
        **campaign_out(overview).model_dump(),
        **{name: getattr(written, name) for name in names},
        problems=None if problems is None else [_problem(found) for found in problems],
    )


def _problem(found: FieldError) -> FieldProblem:
    return FieldProblem(field=found.field, message=found.message)
