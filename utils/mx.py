"""Asks DNS which hosts take a domain's mail (RFC 5321 §5.1)."""

from collections.abc import Callable, Sequence
from functools import cache

import dns.exception
import dns.resolver

#: Seconds for one question, all tries included.
PATIENCE_SECONDS = 2.0

#: The hosts of a domain, best preference first; None: nobody could tell.
LookUp = Callable[[str], Sequence[str] | None]


def asking(servers: Sequence[str] = (), port: int = 53) -> LookUp:
    """A look-up that asks these servers (IP addresses), or the host's own resolvers."""

    @cache
    def resolver() -> dns.resolver.Resolver:
        made = dns.resolver.Resolver(configure=not servers)
        if servers:
            made.nameservers = list(servers)
            made.port = port
        return made

    def hosts(domain: str) -> Sequence[str] | None:
        try:
            answer = resolver().resolve(domain, "MX", lifetime=PATIENCE_SECONDS)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, UnicodeError, ValueError):
            return None  # no answer, no resolver at all, or a name that DNS cannot hold
        found = sorted((record.preference, str(record.exchange)) for record in answer)
        return [host.rstrip(".").lower() for _, host in found]

    return hosts
