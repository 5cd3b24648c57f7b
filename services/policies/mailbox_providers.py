"""Which mailbox provider receives an address: by its domain, else by where its MX points."""

from collections.abc import Sequence

GMAIL, MICROSOFT, YAHOO, APPLE = "gmail", "microsoft", "yahoo", "apple"
GWS, O365, OTHER = "gws", "o365", "other"
MAILBOX_PROVIDERS = (GMAIL, MICROSOFT, YAHOO, APPLE, GWS, O365, OTHER)

#: Consumer domains; their MX need not be asked.
DOMAINS: dict[str, str] = {
    **dict.fromkeys(("gmail.com", "googlemail.com"), GMAIL),
    **dict.fromkeys(
        ("outlook.com", "hotmail.com", "live.com", "msn.com", "passport.com", "windowslive.com"),
        MICROSOFT,
    ),
    **dict.fromkeys(
        ("yahoo.com", "ymail.com", "rocketmail.com", "myyahoo.com", "aol.com", "aim.com",
         "verizon.net", "netscape.net", "cs.com"),
        YAHOO,
    ),
    **dict.fromkeys(("icloud.com", "me.com", "mac.com"), APPLE),
}  # fmt: skip
#: The same companies under national endings: `yahoo.co.uk`, `hotmail.fr`, `outlook.com.br`.
NAMES: dict[str, str] = {
    "outlook": MICROSOFT, "hotmail": MICROSOFT, "live": MICROSOFT, "msn": MICROSOFT,
    "yahoo": YAHOO, "ymail": YAHOO, "rocketmail": YAHOO, "aol": YAHOO,
}  # fmt: skip
#: National Yahoo domains that another company runs.
ELSEWHERE = frozenset({"yahoo.co.jp", "yahoo.ne.jp"})
#: Hosts that an MX record names, longest first where one ends in another (KumoMTA's MX roll-up).
MX_SUFFIXES: tuple[tuple[str, str], ...] = (
    ("gmail-smtp-in.l.google.com", GMAIL),
    ("aspmx.l.google.com", GWS),
    ("googlemail.com", GWS),
    ("smtp.google.com", GWS),
    ("olc.protection.outlook.com", MICROSOFT),
    ("mail.protection.outlook.com", O365),
    ("mx.microsoft", O365),
    ("yahoodns.net", YAHOO),
    ("mail.icloud.com", APPLE),
)
_COUNTRY_CODE = 2
_SECOND_LEVELS = (["co"], ["com"])


def by_domain(domain: str) -> str | None:
    """The mailbox provider of a lower-case A-label domain; None: ask its MX."""
    if domain in ELSEWHERE:
        return OTHER
    if found := DOMAINS.get(domain):
        return found
    name, _, ending = domain.partition(".")
    return NAMES.get(name) if _is_national(ending) else None


def _is_national(ending: str) -> bool:
    *before, last = ending.split(".")
    return len(last) == _COUNTRY_CODE and (not before or before in _SECOND_LEVELS)


def by_mx(hosts: Sequence[str]) -> str:
    """The mailbox provider behind these MX hosts, best preference first."""
    for host in hosts:
        name = host.rstrip(".").lower()
        for suffix, provider in MX_SUFFIXES:
            if name == suffix or name.endswith(f".{suffix}"):
                return provider
    return OTHER


def classified(domain: str, hosts: Sequence[str] = ()) -> str:
    """The mailbox provider of a domain, given its cached MX hosts."""
    return by_domain(domain) or by_mx(hosts)
