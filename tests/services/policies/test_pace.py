"""The rate after a 429 (T9), and which mailbox provider a domain belongs to."""

import pytest

from services.policies import mailbox_providers, pace
from services.policies.pace import Pace

HIGHEST = 60.0
STEPS = ((0, 50.0), (200, 20.0), (400, 60.0), (700, 60.0))  #: seconds -> what the ESP takes
LENGTH = 700


def capacity(now: float) -> float:
    return next(rate for at, rate in reversed(STEPS) if now >= at)


def test_it_follows_a_capacity_that_changes() -> None:
    """T9: at least 90 % used, at most 1 % answered with 429."""
    state, now, tokens, last = Pace(), 0.0, 12.5, 0.0
    taken = refused = 0
    while now < LENGTH:
        tokens = min(0.25 * capacity(now), tokens + (now - last) * capacity(now))
        last = now
        if tokens >= 1:
            tokens, taken = tokens - 1, taken + 1
        else:
            refused += 1
            state = pace.throttled(state, HIGHEST, now)
        now += 1.0 / pace.rate(state, HIGHEST, now)
    possible = sum(capacity(second) for second in range(LENGTH))
    print(f"T9: used {taken / possible:.3f}, 429 {refused / (taken + refused):.4f}")
    assert taken / possible >= 0.90
    assert refused / (taken + refused) <= 0.01


def test_one_second_brings_one_cut() -> None:
    once = pace.throttled(Pace(), 100.0, 10.0)
    assert pace.rate(once, 100.0, 10.0) == 85.0
    assert pace.throttled(once, 100.0, 10.9) == once
    assert pace.rate(pace.throttled(once, 100.0, 11.0), 100.0, 11.0) == pytest.approx(0.85 * 86)


def test_it_grows_back_and_no_further_and_never_stops() -> None:
    state = pace.throttled(Pace(), 100.0, 0.0)
    assert pace.rate(state, 100.0, 5.0) == pytest.approx(90.0)
    assert pace.rate(state, 100.0, 1e6) == 100.0
    for second in range(1, 200):
        state = pace.throttled(state, 2.0, float(second))
    assert pace.rate(state, 2.0, 199.0) >= pace.SLOWEST
    assert Pace.from_json(state.to_json()) == state


@pytest.mark.parametrize(
    "domain,hosts,provider",
    [
        ("gmail.com", [], "gmail"),
        ("hotmail.fr", [], "microsoft"),
        ("outlook.com.br", [], "microsoft"),
        ("live.com", [], "microsoft"),
        ("live.example.com", [], "other"),
        ("yahoo.co.uk", [], "yahoo"),
        ("yahoo.co.jp", ["mx.yahoo.co.jp"], "other"),
        ("yahoo.evil.uk", [], "other"),
        ("icloud.com", [], "apple"),
        ("firm.example", ["aspmx.l.google.com."], "gws"),
        ("firm.example", ["ALT1.ASPMX.L.GOOGLE.COM"], "gws"),
        ("firm.example", ["firm-example.mail.protection.outlook.com"], "o365"),
        ("firm.example", ["firm-example.olc.protection.outlook.com"], "microsoft"),
        ("firm.example", ["mta5.am0.yahoodns.net"], "yahoo"),
        ("firm.example", ["mx01.mail.icloud.com"], "apple"),
        ("firm.example", ["mail.firm.example"], "other"),
        ("firm.example", ["notyahoodns.net"], "other"),
    ],
)
def test_a_domain_belongs_to(domain: str, hosts: list[str], provider: str) -> None:
    assert mailbox_providers.classified(domain, hosts) == provider
    assert provider in mailbox_providers.MAILBOX_PROVIDERS
