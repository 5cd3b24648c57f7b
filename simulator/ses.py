"""Amazon SES API v2 as far as sending needs it: routes, answers, and how a message reads.

Pages: SES API v2 reference "SendBulkEmail", "SendEmail", "GetAccount", "BulkEmailEntryResult",
"Common Errors"; SNS API reference "ConfirmSubscription".
"""

import re
import secrets
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import NamedTuple
from urllib.parse import parse_qsl

import orjson

from simulator import ses_rules as rules
from simulator import sigv4
from simulator.addresses import canonical, split
from simulator.faults import Fault
from simulator.outcomes import REJECT, outcome_of
from simulator.ses_rules import BadRequestError
from simulator.state import State
from simulator.wire import Accepted, Answer, Json, Mail, Request, Route, Stored, answer

NAME = "ses"
RATE = "Maximum sending rate exceeded."
QUOTA = "Daily message quota exceeded."
UNLIMITED = -1.0
# GetAccount has no word for "no rate limit"; a rate that no test machine reaches.
ANY_RATE = 100_000.0


class Entry(NamedTuple):
    """One bulk entry after checking: what its result says, or the message that is to be stored."""

    status: str
    error: str = ""
    row: Accepted | None = None


def _error(status: int, code: str, message: str) -> Answer:
    headers = (("x-amzn-ErrorType", code), ("x-amzn-RequestId", uuid_of(secrets.token_bytes(16))))
    return answer(status, {"message": message}, headers)


