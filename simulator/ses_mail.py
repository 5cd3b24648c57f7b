"""How a message that SES took reads at its recipient, and under which id; takes none itself.

Pages: "Using templates to send personalized email with the Amazon SES API", SES API v2 reference
"BulkEmailEntry" (an entry's headers replace the shared ones of the same name),
"ConfigurationOverrides", developer guide "Using subscription management".
"""

from email import message_from_bytes, policy
from email.message import EmailMessage

import orjson

from simulator import ses_rules as rules
from simulator.outcomes import CLICK, UNSUBSCRIBE
from simulator.state import State
from simulator.wire import Json, Mail, Stored, dig, uuid_of


def message_id_of(state: State, number: int, at: int) -> str:
    return f"0100{at:012x}-{uuid_of(state.digest(number, 'ses'))}-000000"


def message_id(state: State, message: Stored) -> str:
    return message_id_of(state, message.id, message.at)


def mail_of(state: State, message: Stored) -> Mail:
    """The message as its recipient reads it (an entry's header replaces a shared one)."""
    call, extra = message.content, message.extra
    content = _content(call)
    if "Raw" in content:
        return _raw_mail(state, message)
    if "Simple" in content:
        shared = content["Simple"]
        body = shared.get("Body") or {}
        subject = shared["Subject"]["Data"]
        html, text = ((body.get(kind) or {}).get("Data") or "" for kind in ("Html", "Text"))
    else:
        shared = content["Template"]
        subject, html, text = (_fill(message, part) for part in ("Subject", "Html", "Text"))
    return Mail(
        sender=call.get("FromEmailAddress", ""),
        to=", ".join(extra["to"]),
        subject=subject,
        html=html,
        text=text,
        headers=_headers(call, shared.get("Headers") or (), extra),
        tags=extra["tags"],
    )


def subject_of(state: State, message: Stored) -> str:
    """The subject alone: events name it, and filling a long body for it would be wasted."""
    if "Template" in _content(message.content):
        return _fill(message, "Subject")
    return mail_of(state, message).subject


def _content(call: Json) -> Json:
    return call.get("DefaultContent") or call.get("Content") or {}


def _fill(message: Stored, part: str) -> str:
    """One part of the template with this message's values; unfilled if SES could not render it."""
    template, extra = _content(message.content)["Template"], message.extra
    source = str(template["TemplateContent"].get(part) or "")
    if "failure" in extra:
        return source
    defaults = orjson.loads(template.get("TemplateData") or "{}")
    return rules.fill(source, defaults, extra.get("values", {}))


def _headers(call: Json, shared: Json, extra: Json) -> dict[str, str]:
    merged: dict[str, tuple[str, str]] = {}
    for header in (*shared, *extra.get("headers", ())):
        merged[header["Name"].lower()] = (header["Name"], header["Value"])
    if call.get("ReplyToAddresses"):
        merged["reply-to"] = ("Reply-To", ", ".join(call["ReplyToAddresses"]))
    return dict(merged.values())


def _raw_mail(state: State, message: Stored) -> Mail:
    raw = state.log.body(message.id)
    mime = message_from_bytes(raw, _class=EmailMessage, policy=policy.default)
    parts = {}
    for kind in ("html", "plain"):
        part = mime.get_body((kind,))
        parts[kind] = _lines(part.get_content()) if part is not None else ""
    return Mail(
        sender=message.content.get("FromEmailAddress", ""),
        to=", ".join(message.extra["to"]),
        subject=str(mime.get("Subject", "")),
        html=parts["html"],
        text=parts["plain"],
        # Both are read by SES and taken out before delivery.
        headers={k: str(v) for k, v in mime.items() if not k.lower().startswith("x-ses-")},
        tags=message.extra["tags"],
    )


def _lines(text: str) -> str:
    """Text as a reader sees it: in lines, of which the last one needs no end."""
    return text.replace("\r\n", "\n").removesuffix("\n")


def owns(message: Stored, kind: str) -> bool | None:
    """Whether the call has SES track this; None leaves it to the configuration set."""
    call = message.content
    if kind == UNSUBSCRIBE:
        # "Using subscription management": SES tells only of contact lists that a call names.
        return bool(call.get("ListManagementOptions"))
    name = "ClickTrackingEnabled" if kind == CLICK else "OpenTrackingEnabled"
    switch = dig(call, "ConfigurationOverrides", "Tracking", name)
    return {"ENABLED": True, "DISABLED": False}.get(str(switch))
