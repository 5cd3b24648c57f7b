"""Postmark's sending API: routes, limits and answers.

Pages: "Email API", "Batch emails", "API overview: error codes".
"""

import re
import time
import zlib

import orjson

from simulator import postmark_rules as rules
from simulator import postmark_search as search
from simulator import postmark_words as words
from simulator.outcomes import SUPPRESSED
from simulator.postmark_mail import mail_of, message_id, message_id_of, owns, stamp
from simulator.postmark_rules import Checked, Problem
from simulator.postmark_words import NAME, error, not_found, refusal, unauthorised
from simulator.state import State
from simulator.wire import Accepted, Answer, Json, Request, Route, answer

TOO_MANY = f"You may only send up to {rules.MAX_BATCH} messages in a single batched request."


def send_batch(state: State, request: Request) -> Answer:
    """POST /email/batch: 200 with one result per message, in order, even if every one failed."""
    refused = unauthorised(state, request)
    if refused is not None:
        return refused
    if len(request.body) > rules.MAX_BATCH_BYTES:
        return error(413, 0, words.TOO_LARGE)
    try:
        messages = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return error(422, rules.BAD_JSON, "Invalid JSON.")
    if not isinstance(messages, list):
        return error(422, rules.BAD_TYPE, rules.BAD_FIELDS)
    if len(messages) > rules.MAX_BATCH:
        return error(422, rules.TOO_MANY, TOO_MANY)
    results = _take(state, messages, words.dry(request), request.fail_every)
    return error(429, 429, words.TOO_MANY_REQUESTS) if results is None else answer(200, results)


def send(state: State, request: Request) -> Answer:
    """POST /email: one message; what fails an entry of a batch is a 422 here."""
    refused = unauthorised(state, request)
    if refused is not None:
        return refused
    if len(request.body) > rules.MAX_MESSAGE_BYTES:
        return error(413, 0, words.TOO_LARGE)
    try:
        message = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return error(422, rules.BAD_JSON, "Invalid JSON.")
    results = _take(state, [message], words.dry(request), request.fail_every)
    if results is None:
        return error(429, 429, words.TOO_MANY_REQUESTS)
    return answer(422 if results[0]["ErrorCode"] else 200, results[0])


def _take(state: State, messages: list[Json], dry: bool, fail_every: int) -> list[Json] | None:
    """The result of each message; None if the rate is used up, which refuses the request."""
    streams = state.meters.limits[NAME].streams
    verdicts: list[Checked | Problem] = [rules.check(message, streams) for message in messages]
    if fail_every:
        for number in range(fail_every - 1, len(verdicts), fail_every):
            verdicts[number] = Problem(100, words.MAINTENANCE)
    rows: dict[int, Accepted] = {
        n: _row(messages[n], verdict)
        for n, verdict in enumerate(verdicts)
        if isinstance(verdict, Checked)
    }
    # Counting and taking are one step, so that limits hold exactly over parallel requests.
    with state.log.lock:
        room = state.meters.room(NAME)
        if room is not None and room <= 0:
            return None
        verdicts = _apply_limits(state, verdicts)
        taken = [row for n, row in rows.items() if isinstance(verdicts[n], Checked)]
        first, at = 0, int(time.time() * 1000)
        if taken and not dry:
            first, at = state.take(NAME, b"", taken)
            state.meters.took(NAME, len(taken))
    return _results(state, messages, verdicts, first, at, dry)


def _results(
    state: State,
    messages: list[Json],
    verdicts: list[Checked | Problem],
    first: int,
    at: int,
    dry: bool,
) -> list[Json]:
    submitted, number, results = stamp(at), first, []
    for message, verdict in zip(messages, verdicts, strict=True):
        if isinstance(verdict, Problem):
            results.append(verdict.json())
            continue
        results.append(
            {
                "To": message["To"],
                "SubmittedAt": submitted,
                "MessageID": message_id_of(state, number),
                "ErrorCode": 0,
                "Message": "Test job accepted" if dry else "OK",
            }
        )
        number += 1
    return results


def _apply_limits(state: State, verdicts: list[Checked | Problem]) -> list[Checked | Problem]:
    limits, quota = state.meters.limits[NAME], state.meters.quota_left(NAME)
    gone: set[str] = set()
    if limits.suppression:
        gone = state.log.suppressed(NAME, (v.address for v in verdicts if isinstance(v, Checked)))
    judged: list[Checked | Problem] = []
    for verdict in verdicts:
        kept: Checked | Problem = verdict
        if isinstance(verdict, Problem):
            pass
        elif not limits.sender_allowed(verdict.sender):
            kept = Problem(rules.NO_SENDER, words.NO_SIGNATURE.format(f" ({verdict.sender})"))
        elif verdict.outcome == SUPPRESSED or verdict.address in gone:
            kept = words.inactive([verdict.address])
        elif quota is not None and quota <= 0:
            kept = Problem(rules.NOT_ALLOWED, words.NO_CREDITS)
        elif quota is not None:
            quota -= 1
        judged.append(kept)
    return judged


def _row(message: Json, checked: Checked) -> Accepted:
    """The message without its bodies, which are kept apart so that events never unpack them."""
    bodies = orjson.dumps([message.pop("HtmlBody", None), message.pop("TextBody", None)])
    message.pop("Attachments", None)
    metadata = message.get("Metadata") or {}
    campaign = metadata.get("campaign_id") or metadata.get("campaign") or message.get("Tag") or ""
    message["_people"] = checked.people
    return Accepted(
        checked.address,
        metadata.get("send_id", ""),
        campaign,
        checked.outcome,
        orjson.dumps(message),
        zlib.compress(bodies, 1),
    )


ROUTES = (
    Route("POST", re.compile(r"/email/batch/?"), send_batch, sends=True),
    Route("POST", re.compile(r"/email/?"), send, sends=True),
    Route("GET", re.compile(r"/messages/outbound/?"), search.search),
    Route("GET", re.compile(r"/messages/outbound/([^/]+)/details/?"), search.details),
    Route("GET", re.compile(r"/server/?"), search.server),
)

__all__ = ["NAME", "ROUTES", "mail_of", "message_id", "not_found", "owns", "refusal"]
