"""Postmark's API as far as sending and asking back need it: routes, answers, how a message reads.

Pages: "Email API", "Batch emails", "Messages API", "Server API", "API overview: error codes".
"""

import hmac
import re
import time
import zlib
from datetime import UTC, datetime

import orjson

from simulator import postmark_rules as rules
from simulator.faults import Fault
from simulator.outcomes import SUPPRESSED
from simulator.postmark_rules import Checked, Problem
from simulator.state import State
from simulator.wire import Accepted, Answer, Json, Mail, Request, Route, Stored, answer

NAME = "postmark"
TEST_TOKEN = "POSTMARK_API_TEST"  # noqa: S105 - documented for everyone ("Sending a test email")
NO_TOKEN = (
    "No Account or Server API tokens were supplied in the HTTP headers. Please add a header for "
    "either X-Postmark-Server-Token or X-Postmark-Account-Token."
)
BAD_TOKEN = "Request does not contain a valid Server token."  # noqa: S105 - a message
SERVER_ID = 1
# "Messages API": count is at most 500, count and offset together at most 10,000.
MAX_COUNT = 500
MAX_WINDOW = 10_000


def _error(status: int, code: int, message: str, **headers: str) -> Answer:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return answer(status, Problem(code, message).json(), named)


def _unauthorised(state: State, request: Request) -> Answer | None:
    token = request.headers.get("X-Postmark-Server-Token", "")
    if not token:
        return _error(401, 10, NO_TOKEN)
    if token != TEST_TOKEN and not hmac.compare_digest(token, state.keys.postmark_server_token):
        return _error(401, 10, BAD_TOKEN)
    accept = request.headers.get("Accept", "*/*")
    if "json" not in accept and "*/*" not in accept:
        return _error(415, 409, "The 'Accept' header must be application/json.")
    if request.method != "GET" and "json" not in request.headers.get("Content-Type", ""):
        return _error(415, 409, "The 'Content-Type' header must be application/json.")
    return None


def refusal(kind: str, fault: Fault, _state: State, _request: Request) -> Answer:
    """How Postmark words the trouble that a fault stands for."""
    if kind == "throttle":
        wait = {} if fault.retry_after is None else {"Retry_After": str(fault.retry_after)}
        return _error(429, 429, "Too many requests.", **wait)
    status, code, message = {
        "error_500": (500, 0, "Internal server error."),
        "error_503": (503, 100, "The Postmark API is offline for maintenance."),
        "bad_key": (401, 10, BAD_TOKEN),
        "suspended": (422, 413, "Your account may not send. Please contact support."),
        "unverified_sender": (
            422,
            400,
            "The 'From' address you supplied is not a Sender Signature on your account.",
        ),
        "payload_too_large": (413, 0, "Request entity too large."),
        "quota": (422, 405, "Not allowed to send: you ran out of credits."),
    }[kind]
    return _error(status, code, message)


def send_batch(state: State, request: Request) -> Answer:
    """POST /email/batch: 200 with one result per message, in order, even if every one failed."""
    refused = _unauthorised(state, request)
    if refused is not None:
        return refused
    if len(request.body) > rules.MAX_BATCH_BYTES:
        return _error(413, 0, "Request entity too large.")
    try:
        messages = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return _error(422, rules.BAD_JSON, "Invalid JSON.")
    if not isinstance(messages, list):
        return _error(422, rules.BAD_TYPE, "Invalid request field(s).")
    if len(messages) > rules.MAX_BATCH:
        return _error(
            422,
            rules.TOO_MANY,
            f"You may only send up to {rules.MAX_BATCH} messages in a single batched request.",
        )
    throttled = _throttled(state)
    if throttled is not None:
        return throttled
    return answer(200, _take(state, messages, _dry(request), request.fail_every))


def send(state: State, request: Request) -> Answer:
    """POST /email: one message; what fails an entry of a batch is a 422 here."""
    refused = _unauthorised(state, request)
    if refused is not None:
        return refused
    if len(request.body) > rules.MAX_MESSAGE_BYTES:
        return _error(413, 0, "Request entity too large.")
    try:
        message = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return _error(422, rules.BAD_JSON, "Invalid JSON.")
    throttled = _throttled(state)
    if throttled is not None:
        return throttled
    result = _take(state, [message], _dry(request), request.fail_every)[0]
    return answer(422 if result["ErrorCode"] else 200, result)


def _dry(request: Request) -> bool:
    return request.headers.get("X-Postmark-Server-Token") == TEST_TOKEN


def _throttled(state: State) -> Answer | None:
    room = state.meters.room(NAME)
    return _error(429, 429, "Too many requests.") if room is not None and room <= 0 else None


