"""POST /webhooks/<esp>: what ESPs tell us. Answered with 200 only once it is on disk.

No API key: each ESP proves itself, and its adapter checks the proof. Nothing of a call is repeated.
"""

import logging
import zlib
from collections import Counter
from typing import Any

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint
from pydantic import Field
from sqlalchemy import Connection
from werkzeug.exceptions import RequestEntityTooLarge

from database import events
from database.engine import DatabaseUnavailable
from services.esp import Esp, EspEvent, WebhookNotConfigured, WebhookRefused, WebhookRequest
from utils.buffer import Buffer
from utils.errors import NotFound
from utils.together import Together
from web.context import House, house
from web.frame import whole_body
from web.shapes import Path

log = logging.getLogger(__name__)

#: SendGrid sends at most 768 kB at once, SNS 256 kB, Postmark one event.
LARGEST = 4_000_000
LARGEST_UNPACKED = 16_000_000
#: Refused calls are counted this late, so that a flood of them costs no more than one.
COUNT_SECONDS = 1.0
#: Calls that come while others are being written are written together, up to so many events: SNS
#: and Postmark make a call for each event.
EVENTS_AT_ONCE = 1_000
_GZIP = 16 + zlib.MAX_WBITS

blueprint = APIBlueprint("webhooks", __name__, abp_tags=[{"name": "webhooks"}])


class EspPath(Path):
    """An ESP in the path."""

    esp: str = Field(description="sendgrid, ses or postmark")


_TEXT: dict[Any, Any] = {
    200: {"description": "Taken, or known already", "content": {"text/plain": {}}}
}


@blueprint.get("/webhooks/<esp>", responses=_TEXT)
def look(path: EspPath) -> Response:
    """Whether the address is right and reachable."""
    _must_be_known(path.esp)
    return _text("reachable; POST only\n")


@blueprint.post("/webhooks/<esp>", responses=_TEXT)
def receive(path: EspPath) -> Response:
    """Events of an ESP, verified, in its own format; 200 once they are on disk."""
    _must_be_known(path.esp)
    parts = house()
    try:
        told = _adapter(parts, path.esp).read_webhook(_call())
    except WebhookRefused as refused:
        log.warning("a webhook call of %s was refused: %s", path.esp, refused.reason)
        _refusals(parts).add(path.esp)
        raise
    except WebhookNotConfigured:
        log.warning("a webhook call of %s cannot be verified: no key is configured", path.esp)
        raise
    _intake(parts)(told)
    return _text("ok\n")


def _must_be_known(esp: str) -> None:
    if esp not in house().settings.esp_names:
        raise NotFound("There is no such ESP.")


def _adapter(parts: House, name: str) -> Esp:
    adapter = parts.esps.get(name)
    if adapter is None:
        raise WebhookNotConfigured("the ESP is not configured")
    return adapter


def _call() -> WebhookRequest:
    """The call as it arrived: its raw body is what a signature covers."""
    request.max_content_length = LARGEST
    body = whole_body()
    if request.headers.get("Content-Encoding", "").strip().lower() in {"gzip", "x-gzip"}:
        body = _unpacked(body)
    headers: dict[str, str] = {name.lower(): value for name, value in request.headers.items()}
    return WebhookRequest(headers, body)


def _unpacked(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        whole = unpacker.decompress(body, LARGEST_UNPACKED)
    except zlib.error:
        # 5xx: a 4xx would make SNS drop the events for good.
        raise WebhookRefused("the body is not gzip", status=500) from None
    if unpacker.unconsumed_tail:
        raise RequestEntityTooLarge
    if not unpacker.eof:
        raise WebhookRefused("the gzip body is cut off", status=500)
    return whole


def _intake(parts: House) -> Together[EspEvent]:
    found: Together[EspEvent] = parts.extras.setdefault(
        "intake", Together(lambda told: _apply(parts, told), EVENTS_AT_ONCE, (DatabaseUnavailable,))
    )
    return found


def _apply(parts: House, told: list[EspEvent]) -> None:
    applied = parts.feedback.apply(told)
    log.info("webhooks of %s: %s", ", ".join(sorted({event.esp for event in told})), applied)


def _refusals(parts: House) -> Buffer[str]:
    found: Buffer[str] = parts.extras.setdefault(
        "refused_webhooks", Buffer(lambda names: _count(parts, names), COUNT_SECONDS)
    )
    return found


def _count(parts: House, names: list[str]) -> None:
    def write(connection: Connection) -> None:
        for esp, calls in sorted(Counter(names).items()):
            events.note_refused(connection, esp, calls, parts.clock())

    parts.db.transact(write, durable=False)


def _text(words: str) -> Response:
    return Response(words, content_type="text/plain; charset=utf-8")
