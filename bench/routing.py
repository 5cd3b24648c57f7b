"""What choosing ESPs is worth: our policies beside simple ways, over days with five faults.

`python -m bench.routing` prints the table and exits 1 if a gate is missed. `--seeds` and `--from`
choose the days; those from 2000 on were never used to choose a setting.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import mean
from typing import NamedTuple

from bench.world import oracle
from bench.world.contenders import Contender, Ewma, Greedy, RoundRobin, Static
from bench.world.ideal import Ideal
from bench.world.ours import Logged, Ours
from bench.world.run import Outcome, Player, without
from bench.world.scene import BROWNOUT, ESPS, FAULTS, HARD, LAG, MINUTE, SILENT, SLUMP, Fault, Scene
from services.policies import breakers, chance, chooser, stalls
from services.policies.routes import Ask, Option

OURS, IDEAL = "ours", "world known"
#: With so few messages as at 0.2/s nobody can know much (docs/routing.md): our regret may be so
#: many times that of somebody who knows the world's own numbers.
TIMES_IDEAL = 1.25
FIRST_FRESH_SEED, FIRST_FRESH_QUIET_SEED = 2000, 2100
#: T3: a silence is noticed so many seconds after the deadline of the first message at the latest.
NOTICED_WITHIN = 10
WAYS: Mapping[str, Callable[[int], Contender]] = {
    OURS: Ours,
    IDEAL: Ideal,
    "static, cost order": lambda _: Static(),
    "static, best order": lambda _: Static(ESPS[::-1]),
    "round robin": lambda _: RoundRobin(),
    "greedy ratio": lambda _: Greedy(),
    "EWMA + 5 %": Ewma,
}


class Day(NamedTuple):
    """One seed, one rate, one way."""

    way: str
    rate: float
    seed: int
    regret: float  #: percent of the oracle's deliveries
    arrived: int
    unsent: int  #: neither accepted once nor waiting: must be 0
    into: Mapping[str, int]
    figures: Mapping[str, float]  #: ours only, see `_figures`


def play(way: str, rate: float, seed: int) -> Day:
    """One day."""
    scene = Scene(seed, rate)
    contender = WAYS[way](seed)
    outcome = Player(scene, contender).play()
    figures = _figures(contender, outcome, scene) if type(contender) is Ours else {}
    return Day(
        way, rate, seed, 100 * (1 - outcome.expected / oracle.delivered(scene)), outcome.arrived,
        outcome.arrived - outcome.accepted - outcome.left, dict(outcome.into), figures,
    )  # fmt: skip


def _figures(ours: Ours, outcome: Outcome, scene: Scene) -> dict[str, float]:
    hard, silent = (next(f for f in FAULTS if f.kind == kind) for kind in (HARD, SILENT))
    opened = [line for line in ours.log if line.state == breakers.OPEN]
    hard_at = [line.at for line in opened if line.esp == hard.esp and hard.at(line.at)]
    silent_trips = [line for line in opened if line.esp == silent.esp and silent.at(line.at)]
    first = hard_at[0] if hard_at else hard.end
    # The deadline that held when it tripped; it grows and shrinks with the day.
    deadline = silent_trips[0].deadline if silent_trips else stalls.DEADLINE_CEILING
    tripped = silent_trips[0].at if silent_trips else silent.end
    calm = Player(without(without(scene, HARD), SILENT), Ours(scene.seed)).play()
    return {
        "requests to trip": sum(1 for at, _ in outcome.submissions if at <= first),
        "detected after deadline": tripped - silent.start - deadline,
        "lost bound": _lost_bound(
            outcome, silent, min(tripped, silent.start + deadline + NOTICED_WITHIN),
            len(silent_trips),
        ),
        "share back hard": _share_back(outcome, calm, hard),
        "share back silent": _share_back(outcome, calm, silent),
        "closed hard": _closed(ours.log, hard),
        "closed silent": _closed(ours.log, silent),
        "false trips": sum(not _explained(line) for line in opened),
        "sent while open": ours.sent_while_open,
        "least share": _least_share(outcome),
    }  # fmt: skip


def _lost_bound(outcome: Outcome, fault: Fault, until: float, cycles: int) -> int:
    """The most that may be lost: what leaves until it can be noticed, and three a cycle."""
    return sum(outcome.sent[fault.esp][fault.start : int(until) + 1]) + 3 * cycles


def _share(outcome: Outcome, esp: str, start: int, end: int) -> float:
    total = sum(sum(sent[start:end]) for sent in outcome.sent.values())
    return sum(outcome.sent[esp][start:end]) / total if total else 0.0


def _share_back(outcome: Outcome, calm: Outcome, fault: Fault) -> float:
    """Minutes until the ESP has half the share that it has at that time of the same day without
    outages: what is usual drifts while it is away. The share at a time is that of the minute before
    and the minute after; of the two minutes before, it would be the share of a minute ago."""
    for now in range(fault.end, fault.end + 60 * MINUTE, 5):
        span = fault.esp, now - MINUTE, now + MINUTE
        if _share(outcome, *span) >= _share(calm, *span) / 2:
            return (now - fault.end) / MINUTE
    return 60.0


def _closed(log: Sequence[Logged], fault: Fault) -> float:
    """Minutes until the ESP's breaker is closed again."""
    own = [line for line in log if line.esp == fault.esp and line.at >= fault.end]
    ends = [line.at for line in own if line.state == breakers.CLOSED]
    return (ends[0] - fault.end) / MINUTE if ends else 60.0


