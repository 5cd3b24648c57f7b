"""What became of a send, of a campaign or a single mail: by its id, or by whom it was for."""

from collections.abc import Mapping
from typing import Any

from flask_openapi.blueprint import APIBlueprint

from database import campaigns, send_acts, transactional
from utils.addresses import BadAddress, canonical
from utils.errors import Invalid, NotFound
from utils.signing import read_send_id
from web.auth import actor
from web.context import house
from web.send_models import (
    AddressedOut,
    AddressedQuery,
    MailResolveIn,
    SendDetailsOut,
    SendPath,
    received,
    send_details,
)
from web.shapes import next_cursor, read_position

blueprint = APIBlueprint("sends", __name__, abp_tags=[{"name": "sends"}],
                         abp_security=[{"key": []}])  # fmt: skip


@blueprint.get("/sends/<string:send_id>", responses={200: SendDetailsOut})
def get_send(path: SendPath) -> dict[str, Any]:
    """One send, with what happened to it off the happy path."""
    return send_details(*_found(path.send_id)).model_dump()


@blueprint.post("/sends/<string:send_id>/resolve-in-doubt", responses={200: SendDetailsOut})
def resolve_in_doubt(path: SendPath, body: MailResolveIn) -> dict[str, Any]:
    """End the doubt about a single mail by an operator's word; `resend` may mail somebody twice,
    and is logged."""
    send, _ = _found(path.send_id)
    house().control.resolve_mail(send["campaign_id"], body.action, by=actor())
    return send_details(*_found(path.send_id)).model_dump()


def _found(send_id: str) -> tuple[Mapping[Any, Any], Mapping[Any, Any]]:
    """The send and its campaign."""
    ref = read_send_id(send_id)
    with house().db.read() as connection:
        row = send_acts.get(connection, ref.id) if ref else None
        campaign = campaigns.get(connection, row["campaign_id"]) if row else None
    if ref is None or row is None or campaign is None or campaign["nonce"] != ref.nonce:
        raise NotFound(f"there is no send {send_id}")
    return row, campaign


@blueprint.get("/sends", responses={200: AddressedOut})
def list_sends(query: AddressedQuery) -> dict[str, Any]:
    """Did they get it? Every send to an address, newest first."""
    try:
        address = canonical(query.to)
    except BadAddress as error:
        raise Invalid.of("to", str(error)) from error
    since = None if query.since is None else query.since.timestamp()
    before = read_position("address", query.cursor)
    with house().db.read() as connection:
        rows = transactional.to_address(
            connection, address, since=since, before=before, limit=query.limit + 1
        )
    shown = rows[: query.limit]
    last = shown[-1]["id"] if len(rows) > len(shown) else None
    items = [received(row) for row in shown]
    return AddressedOut(items=items, next_cursor=next_cursor("address", last)).model_dump()
