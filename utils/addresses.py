"""What an e-mail address is, when two of them are one person, and why one is refused.

Knows syntax only: whether anybody reads there, or DNS knows the domain, is not asked.
"""

import re
from functools import lru_cache
from typing import NamedTuple

import email_validator

#: RFC 5321 §4.5.3.1.3 with errata 1690: the longest address, in octets.
_LONGEST = 254
#: A plain local part (RFC 5322 dot-atom, RFC 5321 length) and what may be an ASCII domain.
_PLAIN = re.compile(
    r"(?=[^@]{1,64}@)"
    r"([A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*)"
    r"@([A-Za-z0-9.\-]+)"
)
#: What people's keyboards put for the full stop after a domain (UTS #46 maps them all to a dot).
_FINAL_DOTS = (".", "。", "．", "｡")


class BadAddress(ValueError):
    """This is not an address that mail can go to; the text says why, for a person to read."""


class Address(NamedTuple):
    """An address in its two forms: the one mail goes to and the one that tells people apart."""

    email: str  #: as given, with the domain in ASCII and needless quotes removed
    canonical: str  #: the same for every spelling of one mailbox
    domain: str  #: lower case, ASCII (A-labels), no final dot


class _Domain(NamedTuple):
    name: str
    longest: int  #: octets of its longest form, for the limit of the whole address


def parse(text: str) -> Address:
    """The address in `text`, blanks around it ignored; raises `BadAddress`."""
    text = text.strip()
    plain = _PLAIN.fullmatch(text)
    if plain is None:
        return _parse_odd(text)
    local, given = plain.groups()
    domain = _domain(given.removesuffix("."))
    if isinstance(domain, str):
        raise BadAddress(domain)
    if len(local) + 1 + domain.longest > _LONGEST:
        raise BadAddress(_TOO_LONG)
    name = domain.name
    return Address(f"{local}@{name}", f"{local.lower()}@{name}", name)


def canonical(text: str) -> str:
    """The form of the address that is equal for every spelling of one mailbox."""
    return parse(text).canonical


_TOO_LONG = f"The email address is longer than {_LONGEST} characters."


def _parse_odd(text: str) -> Address:
    """Quotes, other scripts, and everything wrong: the whole library decides, and says why."""
    if len(text) > _LONGEST + 1:
        raise BadAddress(_TOO_LONG)
    try:
        found = _validated(text.removesuffix(_final_dot(text)))
    except email_validator.EmailSyntaxError as error:
        raise BadAddress(str(error)) from None
    if found.ascii_local_part is None:
        raise BadAddress(
            "The part before the @-sign has letters outside ASCII, "
            "which most mail servers, and the services we send through, do not accept."
        )
    local, name = found.ascii_local_part, found.ascii_domain
    return Address(f"{local}@{name}", f"{local.lower()}@{name}", name)


def _final_dot(text: str) -> str:
    return text[-1] if text.endswith(_FINAL_DOTS) else ""


@lru_cache(maxsize=65536)
def _domain(text: str) -> _Domain | str:
    """A domain of a plain address, checked by the whole library once; a text says what is wrong."""
    if len(text) > _LONGEST:
        return _TOO_LONG
    try:
        found = _validated(f"a@{text}")
    except email_validator.EmailSyntaxError as error:
        return str(error)
    longest = max(len(text), len(found.ascii_domain), len(found.domain.encode()))
    return _Domain(found.ascii_domain, longest)


def _validated(text: str) -> email_validator.ValidatedEmail:
    return email_validator.validate_email(
        text, check_deliverability=False, allow_quoted_local=True, strict=True
    )
