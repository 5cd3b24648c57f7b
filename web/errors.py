"""What went wrong, as problem+json (RFC 9457): one table from exceptions to answers.

Nothing of the input is repeated: it may hold addresses and secrets.
"""

import logging
import secrets
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from flask import Flask, Response, g
from pydantic import ValidationError
from werkzeug.exceptions import ClientDisconnected, HTTPException

from database.engine import DatabaseUnavailable
from outbound.draft import NotReady
from services.esp import WebhookNotConfigured, WebhookRefused
from utils.errors import Conflict, FieldError, Invalid, NotFound

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
#: How long a client should wait for a database that is locked, full or gone.
RETRY_SECONDS = 5


class Answer(NamedTuple):
    """What an exception becomes."""

    status: int
    detail: str
    errors: Sequence[FieldError] | None = None
    type: str = "about:blank"
    headers: tuple[tuple[str, str], ...] = ()


def _refused(error: Any) -> Answer:
    return Answer(error.status, error.reason)


def _unavailable(_: Any) -> Answer:
    detail = "The database cannot be used now. Nothing was changed; try again."
    return Answer(503, detail, headers=(("Retry-After", str(RETRY_SECONDS)),))


def _not_ready(error: Any) -> Answer:
    detail = "Mail to real people would break a rule; see errors."
    return Answer(422, detail, error.blockers, "not-ready")


def _invalid(error: Any) -> Answer:
    return Answer(422, "One or more fields cannot be accepted.", error.errors)


#: The one table. What is not here is a bug and becomes 500.
TABLE: dict[type[Exception], Callable[[Any], Answer]] = {
    NotFound: lambda error: Answer(404, str(error)),
    Conflict: lambda error: Answer(409, str(error)),
    Invalid: _invalid,
    NotReady: _not_ready,
    DatabaseUnavailable: _unavailable,
    ClientDisconnected: lambda _: Answer(400, "The body ended before it was whole."),
    WebhookRefused: _refused,
    WebhookNotConfigured: lambda _: Answer(503, "No key is configured to verify this webhook."),
}


def problem(answer: Answer) -> Response:
    """The response that says what went wrong."""
    title = "Not ready" if answer.type == "not-ready" else _phrase(answer.status)
    body: dict[str, Any] = {
        "type": answer.type,
        "title": title,
        "status": answer.status,
        "detail": answer.detail,
    }
    if answer.errors is not None:
        body["errors"] = [{"field": e.field, "message": e.message} for e in answer.errors]
    response = Response(orjson.dumps(body), answer.status, content_type=CONTENT_TYPE)
    response.headers.extend(answer.headers)
    return response


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def validation_problem(error: ValidationError) -> Response:
    """What pydantic refused, field by field, in the names that the caller used."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    fields = [FieldError(_place(item["loc"]), _message(item)) for item in found]
    return problem(Answer(422, "One or more fields cannot be accepted.", fields))


def _place(location: Sequence[str | int]) -> str:
    """`attachments.0.filename`; what is no field at all is the body. An unknown name is the
    caller's own word and may be anything: it is cut."""
    return ".".join(str(part)[:60] for part in location)[:200] or "body"


def _message(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return "There is no such field."
    return str(item["msg"]).removeprefix("Value error, ")


def _http_problem(error: HTTPException) -> Response:
    """werkzeug's own, with its headers (Allow, Retry-After). A ready response stays as it is."""
    if error.response is not None:
        ready: Response = error.response  # type: ignore[assignment]
        return ready
    status = error.code or 500
    response = problem(Answer(status, error.description or _phrase(status)))
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    if status == 401:
        response.headers["WWW-Authenticate"] = g.get("challenge", "Bearer")
    return response


def _unexpected(error: Exception) -> Response:
    """A bug: its number is all that leaves; the log has the rest."""
    number = secrets.token_hex(6)
    log.error("unexpected error %s", number, exc_info=error)
    return problem(Answer(500, f"This is our fault. In the log it has the number {number}."))


def install(app: Flask) -> None:
    """Let every exception of a view become a problem."""
    for kind, answer in TABLE.items():
        app.register_error_handler(kind, lambda error, make=answer: problem(make(error)))
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(Exception, _unexpected)
