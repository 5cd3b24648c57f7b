"""How recipients behave: what they read mail with and which addresses in it they call; calls none.

They go nowhere but to the product: of a URL that names the webhook target, only what comes after
the host is ever used.
"""

import base64
import html
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from simulator.outcomes import KIND_CODE, MACHINE_OPEN, VISIT_MACHINE_OPEN, fraction
from simulator.state import LOOPBACK, State
from simulator.wire import Event, Mail, Stored

# Documentation addresses (RFC 5737): they belong to nobody.
SENDING_IP = "192.0.2.1"
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_HREF = re.compile(r"""href\s*=\s*["'](https?://[^"'\s>]+)""", re.IGNORECASE)
_IMAGE = re.compile(r"""<img\b[^>]*?\ssrc\s*=\s*["'](https?://[^"'\s>]+)""", re.IGNORECASE)
_BARE_LINK = re.compile(r"https?://[^\s<>\"']+")
_HEADER_LINK = re.compile(r"<\s*(https?://[^>\s]+)\s*>", re.IGNORECASE)
NO_LINK = "https://example.com/"
# Below the target: what counts clicks. Its other pages, the way out among them, are no clicks.
TRACKED = "/c/"
# RFC 8058 §3.1: the field without which a program may not unsubscribe, and the body when it does.
ONE_CLICK = "List-Unsubscribe=One-Click"


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
GMAIL_PROXY = Reader(
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "66.249.93.1",
)

# Of the people behind such proxies.
APPLE_SHARE = 0.5


def reader(event: Event) -> Reader:
    return PRIVACY_PROXY if event.kind == MACHINE_OPEN else BROWSER


def visitor(visit: Event) -> Reader:
    """Who calls at the product: a person's browser, or one of the proxies that fetch pictures."""
    if visit.kind != VISIT_MACHINE_OPEN:
        return BROWSER
    return PRIVACY_PROXY if fraction(_seed(visit.message), "proxy") < APPLE_SHARE else GMAIL_PROXY


def link_in(mail: Mail, message: Stored) -> str:
    """A link of the mail, always the same one for the same message."""
    links = [html.unescape(link) for link in _HREF.findall(mail.html)]
    links = links or _BARE_LINK.findall(mail.text)
    return _one_of(links, message) if links else NO_LINK


def pictures(mail: Mail, target: str) -> list[str]:
    """Paths of the pictures that the target serves, as a mail program loads them."""
    return _paths(map(html.unescape, _IMAGE.findall(_COMMENT.sub("", mail.html))), target)


def clicked(mail: Mail, message: Stored, target: str) -> list[str]:
    """The path of one of the target's tracked links, always the same one for the same message."""
    links = [html.unescape(link) for link in _HREF.findall(_COMMENT.sub("", mail.html))]
    tracked = urlsplit(target).path.rstrip("/") + TRACKED
    paths = _paths(links or _BARE_LINK.findall(mail.text), target)
    paths = [path for path in paths if path.startswith(tracked)]
    return [_one_of(paths, message)] if paths else []


def way_out(mail: Mail, target: str) -> list[str]:
    """The path of List-Unsubscribe, where the mail allows one click (RFC 8058)."""
    headers = {name.lower(): value for name, value in mail.headers.items()}
    if headers.get("list-unsubscribe-post", "").strip().lower() != ONE_CLICK.lower():
        return []
    return _paths(_HEADER_LINK.findall(headers.get("list-unsubscribe", "")), target)[:1]


def _paths(urls: Iterable[str], target: str) -> list[str]:
    found = (_path(url, target) for url in urls)
    return list(dict.fromkeys(path for path in found if path is not None))


def _path(url: str, target: str) -> str | None:
    """What comes after the host, if that is the target under any of this machine's names."""
    try:
        there, here = urlsplit(url), urlsplit(target)
        at_home = there.hostname in LOOPBACK and "@" not in there.netloc
        if not at_home or (there.scheme, there.port or 80) != (here.scheme, here.port or 80):
            return None
    except ValueError:
        return None
    query = f"?{there.query}" if there.query else ""
    return quote((there.path or "/") + query, safe="/%:@!$&'()*+,;=~-._?")


def _seed(message: Stored) -> str:
    return message.send_id or message.address


def _one_of(links: list[str], message: Stored) -> str:
    return links[int(fraction(_seed(message), "link") * len(links))]


def event_id(state: State, event: Event) -> str:
    """The id that stays with an event through retries and repetitions."""
    return base64.urlsafe_b64encode(event_digest(state, event)).decode().rstrip("=")


def event_digest(state: State, event: Event) -> bytes:
    return state.digest(event.message.id << 5 | KIND_CODE[event.kind], "event")
