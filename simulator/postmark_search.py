"""Postmark's Messages and Server APIs: what a product may ask afterwards; takes no mail.

Pages: "Messages API", "Server API".
"""

import time

from simulator import postmark_rules as rules
from simulator.postmark_mail import mail_of, message_id, number_of, stamp
from simulator.postmark_words import NAME, error, unauthorised
from simulator.state import State
from simulator.wire import Answer, Json, Request, Stored, answer

SERVER_ID = 1
# "Messages API": count is at most 500, count and offset together at most 10,000.
MAX_COUNT = 500
MAX_WINDOW = 10_000
BAD_PAGE = "'count' is at most 500, 'count' and 'offset' together at most 10,000."
ARRIVED = ("delivered", "open", "click", "unsub", "complaint", "defer")


def search(state: State, request: Request) -> Answer:
    """GET /messages/outbound: newest first, one stream at a time."""
    refused = unauthorised(state, request)
    if refused is not None:
        return refused
    query = request.query
    try:
        count, offset = int(query["count"]), int(query["offset"])
    except (KeyError, ValueError):
        return error(422, 700, "Parameters 'count' and 'offset' are required and are numbers.")
    if not 1 <= count <= MAX_COUNT or offset < 0 or count + offset > MAX_WINDOW:
        return error(422, 700, BAD_PAGE)
    metadata = [(k.removeprefix("metadata_"), v) for k, v in query.items() if k[:9] == "metadata_"]
    if len(metadata) > 1:
        return error(422, 700, "Only one metadata field may be searched for.")
    found = _found(state, query, metadata)
    page = [_listed(state, message) for message in found[offset : offset + count]]
    return answer(200, {"TotalCount": len(found), "Messages": page})


def _found(state: State, query: dict[str, str], metadata: list[tuple[str, str]]) -> list[Stored]:
    lag = state.meters.limits[NAME].search_lag_seconds
    where = "m.esp = 2 AND m.at <= ?"
    values: list[Json] = [int((time.time() - lag) * 1000)]
    # Narrow by an index where the query allows it; every condition is checked below as well.
    if metadata and metadata[0][0] == "send_id":
        where += " AND m.send_id = ?"
        values.append(metadata[0][1])
    if "recipient" in query:
        where += " AND m.address = ?"
        values.append(query["recipient"].lower())
    found = state.log.select_messages(where, values, "m.id DESC", MAX_WINDOW)
    return [message for message in found if _fits(message.extra, query, metadata)]


def _fits(extra: Json, query: dict[str, str], metadata: list[tuple[str, str]]) -> bool:
    stream = extra.get("MessageStream") or rules.STREAMS[0]
    own = extra.get("Metadata") or {}
    return (
        query.get("messagestream", rules.STREAMS[0]) == stream
        and all(own.get(name) == value for name, value in metadata)
        and query.get("tag", extra.get("Tag")) == extra.get("Tag")
        and query.get("subject", extra.get("Subject")) == extra.get("Subject")
    )


def _listed(state: State, message: Stored) -> Json:
    extra = message.extra
    people = extra["_people"]
    return {
        "Tag": extra.get("Tag") or "",
        "MessageID": message_id(state, message),
        "MessageStream": extra.get("MessageStream") or rules.STREAMS[0],
        "To": people.get("To", []),
        "Cc": people.get("Cc", []),
        "Bcc": people.get("Bcc", []),
        "Recipients": [person["Email"] for entries in people.values() for person in entries],
        "ReceivedAt": stamp(message.at),
        "From": extra["From"],
        "Subject": extra.get("Subject") or "",
        "Attachments": [],
        "Status": "Sent",
        "TrackOpens": bool(extra.get("TrackOpens")),
        "TrackLinks": extra.get("TrackLinks") or "None",
        "Metadata": extra.get("Metadata") or {},
        "Sandboxed": False,
    }


def details(state: State, request: Request) -> Answer:
    """GET /messages/outbound/{id}/details: one message with its bodies and its delivery."""
    refused = unauthorised(state, request)
    if refused is not None:
        return refused
    number = number_of(state, request.matched[0])
    found = [] if number is None else state.log.select_messages("m.id = ? AND m.esp = 2", [number])
    if not found:
        return error(422, 701, "This message was not found or cannot be viewed.")
    message = found[0]
    mail = mail_of(state, message)
    delivered = {
        "Recipient": message.address,
        "Type": "Delivered",
        "ReceivedAt": stamp(message.at),
        "Details": {"DeliveryMessage": "smtp;250 2.0.0 OK"},
    }
    events = [delivered] if message.outcome in ARRIVED else []
    bodies = {"HtmlBody": mail.html, "TextBody": mail.text, "Body": ""}
    return answer(200, _listed(state, message) | bodies | {"MessageEvents": events})


def server(state: State, request: Request) -> Answer:
    """GET /server: the settings of the server that the token belongs to."""
    return unauthorised(state, request) or answer(
        200,
        {
            "ID": SERVER_ID,
            "Name": "Simulator",
            "ApiTokens": [state.keys.postmark_server_token],
            "Color": "blue",
            "SmtpApiActivated": True,
            "RawEmailEnabled": False,
            "DeliveryType": "Live",
            "ServerLink": f"{state.url}/_stats",
            "InboundAddress": "",
            "InboundHookUrl": "",
            "BounceHookUrl": "",
            "OpenHookUrl": "",
            "DeliveryHookUrl": "",
            "ClickHookUrl": "",
            "PostFirstOpenOnly": False,
            "InboundDomain": "",
            "InboundHash": "",
            "InboundSpamThreshold": 0,
            "TrackOpens": False,
            "TrackLinks": "None",
            "IncludeBounceContentInHook": False,
            "EnableSmtpApiErrorHooks": False,
        },
    )
