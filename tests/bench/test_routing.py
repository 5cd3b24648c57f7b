"""The simulated world is fair, the oracle is the best there is, and the gates hold in it."""

import itertools

import pytest

from bench import routing
from bench.world import oracle, scene
from bench.world.contenders import Ewma, RoundRobin
from bench.world.ideal import Ideal, Posterior
from bench.world.ours import Ours
from bench.world.run import Player, without
from bench.world.scene import HOUR, LAG, MINUTE, SILENT, Fault, Scene
from services.policies import chooser
from services.policies.routes import Ask, Option

SHORT_RATE, HOURS = 7.0, 1


def test_the_oracle_finds_what_trying_everything_finds() -> None:
    worth = {("a", "x"): 0.9, ("a", "y"): 0.8, ("b", "x"): 0.85, ("b", "y"): 0.5}
    room = {"a": 3.0, "b": 2.0}
    found = oracle.best(worth, room, {"x": 3.0, "y": 2.0})
    value = sum(worth[cell] * count for cell, count in found.items())
    best = max(
        0.9 * x + 0.8 * y + 0.85 * (3 - x) + 0.5 * (2 - y)
        for x, y in itertools.product(range(4), range(3))
        if x + y <= 3 and 5 - x - y <= 2
    )
    assert value == pytest.approx(best)


def test_equal_seeds_make_equal_days_and_equal_decisions() -> None:
    def replay(seed: int) -> str:
        ours = Ours(seed)
        Player(Scene(3_001, SHORT_RATE, 20 * MINUTE), ours).play()
        return ours.replay

    assert replay(1) == replay(1) != replay(2)


@pytest.fixture(scope="module")
def quiet_hour() -> tuple[float, Player, Ours]:
    day = Scene(3_002, SHORT_RATE, HOURS * HOUR, faults=())
    ours = Ours(3_002)
    player = Player(day, ours)
    player.play()
    return oracle.delivered(day), player, ours


def test_without_faults_nothing_opens_and_everybody_is_used(
    quiet_hour: tuple[float, Player, Ours],
) -> None:
    best, player, ours = quiet_hour
    assert not [line for line in ours.log if line.state == "open"]
    assert 0.98 * best < player.outcome.expected <= best
    assert routing._least_share(player.outcome) >= 0.99
    assert player.outcome.accepted + player.outcome.left == player.outcome.arrived


def test_a_silent_esp_is_left_and_comes_back() -> None:
    fault = Fault(SILENT, "ses", 10 * MINUTE, 20 * MINUTE)
    day, ours = Scene(3_003, SHORT_RATE, 40 * MINUTE, [fault]), Ours(3_003)
    outcome = Player(day, ours).play()
    states = [line.state for line in ours.log if line.esp == "ses"]
    assert states[0] == "open"
    assert states[-1] == "closed"
    assert outcome.into[SILENT] <= 400
    assert ours.sent_while_open == 0
    assert outcome.accepted + outcome.left == outcome.arrived


def test_withheld_webhooks_cost_little_and_are_recognised() -> None:
    fault = Fault(LAG, "postmark", 10 * MINUTE, 18 * MINUTE)
    day, ours = Scene(3_004, SHORT_RATE, 30 * MINUTE, [fault]), Ours(3_004)
    lagged = Player(day, ours).play()
    fine = Player(without(day, LAG), Ours(3_004)).play()
    assert any("lagged" in line.why for line in ours.log)
    assert lagged.expected / lagged.accepted > fine.expected / fine.accepted - 0.004


def test_all_webhooks_lost_stop_nobody_and_are_told() -> None:
    faults = [Fault(LAG, esp, 10 * MINUTE, 40 * MINUTE) for esp in scene.ESPS]
    day, ours = Scene(3_005, SHORT_RATE, 40 * MINUTE, faults), Ours(3_005)
    outcome = Player(day, ours).play()
    assert not [line for line in ours.log if line.state == "open"]
    assert any("our own webhook" in alert for alert in ours.alerts)
    assert outcome.left == 0


def test_the_simple_ways_lose_more() -> None:
    fault = Fault(SILENT, "ses", 10 * MINUTE, 40 * MINUTE)
    day = Scene(3_006, SHORT_RATE, 40 * MINUTE, [fault])
    best = oracle.delivered(day)
    lost = {
        type(one).__name__: best - Player(day, one).play().expected
        for one in (Ours(1), RoundRobin(), Ewma(1))
    }
    assert 3 * lost["Ours"] < min(lost["RoundRobin"], lost["Ewma"])


def test_a_posterior_learns_from_events_and_forgets() -> None:
    known = Posterior(0.97)
    assert known.mean == pytest.approx(0.967, abs=0.002)  # drift costs more than it brings
    for number in range(400):
        known.saw(delivered=number % 10 > 0)
    assert known.mean == pytest.approx(0.91, abs=0.01)
    for _ in range(12 * 24):
        known.drifted()
    assert known.mean == pytest.approx(0.967, abs=0.002)


def test_who_knows_the_world_does_better_and_not_much() -> None:
    day = Scene(3_008, 0.5, 6 * HOUR, faults=())
    best = oracle.delivered(day)
    regrets = {
        type(one): 1 - Player(day, one).play().expected / best for one in (Ours(1), Ideal(1))
    }
    assert 0 < regrets[Ideal] < regrets[Ours] < 2 * regrets[Ideal]


def test_a_missed_gate_is_said() -> None:
    assert routing.Gate("T1", 0.4, 0.6, 0.5).passed
    assert not routing.Gate("T1", 0.55, 0.6, 0.5).passed
    assert not routing.Gate("T2", 0.4, 0.6, 0.5, always=True).passed
    assert not routing.Gate("(c)", 2.0, 0.9, 1.0, at_least=True, always=True).passed
    day = routing.play("static, cost order", 0.2, 3_007)
    assert "static, cost order" in routing.shown([day])


def test_a_large_batch_is_routed_with_few_draws() -> None:
    asks = [Ask(i, "gmail") for i in range(1_000)]
    options = [Option(esp, 0.97) for esp in scene.ESPS]
    routes = chooser.route(asks, options, 0.0, b"seed")
    assert len(routes.draws) == -(-1_000 // chooser.CHUNK)
    assert None not in routes.chosen


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_the_full_size_holds_its_gates() -> None:
    days = routing.run(
        range(routing.FIRST_FRESH_SEED, routing.FIRST_FRESH_SEED + 20), [7.0],
        [routing.OURS, "round robin", "EWMA + 5 %"],
    )  # fmt: skip
    days += routing.run(
        range(routing.FIRST_FRESH_QUIET_SEED, routing.FIRST_FRESH_QUIET_SEED + 20), [0.2],
        [routing.OURS, routing.IDEAL],
    )  # fmt: skip
    print(routing.shown(days))
    assert all(gate.passed for gate in routing.gates(days))
