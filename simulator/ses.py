"""Amazon SES API v2 as far as sending needs it: routes, limits and answers.

Pages: SES API v2 reference "SendBulkEmail", "SendEmail", "GetAccount", "BulkEmailEntryResult",
"Common Errors".
"""

import re
import secrets

import orjson

from simulator import ses_calls as calls
from simulator import ses_rules as rules
from simulator import sigv4, sns
from simulator.addresses import split
from simulator.faults import Fault
from simulator.keys import ACCOUNT_ID
from simulator.ses_calls import Entry
from simulator.ses_mail import mail_of, message_id, message_id_of, owns
from simulator.state import State
from simulator.wire import Accepted, Answer, Json, Request, Route, answer, uuid_of

NAME = "ses"
RATE = "Maximum sending rate exceeded."
QUOTA = "Daily message quota exceeded."
BAD_SHAPE = "The request body is not a JSON object of the expected shape."
BAD_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - a message
TOO_LARGE = "Request entity too large."
PAUSED = f"Email sending is disabled for account {ACCOUNT_ID}."
UNLIMITED = -1.0
# GetAccount has no word for "no rate limit"; a rate that no test machine reaches.
ANY_RATE = 100_000.0


def _error(status: int, code: str, message: str) -> Answer:
    headers = (("x-amzn-ErrorType", code), ("x-amzn-RequestId", uuid_of(secrets.token_bytes(16))))
    return answer(status, {"message": message}, headers)


def _unsigned(state: State, request: Request) -> Answer | None:
    keys, skew = state.keys, state.meters.limits[NAME].clock_skew_seconds
    wrong = sigv4.problem(
        request, keys.ses_access_key_id, keys.ses_secret_access_key, keys.ses_region, skew
    )
    return None if wrong is None else _error(403, *wrong)


def refusal(kind: str, _fault: Fault, state: State, request: Request) -> Answer:
    """How SES words the trouble that a fault stands for."""
    status, code, message = {
        "error_500": (500, "InternalServiceErrorException", "An internal error occurred."),
        "error_503": (503, "ServiceUnavailable", "Service is unavailable."),
        "throttle": (429, "TooManyRequestsException", RATE),
        "bad_key": (403, "UnrecognizedClientException", BAD_TOKEN),
        "suspended": (400, "SendingPausedException", PAUSED),
        "unverified_sender": (400, "MessageRejected", unverified(state, _sender_of(request))),
        "payload_too_large": (413, "RequestEntityTooLargeException", TOO_LARGE),
        "quota": (400, "LimitExceededException", QUOTA),
    }[kind]
    return _error(status, code, message)


def _sender_of(request: Request) -> str:
    try:
        return split(str(orjson.loads(request.body)["FromEmailAddress"]))[1]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""


def unverified(state: State, identity: str) -> str:
    """Who may not send, in the words of both transports."""
    return (
        "Email address is not verified. The following identities failed the check in region "
        f"{state.keys.ses_region.upper()}: {identity}"
    )


def send_bulk(state: State, request: Request) -> Answer:
    """POST /v2/email/outbound-bulk-emails: one result per entry, in the order of the entries."""
    refused = _unsigned(state, request)
    if refused is not None:
        return refused
    try:
        body = orjson.loads(request.body)
        call = calls.read_bulk(body, len(request.body))
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return _error(400, "SerializationException", BAD_SHAPE)
    except rules.CallRefusedError as wrong:
        return _error(wrong.status, wrong.code, str(wrong))
    limits = state.meters.limits[NAME]
    if not limits.sender_allowed(call.sender):
        return _error(400, "MessageRejected", unverified(state, call.sender))
    bad = next((e.error for e in call.entries if e.status == "INVALID_PARAMETER"), None)
    if bad is not None and limits.bad_address == "call":
        return _error(400, "BadRequestException", bad)
    del body["BulkEmailEntries"]
    # Counting and taking are one step, so that limits hold exactly over parallel calls.
    with state.log.lock:
        return _take_bulk(state, body, _hold(state, call.entries, request.fail_every))


