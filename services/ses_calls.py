"""What SES' two calls carry: SendBulkEmail's entries around one template, SendEmail's message.

Knows nothing of answers and errors: that is `services.amazon_ses`.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from mail.message import Content, Message, fill
from services.parcels import Envelope, Writing
from services.ses_template import InlineTemplate, address
from services.stencil import SEND_ID, TO, Stencil, encoded, hole, personal_headers, slot_hole

#: Links, pixel and unsubscribing are ours.
OVERRIDES = {"Tracking": {"OpenTrackingEnabled": "DISABLED", "ClickTrackingEnabled": "DISABLED"}}


def _pairs(pairs: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in pairs]


def _common(content: Content, configuration_set: str | None) -> dict[str, Any]:
    """What SendBulkEmail and SendEmail have in common."""
    common: dict[str, Any] = {
        "FromEmailAddress": address(content.from_name, content.from_email),
        "ConfigurationOverrides": OVERRIDES,
    }
    if content.reply_to:
        common["ReplyToAddresses"] = [content.reply_to]
    if configuration_set:
        common["ConfigurationSetName"] = configuration_set
    return common


def envelope_of(content: Content, configuration_set: str | None) -> Envelope:
    written = InlineTemplate(content)
    template: dict[str, Any] = {
        "TemplateContent": written.parts,
        # Every variable has a default: one that is missing is accepted and then never sent.
        "TemplateData": orjson.dumps(written.defaults).decode(),
    }
    if content.headers:
        template["Headers"] = _pairs(content.headers)
    shared = _common(content, configuration_set) | {
        "DefaultEmailTags": _pairs([("campaign", content.tag)]),
        "DefaultContent": {"Template": template},
    }
    return Envelope(orjson.dumps(shared)[:-1] + b',"BulkEmailEntries":[', b"]}")


def writing(content: Content, envelope: Envelope, limit: int) -> Writing:
    """`limit`: characters of data that one entry may have."""
    data = {f"s{n}": slot_hole(content, n) for n in range(content.slot_count)}
    data_json = orjson.dumps(data).decode()
    shape: dict[str, Any] = {
        "Destination": {"ToAddresses": [hole(TO)]},
        "ReplacementTags": _pairs([("send_id", hole(SEND_ID))]),
    }
    if content.personal_headers:
        shape["ReplacementHeaders"] = _pairs(personal_headers(content))
    template = {"ReplacementTemplateData": data_json}
    shape["ReplacementEmailContent"] = {"ReplacementTemplate": template}
    stencil = Stencil(shape)
    rendered_only = bool(content.attachments)

    def entries(messages: Sequence[Message]) -> Sequence[bytes | None]:
        if rendered_only:
            return [None] * len(messages)
        once = encoded([(m.to, m.send_id, *m.headers) for m in messages]).rows
        twice = encoded([m.slots for m in messages], twice=True).rows
        written = stencil.fill([a + b for a, b in zip(once, twice, strict=True)])
        if len(max(written, key=len)) <= limit:  # the whole entry is longer than its data
            return written
        pairs = zip(messages, written, strict=True)
        return [
            entry if len(entry) <= limit or _data_length(message.slots) <= limit else None
            for message, entry in pairs
        ]

    def alone(message: Message) -> tuple[Envelope, bytes]:
        for text in (message.to, *message.headers, *message.slots):
            text.encode()  # what is not Unicode raises here, not inside a request
        return Envelope(b"", b"", single=True), b""

    return Writing(envelope, entries, alone)


def _data_length(slots: Sequence[str]) -> int:
    """Of the template data, a little too large: names and braces are counted generously."""
    return sum(len(orjson.dumps(slot).decode()) + len('"s1000":,') for slot in slots) + 2


def send_email(content: Content, message: Message, configuration_set: str | None) -> dict[str, Any]:
    """The arguments of SendEmail for one rendered message."""
    kinds = (("Text", content.text), ("Html", content.html))
    body = {kind: fill(pieces, message.slots) for kind, pieces in kinds if pieces}
    personal = zip(content.personal_headers, message.headers, strict=True)
    simple: dict[str, Any] = {
        "Subject": {"Data": fill(content.subject, message.slots), "Charset": "UTF-8"},
        "Body": {kind: {"Data": text, "Charset": "UTF-8"} for kind, text in body.items()},
        "Headers": _pairs([*content.headers, *personal]),
    }
    if content.attachments:
        simple["Attachments"] = [
            {
                "FileName": file.filename,
                "ContentType": file.content_type,
                "ContentDisposition": "ATTACHMENT",
                "ContentTransferEncoding": "BASE64",
                "RawContent": file.content,
            }
            for file in content.attachments
        ]
    return _common(content, configuration_set) | {
        "Destination": {"ToAddresses": [message.to]},
        "EmailTags": _pairs([("send_id", message.send_id), ("campaign", content.tag)]),
        "Content": {"Simple": simple},
    }
