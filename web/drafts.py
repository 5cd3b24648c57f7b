"""Campaigns before they leave, over HTTP: written, edited, copied, deleted, and sent."""

from typing import Any

from flask_openapi.blueprint import APIBlueprint

from outbound.overview import CampaignReader
from web.campaign_models import CampaignPath, KeyHeader, LaunchedOut, NoBody, launched_out
from web.context import house
from web.draft_models import CampaignDetailsOut, DraftIn, details_out

Created = tuple[dict[str, Any], int, dict[str, str]]

blueprint = APIBlueprint(
    "drafts", __name__, abp_tags=[{"name": "campaigns"}], abp_security=[{"key": []}]
)


@blueprint.post("/campaigns", responses={201: CampaignDetailsOut})
def create(body: DraftIn) -> Created:
    """Keep a draft, whatever is wrong with it; `problems` says what."""
    return _created(house().drafts.create(body.draft()))


@blueprint.get("/campaigns/<int:campaign_id>", responses={200: CampaignDetailsOut})
def get_campaign(path: CampaignPath) -> dict[str, Any]:
    """One campaign: its content, its ledger, what it waits for, how fast it leaves."""
    return campaign_details(path.campaign_id)


@blueprint.patch("/campaigns/<int:campaign_id>", responses={200: CampaignDetailsOut})
def change(path: CampaignPath, body: DraftIn) -> dict[str, Any]:
    """Edit some fields of a campaign that was not launched."""
    house().drafts.change(path.campaign_id, body.changes())
    return campaign_details(path.campaign_id)


@blueprint.delete("/campaigns/<int:campaign_id>", responses={204: None})
def delete(path: CampaignPath) -> tuple[str, int]:
    """Remove a campaign that was never launched."""
    house().drafts.delete(path.campaign_id)
    return "", 204


@blueprint.post("/campaigns/<int:campaign_id>/copy", responses={201: CampaignDetailsOut})
def copy(path: CampaignPath, body: NoBody) -> Created:  # noqa: ARG001  (checks it is empty)
    """A new draft of what any campaign says."""
    return _created(house().drafts.copy(path.campaign_id))


@blueprint.post("/campaigns/<int:campaign_id>/send", responses={202: LaunchedOut})
def send(path: CampaignPath, header: KeyHeader, body: NoBody) -> Created:  # noqa: ARG001
    """Send a draft to everybody its segment matches."""
    launched = house().launcher.send(path.campaign_id, idempotency_key=header.idempotency_key)
    return launched_out(launched)


def campaign_details(campaign_id: int) -> dict[str, Any]:
    """A campaign as its author sees it."""
    parts = house()
    overview = CampaignReader(parts.db, parts.manager, parts.clock).get(campaign_id)
    return details_out(overview, parts.drafts.problems(overview.row)).model_dump()


def _created(campaign_id: int) -> Created:
    return campaign_details(campaign_id), 201, {"Location": f"/campaigns/{campaign_id}"}