def _take(state: State, messages: list[Json], dry: bool, fail_every: int) -> list[Json]:
    limits = state.meters.limits[NAME]
    verdicts: list[Checked | Problem] = [
        rules.check(message, limits.streams) for message in messages
    ]
    if fail_every:
        for number in range(fail_every - 1, len(verdicts), fail_every):
            verdicts[number] = Problem(100, "The Postmark API is offline for maintenance.")
    verdicts = _apply_limits(state, verdicts)
    taken = [(m, v) for m, v in zip(messages, verdicts, strict=True) if isinstance(v, Checked)]
    first, at = 0, int(time.time() * 1000)
    if taken and not dry:
        first, at = state.log.accept(
            NAME, b"", [_row(message, checked) for message, checked in taken]
        )
        state.meters.took(NAME, len(taken))
    submitted = stamp(at)
    results, number = [], first
    for message, verdict in zip(messages, verdicts, strict=True):
        if isinstance(verdict, Problem):
            results.append(verdict.json())
            continue
        result = {
            "To": message["To"], "SubmittedAt": submitted, "MessageID": _message_id(state, number),
            "ErrorCode": 0, "Message": "Test job accepted" if dry else "OK",
        }  # fmt: skip
        results.append(result)
        number += 1
    return results


def _apply_limits(state: State, verdicts: list[Checked | Problem]) -> list[Checked | Problem]:
    limits, quota = state.meters.limits[NAME], state.meters.quota_left(NAME)
    gone: set[str] = set()
    if limits.suppression:
        gone = state.log.suppressed(NAME, (v.address for v in verdicts if isinstance(v, Checked)))
    judged: list[Checked | Problem] = []
    for verdict in verdicts:
        if isinstance(verdict, Problem):
            judged.append(verdict)
        elif not limits.sender_allowed(verdict.sender):
            text = f"The 'From' address you supplied ({verdict.sender}) is not a Sender Signature on your account."
            judged.append(Problem(rules.NO_SENDER, text))
        elif verdict.outcome == SUPPRESSED or verdict.address in gone:
            judged.append(rules.inactive([verdict.address]))
        elif quota is not None and quota <= 0:
            judged.append(
                Problem(rules.NOT_ALLOWED, "Not allowed to send: you ran out of credits.")
            )
        else:
            judged.append(verdict)
            quota = None if quota is None else quota - 1
    return judged


def _row(message: Json, checked: Checked) -> Accepted:
    """The message without its bodies, which are kept apart so that events never unpack them."""
    bodies = orjson.dumps([message.pop("HtmlBody", None), message.pop("TextBody", None)])
    message.pop("Attachments", None)
    metadata = message.get("Metadata") or {}
    campaign = metadata.get("campaign_id") or metadata.get("campaign") or message.get("Tag") or ""
    message["_people"] = checked.people
    return Accepted(
        checked.address, metadata.get("send_id", ""), campaign, checked.outcome,
        orjson.dumps(message), zlib.compress(bodies, 1),
    )  # fmt: skip


def _message_id(state: State, number: int) -> str:
    """A UUID that leads back to its row: keyed digest first, then the row's number."""
    text = state.digest(number, NAME, 8).hex() + number.to_bytes(8).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _number_of(state: State, message_id: str) -> int | None:
    text = message_id.replace("-", "").lower()
    if re.fullmatch(r"[0-9a-f]{32}", text) is None:
        return None
    number = int(text[16:], 16)
    if number >= 1 << 63 or _message_id(state, number).replace("-", "") != text:
        return None
    return number


def message_id(state: State, message: Stored) -> str:
    return _message_id(state, message.id)


