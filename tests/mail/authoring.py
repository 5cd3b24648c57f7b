"""An author at work: short ways to compile a source, and people to render it for."""

from typing import Any

from database.models import CampaignKind
from mail.compiled import Compiled
from mail.content import Campaign, Sender, Source, compile_campaign
from mail.message import Content, Message, fill
from mail.people import Recipient
from mail.renderer import Urls
from utils.signing import Signer

PUBLIC = "https://mail.example.com"
TRACKING = Signer(("a key of at least thirty-two bytes",), "tracking")
CONSENT = Signer(("a key of at least thirty-two bytes",), "consent")
URLS = Urls(PUBLIC, TRACKING, CONSENT)
NONCE = "abcdefgh"
ADDRESS = "Example Ltd\n1 Main Street\n1000 Town"


def compiled(
    html: str | None = None,
    *,
    subject: str = "News",
    text: str | None = None,
    topic: str | None = None,
    kind: CampaignKind = CampaignKind.CAMPAIGN,
    mailto: str | None = None,
    postal_address: str = ADDRESS,
    sender_name: str = "Example",
    **options: Any,
) -> Compiled:
    """A campaign compiled from these parts."""
    return compile_campaign(
        Source(subject, html, text, **options),
        campaign=Campaign(7, NONCE, "Spring", topic, kind),
        sender=Sender("news@example.com", sender_name, None, postal_address, mailto),
        urls=URLS,
    )


def plain(html: str | None = None, **more: Any) -> Compiled:
    """A source to which nothing is added: transactional, nothing tracked."""
    return compiled(
        html, kind=CampaignKind.TRANSACTIONAL, track_opens=False, track_clicks=False, **more
    )


def somebody(
    attributes: dict[str, Any] | None = None, *, name: str = "Anna Berg", send_id: int = 1
) -> Recipient:
    """A person to write to."""
    return Recipient(send_id, "anna@example.org", name, "Anna@example.org", attributes)


def html_of(campaign: Compiled, message: Message) -> str:
    return fill(_there(campaign.content.html), message.slots)


def text_of(campaign: Compiled, message: Message) -> str:
    return fill(_there(campaign.content.text), message.slots)


def subject_of(campaign: Compiled, message: Message) -> str:
    return fill(campaign.content.subject, message.slots)


def _there(pieces: tuple[str | int, ...] | None) -> tuple[str | int, ...]:
    assert pieces is not None
    return pieces


def everything(content: Content, message: Message) -> str:
    """All that travels, in one string."""
    parts = (content.subject, content.html or (), content.text or ())
    return "\n".join([*(fill(part, message.slots) for part in parts), *message.headers])
