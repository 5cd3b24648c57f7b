"""Reads mail addresses: splits, canonicalises and judges them; knows no ESP's own rules."""

import re
import unicodedata
from contextlib import suppress
from email.utils import getaddresses

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"

# Dot-atom or quoted local part, ASCII only, and a host name of at least two labels. None of the
# three APIs documents SMTPUTF8, so a local part outside ASCII is refused by all.
PLAIN_ADDRESS = re.compile(
    rf"(?:{_ATOM}(?:\.{_ATOM})*|\"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*\")"
    rf"@{_LABEL}(?:\.{_LABEL})+"
)
MAX_LOCAL = 64
MAX_ADDRESS = 254


def plain(address: str) -> bool:
    """Whether an address is one that every mail server would take (RFC 5321, ASCII)."""
    return (
        PLAIN_ADDRESS.fullmatch(address) is not None
        and len(address) <= MAX_ADDRESS
        and address.rfind("@") <= MAX_LOCAL
    )


def split(value: str) -> tuple[str, str]:
    """`Name <address>` or a bare address as (name, address)."""
    if "<" not in value and "," not in value:
        return "", value.strip()
    found = getaddresses([value])
    return found[0] if found else ("", "")


def split_list(value: str) -> list[tuple[str, str]]:
    """A comma-separated address list as (name, address) pairs."""
    if "<" not in value and "," not in value:
        bare = value.strip()
        return [("", bare)] if bare else []
    return [pair for pair in getaddresses([value]) if any(pair)]


def canonical(address: str) -> str:
    """The form under which two spellings of one mailbox are recognised as the same."""
    if address.isascii() and '"' not in address:
        return address.lower().rstrip(".")
    local, _, domain = unicodedata.normalize("NFC", address).rpartition("@")
    if (
        local.startswith('"')
        and local.endswith('"')
        and re.fullmatch(rf'"{_ATOM}(?:\.{_ATOM})*"', local)
    ):
        local = local[1:-1]
    with suppress(UnicodeError):
        domain = domain.rstrip(".").encode("idna").decode("ascii")
    return f"{local.casefold()}@{domain.lower()}"


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower().rstrip(".")
