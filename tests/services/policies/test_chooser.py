"""Choosing an ESP: repeatable, fair to the small ones, explained."""

from collections import Counter
from dataclasses import replace

import pytest

from services.policies import beliefs, breakers, chooser
from services.policies.beliefs import Belief, Track
from services.policies.breakers import Breaker
from services.policies.cells import Cell
from services.policies.routes import Ask, Option, kept

SEED = b"a seed"


def cell(good: float, bad: float, **changes: object) -> Cell:
    return replace(Cell(Track(Belief(good, bad, 0.0), 100.0)), **changes)  # type: ignore[arg-type]


def option(esp: str, good: float = 950, bad: float = 50, **changes: object) -> Option:
    one = Option(esp, good / (good + bad), {"gmail": cell(good, bad)})
    return replace(one, **changes)  # type: ignore[arg-type]


def asks(
    count: int = 1_000, attempt: int = 0, avoid: frozenset[str] = frozenset()
) -> list[Ask]:  # fmt: skip
    return [Ask(i, "gmail", attempt, avoid) for i in range(count)]


def counted(options: list[Option], bulk: bool = True, **how: float) -> Counter[str | None]:
    routes = chooser.route(asks(), options, 0.0, SEED, bulk=bulk, **how)  # type: ignore[arg-type]
    return Counter(routes.chosen)


def test_equal_inputs_choose_equally() -> None:
    options = [option("a"), option("b", share=0.25), option("c")]
    once = chooser.route(asks(), options, 5.0, SEED)
    again = chooser.route(asks(), options[::-1], 5.0, SEED)
    assert once.chosen == again.chosen
    assert chooser.route(asks(), options, 5.0, b"other").chosen != once.chosen
    assert chooser.route(asks(attempt=1), options, 5.0, SEED).chosen != once.chosen


def test_the_better_one_gets_the_mail_and_the_worse_its_one_percent() -> None:
    counts = counted([option("good", 1_960, 40), option("bad", 1_400, 600)])
    assert counts == {"good": 990, "bad": 10}
    assert counted([option("good", 1_960, 40), option("bad", 1_400, 600)], bulk=False) == {
        "good": 1_000
    }


def test_equals_share_by_weight() -> None:
    options = [option("a", weight=3.0), option("b", weight=1.0)]
    assert counted(options, band=1.0) == {"a": 750, "b": 250}


def test_a_better_tier_serves_while_it_is_almost_as_good() -> None:
    first, second = option("first", 1_960, 40), option("second", 1_970, 30, tier=2)
    assert counted([first, second], slack=0.05)["first"] == 990
    assert counted([option("first", 1_400, 600), second])["second"] == 990


def test_room_is_never_exceeded_and_the_rest_waits() -> None:
    counts = counted([option("a", room=10), option("b", room=300)])
    assert counts == {"a": 10, "b": 300, None: 690}


def test_a_half_open_esp_gets_its_probes_and_no_more() -> None:
    counts = counted([option("a"), option("b", probes=2)])
    assert counts == {"a": 998, "b": 2}
    assert counted([option("a"), option("b", probes=2)], bulk=False) == {"a": 1_000}
    assert counted([option("b", probes=1)]) == {"b": 1, None: 999}


@pytest.mark.parametrize("share", breakers.RAMP_SHARES)
def test_a_ramp_considers_its_share(share: float) -> None:
    counts = counted([option("a", 1_400, 600), option("b", 1_990, 10, share=share)])
    assert abs(counts["b"] - 1_000 * share) < 60


def test_an_open_cell_is_passed_over() -> None:
    closed_off = cell(950, 50, breaker=Breaker(state="open", until=100.0))
    assert counted([option("a"), option("b", cells={"gmail": closed_off})]) == {"a": 1_000}


def test_who_has_just_failed_is_avoided() -> None:
    routes = chooser.route(
        asks(avoid=frozenset({"a"})), [option("a"), option("b", 100, 900)], 0.0, SEED
    )
    assert set(routes.chosen) == {"b"}


def test_every_decision_has_its_words() -> None:
    routes = chooser.route(asks(150), [option("a", room=120), option("b", probes=1)], 0.0, SEED)
    assert routes.why(0) == "a probe of an ESP that is coming back"
    assert routes.why(1) == "the only ESP that may take it"
    assert routes.why(149) == "no ESP may take it now"
    both = chooser.route(asks(150), [option("a"), option("b", 500, 500)], 0.0, SEED)
    assert "the best draw" in both.why(0)
    assert any("not used here for long" in both.why(i) for i in range(150))


def test_the_spread_goes_on_in_the_next_batch() -> None:
    options, totals = [option("a"), option("b", 500, 500)], Counter[str | None]()
    for start in range(0, 2_000, 50):
        batch = [Ask(i, "gmail") for i in range(start, start + 50)]
        routes = chooser.route(batch, options, 0.0, SEED)
        totals.update(routes.chosen)
        options = [
            replace(o, cells={"gmail": kept(
                o.cells["gmail"], routes.spread[o.esp, "gmail"]
            )})
            for o in options
        ]  # fmt: skip
    assert totals == {"a": 1_980, "b": 20}


def test_beliefs_fade_and_stay_under_their_cap() -> None:
    belief = beliefs.learnt(Belief(), 9_000, 1_000, 0.0, 3_600, 2_000)
    assert belief.size == 10_000  # one batch larger than the cap is all there is to know
    belief = beliefs.learnt(belief, 10, 0, 3_600.0, 3_600, 2_000)
    assert belief.size == pytest.approx(2_000)
    assert beliefs.faded(belief, 7_200.0, 3_600).size == pytest.approx(1_000)
    assert beliefs.faded(belief, 0.0, 3_600) == belief  # a clock set back makes nothing younger