def uuid_of(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"


def _unsigned(state: State, request: Request) -> Answer | None:
    keys = state.keys
    wrong = sigv4.problem(
        request, keys.ses_access_key_id, keys.ses_secret_access_key, keys.ses_region,
        state.meters.limits[NAME].clock_skew_seconds,
    )  # fmt: skip
    return None if wrong is None else _error(403, *wrong)


def refusal(kind: str, _fault: Fault, state: State, request: Request) -> Answer:
    """How SES words the trouble that a fault stands for."""
    status, code, message = {
        "error_500": (500, "InternalServiceErrorException", "An internal error occurred."),
        "error_503": (503, "ServiceUnavailable", "Service is unavailable."),
        "throttle": (429, "TooManyRequestsException", RATE),
        "bad_key": (
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        "suspended": (
            400,
            "SendingPausedException",
            f"Email sending is disabled for account {state.keys.topic_arn.split(':')[4]}.",
        ),
        "unverified_sender": (400, "MessageRejected", _unverified(state, _sender_of(request))),
        "payload_too_large": (413, "RequestEntityTooLargeException", "Request entity too large."),
        "quota": (400, "LimitExceededException", QUOTA),
    }[kind]
    return _error(status, code, message)


def _sender_of(request: Request) -> str:
    try:
        return split(str(orjson.loads(request.body)["FromEmailAddress"]))[1]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""


def _unverified(state: State, *identities: str) -> str:
    return (
        "Email address is not verified. The following identities failed the check in region "
        f"{state.keys.ses_region.upper()}: {', '.join(identities)}"
    )


def send_bulk(state: State, request: Request) -> Answer:
    """POST /v2/email/outbound-bulk-emails: one result per entry, in the order of the entries."""
    refused = _unsigned(state, request)
    if refused is not None:
        return refused
    try:
        call = orjson.loads(request.body)
        entries, template, defaults, sender = _read_bulk(call, len(request.body))
        results = [_check_entry(call, entry, template, defaults) for entry in entries]
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return _error(
            400,
            "SerializationException",
            "The request body is not a JSON object of the expected shape.",
        )
    except BadRequestError as wrong:
        return _error(400, "BadRequestException", str(wrong))
    if not state.meters.limits[NAME].sender_allowed(sender):
        return _error(400, "MessageRejected", _unverified(state, sender))
    if state.meters.limits[NAME].bad_address == "call":
        for result in results:
            if result.status == "INVALID_PARAMETER":
                return _error(400, "BadRequestException", result.error)
    return _take_bulk(state, call, _hold(state, results, request.fail_every))


def _read_bulk(call: Json, size: int) -> tuple[Json, rules.Template, Json, str]:
    sender = rules.check_sender(call)
    entries = call.get("BulkEmailEntries")
    if not isinstance(entries, list) or not entries:
        raise BadRequestError("BulkEmailEntries must have at least one entry.")
    if len(entries) > rules.MAX_ENTRIES:
        raise BadRequestError(f"Number of destinations exceeds the limit of {rules.MAX_ENTRIES}.")
    content = (call.get("DefaultContent") or {}).get("Template")
    if isinstance(content, dict) and (content.get("TemplateName") or content.get("TemplateArn")):
        raise BadRequestError(f"Template {content.get('TemplateName')} does not exist.")
    template = rules.read_template(content)
    if size > rules.MAX_INLINE_INPUT:
        raise BadRequestError("The input of a call with an inline template is limited to 1 MB.")
    rules.check_tags(call.get("DefaultEmailTags"))
    return entries, template, rules.read_data(content.get("TemplateData")), sender


def _check_entry(call: Json, entry: Json, template: rules.Template, defaults: Json) -> Entry:
    destination = entry.get("Destination") or {}
    people = [a for kind in ("To", "Cc", "Bcc") for a in destination.get(f"{kind}Addresses") or ()]
    own_tags = rules.check_tags(entry.get("ReplacementTags"))
    if not people or len(people) > rules.MAX_RECIPIENTS:
        return Entry("INVALID_PARAMETER", "Recipient count must be between 1 and 50.")
    for person in people:
        problem = rules.address_problem(person)
        if problem or outcome_of(canonical(split(person)[1])) == REJECT:
            return Entry("INVALID_PARAMETER", f"{problem or 'Illegal address'}: {person}")
    wrong = rules.check_headers(entry.get("ReplacementHeaders"))
    if wrong:
        return Entry("INVALID_PARAMETER", wrong)
    replacement = (entry.get("ReplacementEmailContent") or {}).get("ReplacementTemplate") or {}
    try:
        values = rules.read_data(replacement.get("ReplacementTemplateData"))
    except BadRequestError as problem_with_data:
        return Entry("INVALID_PARAMETER", str(problem_with_data))
    failure = rules.missing(template, defaults, values)
    tags = {t["Name"]: t["Value"] for t in call.get("DefaultEmailTags") or ()} | own_tags
    return Entry("SUCCESS", "", _row(entry, people, tags, failure, values))


def _row(
    source: Json, people: list[str], tags: dict[str, str], failure: str, values: Json = None
) -> Accepted:
    """One message; SES reports on all its recipients together, the log keeps the first."""
    address = canonical(split(people[0])[1])
    extra: Json = {"to": people, "tags": tags}
    if source.get("ReplacementHeaders"):
        extra["headers"] = source["ReplacementHeaders"]
    if values:
        extra["values"] = values
    if failure:
        extra["failure"] = failure
    outcome = "render_failure" if failure else outcome_of(address)
    campaign = tags.get("campaign_id") or tags.get("campaign") or ""
    return Accepted(address, tags.get("send_id", ""), campaign, outcome, orjson.dumps(extra))


def _hold(state: State, results: list[Entry], fail_every: int) -> list[Entry]:
    """Apply rate, quota and the fault `partial` entry by entry ("BulkEmailEntryResult")."""
    room, quota = state.meters.room(NAME), state.meters.quota_left(NAME)
    held = []
    for number, entry in enumerate(results, 1):
        if entry.row is None:
            held.append(entry)
        elif fail_every and number % fail_every == 0:
            held.append(Entry("TRANSIENT_FAILURE", "An unexpected error occurred. Try again."))
        elif quota is not None and quota <= 0:
            held.append(Entry("ACCOUNT_DAILY_QUOTA_EXCEEDED", QUOTA))
        elif room is not None and room <= 0:
            held.append(Entry("ACCOUNT_THROTTLED", RATE))
        else:
            held.append(entry)
            room = None if room is None else room - 1
            quota = None if quota is None else quota - 1
    return held


def _take_bulk(state: State, call: Json, results: list[Entry]) -> Answer:
    rows = [entry.row for entry in results if entry.row is not None]
    del call["BulkEmailEntries"]
    ids = iter(_accept(state, call, rows))
    shown = [
        {"Status": entry.status, "MessageId": next(ids)}
        if entry.row is not None
        else {"Status": entry.status, "Error": entry.error}
        for entry in results
    ]
    return answer(200, {"BulkEmailEntryResults": shown})


def _accept(state: State, content: Json, rows: list[Accepted], body: bytes = b"") -> list[str]:
    if not rows:
        return []
    if state.meters.limits[NAME].suppression:
        gone = state.log.suppressed(NAME, (row.address for row in rows))
        rows = [r._replace(outcome="suppressed") if r.address in gone else r for r in rows]
    first, at = state.log.accept(NAME, orjson.dumps(content), [r._replace(body=body) for r in rows])
    state.meters.took(NAME, len(rows))
    return [_message_id(state, first + n, at) for n in range(len(rows))]


def _message_id(state: State, number: int, at: int) -> str:
    return f"0100{at:012x}-{uuid_of(state.digest(number, NAME))}-000000"


def message_id(state: State, message: Stored) -> str:
    return _message_id(state, message.id, message.at)


def send(state: State, request: Request) -> Answer:
    """POST /v2/email/outbound-emails: one message, Simple, Raw or with an inline template."""
    refused = _unsigned(state, request)
    if refused is not None:
        return refused
    if len(request.body) > rules.MAX_MESSAGE:
        return _error(413, "RequestEntityTooLargeException", "Request entity too large.")
    try:
        call = orjson.loads(request.body)
        row, sender, body = _read_single(call)
    except (orjson.JSONDecodeError, AttributeError, TypeError, KeyError):
        return _error(
            400,
            "SerializationException",
            "The request body is not a JSON object of the expected shape.",
        )
    except BadRequestError as wrong:
        return _error(400, "BadRequestException", str(wrong))
    if not state.meters.limits[NAME].sender_allowed(sender):
        return _error(400, "MessageRejected", _unverified(state, sender))
    room, quota = state.meters.room(NAME), state.meters.quota_left(NAME)
    if quota is not None and quota <= 0:
        return _error(429, "TooManyRequestsException", QUOTA)
    if room is not None and room <= 0:
        return _error(429, "TooManyRequestsException", RATE)
    return answer(200, {"MessageId": _accept(state, call, [row], body)[0]})


def _read_single(call: Json) -> tuple[Accepted, str, bytes]:
    content = call.get("Content") or {}
    kinds = [kind for kind in ("Simple", "Raw", "Template") if content.get(kind) is not None]
    if len(kinds) != 1:
        raise BadRequestError("Content must contain exactly one of Simple, Raw, Template.")
    tags = rules.check_tags(call.get("EmailTags"))
    failure, values, raw = "", {}, b""
    if kinds[0] == "Raw":
        raw = rules.read_raw(content["Raw"])
        call["Content"] = {"Raw": {}}
        mime = message_from_bytes(raw, policy=policy.default)
        call.setdefault("FromEmailAddress", str(mime.get("From", "")))
    elif kinds[0] == "Simple":
        rules.check_simple(content["Simple"])
    else:
        template = rules.read_template(content["Template"])
        values = rules.read_data(content["Template"].pop("TemplateData", None))
        failure = rules.missing(template, {}, values)
    sender = rules.check_sender(call)
    people = _recipients(call.pop("Destination", None) or {}, raw)
    call.pop("EmailTags", None)
    return _row({}, people, tags, failure, values), sender, raw


def _recipients(destination: Json, raw: bytes) -> list[str]:
    people = [a for kind in ("To", "Cc", "Bcc") for a in destination.get(f"{kind}Addresses") or ()]
    if not people and raw:
        mime = message_from_bytes(raw, policy=policy.default)
        people = [a.addr_spec for a in mime["To"].addresses] if mime["To"] else []
    if not people or len(people) > rules.MAX_RECIPIENTS:
        raise BadRequestError("Recipient count must be between 1 and 50.")
    for person in people:
        problem = rules.address_problem(person)
        if problem or outcome_of(canonical(split(person)[1])) == REJECT:
            raise BadRequestError(f"{problem or 'Illegal address'}: {person}")
    return people


def mail_of(state: State, message: Stored) -> Mail:
    """The message as its recipient reads it (an entry's header replaces a shared one)."""
    call, extra = message.content, message.extra
    sender, to = call.get("FromEmailAddress", ""), ", ".join(extra["to"])
    content = call.get("DefaultContent") or call.get("Content") or {}
    if "Raw" in content:
        return _raw_mail(state, message, sender, to)
    if "Simple" in content:
        simple = content["Simple"]
        body = simple.get("Body") or {}
        texts = (
            simple["Subject"]["Data"],
            *((body.get(k) or {}).get("Data") or "" for k in ("Html", "Text")),
        )
        headers = simple.get("Headers") or ()
    else:
        template = content["Template"]
        parts = template["TemplateContent"]
        defaults = orjson.loads(template.get("TemplateData") or "{}")
        raw = tuple(parts.get(k) or "" for k in ("Subject", "Html", "Text"))
        failed = "failure" in extra
        texts = (
            raw if failed else tuple(rules.fill(t, defaults, extra.get("values", {})) for t in raw)
        )
        headers = template.get("Headers") or ()
    subject, html, text = texts
    return Mail(sender, to, subject, html, text, _headers(call, headers, extra), extra["tags"])


def subject_of(state: State, message: Stored) -> str:
    """The subject alone: events name it, and filling a long body for it would be wasted."""
    content = message.content.get("DefaultContent") or message.content.get("Content") or {}
    if "Template" not in content:
        return mail_of(state, message).subject
    template, extra = content["Template"], message.extra
    subject = str(template["TemplateContent"].get("Subject") or "")
    if "failure" in extra:
        return subject
    defaults = orjson.loads(template.get("TemplateData") or "{}")
    return rules.fill(subject, defaults, extra.get("values", {}))


def _headers(call: Json, shared: Json, extra: Json) -> dict[str, str]:
    merged: dict[str, tuple[str, str]] = {}
    for header in (*shared, *extra.get("headers", ())):
        merged[header["Name"].lower()] = (header["Name"], header["Value"])
    if call.get("ReplyToAddresses"):
        merged["reply-to"] = ("Reply-To", ", ".join(call["ReplyToAddresses"]))
    return dict(merged.values())


def _raw_mail(state: State, message: Stored, sender: str, to: str) -> Mail:
    mime = message_from_bytes(
        state.log.body(message.id), _class=EmailMessage, policy=policy.default
    )
    parts = {}
    for kind in ("html", "plain"):
        part = mime.get_body((kind,))
        parts[kind] = part.get_content() if part is not None else ""
    headers = {k: str(v) for k, v in mime.items() if not k.lower().startswith("x-ses-")}
    subject = str(mime.get("Subject", ""))
    return Mail(sender, to, subject, parts["html"], parts["plain"], headers, message.extra["tags"])


def get_account(state: State, request: Request) -> Answer:
    """GET /v2/email/account."""
    limits = state.meters.limits[NAME]
    quota = {
        "Max24HourSend": UNLIMITED if limits.daily_quota is None else float(limits.daily_quota),
        "MaxSendRate": ANY_RATE
        if limits.rate_per_second is None
        else float(limits.rate_per_second),
        "SentLast24Hours": float(state.meters.last_24_hours(NAME)),
    }
    return _unsigned(state, request) or answer(
        200,
        {
            "SendQuota": quota, "SendingEnabled": True, "ProductionAccessEnabled": True,
            "EnforcementStatus": "HEALTHY", "DedicatedIpAutoWarmupEnabled": False,
            "SuppressionAttributes": {"SuppressedReasons": ["BOUNCE", "COMPLAINT"] if limits.suppression else []},
        },
    )  # fmt: skip


def certificate(state: State, request: Request) -> Answer:
    """The certificate that SNS notifications name as SigningCertURL."""
    if request.path.lstrip("/") != state.keys.ses_certificate_name:
        return not_found(request, known=False)
    return Answer(
        200, state.keys.ses_certificate_pem.encode(), content_type="application/x-pem-file"
    )


def sns(state: State, request: Request) -> Answer:
    """SNS ConfirmSubscription, by link (GET) or by an SDK (POST); other actions are unknown."""
    asked = request.query | dict(parse_qsl(request.body.decode("utf-8", "replace")))
    if asked.get("Action") != "ConfirmSubscription":
        return not_found(request, known=False)
    token = state.log.get("sns_token")
    if (
        asked.get("TopicArn") != state.keys.topic_arn
        or not token
        or asked.get("Token") != token.decode()
    ):
        body = '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>InvalidParameter</Code><Message>Invalid parameter: Token</Message></Error></ErrorResponse>'
        return Answer(400, body.encode(), content_type="text/xml")
    state.log.put("sns_confirmed", b"1")
    arn = f"{state.keys.topic_arn}:{uuid_of(state.digest(0, 'subscription'))}"
    body = f'<ConfirmSubscriptionResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><ConfirmSubscriptionResult><SubscriptionArn>{arn}</SubscriptionArn></ConfirmSubscriptionResult><ResponseMetadata><RequestId>{uuid_of(secrets.token_bytes(16))}</RequestId></ResponseMetadata></ConfirmSubscriptionResponse>'
    return Answer(200, body.encode(), content_type="text/xml")


def not_found(_request: Request, known: bool) -> Answer:
    code = "MethodNotAllowedException" if known else "UnknownOperationException"
    return _error(405 if known else 404, code, "")


ROUTES = (
    Route("POST", re.compile(r"/v2/email/outbound-bulk-emails/?"), send_bulk, sends=True),
    Route("POST", re.compile(r"/v2/email/outbound-emails/?"), send, sends=True),
    Route("GET", re.compile(r"/v2/email/account/?"), get_account),
    Route("GET", re.compile(r"/SimpleNotificationService-[0-9a-f]+\.pem"), certificate),
    Route("GET", re.compile(r"/"), sns),
    Route("POST", re.compile(r"/"), sns),
)
