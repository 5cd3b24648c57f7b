"""Headers of mail to many: which are the same for everybody, which are one person's, and their
exact forms.

`Precedence: bulk` is left out on purpose: no standard defines it, and List-Id and List-Unsubscribe
already tell automatic responders to stay silent (RFC 3834 §2). So is `Auto-Submitted`: a campaign
is not a reply, and some servers treat it as noise.
"""

import hashlib
import re
from contextlib import suppress
from urllib.parse import quote

from mail.people import one_line

#: Whose values are `Message.headers`.
PERSONAL = ("List-Unsubscribe",)
#: RFC 8058 §3.1: the one value there is.
ONE_CLICK = ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")


def list_headers(campaign_id: int, topic: str | None, domain: str) -> tuple[tuple[str, str], ...]:
    """What every message of a campaign carries."""
    return (ONE_CLICK, ("List-Id", list_id(topic, domain)), feedback_id(campaign_id, topic, domain))


def list_id(topic: str | None, domain: str) -> str:
    """RFC 2919: the list's stable name, so that a person's filter keeps working from one campaign
    to the next; a topic is a list of its own."""
    return f"<{_label(topic)}.{_domain(domain)}>"


def feedback_id(
    campaign_id: int | str, topic: str | None, domain: str, kind: str = "campaign"
) -> tuple[str, str]:
    """Gmail's feedback loop: up to three names of ours, then a sender id of 5 to 15 characters
    that stays the same (support.google.com/a/answer/6254652)."""
    sender = hashlib.blake2b(_domain(domain).encode(), digest_size=5).hexdigest()
    return ("Feedback-ID", f"{campaign_id}:{_label(topic)}:{kind}:{sender}")


def unsubscribe_frame(public_url: str, mailto: str | None) -> tuple[str, ...]:
    """List-Unsubscribe without its consent token: what stands around each occurrence of it. The
    mail way out, if there is one, names the token in its subject."""
    web = f"<{one_line(public_url)}/unsubscribe/"
    if not mailto:
        return web, ">"
    address = quote(one_line(mailto).strip(), safe="@.!$&'*+/=^_`|~-")
    return web, f">, <mailto:{address}?subject=unsubscribe%20", ">"


def _label(topic: str | None) -> str:
    """A topic in the characters of a list name; another script gets a stable stand-in."""
    if not topic:
        return "newsletter"
    plain = re.sub(r"[^a-z0-9]+", "-", topic.casefold()).strip("-")[:60].strip("-")
    return plain or "topic-" + hashlib.blake2b(topic.encode(), digest_size=4).hexdigest()


def _domain(domain: str) -> str:
    """In ASCII, and nothing that could end the header."""
    with suppress(UnicodeError):  # no domain at all; what is left of it is at least harmless
        domain = domain.encode("idna").decode()
    return re.sub(r"[^a-z0-9.-]", "", domain.lower())