def _explained(line: Logged) -> bool:
    """Whether a fault of this ESP is the reason, seen as late as a deadline after it."""
    kinds = {"api": (HARD, BROWNOUT), "stall": (SILENT, LAG)}.get(line.what, ())
    return any(
        fault.kind in kinds and fault.esp == line.esp
        and fault.start <= line.at <= fault.end + stalls.DEADLINE_CEILING
        for fault in FAULTS
    )  # fmt: skip


def _least_share(outcome: Outcome) -> float:
    """The smallest share, in percent, of any ESP in any mailbox provider."""
    total: dict[str, int] = {}
    for (_, provider), count in outcome.by_cell.items():
        total[provider] = total.get(provider, 0) + count
    return 100 * min(outcome.by_cell[e, m] / total[m] for e in ESPS for m in total)


class Gate(NamedTuple):
    """A target of the design and what was measured."""

    name: str
    mean: float
    worst: float
    bound: float
    at_least: bool = False
    always: bool = False  #: every day must hold it; else the mean of the days, as in the design

    @property
    def passed(self) -> bool:
        value = self.worst if self.always else self.mean
        return value >= self.bound if self.at_least else value <= self.bound


def gates(days: Sequence[Day]) -> list[Gate]:
    """T1 to T6 of the design at 7 messages/s, and at 0.2/s if such days are there."""
    usual = [day for day in days if day.way == OURS and day.rate >= 1]
    quiet = [day for day in days if day.way == OURS and day.rate < 1]
    found = [_gate("T1 regret % at 7/s", [day.regret for day in usual], 0.5)] if usual else []
    if usual:
        rivals = [_factor(days, rival) for rival in ("EWMA + 5 %", "round robin")]
        found += [gate for gate in rivals if gate] + _fault_gates(usual)
    if quiet:
        if ideal := [day.regret for day in days if day.way == IDEAL and day.rate < 1]:
            times = mean(day.regret for day in quiet) / mean(ideal)
            found.append(Gate("T1 times the possible, 0.2/s", times, times, TIMES_IDEAL))
        found.append(_gate("T3 lost in silence, 0.2/s", [d.into.get(SILENT, 0) for d in quiet], 45))
    return found


