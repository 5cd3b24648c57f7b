"""The pages by which a person leaves, comes back, or chooses topics.

GET and HEAD change nothing: link scanners follow every link. POST acts, by the page's button or by
a mail program (RFC 8058), before it answers. The token is the authority: no cookie, no log-in.
"""

from typing import Any

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint

from inbound.consent import Consent, Standing, Visit
from utils.signing import SendRef
from web.context import house
from web.public import not_found, public_page
from web.shapes import Path

#: A form of ours, or a mail program's one field.
LARGEST = 200_000
_LONGEST_AGENT = 500
_HTML: dict[Any, Any] = {200: {"description": "A page", "content": {"text/html": {}}}}

blueprint = APIBlueprint("consent", __name__, abp_tags=[{"name": "public pages"}])


class TokenPath(Path):
    """A signed token out of a message."""

    token: str


@blueprint.get("/unsubscribe/<token>", responses=_HTML)
def ask(path: TokenPath) -> Response:
    """A page with a button."""
    ref = _read(path.token)
    standing = _consent().standing(ref) if ref else None
    if standing is None:
        return not_found()
    return _left(path.token, standing) if standing.out else _page("unsubscribe", path, standing)


@blueprint.post("/unsubscribe/<token>", responses=_HTML)
def act(path: TokenPath) -> Response:
    """Unsubscribe at once (RFC 8058 one-click, or the page's button), or take that back."""
    request.max_content_length = LARGEST
    ref = _read(path.token)
    if ref is None:
        return not_found()
    action = request.form.get("action", "")
    if action == "undo":
        return _undo(ref)
    standing = _consent().unsubscribe(ref, _visit("page" if action else "one-click"))
    if standing is None:
        return not_found()
    if not action:
        return Response("Unsubscribed.\n", content_type="text/plain; charset=utf-8")
    return _left(path.token, standing)


@blueprint.get("/preferences/<token>", responses=_HTML)
def show(path: TokenPath) -> Response:
    """The person's topics."""
    ref = _read(path.token)
    standing = _consent().standing(ref) if ref else None
    return _page("preferences", path, standing) if standing else not_found()


@blueprint.post("/preferences/<token>", responses=_HTML)
def choose(path: TokenPath) -> Response:
    """Keep the topics that are ticked."""
    request.max_content_length = LARGEST
    ref = _read(path.token)
    standing = _consent().choose(ref, request.form.getlist("topic")) if ref else None
    return _page("preferences", path, standing, saved=True) if standing else not_found()


def _undo(ref: SendRef) -> Response:
    done = _consent().undo(ref, _visit("page"))
    standing = _consent().standing(ref)
    if standing is None:
        return not_found()
    # Pressed twice, the button says the same as before.
    key = "undone" if done or not standing.out else "undo_impossible"
    return public_page("person_message.html", heading=key, text=f"{key}_text")


def _left(token: str, standing: Standing) -> Response:
    return public_page("unsubscribed.html", token=token, standing=standing)


def _page(name: str, path: TokenPath, standing: Standing, **more: Any) -> Response:
    address = masked(standing.email)
    return public_page(f"{name}.html", token=path.token, standing=standing, address=address, **more)


def masked(email: str) -> str:
    """Enough for the person to know it is theirs; mail gets forwarded."""
    local, at, domain = email.rpartition("@")
    return f"{local[:1]}…{at}{domain}" if at else ""


def _read(token: str) -> SendRef | None:
    return house().signers["consent"].read(token)


def _consent() -> Consent:
    parts = house()
    return Consent(parts.db, parts.lists, parts.feedback, parts.clock)


def _visit(way: str) -> Visit:
    agent = request.headers.get("User-Agent", "")[:_LONGEST_AGENT]
    return Visit(request.remote_addr or "", agent.encode("utf-8", "replace").decode(), way)
