"""What happens around every view: request id, body checks, headers, one access line, proxies."""

import ipaddress
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import Any, get_type_hints

import orjson
from flask import Flask, Response, current_app, g, request
from flask.json.provider import DefaultJSONProvider
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import PathConverter

from utils.errors import FieldError, Invalid
from utils.logs import request_id
from web.auth import is_open
from web.context import Facts, house

log = logging.getLogger("web.access")

#: For answers that no browser renders.
API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
#: For our own pages: own scripts and styles, nothing inline, nothing from elsewhere.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
#: Routes that read their body piece by piece: no limit on its length.
STREAMED = frozenset({"/subscribers/import"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_NUL = "\x00"
_UNLIMITED = 2**62


class Json(DefaultJSONProvider):
    """orjson refuses what Python's own reader lets through: NaN, lone surrogates, deep nesting."""

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Read a body."""
        return orjson.loads(s)

    def dumps(self, obj: Any, **_: Any) -> str:
        """Write an answer."""
        return orjson.dumps(obj, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class Bodies:
    """A body is whole or it is none: a server that ends it itself would let what a lost client sent
    pass for all of it, and half an address is somebody else's."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """WSGI."""
        if environ.get("CONTENT_LENGTH"):
            environ.pop("wsgi.input_terminated", None)  # so werkzeug counts
        environ["wsgi.input"] = _Framed(environ["wsgi.input"])
        return self._app(environ, start_response)


class _Framed:
    """A broken chunk is told as what it is to the reader: a client that went away."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        try:
            found: bytes = self._stream.read(size)
        except OSError:
            raise
        except Exception as broken:
            raise OSError("the body is not framed as it says") from broken
        return found


def whole_body() -> bytes:
    """The body; 413 too where a chunked one reaches the limit, behind which nothing is read."""
    body = request.get_data()
    limit = request.max_content_length
    if request.content_length is None and limit is not None and len(body) >= limit:
        raise RequestEntityTooLarge
    return body


class TrustedProxies:
    """X-Forwarded-* from the proxies that were named; everybody else's are dropped."""

    def __init__(self, app: Any, networks: Iterable[str]) -> None:
        self._app = app
        self._behind = ProxyFix(app, x_for=1, x_proto=1, x_host=1)
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """WSGI."""
        if self._trusts(environ.get("REMOTE_ADDR", "")):
            _bare_address(environ)
            return self._behind(environ, start_response)
        for name in [name for name in environ if name.startswith("HTTP_X_FORWARDED_")]:
            del environ[name]
        return self._app(environ, start_response)

    def _trusts(self, address: str) -> bool:
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(peer in network for network in self._networks)


def _bare_address(environ: dict[str, Any]) -> None:
    """Leave of X-Forwarded-For the address that the proxy saw, without a port; nothing when it is
    none: it becomes evidence of a person's consent."""
    last = environ.pop("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
    for given in (last, last.strip("[]"), last.rpartition(":")[0].strip("[]")):
        with suppress(ValueError):
            environ["HTTP_X_FORWARDED_FOR"] = str(ipaddress.ip_address(given))
            return


class _Anything(PathConverter):
    """werkzeug's own takes no slash in front."""

    regex = ".+?"
    part_isolating = False


class _Address(PathConverter):
    """An address: slashes may stand before its last @ only, so that what we put behind it, and
    routes beside it, are routes of their own for every method."""

    regex = "(?:.*@[^/]*|(?!(?:import|imports|export)$)[^/@]+)"
    part_isolating = False


def _begin() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.began = time.perf_counter()
    g.id_token = request_id.set(given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8))
    if _NUL in request.path or "%00" in request.query_string.decode("latin-1"):
        raise BadRequest("The address holds a NUL character.")


def _limit_body() -> None:
    if request.url_rule is not None and request.url_rule.rule in STREAMED:
        request.max_content_length = _UNLIMITED  # None would mean the configured one


def _check_query() -> None:
    """A name that a view does not read is refused, like a field: who asks for a dry run must not
    get a real one. Links and webhooks may carry anything."""
    view = current_app.view_functions.get(request.endpoint or "")
    if view is None or request.url_rule is None or is_open(request.url_rule.rule):
        return
    packed = request.headers.get("Content-Encoding", "identity").strip().lower() != "identity"
    if packed and request.method in _WITH_BODY:
        raise UnsupportedMediaType("Send the body as it is, without Content-Encoding.")
    if "query" not in _models(view):
        unknown = [FieldError(name[:60], "There is no such field.") for name in request.args]
        if unknown:
            raise Invalid(unknown)


def _check_json() -> None:
    """415, then 400, before flask-openapi would call both 422."""
    view = current_app.view_functions.get(request.endpoint or "")
    model = _body_model(view) if view is not None and request.method in _WITH_BODY else None
    if model is None or (not (given := whole_body()) and _may_be_absent(model)):
        return
    if not request.is_json:
        raise UnsupportedMediaType("Send JSON, with `Content-Type: application/json`.")
    try:
        body = orjson.loads(given)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not JSON in UTF-8.") from None
    if not isinstance(body, dict):
        raise Invalid.of("body", "must be an object")
    place = _nul_in(body, "")
    if place is not None:
        raise Invalid.of(place, "must not hold a NUL character")


@cache
def _body_model(view: Callable[..., Any]) -> type[BaseModel] | None:
    """The model of the JSON that a view takes; None = it takes none."""
    model: type[BaseModel] | None = _models(view).get("body")
    return model


def takes_no_body(view: Callable[..., Any]) -> bool:
    """Whether a view that takes JSON is fine without any."""
    model = _body_model(view)
    return model is not None and _may_be_absent(model)


@cache
def _models(view: Callable[..., Any]) -> dict[str, Any]:
    """What a view takes, by flask-openapi's names."""
    return get_type_hints(_unwrapped(view))


@cache
def _may_be_absent(model: type[BaseModel]) -> bool:
    try:
        model.model_validate(None)
    except ValidationError:
        return False
    return True


def _nul_in(value: Any, place: str) -> str | None:
    """Where a NUL stands, which no database text can hold; None = nowhere."""
    if isinstance(value, str):
        return place if _NUL in value else None
    if isinstance(value, dict):
        items: Iterable[tuple[Any, Any]] = value.items()
        if any(_NUL in name for name in value):
            return place or "body"
    else:
        items = enumerate(value) if isinstance(value, list) else ()
    for name, part in items:
        found = _nul_in(part, f"{place}.{name}".lstrip(".")[:200])
        if found is not None:
            return found
    return None


def _unwrapped(view: Callable[..., Any]) -> Callable[..., Any]:
    """The function that a blueprint's author wrote."""
    while hasattr(view, "__wrapped__"):
        view = view.__wrapped__
    return view


def _finish(response: Response) -> Response:
    headers = response.headers
    headers["X-Mode"] = house().settings.mode
    headers["X-Request-Id"] = request_id.get()
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    is_page = response.mimetype == "text/html"
    headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else API_POLICY)
    if request.endpoint != "static":
        headers.setdefault("Cache-Control", "no-store")
    _access_line(response)
    return response


def _access_line(response: Response) -> None:
    """The route, not the path: paths hold addresses and tokens, queries anything."""
    rule = request.url_rule.rule if request.url_rule else "(no such route)"
    took = (time.perf_counter() - g.get("began", time.perf_counter())) * 1000
    log.info(
        "%s %s %s", request.method, rule, response.status_code,
        extra={"ms": round(took, 1), "actor": g.get("actor", "")},
    )  # fmt: skip


def _end(_: BaseException | None) -> None:
    token = g.pop("id_token", None)
    if token is not None:
        request_id.reset(token)


def install(app: Flask, facts: Facts) -> None:
    """Put the frame around the application. The gate (web/auth.py) goes between."""
    app.json = Json(app)
    app.config["MAX_CONTENT_LENGTH"] = facts.max_request_bytes
    app.before_request(_begin)
    app.before_request(_limit_body)
    app.after_request(_finish)
    app.teardown_request(_end)
    install_paths(app)
    app.wsgi_app = Bodies(TrustedProxies(app.wsgi_app, facts.trusted_proxies))  # type: ignore[method-assign]


def install_paths(app: Flask) -> None:
    """What a route's parts may hold; routes are added for a command as well, without a frame."""
    # Slashes may be an address's, and no redirect trusts a Host.
    app.url_map.merge_slashes = False
    app.url_map.converters |= {"path": _Anything, "address": _Address}


def install_body_checks(app: Flask) -> None:
    """After the gate: nobody without a key makes us read a body."""
    app.before_request(_check_query)
    app.before_request(_check_json)
