"""Campaigns looked at before they leave, over HTTP."""

from typing import Any

from flask_openapi.blueprint import APIBlueprint

from outbound.draft import Draft
from outbound.trial import Trial
from web.campaign_models import KeyHeader
from web.context import house
from web.preview_models import (
    PreviewIn,
    PreviewOut,
    TestedOut,
    TestIn,
    TestsOut,
    WrittenIn,
    preview_out,
)

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


@blueprint.post("/campaigns/test", responses={202: TestsOut})
def test(body: TestIn, header: KeyHeader) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Send it to a few addresses, marked as a test; no link of it acts for anybody."""
    trial = Trial(_written(body), tuple(body.to), body.reader)
    tried = house().tester.send(trial, idempotency_key=header.idempotency_key)
    sends = [TestedOut(**one) for one in tried.sends]
    answer = TestsOut(sends=sends, read_as=tried.reader, warnings=tried.warnings)
    return answer.model_dump(), 202, ({"Idempotent-Replayed": "true"} if tried.repeated else {})


def _written(body: WrittenIn) -> Draft:
    if body.campaign_id is None:
        return body.draft()
    return house().drafts.read(body.campaign_id, body.changes())
