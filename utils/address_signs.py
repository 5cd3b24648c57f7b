"""What an address itself says about whether a newsletter belongs there: a mistyped domain, a
throw-away mailbox, a role instead of a person. Signs, not proof; nobody is asked.
"""

from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from utils.addresses import Address

KINDS = ("typo", "disposable", "role")
_DISPOSABLE = Path(__file__).with_name("disposable_domains.txt")
#: Names of mailbox providers that people mistype, and where each is at home.
_PROVIDERS = {
    "gmail": ("com",), "googlemail": ("com",), "hotmail": ("com", "co.uk", "fr", "de", "it", "es"),
    "outlook": ("com", "de", "fr"), "yahoo": ("com", "co.uk", "fr", "de", "it", "es", "co.in"),
    "icloud": ("com",), "protonmail": ("com",), "comcast": ("net",), "t-online": ("de",),
}  # fmt: skip
#: Real ones that are one letter away from the former.
_NO_TYPO = frozenset({"email", "fmail", "mail", "ymail", "rmail", "zmail", "hmail"})
#: What `com` becomes under hasty fingers. `.co`, `.cm` and `.om` are countries, but none of these
#: providers gives out mailboxes there.
_NO_COM = frozenset(
    {"con", "cmo", "ocm", "comm", "vom", "xom", "cpm", "cim", "coom", "co", "cm", "om"}
)
#: RFC 2142, and https://mailchimp.com/help/limits-on-role-based-addresses/, which refuses most.
_ROLES = frozenset({
    "abuse", "admin", "administrator", "billing", "compliance", "devnull", "dns", "ftp",
    "hostmaster", "info", "inoc", "ispfeedback", "ispsupport", "list", "list-request",
    "mailer-daemon", "maildaemon", "marketing", "news", "no-reply", "noc", "noreply", "null",
    "phish", "phishing", "postmaster", "privacy", "registrar", "root", "sales", "security", "spam",
    "support", "sysadmin", "tech", "undisclosed-recipients", "unsubscribe", "usenet", "uucp",
    "webmaster", "www",
})  # fmt: skip


class Sign(NamedTuple):
    """What is odd about an address."""

    kind: str  #: one of `KINDS`
    words: str


def sign_of(address: Address) -> Sign | None:
    """The gravest sign of an address, or None."""
    sign = _sign_of_domain(address.domain)
    if sign is not None:
        return sign
    local = address.canonical.rpartition("@")[0]
    if local in _ROLES:
        return Sign("role", f"{local}@ is a role, not a person")
    return None


@lru_cache(maxsize=65536)
def _sign_of_domain(domain: str) -> Sign | None:
    meant = _meant(domain)
    if meant:
        return Sign("typo", f"{domain} looks like a typing error of {meant}")
    if _is_disposable(domain):
        return Sign("disposable", f"{domain} gives out throw-away mailboxes")
    return None


def _meant(domain: str) -> str | None:
    """The large provider's domain of which this is one slip away."""
    name, _, rest = domain.partition(".")
    if rest in _NO_COM and "com" in _PROVIDERS.get(name, ()):
        return f"{name}.com"
    if name in _PROVIDERS or name in _NO_TYPO:
        return None
    for provider, homes in _PROVIDERS.items():
        if (rest in homes or rest in _NO_COM) and _one_slip(name, provider):
            return f"{provider}.{rest if rest in homes else 'com'}"
    return None


def _one_slip(given: str, meant: str) -> bool:
    """Whether one letter is missing, doubled, wrong, or two have changed places."""
    if abs(len(given) - len(meant)) > 1:
        return False
    start = next((n for n, (a, b) in enumerate(zip(given, meant, strict=False)) if a != b), None)
    if start is None:
        return given != meant
    ours, theirs = given[start:], meant[start:]
    return (
        ours[1:] == theirs[1:]
        or ours[1:] == theirs
        or ours == theirs[1:]
        or (ours[:2] == theirs[1::-1] and ours[2:] == theirs[2:])
    )


def _is_disposable(domain: str) -> bool:
    """A domain of the list, or below one."""
    parts = domain.split(".")
    return any(".".join(parts[start:]) in _disposable() for start in range(len(parts) - 1))


@cache
def _disposable() -> frozenset[str]:
    lines = _DISPOSABLE.read_text(encoding="ascii").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))
