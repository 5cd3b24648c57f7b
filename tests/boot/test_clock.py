"""The house's time: real, unless a drill lets it run."""

import time

import pytest

from boot import clock
from boot.assembly import build
from boot.clock import FastClock
from config.settings import Settings, load

KEYS = {"API_KEY": "a1" * 16, "SECRET_KEY": "b2" * 16, "ERASURE_KEY": "c3" * 16}


def settings(**values: str) -> Settings:
    return load({**KEYS, "LEASE_SECONDS": "3600", **values}, None)


def test_time_is_real_unless_a_drill_says_otherwise() -> None:
    assert clock.of(settings()) is time.time


def test_time_runs_so_many_times_as_fast_from_the_moment_on() -> None:
    fast = FastClock(20.0, 1_000.0, real=lambda: 1_003.0)
    assert fast() == 1_060.0
    assert FastClock(20.0, 1_000.0, real=lambda: 1_000.0)() == 1_000.0


def test_every_process_of_a_drill_has_the_same_time() -> None:
    since = f"{time.time() - 10:.3f}"
    one, other = (clock.of(settings(DRILL_CLOCK=f"30@{since}")) for _ in range(2))
    first, second, third = one(), other(), one()
    assert first <= second <= third
    assert first - time.time() == pytest.approx(290, abs=60)


def test_every_part_of_the_house_goes_by_it(tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/house.db"
    house, _ = build(settings(DRILL_CLOCK=f"30@{time.time():.3f}", DATABASE_URL=url))
    clocks = {
        id(part._clock)
        for part in (house.lists, house.sender, house.launcher, house.control, house.lane)
    }
    assert clocks == {id(house.clock)}
    assert isinstance(house.clock, FastClock)
    house.close()
