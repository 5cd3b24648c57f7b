"""How a message that SendGrid took reads at its recipient, and under which id; takes none itself.

Pages: "Mail Send" (API reference), "Substitution Tags", "Tracking Settings".
"""

import base64

from simulator.outcomes import CLICK, MACHINE_OPEN, OPEN, UNSUBSCRIBE
from simulator.sendgrid_rules import ROLES
from simulator.state import State
from simulator.wire import Json, Mail, Stored, dig

_SWITCHES = {
    OPEN: "open_tracking",
    MACHINE_OPEN: "open_tracking",
    CLICK: "click_tracking",
    UNSUBSCRIBE: "subscription_tracking",
}


def request_id(state: State, first: int) -> str:
    """X-Message-Id: 22 characters, one for all recipients of a request."""
    return base64.urlsafe_b64encode(state.digest(first, "sendgrid")).decode()[:22]


def message_id(state: State, message: Stored) -> str:
    """`sg_message_id` as events carry it: the request's id and a suffix per recipient."""
    number = message.extra["n"]
    return f"{request_id(state, message.id - number)}.recvd-simulator-1-{number}.0"


def mail_of(_state: State, message: Stored) -> Mail:
    """The message as its recipient reads it.

    Substitutions apply to subject, reply-to and content, not to headers ("Substitution Tags").
    Whether a value is searched again is not documented; here it is, because that case hurts.
    """
    shared, person = message.content, message.extra["p"]
    pairs = list((person.get("substitutions") or {}).items())

    def fill(text: str) -> str:
        for key, value in pairs:
            text = text.replace(key, value)
        return text

    parts = {part["type"]: fill(part["value"]) for part in shared.get("content", ())}
    headers = {**shared.get("headers", {}), **person.get("headers", {})}
    reply_to = [shared["reply_to"]] if "reply_to" in shared else shared.get("reply_to_list", [])
    if reply_to:
        headers["Reply-To"] = ", ".join(fill(_shown(entry)) for entry in reply_to)
    return Mail(
        sender=_shown(person.get("from") or shared["from"]),
        to=_recipient(message, person),
        subject=fill(person.get("subject") or shared.get("subject", "")),
        html=parts.get("text/html", ""),
        text=parts.get("text/plain", ""),
        headers=headers,
        tags=args_of(message),
    )


def args_of(message: Stored) -> dict[str, str]:
    """Custom arguments: a personalization's own win over the request's of the same name."""
    return {
        **(message.content.get("custom_args") or {}),
        **(message.extra["p"].get("custom_args") or {}),
    }


def _recipient(message: Stored, person: Json) -> str:
    entries = [e for role in ROLES for e in person.get(role, ())]
    return _shown(entries[message.extra["k"]])


def _shown(entry: Json) -> str:
    return f"{entry['name']} <{entry['email']}>" if entry.get("name") else str(entry["email"])


def address_of(message: Stored) -> str:
    """The recipient as the request spelled it."""
    person = message.extra["p"]
    entries = [e for role in ROLES for e in person.get(role, ())]
    return str(entries[message.extra["k"]]["email"])


def owns(message: Stored, kind: str) -> bool | None:
    """Whether the request has SendGrid track this; None leaves it to the account's settings."""
    if kind == UNSUBSCRIBE and message.content.get("asm"):
        return True
    wanted = dig(message.content, "tracking_settings", _SWITCHES[kind], "enable")
    return wanted if isinstance(wanted, bool) else None
