"""Campaigns over HTTP: launch one, watch it, stop it, and see what became of each recipient."""

from typing import Any

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint

from database import send_acts
from outbound.overview import CampaignReader
from web import campaign_csv
from web.auth import actor
from web.campaign_models import (
    CampaignOut,
    CampaignPath,
    CampaignsOut,
    CampaignsQuery,
    KeyHeader,
    LaunchedOut,
    MovedOut,
    NoBody,
    PauseIn,
    ResolveIn,
    SendsQuery,
    campaign_out,
    launched_out,
)
from web.context import house
from web.preview_models import DryRunOut, SendIn, dry_run_out
from web.send_models import SendOut, SendsOut, send_fields
from web.shapes import next_cursor, read_name, read_position

Answered = tuple[dict[str, Any], int] | tuple[dict[str, Any], int, dict[str, str]]

blueprint = APIBlueprint(
    "campaigns", __name__, abp_tags=[{"name": "campaigns"}], abp_security=[{"key": []}]
)


@blueprint.post("/send-campaign", responses={202: LaunchedOut, 200: DryRunOut})
def send_campaign(body: SendIn, header: KeyHeader) -> Answered:
    """Send a campaign to everybody its segment matches, now or at `scheduled_at`; or tell what
    would become of it (`dry_run`)."""
    if body.dry_run:
        return dry_run_out(house().dry_runner.run(body.draft())).model_dump(), 200
    launched = house().launcher.launch(body.draft(), idempotency_key=header.idempotency_key)
    return launched_out(launched)


@blueprint.get("/campaigns", responses={200: CampaignsOut})
def list_campaigns(query: CampaignsQuery) -> dict[str, Any]:
    """Campaigns, newest first."""
    before = read_position("campaigns", query.cursor)
    found = _reader().page(query.limit + 1, before, query.status)
    shown = found[: query.limit]
    last = shown[-1].row["id"] if len(found) > len(shown) else None
    items = [campaign_out(overview) for overview in shown]
    return CampaignsOut(items=items, next_cursor=next_cursor("campaigns", last)).model_dump()


@blueprint.get("/campaigns/<int:campaign_id>/sends", responses={200: SendsOut})
def list_sends(path: CampaignPath, query: SendsQuery) -> dict[str, Any] | Response:
    """Who, by which ESP, when, and why not; as JSON page by page, or as CSV all at once."""
    if query.format == "csv" or (query.format is None and _wants_csv()):
        return campaign_csv.response(house().db, path.campaign_id, query.status, query.esp)
    after = read_name("sends", query.cursor) or ""
    with house().db.read() as connection:
        nonce = campaign_csv.nonce_of(connection, path.campaign_id)
        rows = send_acts.page(
            connection, path.campaign_id, query.limit + 1, after, query.status, query.esp
        )
    shown = rows[: query.limit]
    last = shown[-1]["address"] if len(rows) > len(shown) else None
    items = [SendOut(**send_fields(row, nonce)) for row in shown]
    return SendsOut(items=items, next_cursor=next_cursor("sends", last)).model_dump()


@blueprint.post("/campaigns/<int:campaign_id>/pause", responses={200: CampaignOut})
def pause(path: CampaignPath, body: PauseIn) -> dict[str, Any]:
    """Stop claiming; what is handed over already ends as it ends."""
    house().control.pause(path.campaign_id, by=actor(), reason=body.reason)
    return _campaign(path.campaign_id)


@blueprint.post("/campaigns/<int:campaign_id>/resume", responses={200: CampaignOut})
def resume(path: CampaignPath, body: NoBody) -> dict[str, Any]:  # noqa: ARG001  (checks it is empty)
    """Go on where it stopped."""
    house().control.resume(path.campaign_id, by=actor())
    return _campaign(path.campaign_id)


@blueprint.post("/campaigns/<int:campaign_id>/cancel", responses={200: CampaignOut})
def cancel(path: CampaignPath, body: NoBody) -> dict[str, Any]:  # noqa: ARG001  (checks it is empty)
    """Never send the rest."""
    house().control.cancel(path.campaign_id, by=actor())
    return _campaign(path.campaign_id)


@blueprint.post("/campaigns/<int:campaign_id>/retry-failed", responses={200: MovedOut})
def retry_failed(path: CampaignPath, body: NoBody) -> dict[str, Any]:  # noqa: ARG001
    """Queue every failed send again."""
    moved = house().control.retry_failed(path.campaign_id, by=actor())
    return {"moved": moved, "campaign": _campaign(path.campaign_id)}


@blueprint.post("/campaigns/<int:campaign_id>/resolve-in-doubt", responses={200: MovedOut})
def resolve_in_doubt(path: CampaignPath, body: ResolveIn) -> dict[str, Any]:
    """End the doubt by an operator's word; `resend` may mail somebody twice, and is logged."""
    moved = house().control.resolve_in_doubt(
        path.campaign_id, body.action, by=actor(), only_not_found=body.only == "not_found"
    )
    return {"moved": moved, "campaign": _campaign(path.campaign_id)}


def _reader() -> CampaignReader:
    return CampaignReader(house().db, house().manager, house().clock)


def _campaign(campaign_id: int) -> dict[str, Any]:
    return campaign_out(_reader().get(campaign_id)).model_dump()


def _wants_csv() -> bool:
    return request.accept_mimetypes.best_match(["application/json", "text/csv"]) == "text/csv"
