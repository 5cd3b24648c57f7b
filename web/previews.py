"""Campaigns looked at before they leave, over HTTP."""

from typing import Any

from flask_openapi.blueprint import APIBlueprint

from outbound.draft import Draft
from web.context import house
from web.preview_models import PreviewIn, PreviewOut, WrittenIn, preview_out

blueprint = APIBlueprint(
    "previews", __name__, abp_tags=[{"name": "campaigns"}], abp_security=[{"key": []}]
)


@blueprint.post("/campaigns/preview", responses={200: PreviewOut})
def preview(body: PreviewIn) -> dict[str, Any]:
    """The message as one person would get it; nothing is sent, and its links act for nobody."""
    seen = house().previewer.preview(
        _written(body), campaign_id=body.campaign_id or 0, email=body.email,
        attributes=body.attributes,
    )  # fmt: skip
    return preview_out(seen).model_dump()


def _written(body: WrittenIn) -> Draft:
    if body.campaign_id is None:
        return body.draft()
    return house().drafts.read(body.campaign_id, body.changes())
