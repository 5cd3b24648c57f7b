"""How a message that Postmark took reads at its recipient, and under which id; takes none itself.

Pages: "Email API", "Messages API", "Open tracking", "Link tracking", "Unsubscribe links".
"""

import re
import zlib
from datetime import UTC, datetime

import orjson

from simulator.outcomes import CLICK, UNSUBSCRIBE
from simulator.state import State
from simulator.wire import Mail, Stored, uuid_of


def message_id_of(state: State, number: int) -> str:
    """A UUID that leads back to its row: keyed digest first, then the row's number."""
    return uuid_of(state.digest(number, "postmark", 8) + number.to_bytes(8))


def number_of(state: State, message_id: str) -> int | None:
    """The row behind a message id; None for an id that was never given out."""
    text = message_id.replace("-", "").lower()
    if re.fullmatch(r"[0-9a-f]{32}", text) is None:
        return None
    number = int(text[16:], 16)
    return number if message_id_of(state, number) == message_id.lower() else None


def message_id(state: State, message: Stored) -> str:
    return message_id_of(state, message.id)


def stamp(at: int) -> str:
    """Seven fractional digits, as Postmark writes them."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def mail_of(state: State, message: Stored) -> Mail:
    """The message as its recipient reads it; Postmark merges nothing in plain sends."""
    extra = message.extra
    body = state.log.body(message.id)
    # A reset may have come between: what is forgotten reads as nothing.
    html, text = orjson.loads(zlib.decompress(body)) if body else ("", "")
    headers = {header["Name"]: header["Value"] for header in extra.get("Headers") or ()}
    if extra.get("ReplyTo"):
        headers["Reply-To"] = extra["ReplyTo"]
    return Mail(
        sender=extra["From"],
        to=extra["To"],
        subject=extra.get("Subject") or "",
        html=html or "",
        text=text or "",
        headers=headers,
        tags=extra.get("Metadata") or {},
    )


def owns(message: Stored, kind: str) -> bool | None:
    """Whether the message has Postmark track this; None leaves it to the server's settings."""
    if kind == UNSUBSCRIBE:
        # A setting of the stream: no message says whether the way out is Postmark's or its own.
        return None
    if kind == CLICK:
        links = message.extra.get("TrackLinks") or None
        return None if links is None else bool(links != "None")
    opens = message.extra.get("TrackOpens")
    return opens if isinstance(opens, bool) else None
