"""DRILL_CLOCK: for a drill in the sandbox, and for nothing else."""

import pytest

from config.values import FASTEST, ClockSpeed
from tests.config.test_settings import KEYS, LIVE, problems, settings


def test_a_speed_and_a_moment_are_read() -> None:
    found = settings(DRILL_CLOCK="36@1764000000.250", LEASE_SECONDS="3600")
    assert found.service.drill_clock == ClockSpeed(36.0, 1764000000.25)
    assert settings().service.drill_clock is None


@pytest.mark.parametrize(
    "value",
    ["36", "fast@1764000000", "0@1764000000", f"{FASTEST + 1}@1764000000", "36@now", "-1@1"],
)
def test_anything_else_is_refused_by_name(value: str) -> None:
    assert "SPEED@UNIX_SECONDS" in problems({**KEYS, "DRILL_CLOCK": value})["DRILL_CLOCK"]


def test_live_mail_never_goes_by_a_fast_clock() -> None:
    assert "sandbox only" in problems({**LIVE, "DRILL_CLOCK": "36@1764000000"})["DRILL_CLOCK"]


def test_a_lease_outlives_a_request_on_the_fast_clock_too() -> None:
    told = problems({**KEYS, "DRILL_CLOCK": "36@1764000000", "LEASE_SECONDS": "600"})
    assert "on the clock of the drill" in told["LEASE_SECONDS"]
    assert "at least 1260" in told["LEASE_SECONDS"]