def _hold(state: State, entries: list[Entry], fail_every: int) -> list[Entry]:
    """Apply rate, quota and the fault `partial` entry by entry ("BulkEmailEntryResult")."""
    room, quota = state.meters.room(NAME), state.meters.quota_left(NAME)
    held = []
    for number, entry in enumerate(entries, 1):
        kept = entry
        if entry.row is None:
            pass
        elif fail_every and number % fail_every == 0:
            kept = Entry("TRANSIENT_FAILURE", "An unexpected error occurred. Try again.")
        elif quota is not None and quota <= 0:
            kept = Entry("ACCOUNT_DAILY_QUOTA_EXCEEDED", QUOTA)
        elif room is not None and room <= 0:
            kept = Entry("ACCOUNT_THROTTLED", RATE)
        else:
            room = None if room is None else room - 1
            quota = None if quota is None else quota - 1
        held.append(kept)
    return held


def _take_bulk(state: State, shared: Json, entries: list[Entry]) -> Answer:
    ids = iter(accept(state, shared, [entry.row for entry in entries if entry.row is not None]))
    results = [
        {"Status": entry.status, "Error": entry.error}
        if entry.row is None
        else {"Status": entry.status, "MessageId": next(ids)}
        for entry in entries
    ]
    return answer(200, {"BulkEmailEntryResults": results})


def accept(state: State, shared: Json, rows: list[Accepted]) -> list[str]:
    """Take messages; their ids."""
    if not rows:
        return []
    if state.meters.limits[NAME].suppression:
        # A listed address is accepted, counts, and bounces ("Using the account-level suppression
        # list").
        gone = state.log.suppressed(NAME, (row.address for row in rows))
        rows = [r._replace(outcome="suppressed") if r.address in gone else r for r in rows]
    first, at = state.take(NAME, orjson.dumps(shared), rows)
    state.meters.took(NAME, len(rows))
    return [message_id_of(state, first + n, at) for n in range(len(rows))]


def send(state: State, request: Request) -> Answer:
    """POST /v2/email/outbound-emails: one message, Simple, Raw or with an inline template."""
    refused = _unsigned(state, request)
    if refused is not None:
        return refused
    if len(request.body) > rules.MAX_MESSAGE:
        return _error(413, "RequestEntityTooLargeException", TOO_LARGE)
    try:
        body = orjson.loads(request.body)
        single = calls.read_single(body)
    except (orjson.JSONDecodeError, AttributeError, TypeError, KeyError):
        return _error(400, "SerializationException", BAD_SHAPE)
    except rules.CallRefusedError as wrong:
        return _error(wrong.status, wrong.code, str(wrong))
    if not state.meters.limits[NAME].sender_allowed(single.sender):
        return _error(400, "MessageRejected", unverified(state, single.sender))
    with state.log.lock:
        room, quota = state.meters.room(NAME), state.meters.quota_left(NAME)
        if quota is not None and quota <= 0:
            return _error(429, "TooManyRequestsException", QUOTA)
        if room is not None and room <= 0:
            return _error(429, "TooManyRequestsException", RATE)
        row = single.row._replace(body=single.raw)
        return answer(200, {"MessageId": accept(state, body, [row])[0]})


def get_account(state: State, request: Request) -> Answer:
    """GET /v2/email/account."""
    refused = _unsigned(state, request)
    if refused is not None:
        return refused
    limits = state.meters.limits[NAME]
    rate, quota = limits.rate_per_second, limits.daily_quota
    return answer(
        200,
        {
            "SendQuota": {
                "Max24HourSend": UNLIMITED if quota is None else float(quota),
                "MaxSendRate": ANY_RATE if rate is None else float(rate),
                "SentLast24Hours": float(state.meters.last_24_hours(NAME)),
            },
            "SendingEnabled": True,
            "ProductionAccessEnabled": True,
            "EnforcementStatus": "HEALTHY",
            "DedicatedIpAutoWarmupEnabled": False,
            "SuppressionAttributes": {
                "SuppressedReasons": ["BOUNCE", "COMPLAINT"] if limits.suppression else []
            },
        },
    )


def not_found(_request: Request, known: bool) -> Answer:
    code = "MethodNotAllowedException" if known else "UnknownOperationException"
    return _error(405 if known else 404, code, "")


ROUTES = (
    Route("POST", re.compile(r"/v2/email/outbound-bulk-emails/?"), send_bulk, sends=True),
    Route("POST", re.compile(r"/v2/email/outbound-emails/?"), send, sends=True),
    Route("GET", re.compile(r"/v2/email/account/?"), get_account),
    Route("GET", re.compile(r"/SimpleNotificationService-[0-9a-f]+\.pem"), sns.certificate),
    Route("GET", re.compile(r"/"), sns.confirm),
    Route("POST", re.compile(r"/"), sns.confirm),
)

__all__ = ["NAME", "ROUTES", "mail_of", "message_id", "not_found", "owns", "refusal"]
