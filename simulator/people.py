"""How recipients behave: what they read mail with and which link they click; writes no event."""

import base64
import html
import re
from typing import NamedTuple

from simulator.outcomes import KIND_CODE, MACHINE_OPEN, fraction
from simulator.state import State
from simulator.wire import Event, Mail, Stored

# Documentation addresses (RFC 5737): they belong to nobody.
SENDING_IP = "192.0.2.1"
_HREF = re.compile(r"""href\s*=\s*["'](https?://[^"'\s>]+)""", re.IGNORECASE)
_BARE_LINK = re.compile(r"https?://[^\s<>\"']+")
NO_LINK = "https://example.com/"


class Reader(NamedTuple):
    """What fetched the picture or the link."""

    agent: str
    ip: str


BROWSER = Reader(
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36",
    "198.51.100.9",
)
# Apple Mail Privacy Protection fetches through a proxy that gives this bare agent and nothing more.
PRIVACY_PROXY = Reader("Mozilla/5.0", "17.58.98.10")


def reader(event: Event) -> Reader:
    return PRIVACY_PROXY if event.kind == MACHINE_OPEN else BROWSER


def link_in(mail: Mail, message: Stored) -> str:
    """A link of the mail, always the same one for the same message."""
    links = [html.unescape(link) for link in _HREF.findall(mail.html)]
    links = links or _BARE_LINK.findall(mail.text)
    if not links:
        return NO_LINK
    return links[int(fraction(message.send_id or message.address, "link") * len(links))]


def event_id(state: State, event: Event) -> str:
    """The id that stays with an event through retries and repetitions."""
    return base64.urlsafe_b64encode(event_digest(state, event)).decode().rstrip("=")


def event_digest(state: State, event: Event) -> bytes:
    return state.digest(event.message.id << 5 | KIND_CODE[event.kind], "event")
