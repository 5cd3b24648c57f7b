"""Our own pixel and links: GET /o/<token>, /c/<token>/<n> and /v/<token>.

What they see is written a moment later by another thread: no answer waits for it, or fails by it.
A tracking token opens nothing else; consent has tokens of its own.
"""

import re
import secrets
from typing import Any

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint

from database import tracked
from database.events import OWN
from database.models import EventKind
from mail.compiled import preview, render_view
from mail.links import fill_link, is_template
from mail.people import Person, RenderError, escape_html
from outbound.composer import Composer
from services.esp import EspEvent
from utils.buffer import Buffer
from utils.signing import SendRef
from web.context import House, house
from web.public import not_found
from web.shapes import Path

#: How long a hit may wait to be written; a kill -9 or power cut loses what is waiting.
FLUSH_SECONDS = 0.05
#: Campaigns whose click targets are kept in memory.
_KEPT = 256
#: One transparent pixel, the smallest that every mail program shows.
PIXEL = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
#: Mail is hostile to our own pages: no script, no form, an origin of its own.
VIEW_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    "img-src http: https: data:; style-src 'unsafe-inline' http: https:; font-src http: https: "
    "data:; media-src http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_WEB = re.compile(r"https?://[^/?#\s\\]", re.IGNORECASE)
_LONGEST_AGENT = 500

blueprint = APIBlueprint("tracking", __name__, abp_tags=[{"name": "public pages"}])


class TokenPath(Path):
    """A signed token out of a message."""

    token: str


class LinkPath(TokenPath):
    """And a link's number in its campaign."""

    number: int


@blueprint.get(
    "/o/<token>", responses={200: {"description": "A GIF", "content": {"image/gif": {}}}}
)
def opened(path: TokenPath) -> Response:
    """The pixel. The same answer whether the token is ours or not."""
    ref = _read(path.token)
    if ref is not None:
        _record(ref, EventKind.OPEN)
    return Response(PIXEL, content_type="image/gif")


@blueprint.get("/c/<token>/<int:number>", responses={302: {"description": "To the link's target"}})
def clicked(path: LinkPath) -> Response:
    """On to where the link leads: only ever a target that was stored when the campaign started."""
    ref = _read(path.token)
    target = _target(ref, path.number) if ref is not None else None
    if ref is None or target is None:
        return not_found()
    _record(ref, EventKind.CLICK, link=path.number)
    return Response(status=302, headers={"Location": target, "X-Robots-Tag": "noindex"})


@blueprint.get("/v/<token>", responses={200: {"description": "HTML", "content": {"text/html": {}}}})
def viewed(path: TokenPath) -> Response:
    """The message as a page, without personal links, so that it may be passed on."""
    ref = _read(path.token)
    page = _view(ref) if ref is not None else None
    if page is None:
        return not_found()
    headers = {"Content-Security-Policy": VIEW_POLICY, "X-Robots-Tag": "noindex"}
    return Response(page, headers=headers, content_type="text/html; charset=utf-8")


def _read(token: str) -> SendRef | None:
    return house().signers["tracking"].read(token)


# --- where a click leads -------------------------------------------------------------------------


def _target(ref: SendRef, number: int) -> str | None:
    """The stored target, filled for this person."""
    links = _links(ref.nonce)
    if number >= len(links):
        return None
    target, person = links[number], Person("")
    if is_template(target):
        found = _reader(ref)
        if found is None:
            return None
        person = found
    try:
        url = fill_link(target, person)
    except RenderError:
        return None
    return url if _WEB.match(url) else None


def _links(nonce: str) -> tuple[str, ...]:
    """A campaign's click targets; asked of the database once."""
    kept: dict[str, tuple[str, ...]] = house().extras.setdefault("links", {})
    if nonce not in kept:
        with house().db.read() as connection:
            found = tracked.links(connection, nonce)
        if not found:
            return found
        if len(kept) >= _KEPT:
            kept.clear()
        kept[nonce] = found
        return found
    return kept[nonce]


def _reader(ref: SendRef) -> Person | None:
    with house().db.read() as connection:
        found = tracked.reader(connection, ref.nonce, ref.id)
    if found is None or found.erased:
        return None
    return Person(found.email, found.name, found.attributes)


# --- the message as a page -----------------------------------------------------------------------


def _view(ref: SendRef) -> str | None:
    person = _reader(ref)
    composer: Composer | None = house().extras.get("composer")
    with house().db.read() as connection:
        row = tracked.campaign(connection, ref.nonce)
    if person is None or row is None or composer is None:
        return None
    try:
        compiled = composer.launched(row)
        if compiled.view.html is not None:
            return render_view(compiled, person)
        text = preview(compiled, person).text or ""
        return f"<!doctype html><title></title><pre>{escape_html(text)}</pre>"
    except RenderError:
        return None


# --- what was seen -------------------------------------------------------------------------------


def _record(ref: SendRef, kind: EventKind, link: int | None = None) -> None:
    parts = house()
    agent = request.headers.get("User-Agent", "")[:_LONGEST_AGENT]
    raw: dict[str, Any] = {} if link is None else {"link": link}
    hit = EspEvent(
        esp=OWN, key=secrets.token_hex(12), kind=kind, at=parts.clock(), send_id=str(ref),
        user_agent=agent, ip=request.remote_addr or "", raw=raw,
        machine=True if _is_machine(agent) else None,
    )  # fmt: skip
    hits(parts).add(hit)


def _is_machine(agent: str) -> bool:
    """HEAD and prefetch are what programs do; every program that people read with says its name."""
    purpose = request.headers.get("Sec-Purpose", request.headers.get("Purpose", ""))
    return request.method == "HEAD" or not agent or "prefetch" in purpose.lower()


def hits(parts: House) -> Buffer[EspEvent]:
    """Where hits wait to be written."""
    found: Buffer[EspEvent] = parts.extras.setdefault(
        "hits", Buffer(lambda told: parts.feedback.apply(told, durable=False), FLUSH_SECONDS)
    )
    return found
