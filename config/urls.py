"""Addresses among the settings: where a request may go, and which file a database is."""

import ipaddress
import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator

_NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f]")


def is_loopback(url: str | SplitResult | None) -> bool:
    """Whether a request to this address cannot leave the machine."""
    parts = urlsplit(url) if isinstance(url, str) else url
    host = (parts.hostname or "") if parts else ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_sqlite(url: str) -> bool:
    """Whether a database address is, or by default becomes, a file."""
    return not url or url.startswith("sqlite")


def sqlite_file(url: str) -> str:
    """The file of an SQLite address; empty when there is none."""
    path = url.removeprefix("sqlite:///").partition("?")[0]
    return "" if path in {url, ":memory:"} else path


def http_url(text: str) -> str:
    """An address to send requests to, without its final slash."""
    try:
        parts = urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        port_is_fine, parts = False, urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_fine:
        raise ValueError("must be an address like https://mail.example.com")
    if parts.query or parts.fragment or parts.username or _NOT_IN_URLS.search(text):
        raise ValueError("must be a plain address: no log-in, no question mark, no spaces")
    return text.rstrip("/")


def _public_url(text: str) -> str | None:
    return http_url(text) if text else None


def _esp_url(text: str) -> str | None:
    if not text:
        return None
    url = http_url(text)
    if url.startswith("http:") and not is_loopback(url):
        raise ValueError("plain http is allowed to 127.0.0.1 only: use https")
    return url


def _loopback_url(text: str) -> str | None:
    if not text:
        return None
    url = http_url(text)
    if not is_loopback(url):
        raise ValueError("must be an address on this machine, like http://127.0.0.1:5001")
    return url


PublicUrl = Annotated[str | None, BeforeValidator(_public_url)]
EspUrl = Annotated[str | None, BeforeValidator(_esp_url)]
LoopbackUrl = Annotated[str | None, BeforeValidator(_loopback_url)]