def _fault_gates(days: Sequence[Day]) -> list[Gate]:
    figures = [day.figures for day in days]
    bounds = {
        "requests to trip": ("T2", 5), "detected after deadline": ("T3", NOTICED_WITHIN),
        "share back hard": ("T5", 5), "share back silent": ("T5", 12),
        "closed hard": ("T5", 8), "closed silent": ("T5", 14), "sent while open": ("(c)", 0),
    }  # fmt: skip
    found = [_gate(f"{t} {name}", [f[name] for f in figures], bound, always=t in ("T2", "(c)"))
             for name, (t, bound) in bounds.items()]  # fmt: skip
    trips = sum(f["false trips"] for f in figures)
    million = 1e6 * trips / sum(day.arrived for day in days)
    return [
        *found,
        _gate("T2 requests into the dead ESP", [d.into.get(HARD, 0) for d in days], 15,
              always=True),
        _gate("T2 messages lost or doubled", [abs(d.unsent) for d in days], 0, always=True),
        _gate("T3 lost over the formula",
              [d.into.get(SILENT, 0) - d.figures["lost bound"] for d in days], 0,
              always=True),
        _gate("T3 lost in silence, 7/s", [d.into.get(SILENT, 0) for d in days], 400),
        Gate("T4 false trips in 10^6", million, million, 1),
        _gate("T6 into the slump", [d.into.get(SLUMP, 0) for d in days], 150),
        Gate("(c) least share % in a class", mean(f["least share"] for f in figures),
             min(f["least share"] for f in figures), 1.0, at_least=True, always=True),
    ]  # fmt: skip


def _gate(name: str, values: Sequence[float], bound: float, *, always: bool = False) -> Gate:
    return Gate(name, mean(values), max(values), bound, always=always)


def _factor(days: Sequence[Day], rival: str) -> Gate | None:
    """How many times our regret a rival has, on average."""
    usual = [d for d in days if d.rate >= 1]
    theirs = [d.regret for d in usual if d.way == rival]
    if not theirs:
        return None
    times = mean(theirs) / mean(d.regret for d in usual if d.way == OURS)
    return Gate(f"T1 times below {rival}", times, times, 5, at_least=True)


def run(seeds: Sequence[int], rates: Sequence[float], ways: Sequence[str]) -> list[Day]:
    """All days, on all cores."""
    jobs = [(way, rate, seed) for rate in rates for way in ways for seed in seeds]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(play, *zip(*jobs, strict=True)))


def routing_cost(messages: int = 1_000, rounds: int = 30) -> tuple[float, float]:
    """Milliseconds to route a batch: whole, and its draws alone."""
    asks = [Ask(i, m) for i, m in enumerate(("gmail", "microsoft", "yahoo", "other") * 250)]
    options = [Option(esp, 0.97) for esp in ESPS]
    asks = asks[:messages]
    whole = min(_timed(lambda: chooser.route(asks, options, 0.0, b"seed")) for _ in range(rounds))
    rng, chunks = chance.generator(b"x"), messages // chooser.CHUNK + 4
    draws = min(
        _timed(lambda: [rng.betavariate(19.4, 0.6) for _ in range(chunks * len(ESPS))])
        for _ in range(rounds)
    )
    return whole, draws


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


def shown(days: Sequence[Day]) -> str:
    """The table and the gates."""
    head = ("way", "rate", "regret % (worst)", "into hard", "lost silent", "into slump")
    lines = ["  ".join(f"{word:>19}" for word in head)]
    for way, rate in dict.fromkeys((day.way, day.rate) for day in days):
        own = [day for day in days if (day.way, day.rate) == (way, rate)]
        worst = max(day.regret for day in own)
        cells = [way, f"{rate:g}/s", f"{mean(day.regret for day in own):.2f} ({worst:.2f})"]
        cells += [f"{mean(day.into.get(k, 0) for day in own):,.0f}" for k in (HARD, SILENT, SLUMP)]
        lines.append("  ".join(f"{cell:>19}" for cell in cells))
    for gate in gates(days):
        verdict = "holds" if gate.passed else "MISSED"
        sign = ">=" if gate.at_least else "<="
        lines.append(f"{gate.name:>32}: mean {gate.mean:8.2f}  worst {gate.worst:8.2f}"
                     f"  {sign} {gate.bound:g}  {verdict}")  # fmt: skip
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print, and 1 if a gate is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.routing", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--from", type=int, default=FIRST_FRESH_SEED, dest="first")
    parser.add_argument("--rates", type=float, nargs="+", default=[7.0, 0.2])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    chosen = parser.parse_args(arguments)
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    days = run(seeds, chosen.rates, chosen.ways)
    print(shown(days))
    whole, draws = routing_cost()
    print(f"routing 1,000 messages: {whole:.2f} ms, of it {draws:.2f} ms draws")
    return 0 if all(gate.passed for gate in gates(days)) else 1


if __name__ == "__main__":
    sys.exit(main())
