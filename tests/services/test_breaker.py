"""When an ESP that fails is left alone, and that it always comes back."""

import pytest

from services.breaker import (
    COOL_DOWN_CAP_SECONDS,
    PROBES_TO_CLOSE,
    TRIP_AFTER,
    after_request,
    allowance,
    probing,
)
from services.esp import Unavailable
from services.esp_state import Breaker

NOW = 1_800_000_000.0
DOWN = Unavailable("down")


def opened(now: float = NOW) -> Breaker:
    breaker = Breaker()
    for _ in range(TRIP_AFTER):
        breaker = after_request(breaker, DOWN, now)
    return breaker


def test_an_outage_of_months_is_probed_to_its_end() -> None:
    breaker, now = opened(), NOW
    for _ in range(5_000):
        now = breaker.next_probe_at
        breaker = after_request(probing(breaker, now), DOWN, now)
        assert 0 < breaker.next_probe_at - now <= COOL_DOWN_CAP_SECONDS
    for _ in range(PROBES_TO_CLOSE):
        breaker = after_request(probing(breaker, now), None, now)
    assert breaker.state == "closed"


def test_a_probe_that_never_gets_an_answer_is_followed_by_the_next() -> None:
    """Its recipient may leave, or its campaign pause, before it is handed over."""
    breaker = opened()
    now = breaker.next_probe_at
    assert allowance(breaker, now)[0] == 1
    breaker = probing(breaker, now)
    waiting, until = allowance(breaker, now)
    assert waiting == 0
    assert allowance(breaker, until)[0] == 1


@pytest.mark.parametrize("breaker", [opened(), after_request(Breaker(), DOWN, NOW)])
def test_a_clock_that_is_set_back_does_not_stop_an_esp_for_as_long(breaker: Breaker) -> None:
    room, until = allowance(breaker, NOW - 3600)
    assert room != 0
    assert until <= NOW - 3600
