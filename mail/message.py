"""The frozen words for a message: static content with numbered slots, and one person's slot values.

Knows nothing of Liquid (that is `mail.content`) and nothing of any ESP's syntax (its adapter).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

#: One part of a message (subject, html or text): static text, or the number of a slot.
Pieces = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that travels with a transactional message."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True, eq=False)
class Content:
    """What all messages of one campaign share, compiled once.

    Every slot value is already escaped for the place where it stands, so an adapter only places
    it: no ESP may evaluate, escape or interpret it again. Identity is by object, so that an
    adapter may cache what it derives from a content.
    """

    nonce: str  #: random, [a-z0-9]; names the slots in an ESP's own substitution syntax
    campaign_id: int
    from_email: str
    from_name: str
    reply_to: str | None
    subject: Pieces
    html: Pieces | None
    text: Pieces | None
    slot_count: int
    #: Headers that are the same for everybody, e.g. List-Unsubscribe-Post, List-Id, Feedback-ID.
    headers: tuple[tuple[str, str], ...] = ()
    #: Names of the headers that differ; the values are `Message.headers`, in this order.
    personal_headers: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = field(default=(), repr=False)
    #: What single mails are counted under at the ESP; None = as a campaign of their own.
    label: str | None = None

    @property
    def tag(self) -> str:
        """The campaign's name at the ESP: SendGrid category, SES and Postmark tag."""
        return self.label or f"campaign-{self.campaign_id}"


class Message(NamedTuple):
    """One person's message: what differs from the others'."""

    send_id: str  #: our id, travels in the ESP's metadata and comes back with every event
    to: str  #: deliverable address: ASCII domain
    slots: tuple[str, ...]
    headers: tuple[str, ...] = ()  #: values for `Content.personal_headers`; no CR or LF


def fill(pieces: Pieces, slots: Sequence[str]) -> str:
    """The whole text of one part for one person."""
    return "".join([piece if isinstance(piece, str) else slots[piece] for piece in pieces])


def slots_of(*parts: Pieces | None) -> tuple[int, ...]:
    """The numbers of the slots that stand in these parts, each once, in order."""
    numbers: Iterable[int] = (p for part in parts if part for p in part if isinstance(p, int))
    return tuple(dict.fromkeys(numbers))
