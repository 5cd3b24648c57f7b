"""How many messages an ESP may get now: rates in the face of clocks that jump."""

import pytest

from database.models import Lane
from services.esp_state import EspState
from services.quota import Limits, allowance, reserved

NOW = 1_800_000_000.0


@pytest.mark.parametrize("rate", [0.01, 1.0, 50.0])
def test_a_clock_that_is_set_back_does_not_stop_mail_for_as_long(rate: float) -> None:
    limits = Limits(None, rate, 10)
    state = EspState()
    room, _, _ = allowance(limits, state, 0, Lane.CAMPAIGN, NOW)
    assert room
    state = reserved(limits, state, room, Lane.CAMPAIGN, NOW)
    assert allowance(limits, state, 0, Lane.CAMPAIGN, NOW)[0] == 0
    before = NOW - 3600
    assert allowance(limits, state, 0, Lane.CAMPAIGN, before)[0] == room
    state = reserved(limits, state, room, Lane.CAMPAIGN, before)
    room, until, _ = allowance(limits, state, 0, Lane.CAMPAIGN, before)
    assert room == 0
    assert before < until <= before + 2 / rate


def test_clocks_of_two_machines_that_differ_a_little_share_one_rate() -> None:
    limits = Limits(None, 10.0)
    ahead = reserved(limits, EspState(), 10, Lane.CAMPAIGN, NOW + 5)
    assert allowance(limits, ahead, 0, Lane.CAMPAIGN, NOW)[0] == 0
