"""Who may ask what: one gate before every view. What is open to all is listed here, by rule."""

import re

from flask import Flask, g, request
from werkzeug.exceptions import Forbidden, Unauthorized

from web.context import house
from web.keyring import Key, Scope

#: Open without a key (contract §4), as Flask rules.
OPEN = frozenset(
    {
        "/health", "/ready", "/openapi.json", "/docs", "/docs/<path:asset>",
        "/static/<path:filename>", "/favicon.ico", "/subscribe",
    }
)  # fmt: skip
#: Open with everything below: webhooks prove themselves, public pages carry a signed token.
OPEN_BELOW = (
    "/webhooks/", "/o/", "/c/", "/v/", "/unsubscribe/", "/preferences/", "/confirm/",
)  # fmt: skip

#: What a key of scope `send` reaches.
_SEND_ROUTES = re.compile(r"POST /send-email|(GET|HEAD) /sends(/.*)?")
_READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)


def is_open(rule: str) -> bool:
    """Whether a route (as Flask's rule) answers without a key."""
    return rule in OPEN or rule.startswith(OPEN_BELOW)


def missing_scope(scope: Scope, method: str, rule: str) -> Scope | None:
    """The scope that a key would need for this, None when its own is enough."""
    if scope is Scope.FULL:
        return None
    if scope is Scope.READ:
        return None if method in _READ_METHODS else Scope.FULL
    return None if _SEND_ROUTES.fullmatch(f"{method} {rule}") else Scope.FULL


def actor() -> str:
    """The label of the key that this request carries; operator acts are recorded with it."""
    label: str = g.get("actor", "")
    return label


def guard() -> None:
    """Let the request pass, or raise 401 or 403."""
    rule = request.url_rule
    if rule is None or is_open(rule.rule):
        return
    key = _key()
    g.actor = key.label
    needed = missing_scope(key.scope, request.method, rule.rule)
    if needed is not None:
        raise Forbidden(
            f"This key has the scope `{key.scope}`; this request needs the scope `{needed}`."
        )


def _key() -> Key:
    header = request.headers.get("Authorization", "")
    match = _BEARER.fullmatch(header)
    key = house().keyring.find(match[1]) if match else None
    if key is None:
        error = Unauthorized(
            "This key is not known." if match else "Send `Authorization: Bearer <key>`."
        )
        g.challenge = 'Bearer error="invalid_token"' if match else "Bearer"
        raise error
    return key


def install(app: Flask) -> None:
    """Put the gate before every view of the application."""
    app.before_request(guard)
