"""Signs of an address: the slips people make, and nobody accused who is right."""

import pytest

from database.subscriber_stats import MAILBOX_PROVIDERS
from utils.address_signs import KINDS, Sign, sign_of
from utils.addresses import parse


def kind(email: str) -> str | None:
    found = sign_of(parse(email))
    return found.kind if found else None


@pytest.mark.parametrize(
    "domain,meant",
    [
        ("gmial.com", "gmail.com"), ("gamil.com", "gmail.com"), ("gmai.com", "gmail.com"),
        ("gmaill.com", "gmail.com"), ("gnail.com", "gmail.com"), ("gmail.con", "gmail.com"),
        ("gmail.co", "gmail.com"), ("gmial.con", "gmail.com"), ("hotmial.com", "hotmail.com"),
        ("hotmai.fr", "hotmail.fr"), ("yaho.com", "yahoo.com"), ("yahooo.co.uk", "yahoo.co.uk"),
        ("outlok.com", "outlook.com"), ("iclod.com", "icloud.com"), ("hotmail.cmo", "hotmail.com"),
    ],
)  # fmt: skip
def test_a_slip_is_seen(domain: str, meant: str) -> None:
    assert sign_of(parse(f"ann@{domain}")) == Sign(
        "typo", f"{domain} looks like a typing error of {meant}"
    )


@pytest.mark.parametrize(
    "domain",
    [
        *MAILBOX_PROVIDERS, "mail.com", "email.com", "gmail.example.com", "yahoo.com.au",
        "hotmail.nl", "example.com", "mail.gmail.com", "gmx.co", "outlook.jp", "gmx.com",
    ],
)  # fmt: skip
def test_nobody_is_accused_who_is_right(domain: str) -> None:
    assert sign_of(parse(f"ann@{domain}")) is None


def test_throw_away_mailboxes_and_those_below_them() -> None:
    assert kind("ann@mailinator.com") == "disposable"
    assert kind("ann@x.Mailinator.com.") == "disposable"
    assert kind("ann@mailinator.example.org") is None


def test_roles() -> None:
    assert kind("Info@example.com") == "role"
    assert kind("no-reply@example.com") == "role"
    assert kind("information@example.com") is None
    assert kind("info.ann@example.com") is None
    assert set(KINDS) == {"typo", "disposable", "role"}
