"""SendGrid's Web API v3 as far as sending needs it: routes, limits and answers.

Pages: "Mail Send" (API reference), "Mail Send: Errors", "Retrieve Credits".
"""

import hmac
import re
import time

import orjson

from simulator.faults import Fault
from simulator.sendgrid_mail import mail_of, message_id, owns, request_id
from simulator.sendgrid_rules import MAX_BYTES, Recipient, check
from simulator.state import State
from simulator.wire import Accepted, Answer, Json, Request, Route, answer

NAME = "sendgrid"
NO_KEY = "Permission denied, wrong credentials"
BAD_KEY = "The provided authorization grant is invalid, expired, or revoked"
UNDER_REVIEW = "Your account is under review and cannot send email. Please contact support."
UNVERIFIED = (
    "The from address does not match a verified Sender Identity. Mail cannot be sent until this "
    "error is resolved. Visit https://sendgrid.com/docs/for-developers/sending-email/"
    "sender-identity/ to see the Sender Identity requirements"
)


def _error(status: int, message: str, field: str | None = None, **headers: str) -> Answer:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return answer(status, {"errors": [{"message": message, "field": field, "help": None}]}, named)


def _unauthorised(state: State, request: Request) -> Answer | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not token:
        return _error(401, NO_KEY)
    if scheme.lower() != "bearer" or not hmac.compare_digest(token, state.keys.sendgrid_api_key):
        return _error(401, BAD_KEY)
    return None


def refusal(kind: str, fault: Fault, _state: State, _request: Request) -> Answer:
    """How SendGrid words the trouble that a fault stands for."""
    if kind == "throttle":
        wait = fault.retry_after
        reset = {} if wait is None else {"X_RateLimit_Reset": str(int(time.time()) + wait)}
        return _error(429, "too many requests", **reset)
    status, message = {
        "error_500": (500, "Internal Server Error"),
        "error_503": (503, "Service Unavailable"),
        "bad_key": (401, BAD_KEY),
        "suspended": (403, UNDER_REVIEW),
        "unverified_sender": (403, UNVERIFIED),
        "payload_too_large": (413, "Payload too large"),
        "quota": (401, "Maximum credits exceeded"),
    }[kind]
    return _error(status, message, "from" if kind == "unverified_sender" else None)


def send(state: State, request: Request) -> Answer:
    """POST /v3/mail/send: all of a request is taken, or nothing (202 or an error)."""
    refused = _unauthorised(state, request)
    if refused is not None:
        return refused
    if "json" not in request.headers.get("Content-Type", ""):
        return _error(415, "Content-Type should be application/json.")
    if len(request.body) > MAX_BYTES:
        return _error(413, "Payload too large")
    try:
        mail = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return _error(400, "Bad Request")
    errors, people = check(mail, request.fail_every)
    if errors:
        return answer(400, {"errors": list(errors)})
    # Counting and taking are one step, so that limits hold exactly over parallel requests.
    with state.log.lock:
        return _limited(state, mail, people) or _take(state, mail, people)


def _limited(state: State, mail: Json, people: list[Recipient]) -> Answer | None:
    meters = state.meters
    if not meters.limits[NAME].sender_allowed(mail["from"]["email"]):
        return _error(403, UNVERIFIED, "from")
    room, quota = meters.room(NAME), meters.quota_left(NAME)
    if quota is not None and quota < len(people):
        return _error(401, "Maximum credits exceeded")
    if room is not None and room <= 0:
        return _error(429, "too many requests", X_RateLimit_Reset=str(int(time.time()) + 1))
    return None


def _take(state: State, mail: Json, people: list[Recipient]) -> Answer:
    sandbox = mail.get("mail_settings", {}).get("sandbox_mode")
    if isinstance(sandbox, dict) and sandbox.get("enable"):
        # "Sandbox Mode": validated and answered with 200, nothing is sent.
        return Answer(200)
    persons = mail.pop("personalizations")
    rows = _rows(mail, persons, people)
    if state.meters.limits[NAME].suppression:
        gone = state.log.suppressed(NAME, (row.address for row in rows))
        rows = [r._replace(outcome="suppressed") if r.address in gone else r for r in rows]
    first, _ = state.take(NAME, orjson.dumps(mail), rows)
    state.meters.took(NAME, len(rows))
    return Answer(202, headers=(("X-Message-Id", request_id(state, first)),))


def _rows(mail: Json, persons: Json, people: list[Recipient]) -> list[Accepted]:
    shared = mail.get("custom_args") or {}
    categories = mail.get("categories") or [""]
    of_all = str(shared.get("campaign_id") or shared.get("campaign") or categories[0])
    rows = []
    blobs: dict[int, bytes] = {}
    first = 0
    for number, (n, address, outcome) in enumerate(people):
        person = persons[n]
        if n not in blobs:
            first = number
            blobs[n] = b""
        # The id of a message's request is the id of its first message; `first` leads back to it.
        args = person.get("custom_args") or shared
        campaign = args.get("campaign_id") or args.get("campaign") or of_all
        send_id = args.get("send_id") or shared.get("send_id") or ""
        blob = orjson.dumps({"n": number, "k": number - first, "p": person})
        rows.append(Accepted(address, send_id, campaign, outcome, blob))
    return rows


def show_credits(state: State, request: Request) -> Answer:
    """GET /v3/user/credits ("Retrieve Credits")."""
    refused = _unauthorised(state, request)
    if refused is not None:
        return refused
    used = state.meters.last_24_hours(NAME)
    total = state.meters.limits[NAME].daily_quota
    total = 1_000_000_000 if total is None else total
    today = int(time.time() // 86400)
    return answer(
        200,
        {
            "remain": max(0, total - used), "total": total, "overage": 0, "used": used,
            "last_reset": _day(today), "next_reset": _day(today + 1), "reset_frequency": "daily",
        },
    )  # fmt: skip


def _day(number: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(number * 86400))


def scopes(state: State, request: Request) -> Answer:
    """GET /v3/scopes: what the key may do."""
    return _unauthorised(state, request) or answer(
        200, {"scopes": ["mail.send", "mail.batch.create", "user.credits.read"]}
    )


def not_found(_request: Request, known: bool) -> Answer:
    return _error(405, "method not allowed") if known else _error(404, "Resource not found")


ROUTES = (
    Route("POST", re.compile(r"/v3/mail/send/?"), send, sends=True),
    Route("GET", re.compile(r"/v3/user/credits/?"), show_credits),
    Route("GET", re.compile(r"/v3/scopes/?"), scopes),
)

__all__ = ["NAME", "ROUTES", "mail_of", "message_id", "not_found", "owns", "refusal"]