def stamp(at: int) -> str:
    """Seven fractional digits, as Postmark writes them."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def mail_of(state: State, message: Stored) -> Mail:
    """The message as its recipient reads it; Postmark merges nothing in plain sends."""
    extra = message.extra
    html, text = orjson.loads(zlib.decompress(state.log.body(message.id)))
    headers = {header["Name"]: header["Value"] for header in extra.get("Headers") or ()}
    if extra.get("ReplyTo"):
        headers["Reply-To"] = extra["ReplyTo"]
    return Mail(
        extra["From"], extra["To"], extra.get("Subject") or "", html or "", text or "", headers,
        extra.get("Metadata") or {},
    )  # fmt: skip


def search(state: State, request: Request) -> Answer:
    """GET /messages/outbound: newest first, one stream at a time ("Messages API")."""
    refused = _unauthorised(state, request)
    if refused is not None:
        return refused
    query = request.query
    try:
        count, offset = int(query["count"]), int(query["offset"])
    except (KeyError, ValueError):
        return _error(422, 700, "Parameters 'count' and 'offset' are required and must be numbers.")
    if not 1 <= count <= MAX_COUNT or offset < 0 or count + offset > MAX_WINDOW:
        return _error(
            422, 700, "'count' is at most 500, 'count' and 'offset' together at most 10,000."
        )
    metadata = {
        k.removeprefix("metadata_"): v for k, v in query.items() if k.startswith("metadata_")
    }
    if len(metadata) > 1:
        return _error(422, 700, "Only one metadata field may be searched for.")
    found = _found(state, query, metadata)
    page = [_listed(state, message) for message in found[offset : offset + count]]
    return answer(200, {"TotalCount": len(found), "Messages": page})


def _found(state: State, query: dict[str, str], metadata: dict[str, str]) -> list[Stored]:
    indexed = int((time.time() - state.meters.limits[NAME].search_lag_seconds) * 1000)
    where, values = ["m.esp = 2", "m.at <= ?"], [indexed]
    for column, value in (
        ("send_id", metadata.get("send_id")),
        ("address", query.get("recipient", "").lower()),
    ):
        if value:
            where.append(f"m.{column} = ?")
            values.append(value)  # type: ignore[arg-type]
    found = state.log.select_messages(" AND ".join(where), values, "m.id DESC", MAX_WINDOW)
    stream = query.get("messagestream", rules.STREAMS[0])
    return [
        message for message in found
        if (message.extra.get("MessageStream") or rules.STREAMS[0]) == stream
        and all((message.extra.get("Metadata") or {}).get(k) == v for k, v in metadata.items())
        and query.get("tag", message.extra.get("Tag")) == message.extra.get("Tag")
        and query.get("subject", message.extra.get("Subject")) == message.extra.get("Subject")
    ]  # fmt: skip


def _listed(state: State, message: Stored) -> Json:
    extra = message.extra
    people = extra["_people"]
    everyone = [person for entries in people.values() for person in entries]
    return {
        "Tag": extra.get("Tag") or "", "MessageID": message_id(state, message),
        "MessageStream": extra.get("MessageStream") or rules.STREAMS[0],
        "To": people.get("To", []), "Cc": people.get("Cc", []), "Bcc": people.get("Bcc", []),
        "Recipients": [person["Email"] for person in everyone], "ReceivedAt": stamp(message.at),
        "From": extra["From"], "Subject": extra.get("Subject") or "", "Attachments": [],
        "Status": "Sent", "TrackOpens": bool(extra.get("TrackOpens")),
        "TrackLinks": extra.get("TrackLinks") or "None", "Metadata": extra.get("Metadata") or {},
        "Sandboxed": False,
    }  # fmt: skip


def details(state: State, request: Request) -> Answer:
    """GET /messages/outbound/{id}/details: one message with bodies and its events so far."""
    refused = _unauthorised(state, request)
    if refused is not None:
        return refused
    number = _number_of(state, request.matched[0])
    found = [] if number is None else state.log.select_messages("m.id = ? AND m.esp = 2", (number,))
    if not found:
        return _error(422, 701, "This message was not found or cannot be viewed.")
    mail = mail_of(state, found[0])
    events = [
        {"Recipient": found[0].address, "Type": "Delivered", "ReceivedAt": stamp(found[0].at), "Details": {"DeliveryMessage": "smtp;250 2.0.0 OK"}}
    ] if found[0].outcome in ("delivered", "open", "click", "unsub", "complaint", "defer") else []  # fmt: skip
    return answer(
        200,
        _listed(state, found[0])
        | {"HtmlBody": mail.html, "TextBody": mail.text, "Body": "", "MessageEvents": events},
    )


def server(state: State, request: Request) -> Answer:
    """GET /server: the settings of the server that the token belongs to ("Server API")."""
    return _unauthorised(state, request) or answer(
        200,
        {
            "ID": SERVER_ID, "Name": "Simulator", "ApiTokens": [state.keys.postmark_server_token],
            "Color": "blue", "SmtpApiActivated": True, "RawEmailEnabled": False,
            "DeliveryType": "Live", "ServerLink": f"{state.url}/_stats", "InboundAddress": "",
            "InboundHookUrl": "", "BounceHookUrl": "", "OpenHookUrl": "", "DeliveryHookUrl": "",
            "PostFirstOpenOnly": False, "InboundDomain": "", "InboundHash": "",
            "InboundSpamThreshold": 0, "TrackOpens": False, "TrackLinks": "None",
            "IncludeBounceContentInHook": False, "ClickHookUrl": "", "EnableSmtpApiErrorHooks": False,
        },
    )  # fmt: skip


def not_found(_request: Request, known: bool) -> Answer:
    return _error(405 if known else 404, 0, "Method not allowed." if known else "Not found.")


ROUTES = (
    Route("POST", re.compile(r"/email/batch/?"), send_batch, sends=True),
    Route("POST", re.compile(r"/email/?"), send, sends=True),
    Route("GET", re.compile(r"/messages/outbound/?"), search),
    Route("GET", re.compile(r"/messages/outbound/([^/]+)/details/?"), details),
    Route("GET", re.compile(r"/server/?"), server),
)
