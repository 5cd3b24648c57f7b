"""The engagement score: acts fade by half every 28 days and may come in any order."""

import itertools

import pytest

from utils.score import HALF_LIFE_SECONDS, added, engagement_at, forward, score

NOW = 1_800_000_000.0


def test_an_act_fades_by_half_in_28_days() -> None:
    stored = added(None, forward(5.0, NOW))
    assert score(stored, NOW) == pytest.approx(50)
    assert score(stored, NOW + HALF_LIFE_SECONDS) == pytest.approx(100 / 3)
    assert score(None, NOW) == 0


def test_acts_add_up_in_any_order_and_grouping() -> None:
    acts = [forward(weight, NOW - 86400 * days) for weight, days in ((5, 0), (1, 9), (1, 300))]
    results = []
    for order in itertools.permutations(acts):
        stored = None
        for act in order:
            stored = added(stored, act)
        results.append(stored)
        results.append(added(added(None, order[0]), *order[1:]))
    assert results == pytest.approx([results[0]] * len(results))
    assert added(results[0]) == pytest.approx(results[0])
    assert added(None) is None


def test_the_bound_of_a_score_is_where_the_score_is() -> None:
    for wanted in (1.0, 40.0, 99.0):
        assert score(engagement_at(wanted, NOW), NOW) == pytest.approx(wanted)
