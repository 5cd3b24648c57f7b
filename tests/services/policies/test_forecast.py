"""When a campaign would be out at the earliest, as a table."""

from collections.abc import Collection, Mapping

import pytest

from services.policies.forecast import (
    DAILY_LIMIT,
    DAY_SECONDS,
    NO_ESP,
    NO_RATE,
    RATE,
    Capacity,
    Forecast,
    forecast,
)

NOW, DAY_ENDS = 1_000.0, 1_000.0 + 7_200


def equally(esps: Collection[str]) -> Mapping[str, float]:
    return {esp: 1 / len(esps) for esp in esps}


def ahead(count: int, *capacities: Capacity) -> Forecast:
    return forecast(count, capacities, equally, NOW, DAY_ENDS)


@pytest.mark.parametrize(
    "count,capacities,by_esp,seconds,binds",
    [
        (600, [("a", 20, None, None), ("b", 10, None, None)], {"a": 400, "b": 200}, 20, RATE),
        (600, [("a", None, None, None), ("b", 10, None, None)], {"a": 600}, None, NO_RATE),
        (600, [("a", None, 100, 100), ("b", 10, None, None)], {"a": 100, "b": 500}, 50, RATE),
        (600, [("a", 20, 100, 100), ("b", 20, None, None)], {"a": 100, "b": 500}, 25, RATE),
        (601, [("a", None, None, None), ("b", None, 100, 100)], {"a": 501, "b": 100}, None,
         NO_RATE),
        (300, [("a", None, 100, 200)], {"a": 300}, 7_200, DAILY_LIMIT),
        (700, [("a", 10, 100, 200)], {"a": 700}, 7_200 + 2 * DAY_SECONDS + 20, DAILY_LIMIT),
        (100, [("a", 10, 0, 0)], {}, None, NO_ESP),
        (100, [], {}, None, NO_ESP),
        (10**9, [("a", None, 100, 100)], None, None, DAILY_LIMIT),
        (0, [("a", 10, None, None)], {}, None, NO_RATE),
    ],
)  # fmt: skip
def test_the_flow_to_its_end(
    count: int, capacities: list[tuple[str, float | None, int | None, int | None]],
    by_esp: dict[str, int] | None, seconds: float | None, binds: str,
) -> None:  # fmt: skip
    found = ahead(count, *[Capacity(*one) for one in capacities])
    assert found.binds == binds
    assert found.finish == (None if seconds is None else pytest.approx(NOW + seconds))
    if by_esp is not None:
        assert found.by_esp == by_esp
    else:
        assert sum(found.by_esp.values()) < count


def test_a_rate_that_goes_on_over_midnight_starts_a_new_day() -> None:
    found = ahead(144_000, Capacity("a", 10, 80_000, 80_000))
    assert found.finish == pytest.approx(NOW + 14_400)
    assert found.binds == RATE
